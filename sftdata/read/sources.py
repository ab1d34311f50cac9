"""A source of the config -> units of reading work, and a unit -> its raw rows.

A source is a file, a folder (searched recursively), a glob, a URL of any fsspec store, or a dataset on the Hugging Face
hub. Units have a fixed order: sources as configured, files by name, parts of a file by position.
"""

from __future__ import annotations

import difflib
import glob
import os
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from sftdata.errors import SourceError
from sftdata.read.file_names import before_wildcard
from sftdata.read.formats.convert import check_columns
from sftdata.read.readers.json_files import read_json
from sftdata.read.readers.json_lines import count_lines, read_json_lines
from sftdata.read.readers.open_files import COMPRESSIONS, is_url, store_errors, unreadable
from sftdata.read.readers.tables import read_arrow, read_delimited, read_parquet, row_groups
from sftdata.read.units import RawRow, Source, Unit

__all__ = ["RawRow", "Source", "Unit", "lines_in", "plan_units", "read_raw"]

KIND_OF = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
_READERS: dict[str, Callable[[Unit], Iterator[RawRow]]] = {
    "jsonl": read_json_lines,
    "json": read_json,
    "csv": read_delimited,
    "tsv": read_delimited,
    "parquet": read_parquet,
    "arrow": read_arrow,
}
_SUFFIXES = f"{' '.join(KIND_OF)}, plain or with {' '.join('.' + name for name in COMPRESSIONS)}"
# Metadata files that the datasets library and others write next to the data.
_METADATA_FILES = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
_HUB_URL = re.compile(r"hf://datasets/([^/]+(?:/[^/]+)?)/?")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class _File(NamedTuple):
    """A file that was found: the path or URL to open, and the name that users see."""

    path: str
    name: str


def plan_units(sources: Sequence[Source], unit_bytes: int = 8 << 20) -> list[Unit]:
    """All reading work, in order. Large uncompressed local JSON-lines files and Parquet files become several units.

    Raises SourceError if a source matches nothing, cannot be read, has an unknown suffix or is empty, or if its
    `columns` name a field that no format has.
    """
    units = []
    for index, source in enumerate(sources):
        check_columns(source.format, source.columns, source.path)
        found = sorted(_find_files(source), key=lambda file: file.name)
        parts = [part for file in found for part in _split_file(file, index, unit_bytes)]
        if not parts:
            raise SourceError(
                source.path, "holds no rows: it is empty", "check the path, or remove it from the sources"
            )
        units += parts
    return units


def read_raw(unit: Unit) -> Iterator[RawRow]:
    """The rows of a unit, in order. A row that cannot be read comes with its reason. Raises SourceError if the file
    cannot be read or is not what its name says.
    """
    return _READERS[unit.kind](unit)


def lines_in(unit: Unit) -> int:
    """How many line numbers a unit covers: the next unit of the same file continues from there.

    0 for the last unit of a file, which no unit follows.
    """
    if unit.end is None:
        return 0
    return count_lines(unit) if unit.kind == "jsonl" else unit.end - unit.start


def kind_of(name: str) -> tuple[str, str | None] | None:
    """(kind, compression) of a file by its name; None if the suffix is unknown."""
    stem, suffix = posixpath.splitext(name.lower())
    compression = suffix[1:] if suffix[1:] in COMPRESSIONS else None
    kind = KIND_OF.get(posixpath.splitext(stem)[1] if compression else suffix)
    return (kind, compression) if kind else None


def _find_files(source: Source) -> list[_File]:
    path = source.path
    hub = _HUB_URL.fullmatch(path)
    if hub:
        return _hub_files(hub[1], source)
    if is_url(path):
        return _remote_files(path)
    local = Path(path).expanduser()
    if local.is_file():
        return [_require_known_kind(_File(str(local), local.name))]
    if local.is_dir():
        return _data_files(path, [_File(str(file), file.relative_to(local).as_posix()) for file in _walk_files(local)])
    if glob.has_magic(path):
        return _glob_files(str(local))
    if _HUB_ID.fullmatch(path) and kind_of(path) is None:
        return _hub_files(path, source)
    raise SourceError(path, "no such file or folder", _suggest_path(local))


