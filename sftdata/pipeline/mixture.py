"""The mixture in `prepare`: `max_records` of a source, the validation split, and shares of the trained tokens."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_intdigest

from sftdata.config import Config
from sftdata.curate.mixture import SourceShare, mix
from sftdata.errors import ConfigError
from sftdata.pipeline.columns.texts import coded
from sftdata.pipeline.rows import RowTable, kept_values
from sftdata.pipeline.samples import SampleTable
from sftdata.store.manifest import MixtureEntry


def drop_over_max_records(rows: RowTable, samples: SampleTable, config: Config) -> None:
    """Drop what is over a source's `max_records`, by a hash of the records' ids: before the validation split."""
    if all(source.max_records is None for source in config.sources):
        return
    shares = [SourceShare(max_records=source.max_records) for source in config.sources]
    trained = samples.sums(samples.num_trained, rows.size)
    over = np.flatnonzero(mix(rows.source, rows.id_hashes, trained, rows.live, shares).over_max)

    def limit(number: int) -> str:
        return f"{config.sources[number].path} gives {config.sources[number].max_records or 0:,} at most"

    rows.drop(over, "over_max_records", coded(rows.source[over], limit))


def choose_validation(rows: RowTable, config: Config) -> None:
    """Choose the live rows that are held out. Raises ConfigError where no row has the column `split.by`."""
    values: npt.NDArray[np.uint64] | None = None
    present: npt.NDArray[np.bool_] | None = None
    if config.split.validation and config.split.by != "content":
        values, present = np.zeros(rows.size, np.uint64), np.zeros(rows.size, np.bool_)
        for row, text in kept_values(rows, config.split.by):
            values[row], present[row] = xxh3_64_intdigest(text.encode()), True
        if not (present & rows.live).any():
            what = f"no row that could be packed has the column {config.split.by}"
            raise ConfigError("split.by", what, "write content, or a column of your data")
    rows.choose_split(config.split.validation, values, present)


def mix_sources(rows: RowTable, samples: SampleTable, config: Config) -> list[MixtureEntry]:
    """Choose how often each record is trained on, drop those over their source's share, and return asked and got.

    Rows that are held out are used once, whatever the settings ask for in training.
    """
    sources = config.sources
    if all(source.weight is None and source.repeat == 1 and source.max_records is None for source in sources):
        return []
    shares = [SourceShare(repeat=source.repeat, weight=source.weight) for source in sources]
    trained = samples.sums(samples.num_trained, rows.size)
    found = mix(rows.source, rows.id_hashes, trained, rows.live & ~rows.validation, shares)
    rows.drop(np.flatnonzero(found.over_weight), "over_weight")
    samples.repeat(np.where(rows.validation, 1, found.copies))
    return [
        MixtureEntry(source=source.path, **got._asdict()) for source, got in zip(sources, found.sources, strict=True)
    ]
