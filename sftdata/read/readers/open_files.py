"""Opening files: local or on any fsspec store, uncompressed or compressed, with clear errors for wrong files."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, cast

import zstandard

from sftdata.errors import SourceError
from sftdata.remote.stores import is_url, store_errors, what_went_wrong

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

COMPRESSIONS = ("gz", "zst", "bz2", "xz")
BUFFER_BYTES = 1 << 18
HEAD_BYTES = 1 << 16
MAX_WHOLE_BYTES = 1 << 29  # uncompressed, of a compressed file that has to be in memory as a whole
_ZSTD_STEP_BYTES = 1 << 10  # of compressed data, which are at most 32 MiB of uncompressed data

# The first bytes of files that are not text: (bytes, what the file is, what to do about it).
_MAGIC_BYTES = (
    (b"\x1f\x8b", "is gzip data, but its name does not say so", "add .gz to its name"),
    (b"\x28\xb5\x2f\xfd", "is zstandard data, but its name does not say so", "add .zst to its name"),
    (b"BZh", "is bzip2 data, but its name does not say so", "add .bz2 to its name"),
    (b"\xfd7zXZ\x00", "is xz data, but its name does not say so", "add .xz to its name"),
    (b"PK\x03\x04", "is a zip archive or a spreadsheet", "unpack it, or save the sheet as CSV in UTF-8"),
    (b"PAR1", "is a Parquet file, but its name does not say so", "give it the suffix .parquet"),
    (b"ARROW1", "is an Arrow file, but its name does not say so", "give it the suffix .arrow"),
    (b"\xff\xfe\0\0", "is UTF-32 text", "save it as UTF-8"),
    (b"\0\0\xfe\xff", "is UTF-32 text", "save it as UTF-8"),
    (b"\xff\xfe", "is UTF-16 text", "save it as UTF-8"),
    (b"\xfe\xff", "is UTF-16 text", "save it as UTF-8"),
)
_LFS_POINTER = b"version https://git-lfs"


@contextlib.contextmanager
def open_unit(path: str, name: str, compression: str | None) -> Iterator[io.BufferedReader]:
    """The file's uncompressed bytes. While it is open, failures of the disk, the store or the decompression are raised
    as SourceError with the file's name; a truncated file is never read as if it were complete.
    """
    try:
        with _open_raw(path) as raw:
            reader: io.BufferedReader = io.BufferedReader(_uncompressed(raw, compression), BUFFER_BYTES)
            with reader:
                yield reader
    except (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, gzip.BadGzipFile) as error:
        raise _damaged(name, compression, error) from error
    except OSError as error:
        if compression == "bz2" and error.errno is None:  # bz2 has no exception class of its own
            raise _damaged(name, compression, error) from error
        raise unreadable(name, error) from error


def read_whole(reader: io.BufferedReader, name: str, compression: str | None) -> bytes:
    """All bytes of a file. Raises SourceError if they are compressed and too many: a few kB can hold gigabytes."""
    data = reader.read(-1 if compression is None else MAX_WHOLE_BYTES + 1)
    if compression is not None and len(data) > MAX_WHOLE_BYTES:
        what = f"holds more than {MAX_WHOLE_BYTES >> 20} MiB uncompressed, and has to be in memory as a whole"
        raise SourceError(name, what, "write it as JSON lines, which may be compressed and of any size, or unpack it")
    return data


def _damaged(name: str, compression: str | None, error: Exception) -> SourceError:
    """The error for a file that cannot be decompressed."""
    what = " ".join(str(error).split())[:200]
    return SourceError(name, f"is not complete {compression} data ({what})", "download or write it again")


def unreadable(name: str, error: Exception, address: str = "") -> SourceError:
    """The error for a file that the system or the store cannot read. Credentials in its address are left out."""
    if is_url(address):
        return SourceError(name, *what_went_wrong(address, error))
    reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    return SourceError(name, f"cannot be read ({reason})", "check the path and your permissions")


def reject_non_text(reader: io.BufferedReader, name: str) -> None:
    """Raise SourceError if a text file's first bytes show that it is something else. Consumes nothing."""
    head = reader.peek(HEAD_BYTES)
    for magic, what, hint in _MAGIC_BYTES:
        if head.startswith(magic):
            raise SourceError(name, what, hint)
    if len(head) > 3 and max(head[0:1000:2].count(0), head[1:1000:2].count(0)) > len(head[:1000]) // 4:
        raise SourceError(name, "is UTF-16 text", "save it as UTF-8")
    reject_lfs_pointer(head, name)
    if head.lstrip()[:1] == b"<":
        raise SourceError(name, "begins with '<' like a web page", "download the data, not the page that shows it")


