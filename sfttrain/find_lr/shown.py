"""What a sweep found, as a table and in words: for the terminal and for the page."""

from __future__ import annotations

from sftdata.errors import pluralize
from sftdata.view.layout import Table
from sfttrain.find_lr.decide import Trial
from sfttrain.find_lr.sweep import Sweep


def trials_of(sweep: Sweep) -> dict[float, dict[int, Trial]]:
    """The trials of each rate by their steps, from the lowest rate to the highest."""
    found: dict[float, dict[int, Trial]] = {}
    for one in sorted((*sweep.earlier, *sweep.last), key=lambda one: (one.rate, one.steps)):
        found.setdefault(one.rate, {})[one.steps] = one
    return found


def lengths_of(sweep: Sweep) -> list[int]:
    """The steps of each round, shortest first."""
    return sorted({one.steps for one in (*sweep.earlier, *sweep.last)})


def table_of(sweep: Sweep) -> Table:
    """A row for each rate: its validation losses, and what happened to it. The bar is how far the last of them came
    down from the start, the best rate's being full.
    """
    lengths, rates = lengths_of(sweep), trials_of(sweep)
    best = sweep.recommendation.best if sweep.recommendation else None
    rows, shares = [], []
    for rate, trials in rates.items():
        losses = tuple(_loss(trials.get(steps)) for steps in lengths)
        rows.append((f"{rate:g}", *losses, _remark(trials, lengths[-1], is_best=rate == best)))
        shares.append(_share(sweep, trials[max(trials)]))
    head = ("rate", *(pluralize(steps, "step") for steps in lengths), "")
    return Table(
        head,
        tuple(rows),
        frozenset([len(head) - 1]),
        title="Validation loss",
        shares=tuple(shares),
        bar_after=len(lengths),
        has_remarks=True,
    )


def _loss(trial: Trial | None) -> str:
    if trial is None:
        return ""
    return "-" if trial.loss is None else f"{trial.loss:.4f}"


def _remark(trials: dict[int, Trial], last: int, *, is_best: bool) -> str:
    final = trials[max(trials)]
    if final.is_out:
        return f"{final.out.partition(':')[0]} at step {final.steps_done + 1}" if final.loss is None else final.out
    if is_best:
        return "lowest"
    return "" if final.steps == last else "left behind"


def _share(sweep: Sweep, trial: Trial) -> float | None:
    """How far the loss came down, against the best of its round."""
    beside = [one.loss for one in (*sweep.earlier, *sweep.last) if one.steps == trial.steps and one.loss is not None]
    fall = sweep.start.start_loss - min(beside, default=sweep.start.start_loss)
    if trial.loss is None or fall <= 0:
        return 0.0
    return max(0.0, (sweep.start.start_loss - trial.loss) / fall)


def recommendation_lines(sweep: Sweep) -> list[tuple[str, str]]:
    """The rate, why, and what else to know, by the word before each."""
    found, start = sweep.recommendation, sweep.start
    if found is None:
        return []
    lines = [("recommended", f"{found.rate:g}: {found.reason}")]
    if start.plan.last_steps < start.run_steps:
        lines.append(
            (
                "note",
                f"a run of {pluralize(start.run_steps, 'step')} may want a somewhat lower rate than one of "
                f"{start.plan.last_steps:,} (Bjorck et al. 2025: it falls as the steps to the power -0.32)",
            )
        )
    return lines
