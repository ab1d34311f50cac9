"""The files of a dataset, checked before anyone looks at them. All readers come through here."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from sftdata.errors import DatasetError, pluralize, with_known_names
from sftdata.files.atomic import MANIFEST_NAME, file_sha256
from sftdata.files.copies import copy_of, ensure
from sftdata.files.inside import is_link
from sftdata.files.regular import regular_file
from sftdata.files.report_files import CARD_NAME, REPORT_NAMES, read_mark
from sftdata.store.ledger import PREPARE_AGAIN
from sftdata.store.manifest import FileEntry, Manifest, ShardEntry
from sftdata.store.proof import PackedRows, check_ids, flatten_batch, split_batches
from sftdata.store.shards import read_batches, read_shard

TOKENIZER_FILE = "tokenizer/tokenizer.json"
MAX_TOKENIZER_BYTES = 256 << 20
# Files that passed in this process, as they were: file and time of change, and what they were compared with.
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
    key = (*_stamp(path, status), shard, manifest.seq_len, manifest.tokenizer.vocab_size)
    if key not in _passed:
        for _ in checked_rows(folder, shard, manifest):
            pass
        _passed.add(key)


def check_file(folder: Path, entry: FileEntry) -> Path:
    """The path of a file whose content is that of its entry, which is not read again while it stays as it is.

    Raises DatasetError if it is not.
    """
    path = folder / entry.path
    key = (*_stamp(path, regular_file(path, folder, entry.size_bytes)), entry)
    if key not in _passed:
        entry.check(folder)
        _passed.add(key)
    return path


def check_tokenizer(folder: Path, manifest: Manifest) -> Path:
    """The path of the dataset's tokenizer.json: a listed file of a size that tokenizers have, as it was written.

    Raises DatasetError if there is no such file.
    """
    entry = next((entry for entry in manifest.files if entry.path == TOKENIZER_FILE), None)
    if entry is None:
        raise DatasetError(str(folder / MANIFEST_NAME), f"does not list {TOKENIZER_FILE}", PREPARE_AGAIN)
    if entry.size_bytes > MAX_TOKENIZER_BYTES:
        what = f"has {entry.size_bytes:,} bytes, more than the {MAX_TOKENIZER_BYTES:,} that are read"
        raise DatasetError(str(folder / entry.path), what, PREPARE_AGAIN)
    return check_file(folder, entry)


def unlisted_files(folder: Path, manifest: Manifest, below: str = "") -> Iterator[Path]:
    """What is in the folder, or in a folder in it, and not in the manifest. Raises DatasetError if it cannot be read.

    Hidden files and folders (such as the work folder) are left out, and reports of this dataset as they were written;
    links, pipes and the like are not.
    """

    def fail(error: OSError) -> None:
        raise DatasetError(str(error.filename), f"cannot be read ({error.strerror})", "change its permissions")

    listed = {entry.path for entry in manifest.listed_files()} | {MANIFEST_NAME}
    if (copied := copy_of(folder)) is not None:
        yield from _unlisted_on_store(folder, copied.names(), listed, f"{below}/" if below else "")
        return
    for parent, folders, files in os.walk(folder / below, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [name for name in folders if is_link(Path(parent, name))]
        for name in sorted([*files, *links]):
            path = Path(parent, name)
            if name.startswith(".") or path.relative_to(folder).as_posix() in listed:
                continue
            if path.parent != folder or name not in REPORT_NAMES or not _is_own_report(folder, path):
                yield path


def _unlisted_on_store(folder: Path, names: Iterable[str], listed: Collection[str], below: str) -> Iterator[Path]:
    """The same of a folder on a store, by the names of its files."""
    for name in names:
        is_hidden = any(part.startswith(".") for part in name.split("/"))
        if is_hidden or name in listed or not name.startswith(below):
            continue
        ensure(folder / name)
        if name not in REPORT_NAMES or not _is_own_report(folder, folder / name):
            yield folder / name


def _is_own_report(folder: Path, path: Path) -> bool:
    """Whether this is a report of the dataset. Raises DatasetError for one of another dataset, and for a page that was
    changed; a card may be.
    """
    try:
        mark = read_mark(path)
    except OSError as error:
        raise DatasetError(str(path), f"cannot be read ({error.strerror})", "change its permissions") from error
    if mark is None:
        return False
    is_card = path.name == CARD_NAME
    command = ["sftdata", "report", with_known_names(str(folder)), *(["--markdown"] if is_card else [])]
    command += [] if mark.is_unchanged else ["--overwrite"]
    again = f"write it again with `{shlex.join(command)}`"
    if mark.manifest_hash != file_sha256(folder / MANIFEST_NAME):
        raise DatasetError(str(path), "is the report of another dataset, or of an earlier one", again)
    if not mark.is_unchanged and not is_card:  # a card is there to be edited
        raise DatasetError(str(path), "was changed since `sftdata report` wrote it", f"move it away, or {again}")
    return True


def _stamp(path: Path, status: os.stat_result) -> tuple[object, ...]:
    """Which file this is, and when it was changed."""
    return (path.resolve(), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def open_shard(folder: Path, shard: ShardEntry, manifest: Manifest) -> pa.Table:
    """The rows of a shard, memory-mapped, after `check_shard`."""
    check_shard(folder, shard, manifest)
    return read_shard(folder / shard.path)
