"""What happened to an input row and why, from the ledger; its text, beside that of the row it repeats; and what would
train it, from the manifest.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, SupportsIndex, overload

import pyarrow.compute as pc

from sftdata.errors import DatasetError, plural, pluralize, with_known_names
from sftdata.files.regular import shorten
from sftdata.reasons import REASONS
from sftdata.safe.control_chars import terminal_safe
from sftdata.store.ledger import PACKED, checked_ledger, ledger_names
from sftdata.store.manifest import LedgerEntry, Manifest
from sftdata.view.find.beside import alone, beside
from sftdata.view.find.names import may_be_id, name_matches, refuse_ambiguous
from sftdata.view.find.texts import InputTexts, RowText
from sftdata.view.find.turns import SampleMessage
from sftdata.view.layout import Line, paragraph, plain
from sftdata.view.summary import token_counts

_OF_ITEM = re.compile(r"(?:is|contains|holds \d+% of the word n-grams of) (.+?:\d+): ")  # the detail of contaminated
_MAX_SHOWN = 20  # rows of one name whose texts are read


@dataclass(frozen=True, eq=False)
class Explanation:
    """What happened to one row: its entry in the ledger, its text, and what it repeats."""

    row: Mapping[str, Any]  # the columns of the ledger
    about: tuple[str, ...]  # what happened, in lines
    text: RowText
    other: str | None  # the row or evaluation item that it repeats
    other_text: RowText | None
    commands: tuple[str, ...]  # that show more

    def lines(self, width: int | None = None) -> list[Line]:
        """All of it as lines of pieces, of at most this width wherever the words allow that; None: as they are."""
        lines: list[Line] = []
        for number, text in enumerate(self.about):
            indent = text[: len(text) - len(text.lstrip())]
            wide = len(text) if width is None else width
            lines += paragraph(indent, text, wide, "" if number else "bold")
        name = terminal_safe(f"{self.row['where']} ({self.row['fate']})")
        if self.text.missing is not None:
            lines += [[(terminal_safe(f"  its text is not shown: {self.text.missing}"), "dim")]]
        if self.other_text is not None and self.other_text.missing is not None:
            lines += [[(terminal_safe(f"  the text of {self.other} is not shown: {self.other_text.missing}"), "dim")]]
        ours = self.text.messages
        theirs = () if self.other_text is None else self.other_text.messages
        other = terminal_safe(str(self.other) if self.is_of_ledger else f"evaluation item {self.other}")
        if ours and ours == theirs:
            lines += [[], *alone(f"{terminal_safe(self.row['where'])} and {other} (equal)", ours, width)]
        elif ours and theirs:
            lines += [[], *beside((name, terminal_safe(self.other_name)), (ours, theirs), width)]
        elif ours or theirs:
            lines += [[], *alone(name if ours else other, ours or theirs, width)]
        labels = ["next:  ", *["       "] * len(self.commands)]
        lines += [[]] if self.commands else []
        return [*lines, *([(label, "dim"), (text, "")] for label, text in zip(labels, self.commands))]

    @property
    def is_of_ledger(self) -> bool:
        """Whether it repeats another row, and not an evaluation item."""
        return self.row["duplicate_of"] is not None

    @property
    def other_name(self) -> str:
        """What it repeats, as it is shown beside its text."""
        return f"{self.other} (kept)" if self.is_of_ledger else f"evaluation item {self.other}"

    def __str__(self) -> str:
        return "\n".join(plain(self.lines()))

    __repr__ = __str__


class Explanations(Sequence[Explanation]):
    """What happened to a row, or of several that have the same name in different folders."""

    def __init__(self, rows: Sequence[Explanation]) -> None:
        self._rows = tuple(rows)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: SupportsIndex) -> Explanation: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Explanation, ...]: ...
    def __getitem__(self, at: SupportsIndex | slice) -> Explanation | tuple[Explanation, ...]:
        return self._rows[at]

    def __str__(self) -> str:
        return "\n\n".join(map(str, self._rows))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from sftdata.view.html.messages import explanations_html

        return explanations_html(self)


def explain(folder: str | Path, where: str) -> str:
    """What happened to the row `where` ("chats.jsonl:17", or its record id), and why, without its text.

    The file may be given with more or fewer parent folders than in the ledger. If several rows match, all are
    explained. Raises DatasetError if there is no such row, or no ledger, or the ledger is damaged.
    """
    manifest = Manifest.load(folder)
    return "\n\n".join("\n".join(_describe(row, manifest)) for row in _known_rows(folder, manifest, where))


def explain_rows(folder: Path, manifest: Manifest, where: str, data: str | Path | None = None) -> Explanations:
    """What happened to the rows `where`, as `explain`, with their texts and those that they repeat, if the files
    are there, below `data` or near the dataset, and have not changed.
    """
    rows = _known_rows(folder, manifest, where)
    texts = InputTexts(folder, manifest, data)
    kept = [_kept_row(folder, manifest, row) for row in rows[:_MAX_SHOWN]]
    read = texts.texts([*rows[:_MAX_SHOWN], *(row for row in kept if row is not None)])
    of_rows, of_kept = read[: len(rows[:_MAX_SHOWN])], iter(read[len(rows[:_MAX_SHOWN]) :])
    found = []
    for number, row in enumerate(rows):
        text = of_rows[number] if number < _MAX_SHOWN else RowText(missing=f"only {_MAX_SHOWN} rows of a name are read")
        other, other_text = row["duplicate_of"], None
        text = _or_packed(text, folder, manifest, row)
        if (other_row := kept[number] if number < _MAX_SHOWN else None) is not None:
            other_text = _or_packed(next(of_kept), folder, manifest, other_row)
        elif row["reason"] == "contaminated" and (match := _OF_ITEM.match(row["detail"] or "")):
            other, other_text = match[1], texts.evaluation_item(match[1])
        commands = tuple(_commands(folder, manifest, row, other_row))
        found.append(Explanation(row, tuple(_describe(row, manifest)), text, other, other_text, commands))
    return Explanations(found)


def find_rows(folder: str | Path, manifest: Manifest, where: str) -> list[dict[str, Any]]:
    """The ledger rows with this name; else those whose name ends in it; else those whose name it ends in; else those
    with this record id, or the one whose id begins with it.

    Raises DatasetError if several ids begin with it, if there is no ledger, or if it is damaged.
    """
    if not manifest.ledger:
        raise DatasetError(str(folder), "contains no ledger", "give a folder written by `sftdata prepare`")
    by_match: tuple[list[dict[str, Any]], ...] = ([], [], [])
    for entry in manifest.ledger:
        named = _groups_with(folder, entry, where)
        for table in checked_ledger(folder, entry, named) if named else ():
            for found, is_match in zip(by_match, name_matches(table["where"], where)):
                found += table.filter(is_match).to_pylist()
    return next(filter(None, by_match), []) or (_rows_with_id(folder, manifest, where) if may_be_id(where) else [])


def _rows_with_id(folder: str | Path, manifest: Manifest, record_id: str) -> list[dict[str, Any]]:
    """The ledger rows whose record id is this, or begins with it. Raises DatasetError if those are several ids."""
    found: list[dict[str, Any]] = []
    for entry in manifest.ledger:
        for table in checked_ledger(folder, entry):
            begins = pc.fill_null(pc.starts_with(table["record_id"], record_id), False)
            found += table.filter(begins).to_pylist()
    exact = [row for row in found if row["record_id"] == record_id]
    refuse_ambiguous(record_id, list(dict.fromkeys(row["record_id"] for row in exact or found)))
    return exact or found


def _known_rows(folder: str | Path, manifest: Manifest, where: str) -> list[dict[str, Any]]:
    """The ledger rows that are meant. Raises DatasetError if there are none."""
    found = find_rows(folder, manifest, where)
    if not found:
        raise DatasetError(where, f"is not an input row of {folder}", _hint(folder, manifest, where))
    return found


def _kept_row(folder: Path, manifest: Manifest, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The row that this one repeats, if the ledger has it."""
    if row["duplicate_of"] is None:
        return None
    return next((one for one in find_rows(folder, manifest, row["duplicate_of"])), None)


