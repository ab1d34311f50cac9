"""Progress of a run: on a terminal a line for each finished stage and a bar for the running one, else few lines."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import NamedTuple, Protocol, TextIO

from sftdata.safe.terminal import safe_console

_DRAW_EVERY = 0.1  # seconds


class Progress(Protocol):
    """What engines and `prepare` report while they work."""

    def start(self, stage: str, total: int, rows: int = 0) -> None:
        """Work of a stage starts; it has `total` tasks and, if known, this number of rows (else 0)."""

    def advance(self, rows: int, tokens: int) -> None:
        """A task is done, with this many rows and, if known, tokens (else 0)."""

    def finish(self, stage: str, number: int, noun: str, dropped: int) -> None:
        """A stage is done: it made `number` things, such as rows (0: nothing to count), and dropped `dropped` rows."""

    def note(self, text: str) -> None:
        """A message that the user should see."""


class NoProgress:
    """Shows nothing."""

    def start(self, stage: str, total: int, rows: int = 0) -> None:
        """Do nothing."""

    def advance(self, rows: int, tokens: int) -> None:
        """Do nothing."""

    def finish(self, stage: str, number: int, noun: str, dropped: int) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""


class Done(NamedTuple):
    """A finished stage."""

    stage: str
    number: int
    noun: str
    dropped: int
    seconds: float

    def __str__(self) -> str:
        made = f"{self.number:,} {self.noun}{'' if self.number == 1 else 's'}" if self.number else ""
        lost = f"-{self.dropped:,}" if self.dropped else ""
        return f"{self.stage:<13} {', '.join(filter(None, [made, lost])) or '-':<24} {self.seconds:6.1f} s"


class Remembered:
    """Another progress, which remembers the messages, and the finished stages with the time since the one before."""

    def __init__(self, progress: Progress) -> None:
        self.start, self.advance = progress.start, progress.advance
        self._progress = progress
        self._since = time.monotonic()
        self.notes: list[str] = []
        self.stages: list[Done] = []

    def finish(self, stage: str, number: int, noun: str, dropped: int) -> None:
        """Pass it on, and remember it."""
        now = time.monotonic()
        self.stages.append(Done(stage, number, noun, dropped, now - self._since))
        self._since = now
        self._progress.finish(stage, number, noun, dropped)

    def note(self, text: str) -> None:
        """Pass the message on, and remember it."""
        self.notes.append(text)
        self._progress.note(text)


class Steps:
    """Tells a progress which stages of a run are done, and how many rows each of them dropped."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._live = 0
        self._since = time.monotonic()

    def read(self, rows: int, live: int) -> None:
        """All rows are read, and `live` of them are not dropped."""
        self._progress.finish("read", rows, "row", rows - live)
        self._live, self._since = live, time.monotonic()

    def done(self, stage: str, live: int, number: int = 0, noun: str = "row") -> None:
        """A stage is done, and `live` rows are left. One that dropped none, made nothing and took hardly any time had
        nothing to do, and is not reported.
        """
        now, dropped = time.monotonic(), self._live - live
        if dropped or number or now - self._since > 0.05:
            self._progress.finish(stage, number, noun, dropped)
            self._since = now
        self._live = live


class ProgressLines:
    """A line every `every_s` seconds, for logs; with `all_stages`, also one for each stage."""

    def __init__(self, file: TextIO | None = None, every_s: float = 10.0, *, all_stages: bool = False) -> None:
        self._file = file or sys.stderr
        self._every_s, self._all_stages = every_s, all_stages
        self._stage, self._total, self._of_rows = "", 0, 0
        self._done = self._rows = self._tokens = 0
        self._started = self._printed = self._finished = time.monotonic()

    def start(self, stage: str, total: int, rows: int = 0) -> None:
        """Reset the counts."""
        self._stage, self._total, self._of_rows = stage, total, rows
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
            done = f"{self._rows:,} of {self._of_rows:,} rows" if self._of_rows else f"{self._rows:,} rows"
            if not self._of_rows:
                done += f" ({self._done} of {self._total} parts)"
            rate = rates(self._rows, self._tokens, now - self._started)
            print(f"{self._stage}: {done}, {rate}", file=self._file, flush=True)

    def finish(self, stage: str, number: int, noun: str, dropped: int) -> None:
        """Print a line, if all stages have one or the last line is old enough."""
        now = time.monotonic()
        if self._all_stages or now - self._printed >= self._every_s:
            self._printed = now
            line = str(Done(stage, number, noun, dropped, now - self._finished))
            print(f"  {line}" if self._all_stages else " ".join(line.split()), file=self._file, flush=True)
        self._finished = now

    def note(self, text: str) -> None:
        """Print the message."""
        print(text, file=self._file, flush=True)


