"""A process beside this one, begun while this one is small: it imports and loads while this one does something else.

It holds one object and makes the calls of its methods that it is sent, one after the other. Workers that it makes have
what it loaded. For processes of ours alone, as forked.py.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

from sftdata.engines.children import Child, Pipe, heard, tell, tell_end, tell_failure
from sftdata.errors import killed_worker

MAKE = "__init__"  # the method that is to be asked for first


class Aside:
    """An object in a process of its own. `home` names its class, as "module:name"; asking for MAKE makes it.

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
        while (answer := heard(self._answering)) is not None:
            yield answer[0]

    def call(self, method: str, *arguments: object) -> Any:
        """What a method gives."""
        self.ask(method, *arguments)
        return self.answer()

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.end()
        self._asking.close()
        self._answering.close()

    def dismiss(self) -> None:
        """Let the process end, which has nothing left to do."""
        self._asking.close()
        self._answering.close()
        self._process.let_go()


def _serve(begin: tuple[str, str, tuple[object, ...]], calls: Pipe, answers: Pipe, not_ours: tuple[Pipe, Pipe]) -> None:
    """The process's life: import at once, then make the calls, until nobody can send any."""
    for pipe in not_ours:
        pipe.close()
    home, first, arguments = begin
    made: Any = None
    with contextlib.suppress(Exception):  # what cannot be imported is not there when the object is made either
        _named(first)(*arguments)
        _named(home)
    try:
        while True:
            method, arguments = calls.receive()
            try:
                if method == MAKE:
                    made, result = _named(home)(*arguments), None
                else:
                    result = getattr(made, method)(*arguments)
                for part in result if isinstance(result, Iterator) else [result]:
                    tell(answers, part)
            except BrokenPipeError:
                raise
            except BaseException as error:  # noqa: BLE001 - raised again where the answer is read
                tell_failure(answers, error)
            else:
                tell_end(answers)
    except (EOFError, BrokenPipeError):  # the main process is gone
        return


def _named(name: str) -> Any:
    """What "module:name" names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
