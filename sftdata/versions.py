"""Which program made a dataset: its version, and those of the tools that decide the bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

from sftdata import __version__

TOOLS = ("datasets", "fastokens", "jinja2", "pyarrow", "tokenizers")


@cache
def describe_versions(*, semantic: bool) -> dict[str, str]:
    """The versions of the tools that decide the bytes, those of `dedup.semantic` among them where it is on."""
    tools: Iterable[str] = TOOLS
    if semantic:
        from sftdata.curate import embedding

        tools = sorted({*TOOLS, *embedding.TOOLS, "faiss-cpu"})
    return {"sftdata": __version__, **{name: version(name) for name in tools}}


def program_key() -> str:
    """A checksum of this program and its tools: earlier work of another version is not taken over."""
    digest = hashlib.sha256(json.dumps(describe_versions(semantic=False)).encode())
    package = Path(__file__).parent
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes())
    return digest.hexdigest()
