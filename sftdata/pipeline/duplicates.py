"""Duplicates in `prepare`: rows that repeat others, exactly, nearly, from the start on, or in meaning; and caps."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from xxhash import xxh3_128_digest

from sftdata.config import Config
from sftdata.curate.duplicates import embedding
from sftdata.curate.duplicates.caps import cap_evidence, over_cap
from sftdata.curate.duplicates.exact import key_integers
from sftdata.curate.duplicates.near import assign_parts, keys_by_band, preference_order
from sftdata.curate.duplicates.prefix import PREFIX_BYTES
from sftdata.curate.duplicates.semantic import find_semantic_duplicates
from sftdata.curate.duplicates.settings import NearConfig, SemanticConfig
from sftdata.curate.guarded import Guarded
from sftdata.curate.stage import COMPARED_SCHEMA, VECTORS_SCHEMA, CompareNear, Embed, PrefixKeys, Sign
from sftdata.engines.engine import Engine
from sftdata.engines.stage import Piece
from sftdata.errors import ConfigError, pluralize
from sftdata.files.atomic import file_sha256
from sftdata.files.mapped import mapped_zeros
from sftdata.pipeline.columns.in_files import in_batches
from sftdata.pipeline.columns.texts import coded
from sftdata.pipeline.rows import RowTable, kept_values


def drop_exact_duplicates(rows: RowTable, config: Config) -> None:
    """Drop the live rows whose content an earlier one has."""
    if config.dedup.exact:
        rows.drop_duplicates()


def drop_near_duplicates(rows: RowTable, engine: Engine, config: Config, scratch: Path) -> list[str]:
    """Drop the live rows that are near-duplicates of a kept one. `scratch` is a folder to work in.

    Rows are signed in tasks; rows linked by equal parts of signatures are then compared in tasks of their own, for
    rows that are not linked cannot be near-duplicates of each other.

    Returns what is to be said: how many rows were compared with some of the rows like them only.
    """
    settings = config.dedup.near
    if settings is None:
        return []
    signed = engine.map(Guarded(Sign(settings)), rows.pieces, rows.dropped())
    beside = _to_compare(rows, engine, signed, settings, scratch / "keys")
    compared = engine.group("part", CompareNear(settings), signed, beside)
    del beside
    found = engine.collect(compared, COMPARED_SCHEMA.names) if compared else COMPARED_SCHEMA.empty_table()
    rows.drop_similar(found, "near_duplicate")
    number = int(np.count_nonzero(found["limited"].to_numpy()))
    if not number:
        return []
    have = "shares" if number == 1 else "share"
    return [
        f"near-duplicates: {pluralize(number, 'row')} {have} a template with many others, so that only the most alike "
        f"were compared; dedup.near.max_comparisons ({settings.max_comparisons:,}) allows more"
    ]


def _to_compare(
    rows: RowTable, engine: Engine, signed: Sequence[Piece], settings: NearConfig, scratch: Path
) -> pa.Table:
    """What the comparing stage needs beside each row, and drops those that could not be signed. Of each signature only
    its keys are needed here, and they are in the file `scratch`, a band after the other.
    """
    keys: npt.NDArray[np.uint64] = np.empty((0, rows.size), np.uint64)  # until there is a signature
    has_one = np.zeros(rows.size, np.bool_)
    answer_chars = np.zeros(rows.size, np.int64) if settings.keep == "longest_answer" else None
    for first, table in in_batches(engine, signed, [*VECTORS_SCHEMA.names, "fault"]):
        here = slice(first, first + table.num_rows)
        rows.drop_faults(table["fault"], np.arange(here.start, here.stop))
        if answer_chars is not None:
            answer_chars[here] = table["answer_chars"].to_numpy()
        has_one[here], vectors = _vectors(table["vector"].combine_chunks(), "<u2")
        if len(vectors):
            of_bands = keys_by_band(vectors, settings.threshold)
            if not len(keys):
                keys = mapped_zeros(scratch, "uint64", (len(of_bands), rows.size))
            for band, values in zip(keys, of_bands):
                band[here][has_one[here]] = values
    nodes = np.flatnonzero(has_one)
    if answer_chars is not None:
        nodes = nodes[preference_order(settings.keep, answer_chars[nodes])]
    part = np.full(rows.size, -1, np.int32)
    part[nodes] = assign_parts(np.asarray(keys), nodes)
    rank = np.zeros(rows.size, np.int32)
    rank[nodes] = np.arange(len(nodes), dtype=np.int32)
    return pa.table({"part": part, "rank": rank, "row": np.arange(rows.size, dtype=np.int32)})


def drop_shared_prefixes(rows: RowTable, engine: Engine, config: Config) -> None:
    """Drop the live rows whose prompt begins like that of an earlier live row."""
    if config.dedup.prefix is None:
        return
    keyed = engine.map(Guarded(PrefixKeys(config.dedup.prefix.chars)), rows.pieces, rows.dropped())
    keys, present = np.empty((rows.size, PREFIX_BYTES // 8), np.uint64), np.empty(rows.size, np.bool_)
    for first, table in in_batches(engine, keyed, ["prefix", "fault"]):
        here = slice(first, first + table.num_rows)
        rows.drop_faults(table["fault"], np.arange(here.start, here.stop))
        column = table["prefix"].combine_chunks()
        keys[here], present[here] = key_integers(column), column.is_valid().to_numpy(zero_copy_only=False)
    rows.drop_repeats_of(keys, present, "shared_prefix")


def drop_semantic_duplicates(rows: RowTable, engine: Engine, config: Config, scratch: Path) -> None:
    """Drop the live rows that say the same as a kept one in other words. `scratch` is a folder to work in.

    Raises ConfigError where the model cannot be loaded.
    """
    if config.dedup.semantic is None:
        return
    settings = with_model_folder(config, config.dedup.semantic)
    stage = Embed(settings.model, model_key(Path(settings.model)), settings.on)
    embedded = engine.map(stage, rows.pieces, rows.dropped())
    matrix: npt.NDArray[np.float32] = np.empty((rows.size, 0), np.float32)  # until the first vector's length is known
    has_one, answer_chars = np.zeros(rows.size, np.bool_), np.zeros(rows.size, np.int64)
    for first, table in in_batches(engine, embedded, VECTORS_SCHEMA.names):
        here = slice(first, first + table.num_rows)
        answer_chars[here] = table["answer_chars"].to_numpy()
        has_one[here], vectors = _vectors(table["vector"].combine_chunks(), "<f4")
        if len(vectors):
            if matrix.shape[1] == 0:
                matrix = mapped_zeros(scratch / "embeddings", "<f4", (rows.size, vectors.shape[1]))
            matrix[here][has_one[here]] = vectors
    preference = preference_order(settings.keep, answer_chars)
    verdict = find_semantic_duplicates(matrix, has_one, preference, settings.threshold)
    columns = {name: getattr(verdict, name) for name in ("duplicate_of", "similarity", "cluster")}
    rows.drop_similar(pa.table({"row": np.arange(rows.size), **columns}), "semantic_duplicate")


def drop_over_caps(rows: RowTable, config: Config) -> None:
    """Drop the live rows over a cap, counted in their order. Raises ConfigError where no row has the column."""
    for cap in config.dedup.caps:
        keys, present = np.zeros((rows.size, 2), np.uint64), np.zeros(rows.size, np.bool_)
        for row, value in kept_values(rows, cap.column):
            keys[row], present[row] = np.frombuffer(xxh3_128_digest(value.encode()), np.uint64), True
        if not present.any():
            raise ConfigError("dedup.caps", f"no row has the column {cap.column}", "name a column of your data")
        over, numbers = over_cap(keys, np.flatnonzero(rows.live & present), cap.max_records)
        rows.drop(over, "over_cap", coded(numbers, partial(cap_evidence, cap.column, max_records=cap.max_records)))


def with_model_folder(config: Config, settings: SemanticConfig) -> SemanticConfig:
    """The settings with the model's folder located. Raises ConfigError as `embedding.require_encoder`."""
    folder = config.resolve_path(settings.model)
    embedding.require_encoder(folder)
    return settings.model_copy(update={"model": folder})


def model_key(folder: Path) -> str:
    """A checksum of everything that decides a model's vectors: its files, and the libraries that run it."""
    digest = hashlib.sha256()
    for name in embedding.TOOLS:
        digest.update(f"{name} {metadata.version(name)}\n".encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()} {file_sha256(path)}\n".encode())
    return digest.hexdigest()


def _vectors(column: pa.Array, dtype: str) -> tuple[npt.NDArray[np.bool_], npt.NDArray[Any]]:
    """Which rows have a vector of those that Sign or Embed gave, and these vectors, in their order."""
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    if not valid.any():
        return valid, np.empty((0, 0), dtype)
    edges = np.frombuffer(column.buffers()[1], np.int32)[column.offset :][[0, len(column)]]  # nulls take no bytes
    flat = np.frombuffer(column.buffers()[2], np.uint8)[slice(*edges)]
    return valid, flat.view(dtype).reshape(np.count_nonzero(valid), -1)