def _require_known_kind(file: _File) -> _File:
    """The file. Raises SourceError if its suffix is unknown."""
    if kind_of(file.name) is None:
        raise SourceError(file.path, "has a suffix that sftdata cannot read", f"it reads {_SUFFIXES}")
    return file


def _data_files(where: str, files: list[_File]) -> list[_File]:
    """The data files of a folder or glob; other files (README.md, LICENSE, _SUCCESS) are skipped."""
    data = [file for file in files if kind_of(file.name) and posixpath.basename(file.name) not in _METADATA_FILES]
    if data:
        return data
    if files:
        raise SourceError(where, f"none of its {len(files)} files can be read by sftdata", f"it reads {_SUFFIXES}")
    raise SourceError(where, "matches no file", "check the path")


def _walk_files(folder: Path) -> Iterator[Path]:
    """All files below a folder, except hidden ones."""

    def fail(error: OSError) -> None:
        raise unreadable(str(error.filename or folder), error) from error

    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name) for name in names if not name.startswith("."))


def _glob_files(pattern: str) -> list[_File]:
    """The files that a local glob matches, named relative to the folder before its first wildcard."""
    base = Path(pattern)
    while glob.has_magic(str(base)):
        base = base.parent
    paths = (Path(path) for path in glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob lists hidden files
    return _data_files(
        pattern, [_File(str(path), path.relative_to(base).as_posix()) for path in paths if path.is_file()]
    )


def _suggest_path(path: Path) -> str:
    """What to do about a path that does not exist."""
    names = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {path.parent / near[0]}?" if near else "check the path"


def _remote_files(url: str) -> list[_File]:
    """The files at a URL: one file, a folder, or a glob."""
    import fsspec

    name = posixpath.basename(urlsplit(url).path) or urlsplit(url).netloc
    if url.startswith(("http://", "https://")):
        return [_require_known_kind(_File(url, name))]
    with store_errors(url):
        store, path = fsspec.url_to_fs(url)
        # for a path to a file, find returns that file
        paths = list(filter(store.isfile, store.glob(path))) if glob.has_magic(path) else store.find(path)
    if paths == [path]:
        return [_require_known_kind(_File(url, name))]
    base = before_wildcard(path) or "/"
    files = [_File(store.unstrip_protocol(item), posixpath.relpath(item, base)) for item in paths]
    return _data_files(url, files)


def _hub_files(dataset: str, source: Source) -> list[_File]:
    """The files of one split of a dataset on the Hugging Face hub, downloaded into the hub's cache.

    The datasets library resolves the files, but does not read them, so that rows keep their line numbers, a broken row
    costs only itself, and tool schemas keep their keys.
    """
    from sftdata.read.readers.hub import split_files

    return _data_files(source.path, [_File(*file) for file in split_files(dataset, source)])


def _split_file(file: _File, source: int, unit_bytes: int) -> Iterator[Unit]:
    """The units of one file; none if it is empty."""
    kind, compression = kind_of(file.name) or ("", None)
    name = file.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")  # some names are not UTF-8
    edges: list[int] = [0]
    if not is_url(file.path):
        try:
            size = Path(file.path).stat().st_size
        except OSError as error:
            raise unreadable(file.name, error) from error
        if size == 0:
            return
        if kind == "jsonl" and compression is None:
            edges = list(range(0, size, unit_bytes))
    if kind == "parquet" and compression is None:
        edges = _row_group_edges(row_groups(file.path, file.name), unit_bytes)
    for start, end in zip(edges, [*edges[1:], None], strict=False):
        yield Unit(source, file.path, name, kind, compression, start, end)


def _row_group_edges(groups: list[tuple[int, int]], unit_bytes: int) -> list[int]:
    """The row numbers at which units begin. Row groups are combined up to `unit_bytes`; every unit has rows."""
    edges: list[int] = []
    row = size = 0
    for num_rows, size_bytes in groups:
        if num_rows == 0:
            continue
        if not edges or size + size_bytes > unit_bytes:
            edges.append(row)
            size = 0
        row += num_rows
        size += size_bytes
    return edges