def _or_packed(text: RowText, folder: Path, manifest: Manifest, row: Mapping[str, Any]) -> RowText:
    """A text; or where its file is not there, what its samples have, if it is packed."""
    from sftdata.view.dataset import Dataset

    if text.missing is None or row["fate"] != PACKED:
        return text
    dataset = Dataset(folder, manifest)
    messages: list[SampleMessage] = []
    for place in row["places"]:
        number = sequence_number(manifest, place)
        samples = () if number is None else dataset[number].samples
        messages += samples[place["index"]].messages if 0 <= place["index"] < len(samples) else ()
    return RowText(tuple(messages)) if messages else text


def _groups_with(folder: str | Path, entry: LedgerEntry, where: str) -> list[int]:
    """The row groups of a file that have a row with this name. All others are read no further."""
    return [
        number
        for number, names in enumerate(ledger_names(folder, entry))
        if any(pc.any(is_match).as_py() for is_match in name_matches(names, where))
    ]


def _describe(row: Mapping[str, Any], manifest: Manifest) -> list[str]:
    """What happened to a row, as lines."""
    ways_out = manifest.encoding.ways_out if manifest.encoding is not None else {}
    head = f"{row['where']} of {row['source']}: {row['fate']}"
    if row["fate"] == PACKED:
        tokens = token_counts(row["num_tokens"], row["num_trained_tokens"])
        lines = [head, f"  {tokens}, in {pluralize(len(row['places']), 'sample')}; split {row['split']}"]
        for place, turns in zip(row["places"], row["turns"], strict=True):
            numbers = ", ".join(map(str, turns or ["unknown"]))
            number = sequence_number(manifest, place)
            position = f"sequence {number:,} of the dataset" if number is not None else "sequence unknown"
            position += f" ({place['shard']}, {place['row']}), sample {place['index']}"
            lines.append(f"  {position}: trained {plural('message', len(turns or [0]))} {numbers}")
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


