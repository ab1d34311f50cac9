"""Stands in for `python` in tests that start many processes with torch: imports take six seconds of each, a fork none.

`python_that_is_ready` starts a server, which has multiprocessing's fork server import the modules once, and gives a
command to use as `python`: `[*command, "-m", "sfttrain", "run", ...]`, a script, or `-c CODE`. The command is a small
program that asks the server for a process with its own arguments, folder, environment and standard streams, passes on
the signals that it gets, and ends as that process does. If it is killed, the process is killed too, a moment later.

The processes share the order of sets of texts: a test of that starts a real `python`.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Client, Connection, Listener, wait
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

IS_POSSIBLE = sys.platform == "linux"  # streams are opened by their names in /proc
# What `sftdata prepare` and `sfttrain run` import, by the modules that import it.
PREPARING = ["sftdata.cli.app", "sftdata.pipeline.prepare", "sftdata.store.verify", "fastokens", "pandas"]
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
    if not IS_POSSIBLE:
        yield [sys.executable]
        return
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    # A process that is killed leaves semaphores, which is what some tests are about.
    command = [sys.executable, "-W", "ignore:resource_tracker:UserWarning", __file__, "serve", *modules]
    with subprocess.Popen(command, env=environment, text=True, **pipes) as server:  # ends with its standard input
        assert server.stdout is not None
        yield [sys.executable, "-I", "-S", __file__, "ask", server.stdout.readline().strip()]


def serve(modules: list[str]) -> None:
    """Say an address, and start a process for each program that asks there, until standard input ends."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(modules)
    with Listener(family="AF_UNIX") as listener:
        Thread(target=accept, args=(listener,), daemon=True).start()
        print(listener.address, flush=True)
        sys.stdin.read()


def accept(listener: Listener) -> None:
    """Answer everyone who asks, each in a thread."""
    while True:
        Thread(target=answer, args=(listener.accept(),), daemon=True).start()


def answer(connection: Connection) -> None:
    """Start what a program asks for; say its number, then its exit code. It ends with the program that asked."""
    process = multiprocessing.get_context("forkserver").Process(target=become, args=connection.recv())
    process.start()
    connection.send(process.pid)
    if process.sentinel not in wait([process.sentinel, connection]):
        process.kill()
    process.join()
    with connection, suppress(BrokenPipeError):
        connection.send(process.exitcode)


def become(asking: int, folder: str, environment: dict[str, str], arguments: list[str]) -> None:
    """Do what `python` does with these arguments, on the standard streams of the process `asking`."""
    for stream, mode in enumerate((os.O_RDONLY, os.O_WRONLY | os.O_APPEND, os.O_WRONLY | os.O_APPEND)):
        opened = os.open(f"/proc/{asking}/fd/{stream}", mode | os.O_NOCTTY)
        os.dup2(opened, stream)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    os.fsync = lambda descriptor: None  # as in conftest.py
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    first, *rest = arguments
    if first == "-m":
        sys.argv, sys.path[0] = rest, folder
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv, sys.path[0] = ["-c", *rest[1:]], ""
        sys.modules["__main__"] = main = ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    else:
        sys.argv, sys.path[0] = arguments, str(Path(first).resolve().parent)
        runpy.run_path(first, run_name="__main__")


def ask(address: str, arguments: list[str]) -> None:
    """The program that stands in for `python`."""
    with Client(address) as connection:
        connection.send((os.getpid(), str(Path.cwd()), dict(os.environ), arguments))
        process = connection.recv()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, frame: os.kill(process, received))
        code = connection.recv()
    if code < 0:
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    what, *others = sys.argv[1:]
    serve(others) if what == "serve" else ask(others[0], others[1:])
