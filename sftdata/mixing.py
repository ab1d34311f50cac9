"""What each source gives to the dataset: `max_records` of it, and a share of the trained tokens."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sftdata.config import Config
from sftdata.curate.mixture import SourceShare, mix
from sftdata.fates import Fates
from sftdata.samples import Samples
from sftdata.store.manifest import MixtureEntry


def limit_records(fates: Fates, samples: Samples, config: Config) -> None:
    """Drop what is over a source's `max_records`, by a hash of the records' ids: before the validation split."""
    if all(source.max_records is None for source in config.sources):
        return
    shares = [SourceShare(max_records=source.max_records) for source in config.sources]
    trained = samples.sums(samples.num_trained, fates.size)
    over = np.flatnonzero(mix(fates.source, _hashes(fates), trained, fates.live, shares).over_max)
    limits = [f"{source.path} gives {source.max_records or 0:,} at most" for source in config.sources]
    fates.drop(over, "over_max_records", {row: limits[fates.source[row]] for row in over.tolist()})


def mix_sources(fates: Fates, samples: Samples, config: Config) -> list[MixtureEntry]:
    """Choose how often each record is trained on, drop those that are over their source's share, and say what was got.

    Held-out rows are used once, whatever the settings say of training.
    """
    sources = config.sources
    if all(source.weight is None and source.repeat == 1 and source.max_records is None for source in sources):
        return []
    shares = [SourceShare(repeat=source.repeat, weight=source.weight) for source in sources]
    trained = samples.sums(samples.num_trained, fates.size)
    found = mix(fates.source, _hashes(fates), trained, fates.live & ~fates.validation, shares)
    over = np.flatnonzero(found.over_weight)
    fates.drop(over, "over_weight")
    samples.repeat(np.where(fates.validation, 1, found.copies))
    return [MixtureEntry(source=source.path, **got._asdict()) for source, got in zip(sources, found.table, strict=True)]


def _hashes(fates: Fates) -> npt.NDArray[np.uint64]:
    """What decides the order in which records are taken: neither their place in the data nor the other sources."""
    return fates.id_bytes.view(">u8")[:, 0].astype(np.uint64)
