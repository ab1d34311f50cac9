"""What follows from losses: toy sweeps whose answer is known by hand, and any parabola."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfttrain.find_lr.decide import Trial, go_on, parabola_minimum, recommend, unproven_sides, why_out
from sfttrain.find_lr.plan import Plan, Round, make_plan
from sfttrain.find_lr.sweep import run_rounds


def trial(rate: float, loss: float | None, steps: int = 40, out: str = "") -> Trial:
    return Trial(rate, steps, steps, loss, out)


def test_a_rate_above_the_start_or_nan_is_out_and_why():
    assert why_out(2.0, 2.0) == ""
    assert why_out(2.001, 2.0) == ""  # noise of a rate that is far too low
    assert why_out(2.5, 2.0) == "diverged: the validation loss 2.5 is above 2 at the start"
    assert why_out(math.nan, 2.0) == "diverged: the validation loss is nan"
    assert why_out(math.inf, 2.0) == "diverged: the validation loss is inf"


def test_the_best_go_on_and_none_that_diverged():
    trials = [
        trial(1e-4, 2.0),
        trial(1e-3, 1.0),
        trial(1e-2, 1.5),
        trial(1e-1, 0.1, out="diverged"),
        trial(1, None, out="nan"),
    ]
    assert go_on(trials, 2) == [1e-3, 1e-2]
    assert go_on(trials, 4) == [1e-4, 1e-3, 1e-2]


def test_of_equal_losses_the_lower_rate_goes_on():
    assert go_on([trial(1e-2, 1.0), trial(1e-3, 1.0)], 1) == [1e-3]


def test_the_minimum_of_a_parabola_by_hand():
    assert parabola_minimum([(0, 4), (1, 1), (2, 0)]) == 2  # (x - 2)^2
    assert parabola_minimum([(-1, 5), (0, 3), (1, 5)]) == 0
    assert parabola_minimum([(0, 1), (1, 1), (2, 1)]) == 1  # level


@given(st.floats(-1, 1), st.floats(0.1, 9), st.floats(-5, 5), st.tuples(st.floats(0.5, 2), st.floats(0.5, 2)))
def test_it_is_found_for_any_parabola(middle: float, width: float, least: float, gaps: tuple[float, float]):
    xs = (-gaps[0], 0.0, gaps[1])
    found = parabola_minimum([(x, width * (x - middle) ** 2 + least) for x in xs])
    assert found == pytest.approx(middle, abs=1e-6)


@given(st.floats(0, 5), st.floats(0, 5))
def test_it_is_never_farther_from_the_lowest_than_half_way_to_a_neighbour(below: float, above: float):
    assert -0.5 <= parabola_minimum([(-1, 1 + below), (0, 1), (1, 1 + above)]) <= 0.5


def test_between_worse_neighbours_the_rate_is_fitted():
    # In log10: (-4, 3), (-3, 1), (-2, 2): slopes -2 and 1 in the middles -3.5 and -2.5, so 0 at -3.5 + 2/3.
    found = recommend([trial(1e-4, 3.0), trial(1e-3, 1.0), trial(1e-2, 2.0)], [])
    assert found is not None
    assert (found.rate, found.best, found.rule, found.edge) == (1.5e-3, 1e-3, "fit", "")  # 10^-2.8333 = 0.001468
    assert "through 0.0001, 0.001 and 0.01" in found.reason


def test_a_flat_minimum_is_said():
    found = recommend([trial(1e-4, 1.001), trial(1e-3, 1.0), trial(1e-2, 1.002)], [])
    assert found is not None
    assert "differ by less than 0.5%" in found.reason


def test_beside_a_rate_that_diverged_it_is_the_best_itself():
    found = recommend([trial(1e-4, 2.0), trial(1e-3, 1.0)], [trial(1e-2, None, 8, "diverged: the loss is nan")])
    assert found is not None
    assert (found.rate, found.rule) == (1e-3, "best")
    assert "0.01 beside it diverged" in found.reason


@pytest.mark.parametrize(("losses", "rate", "edge"), [((1.0, 2.0, 3.0), 1e-4, "low"), ((3.0, 2.0, 1.0), 1e-2, "high")])
def test_at_an_edge_it_is_said_that_the_minimum_may_lie_beyond(losses: tuple[float, ...], rate: float, edge: str):
    found = recommend([trial(10.0**power, loss) for power, loss in zip((-4, -3, -2), losses)], [])
    assert found is not None
    assert (found.rate, found.rule, found.edge) == (rate, "edge", edge)
    assert f"learning_rate={rate:g}" in found.reason


def test_a_neighbour_left_behind_in_a_shorter_round_proves_nothing():
    last = [trial(1e-4, 3.0), trial(1e-3, 1.0)]
    assert unproven_sides(last, [trial(1e-2, 9.0, 8)]) == [(1, 1e-2)]
    found = recommend(last, [trial(1e-2, 9.0, 8)])
    assert found is not None
    assert (found.rate, found.rule, found.edge) == (1e-3, "best", "")
    assert "0.01 beside it was left behind in a shorter round" in found.reason


def test_where_all_diverged_nothing_is_recommended_and_the_side_below_is_open():
    trials = [trial(1e-3, None, out="diverged"), trial(1e-2, 9.0, out="diverged")]
    assert recommend(trials, []) is None
    assert unproven_sides(trials, []) == [(-1, None)]


class Toy:
    """A sweep whose loss is 1 + (log10 rate - log10 best)^2 / 10, and which diverges above a rate."""

    def __init__(self, best: float, diverges: float = math.inf) -> None:
        self.best, self.diverges = best, diverges
        self.ran: list[tuple[float, int]] = []

    def train(self, rate: float, steps: int) -> Trial:
        self.ran.append((rate, steps))
        if rate > self.diverges:
            return Trial(rate, steps, 1, None, "diverged: the loss is nan")
        return Trial(rate, steps, steps, 1 + math.log10(rate / self.best) ** 2 / 10)


def test_the_schedule_of_halving_by_hand():
    toy = Toy(1e-3)
    run_rounds(make_plan(1e-3, 512), toy.train)
    first = [(rate, 8) for rate in (3.2e-5, 1e-4, 3.2e-4, 1e-3, 3.2e-3, 1e-2, 3.2e-2)]
    second = [(rate, 32) for rate in (1e-4, 3.2e-4, 1e-3, 3.2e-3)]  # 1e-4 and 1e-2 are equal: the lower one
    third = [(rate, 128) for rate in (3.2e-4, 1e-3, 3.2e-3)]
    assert toy.ran == first + second + third


def test_beyond_an_edge_the_sweep_is_extended_until_the_minimum_is_enclosed():
    toy = Toy(1e-1)
    last, earlier = run_rounds(make_plan(1e-3, 128), toy.train)
    assert toy.ran[7:] == [(3.2e-3, 32), (1e-2, 32), (3.2e-2, 32), (1e-1, 32), (3.2e-1, 32)]
    found = recommend(last, earlier)
    assert found is not None
    assert (found.rule, found.best) == ("fit", 1e-1)
    assert found.rate == pytest.approx(1e-1, rel=0.02)


def test_an_extension_ends_where_the_steps_end_and_says_so():
    last, earlier = run_rounds(make_plan(1e-3, 128), Toy(1e3).train)
    found = recommend(last, earlier)
    assert found is not None
    assert (found.rule, found.edge, found.rate) == ("edge", "high", 1.0)  # 0.032, and three steps of half a decade


def test_rates_that_all_diverge_are_followed_by_lower_ones():
    toy = Toy(1e-6, diverges=2e-5)
    last, earlier = run_rounds(make_plan(1e-3, 128), toy.train)
    assert toy.ran[7:] == [(1e-5, 32), (3.2e-6, 32), (1e-6, 32)]
    found = recommend(last, earlier)
    assert found is not None
    assert (found.rule, found.edge) == ("edge", "low")


def test_a_rate_that_halving_left_behind_by_mistake_is_tried_after_all():
    """Short runs that say nothing: the loss of eight steps falls with the rate, that of 32 has its minimum at 1e-3."""
    toy = Toy(1e-3)
    short = Toy(1e9)
    plan = Plan(make_plan(1e-3, 128).rates, (Round(7, 8), Round(3, 32)), 3)
    last, earlier = run_rounds(plan, lambda rate, steps: (short if steps == 8 else toy).train(rate, steps))
    assert toy.ran == [(3.2e-3, 32), (1e-2, 32), (3.2e-2, 32), (1e-3, 32), (3.2e-4, 32)]
    found = recommend(last, earlier)
    assert found is not None
    assert found.rate == 1e-3


@given(st.floats(-5.5, -0.5), st.sampled_from([40, 128, 512, 5000]))
def test_the_rate_is_within_a_factor_of_2_of_the_minimum(power: float, run: int):
    last, earlier = run_rounds(make_plan(1e-3, run), Toy(10**power).train)
    found = recommend(last, earlier)
    assert found is not None
    assert 0.5 < found.rate / 10**power < 2
