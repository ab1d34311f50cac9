"""Checks that source files do not change while they are read, and checksums of what is read from them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from xxhash import xxh3_128

from sftdata.errors import SourceError
from sftdata.read.readers.open_files import unreadable
from sftdata.read.readers.store_files import stored_now
from sftdata.read.units import Stored, Unit
from sftdata.remote.stores import is_url
from sftdata.safe.addresses import safe_address

_READ_BYTES = 1 << 18
_FILES_OF_THREAD = 16  # at a time: of very many small files, handing over each alone costs more than reading it


class Stamp(NamedTuple):
    """File metadata that changes when a file is written or replaced. `changed_ns` cannot be set by programs."""

    size_bytes: int
    modified_ns: int
    changed_ns: int
    inode: int


# Of the files of a unit; of one on a store, what the store says of it, if anything.
Stamps = tuple[Stamp, ...] | Stored | None


def stamp_of(unit: Unit) -> Stamps:
    """The stamps of a unit's files; of one on a store, what the store said when it was found, if anything.

    Raises SourceError if a file is gone.
    """
    return unit.stored if is_url(unit.path) else tuple(_stamp(path, unit) for path in unit.paths)


def _stamp(path: str, unit: Unit) -> Stamp:
    try:
        stat = Path(path).stat()
    except FileNotFoundError as error:
        raise SourceError(unit.name, "was removed before it was read", "restore it and run again") from error
    except OSError as error:
        raise unreadable(unit.name, error) from error
    return Stamp(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


def check_unchanged(unit: Unit, stamp: Stamps) -> None:
    """Raise SourceError if a file of a unit changed since it got this stamp. Of one on a store, the store is asked."""
    if (stamp_of(unit) if not isinstance(stamp, Stored) else stored_now(unit.path)) != stamp:
        raise SourceError(unit.name, "changed while it was being read", "run again when nothing writes to it")


def unit_checksums(units: Sequence[Unit]) -> list[str | None]:
    """For each unit, a checksum of the bytes that its rows are read from. Of a file on a store, which is read only
    once, a checksum of its address, size and ETag; None where the store gives no ETag.

    A part of a JSON-lines file has the checksum of that part, so a change elsewhere in the file does not affect it.
    """
    local = [unit for unit in units if not is_url(unit.path)]
    wholes = {path: unit for unit in local if unit.kind != "jsonl" for path in unit.paths}
    parts = [unit for unit in local if unit.kind == "jsonl"]
    asked: list[tuple[str, Unit, int, int | None]] = [(path, unit, 0, None) for path, unit in wholes.items()]
    asked += [(unit.path, unit, max(unit.start - 1, 0), unit.end) for unit in parts]
    several = [asked[start : start + _FILES_OF_THREAD] for start in range(0, len(asked), _FILES_OF_THREAD)]
    with ThreadPoolExecutor() as threads:
        found = [key for keys in threads.map(lambda some: [_checksum(*one) for one in some], several) for key in keys]
    whole_keys, part_keys = dict(zip(wholes, found)), dict(zip(parts, found[len(wholes) :]))
    remote_keys = {unit: _remote_checksum(unit) for unit in units if is_url(unit.path)}
    return [
        remote_keys.get(unit)
        or part_keys.get(unit)
        or ("".join(whole_keys[path] for path in unit.paths) if unit.path in whole_keys else None)
        for unit in units
    ]


def _remote_checksum(unit: Unit) -> str | None:
    """What equal bytes at an address have in common, without reading them; None where that is not known."""
    if unit.stored is None or not unit.stored.is_content:
        return None
    said = (safe_address(unit.path), unit.stored.version, str(unit.stored.size_bytes))
    return xxh3_128("\0".join(said).encode("utf-8", "surrogatepass")).hexdigest()


def _checksum(path: str, unit: Unit, start: int, end: int | None) -> str:
    """XXH3 (128 bits) of a file from `start` to the end of the line that contains `end`, in hex."""
    digest = xxh3_128()
    buffer = memoryview(bytearray(_READ_BYTES))
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(start)
            left = None if end is None else end - start
            while left is None or left > 0:
                count = file.readinto(buffer if left is None else buffer[:left])
                if not count:
                    return digest.hexdigest()
                digest.update(buffer[:count])
                left = None if left is None else left - count
            while chunk := file.read(1 << 14):
                line_end = chunk.find(b"\n") + 1
                digest.update(chunk[: line_end or None])
                if line_end:
                    break
    except OSError as error:
        raise unreadable(unit.name, error) from error
    return digest.hexdigest()
