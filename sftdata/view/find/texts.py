"""Texts of rows of the input, read again from the files that they were read from.

A dataset has the tokens of packed rows, and of dropped ones only what the ledger says. So a dropped row is read again,
if its file is on this machine, in the way in which it was read: with the settings in the manifest. It is shown only if
it is still the row of the ledger, whose record id is a hash of its content; a row that could not be read has none, and
must be dropped for the same reason with the same detail. Secrets, and personal data unless `privacy` is off, are
masked as in details.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sftdata.errors import SftDataError
from sftdata.files.regular import shorten
from sftdata.records.faults import INTERNAL_ERROR
from sftdata.store.checked import check_tokenizer
from sftdata.store.manifest import Manifest
from sftdata.view.decoder import Decoder
from sftdata.view.find.turns import SampleMessage

if TYPE_CHECKING:
    from sftdata.config import Config, SourceConfig
    from sftdata.curate.privacy.details import Details
    from sftdata.read.units import RawRow, Unit
    from sftdata.records.end_tokens import EndTokens
    from sftdata.records.record import Drop, Message, Record

_UNIT_BYTES = 8 << 20  # of a Parquet file, so that few row groups are read for a row
_MAX_RAW_CHARS = 4000  # of a row that is no conversation
_MAX_OCCURRENCES = 10_000  # of one content, among which a record id is looked for
_PARENTS = 3  # folders above the dataset in which sources are looked for
_CALLS = ("always", "with_tools", "never")  # when templates write calls, which decides how those in texts are read


class RowText(NamedTuple):
    """What a row says, or why that is not known: one of the two is there."""

    messages: tuple[SampleMessage, ...] = ()  # one without a role is the row as it is in its file
    missing: str | None = None


class InputTexts:
    """Reads rows of the input again. `data` is the folder that relative paths of sources start from; without it, the
    current folder and those above the dataset are tried.
    """

    def __init__(self, folder: Path, manifest: Manifest, data: str | Path | None = None) -> None:
        self._folder, self._manifest = folder, manifest
        above = [*folder.resolve().parents][:_PARENTS]
        self._bases = [Path(data)] if data is not None else [Path(), *above]

    def texts(self, rows: Sequence[Mapping[str, Any]]) -> list[RowText]:
        """The text of each of these rows of the ledger."""
        found: dict[int, RowText] = {}
        by_source: dict[str, list[int]] = {}
        for number, row in enumerate(rows):
            by_source.setdefault(row["source"], []).append(number)
        for source, numbers in by_source.items():
            found |= dict(self._of_source(source, {number: rows[number] for number in numbers}))
        return [found[number] for number in range(len(rows))]

    def evaluation_item(self, where: str) -> RowText:
        """An item of the evaluation files, as its file is now."""
        config = self._config
        if isinstance(config, str):
            return RowText(missing=config)
        problem = "its evaluation file is not found on this machine"
        for base in self._bases:
            config._base = base
            for unit, source, name in _units(config, config.resolved_evaluations(), "test"):
                line = _line_of(where, name)
                if line is None:
                    continue
                for raw in _rows_at(unit, [line]).values():
                    from sftdata.read.stage import row_of

                    record = row_of(raw, source).record
                    if record is not None:
                        return self._shown(record, raw)
                problem = f"{name} has no such conversation any more"
        return RowText(missing=problem)

    @cached_property
    def _config(self) -> Config | str:
        """The settings of the manifest, or why they cannot be used."""
        from sftdata.config import parse_config

        try:
            return parse_config({**self._manifest.config, "out": "out"}, "manifest")
        except SftDataError as error:
            return f"the settings in its manifest cannot be used ({shorten(error.what)})"

    def _of_source(self, path: str, rows: Mapping[int, Mapping[str, Any]]) -> Iterator[tuple[int, RowText]]:
        config = self._config
        problem = config if isinstance(config, str) else _why_not_local(config, path, self._bases)
        left = dict(rows)
        problems = dict.fromkeys(left, problem or f"{path} is not found on this machine; give its folder with --data")
        for base in self._bases if not isinstance(config, str) and problem is None else ():
            assert not isinstance(config, str)
            config._base = base
            resolved = _resolved(config, path)
            named = [source for source in config.resolved_sources() if source.path == resolved]
            for unit, source, name in _units(config, named, "train") if left else ():
                lines = {number: _line_of(row["where"], name) for number, row in left.items()}
                wanted = {number: line for number, line in lines.items() if line is not None}
                at = _rows_at(unit, sorted(set(wanted.values()))) if wanted else {}
                for number, line in wanted.items():
                    text = self._proven(at[line], source, left[number]) if line in at else None
                    if text is not None:
                        del left[number]
                        yield number, text
                    elif left[number]["reason"] == INTERNAL_ERROR:
                        problems[number] = "a row that met a fault of sftdata cannot be compared with its file"
                    else:
                        problems[number] = (
                            f"{name} has changed since: the row that is there now is not the one that was read"
                        )
        yield from ((number, RowText(missing=problems[number])) for number in left)

    def _proven(self, raw: RawRow, source: SourceConfig, row: Mapping[str, Any]) -> RowText | None:
        """The text of a raw row that is proven to be this row of the ledger, or None."""
        from sftdata.curate.duplicates.exact import content_key
        from sftdata.read.stage import row_format, row_of

        for calls in _CALLS:
            read = row_of(raw, source, row_format(source, calls))
            if row["record_id"] is None:
                if read.drop is not None and self._drop(read.drop, raw) == (row["reason"], row["detail"]):
                    return self._shown(read.record, raw)
                continue
            for record in self._cleaned(read.record) if read.record is not None else ():
                if _has_id(content_key(record), row["record_id"], self._manifest.counts.rows_read):
                    return self._shown(record, raw)
        return None

    def _drop(self, drop: Drop, raw: RawRow) -> tuple[str, str | None]:
        """Why a row is dropped, as the ledger says it."""
        quoted = None if raw.drop is not None else raw.value
        return drop.reason, None if drop.detail is None else self._details(drop.detail, quoted)

    def _cleaned(self, record: Record) -> Iterator[Record]:
        """A record as the settings may have changed it before its content was hashed."""
        from sftdata.curate.stage import FilterAndRedact

        config = self._config
        assert not isinstance(config, str)
        yield record
        if config.clean.strip_trailing_control:
            record = self._end_tokens.strip(record)[0]
            yield record
        if not config.filters.is_off or config.privacy.mode != "off":
            yield FilterAndRedact(config.filters, config.privacy)(record)[0]

    @cached_property
    def _end_tokens(self) -> EndTokens:
        from sftdata.records.end_tokens import EndTokens

        tokenizer = self._manifest.tokenizer
        decoder = Decoder.from_file(check_tokenizer(self._folder, self._manifest))
        own = {tokenizer.eos_id, tokenizer.pad_id, *tokenizer.end_of_turn_ids} - {None}
        return EndTokens(tuple(sorted({decoder.decode([id_]) for id_ in own if id_ is not None})))

    def _shown(self, record: Record | None, raw: RawRow) -> RowText:
        if record is not None and record.text is None:
            return RowText(tuple(self._message(message) for message in record.messages))
        value = raw.value if record is None else record.text
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        masked = self._mask(text)
        return RowText((SampleMessage(None, shorten_text(masked), False),))

    def _message(self, message: Message) -> SampleMessage:
        from sftdata.records.record import message_to_dict

        parts = [f"<think>\n{message.reasoning}\n</think>\n\n"] if message.reasoning is not None else []
        parts.append(message.content or "")
        calls = message_to_dict(message).get("tool_calls", ())
        parts += [f"\n{json.dumps(call['function'], ensure_ascii=False, default=str)}" for call in calls]
        return SampleMessage(message.role, self._mask("".join(parts)), False)

    def _mask(self, text: str) -> str:
        """A text without secrets and, unless privacy is off, personal data."""
        return str(self._details.mask(text))

    @cached_property
    def _details(self) -> Details:
        from sftdata.curate.privacy.details import Details

        config = self._config
        assert not isinstance(config, str)
        return Details(config.privacy)


def shorten_text(text: str) -> str:
    """A long text cut off, with the number of characters that are left out."""
    more = len(text) - _MAX_RAW_CHARS
    return text if more <= 0 else f"{text[:_MAX_RAW_CHARS]}... ({more:,} more characters)"


def _why_not_local(config: Config, path: str, bases: Sequence[Path]) -> str | None:
    """Why a source is not read again; None if it is on this machine, if anywhere."""
    from sftdata.config import is_hub_id

    if any(source.path == path and source.rows is not None for source in config.sources):
        return "it was given as a Python object, which is in no file"
    if "://" in path:
        return f"{path} is on another machine, where only prepare reads"
    if is_hub_id(path) and not any((base / path).exists() for base in bases):
        return f"{path} is a dataset on the hub, which only prepare reads"
    return None


def _resolved(config: Config, path: str) -> str:
    return next((one.path for own, one in zip(config.sources, config.resolved_sources()) if own.path == path), path)


def _units(config: Config, sources: Sequence[SourceConfig], split: str) -> Iterator[tuple[Unit, SourceConfig, str]]:
    """The files of those of these sources that are here: each with its source, and what the ledger may call it."""
    from sftdata.read.file_names import before_wildcard
    from sftdata.read.sources import plan_units

    for source in sources:
        if "://" in source.path or not Path(before_wildcard(source.path) or ".").exists():
            continue
        try:
            units = plan_units([source], _UNIT_BYTES, split)
        except SftDataError:
            continue
        for unit in units:
            if unit.kind == "jsonl" and unit.start == 0:
                unit = unit._replace(end=None)  # whole: lines count from its start
            if unit.kind != "jsonl" or unit.start == 0:
                yield unit, source, unit.name


def _line_of(where: str, name: str) -> int | None:
    """The number of a row in this file; None if it is in another."""
    file, _, line = where.rpartition(":")
    is_same = file == name or file.endswith(f"/{name}")
    return int(line) if is_same and line.isdecimal() and len(line) < 16 else None


def _rows_at(unit: Unit, lines: Sequence[int]) -> dict[int, RawRow]:
    """Those rows of a file that have these numbers."""
    from sftdata.read.sources import read_raw

    found: dict[int, RawRow] = {}
    try:
        if unit.kind == "jsonl" and unit.compression is None:
            for line, start in _line_starts(unit.path, lines):
                for raw in read_raw(unit._replace(start=start, end=start + 1)):
                    found[line] = raw if raw.drop is None else raw._replace(value=_line_at(unit.path, start))
            return found
        wanted = {line - unit.start for line in lines}
        if not any(0 < line <= (unit.end or line) - unit.start for line in wanted):
            return found
        for raw in read_raw(unit):
            if raw.line in wanted:
                found[raw.line + unit.start] = raw
            if raw.line >= max(wanted):
                break
    except (SftDataError, OSError):
        return found
    return found


def _line_starts(path: str, lines: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where lines of a file begin, counted from 1; those behind its end are left out. `lines` are in order."""
    left = list(lines)
    if left and left[0] == 1:
        yield left.pop(0), 0
    number, base = 1, 0  # of the line that the chunk begins in, and of bytes before the chunk
    with open(path, "rb") as file:
        while left and (chunk := file.read(1 << 20)):
            last = number + chunk.count(b"\n")
            ends = np.flatnonzero(np.frombuffer(chunk, np.uint8) == ord("\n")) if left[0] <= last else ()
            while left and left[0] <= last:
                line = left.pop(0)
                yield line, base + int(ends[line - number - 1]) + 1
            number = last
            base += len(chunk)


def _line_at(path: str, start: int) -> str:
    """The line that begins at a place in a file, or its beginning if it is long."""
    with open(path, "rb") as file:
        file.seek(start)
        return file.readline(4 * _MAX_RAW_CHARS).rstrip(b"\r\n").decode("utf-8", "backslashreplace")


def _has_id(key: bytes, record_id: str, num_rows: int) -> bool:
    """Whether a record id is that of a content: of its first occurrence, or of a later one."""
    if key.hex() == record_id:
        return True
    later = range(1, min(num_rows, _MAX_OCCURRENCES))
    size = len(key)
    return any(hashlib.blake2b(key + n.to_bytes(8, "little"), digest_size=size).hexdigest() == record_id for n in later)
