"""A store that speaks as much of S3 as reading takes, and fails as it is told."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape


class Faults(NamedTuple):
    """How the store fails when the content of a file is asked for."""

    status: int = 200
    hangs: bool = False  # says nothing at all
    cut: bool = False  # closes the connection in the middle of what it announced
    short: bool = False  # sends a beginning as if it were all, and then nothing


class FaultyStore:
    """The server, by its address; `files` and `faults` by path, such as /bucket/name. `on_sent` is called with the path
    of each file that is asked for, its first byte that is sent, and how many are.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, Faults] = {}
        self.on_sent: Callable[[str, int, int], None] = lambda path, first, count: None
        self.ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"store": self}))
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FaultyStore:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: FaultyStore

    def do_HEAD(self) -> None:
        data = self.store.files.get(urlsplit(self.path).path)
        self._answer(404 if data is None else 200, data or b"", has_body=False)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if "list-type" in parts.query:
            self._list(parts.path, parse_qs(parts.query).get("prefix", [""])[0])
            return
        data, faults = self.store.files.get(parts.path), self.store.faults.get(parts.path, Faults())
        if faults.hangs:
            self.store.ended.wait()
            self.close_connection = True
        elif faults.status != 200:
            code = {500: "InternalError", 403: "AccessDenied"}[faults.status]
            self._answer(faults.status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())
        elif data is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>")
        elif faults.short:
            first = int((self.headers.get("Range") or "bytes=0-").partition("=")[2].partition("-")[0])
            self._answer(206, data[first:100], etag=data)
        else:
            first, asked = self._asked(data)
            self.store.on_sent(parts.path, first, len(asked))
            self._answer(200 if not self.headers.get("Range") else 206, asked, etag=data, cut=faults.cut)

    def _asked(self, data: bytes) -> tuple[int, bytes]:
        first, _, last = (self.headers.get("Range") or "bytes=0-").partition("=")[2].partition("-")
        return int(first), data[int(first) : int(last) + 1 if last else None]

    def _answer(
        self, status: int, body: bytes, *, has_body: bool = True, etag: bytes | None = None, cut: bool = False
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.md5(body if etag is None else etag).hexdigest()}"')
        self.send_header("Last-Modified", "Sun, 29 Nov 2026 12:00:00 GMT")
        self.end_headers()
        if has_body:
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut

    def _list(self, path: str, prefix: str) -> None:
        bucket = path.strip("/")
        found = {name[len(bucket) + 2 :]: data for name, data in self.store.files.items()}
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size>"
            f"<LastModified>2026-11-29T12:00:00.000Z</LastModified>"
            f"<ETag>&quot;{hashlib.md5(data).hexdigest()}&quot;</ETag></Contents>"
            for key, data in sorted(found.items())
            if key.startswith(prefix)
        )
        xml = f"<ListBucketResult><Name>{bucket}</Name><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
        self._answer(200, xml.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""
