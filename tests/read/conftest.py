"""Reads a source in one call, like the pipeline: all units in order, with line numbers within the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sftdata.config import SourceConfig
from sftdata.read import lines_in, plan_units, read_raw


@pytest.fixture(scope="session")
def raw_rows() -> Callable[..., list[tuple[str, int, object, str | None]]]:
    """A function: path, unit size -> (file name, line in the file, value, reason) of every raw row."""

    def read(path: str | Path, unit_bytes: int = 8 << 20, **settings: Any) -> list[tuple[str, int, object, str | None]]:
        rows: list[tuple[str, int, object, str | None]] = []
        before = 0
        for unit in plan_units([SourceConfig(path=str(path), **settings)], unit_bytes):
            rows += [
                (unit.name, before + line, value, drop.reason if drop else None) for line, value, drop in read_raw(unit)
            ]
            before = 0 if unit.end is None else before + lines_in(unit)
        return rows

    return read
