"""How a program or a notebook sees what a run does: a bar on a terminal, one display in a notebook, lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from sftdata.errors import ConfigError
from sftdata.progress import NoProgress, Progress, ProgressBar, ProgressLines

ShownProgress = Literal["auto"] | bool | Progress | None


@contextmanager
def shown_progress(progress: ShownProgress) -> Iterator[Progress]:
    """What is given as `progress`: "auto" (or True) shows it where the program runs, False shows nothing, and an object
    with the methods of `sftdata.progress.Progress` gets it. Raises ConfigError for anything else.
    """
    if progress is None or progress is False:
        yield NoProgress()
    elif progress is True or progress == "auto":
        with _for_this_program() as shown:
            yield shown
    elif all(callable(getattr(progress, name, None)) for name in ("start", "advance", "finish", "note")):
        yield progress
    else:
        what = f'must be "auto", False, or an object with start, advance, finish and note (got {str(progress)[:60]!r})'
        raise ConfigError("progress", what)


@contextmanager
def _for_this_program() -> Iterator[Progress]:
    if is_notebook():
        from sftdata.library.notebook_progress import NotebookProgress

        with NotebookProgress() as display:
            yield display
    elif sys.stderr is None:  # as in a program without a window
        yield NoProgress()
    elif sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown"):
        with ProgressBar() as bar:
            yield bar
    else:
        yield ProgressLines(all_stages=True)


def is_notebook() -> bool:
    """Whether this program is a notebook, which shows more than text. IPython on a terminal is none."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")
