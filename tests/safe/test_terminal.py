"""What reaches a terminal. Answers are written by hand."""

from __future__ import annotations

import io
import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from sftdata.safe.terminal import SafeStream, printable, safe_console, safe_output


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Jgone", "\u241b[2Jgone"),
        ("\x1b]8;;https://x\x07link\x1b]8;;\x07", "\u241b]8;;https://x\u2407link\u241b]8;;\u2407"),
        ("\x9b31m", "<U+009B>31m"),
        ("a\rb\x08\x7f", "a\u240db\u2408\u2421"),
        ("abc\u202egpj.exe", "abc<U+202E>gpj.exe"),
        ("\u2066a\u2069\u200b\ufeff\U000e0041", "<U+2066>a<U+2069><U+200B><U+FEFF><U+E0041>"),
        ("bad \udcff\ud800", "bad \\xff<U+D800>"),
        ("one\n\ttwo caf\u00e9\u00a0\u4f60\u597d", "one\n\ttwo caf\u00e9\u00a0\u4f60\u597d"),
        ("\U0001f468\u200d\U0001f469 \u0915\u094d\u200d\u0937", "\U0001f468\u200d\U0001f469 \u0915\u094d\u200d\u0937"),
        ("a\u200db", "a<U+200D>b"),
    ],
)
def test_characters_that_control_a_terminal_are_shown_and_text_stays(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters(codec=None), max_size=60))
def test_nothing_that_is_printed_controls_a_terminal(text: str) -> None:
    shown = printable(text)
    kept = [char for char in shown if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    assert set(kept) <= set("\n\t\u200c\u200d")
    assert printable(shown) == shown
    shown.encode()


@given(st.text(st.characters(codec=None), max_size=60), st.sampled_from(["utf-8", "ascii", "latin-1", "cp1252"]))
def test_a_stream_of_any_encoding_can_be_written_to(text: str, encoding: str) -> None:
    below = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    assert SafeStream(below).write(text) == len(text)
    below.flush()


def test_output_is_safe_only_inside_the_block_and_closed_streams_stay_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    below = io.StringIO()
    monkeypatch.setattr(sys, "stdout", below)
    monkeypatch.setattr(sys, "stderr", None)
    with safe_output():
        print("\x1b[31m")
        assert sys.stderr is None
    print("\x1b[0m")
    assert (below.getvalue(), sys.stdout) == ("\u241b[31m\n\x1b[0m\n", below)


def test_rich_draws_its_own_colours_and_shows_those_of_the_data() -> None:
    out = io.StringIO()
    console = safe_console(file=out)
    console._force_terminal = True
    table = Table()
    table.add_column("\x1b[5mhead")
    table.add_row("[bold]x[/bold] \u202e.")
    console.print(table, "[bold]y[/bold] \u202e :smile:")
    console.print(Text("\x1b]8;;https://x\x07y", style="link https://evil"))
    text = out.getvalue()
    for shown in ("\u241b[5mhead", "[bold]x[/bold] <", "[bold]y[/bold] <U+202E> :smile:", "\u241b]8;;"):
        assert shown in text
    assert "\x1b[5m" not in text
    assert "\x1b]8" not in text


def test_json_stays_json() -> None:
    from sftdata.cli.check import as_json_text

    value = {"a\x7f": "\x1b]0;x\x07 \u202e \x9b \ud800"}
    text = as_json_text(value)
    assert json.loads(text) == value
    assert printable(text) == text
