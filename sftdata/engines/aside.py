"""A process beside this one, begun while this one is small: it imports and loads while this one does something else.

It holds one object and makes the calls of its methods that it is sent, one after the other. Workers that it makes have
what it loaded. For processes of ours alone, as forked.py.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Iterator
from typing import Any

from sftdata.engines.children import Child, Pipe, RemoteTraceback, sendable
from sftdata.errors import killed_worker


class Aside:
    """An object in a process of its own. `home` names its class, as "module:name"; `make` makes it.

    `first` names a function in the same way, which is called with `arguments` before anything else is imported.

    Calls are asked for and answered in order: `ask`, and later `answer`, or `answers` for a method that yields. What a
    method raises is raised where its answer is read; WorkerError where the system ended the process.
    """

    def __init__(self, home: str, first: str, *arguments: object) -> None:
        theirs, self._asking = Pipe.pair()
        self._answering, answers = Pipe.pair()
        not_theirs = (self._asking, self._answering)
        self._process = Child(_serve, (home, first, arguments), theirs, answers, not_theirs)
        theirs.close()
        answers.close()

    def make(self, *arguments: object) -> None:
        """Make the object. It is not answered: what goes wrong is raised with the first answer."""
        self.ask("", *arguments)

    def ask(self, method: str, *arguments: object) -> None:
        """Have a method called."""
        try:
            self._asking.send((method, arguments))
        except BrokenPipeError as end:
            raise killed_worker() from end

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
        self._process.end()
        self._asking.close()
        self._answering.close()

    def _reply(self) -> tuple[Any, Exception | None, str] | None:
        try:
            reply: tuple[Any, Exception | None, str] | None = self._answering.receive()
        except EOFError as end:
            raise killed_worker() from end
        return reply


def _serve(begin: tuple[str, str, tuple[object, ...]], calls: Pipe, answers: Pipe, not_ours: tuple[Pipe, Pipe]) -> None:
    """The process's life: import at once, then make the calls, until nobody can send any."""
    for pipe in not_ours:
        pipe.close()
    served = _Served(*begin)
    try:
        while True:
            method, arguments = calls.receive()
            if not method:
                served.make(arguments)
                continue
            try:
                for part in served.call(method, arguments):
                    answers.send((part, None, ""))
            except BrokenPipeError:
                raise
            except BaseException as error:  # noqa: BLE001 - raised again where the answer is read
                answers.send((None, sendable(error), traceback.format_exc()))
            else:
                answers.send(None)
    except (EOFError, BrokenPipeError):  # the main process is gone
        return


class _Served:
    """The object, and where there is none, why."""

    def __init__(self, home: str, first: str, arguments: tuple[object, ...]) -> None:
        self._made: Any = None
        self._error: BaseException | None = None
        try:
            _named(first)(*arguments)
            self._factory = _named(home)
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


def _named(name: str) -> Any:
    """What "module:name" names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
