"""Where a run stands: a bar on a terminal, a line every ten seconds elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Protocol, TextIO


class Progress(Protocol):
    """What engines tell while they work. The base of all: told nothing, shows nothing."""

    def start(self, stage: str, total: int) -> None:
        """A stage begins; it has `total` pieces."""

    def advance(self, rows: int, tokens: int) -> None:
        """A piece is done, with this many rows and, where known, tokens."""

    def note(self, text: str) -> None:
        """A sentence that the user should see."""


class NoProgress:
    """Shows nothing."""

    def start(self, stage: str, total: int) -> None:
        """Nothing."""

    def advance(self, rows: int, tokens: int) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


class ProgressLines:
    """A line every ten seconds, for logs."""

    def __init__(self, file: TextIO | None = None, every_s: float = 10.0) -> None:
        self._file = file or sys.stderr
        self._every_s = every_s
        self._stage, self._total = "", 0
        self._done = self._rows = self._tokens = 0
        self._began = self._told = time.monotonic()

    def start(self, stage: str, total: int) -> None:
        """Begin counting anew."""
        self._stage, self._total = stage, total
        self._done = self._rows = self._tokens = 0
        self._began = time.monotonic()

    def advance(self, rows: int, tokens: int) -> None:
        """Count, and tell where ten seconds have passed."""
        self._done += 1
        self._rows += rows
        self._tokens += tokens
        now = time.monotonic()
        if now - self._told >= self._every_s:
            self._told = now
            print(f"{self._stage}: {self._done}/{self._total} pieces, {self._rates(now)}", file=self._file, flush=True)

    def note(self, text: str) -> None:
        """Print the sentence."""
        print(text, file=self._file, flush=True)

    def _rates(self, now: float) -> str:
        return rates(self._rows, self._tokens, now - self._began)


class ProgressBar:
    """A bar with rows/s and tokens/s. Used with `with`, which clears it at the end."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._console = Console(stderr=True)
        self._bar = RichProgress(
            TextColumn("{task.description:<8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rates]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, rates="")
        self._rows = self._tokens = 0
        self._began = time.monotonic()

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def start(self, stage: str, total: int) -> None:
        """Show a new stage."""
        self._rows = self._tokens = 0
        self._began = time.monotonic()
        self._bar.reset(self._task, total=total, description=stage, rates="")

    def advance(self, rows: int, tokens: int) -> None:
        """Move the bar."""
        self._rows += rows
        self._tokens += tokens
        spent = time.monotonic() - self._began
        self._bar.update(self._task, advance=1, rates=rates(self._rows, self._tokens, spent))

    def note(self, text: str) -> None:
        """Print the sentence above the bar."""
        self._console.print(text, markup=False, highlight=False)


def rates(rows: int, tokens: int, seconds: float) -> str:
    """`12,345 rows/s  1,234,567 tokens/s`, as far as known."""
    seconds = max(seconds, 1e-3)
    parts = [f"{amount / seconds:,.0f} {name}/s" for amount, name in ((rows, "rows"), (tokens, "tokens")) if amount]
    return "  ".join(parts)
