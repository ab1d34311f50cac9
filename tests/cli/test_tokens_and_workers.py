"""Addresses with a token and a pool of workers, in processes of their own: nothing that is written has the token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

TOKEN = "s3cr3t-t0ken-0f-the-store"
FILES = {
    f"/{name}.jsonl": "".join(
        json.dumps({"prompt": f"What is {name} {number}?", "completion": f"It is {number}."}) + "\n"
        for number in range(50)
    ).encode()
    for name in ("a", "b")
}


# What fsspec opens http with needs a package that the tests do not have; so this does, in every process.
WEB = """
import io
from urllib.request import urlopen

from fsspec import AbstractFileSystem

class Web(AbstractFileSystem):
    protocol = "http"

    @classmethod
    def _strip_protocol(cls, path):
        return path

    def _open(self, path, mode="rb", *_, **__):
        with urlopen(path) as answer:
            return io.BytesIO(answer.read())
"""
AT_START = "import fsspec\nfsspec.register_implementation('http', 'web.Web', clobber=True)\n"


class Store(BaseHTTPRequestHandler):
    """Two files, for those who have the token."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        data = FILES.get(path) if query == f"token={TOKEN}" else None
        self.send_response(403 if data is None else 200)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        self.wfile.write(data or b"")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def store() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_open_addresses_with_a_token_and_no_file_has_it(
    store: str, tiny_tokenizer: Path, tmp_path: Path, workers: int
) -> None:
    sources = [{"path": f"{store}/{name}.jsonl?token={TOKEN}"} for name in ("a", "b")]
    settings = {"sources": sources, "tokenizer": str(tiny_tokenizer), "out": "out", "dedup": {"near": {}}}
    config = tmp_path.joinpath("settings.yaml")
    config.write_text(json.dumps(settings))
    modules = tmp_path / "modules"
    modules.mkdir()
    modules.joinpath("web.py").write_text(WEB)
    modules.joinpath("sitecustomize.py").write_text(AT_START)
    done = subprocess.run(
        [sys.executable, "-m", "sftdata", "prepare", str(config), "--workers", str(workers), "--keep-work"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "NO_PROXY": "127.0.0.1", "PYTHONPATH": str(modules)},
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    written = {path: path.read_bytes() for path in tmp_path.joinpath("out").rglob("*") if path.is_file()}
    assert json.loads(written[tmp_path / "out" / "manifest.json"])["counts"]["rows_read"] == 100
    assert [str(path) for path, data in written.items() if TOKEN.encode() in data] == []
    assert TOKEN not in done.stdout + done.stderr
