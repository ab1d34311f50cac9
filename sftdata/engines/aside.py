"""A process beside this one, begun while this one is small: it imports and loads while this one does something else.

It holds one object and makes the calls of its methods that it is sent, one after the other. Workers that it forks have
what it loaded. For processes of ours alone, as forked.py.
"""

from __future__ import annotations

import importlib
import multiprocessing
import traceback
from collections.abc import Iterator
from typing import Any

from sftdata.engines.workers import RemoteTraceback, begin_worker, killed_worker, sendable


class Aside:
    """An object in a process of its own. `home` names its class, as "module:name"; `make` makes it.

    Calls are asked for and answered in order: `ask`, and later `answer`, or `answers` for a method that yields. What a
    method raises is raised where its answer is read; WorkerError where the system ended the process.
    """

    def __init__(self, home: str) -> None:
        context: Any = multiprocessing.get_context("fork")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(home, theirs, self._connection))
        self._process.start()
        theirs.close()

    def make(self, *arguments: object) -> None:
        """Make the object. It is not answered: what goes wrong is raised with the first answer."""
        self._send("", arguments)

    def ask(self, method: str, *arguments: object) -> None:
        """Have a method called."""
        self._send(method, arguments)

    def answer(self) -> Any:
        """What the method gave that was asked for longest ago."""
        (result,) = self.answers()
        return result

    def answers(self) -> Iterator[Any]:
        """What a method yields, as it does."""
        while (reply := self._reply()) is not None:
            result, error, trace = reply
            if error is not None:
                raise error from RemoteTraceback(trace)
            yield result

    def call(self, method: str, *arguments: object) -> Any:
        """What a method gives."""
        self.ask(method, *arguments)
        return self.answer()

    def close(self) -> None:
        """End the process, whatever it does."""
        self._connection.close()
        self._process.terminate()
        self._process.join()

    def _send(self, method: str, arguments: tuple[object, ...]) -> None:
        try:
            self._connection.send((method, arguments))
        except ConnectionError as end:
            raise killed_worker() from end

    def _reply(self) -> tuple[Any, Exception | None, str] | None:
        try:
            reply: tuple[Any, Exception | None, str] | None = self._connection.recv()
        except (EOFError, ConnectionError) as end:
            raise killed_worker() from end
        return reply


def _serve(home: str, connection: Any, other_end: Any) -> None:
    """The process's life: import at once, then make the calls, until nobody can send any."""
    begin_worker()
    other_end.close()
    served = _Served(home)
    try:
        while True:
            method, arguments = connection.recv()
            if not method:
                served.make(arguments)
                continue
            try:
                for part in served.call(method, arguments):
                    connection.send((part, None, ""))
            except ConnectionError:
                raise
            except BaseException as error:  # noqa: BLE001 - raised again where the answer is read
                connection.send((None, sendable(error), traceback.format_exc()))
            else:
                connection.send(None)
    except (EOFError, ConnectionError):  # the main process is gone
        return


class _Served:
    """The object, and where there is none, why."""

    def __init__(self, home: str) -> None:
        module, _, name = home.partition(":")
        self._made: Any = None
        self._error: BaseException | None = None
        try:
            self._factory = getattr(importlib.import_module(module), name)
        except Exception as error:  # noqa: BLE001 - raised with the first answer
            self._error = error

    def make(self, arguments: tuple[object, ...]) -> None:
        """Make the object."""
        if self._error is None:
            try:
                self._made = self._factory(*arguments)
            except Exception as error:  # noqa: BLE001 - raised with the first answer
                self._error = error

    def call(self, method: str, arguments: tuple[object, ...]) -> Iterator[Any]:
        """What a method yields, or the one thing that it gives."""
        if self._error is not None:
            raise self._error
        result = getattr(self._made, method)(*arguments)
        yield from result if isinstance(result, Iterator) else [result]
