"""What `prepare` decides over all rows at once: near-duplicates, evaluation items in the data, and split groups."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from xxhash import xxh3_64_intdigest

from sftdata.config import CapConfig, Config, SourceConfig
from sftdata.curate.caps import cap_evidence, over_cap
from sftdata.curate.contamination import ContaminationSettings, Index, Item, item_text
from sftdata.curate.exact import key_bytes
from sftdata.curate.near import NUM_HASHES, NearSettings, find_near_duplicates, ranks
from sftdata.curate.prefix import drop_shared_prefixes
from sftdata.curate.stage import SIGNED_SCHEMA, Decontaminate, PrefixKeys, Sign, items_key
from sftdata.curate.words import text_of
from sftdata.engines.base import Engine, Piece
from sftdata.errors import ConfigError, SourceError
from sftdata.fates import Fates, Ints
from sftdata.read.names import distinct_names
from sftdata.read.sources import plan_units
from sftdata.read.stage import rows_of
from sftdata.records import Record
from sftdata.store.ledger import as_text

WHOLE_FILES = 1 << 62  # bytes that one unit of an evaluation file holds: lines then count from its start
KEPT_PIECES = 64  # of records, mapped into memory while near-duplicates are compared


def compare_rows(engine: Engine, rows: Sequence[Piece], fates: Fates, config: Config, scratch: Path) -> None:
    """Drop the live rows that repeat others, and those that hold evaluation items. `scratch` is a folder to work in.

    Raises SourceError as `evaluation_items`, and ConfigError where no row has the column of a cap.
    """
    if config.dedup.exact:
        fates.drop_duplicates()
    if config.dedup.near is not None:
        near = NearSettings(**config.dedup.near.model_dump())
        drop_near_duplicates(engine, rows, fates, near, scratch / "signatures")
    if config.dedup.prefix is not None:
        drop_shared_prefixes_of(engine, rows, fates, config.dedup.prefix.chars)
    if config.decontaminate.against:
        drop_contaminated(engine, rows, fates, config, scratch / "evaluation")
    for cap in config.dedup.caps:
        drop_over_cap(engine, rows, fates, cap)


def drop_near_duplicates(
    engine: Engine, rows: Sequence[Piece], fates: Fates, settings: NearSettings, scratch: Path
) -> None:
    """Drop the live rows that are near-duplicates of a kept one. `scratch` is a file for the signatures."""
    signed = engine.map(Sign(settings), rows, fates.beside())
    matrix = np.memmap(scratch, np.uint16, "w+", shape=(max(fates.size, 1), NUM_HASHES))
    scratch.unlink()  # it stays mapped as long as it is needed, and nothing is left of it after a crash
    has_one = np.zeros(fates.size, np.bool_)
    answer_chars = np.zeros(fates.size, np.int64)
    row = 0
    for piece in signed:
        table = engine.collect([piece], SIGNED_SCHEMA.names)
        here = slice(row, row + table.num_rows)
        row += table.num_rows
        column = table["signature"].combine_chunks()
        valid = column.is_valid().to_numpy(zero_copy_only=False)
        joined = b"".join(column.drop_null().to_pylist())
        matrix[here][valid] = np.frombuffer(joined, "<u2").reshape(-1, NUM_HASHES)
        has_one[here] = valid
        answer_chars[here] = table["answer_chars"].to_numpy()
    texts = _Texts(engine, rows, settings)
    verdict = find_near_duplicates(matrix[: fates.size], has_one, ranks(settings.keep, answer_chars), texts, settings)
    fates.drop_near(verdict)


class _Texts:
    """The compared texts of rows, fetched from the pieces that hold them."""

    def __init__(self, engine: Engine, rows: Sequence[Piece], settings: NearSettings) -> None:
        self._engine, self._rows, self._on = engine, rows, settings.on
        self._starts = np.cumsum([0, *(piece.num_rows for piece in rows)])
        self._open: OrderedDict[int, pa.ChunkedArray] = OrderedDict()

    def __call__(self, wanted: Ints) -> list[str]:
        owners = np.searchsorted(self._starts, wanted, side="right") - 1
        return [
            text_of(Record.from_json(self._records(owner)[row - int(self._starts[owner])].as_py()), self._on)
            for owner, row in zip(owners.tolist(), wanted.tolist())
        ]

    def _records(self, number: int) -> pa.ChunkedArray:
        """The records of a piece."""
        if number not in self._open:
            self._open[number] = self._engine.collect([self._rows[number]], ["record"])["record"]
            if len(self._open) > KEPT_PIECES:
                self._open.popitem(last=False)
        self._open.move_to_end(number)
        return self._open[number]


def drop_shared_prefixes_of(engine: Engine, rows: Sequence[Piece], fates: Fates, chars: int) -> None:
    """Drop the live rows whose prompt begins like that of a live row before them."""
    column = engine.collect(engine.map(PrefixKeys(chars), rows, fates.beside()), ["prefix"])["prefix"].combine_chunks()
    present = column.is_valid().to_numpy(zero_copy_only=False)
    keys = key_bytes(column).view(np.uint64)
    fates.drop_repeats(drop_shared_prefixes(keys, present, np.flatnonzero(fates.live)), "shared_prefix")


def drop_over_cap(engine: Engine, rows: Sequence[Piece], fates: Fates, cap: CapConfig) -> None:
    """Drop the live rows over a cap, counted in their order. Raises ConfigError where no row has the column."""
    values = pa.array(_values(engine, rows, cap.column), pa.string())
    if values.null_count == len(values):
        raise ConfigError("dedup.caps", f"no row has the column {cap.column}", "name a column of your data")
    numbers = over_cap(values, np.flatnonzero(fates.live), cap.max_records)
    over = np.flatnonzero(numbers)
    details = {row: cap_evidence(cap.column, int(numbers[row]), cap.max_records) for row in over.tolist()}
    fates.drop(over, "over_cap", details)


def drop_contaminated(engine: Engine, rows: Sequence[Piece], fates: Fates, config: Config, folder: Path) -> None:
    """Drop the live rows that hold an item of the evaluation files. `folder` is made, for the index of the items.

    Raises SourceError where an evaluation file cannot be read, or has a row that is no conversation.
    """
    settings = ContaminationSettings(config.decontaminate.ngram_words, config.decontaminate.overlap)
    items = list(evaluation_items(config))
    folder.mkdir(parents=True)
    Index.build(items, settings).write(folder)
    stage = Decontaminate(str(folder), settings, items_key((item.where, item.text) for item in items))
    hits = engine.collect(engine.map(stage, rows, fates.beside()), ["hit"])["hit"]
    found = np.flatnonzero(hits.is_valid().to_numpy())
    fates.drop(found, "contaminated", dict(zip(found.tolist(), hits.drop_null().to_pylist())))


def evaluation_items(config: Config) -> Iterator[Item]:
    """Every item of the evaluation files, with its file and line.

    A row of which no record can be made raises SourceError: what it asks would not be looked for.
    """
    sources = config.located_evaluations()
    units = plan_units(sources, WHOLE_FILES)
    names = distinct_names(units, [source.path for source in config.decontaminate.against])
    for unit, name in zip(units, names):
        for row in rows_of(unit, sources[unit.source]):
            where = f"{name}:{row.line}"
            if row.record is None:
                said = (
                    f"is no conversation ({row.drop.reason}: {row.drop.detail})" if row.drop else "is no conversation"
                )
                todo = "say how to read it with decontaminate.against: [{path, columns, format}], or mend it"
                raise SourceError(where, said, todo)
            yield Item(where, item_text(row.record))


def choose_split(engine: Engine, rows: Sequence[Piece], fates: Fates, config: Config) -> None:
    """Choose the live rows that are held out. Raises ConfigError where no row has the column `split.by`."""
    values: npt.NDArray[np.uint64] | None = None
    present: npt.NDArray[np.bool_] | None = None
    if config.split.validation and config.split.by != "content":
        values, present = _hashes_of_values(engine, rows, config.split.by)
        if not (present & fates.live).any():
            what = f"no row that could be packed has the column {config.split.by}"
            raise ConfigError("split.by", what, "write content, or a column of your data")
    fates.choose_split(config.split.validation, values, present)


def _hashes_of_values(
    engine: Engine, rows: Sequence[Piece], column: str
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """A hash of each row's value of a column, and which rows have one."""
    texts = _values(engine, rows, column)
    hashes = np.array([0 if text is None else xxh3_64_intdigest(text.encode()) for text in texts], np.uint64)
    return hashes, np.array([text is not None for text in texts], np.bool_)


