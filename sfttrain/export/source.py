"""What is exported: a finished run, its files as it wrote them, and its dataset, if that is there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftdata.errors import ConfigError, DatasetError, ModelError
from sftdata.files.atomic import file_sha256
from sftdata.files.inside import inside, is_file, is_plain_name
from sfttrain.config import TrainConfig, parse_config
from sfttrain.data import TRAIN, Shards, open_shards
from sfttrain.run_folder import ADAPTER_CONFIG
from sfttrain.summary import RUN_JSON, read_run, settings_of_run

GENERATION_CONFIG = "generation_config.json"
IGNORE = -100


@dataclass(frozen=True, slots=True)
class Source:
    """A finished run: its run.json, its settings, its files with their checksums, and its dataset."""

    path: Path
    summary: Mapping[str, Any]
    config: TrainConfig
    files: Mapping[str, str]
    shards: Shards | None  # None where the dataset is not where the run found it

    @property
    def is_adapter(self) -> bool:
        """Whether the run trained an adapter, and saved that alone."""
        return ADAPTER_CONFIG in self.files

    @property
    def dataset_hash(self) -> str:
        """Of the dataset that the run was trained on."""
        return str(self.summary["dataset_hash"])


def open_run(path: Path, *, shards: str | None = None, base: str | None = None, checks: bool = True) -> Source:
    """A finished run. `shards` and `base` are where its dataset and the model that it began with are now. Without
    `checks`, the files of the model are not read.

    Raises ConfigError where the folder is not that of a finished run, ModelError where a file of its model is no longer
    as the run wrote it, DatasetError where `shards` is another dataset.
    """
    summary = read_run(path)
    if summary["status"] != "finished":
        todo = "continue it with resume=true, then export it"
        raise ConfigError(str(path), f"has no trained model yet: the run is {summary['status']}", todo)
    settings = settings_of_run(path, summary)
    files = _checked_files(path, summary, checks=checks)
    changes = {key: value for key, value in (("shards", shards), ("model", base)) if value is not None}
    config = parse_config({**settings, **changes}, (), str(path / RUN_JSON))
    return Source(path, summary, config, files, _open_dataset(config, summary, is_given=shards is not None))


def trained_ends(source: Source) -> tuple[int, ...]:
    """The tokens that end trained answers, as they appear in the shards; of a run without its shards, the tokens at
    which its model stops. Empty where texts were trained, which have no end of a turn.
    """
    if source.shards is None:
        path = source.path / GENERATION_CONFIG
        known = json.loads(path.read_bytes()).get("eos_token_id") if path.is_file() else None
        return tuple(known if isinstance(known, list) else [] if known is None else [known])
    import numpy as np

    ends = source.shards.manifest.tokenizer.end_of_turn_ids
    rows = source.shards.rows(TRAIN)
    seen: set[int] = set()
    if rows is None or not ends:
        return ()
    for batch in rows.data.to_batches(max_chunksize=1000):
        ids, labels = (batch.column(name).flatten().to_numpy() for name in ("input_ids", "labels"))
        is_last = (labels != IGNORE) & np.append(labels[1:] == IGNORE, True)
        seen.update(np.unique(ids[is_last]).tolist())
        if seen.issuperset(ends):
            break
    return tuple(id_ for id_ in ends if id_ in seen) or tuple(ends)


def _checked_files(path: Path, summary: Mapping[str, Any], *, checks: bool) -> dict[str, str]:
    """The files of the model with their checksums. Raises ModelError where one is not as the run wrote it."""
    listed = summary.get("files")
    if not isinstance(listed, dict) or not listed or not all(is_plain_name(name) for name in listed):
        raise ConfigError(str(path / RUN_JSON), "does not list the files of a model", "train again")
    for name, checksum in listed.items():
        file = inside(path, name)
        if not is_file(file):
            raise ModelError(str(file), "is not there, though the run wrote it", "restore it, or train again")
        if checks and file_sha256(file) != checksum:
            raise ModelError(str(file), "was changed since the run wrote it", "restore it, or train again")
    return dict(listed)


def _open_dataset(config: TrainConfig, summary: Mapping[str, Any], *, is_given: bool) -> Shards | None:
    """The dataset of a run; None where it is not at its place, or another one is. Raises DatasetError if given."""
    try:
        shards = open_shards(config.shards, checksums=False)
    except DatasetError:
        if is_given:
            raise
        return None
    if shards.manifest.dataset_hash == summary["dataset_hash"]:
        return shards
    if is_given:
        what = f"is not the dataset of the run, which has the hash {summary['dataset_hash'][:12]}"
        raise DatasetError(config.shards, what, "give that one, or leave --shards out")
    return None
