"""The metrics that a training run wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def metrics(out: Path) -> list[dict[str, Any]]:
    """The complete lines of metrics.jsonl; none where there is no such file."""
    path = out / "metrics.jsonl"
    complete = path.read_text().rpartition("\n")[0] if path.exists() else ""
    return [json.loads(line) for line in complete.splitlines()]


def steps(out: Path) -> list[dict[str, Any]]:
    """The lines of steps, without those of validations."""
    return [line for line in metrics(out) if "loss" in line]


def losses(out: Path) -> list[tuple[int, float]]:
    """(step, loss) of every step."""
    return [(line["step"], line["loss"]) for line in steps(out)]