def _values(engine: Engine, rows: Sequence[Piece], column: str) -> list[str | None]:
    """Each row's value of a column that was kept, as text."""
    kept = engine.collect(rows, ["keep"])["keep"].to_pylist()
    return [as_text(json.loads(text).get(column)) if text else None for text in kept]


def sources_to_read(config: Config) -> tuple[SourceConfig, ...]:
    """The sources, located, with the columns kept too that decide the split and are capped."""
    wanted = [cap.column for cap in config.dedup.caps]
    if config.split.by != "content" and config.split.validation:
        wanted.append(config.split.by)
    return tuple(
        source.model_copy(update={"keep": tuple(dict.fromkeys([*source.keep, *wanted]))}) if wanted else source
        for source in config.located_sources()
    )


def count_private(engine: Engine, rows: Sequence[Piece], fates: Fates) -> dict[str, int]:
    """Personal data found, by kind: in the packed rows, and in those dropped for it."""
    column = engine.collect(rows, ["private"])["private"].combine_chunks()
    counts: dict[str, int] = {}
    for row in np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False)).tolist():
        if fates.live[row] or fates.is_dropped_for(row, "private_data"):
            for kind, number in json.loads(column[row].as_py()).items():
                counts[kind] = counts.get(kind, 0) + number
    return dict(sorted(counts.items()))
