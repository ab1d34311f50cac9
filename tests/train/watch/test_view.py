"""What a run shows of its steps: lines by hand, the live view on a terminal, and the speed that both say."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from processes import read_terminal

from sftdata.safe.terminal import safe_console
from sfttrain.watch.pace import Pace, Speed
from sfttrain.watch.view import Lines, Live, Silent, Step, can_draw, lines_of, make_view, sparkline

SPEED = Speed(2250.4, 580.4, 3723.0)
STEP = Step(120, 565, 1.23456, 2.4e-4, SPEED)
LAST = Step(565, 565, 1.0, 0.0, Speed(2000.0, 500.0, 0.0))


def test_a_step_is_one_line():
    assert STEP.in_words == "step 120/565  loss 1.2346  lr 2.40e-04  2,250 tokens/s (580 trained)  1 h 02 min left"
    assert LAST.in_words == "step 565/565  loss 1.0000  lr 0.00e+00  2,000 tokens/s (500 trained)"


def test_the_live_view_has_three_lines():
    assert lines_of(STEP, [3.0, 2.0, 1.0], 1.5, 1_940_000_000, 10) == [
        "  step 120/565  21%  1 h 02 min left",
        "  loss 1.2346  █▅▁  validation 1.5000",
        "  lr 2.40e-04  2,250 tokens/s (580 trained)  memory 1.9 GB",
    ]
    assert lines_of(LAST, [1.0], None, None, 0) == [
        "  step 565/565  100%",
        "  loss 1.0000",
        "  lr 0.00e+00  2,000 tokens/s (500 trained)",
    ]


@pytest.mark.parametrize(
    ("values", "width", "drawn"),
    [
        ([8, 7, 6, 5, 4, 3, 2, 1, 0], 9, "██▇▆▅▄▃▂▁"),
        ([0, 10], 9, "▁█"),
        ([4, 4, 4], 9, "▅▅▅"),
        ([1, 3, 5, 7], 2, "▁█"),  # the means 2 and 6
        ([1, float("nan"), 2, float("inf")], 9, "▁█"),
        ([1], 9, ""),
        ([], 9, ""),
        ([1, 2, 3], 0, ""),
        ([1, 2, 3], -5, ""),
    ],
)
def test_a_curve_is_a_line_of_bars(values: list[float], width: int, drawn: str):
    assert sparkline(values, width) == drawn


@given(st.lists(st.floats(-1e30, 1e30)), st.integers(-3, 50))
def test_any_losses_give_a_curve_of_at_most_its_width(values: list[float], width: int):
    assert len(sparkline(values, width)) <= max(width, 0)


def test_bars_are_drawn_where_they_can_be_written():
    assert can_draw("utf-8")
    assert not can_draw("latin-1")
    assert not can_draw("no such encoding")


def test_the_time_left_goes_by_the_recent_steps_and_not_by_the_first():
    pace = Pace()
    pace.begin(100.0, 0)
    assert pace.measure(110.0, step=1, max_steps=11, tokens=50, trained=20) == Speed(5.0, 2.0, 100.0)
    assert pace.measure(112.0, step=2, max_steps=11, tokens=150, trained=40) == Speed(50.0, 10.0, 18.0)
    pace.restart(200.0)  # a validation
    assert pace.measure(204.0, step=3, max_steps=11, tokens=250, trained=60) == Speed(25.0, 5.0, 24.0)
    assert pace.measure(210.0, step=11, max_steps=11, tokens=250, trained=60) == Speed(0.0, 0.0, 0.0)


def test_a_run_that_continues_counts_its_own_steps():
    pace = Pace()
    pace.begin(0.0, 50)
    assert pace.measure(4.0, step=52, max_steps=60, tokens=8, trained=4) == Speed(2.0, 1.0, 16.0)


def test_where_there_is_no_terminal_each_logged_step_is_a_line(capsys: pytest.CaptureFixture[str]):
    with Lines() as view:
        for step in (Step(1, 3, 2.0, 0.1, SPEED), Step(2, 3, 1.9, 0.1, SPEED), Step(3, 3, 1.8, 0.1, SPEED)):
            view.step(step)
    assert [line[:22] for line in capsys.readouterr().err.splitlines()] == [
        "step 1/3  loss 2.0000 ",
        "step 2/3  loss 1.9000 ",
        "step 3/3  loss 1.8000 ",
    ]


def test_the_view_is_live_on_a_terminal_alone():
    assert isinstance(make_view(), Lines)
    assert type(make_view(is_main=False)) is Silent


def test_the_live_view_is_cleared_and_leaves_the_last_step(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TERM", "xterm")
    file = io.StringIO()
    console = safe_console(file=file)
    console._force_terminal, console.is_interactive, console._width = True, True, 60
    with Live(console, [3.0, 2.0]) as view:
        view.validated(1.5)
        view.step(LAST)
    shown = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", file.getvalue())
    assert "  step 565/565  100%\n  loss 1.0000  █▅▁  validation 1.5000\n  lr 0.00e+00  2,000 tokens/s" in shown
    assert file.getvalue().endswith(("\x1b[2K", "\x1b[1A\x1b[2K"))  # the lines are gone
    assert capsys.readouterr().err == f"{LAST.in_words}\n"


def test_lines_that_are_wider_than_the_terminal_are_cut(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm")
    file = io.StringIO()
    console = safe_console(file=file)
    console._force_terminal, console.is_interactive, console._width = True, True, 20
    with Live(console) as view:
        view.step(STEP)
    shown = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", file.getvalue())
    assert {len(line.rstrip()) for line in shown.splitlines()} <= set(range(21))
    assert "  lr 2.40e-04  2,25…" in shown


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are of Unix")
def test_on_a_terminal_a_run_draws_its_losses_and_leaves_the_cursor(
    settings: Callable[..., dict[str, Any]], tmp_path: Path, python: list[str]
):
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings(max_steps=6, eval_every=3)))
    above, below = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [*python, "-m", "sfttrain", "run", str(tmp_path / "run.yaml")]
    run = subprocess.Popen(command, stdout=below, stderr=below, stdin=below, env=environment)
    said = read_terminal(above, below)
    assert run.wait(timeout=120) == 0, said
    text = said.decode()
    assert "tokens/s (" in text
    assert re.search("loss [0-9.]+  [▁▂▃▄▅▆▇█]{2,6}", text)
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    plain = [re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", line).strip() for line in text.splitlines()]
    assert any(line.startswith("step 6/6  loss ") for line in plain)
    assert any(line.startswith("step 3: validation loss ") for line in plain)  # above the view, whole
    assert plain[-1].startswith("saved in ")