def reject_lfs_pointer(head: bytes, name: str) -> None:
    """Raise SourceError if the file is a Git LFS pointer: the repository was cloned without its large files."""
    if head.startswith(_LFS_POINTER):
        raise SourceError(name, "is a Git LFS pointer, not the data itself", "run `git lfs pull` in the repository")


def _open_raw(path: str) -> IO[bytes]:
    if not is_url(path):
        return open(path, "rb", buffering=0)
    import fsspec

    with store_errors(path):
        return cast("IO[bytes]", StoreFile(fsspec.open(path, "rb").open(), path))


class StoreFile(io.RawIOBase):
    """A file of an fsspec store that raises its failures as SourceError, an end before its size among them."""

    def __init__(self, file: IO[bytes], url: str) -> None:
        self._file = file
        self._url = url
        size = getattr(file, "size", None)  # as the store gave it; some streams have none
        self._size = size if isinstance(size, int) else None
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file.seekable()

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        with store_errors(self._url):
            data = self._file.read(len(view))
        view[: len(data)] = data
        self._at += len(data)
        if not data and len(view) and self._size is not None and self._at < self._size:
            what = f"ended after {self._at:,} of {self._size:,} bytes: the store cut the download short"
            raise SourceError(self._url, what, "run the same command again, which goes on where this one stopped")
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with store_errors(self._url):
            self._at = self._file.seek(offset, whence)
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _uncompressed(raw: IO[bytes], compression: str | None) -> io.RawIOBase:
    """The uncompressed bytes, as a raw stream for a BufferedReader."""
    opened: object = raw
    if compression == "zst":
        opened = ZstdFrames(raw)
    elif compression == "gz":
        opened = gzip.GzipFile(fileobj=raw)
    elif compression == "bz2":
        opened = bz2.BZ2File(raw)
    elif compression == "xz":
        opened = lzma.LZMAFile(raw)  # noqa: SIM115 - the BufferedReader around it closes it
    return cast(io.RawIOBase, opened)


class ZstdFrames(io.RawIOBase):
    """Zstandard data of one or more frames. Raises EOFError if the data ends inside a frame; the reader of zstandard
    ends silently there, and rows would be lost.

    Compressed data is taken in small steps, because four bytes of it may hold 128 kB.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._inside = False  # whether the current frame has started
        self._pending = memoryview(b"")  # uncompressed, not yet returned
        self._rest = memoryview(b"")  # compressed, not yet taken

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        while not self._pending:
            if not self._rest:
                self._rest = memoryview(self._raw.read(1 << 17))
            data = self._rest[:_ZSTD_STEP_BYTES]
            if not data:
                if self._inside:
                    raise EOFError("it ends in the middle")
                return 0
            self._inside = True
            self._pending = memoryview(self._frame.decompress(data))
            if self._frame.eof:
                data = data[: len(data) - len(self._frame.unused_data)]
                self._frame = zstandard.ZstdDecompressor().decompressobj()
                self._inside = False
            self._rest = self._rest[len(data) :]
        view = memoryview(buffer).cast("B")
        size = min(len(view), len(self._pending))
        view[:size] = self._pending[:size]
        self._pending = self._pending[size:]
        return size
