"""The names of files: what they say of a file's kind, and what users see, unique across sources."""

from __future__ import annotations

import glob
import posixpath
from collections.abc import Sequence
from typing import NamedTuple

from sftdata.read.not_data import why_not_data
from sftdata.read.readers.open_files import COMPRESSIONS
from sftdata.read.units import Stored, Unit

KIND_OF = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
SUFFIXES = f"{' '.join(KIND_OF)}, plain or with {' '.join('.' + name for name in COMPRESSIONS)}"


# Suffixes and names of files beside data that no one takes for data.
_ASIDE = {
    *(".md", ".rst", ".pdf", ".html", ".py", ".ipynb", ".sh", ".js", ".css", ".cfg", ".ini", ".toml", ".yaml", ".yml"),
    *(".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".ico", ".log", ".lock", ".bib", ".tex", ".sha256", ".md5"),
    *(".bin", ".pt", ".pth", ".safetensors", ".gguf", ".onnx", ".model", ".jinja"),
}
_ASIDE_NAMES = {"readme", "license", "licence", "notice", "makefile", "dockerfile", "changelog", "authors", "version"}
_ASIDE_NAMES |= {f"{name}.txt" for name in (*_ASIDE_NAMES, "requirements", "merges", "vocab", "citation")}


class File(NamedTuple):
    """A file that was found: the path or URL to open, and the name that users see.

    A saved Dataset whose rows are chosen by indices files is one file too: `path` is its state.json, `tables` and
    `indices` are the paths of its Arrow files, in order.
    """

    path: str
    name: str
    tables: tuple[str, ...] = ()
    indices: tuple[str, ...] = ()
    stored: Stored | None = None


def kind_of(name: str) -> tuple[str, str | None] | None:
    """(kind, compression) of a file by its name; None if the suffix is unknown."""
    stem, suffix = posixpath.splitext(name.lower())
    compression = suffix[1:] if suffix[1:] in COMPRESSIONS else None
    kind = KIND_OF.get(posixpath.splitext(stem)[1] if compression else suffix)
    return (kind, compression) if kind else None


def why_skipped(name: str) -> str | None:
    """What a file in a folder is that is not read, though someone may take it for data; None if it is data, or if
    no one would: a readme, a licence, a program, a picture.
    """
    what = why_not_data(name)
    if kind_of(name):
        return what
    is_aside = posixpath.splitext(name.lower())[1] in _ASIDE or posixpath.basename(name).lower() in _ASIDE_NAMES
    return None if what is not None or is_aside else "has a suffix that sftdata cannot read"


def distinct_names(units: Sequence[Unit], source_paths: Sequence[str]) -> list[str]:
    """The name of each unit's file: relative to its source, or with the source's path as configured if another file has
    the same name. So `chat.jsonl:7` never means two rows.
    """
    files: dict[str, set[str]] = {}
    for unit in units:
        files.setdefault(unit.name, set()).add(unit.path)
    names = [
        unit.name if len(files[unit.name]) == 1 else _with_source_path(source_paths[unit.source], unit.name)
        for unit in units
    ]
    paths: dict[str, list[str]] = {}  # by name: addresses that differ in what is not shown are numbered
    for unit, name in zip(units, names):
        if unit.path not in paths.setdefault(name, []):
            paths[name].append(unit.path)
    at = (paths[name].index(unit.path) for unit, name in zip(units, names))
    return [f"{name} ({number + 1})" if number else name for name, number in zip(names, at)]


def _with_source_path(source_path: str, name: str) -> str:
    """The source's path before its first wildcard, and the file's name: `chats/a.jsonl` for `chats/*.jsonl`."""
    folder = before_wildcard(source_path)
    if folder == source_path and posixpath.basename(folder) == name:
        return folder
    return posixpath.join(folder, name)


def before_wildcard(path: str) -> str:
    """The folders of a path before its first wildcard; the path itself if it has none."""
    while glob.has_magic(path):
        path = posixpath.dirname(path)
    return path
