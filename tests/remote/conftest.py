"""Stores for tests: one in this process, and moto's S3 server on the loopback, started once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))  # importlib mode does not do this


class Store(NamedTuple):
    """A folder on a store that is empty when the test begins."""

    address: str
    system: Any

    def at(self, name: str) -> str:
        return f"{self.address}/{name}"

    def put(self, name: str, data: bytes) -> str:
        """Write a file; its address."""
        self.system.pipe_file(self.at(name), data)
        return self.at(name)

    def read(self, name: str) -> bytes:
        data: bytes = self.system.cat_file(self.at(name))
        return data

    def names(self) -> list[str]:
        """The files, relative to the folder."""
        self.system.invalidate_cache()
        root = self.system._strip_protocol(self.address)
        return sorted(path[len(root) + 1 :] for path in self.system.find(self.address))


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Store]:
    """A folder on a store, and a cache of its own on this machine."""
    monkeypatch.setenv("SFTDATA_CACHE", str(tmp_path / "cache"))
    bucket = f"test-{abs(hash(str(tmp_path))) % 10**10}"
    if request.param == "s3":
        request.getfixturevalue("s3_environment")
    system = fsspec.filesystem(request.param)
    system.invalidate_cache()
    if request.param == "s3":
        system.mkdir(bucket)
    yield Store(f"{request.param}://{bucket}/data", system)
    system.invalidate_cache()
    if system.exists(f"{request.param}://{bucket}"):
        system.rm(f"{request.param}://{bucket}", recursive=True)