def sequence_number(manifest: Manifest, place: Mapping[str, Any]) -> int | None:
    """The number in the dataset of the sequence that a place names: what `sftdata inspect --row` takes."""
    before = 0
    for shard in manifest.shards:
        if shard.path == place["shard"]:
            return before + int(place["row"]) if 0 <= place["row"] < shard.rows else None
        before += shard.rows
    return None


def _commands(
    folder: Path, manifest: Manifest, row: Mapping[str, Any], kept: Mapping[str, Any] | None
) -> Iterator[str]:
    """The commands that show more of a row, and of the row that it repeats."""
    inspect = f"sftdata inspect {shlex.quote(with_known_names(str(folder)))}"
    shown = row if row["fate"] == PACKED else kept
    if shown is not None and shown["fate"] == PACKED:
        yield terminal_safe(f"{inspect} --where {shlex.quote(shown['where'])}")
        if shown is row and (number := sequence_number(manifest, row["places"][0])) is not None:
            yield f"{inspect} --row {number}"
    if row["fate"] != PACKED:
        yield terminal_safe(f"{inspect} --dropped {shlex.quote(row['reason'])}")


def _hint(folder: str | Path, manifest: Manifest, where: str) -> str:
    """A hint for a row that does not exist."""
    file, _, line = where.rpartition(":")
    if not file and may_be_id(where):
        return "no record id begins with it; or write FILE:LINE, such as chats.jsonl:17"
    if not file or not line.isdigit():
        return "write it as FILE:LINE, such as chats.jsonl:17, or as its record id"
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
