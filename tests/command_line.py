"""Runs sftdata's commands in the process of the test."""

from __future__ import annotations

from typer.testing import CliRunner

from sftdata.cli.app import app


def call(*arguments: object, program: str | None = None) -> tuple[int, str, str]:
    """Run a command in this process: exit code, stdout, stderr."""
    name = {} if program is None else {"prog_name": program}
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], **name)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr
