"""What happened to an input row and why, from the ledger; and what would train it, from the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sftdata.errors import DatasetError, pluralize
from sftdata.files.regular import shorten
from sftdata.reasons import REASONS
from sftdata.safe.control_chars import terminal_safe
from sftdata.store.ledger import PACKED, checked_ledger, ledger_names
from sftdata.store.manifest import LedgerEntry, Manifest
from sftdata.view.summary import token_counts


def explain(folder: str | Path, where: str) -> str:
    """What happened to the row `where` ("chats.jsonl:17"), and why, as text.

    The file may be given with more or fewer parent folders than in the ledger. If several rows match, all are
    explained. Raises DatasetError if there is no such row, or no ledger, or the ledger is damaged.
    """
    manifest = Manifest.load(folder)
    found = find_rows(folder, manifest, where)
    if not found:
        raise DatasetError(where, f"is not an input row of {folder}", _hint(folder, manifest, where))
    ways_out = manifest.encoding.ways_out if manifest.encoding is not None else {}
    return "\n\n".join("\n".join(_describe(row, ways_out)) for row in found)


def find_rows(folder: str | Path, manifest: Manifest, where: str) -> list[dict[str, Any]]:
    """The ledger rows with this name; else those whose name ends in it; else those whose name it ends in."""
    if not manifest.ledger:
        raise DatasetError(str(folder), "contains no ledger", "give a folder written by `sftdata prepare`")
    by_match: tuple[list[dict[str, Any]], ...] = ([], [], [])
    for entry in manifest.ledger:
        named = _groups_with(folder, entry, where)
        for table in checked_ledger(folder, entry, named) if named else ():
            for found, is_match in zip(by_match, _matches(table["where"], where)):
                found += table.filter(is_match).to_pylist()
    return next(filter(None, by_match), [])


def _groups_with(folder: str | Path, entry: LedgerEntry, where: str) -> list[int]:
    """The row groups of a file that have a row with this name. All others are read no further."""
    return [
        number
        for number, names in enumerate(ledger_names(folder, entry))
        if any(pc.any(is_match).as_py() for is_match in _matches(names, where))
    ]


def _matches(names: pa.ChunkedArray, where: str) -> tuple[Any, ...]:
    """Three masks: names equal to `where`, names that end in it, names that it ends in."""
    parts = where.split("/")
    shorter = ["/".join(parts[at:]) for at in range(1, len(parts))]
    return (
        pc.equal(names, where),
        pc.ends_with(names, f"/{where}"),
        pc.is_in(names, value_set=pa.array(shorter, pa.string())),
    )


def _describe(row: Mapping[str, Any], ways_out: Mapping[str, str]) -> list[str]:
    """What happened to a row, as lines."""
    head = f"{row['where']} of {row['source']}: {row['fate']}"
    if row["fate"] == PACKED:
        tokens = token_counts(row["num_tokens"], row["num_trained_tokens"])
        lines = [head, f"  {tokens}, in {pluralize(len(row['places']), 'sample')}; split {row['split']}"]
        for place, turns in zip(row["places"], row["turns"], strict=True):
            numbers = ", ".join(map(str, turns or ["unknown"]))
            position = f"{place['shard']}, row {place['row']}, sample {place['index']}"
            lines.append(f"  {position}: trained turn{'' if turns and len(turns) == 1 else 's'} {numbers}")
        if row["detail"] is not None:
            lines.append(f"  {row['detail']}")
    else:
        meaning = REASONS.get(row["reason"], ("", "unknown reason"))[1]
        lines = [f"{head} by {row['stage']} as {row['reason']}: {meaning}"]
        if row["detail"] is not None:
            lines.append(f"  {row['detail']}")
        if row["reason"] in ways_out:
            lines.append(f"  of the rows dropped as {row['reason']}, {ways_out[row['reason']]}")
        if row["duplicate_of"] is not None:
            similar = "" if row["similarity"] is None else f", with a similarity of {row['similarity']:.3f}"
            lines.append(f"  duplicate of {row['duplicate_of']}{similar}")
        if row["num_tokens"] is not None and row["num_trained_tokens"] is not None:
            lines.append(f"  {token_counts(row['num_tokens'], row['num_trained_tokens'])}")
    if row["record_id"] is not None:
        lines.append(f"  record {row['record_id']}")
    return [terminal_safe(line) for line in lines]


def _hint(folder: str | Path, manifest: Manifest, where: str) -> str:
    """A hint for a row that does not exist."""
    file, _, line = where.rpartition(":")
    if not file or not line.isdigit():
        return "write it as FILE:LINE, such as chats.jsonl:17"
    names: set[str] = set()
    last = 0
    for column in (column for entry in manifest.ledger for column in ledger_names(folder, entry)):
        for name in column.drop_null().to_pylist():
            known, _, number = name.rpartition(":")
            names.add(known)
            if known == file and number.isdecimal() and len(number) < 20:
                last = int(number)
    if file in names:
        return f"the last row of {file} is in line {last}; empty lines are not rows"
    shown = [shorten(name) for name in sorted(names)]
    return f"its files are {', '.join(shown[:5])}" + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")
