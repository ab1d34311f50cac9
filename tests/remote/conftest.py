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


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server. Tests that ask for it skip where the extra `dev` is absent."""
    pytest.importorskip("s3fs", reason="the extra `s3` is not installed")
    server_module = pytest.importorskip("moto.server", reason="the extra `dev` is not installed")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_environment(s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials in the environment of the test alone, and no settings of the machine."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (
        ("AWS_ENDPOINT_URL", s3_server),
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLEOFTESTS00"),
        ("AWS_SECRET_ACCESS_KEY", "dummy-secret-of-the-tests"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", str(tmp_path / "no-config")),
        ("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials")),
        ("NO_PROXY", "127.0.0.1"),
    ):
        monkeypatch.setenv(name, value)


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
