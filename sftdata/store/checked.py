"""The shards of a dataset, checked before anyone looks at them. All readers come through here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from sftdata.errors import DatasetError, pluralize
from sftdata.files.regular import regular_file
from sftdata.store.manifest import Manifest, ShardEntry
from sftdata.store.proof import PREPARE_AGAIN, PackedRows, check_ids, flatten_batch, split_batches
from sftdata.store.shards import read_batches, read_shard

# Shards that passed in this process, as they were: file and time of change, and what they were compared with.
_passed: set[tuple[object, ...]] = set()


def checked_rows(folder: Path, shard: ShardEntry, manifest: Manifest) -> Iterator[PackedRows]:
    """The rows of a shard, batch by batch, each checked before it is given out.

    The file is a regular one in the folder, of the size in the manifest. It is an Arrow stream with the columns of
    shards alone, uncompressed and valid. The lengths in each row fit together, and no row is longer than seq_len. All
    ids are in the vocabulary, and each label is the id or IGNORE. Raises DatasetError for the first check that fails;
    at the end, if the shard has other numbers of rows, samples or tokens than the manifest says.
    """
    path = folder / shard.path
    where = str(path)
    regular_file(path, folder, shard.size_bytes)
    rows = samples = tokens = trained = 0
    for batch in split_batches(read_batches(path)):
        checked = flatten_batch(batch, where, rows, manifest.seq_len)
        check_ids(checked, manifest.tokenizer.vocab_size)
        rows += batch.num_rows
        samples += checked.num_samples
        tokens += len(checked.ids)
        trained += int(checked.trained_counts.sum())
        yield checked
    stated = (shard.rows, shard.samples, shard.tokens, shard.trained_tokens)
    nouns = ("row", "sample", "token", "trained_token")
    for noun, number, said in zip(nouns, (rows, samples, tokens, trained), stated, strict=True):
        if number != said:
            what = f"has {pluralize(number, noun)}, but the manifest says {said:,}"
            raise DatasetError(where, what, PREPARE_AGAIN)


def check_shard(folder: Path, shard: ShardEntry, manifest: Manifest) -> None:
    """Check all rows of a shard, as `checked_rows` does, but not again while its file stays as it is."""
    path = folder / shard.path
    status = regular_file(path, folder, shard.size_bytes)
    file = (path.resolve(), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    key = (*file, shard, manifest.seq_len, manifest.tokenizer.vocab_size)
    if key not in _passed:
        for _ in checked_rows(folder, shard, manifest):
            pass
        _passed.add(key)


def open_shard(folder: Path, shard: ShardEntry, manifest: Manifest) -> pa.Table:
    """The rows of a shard, memory-mapped, after `check_shard`."""
    check_shard(folder, shard, manifest)
    return read_shard(folder / shard.path)
