"""Which program made a dataset: its version, and those of the tools that decide the bytes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from sftdata import __version__

TOOLS = ("datasets", "fastokens", "jinja2", "pyarrow", "tokenizers")
# A name and a version in which nothing had to be written otherwise to stand in a folder's name.
_DIST_INFO = re.compile(r"([A-Za-z0-9_]+)-([0-9.]+)\.dist-info")


@cache
def describe_versions(*, semantic: bool) -> dict[str, str]:
    """The versions of the tools that decide the bytes, those of `dedup.semantic` among them where it is on."""
    tools: Iterable[str] = TOOLS
    if semantic:
        from sftdata.curate import embedding

        tools = sorted({*TOOLS, *embedding.TOOLS, "faiss-cpu"})
    folders = _version_folders()
    return {"sftdata": __version__, **{name: folders.get(name.replace("-", "_")) or version(name) for name in tools}}


def version(name: str) -> str:
    """The version of an installed distribution. Raises importlib.metadata.PackageNotFoundError."""
    from importlib import metadata  # takes longer to import than the names of all folders to read

    return metadata.version(name)


def _version_folders() -> dict[str, str]:
    """The versions of what is installed, by its name with low lines, as far as names of folders say them: those first
    on the path.
    """
    found: dict[str, str] = {}
    for folder in sys.path:
        with contextlib.suppress(OSError), os.scandir(folder or ".") as entries:
            for match in filter(None, (_DIST_INFO.fullmatch(entry.name) for entry in entries)):
                found.setdefault(match[1].lower(), match[2])
    return found


def program_key() -> str:
    """A checksum of this program and its tools: earlier work of another version is not taken over."""
    digest = hashlib.sha256(json.dumps(describe_versions(semantic=False)).encode())
    package = str(Path(__file__).parent)
    for folder, folders, names in os.walk(package):
        folders.sort()
        for path in (f"{folder}/{name}" for name in sorted(names) if name.endswith(".py")):
            with open(path, "rb", buffering=0) as file:
                digest.update(f"{path[len(package) :]}\0".encode() + file.read())
    return digest.hexdigest()
