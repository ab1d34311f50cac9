"""find_lr.json: what a sweep is of, what came of each rate so far, and what follows. A later sweep goes on from it.

It is written after each run, whole or not at all, so that a sweep that was stopped loses at most one run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sftdata.errors import OutputError
from sftdata.files.atomic import write_bytes
from sftdata.files.inside import is_taken
from sfttrain.find_lr.decide import Trial
from sfttrain.report.mark import FIND_LR, check_own

RECORD, PAGE = "find_lr.json", "find_lr.html"
KIND = "sfttrain find-lr"
MOVE_IT = "move it away, or choose another --out"


class Record:
    """The record of a sweep in its folder."""

    def __init__(self, folder: Path, sweep: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """Open the folder for a sweep. `sweep` is all that decides its result.

        The trials of an earlier sweep are kept if it was the same. Raises OutputError where it was another one, unless
        `overwrite` is set, and where one of its files is somebody else's or has changed.
        """
        self.folder = folder
        self.content: dict[str, Any] = {"kind": KIND, "status": "running", "sweep": _as_json(sweep), "trials": []}
        earlier = self._earlier()
        if is_taken(folder / PAGE):
            check_own(folder / PAGE, FIND_LR, MOVE_IT)
        if earlier is None or overwrite:
            return
        differing = [
            name for name in self.content["sweep"] if earlier["sweep"].get(name) != self.content["sweep"][name]
        ]
        if differing:
            what = f"has a sweep with another {' and another '.join(differing)}"
            raise OutputError(str(folder), what, "choose another --out, or set overwrite=true")
        self.content["trials"] = earlier["trials"]
        if "start_loss" in earlier:
            self.content["start_loss"] = earlier["start_loss"]

    @property
    def start_loss(self) -> float | None:
        """The validation loss of the start weights, if a sweep has measured it."""
        found = self.content.get("start_loss")
        return None if found is None else float(found)

    def trial(self, rate: float, steps: int) -> Trial | None:
        """The trial of a rate over this number of steps, if it is done."""
        return next((one for one in self.trials() if one.rate == rate and one.steps == steps), None)

    def trials(self) -> list[Trial]:
        """All trials that are done, in their order."""
        return [Trial(**{**one, "curve": tuple(one["curve"])}) for one in self.content["trials"]]

    def add(self, trial: Trial) -> None:
        """Write down a trial. Raises OutputError."""
        self.content["trials"].append(_as_json(asdict(trial)))
        self.save()

    def update(self, **content: Any) -> None:
        """Write down something else. Raises OutputError."""
        self.content.update(_as_json(content))
        self.save()

    def save(self) -> None:
        """Write the file."""
        write_bytes(self.folder / RECORD, (json.dumps(self.content, indent=1, ensure_ascii=False) + "\n").encode())

    def save_page(self, page: bytes) -> Path:
        """Write the page. Raises OutputError."""
        write_bytes(self.folder / PAGE, page)
        return self.folder / PAGE

    def _earlier(self) -> dict[str, Any] | None:
        path = self.folder / RECORD
        if not is_taken(path):
            return None
        is_ours = path.is_file() and not path.is_symlink()
        try:
            content = json.loads(path.read_bytes()) if is_ours else {}
            is_ours = content["kind"] == KIND and isinstance(content["sweep"], dict)
            for one in content["trials"]:
                Trial(**one)
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            is_ours = False
        if not is_ours:
            raise OutputError(str(path), "was not written by `sfttrain find-lr`", MOVE_IT)
        return dict(content)


def _as_json(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content as it is read again."""
    return dict(json.loads(json.dumps(content)))
