"""Rows of the input by their names, as people write them: `chats.jsonl:17`, a record id, the beginning of one."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sftdata.errors import DatasetError
from sftdata.files.regular import shorten

_IS_ID = re.compile(r"[0-9a-f]{4,32}")
MIN_ID_CHARS = 4  # of the beginning of an id


def may_be_id(text: str) -> bool:
    """Whether a text can be a record id or the beginning of one."""
    return _IS_ID.fullmatch(text) is not None


def name_matches(names: Any, where: str) -> tuple[Any, ...]:
    """Three masks: names equal to `where`, names that end in it, names that it ends in."""
    parts = where.split("/")
    shorter = ["/".join(parts[at:]) for at in range(1, len(parts))]
    return (
        pc.equal(names, where),
        pc.ends_with(names, f"/{where}"),
        pc.is_in(names, value_set=pa.array(shorter, pa.string())),
    )


def chosen_by_name(names: pa.Array, where: str) -> pa.Array:
    """The rows with this name; else those whose name ends in it; else those whose name it ends in."""
    masks = name_matches(names, where)
    return next((mask for mask in masks if pc.any(mask).as_py()), masks[0])


def chosen_by_id(ids: pa.Array, record_id: str) -> pa.Array:
    """The rows with this record id, or whose id begins with it. Raises DatasetError if several ids begin with it."""
    exact = pc.fill_null(pc.equal(ids, record_id), False)
    if pc.any(exact).as_py():
        return exact
    begins = pc.fill_null(pc.starts_with(ids, record_id), False)
    refuse_ambiguous(record_id, pc.unique(ids.filter(begins)).to_pylist())
    return begins


def refuse_ambiguous(beginning: str, ids: list[str]) -> None:
    """Raise DatasetError if there is more than one id."""
    if len(ids) > 1:
        shown = ", ".join(map(shorten, ids[:3])) + (", ..." if len(ids) > 3 else "")
        what = f"is the beginning of {len(ids):,} record ids ({shown})"
        raise DatasetError(shorten(beginning), what, "give more of the one that is meant")
