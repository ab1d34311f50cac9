"""The lines of metrics.jsonl as curves. A file that is damaged, or still being written, gives what can be read."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sftdata.errors import pluralize
from sftdata.files.inside import is_file

LARGEST, SMALLEST = 1e30, 1e-30  # numbers beyond these are no figures of a run, and no chart has room for them

Curve = list[tuple[float, float]]  # (step, value)


@dataclass(frozen=True, slots=True)
class Log:
    """What metrics.jsonl holds, and what of it could not be read, in words."""

    steps: Sequence[dict[str, Any]] = ()
    validations: Sequence[dict[str, Any]] = ()
    problem: str = ""

    def curve(self, name: str) -> Curve:
        """The values of a figure by step; not a number where a line has something else there."""
        lines = self.validations if name == "validation_loss" else self.steps
        return [(float(line["step"]), number_in(line, name)) for line in lines if name in line]

    def validation_curve(self, name: str) -> Curve:
        """The values of one of the figures that each validation has: accuracy, perplexity, bits_per_byte."""
        found = [(line["step"], line.get("validation")) for line in self.validations]
        return [(float(step), number_in(one, name)) for step, one in found if isinstance(one, dict) and name in one]

    def last(self, name: str) -> float | None:
        """The last value of a figure, if it is a finite number."""
        values = self.curve(name)
        return values[-1][1] if values and math.isfinite(values[-1][1]) else None


@dataclass(slots=True)
class _Found:
    """The lines of a file while it is read."""

    steps: list[dict[str, Any]] = field(default_factory=list)
    validations: list[dict[str, Any]] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)  # numbers of lines, from 1


def read_log(path: Path) -> Log:
    """The log at a path; empty, with the reason, where there is none. Raises nothing."""
    try:
        data = path.read_bytes() if is_file(path) else None
    except OSError as error:
        return Log(problem=f"{path.name} cannot be read: {error.strerror or type(error).__name__}")
    if data is None:
        return Log(problem=f"there is no {path.name}, so no step is known")
    found = _read_lines(data)
    problem = ""
    if found.bad:
        first = f"the first is line {found.bad[0]:,}"
        problem = f"{pluralize(len(found.bad), 'line')} of {path.name} cannot be read and left out; {first}"
    elif not found.steps and not found.validations:
        problem = f"{path.name} is empty: no step was logged yet"
    return Log(found.steps, found.validations, problem)


def _read_lines(data: bytes) -> _Found:
    found = _Found()
    lines = data.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        one = _parsed(line)
        if one is not None:
            (found.validations if "validation_loss" in one else found.steps).append(one)
        elif number < len(lines):  # a last line without its end is still being written
            found.bad.append(number)
    return found


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A line of a log: an object with a step; None for anything else."""
    try:
        one = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(one, dict):
        return None
    step = one.get("step")
    return one if isinstance(step, int) and not isinstance(step, bool) and 0 <= step < LARGEST else None


def number_in(line: dict[str, Any], name: str) -> float:
    """The number under a name; not a number for what is none, or is no figure of a run."""
    value = line.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    if not abs(value) < LARGEST:  # infinite, not a number, or an integer of any length
        return math.nan
    return float(value) if abs(value) > SMALLEST else 0.0
