"""sftdata.safe.pager: long output on a terminal goes through a pager, and nothing else does."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from sftdata.safe.pager import paged, pager_command


class Terminal(io.StringIO):
    """Stands for a terminal of some lines."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Terminal:
    """stdout is a terminal of 10 lines, and the pager writes what it gets into the file `paged`."""
    stream = Terminal()
    for name, value in {"TERM": "xterm-256color", "LINES": "10", "COLUMNS": "80"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    program = tmp_path / "pager"
    program.write_text(f"#!/bin/sh\nexec cat > {tmp_path / 'paged'}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PAGER", str(program))
    return stream


def show(stdout: io.StringIO, lines: int, *, allowed: bool = True) -> None:
    with redirect_stdout(stdout), paged(allowed) as console:
        for number in range(lines):
            console.print(f"line {number}", style="bold")


@pytest.mark.skipif(os.name != "posix", reason="the pager of the test is a shell script")
def test_what_does_not_fit_goes_through_the_pager_with_its_styles(terminal: Terminal, tmp_path: Path) -> None:
    show(terminal, 30)
    text = (tmp_path / "paged").read_text()
    assert text.count("line") == 30 and "\x1b[1mline 0\x1b[0m" in text
    assert terminal.getvalue() == ""


def test_what_fits_is_printed(terminal: Terminal, tmp_path: Path) -> None:
    show(terminal, 5)
    assert terminal.getvalue().count("line") == 5
    assert not (tmp_path / "paged").exists()


def test_without_a_pager_everything_is_printed(terminal: Terminal, tmp_path: Path) -> None:
    show(terminal, 30, allowed=False)
    assert terminal.getvalue().count("line") == 30
    assert not (tmp_path / "paged").exists()


def test_a_pager_that_cannot_be_started_costs_nothing(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "pager").write_text("no program")
    show(terminal, 30)
    assert terminal.getvalue().count("line") == 30


def test_a_pipe_never_gets_a_pager(terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setenv("FORCE_COLOR", "1")
    show(pipe, 30)
    assert pipe.getvalue().count("line") == 30
    assert not (tmp_path / "paged").exists()


@pytest.mark.parametrize(
    ("environment", "command"),
    [
        ({"TERM": "dumb", "PAGER": "sh"}, None),
        ({"PAGER": "sh"}, None),
        ({"TERM": "xterm", "PAGER": "sh -c cat"}, ["sh", "-c", "cat"]),
        ({"TERM": "xterm", "PAGER": "no-such-program"}, None),
        ({"TERM": "xterm", "PAGER": "un'closed"}, None),
        ({"TERM": "xterm", "PAGER": ""}, None),
    ],
)
def test_the_pager_is_that_of_the_environment(environment: dict[str, str], command: list[str] | None) -> None:
    assert pager_command({"PATH": os.environ["PATH"], **environment}) == command
