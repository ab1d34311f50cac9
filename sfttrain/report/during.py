"""The report while a run goes on: after each validation, and when it ends. Imports transformers.

A report that cannot be written is no reason to stop training: it is said once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import Trainer, TrainerCallback

from sftdata.errors import SftDataError
from sfttrain.report.write import write_report
from sfttrain.run_folder import RunFolder
from sfttrain.say import say


class ReportCallback(TrainerCallback):  # type: ignore[misc]
    """Writes report.html into the folder of the run."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder, self._has_failed = folder, False

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write it after a validation."""
        self.write()

    def write(self) -> None:
        """Write it, or say why it cannot be written."""
        if not self._folder.is_main or self._folder.replaces or self._has_failed:
            return
        try:
            write_report(self._folder.path)
        except (SftDataError, OSError) as error:
            self._has_failed = True
            say(f"note   no report is written any more: {error}")


@contextmanager
def reported(trainer: Trainer, folder: RunFolder) -> Iterator[None]:
    """Have a report after each validation of the block, and at its end, however it ends."""
    callback = ReportCallback(folder)
    trainer.add_callback(callback)
    try:
        yield
    finally:
        callback.write()
