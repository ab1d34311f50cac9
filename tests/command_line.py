"""Runs sftdata's commands in the process of the test, or in one of their own."""

from __future__ import annotations

import atexit
import os
from contextlib import ExitStack
from functools import cache

from ready_process import PREPARING, python_that_is_ready
from typer.testing import CliRunner

from sftdata.cli.app import app


def call(*arguments: object, program: str | None = None) -> tuple[int, str, str]:
    """Run a command in this process: exit code, stdout, stderr."""
    name = {} if program is None else {"prog_name": program}
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], **name)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@cache
def ready_python() -> list[str]:
    """A command that does what `python` does, in a process that has loaded what `sftdata prepare` imports."""
    until_the_end = ExitStack()
    atexit.register(until_the_end.close)
    return until_the_end.enter_context(python_that_is_ready(PREPARING, dict(os.environ)))