class ProgressBar:
    """A line for each finished stage, and below them a bar: rows done, rate and the time left. A context manager: the
    bar is cleared at the end.
    """

    def __init__(self) -> None:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._console = safe_console(stderr=True)
        is_narrow = self._console.width < 80
        self._bar = RichProgress(
            TextColumn("  {task.description:<13}"),
            TextColumn("{task.fields[done]}"),
            BarColumn(bar_width=10 if is_narrow else 24),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            transient=True,
            auto_refresh=False,  # its thread could still be there when Python ends
        )
        self._is_narrow, self._is_shown = is_narrow, False
        self._task = self._bar.add_task("", total=None, visible=False, done="", left="")
        self._total = self._rows = self._tokens = self._of_rows = self._done = 0
        self._started = self._finished = self._drawn = time.monotonic()

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if kind is None and self._is_shown:
            self._console.print()  # what comes next is not a part of this

    def start(self, stage: str, total: int, rows: int = 0) -> None:
        """Show a new stage."""
        self._rows = self._tokens = self._done = 0
        self._total, self._of_rows = total, rows
        self._started = time.monotonic()
        self._bar.reset(self._task, total=total, visible=True, description=stage, done=self._done_text(), left="")

    def advance(self, rows: int, tokens: int) -> None:
        """Move the bar."""
        self._rows += rows
        self._tokens += tokens
        self._done += 1
        now = time.monotonic()
        seconds = max(now - self._started, 1e-3)
        share = self._rows / self._of_rows if self._of_rows else self._done / max(1, self._total)
        parts = [
            f"{min(share, 1.0):4.0%}",
            *([] if self._is_narrow else [short_rate(self._rows, self._tokens, seconds)]),
        ]
        parts += [f"{clock(seconds / share - seconds)} left"] if 0 < share < 1 else []
        self._bar.update(
            self._task, completed=share * self._total, done=self._done_text(), left="  ".join(parts), refresh=False
        )
        if now - self._drawn >= _DRAW_EVERY:
            self._bar.refresh()
            self._drawn = now

    def finish(self, stage: str, number: int, noun: str, dropped: int) -> None:
        """Print a line above the bar."""
        now = time.monotonic()
        self._console.print(f"  {Done(stage, number, noun, dropped, now - self._finished)}", style="dim")
        self._finished, self._is_shown = now, True
        self._bar.reset(self._task, total=None, visible=False, description="", done="", left="")

    def note(self, text: str) -> None:
        """Print the message above the bar."""
        from rich.padding import Padding

        self._console.print(Padding(text, (0, 0, 0, 2)), style="dim")

    def _done_text(self) -> str:
        return f"{self._rows:,} / {self._of_rows:,} rows" if self._of_rows else f"{self._rows:,} rows"


def rates(rows: int, tokens: int, seconds: float) -> str:
    """`12,345 rows/s  1,234,567 tokens/s`; a count of 0 is left out."""
    seconds = max(seconds, 1e-3)
    parts = [f"{amount / seconds:,.0f} {name}/s" for amount, name in ((rows, "rows"), (tokens, "tokens")) if amount]
    return "  ".join(parts)


def short_rate(rows: int, tokens: int, seconds: float) -> str:
    """`3.1 M tok/s`, or of rows where tokens are not counted."""
    amount, unit = (tokens, "tok") if tokens else (rows, "rows")
    rate = amount / max(seconds, 1e-3)
    return f"{rate / 1e6:.1f} M {unit}/s" if rate >= 1e6 else f"{rate:,.0f} {unit}/s"


def clock(seconds: float) -> str:
    """`0:07`, `12:30`, `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
