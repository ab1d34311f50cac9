"""The fate of one row of the input, with its evidence, from the ledger alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sftdata.errors import DatasetError
from sftdata.reasons import REASONS
from sftdata.store.ledger import LEDGER_SCHEMA, PACKED, ledger_files, read_ledger_file
from sftdata.view import control_chars
from sftdata.view.summary import pluralize, token_counts


def explain(folder: str | Path, where: str) -> str:
    """What became of the row `where` ("chats.jsonl:17"), and why, in lines for people.

    The file may be named with more or fewer of the folders before it than in the ledger; where several rows are meant
    so, all are told. Raises DatasetError where there is no such row, or no ledger.
    """
    found = find_rows(folder, where)
    if not found:
        raise DatasetError(where, f"is no row of {folder}", _known_files(folder, where))
    return "\n\n".join("\n".join(_told(row)) for row in found)


def find_rows(folder: str | Path, where: str) -> list[dict[str, Any]]:
    """The ledger's rows that are called so: by their full name, else by the end of it, else by more than it."""
    by_match: tuple[list[dict[str, Any]], ...] = ([], [], [])
    for path in ledger_files(folder):
        table = read_ledger_file(path, LEDGER_SCHEMA.names)
        for found, is_meant in zip(by_match, _matches(table["where"], where)):
            found += table.filter(is_meant).to_pylist()
    return next(filter(None, by_match), [])


def _matches(names: pa.ChunkedArray, where: str) -> tuple[Any, ...]:
    """Which names are the one that is asked for, in each of the ways that it may be written."""
    parts = where.split("/")
    shorter = ["/".join(parts[at:]) for at in range(1, len(parts))]
    return (
        pc.equal(names, where),
        pc.ends_with(names, f"/{where}"),
        pc.is_in(names, value_set=pa.array(shorter, pa.string())),
    )


def _told(row: Mapping[str, Any]) -> list[str]:
    """One row's fate in lines."""
    head = f"{row['where']} of {row['source']}: {row['fate']}"
    if row["fate"] == PACKED:
        tokens = token_counts(row["num_tokens"], row["num_trained_tokens"])
        lines = [head, f"  {tokens}, in {pluralize(len(row['places']), 'sample')}; split {row['split']}"]
        for place, turns in zip(row["places"], row["turns"], strict=True):
            named = ", ".join(map(str, turns))
            spot = f"{place['shard']}, row {place['row']}, index {place['index']}"
            lines.append(f"  {spot}: trained turn{'' if len(turns) == 1 else 's'} {named}")
    else:
        meaning = REASONS.get(row["reason"], ("", "a reason that this program does not know"))[1]
        lines = [f"{head} by {row['stage']} as {row['reason']}: {meaning}"]
        if row["detail"] is not None:
            lines.append(f"  {row['detail']}")
        if row["duplicate_of"] is not None:
            similar = "" if row["similarity"] is None else f", with a similarity of {row['similarity']:.3f}"
            lines.append(f"  repeats {row['duplicate_of']}{similar}")
        if row["num_tokens"] is not None:
            lines.append(f"  {token_counts(row['num_tokens'], row['num_trained_tokens'])}")
    if row["record_id"] is not None:
        lines.append(f"  record {row['record_id']}")
    return [control_chars.terminal_safe(line) for line in lines]


def _known_files(folder: str | Path, where: str) -> str:
    """What to do about a row that is not there."""
    file, _, line = where.rpartition(":")
    if not file or not line.isdigit():
        return "write it as FILE:LINE, such as chats.jsonl:17"
    names: set[str] = set()
    last = 0
    for path in ledger_files(folder):
        for name in read_ledger_file(path, ["where"])["where"].to_pylist():
            known, _, number = name.rpartition(":")
            names.add(known)
            if known == file:
                last = int(number)
    if file in names:
        return f"the last line of {file} that holds a row is {last}; empty lines are no rows"
    shown = sorted(names)
    return f"its files are {', '.join(shown[:5])}" + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")
