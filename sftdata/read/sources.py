"""A source of the config -> units of reading work, and a unit -> its raw rows.

A source is a file, a folder, a glob, a URL of any fsspec store, or a dataset on the Hugging Face hub. Units have a
fixed order: sources as configured, files by name (those of a saved Dataset as it lists them), parts by position.
"""

from __future__ import annotations

import difflib
import glob
import json
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from sftdata.errors import SourceError
from sftdata.read.file_names import SUFFIXES, File, kind_of, why_skipped
from sftdata.read.folders import Folder, Note
from sftdata.read.formats.shapes.known import check_columns
from sftdata.read.not_data import MANIFEST, is_prepared, why_not_data
from sftdata.read.readers.delimited import read_delimited
from sftdata.read.readers.json_files import read_json
from sftdata.read.readers.json_lines import count_lines, read_json_lines
from sftdata.read.readers.local_files import files_below, files_matching, what_else
from sftdata.read.readers.open_files import unreadable
from sftdata.read.readers.store_files import find_stored, stored_now
from sftdata.read.readers.tables import read_arrow, read_parquet, read_saved, row_groups
from sftdata.read.splits import Choice, first_names
from sftdata.read.units import RawRow, Source, Unit
from sftdata.remote.stores import is_object_store, is_url, refuse_credentials

__all__ = ["RawRow", "Source", "Unit", "lines_in", "plan_units", "read_raw"]

_READERS: dict[str, Callable[[Unit], Iterator[RawRow]]] = {
    "jsonl": read_json_lines,
    "json": read_json,
    "csv": read_delimited,
    "tsv": read_delimited,
    "parquet": read_parquet,
    "arrow": read_arrow,
    "saved": read_saved,
}
SourceNote = Callable[[int, str], None]
_HUB_URL = re.compile(r"hf://datasets/([^/]+(?:/[^/]+)?)/?")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def _say_nothing(source: int, text: str) -> None:
    """For callers that show no notes."""


def plan_units(
    sources: Sequence[Source], unit_bytes: int = 8 << 20, default_split: str = "train", note: SourceNote = _say_nothing
) -> list[Unit]:
    """All reading work, in order. Large uncompressed local JSON-lines files and Parquet files become several units.

    `default_split` is read of a source that has splits and asks for none. `note` is called with what is not read, and
    the number of its source.
    Raises SourceError if a source matches nothing, cannot be read, has an unknown suffix or is empty, if its `columns`
    name a field that no format has, or if it asks for a split or a subset and has none.
    """
    units = []
    for index, source in enumerate(sources):
        check_columns(source.format, source.columns, source.path)
        choice = Choice(source, default_split)
        found = _find_files(source, choice, partial(note, index))
        choice.check_used()
        by_file = [(file.name, [*_split_file(file, index, unit_bytes)]) for file in found]
        parts = [part for _, own in by_file for part in own]
        if not parts:
            raise SourceError(
                source.path, "holds no rows: it is empty", "check the path, or remove it from the sources"
            )
        if empty := [name for name, own in by_file if not own]:
            note(index, f"empty: {first_names(empty)}")
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


def _find_files(source: Source, choice: Choice, note: Note) -> list[File]:
    """The files of a source, in order."""
    path = source.path
    hub = _HUB_URL.fullmatch(path)
    if hub:
        return _hub_files(hub[1], source, choice)
    if is_url(path):
        return _remote_files(path, choice, note)
    local = Path(path).expanduser()
    if local.is_file():
        return [_check_part_of_nothing(_check_alone(File(str(local), local.name)))]
    if local.is_dir():
        skipped: list[str] = []
        names = files_below(local, _is_data, skipped.append)
        return Folder(str(local), names, choice, note, skipped).data_files()
    if glob.has_magic(path):
        return _glob_files(str(local), note)
    if _HUB_ID.fullmatch(path) and kind_of(path) is None:
        return _hub_files(path, source, choice)
    if (what := what_else(local)) is not None:
        raise SourceError(path, f"{what}, and a source must be a file that can be read again", "write it to a file")
    raise SourceError(path, "no such file or folder", _suggest_path(local))


def _check_alone(file: File) -> File:
    """A file that is a source by itself. Raises SourceError if its suffix is unknown, or if it is never data."""
    if kind_of(file.name) is None:
        raise SourceError(file.path, "has a suffix that sftdata cannot read", f"it reads {SUFFIXES}")
    what = why_not_data(file.name)
    if what is not None:
        raise SourceError(file.path, f"{what}, not data", "name the data file, or rename this one if it is data")
    return file


