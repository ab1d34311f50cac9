"""The shards as sfttrain reads them: checked against the manifest, then memory-mapped unchanged."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sftdata.errors import ConfigError, DatasetError, with_known_names
from sftdata.files.copies import copy_of
from sftdata.remote.mirror import local_folder
from sftdata.store.checked import TOKENIZER_FILE, check_file, check_shard, check_tokenizer, unlisted_files
from sftdata.store.manifest import Manifest, hash_of_shards
from sfttrain.fetched_rows import FetchedRows, OpenShards, Stamp, stamp_of

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

TRAIN = "train"
VALIDATION = "validation"
TOKENIZER = "tokenizer"  # the folder of the dataset's tokenizer


@dataclass(frozen=True, slots=True)
class Shards:
    """A complete dataset, on disk or on a store."""

    path: Path
    manifest: Manifest
    stamps: dict[str, Stamp] = field(default_factory=dict)  # of each shard, taken before it was checked
    opened: dict[str, OpenShards] = field(default_factory=dict)  # of each split that is read from a store

    @property
    def shown(self) -> str:
        """Where the dataset is, as a command takes it: its folder, or its address on a store."""
        return with_known_names(str(self.path))

    @property
    def tokenizer(self) -> Path:
        """The folder with the tokenizer and chat template that encoded the samples."""
        return self.path / TOKENIZER

    def check_unchanged(self) -> None:
        """Raise DatasetError where a shard is no longer what it was when it was checked.

        A shard whose size and times are the same is not read again. Nor is a copy that made room for others: its rows
        stay as they were where they are open.
        """
        for shard in self.manifest.shards:
            if self.is_fetched and shard.path not in self.stamps:  # it was not read yet
                continue
            stamp = stamp_of(self.path / shard.path)
            if stamp == self.stamps.get(shard.path) or (self.is_fetched and not stamp):
                continue
            try:
                shard.check(self.path)
            except DatasetError as error:
                what = f"{error.what}; it was changed while a run trains on it"
                todo = "restore it, and continue from the last checkpoint with resume=true"
                raise DatasetError(error.where, what, todo) from error
            self.stamps[shard.path] = stamp

    @property
    def is_fetched(self) -> bool:
        """Whether the dataset is on a store, so that a shard comes, and is checked, when it is read."""
        return copy_of(self.path) is not None

    def rows(self, split: str) -> Dataset | None:
        """The packed rows of a split, memory-mapped; None where it has none.

        Columns: input_ids, labels (-100 where not trained) and seq_lengths (the lengths of the samples in a row).
        Raises DatasetError for a shard that is not one (see `checked_rows`), unless it passed in this process; for a
        dataset on a store, when its rows are read.
        """
        from datasets import Dataset, concatenate_datasets

        shards = [shard for shard in self.manifest.shards if shard.split == split and shard.rows]
        if not shards:
            return None
        if self.is_fetched:
            if split not in self.opened:
                self.opened[split] = OpenShards(self.path, self.manifest, shards, self.stamps)
            return cast("Dataset", FetchedRows(self.opened[split]))
        for shard in shards:
            check_shard(self.path, shard, self.manifest)
        rows = concatenate_datasets([Dataset.from_file(str(self.path / shard.path)) for shard in shards])
        return rows.select_columns(["input_ids", "labels", "seq_lengths"])

    def lengths(self, split: str) -> list[int]:
        """The tokens of each sequence of a split, in the order of `rows`; no token is read. Raises as `rows`."""
        import pyarrow.compute as pc

        rows = self.rows(split)
        chunks = [] if rows is None else _chunks(rows, "input_ids")
        return [int(length) for chunk in chunks for length in pc.list_value_length(chunk).to_pylist()]

    def where(self, split: str, sequences: Sequence[int]) -> list[str]:
        """The rows of the input in some sequences of a split, by file and line; each once, in their order.

        Without a ledger that can be read, the sequences by shard and number.
        """
        from itertools import accumulate

        from sftdata.view.find.origins import load_origins

        shards = [shard for shard in self.manifest.shards if shard.split == split and shard.rows]
        rows = self.rows(split)
        try:
            origins = load_origins(self.path, self.manifest, shards)
        except DatasetError:
            origins = None
        starts = list(accumulate((shard.rows for shard in shards), initial=0))
        shard_of = {number: bisect_right(starts, number) - 1 for number in sequences}
        if rows is None or origins is None:
            return [f"{shards[at].path}, sequence {number - starts[at]}" for number, at in shard_of.items()]
        counts = {at: _samples_of_rows(rows, at, starts) for at in {*shard_of.values()}}
        firsts = list(accumulate((shard.samples for shard in shards), initial=0))
        samples: list[int] = []
        for number, at in shard_of.items():
            first = firsts[at] + sum(counts[at][: number - starts[at]])
            samples += range(first, first + counts[at][number - starts[at]])
        return list(dict.fromkeys(origins.where_of(sample) for sample in samples))


def open_shards(path: str | Path, *, checksums: bool = True, needs_validation: bool = False) -> Shards:
    """Open the dataset in a folder, after checking every file that training reads against the manifest. The shards of
    one on a store are checked when they are read.

    Raises DatasetError where there is no manifest, its schema version is unknown, a file differs from its checksum
    (`checksums=False` skips reading the files for that), or nothing would be trained; ConfigError where
    `needs_validation` is set and there is no validation split.
    """
    folder = local_folder(path)
    manifest = Manifest.load(folder)
    is_here = copy_of(folder) is None
    stamps = {shard.path: stamp_of(folder / shard.path) for shard in manifest.shards if is_here}
    if manifest.dataset_hash != hash_of_shards(manifest.shards):
        what = "its dataset_hash does not match its shards"
        raise DatasetError(str(folder), what, "prepare the dataset again")
    if checksums:
        _check_files(folder, manifest, checks_shards=is_here)
    train = manifest.splits.get(TRAIN)
    if train is None or train.rows == 0:
        raise DatasetError(str(folder), "its train split has no rows", "see its ledger for why rows were dropped")
    if train.trained_tokens == 0:
        raise DatasetError(str(folder), "no token of its train split is trained", "see `sftdata inspect` for the masks")
    validation = manifest.splits.get(VALIDATION)
    if needs_validation and (validation is None or validation.rows == 0):
        hint = "prepare it with split.validation, or leave eval_every out"
        raise ConfigError(str(folder), "has no validation split to evaluate", hint)
    return Shards(folder, manifest, stamps)


def _samples_of_rows(rows: Any, shard: int, starts: Sequence[int]) -> list[int]:
    """How many samples each row of a shard has, of a split whose shards begin at these rows."""
    import pyarrow.compute as pc

    if isinstance(rows, FetchedRows):
        column = rows.shards.table(shard)["seq_lengths"]
    else:
        column = rows.data.column("seq_lengths").slice(starts[shard], starts[shard + 1] - starts[shard])
    return [int(count) for count in pc.list_value_length(column).to_pylist()]


def _chunks(rows: Any, column: str) -> Iterator[pa.Array]:
    """A column of the rows of a split, in parts."""
    yield from rows.chunks(column) if isinstance(rows, FetchedRows) else rows.data.column(column).chunks


def _check_files(folder: Path, manifest: Manifest, *, checks_shards: bool) -> None:
    """Raise DatasetError where a shard, if `checks_shards`, or a file of the tokenizer differs from its entry in the
    manifest.
    """
    for shard in manifest.shards if checks_shards else ():
        shard.check(folder)
        check_shard(folder, shard, manifest)
    for path in unlisted_files(folder, manifest, TOKENIZER):
        raise DatasetError(str(path), "is not in the manifest", "move it out of the dataset folder")
    for file in manifest.files:
        if file.path.startswith(f"{TOKENIZER}/"):
            check_file(folder, file)
    path = check_tokenizer(folder, manifest)
    checksum = next(file.sha256 for file in manifest.files if file.path == TOKENIZER_FILE)
    if manifest.tokenizer.sha256 != checksum:
        raise DatasetError(str(path), "is not the tokenizer in the manifest", "prepare the dataset again")
