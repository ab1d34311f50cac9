"""Stands in for `python` in tests that start many processes with torch: imports take six seconds of each, a fork none.

`python_that_is_ready` starts a server, which imports the modules once, and gives a command to use as `python`:
`[*command, "-m", "sfttrain", "run", ...]`, a script, or `-c CODE`. The command is a small program that asks the server
for a process, which gets the program's arguments, folder, environment and standard streams, and the signals that are
sent to the program. It ends as the process does. If it is killed, the process is killed too, a moment later.

The server runs nothing before it forks and has one thread. What a new process would draw at random is drawn anew, but
for the order of sets of texts: a test of that starts a real `python`.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import random
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STREAMS = (0, 1, 2)
# What `sfttrain run` imports, by the modules that import it.
TRAINING = [
    "sfttrain.cli.app",
    "sfttrain.train",
    "sfttrain.trainer.build",
    "sfttrain.evaluate.during",
    "sfttrain.report.write",
    "peft",
    "transformers.models.llama.modeling_llama",
    "torch.distributed.run",
    "accelerate.commands.launch",
]
# What it sets before these are imported, which read it then.
QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}


@contextmanager
def python_that_is_ready(modules: list[str], environment: dict[str, str]) -> Iterator[list[str]]:
    """The command, while the server runs."""
    if not hasattr(os, "pidfd_open"):  # not Linux
        yield [sys.executable]
        return
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("")  # Linux chooses a name that is no file
        listening.listen()
        address = listening.getsockname().hex()
        command = [sys.executable, __file__, "serve", str(listening.fileno()), *modules]
        server = subprocess.Popen(command, pass_fds=[listening.fileno()], env=environment, stdin=subprocess.DEVNULL)
    try:
        yield [sys.executable, "-I", "-S", __file__, "ask", address]
    finally:
        server.kill()
        server.wait()


def ask(address: str, arguments: list[str]) -> None:
    """The program that stands in for `python`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)  # until it is known what they are for
    is_open = [stream for stream in STREAMS if _is_open(stream)]
    request = {"arguments": arguments, "folder": str(Path.cwd()), "environment": dict(os.environ), "streams": is_open}
    # This socket must be none of the streams, which may be closed.
    kept = [os.open(os.devnull, os.O_RDWR) for stream in STREAMS if stream not in is_open]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(bytes.fromhex(address))
        data = json.dumps(request).encode()
        socket.send_fds(connection, [struct.pack("!Q", len(data))], is_open)
        connection.sendall(data)
        for stream in kept:
            os.close(stream)
        (process,) = struct.unpack("!q", _exactly(connection, 8))
        for number in FORWARDED:
            signal.signal(number, lambda received, frame: _send(process, received))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
        (status,) = struct.unpack("!q", _exactly(connection, 8))
    if os.WIFSIGNALED(status):
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))


def _is_open(stream: int) -> bool:
    try:
        os.fstat(stream)
    except OSError:
        return False
    return True


def _send(process: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise SystemExit("the server of processes has ended")
        data += part
    return data


def serve(listening: socket.socket, modules: list[str]) -> dict[str, Any]:
    """Load the modules at the first request, and fork for each. Returns in the new process alone, with the request."""
    select.select([listening], [], [])
    for name in modules:
        import_module(name)
    gc.freeze()
    running: dict[int, tuple[int, socket.socket]] = {}  # by the descriptor of a process: its number, and who asked
    while True:
        asked = {connection: ends for ends, (_, connection) in running.items() if connection.fileno() >= 0}
        for found in select.select([listening, *running, *asked], [], [])[0]:
            if found is listening:
                connection, _ = listening.accept()
                size, streams, _, _ = socket.recv_fds(connection, 8, len(STREAMS))
                request = json.loads(_exactly(connection, *struct.unpack("!Q", size)))
                process = os.fork()
                if process == 0:
                    for one in (listening, connection, *asked):
                        one.close()
                    for ends in running:
                        os.close(ends)
                    _take(request["streams"], streams)
                    return dict(request)
                for stream in streams:
                    os.close(stream)
                running[os.pidfd_open(process)] = process, connection
                connection.sendall(struct.pack("!q", process))
            elif found in running:  # a process has ended
                process, connection = running.pop(found)
                _, status = os.waitpid(process, 0)
                if connection.fileno() >= 0:
                    with suppress(OSError):
                        connection.sendall(struct.pack("!q", status))
                connection.close()
                os.close(found)
            elif found in asked and asked[found] in running:  # who asked has ended
                found.close()
                _send(running[asked[found]][0], signal.SIGKILL)


def _take(numbers: list[int], streams: list[int]) -> None:
    """Put the streams of who asked in the place of this process's."""
    moved = [fcntl.fcntl(stream, fcntl.F_DUPFD, max(STREAMS) + 1) for stream in streams]
    for stream in (*streams, *STREAMS):
        with suppress(OSError):
            os.close(stream)
    for number, stream in zip(numbers, moved):
        os.dup2(stream, number)
        os.close(stream)
    kinds: tuple[tuple[str, str, str], ...] = (
        ("stdin", "r", "strict"),
        ("stdout", "w", "strict"),
        ("stderr", "w", "backslashreplace"),
    )
    for number, (name, mode, errors) in enumerate(kinds):
        stream = None
        if number in numbers:
            lines = number == 2 or (number == 1 and os.isatty(1))
            stream = open(number, mode, encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115
            stream.reconfigure(line_buffering=lines)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def become(request: dict[str, Any]) -> None:
    """Do what `python` does with these arguments."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    first, *rest = request["arguments"]
    if first == "-u":
        first, *rest = rest
    if first == "-m":
        sys.argv, sys.path[0] = rest, str(Path.cwd())
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv, sys.path[0] = ["-c", *rest[1:]], ""
        main = ModuleType("__main__")
        sys.modules["__main__"] = main
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    else:
        sys.argv, sys.path[0] = [first, *rest], str(Path(first).resolve().parent)
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    what, where, *others = sys.argv[1:]
    if what == "ask":
        ask(where, others)
    else:
        become(serve(socket.socket(fileno=int(where)), others))
