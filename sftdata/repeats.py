"""What `prepare` drops because of other rows, or of evaluation files, where it is asked to look: all that takes longer
than a look at keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sftdata.config import Config
from sftdata.curate import embedding, near
from sftdata.curate.contamination import ContaminationSettings, Index, Item, item_text
from sftdata.curate.dedup_settings import Keep, NearConfig, SemanticConfig
from sftdata.curate.exact import key_bytes
from sftdata.curate.near import find_near_duplicates, ranks
from sftdata.curate.prefix import drop_shared_prefixes
from sftdata.curate.semantic import find_semantic_duplicates
from sftdata.curate.stage import VECTORS_SCHEMA, Decontaminate, Embed, PrefixKeys, Sign, items_key
from sftdata.curate.words import Hashes
from sftdata.engines.base import MAX_MAPS, Engine, Piece
from sftdata.errors import SourceError
from sftdata.fates import Fates, Ints
from sftdata.read.names import distinct_names
from sftdata.read.sources import plan_units
from sftdata.read.stage import rows_of
from sftdata.store.files import file_sha256
from sftdata.versions import version

WHOLE_FILES = 1 << 62  # bytes that one unit of an evaluation file holds: lines then count from its start


def get_ready(config: Config) -> None:
    """Make now what workers would each make by themselves."""
    if config.dedup.near is not None:
        near.get_ready()


def drop_repeats(engine: Engine, rows: Sequence[Piece], fates: Fates, config: Config, scratch: Path) -> None:
    """Drop the live rows that the settings say are too much like others, or like evaluation items.

    `scratch` is a folder to work in. Raises SourceError as `evaluation_items`.
    """
    dedup = config.dedup
    if dedup.near is not None:
        drop_near_duplicates(engine, rows, fates, dedup.near, scratch / "signatures")
    if dedup.prefix is not None:
        drop_shared_prefixes_of(engine, rows, fates, dedup.prefix.chars)
    if dedup.semantic is not None:  # the slowest comes when the others have left as few rows as they will
        drop_semantic_duplicates(engine, rows, fates, located_semantic(config, dedup.semantic), scratch / "embeddings")
    if config.decontaminate.against:
        drop_contaminated(engine, rows, fates, config, scratch / "evaluation")


def drop_near_duplicates(
    engine: Engine, rows: Sequence[Piece], fates: Fates, settings: NearConfig, scratch: Path
) -> None:
    """Drop the live rows that are near-duplicates of a kept one. `scratch` is a file for the signatures."""
    signed = engine.map(Sign(settings), rows, fates.beside())
    signatures, has_one, preference = _vectors(engine, signed, fates.size, "<u2", settings.keep, scratch)
    fetch = _Shingles(engine, signed)
    verdict = find_near_duplicates(signatures, has_one, preference, fetch, settings, engine.spread)
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
        edges = np.frombuffer(column.buffers()[1], np.int32)[column.offset :][[0, len(column)]]  # nulls take no bytes
        flat = np.frombuffer(column.buffers()[2], np.uint8)[slice(*edges)]
        vectors = flat.view(dtype).reshape(np.count_nonzero(valid), -1)
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
        self._piece = lru_cache(MAX_MAPS)(self._mapped)

    def __call__(self, wanted: Ints) -> tuple[Hashes, Ints]:
        owners = np.searchsorted(self._starts, wanted, side="right") - 1
        places = (wanted - self._starts[owners]).tolist()
        found = []
        for owner, place in zip(owners.tolist(), places):
            offsets, shingles = self._piece(owner)
            found.append(shingles[offsets[place] : offsets[place + 1]])
        return np.concatenate(found), np.cumsum([0, *map(len, found)])

    def _mapped(self, number: int) -> tuple[Ints, Hashes]:
        """The offsets of a piece's rows in the shingles, and these, as they lie in the mapped file."""
        column = self._engine.look(self._signed[number], ["shingles"])["shingles"]
        lists = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()  # which makes a copy
        return lists.offsets.to_numpy(), lists.values.to_numpy()


def drop_shared_prefixes_of(engine: Engine, rows: Sequence[Piece], fates: Fates, chars: int) -> None:
    """Drop the live rows whose prompt begins like that of a live row before them."""
    column = engine.collect(engine.map(PrefixKeys(chars), rows, fates.beside()), ["prefix"])["prefix"].combine_chunks()
    present = column.is_valid().to_numpy(zero_copy_only=False)
    keys = key_bytes(column).view(np.uint64)
    fates.drop_repeats(drop_shared_prefixes(keys, present, np.flatnonzero(fates.live)), "shared_prefix")


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
