"""Progress of a run: a bar on a terminal, a log line every ten seconds elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Protocol, TextIO

from sftdata.safe.terminal import safe_console


class Progress(Protocol):
    """What engines report while they work."""

    def start(self, stage: str, total: int) -> None:
        """A stage starts; it has `total` tasks."""

    def advance(self, rows: int, tokens: int) -> None:
        """A task is done, with this many rows and, if known, tokens (else 0)."""

    def note(self, text: str) -> None:
        """A message that the user should see."""


class NoProgress:
    """Shows nothing."""

    def start(self, stage: str, total: int) -> None:
        """Do nothing."""

    def advance(self, rows: int, tokens: int) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""


class Remembered:
    """Another progress, which remembers the messages."""

    def __init__(self, progress: Progress) -> None:
        self.start, self.advance = progress.start, progress.advance
        self._note = progress.note
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Pass the message on, and remember it."""
        self.notes.append(text)
        self._note(text)


class ProgressLines:
    """A line every `every_s` seconds, for logs."""

    def __init__(self, file: TextIO | None = None, every_s: float = 10.0) -> None:
        self._file = file or sys.stderr
        self._every_s = every_s
        self._stage, self._total = "", 0
        self._done = self._rows = self._tokens = 0
        self._started = self._printed = time.monotonic()

    def start(self, stage: str, total: int) -> None:
        """Reset the counts."""
        self._stage, self._total = stage, total
        self._done = self._rows = self._tokens = 0
        self._started = time.monotonic()

    def advance(self, rows: int, tokens: int) -> None:
        """Count, and print a line if the last one is old enough."""
        self._done += 1
        self._rows += rows
        self._tokens += tokens
        now = time.monotonic()
        if now - self._printed >= self._every_s:
            self._printed = now
            print(f"{self._stage}: {self._done}/{self._total} tasks, {self._rates(now)}", file=self._file, flush=True)

    def note(self, text: str) -> None:
        """Print the message."""
        print(text, file=self._file, flush=True)

    def _rates(self, now: float) -> str:
        return rates(self._rows, self._tokens, now - self._started)


class ProgressBar:
    """A bar with rows/s and tokens/s. A context manager: the bar is cleared at the end."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._console = safe_console(stderr=True)
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
        self._started = time.monotonic()

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
        self._started = time.monotonic()
        self._bar.reset(self._task, total=total, description=stage, rates="")

    def advance(self, rows: int, tokens: int) -> None:
        """Move the bar."""
        self._rows += rows
        self._tokens += tokens
        elapsed = time.monotonic() - self._started
        self._bar.update(self._task, advance=1, rates=rates(self._rows, self._tokens, elapsed))

    def note(self, text: str) -> None:
        """Print the message above the bar."""
        self._console.print(text)


def rates(rows: int, tokens: int, seconds: float) -> str:
    """`12,345 rows/s  1,234,567 tokens/s`; a count of 0 is left out."""
    seconds = max(seconds, 1e-3)
    parts = [f"{amount / seconds:,.0f} {name}/s" for amount, name in ((rows, "rows"), (tokens, "tokens")) if amount]
    return "  ".join(parts)
