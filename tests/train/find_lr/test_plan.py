"""Which rates and rounds a sweep has, and what it costs: by hand."""

from __future__ import annotations

import pytest

from sftdata.errors import ConfigError
from sfttrain.find_lr.plan import Budget, Plan, Round, make_plan, make_rates, make_rounds, parse_budget


def test_seven_rates_two_a_decade_around_the_centre():
    assert make_rates(1e-3) == (3.2e-5, 1e-4, 3.2e-4, 1e-3, 3.2e-3, 1e-2, 3.2e-2)


@pytest.mark.parametrize(
    ("last", "rounds"),
    [
        (5, [Round(7, 5)]),
        (31, [Round(7, 31)]),  # a quarter would be 7 steps
        (32, [Round(7, 8), Round(3, 32)]),
        (127, [Round(7, 31), Round(3, 127)]),  # a quarter of 31 would be 7
        (128, [Round(7, 8), Round(4, 32), Round(3, 128)]),
        (1000, [Round(7, 62), Round(4, 250), Round(3, 1000)]),
    ],
)
def test_the_better_half_goes_on_to_four_times_the_steps_until_three_are_left(last: int, rounds: list[Round]):
    assert list(make_rounds(last)) == rounds


def test_the_cost_is_the_sum_of_the_rounds():
    plan = Plan(make_rates(1e-3), make_rounds(128), 3)
    assert plan.steps == 7 * 8 + 4 * 32 + 3 * 128 == 568
    assert plan.most_steps == 568 + 3 * 128
    assert plan.runs == 14


@pytest.mark.parametrize(
    ("run", "last"), [(3, 3), (20, 20), (40, 32), (128, 32), (400, 100), (1024, 256), (100_000, 256)]
)
def test_the_last_round_is_a_quarter_of_the_run_within_bounds(run: int, last: int):
    plan = make_plan(1e-3, run)
    assert (plan.last_steps, plan.max_more) == (last, 3)


@pytest.mark.parametrize(
    ("run", "budget", "last", "more"),
    [
        (1000, 184, 32, 1),  # 7 x 8 + 3 x 32 = 152, and 32 more
        (1000, 200, 35, 1),  # 7 x 8 + 3 x 35 + 35 = 196; with 36 steps a quarter is 9: 63 + 144 = 207
        (1000, 64, 8, 1),  # one round: 7 x 8, and 8 more
        (10, 10_000, 10, 3),  # never more than the run
        (40, 248, 40, 1),  # 7 x 10 + 3 x 40 = 190: 58 are left, enough for one of 40
    ],
)
def test_a_budget_is_never_exceeded(run: int, budget: int, last: int, more: int):
    plan = make_plan(1e-3, run, budget)
    assert (plan.last_steps, plan.max_more) == (last, more)
    assert plan.most_steps <= budget


def test_a_budget_that_is_too_small_is_refused_with_the_least_that_does():
    with pytest.raises(ConfigError, match="the smallest sweep takes 64; give at least 64"):
        make_plan(1e-3, 1000, 63)


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("400", Budget(400, "steps")),
        ("1,400 steps", Budget(1400, "steps")),
        ("2Mtokens", Budget(2_000_000, "tokens")),
        ("1.5k tokens", Budget(1500, "tokens")),
        ("1token", Budget(1, "tokens")),
    ],
)
def test_budgets_are_steps_or_tokens(text: str, budget: Budget):
    assert parse_budget(text) == budget


@pytest.mark.parametrize("text", ["", "0", "-3", "3 hours", "1.5", "tokens", "1e3", "k", "4 steps 5"])
def test_what_is_no_budget_is_refused(text: str):
    with pytest.raises(ConfigError, match="is not a number of steps or tokens"):
        parse_budget(text)


def test_tokens_are_whole_steps():
    assert Budget(10_000, "tokens").steps(1024) == 9
    assert Budget(7, "steps").steps(1024) == 7
