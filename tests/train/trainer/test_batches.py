"""How many rows an optimizer step takes."""

from __future__ import annotations

import pytest

from sftdata.store.manifest import SplitStats
from sfttrain.config import TrainConfig
from sfttrain.trainer.batches import BatchPlan, plan_batches


def plan(rows: int, row_tokens: int, batch_tokens: int, world_size: int = 1, **trainer: int) -> BatchPlan:
    """The plan for rows of `row_tokens` tokens, in a dataset with seq_len 2048."""
    tokens = rows * row_tokens
    split = SplitStats(shards=1, rows=rows, samples=rows, tokens=tokens, trained_tokens=tokens)
    config = TrainConfig(shards="data", model="model", out="out", batch_tokens=batch_tokens, trainer=trainer)
    return plan_batches(config, split, 2048, world_size)


def test_a_step_takes_the_rows_that_hold_batch_tokens():
    batches = plan(rows=100, row_tokens=2000, batch_tokens=32_000)
    assert (batches.rows_per_device, batches.accumulation, batches.rows_per_step) == (1, 16, 16)
    assert batches.tokens_per_step == 32_000
    assert batches.steps_per_epoch == 7


def test_the_rows_of_a_step_are_spread_over_the_processes():
    batches = plan(rows=100, row_tokens=2000, batch_tokens=32_000, world_size=4)
    assert (batches.rows_per_device, batches.accumulation, batches.rows_per_step) == (1, 4, 16)


def test_short_unpacked_rows_are_taken_together_up_to_a_full_row():
    batches = plan(rows=1000, row_tokens=100, batch_tokens=4000)
    assert (batches.rows_per_device, batches.accumulation) == (20, 2)


def test_a_step_never_takes_more_rows_than_there_are():
    batches = plan(rows=5, row_tokens=2000, batch_tokens=1_000_000)
    assert batches.rows_per_step == 5
    assert batches.steps_per_epoch == 1


def test_a_step_takes_at_least_one_row_per_process():
    assert plan(rows=50, row_tokens=2000, batch_tokens=10, world_size=2).rows_per_step == 2


def test_rows_per_device_can_be_set_and_the_rest_is_accumulated():
    batches = plan(rows=100, row_tokens=2000, batch_tokens=32_000, per_device_train_batch_size=8)
    assert (batches.rows_per_device, batches.accumulation) == (8, 2)


@pytest.mark.parametrize(
    ("epochs", "max_steps", "steps"), [(None, None, 7), (2, None, 14), (0.5, None, 4), (None, 3, 3)]
)
def test_a_run_takes_max_steps_or_the_steps_of_its_epochs(epochs: float | None, max_steps: int | None, steps: int):
    assert plan(rows=100, row_tokens=2000, batch_tokens=32_000).num_steps(epochs, max_steps) == steps
