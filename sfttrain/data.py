"""The shards as sfttrain reads them: checked against the manifest, then memory-mapped unchanged."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sftdata.errors import ConfigError, DatasetError, with_known_names
from sftdata.files.copies import copy_of
from sftdata.remote.mirror import fetch_all, fits, local_folder
from sftdata.store.checked import TOKENIZER_FILE, check_file, check_shard, check_tokenizer, unlisted_files
from sftdata.store.manifest import Manifest, hash_of_shards
from sfttrain.fetched_rows import FetchedRows

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

TRAIN = "train"
VALIDATION = "validation"
TOKENIZER = "tokenizer"  # the folder of the dataset's tokenizer


Stamp = tuple[int, ...]  # what of a file's status changes whenever its content does


@dataclass(frozen=True, slots=True)
class Shards:
    """A complete dataset on disk."""

    path: Path
    manifest: Manifest
    stamps: dict[str, Stamp] = field(default_factory=dict)  # of each shard, taken before it was checked

    @property
    def shown(self) -> str:
        """Where the dataset is, as a command takes it: its folder, or its address on a store."""
        return with_known_names(str(self.path))

    @property
    def tokenizer(self) -> Path:
        """The folder with the tokenizer and chat template that encoded the samples."""
        return self.path / TOKENIZER

    def check_unchanged(self) -> None:
        """Raise DatasetError where a shard is no longer what it was when the run began.

        A shard whose size and times are the same is not read again; nor is a copy that made room for others, whose rows
        stay as they were, or one of those that are fetched, and compared, one by one.
        """
        is_copy = copy_of(self.path) is not None
        if is_copy and not fits(self.path, [shard.path for shard in self.manifest.shards]):
            return
        for shard in self.manifest.shards:
            stamp = stamp_of(self.path / shard.path)
            if stamp == self.stamps.get(shard.path) or (is_copy and not stamp):
                continue
            try:
                shard.check(self.path)
            except DatasetError as error:
                what = f"{error.what}; it was changed while a run trains on it"
                todo = "restore it, and continue from the last checkpoint with resume=true"
                raise DatasetError(error.where, what, todo) from error
            self.stamps[shard.path] = stamp

    def rows(self, split: str) -> Dataset | None:
        """The packed rows of a split, memory-mapped; None where it has none.

        Columns: input_ids, labels (-100 where not trained) and seq_lengths (the lengths of the samples in a row).
        Raises DatasetError for a shard that is not one (see `checked_rows`), unless it passed in this process.
        """
        from datasets import Dataset, concatenate_datasets

        shards = [shard for shard in self.manifest.shards if shard.split == split and shard.rows]
        if not shards:
            return None
        if not fits(self.path, [shard.path for shard in self.manifest.shards]):
            return cast("Dataset", FetchedRows(self.path, self.manifest, shards))
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

        import pyarrow.compute as pc

        from sftdata.view.find.origins import load_origins

        shards = [shard for shard in self.manifest.shards if shard.split == split and shard.rows]
        rows = self.rows(split)
        try:
            origins = load_origins(self.path, self.manifest, shards)
        except DatasetError:
            origins = None
        if rows is None or origins is None:
            starts = list(accumulate((shard.rows for shard in shards), initial=0))
            shard_of = {number: bisect_right(starts, number) - 1 for number in sequences}
            return [f"{shards[at].path}, sequence {number - starts[at]}" for number, at in shard_of.items()]
        counts = [count for chunk in _chunks(rows, "seq_lengths") for count in pc.list_value_length(chunk).to_pylist()]
        ends = list(accumulate(counts))
        samples = (sample for number in sequences for sample in range(ends[number] - counts[number], ends[number]))
        return list(dict.fromkeys(origins.where_of(sample) for sample in samples))


def open_shards(path: str | Path, *, checksums: bool = True, needs_validation: bool = False) -> Shards:
    """Open the dataset in a folder, after checking every file that training reads against the manifest.

    Raises DatasetError where there is no manifest, its schema version is unknown, a file differs from its checksum
    (`checksums=False` skips reading the files for that), or nothing would be trained; ConfigError where
    `needs_validation` is set and there is no validation split.
    """
    folder = local_folder(path)
    manifest = Manifest.load(folder)
    is_here = fetch_all(folder, [shard.path for shard in manifest.shards])
    stamps = {shard.path: stamp_of(folder / shard.path) for shard in manifest.shards}
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


def stamp_of(path: Path) -> Stamp:
    """Size and times of a file; empty where there is none."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _chunks(rows: Any, column: str) -> Iterator[pa.Array]:
    """A column of the rows of a split, in parts."""
    yield from rows.chunks(column) if isinstance(rows, FetchedRows) else rows.data.column(column).chunks


def _check_files(folder: Path, manifest: Manifest, *, checks_shards: bool) -> None:
    """Raise DatasetError where a shard or a file of the tokenizer differs from its entry in the manifest. Shards that
    are fetched one by one are compared then.
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
