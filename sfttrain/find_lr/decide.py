"""What follows from the losses of a sweep: who goes on, where a minimum is enclosed, and which rate is recommended."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

FIT = "a quadratic in the logarithm of the rate, as Bjorck et al. 2025 fit it (arXiv 2409.19913)"
NOISE = 0.001  # a rate that is far too low can end this share above the start, which is not divergence
FLAT = 0.005  # losses that differ by less than this share are about the same


@dataclass(frozen=True, slots=True)
class Trial:
    """One rate trained for a number of steps, and what came of it."""

    rate: float
    steps: int  # that it was to take
    steps_done: int
    loss: float | None  # the validation loss at the end; None where training ended at a NaN
    out: str = ""  # why the rate is out: it diverged
    curve: tuple[float, ...] = ()  # the training loss of each step

    @property
    def is_out(self) -> bool:
        """Whether the rate diverged."""
        return self.out != ""

    @property
    def order(self) -> tuple[float, float]:
        """The better trial is the smaller; of equal ones that of the lower rate."""
        return (math.inf if self.is_out or self.loss is None else self.loss, self.rate)


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A rate, and why."""

    rate: float
    best: float  # of the rates that were tried
    rule: str  # fit, best or edge
    reason: str
    edge: str = ""  # low or high, where the minimum may lie beyond the rates that were tried


def why_out(loss: float, start: float) -> str:
    """Why a rate is out after its validation loss; empty where it is not."""
    if not math.isfinite(loss):
        return f"diverged: the validation loss is {loss}"
    is_above = loss > start * (1 + NOISE)
    return f"diverged: the validation loss {loss:.4g} is above {start:.4g} at the start" if is_above else ""


def go_on(trials: Sequence[Trial], number: int) -> list[float]:
    """The rates of the best trials, up to this number, from the lowest to the highest, without those that diverged."""
    return sorted(one.rate for one in sorted(trials, key=lambda one: one.order)[:number] if not one.is_out)


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The best trial; None where all diverged."""
    return min((one for one in trials if not one.is_out), key=lambda one: one.order, default=None)


def unproven_sides(last: Sequence[Trial], earlier: Sequence[Trial]) -> list[tuple[int, float | None]]:
    """The sides (-1 below, 1 above) on which the best rate of the last round has no neighbour that is worse.

    With each, the rate that was tried there in an earlier round, or None where the sweep ends. A rate that diverged in
    any round is worse. Where every rate diverged, the side below all is open.
    """
    known = sorted({one.rate for one in (*last, *earlier)})
    best = best_of(last)
    if best is None:
        return [(-1, None)]
    judged = {one.rate for one in last} | {one.rate for one in earlier if one.is_out}
    at = known.index(best.rate)
    sides: list[tuple[int, float | None]] = []
    for side in (-1, 1):
        beside = known[at + side] if 0 <= at + side < len(known) else None
        if beside is None or beside not in judged:
            sides.append((side, beside))
    return sides


def recommend(last: Sequence[Trial], earlier: Sequence[Trial]) -> Recommendation | None:
    """The rate to train with, from the trials of the last round's length; None where all diverged.

    Between two worse neighbours, it is the minimum of the quadratic through the three, which lies nearer to the best
    than to either. It is the best rate itself where a neighbour diverged, or where the sweep ends at it.
    """
    best = best_of(last)
    if best is None or best.loss is None:
        return None
    lowest = f"the lowest validation loss, {best.loss:.4f}"
    for side, beside in unproven_sides(last, earlier):
        if beside is None:
            return _at_edge(best, side)
        reason = f"{lowest}; {beside:g} beside it was left behind in a shorter round, and no steps were left to try it"
        return Recommendation(best.rate, best.rate, "best", reason)
    below, above = _neighbours(best, last, earlier)
    diverged = [f"{one.rate:g}" for one in (below, above) if one.is_out]
    if diverged or below.loss is None or above.loss is None:
        reason = f"{lowest}; {' and '.join(diverged)} beside it diverged, so nothing can be fitted around it"
        return Recommendation(best.rate, best.rate, "best", reason)
    losses = [below.loss, best.loss, above.loss]
    logs = [math.log(one.rate) for one in (below, best, above)]
    rate = float(f"{math.exp(parabola_minimum(list(zip(logs, losses, strict=True)))):.2g}")
    reason = f"the minimum of {FIT}, through {below.rate:g}, {best.rate:g} and {above.rate:g}"
    if max(losses) - min(losses) < FLAT * min(losses):
        reason += f"; their losses differ by less than {FLAT:.1%}, so any rate between them will do as well"
    return Recommendation(rate, best.rate, "fit", reason)


def _neighbours(best: Trial, last: Sequence[Trial], earlier: Sequence[Trial]) -> tuple[Trial, Trial]:
    """The trials of the next lower and the next higher rate; those of the last round's length where there are."""
    of_rate = {**{one.rate: one for one in earlier}, **{one.rate: one for one in last}}
    known = sorted(of_rate)
    at = known.index(best.rate)
    return of_rate[known[at - 1]], of_rate[known[at + 1]]


def parabola_minimum(points: Sequence[tuple[float, float]]) -> float:
    """Where the quadratic through three points has its minimum, the second of them being the lowest: between the
    middles of the two intervals. It is the second point itself where all three are level.
    """
    (x0, y0), (x1, y1), (x2, y2) = points
    left, right = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)  # the slopes in the middle of each interval
    if left == right:
        return x1
    first, second = (x0 + x1) / 2, (x1 + x2) / 2
    return first - left * (second - first) / (right - left)


def _at_edge(best: Trial, side: int) -> Recommendation:
    edge, worst, where = ("low", "lowest", "below") if side < 0 else ("high", "highest", "above")
    reason = (
        f"the {worst} rate that was tried has the lowest validation loss, {best.loss:.4f}: the minimum may lie "
        f"{where} it. To look there, run a sweep around it, with learning_rate={best.rate:g}"
    )
    return Recommendation(best.rate, best.rate, "edge", reason, edge)