def _check_part_of_nothing(file: File) -> File:
    """A local file. Raises SourceError where it is a shard or a ledger of a prepared dataset, or a file of a saved
    Dataset whose rows an indices file chooses.
    """
    folder = Path(file.path).parent
    for holder in (folder, folder.parent):
        if is_prepared(_json_in(holder / MANIFEST)):
            what = "belongs to a dataset that sftdata prepared, and is not raw data"
            raise SourceError(file.path, what, "give the raw files that it was made from")
    state = _json_in(folder / "state.json") if kind_of(file.name) == ("arrow", None) else None
    if isinstance(state, dict) and (state.get("_indices_data_files") or state.get("_indices_files")):
        what = "is part of a saved Dataset, and an indices file says which of its rows count"
        raise SourceError(file.path, what, f"give the folder: {folder}")
    return file


def _json_in(path: Path) -> object:
    """What a JSON file holds; None if there is no such file, or it is not JSON."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _data_files(where: str, files: list[File], note: Note, others: Sequence[str] = ()) -> list[File]:
    """The data files of a glob; other files (README.md, LICENSE, caches, configs of models) are skipped.

    `others` are matches that are no files, and why they are skipped.
    """
    reasons = {name: why_skipped(name) for name in sorted(file.name for file in files)}
    data = [file for file in files if kind_of(file.name) and reasons[file.name] is None]
    skipped = [*others, *(f"{name} ({what})" for name, what in reasons.items() if what is not None)]
    if data:
        if skipped:
            note(f"skipped {first_names(skipped)}")
        return sorted(data, key=lambda file: file.name)
    if skipped and (others or any(kind_of(file.name) for file in files)):
        raise SourceError(where, f"matches no data, only {first_names(skipped)}", "name the data files")
    if files:
        what = "its only file cannot be read" if len(files) == 1 else f"none of its {len(files):,} files can be read"
        raise SourceError(where, f"{what} by sftdata", f"it reads {SUFFIXES}")
    raise SourceError(where, "matches no file", "check the path")


def _is_data(name: str) -> bool:
    return kind_of(name) is not None


def _glob_files(pattern: str, note: Note) -> list[File]:
    """The files that a local glob matches, named relative to the folder before its first wildcard."""
    skipped: list[str] = []
    base, names = files_matching(pattern, _is_data, skipped.append)
    found = [File(str(base / name), name) for name in names]
    return [_check_part_of_nothing(file) for file in _data_files(pattern, found, note, skipped)]


def _suggest_path(path: Path) -> str:
    """What to do about a path that does not exist."""
    names = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1)
    if "\\" in str(path) and (forward := Path(str(path).replace("\\", "/"))).exists():
        return f"did you mean {forward}?"
    return f"did you mean {path.parent / near[0]}?" if near else "check the path"


def _remote_files(url: str, choice: Choice, note: Note) -> list[File]:
    """The files at a URL: one file, a folder, or a glob."""
    if is_object_store(url):
        refuse_credentials(url, SourceError)
    if url.startswith(("http://", "https://")):
        file = _check_alone(File(url, posixpath.basename(urlsplit(url).path) or urlsplit(url).netloc))
        stored = stored_now(url)
        # a server that makes a page as it is asked for may give 0 for its size, and that file is not empty
        return [file._replace(stored=stored if stored is not None and stored.size_bytes else None)]
    found = find_stored(url)
    if [*found.files] == [found.path]:
        stored = found.files[found.path] or stored_now(url)
        name = posixpath.basename(urlsplit(url).path) or urlsplit(url).netloc
        return [_check_alone(File(url, name, stored=stored))]
    named = [*found.named()]
    if glob.has_magic(url):
        return _data_files(url, [File(address, name, stored=stored) for name, address, stored in named], note)
    names = [name for name, _, _ in named if not name.startswith(".") and "/." not in name]
    stored_of = {address: stored for _, address, stored in named}
    files = Folder(found.base_address, names, choice, note).data_files()
    return [file._replace(stored=stored_of.get(file.path)) for file in files]


def _hub_files(dataset: str, source: Source, choice: Choice) -> list[File]:
    """The files of one split of a dataset on the Hugging Face hub, downloaded into the hub's cache.

    The datasets library resolves the files, but does not read them, so that rows keep their line numbers, a broken row
    costs only itself, and tool schemas keep their keys.
    """
    from sftdata.read.readers.hub import split_files

    choice.split_used = choice.subset_used = True
    found = sorted((File(*file) for file in split_files(dataset, source, choice.wanted)), key=lambda file: file.name)
    return [_check_alone(file) for file in found]


def _split_file(file: File, source: int, unit_bytes: int) -> Iterator[Unit]:
    """The units of one file; none if it is empty."""
    kind, compression = kind_of(file.name) or ("", None)
    name = file.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")  # some names are not UTF-8
    if file.indices:
        yield Unit(source, file.path, name, "saved", None, 0, None, file.tables, file.indices)
        return
    edges: list[int] = [0]
    if file.stored is not None and file.stored.size_bytes == 0:
        return
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
        yield Unit(source, file.path, name, kind, compression, start, end, stored=file.stored)


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
