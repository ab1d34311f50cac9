"""Processes that are copies of this one, and objects sent between them. On Linux alone: see light.can_fork.

What multiprocessing has for this takes longer to import than the copies take to make, and nothing else can be done
before they are there.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from sftdata.errors import killed_worker

_SIZE_BYTES = 8  # of what stands before each object: how many bytes it takes
_PR_SET_PDEATHSIG = 1  # prctl(2)
_ending: list[int] = []  # processes that were let go, as long as the system may still have an entry of them


class RemoteTraceback(Exception):
    """Where in another process an exception came from."""


class Pipe:
    """One end of a pipe that objects go through. Used up to the end of its process, or until `close`."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @staticmethod
    def pair() -> tuple[Pipe, Pipe]:
        """The end to read from, and the end to write to."""
        reading, writing = os.pipe()
        return Pipe(reading), Pipe(writing)

    def send(self, thing: object) -> None:
        """Write an object. Raises BrokenPipeError where nobody can read it any more."""
        data = pickle.dumps(thing, pickle.HIGHEST_PROTOCOL)
        view = memoryview(len(data).to_bytes(_SIZE_BYTES, "little") + data)
        while view:
            view = view[os.write(self.descriptor, view) :]

    def receive(self) -> Any:
        """The next object. Raises EOFError where nobody can write any more."""
        return pickle.loads(self._exactly(int.from_bytes(self._exactly(_SIZE_BYTES), "little")))

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = os.read(self.descriptor, size - len(data))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def close(self) -> None:
        """Be done with it in this process."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def waiting(pipes: Iterable[Pipe], *, at_once: bool = False) -> list[Pipe]:
    """Those of the pipes that can be read now: as soon as there are any, or `at_once`."""
    from select import POLLIN, poll  # which not every system has that this module is imported on

    by_descriptor = {pipe.descriptor: pipe for pipe in pipes}
    waiter = poll()
    for descriptor in by_descriptor:
        waiter.register(descriptor, POLLIN)
    return [by_descriptor[descriptor] for descriptor, _ in waiter.poll(0 if at_once else None)]


class Child:
    """A copy of this process that runs a function and ends. It is deaf to Ctrl-C, and ends with this process."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        _ending[:] = [pid for pid in _ending if not _is_gone(pid)]
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            _run(parent, function, arguments)

    def end(self) -> None:
        """End it, whatever it does, and wait until it is gone."""
        os.kill(self._pid, signal.SIGTERM)
        _is_gone(self._pid, wait=True)

    def let_go(self) -> None:
        """Leave it to end by itself: it is about to, and giving back its memory takes the system a while."""
        _ending.append(self._pid)


def _is_gone(pid: int, *, wait: bool = False) -> bool:
    """Whether a process of ours has ended; what the system kept of it is then gone as well."""
    try:
        return os.waitpid(pid, 0 if wait else os.WNOHANG) != (0, 0)
    except ChildProcessError:  # the system keeps nothing: whoever started us asked it not to
        return True


def _run(parent: int, function: Callable[..., object], arguments: tuple[object, ...]) -> NoReturn:
    """A child's life."""
    _ending.clear()  # they are not this process's
    try:
        gc.freeze()  # so that it does not write to the memory that it shares, only to look for garbage
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process decides
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:  # else it was gone before it could take this process along
            function(*arguments)
    except BaseException:  # noqa: BLE001 - a fault of ours; whoever waits for this process learns of its end
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def tell(pipe: Pipe, result: object) -> None:
    """Send one result to whoever hears."""
    pipe.send((result, None, ""))


def tell_failure(pipe: Pipe, error: BaseException) -> None:
    """Send the exception that is being handled, to be raised there."""
    pipe.send((None, _sendable(error), traceback.format_exc()))


def tell_end(pipe: Pipe) -> None:
    """Send that there are no more results."""
    pipe.send(None)


def heard(pipe: Pipe) -> tuple[Any] | None:
    """The one result that another process told next, or None where it told the end; what it failed of is raised.

    Raises WorkerError where the system ended it.
    """
    try:
        told = pipe.receive()
    except EOFError as end:
        raise killed_worker() from end
    if told is None:
        return None
    result, error, trace = told
    if error is not None:
        raise error from RemoteTraceback(trace)
    return (result,)


def _sendable(error: BaseException) -> Exception:
    """The error, or where it would not arrive as it is (a panic of a Rust library does not), one that says the same."""
    try:
        if isinstance(error, Exception) and isinstance(pickle.loads(pickle.dumps(error)), type(error)):
            return error
    except Exception:  # noqa: BLE001 - whatever pickling raises
        pass
    return RuntimeError(f"{type(error).__name__}: {error}")
