"""Duplicates in `prepare`: rows that repeat others, exactly, nearly, from the start on, or in meaning; and caps."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sftdata.config import Config
from sftdata.curate.duplicates import embedding
from sftdata.curate.duplicates.caps import cap_evidence, over_cap
from sftdata.curate.duplicates.exact import key_bytes
from sftdata.curate.duplicates.near import Verdict, assign_parts, preference_order
from sftdata.curate.duplicates.prefix import drop_shared_prefixes as shared_prefixes
from sftdata.curate.duplicates.semantic import find_semantic_duplicates
from sftdata.curate.duplicates.settings import Keep, SemanticConfig
from sftdata.curate.guarded import Guarded
from sftdata.curate.stage import COMPARED_SCHEMA, VECTORS_SCHEMA, CompareNear, Embed, PrefixKeys, Sign
from sftdata.engines.engine import Engine
from sftdata.engines.stage import Piece
from sftdata.errors import ConfigError, pluralize
from sftdata.files.atomic import file_sha256
from sftdata.pipeline.rows import Ints, RowTable, kept_values


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
    rows.drop_faults(engine.collect(signed, ["fault"])["fault"])
    signatures, has_one, preference = _vectors(engine, signed, rows.size, "<u2", settings.keep, scratch / "signatures")
    nodes = preference[has_one[preference]]
    part, rank = np.full(rows.size, -1, np.int32), np.zeros(rows.size, np.int64)
    part[nodes], rank[nodes] = assign_parts(signatures, nodes, settings.threshold), np.arange(len(nodes))
    beside = pa.table({"part": part, "rank": rank, "row": np.arange(rows.size)})
    compared = engine.group("part", CompareNear(settings), signed, beside)
    verdict = Verdict.of_rows(rows.size)
    if compared:
        found = engine.collect(compared, COMPARED_SCHEMA.names)
        row = found["row"].to_numpy()
        verdict.duplicate_of[row] = found["duplicate_of"].to_numpy()
        verdict.similarity[row] = found["similarity"].to_numpy()
        verdict.cluster[row] = found["cluster"].to_numpy()
        verdict.limited[row] = found["limited"].to_numpy(zero_copy_only=False)
    rows.drop_similar(verdict, "near_duplicate")
    number = int(np.count_nonzero(verdict.limited))
    if not number:
        return []
    have = "shares" if number == 1 else "share"
    return [
        f"near-duplicates: {pluralize(number, 'row')} {have} a template with many others, so that only the most alike "
        f"were compared; dedup.near.max_comparisons ({settings.max_comparisons:,}) allows more"
    ]


def drop_shared_prefixes(rows: RowTable, engine: Engine, config: Config) -> None:
    """Drop the live rows whose prompt begins like that of an earlier live row."""
    if config.dedup.prefix is None:
        return
    keyed = engine.map(Guarded(PrefixKeys(config.dedup.prefix.chars)), rows.pieces, rows.dropped())
    found = engine.collect(keyed, ["prefix", "fault"])
    rows.drop_faults(found["fault"])
    column = found["prefix"].combine_chunks()
    present = column.is_valid().to_numpy(zero_copy_only=False)
    keys = key_bytes(column).view(np.uint64)
    rows.drop_repeats(shared_prefixes(keys, present, np.flatnonzero(rows.live)), "shared_prefix")


def drop_semantic_duplicates(rows: RowTable, engine: Engine, config: Config, scratch: Path) -> None:
    """Drop the live rows that say the same as a kept one in other words. `scratch` is a folder to work in.

    Raises ConfigError where the model cannot be loaded.
    """
    if config.dedup.semantic is None:
        return
    settings = with_model_folder(config, config.dedup.semantic)
    stage = Embed(settings.model, model_key(Path(settings.model)), settings.on)
    embedded = engine.map(stage, rows.pieces, rows.dropped())
    vectors, has_one, preference = _vectors(engine, embedded, rows.size, "<f4", settings.keep, scratch / "embeddings")
    verdict = find_semantic_duplicates(vectors, has_one, preference, settings.threshold)
    rows.drop_similar(verdict, "semantic_duplicate")


def drop_over_caps(rows: RowTable, config: Config) -> None:
    """Drop the live rows over a cap, counted in their order. Raises ConfigError where no row has the column."""
    for cap in config.dedup.caps:
        values = pa.array(kept_values(rows, cap.column), pa.string())
        if values.null_count == len(values):
            raise ConfigError("dedup.caps", f"no row has the column {cap.column}", "name a column of your data")
        numbers = over_cap(values, np.flatnonzero(rows.live), cap.max_records)
        over = np.flatnonzero(numbers)
        details = {row: cap_evidence(cap.column, int(numbers[row]), cap.max_records) for row in over.tolist()}
        rows.drop(over, "over_cap", details)


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


def _vectors(
    engine: Engine, pieces: Sequence[Piece], num_rows: int, dtype: str, keep: Keep, scratch: Path
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_], Ints]:
    """What Sign or Embed gave: a matrix with a vector for each row, mapped from the file `scratch`; which rows have
    one; and the rows in the order in which they are preferred.
    """
    matrix: npt.NDArray[Any] = np.empty((num_rows, 0), dtype)  # until the first vector's length is known
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
        matrix[here][valid] = vectors
    return matrix, has_one, preference_order(keep, answer_chars)
