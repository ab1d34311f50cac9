"""The time of a run from two measured steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import sfttrain
from sfttrain.check.steps import StepTime, time_finding
from sfttrain.config import parse_config
from sfttrain.trainer.batches import BatchPlan


def test_the_time_of_a_run_is_that_of_its_passes_and_its_optimizer_steps():
    """100 steps of 4 passes: 100 x (4 x 2 s + 1 s) = 900 s. The first step, which also warms up, does not count."""
    config = parse_config({"shards": "d", "model": "m", "out": "o", "max_steps": 100})
    batches = BatchPlan(2, 4, 1, 10.0, 400, 64)
    found = time_finding(config, batches, [StepTime(100.0, 50.0), StepTime(2.0, 1.0)])
    assert found.figures["seconds"] == 900
    assert found.what == (
        "about 15 min for 100 steps of 8 sequences, without validation (two steps of 2 took 2 min 30 s and 3 s)"
    )


def test_a_run_says_after_two_steps_how_long_it_will_take(
    settings: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
):
    sfttrain.run(settings(max_steps=4))
    assert "for the 2 steps left, without validation" in capsys.readouterr().err
