"""Progress in a notebook: one display that changes as the run goes on, and stays as one line that unfolds."""

from __future__ import annotations

import importlib
import time
from html import escape
from types import TracebackType
from typing import Any

from sftdata.errors import pluralize
from sftdata.progress import Done, short_rate
from sftdata.safe.terminal import printable

_EVERY_S = 0.2  # between two changes of the display: each is a message to the browser

_CSS = """
.sftp.sftp{margin:.3em 0;padding:0 .4em;font-size:13px;color:inherit}
.sftp.sftp pre{font:12px/1.6 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;margin:0;padding:0;
color:inherit;background:none;white-space:pre-wrap}
.sftp.sftp pre:empty{display:none}
.sftp.sftp progress{width:12em;max-width:40%;vertical-align:middle}
.sftp.sftp summary{cursor:pointer}
"""


class NotebookProgress:
    """A line for each stage, with a bar for the present one, and the messages below. A context manager: at its end all
    of it is folded, as what was made shows itself.
    """

    def __init__(self) -> None:
        self._done: list[Done] = []
        self._notes: list[str] = []
        self._stage = ""  # that runs now
        self._is_over = False
        self._total = self._of_rows = self._tasks = self._rows = self._tokens = 0
        self._started = self._shown = self._finished = time.monotonic()
        self._handle: Any = None

    def __enter__(self) -> NotebookProgress:
        display = importlib.import_module("IPython.display").display  # it is there where this is used
        self._handle = display(self, display_id=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stage = f"{self._stage} (stopped)" if kind is not None and self._stage else ""
        self._is_over = kind is None
        self._show()

    def start(self, stage: str, total: int, rows: int = 0) -> None:
        """Show the work that starts now."""
        self._stage, self._total, self._of_rows = stage, total, rows
        self._tasks = self._rows = self._tokens = 0
        self._started = time.monotonic()
        self._show_soon()

    def advance(self, rows: int, tokens: int) -> None:
        """Count, and move the bar if it was not moved just now."""
        self._tasks += 1
        self._rows += rows
        self._tokens += tokens
        self._show_soon()

    def finish(self, stage: str, number: int, noun: str, dropped: int) -> None:
        """Show a line for a stage that is done."""
        now = time.monotonic()
        self._done.append(Done(stage, number, noun, dropped, now - self._finished))
        self._finished, self._stage = now, ""
        self._show_soon()

    def note(self, text: str) -> None:
        """Show a message below the stages."""
        self._notes.append(text)
        self._show_soon()

    def _show_soon(self) -> None:
        if time.monotonic() - self._shown >= _EVERY_S:
            self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        if self._handle is not None:
            self._handle.update(self)

    def __repr__(self) -> str:
        present = [f"{self._stage}: {self._counts()}"] if self._stage else []
        return printable("\n".join([*map(str, self._done), *present, *self._notes]))

    def _repr_html_(self) -> str:
        lines = [escape(str(one)) for one in self._done]
        if self._stage:
            share = self._rows / self._of_rows if self._of_rows else self._tasks / max(self._total, 1)
            rate = short_rate(self._rows, self._tokens, time.monotonic() - self._started) if self._rows else ""
            bar = f'<progress value="{min(share, 1.0):.3f}" max="1"></progress>'
            lines.append(f"{escape(f'{self._stage:<13} {self._counts()}')} {bar} {escape(rate)}")
        notes = [escape(printable(text)) for text in self._notes]
        shown = f"<pre>{_lines(lines)}</pre><pre>{_lines(notes)}</pre>"
        if self._is_over:
            shown = f"<details><summary>{escape(self._summary())}</summary>\n{shown}</details>"
        return f'<style>{_CSS}</style><div class="sftp">{shown}</div>'

    def _summary(self) -> str:
        """`done in 2.1 s, 1 warning`."""
        number = sum(text.startswith("warning:") for text in self._notes)
        warnings = f", {pluralize(number, 'warning')}" if number else ""
        return f"done in {sum(one.seconds for one in self._done):,.1f} s{warnings}"

    def _counts(self) -> str:
        if self._of_rows:
            return f"{self._rows:,} / {self._of_rows:,} rows"
        return f"{self._tasks:,} of {self._total:,} parts"


def _lines(lines: list[str]) -> str:
    return "\n".join(lines)
