"""moto's S3 server on the loopback, what finds it, and a door before it that fails where a test says so."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

ACCESS_KEY, SECRET = "AKIAEXAMPLEOFTESTS00", "dummy-secret-of-the-tests"
# A client that gives up soon, and one that gives up at once, but for what s3fs itself tries again.
QUICK = {"FSSPEC_S3": '{"config_kwargs": {"connect_timeout": 2, "read_timeout": 2, "retries": {"max_attempts": 1}}}'}
IMPATIENT = {"FSSPEC_S3": '{"config_kwargs": {"read_timeout": 2, "retries": {"total_max_attempts": 1}}}'}
PASSED_ON = ("content-length", "content-type", "etag", "last-modified", "content-range", "accept-ranges")


def variables(address: str, folder: Path) -> dict[str, str]:
    """The environment of a program that uses the server, without settings of the machine. The folder has no files."""
    return {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(folder / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-credentials"),
        "NO_PROXY": "127.0.0.1",
    }


@contextmanager
def started() -> Iterator[str]:
    """The address of a server."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


class Fault(NamedTuple):
    """How a request fails whose method is this one and whose path has this text; this many times, then no more."""

    method: str
    text: str
    how: str  # "500"; "hangs": says nothing; "cut": closes in the middle of what it announced
    times: int = 1 << 30


class Door:
    """A proxy of an S3 server, which passes requests on. Used with `with`."""

    def __init__(self, server: str) -> None:
        self.server = urlsplit(server).netloc
        self.faults: list[Fault] = []
        self.failed: list[str] = []  # requests that failed as was wanted: METHOD /path
        self.lock = threading.Lock()
        self.cleared = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"door": self}))
        self._http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Door:
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def fail(self, *faults: Fault) -> None:
        self.failed.clear()
        self.faults = [*faults]

    def clear(self) -> None:
        """Fail no more, and let go what hangs."""
        self.faults = []
        self.cleared.set()
        self.cleared = threading.Event()

    def fault_for(self, method: str, path: str) -> Fault | None:
        """The fault of a request, once it is counted."""
        with self.lock:
            for at, fault in enumerate(self.faults):
                if fault.method == method and fault.text in path and fault.times > 0:
                    self.faults[at] = fault._replace(times=fault.times - 1)
                    self.failed.append(f"{method} {path}")
                    return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    door: Door

    def _pass_on(self) -> None:
        cleared = self.door.cleared
        fault = self.door.fault_for(self.command, self.path)
        sent = self._sent()
        if fault is not None and fault.how == "hangs":
            cleared.wait()
            self.close_connection = True
            return
        if fault is not None and fault.how == "500":
            body = b"<Error><Code>InternalError</Code><Message>no</Message></Error>"
            self._answer(500, {"content-type": "application/xml"}, body)
            return
        server = http.client.HTTPConnection(self.door.server)
        server.request(self.command, self.path, sent, dict(self.headers.items()))
        answer = server.getresponse()
        body = answer.read()
        kept = {name.lower(): value for name, value in answer.getheaders() if name.lower() in PASSED_ON}
        kept |= {name: value for name, value in answer.getheaders() if name.lower().startswith("x-amz")}
        server.close()
        self._answer(answer.status, kept, body, is_cut=fault is not None)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815 - names of the standard library

    def _sent(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return data

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes, *, is_cut: bool = False) -> None:
        self.send_response(status)
        size = headers.get("content-length", "0") if self.command == "HEAD" else str(len(body))
        for name, value in {**headers, "content-length": size}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if is_cut else body)
        self.close_connection = self.close_connection or is_cut

    def log_message(self, *_: object) -> None:
        """Say nothing."""
