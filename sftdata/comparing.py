"""What `prepare` decides over all rows at once: duplicates of several kinds, evaluation items in the
data, and split groups.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from xxhash import xxh3_64_intdigest

from sftdata.config import Config
from sftdata.curate.caps import cap_evidence, over_cap
from sftdata.curate.dedup_settings import CapConfig
from sftdata.engines.base import Engine, Piece
from sftdata.errors import ConfigError
from sftdata.fates import Fates
from sftdata.store.ledger import as_text


def get_ready(config: Config) -> None:
    """Import and make now what `compare_rows` will need, where that is much."""
    if looks_closer(config):
        from sftdata import repeats

        repeats.get_ready(config)


def compare_rows(engine: Engine, rows: Sequence[Piece], fates: Fates, config: Config, scratch: Path) -> None:
    """Drop the live rows that repeat others, and those that hold evaluation items. `scratch` is a folder to work in.

    Raises SourceError as `evaluation_items`, and ConfigError where no row has the column of a cap.
    """
    if config.dedup.exact:
        fates.drop_duplicates()
    if looks_closer(config):
        from sftdata.repeats import drop_repeats  # which imports much

        drop_repeats(engine, rows, fates, config, scratch)
    for cap in config.dedup.caps:
        drop_over_cap(engine, rows, fates, cap)


def looks_closer(config: Config) -> bool:
    """Whether rows are to be compared by more than their keys."""
    dedup = config.dedup
    closer = (dedup.near, dedup.prefix, dedup.semantic)
    return any(settings is not None for settings in closer) or bool(config.decontaminate.against)


def drop_over_cap(engine: Engine, rows: Sequence[Piece], fates: Fates, cap: CapConfig) -> None:
    """Drop the live rows over a cap, counted in their order. Raises ConfigError where no row has the column."""
    values = pa.array(_values(engine, rows, cap.column), pa.string())
    if values.null_count == len(values):
        raise ConfigError("dedup.caps", f"no row has the column {cap.column}", "name a column of your data")
    numbers = over_cap(values, np.flatnonzero(fates.live), cap.max_records)
    over = np.flatnonzero(numbers)
    details = {row: cap_evidence(cap.column, int(numbers[row]), cap.max_records) for row in over.tolist()}
    fates.drop(over, "over_cap", details)


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
