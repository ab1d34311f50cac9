"""Which rates a sweep tries, for how many steps, and what that costs at most.

Successive halving (Jamieson and Talwalkar 2016): all rates are trained for a few steps; the better half goes on to a
round of four times as many, and the last round is for three. Each rate begins anew in each round, with the whole
schedule of its length: in the middle of a schedule, a higher rate always looks worse than it ends.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sftdata.errors import ConfigError, pluralize

NUM_RATES, PER_DECADE = 7, 2  # from 1/30 of the centre to 30 times
LAST, GROWTH = 3, 4  # rates of the last round, which a quadratic needs; steps of a round against the one before
MIN_STEPS = 8  # of a round: fewer say little of a rate
FEWEST, MOST = 32, 256  # steps of the last round, if nothing is said
MAX_MORE = 3  # further runs of the last round's length, where the minimum is at an edge
_BUDGET = re.compile(r"([0-9][0-9_,]*(?:\.[0-9]+)?)\s*([kKmMbB]?)\s*(steps?|tokens?)?")
_TIMES = {"": 1, "k": 1_000, "m": 1_000_000, "b": 1_000_000_000}


@dataclass(frozen=True, slots=True)
class Round:
    """How many of the rates are trained for how many steps."""

    rates: int
    steps: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The rates of a sweep, from the lowest to the highest, and its rounds."""

    rates: tuple[float, ...]
    rounds: tuple[Round, ...]
    max_more: int  # runs of the last round's length, at most, where the minimum is at an edge

    @property
    def steps(self) -> int:
        """Steps of all rounds: no more are trained where the minimum is between the rates, fewer where some diverge."""
        return sum(one.rates * one.steps for one in self.rounds)

    @property
    def most_steps(self) -> int:
        """Steps of the rounds and of every further run."""
        return self.steps + self.max_more * self.rounds[-1].steps

    @property
    def runs(self) -> int:
        """Runs of all rounds."""
        return sum(one.rates for one in self.rounds)

    @property
    def last_steps(self) -> int:
        """Steps of a run in the last round."""
        return self.rounds[-1].steps

    def next_rate(self, direction: int, known: Sequence[float]) -> float:
        """The rate one step below (-1) or above (1) all that are known."""
        factor = 10 ** (1 / PER_DECADE)
        return _short(min(known) / factor if direction < 0 else max(known) * factor)


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a sweep may cost."""

    number: int
    unit: str  # steps or tokens

    def steps(self, tokens_per_step: int) -> int:
        """The whole steps within it."""
        return self.number if self.unit == "steps" else self.number // max(1, tokens_per_step)


def parse_budget(text: str) -> Budget:
    """`400`, `400 steps`, `2M tokens`; a bare number counts steps. Raises ConfigError."""
    found = _BUDGET.fullmatch(text.strip())
    number = float(found[1].replace(",", "").replace("_", "")) * _TIMES[found[2].lower()] if found else 0
    if found is None or number < 1 or number != int(number):
        what = f"{text!r} is not a number of steps or tokens"
        raise ConfigError("--budget", what, "write it as 400, 400steps or 2Mtokens")
    return Budget(int(number), "tokens" if (found[3] or "").startswith("token") else "steps")


def make_plan(centre: float, run_steps: int, most_steps: int | None = None) -> Plan:
    """The sweep around a rate, for a run of `run_steps`, within `most_steps`.

    The last round takes a quarter of the run, between 32 and 256 steps, and never more than the run itself. Where the
    steps are bounded it takes as many as they allow, up to the run's, and at least one run of it is left for an edge.
    Raises ConfigError where they do not suffice for a sweep.
    """
    rates = make_rates(centre)
    if most_steps is None:
        return Plan(rates, make_rounds(min(run_steps, max(FEWEST, min(MOST, run_steps // 4)))), MAX_MORE)
    least = Plan(rates, make_rounds(min(run_steps, MIN_STEPS)), 1)
    for steps in range(min(run_steps, most_steps // (LAST + 1)), least.last_steps - 1, -1):
        plan = Plan(rates, make_rounds(steps), 1)
        if plan.most_steps <= most_steps:
            return replace(plan, max_more=min(MAX_MORE, (most_steps - plan.steps) // steps))
    what = f"{pluralize(most_steps, 'step')} are too few: the smallest sweep takes {least.most_steps:,}"
    raise ConfigError("--budget", what, f"give at least {least.most_steps}")


def make_rates(centre: float, number: int = NUM_RATES) -> tuple[float, ...]:
    """Rates around the centre, two a decade, rounded to the two digits that a setting has."""
    half = number // 2
    return tuple(_short(centre * 10 ** (at / PER_DECADE)) for at in range(-half, half + 1))


def make_rounds(last_steps: int, number: int = NUM_RATES) -> tuple[Round, ...]:
    """The rounds of a sweep whose last one trains three rates for `last_steps`: the better half of each goes on.

    A round that would be shorter than eight steps is left out; where that leaves one, all rates are in it.
    """
    lengths = [last_steps]
    while lengths[0] // GROWTH >= MIN_STEPS and len(lengths) < _num_rounds(number):
        lengths.insert(0, lengths[0] // GROWTH)
    rounds = [Round(number, lengths[0])]
    for at, steps in enumerate(lengths[1:], start=2):
        rounds.append(Round(LAST if at == len(lengths) else max(LAST, math.ceil(rounds[-1].rates / 2)), steps))
    return tuple(rounds)


def _num_rounds(number: int) -> int:
    """Rounds until three rates are left: 7, 4, 3."""
    rounds = 1
    while number > LAST:
        number, rounds = max(LAST, math.ceil(number / 2)), rounds + 1
    return rounds


def _short(rate: float) -> float:
    return float(f"{rate:.2g}")
