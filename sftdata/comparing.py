"""What `prepare` decides over all rows at once: duplicates of several kinds, evaluation items in the
data, and split groups.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from xxhash import xxh3_64_intdigest

from sftdata.config import Config
from sftdata.curate import embedding
from sftdata.curate.caps import cap_evidence, over_cap
from sftdata.curate.contamination import ContaminationSettings, Index, Item, item_text
from sftdata.curate.dedup_settings import CapConfig, Keep, NearConfig, SemanticConfig
from sftdata.curate.exact import key_bytes
from sftdata.curate.near import find_near_duplicates, ranks
from sftdata.curate.prefix import drop_shared_prefixes
from sftdata.curate.semantic import find_semantic_duplicates
from sftdata.curate.stage import VECTORS_SCHEMA, Decontaminate, Embed, PrefixKeys, Sign, items_key
from sftdata.curate.words import Hashes
from sftdata.engines.base import Engine, Piece
from sftdata.errors import ConfigError, SourceError
from sftdata.fates import Fates, Ints
from sftdata.read.names import distinct_names
from sftdata.read.sources import plan_units
from sftdata.read.stage import rows_of
from sftdata.store.files import file_sha256
from sftdata.store.ledger import as_text

WHOLE_FILES = 1 << 62  # bytes that one unit of an evaluation file holds: lines then count from its start


def compare_rows(engine: Engine, rows: Sequence[Piece], fates: Fates, config: Config, scratch: Path) -> None:
    """Drop the live rows that repeat others, and those that hold evaluation items. `scratch` is a folder to work in.

    Raises SourceError as `evaluation_items`, and ConfigError where no row has the column of a cap.
    """
    dedup = config.dedup
    if dedup.exact:
        fates.drop_duplicates()
    if dedup.near is not None:
        drop_near_duplicates(engine, rows, fates, dedup.near, scratch / "signatures")
    if dedup.prefix is not None:
        drop_shared_prefixes_of(engine, rows, fates, dedup.prefix.chars)
    if dedup.semantic is not None:  # the slowest comes when the others have left as few rows as they will
        drop_semantic_duplicates(engine, rows, fates, located_semantic(config, dedup.semantic), scratch / "embeddings")
    if config.decontaminate.against:
        drop_contaminated(engine, rows, fates, config, scratch / "evaluation")
    for cap in dedup.caps:
        drop_over_cap(engine, rows, fates, cap)


def drop_near_duplicates(
    engine: Engine, rows: Sequence[Piece], fates: Fates, settings: NearConfig, scratch: Path
) -> None:
    """Drop the live rows that are near-duplicates of a kept one. `scratch` is a file for the signatures."""
    signed = engine.map(Sign(settings), rows, fates.beside())
    signatures, has_one, preference = _vectors(engine, signed, fates.size, "<u2", settings.keep, scratch)
    verdict = find_near_duplicates(signatures, has_one, preference, _Shingles(engine, signed), settings)
    fates.drop_similar(verdict, "near_duplicate")


def drop_semantic_duplicates(
    engine: Engine, rows: Sequence[Piece], fates: Fates, settings: SemanticConfig, scratch: Path
) -> None:
    """Drop the live rows that say the same as a kept one in other words. `scratch` is a file for the embeddings.

    `settings.model` is located. Raises ConfigError where it cannot be loaded.
    """
    stage = Embed(settings.model, model_key(Path(settings.model)), settings.on)
    embedded = engine.map(stage, rows, fates.beside())
    vectors, has_one, preference = _vectors(engine, embedded, fates.size, "<f4", settings.keep, scratch)
    verdict = find_semantic_duplicates(vectors, has_one, preference, settings.threshold)
    fates.drop_similar(verdict, "semantic_duplicate")


def located_semantic(config: Config, settings: SemanticConfig) -> SemanticConfig:
    """The settings with the model's folder located. Raises ConfigError as `embedding.require_encoder`."""
    folder = config.located(settings.model)
    embedding.require_encoder(folder)
    return settings.model_copy(update={"model": folder})


def model_key(folder: Path) -> str:
    """A checksum of all that decides a model's vectors: its files, and the libraries that run it."""
    digest = hashlib.sha256()
    for name in embedding.TOOLS:
        digest.update(f"{name} {version(name)}\n".encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()} {file_sha256(path)}\n".encode())
    return digest.hexdigest()


def _vectors(
    engine: Engine, pieces: Sequence[Piece], num_rows: int, dtype: str, keep: Keep, scratch: Path
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_], Ints]:
    """What Sign or Embed gave: a matrix with a vector for each row, mapped from the file `scratch`; which rows have
    one; and the rows in the order in which they are preferred.
    """
    matrix: npt.NDArray[Any] = np.empty((num_rows, 0), dtype)  # until a row says how long a vector is
    has_one = np.zeros(num_rows, np.bool_)
    answer_chars = np.zeros(num_rows, np.int64)
    row = 0
    for piece in pieces:
        table = engine.collect([piece], VECTORS_SCHEMA.names)
        here = slice(row, row + table.num_rows)
        row += table.num_rows
        answer_chars[here] = table["answer_chars"].to_numpy()
        column = table["vector"].combine_chunks()
        has_one[here] = valid = column.is_valid().to_numpy(zero_copy_only=False)
        if not valid.any():
            continue
        vectors = np.frombuffer(b"".join(column.drop_null().to_pylist()), dtype).reshape(np.count_nonzero(valid), -1)
        if matrix.shape[1] == 0:
            matrix = np.memmap(scratch, dtype, "w+", shape=(num_rows, vectors.shape[1]))
            scratch.unlink()  # it stays mapped as long as it is needed, and nothing is left of it after a crash
        matrix[here][valid] = vectors
    return matrix, has_one, ranks(keep, answer_chars)


class _Shingles:
    """The shingles of rows, looked up in the pieces that Sign gave."""

    def __init__(self, engine: Engine, signed: Sequence[Piece]) -> None:
        self._engine, self._signed = engine, signed
        self._starts = np.cumsum([0, *(piece.num_rows for piece in signed)])
        self._open: dict[int, tuple[Ints, Hashes]] = {}

    def __call__(self, wanted: Ints) -> tuple[Hashes, Ints]:
        owners = np.searchsorted(self._starts, wanted, side="right") - 1
        places = (wanted - self._starts[owners]).tolist()
        found = []
        for owner, place in zip(owners.tolist(), places):
            offsets, shingles = self._piece(owner)
            found.append(shingles[offsets[place] : offsets[place + 1]])
        return np.concatenate(found), np.cumsum([0, *map(len, found)])

    def _piece(self, number: int) -> tuple[Ints, Hashes]:
        """The offsets of a piece's rows in the shingles, and these, as they lie in the mapped file."""
        if number not in self._open:
            column = self._engine.look(self._signed[number], ["shingles"])["shingles"]
            lists = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()  # which makes a copy
            self._open[number] = lists.offsets.to_numpy(), lists.values.to_numpy()
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


def count_private(engine: Engine, rows: Sequence[Piece], fates: Fates) -> dict[str, int]:
    """Personal data found, by kind: in the packed rows, and in those dropped for it."""
    column = engine.collect(rows, ["private"])["private"].combine_chunks()
    counts: dict[str, int] = {}
    for row in np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False)).tolist():
        if fates.live[row] or fates.is_dropped_for(row, "private_data"):
            for kind, number in json.loads(column[row].as_py()).items():
                counts[kind] = counts.get(kind, 0) + number
    return dict(sorted(counts.items()))
