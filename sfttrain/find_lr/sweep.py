"""`find_rate`: shards and a model in, a learning rate out. The whole sweep, top to bottom."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sftdata.errors import ModelError, pluralize
from sftdata.files.atomic import output_errors
from sftdata.files.lock import FolderLock
from sfttrain.check.files import check_files
from sfttrain.check.findings import Finding, raise_first_fail
from sfttrain.config import TrainConfig
from sfttrain.data import TRAIN, open_shards
from sfttrain.find_lr.decide import Recommendation, Trial, go_on, recommend, unproven_sides
from sfttrain.find_lr.held_out import SweepShards, shards_to_sweep
from sfttrain.find_lr.plan import Budget, Plan, make_plan
from sfttrain.find_lr.record import Record
from sfttrain.hardware import check_alone, check_devices
from sfttrain.model import read_model_config
from sfttrain.resume import shared_settings
from sfttrain.run_folder import check_place
from sfttrain.say import duration
from sfttrain.trainer.batches import BatchPlan, plan_batches
from sfttrain.ways.rate import Rate, pick_rate

LOCK = ".find_lr.lock"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a sweep costs, said before it starts; `most_` is with every further run where the minimum is at an edge."""

    steps: int
    most_steps: int
    tokens: int
    most_tokens: int
    seconds: float
    most_seconds: float
    measured: tuple[float, float]  # the seconds of a step, and of a validation


NOTHING = Cost(0, 0, 0, 0, 0.0, 0.0, (0.0, 0.0))


@dataclass(frozen=True, slots=True)
class Start:
    """All that is known before the first rate is trained."""

    config: TrainConfig
    shards: SweepShards
    batches: BatchPlan
    checks: list[Finding]
    centre: Rate
    plan: Plan
    run_steps: int  # of the run that the rate is for
    cost: Cost = NOTHING  # measured, as the next one
    start_loss: float = math.nan  # the validation loss of the start weights
    done: int = 0  # trials that an earlier sweep has left

    def as_json(self) -> dict[str, Any]:
        """The plan and what it will cost."""
        return {"plan": asdict(self.plan), "cost": asdict(self.cost), "start_loss": self.start_loss, "done": self.done}


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep and what came of it: nothing yet where it was not started."""

    start: Start
    last: tuple[Trial, ...] = ()  # of the last round's length
    earlier: tuple[Trial, ...] = ()
    recommendation: Recommendation | None = None

    @property
    def steps(self) -> int:
        """Steps that were trained."""
        return sum(one.steps_done for one in (*self.earlier, *self.last))


def find_rate(
    config: TrainConfig,
    folder: Path,
    *,
    budget: Budget | None = None,
    dry_run: bool = False,
    on_start: Callable[[Start], None] = lambda start: None,
    on_trial: Callable[[Trial, int], None] = lambda trial, number: None,
) -> Sweep:
    """Train some rates for a while, each from the start weights on the same sequences, and recommend one.

    `config.out` is not written to: find_lr.json and find_lr.html go to `folder`. Trials that an earlier, equal sweep
    left there are not run again. `on_start` gets what it will cost, `on_trial` each trial with its number. With
    `dry_run` nothing is trained but two steps, nor written. Raises a subclass of SftDataError for what a user can put
    right, and ModelError where every rate diverged.
    """
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    check_place(config.model_copy(update={"out": str(folder), "overwrite": False}))
    begun = _begin(config, budget)
    with ExitStack() as stack:
        if not dry_run:
            stack.enter_context(_locked(folder))
        record = Record(folder, _identity(begun), overwrite=config.overwrite)

        # These import torch, transformers and trl.
        from sfttrain.find_lr.trial import measure, train_rate
        from sfttrain.train import training_errors

        stack.enter_context(training_errors(folder))
        measured = measure(begun.config, begun.shards, begun.batches)
        start_loss = measured.loss if record.start_loss is None else record.start_loss
        if not math.isfinite(start_loss):
            what = f"has a validation loss of {start_loss} before it is trained"
            raise ModelError(config.model, what, "set dtype=float32, or look at the weights")
        start = replace(
            begun,
            cost=_cost(begun.plan, begun.batches, measured),
            start_loss=start_loss,
            done=len(record.trials()),
        )
        on_start(start)
        if dry_run:
            return Sweep(start)
        record.update(start_loss=start_loss, cost=asdict(start.cost))

        def train(rate: float, steps: int) -> Trial:
            trial = record.trial(rate, steps)
            if trial is None:
                trial = train_rate(start.config, start.shards, start.batches, rate, steps, start_loss)
                start.shards.check_unchanged()
                record.add(trial)
            on_trial(trial, record.trials().index(trial) + 1)
            return trial

        last, earlier = run_rounds(start.plan, train)
        sweep = Sweep(start, tuple(last), tuple(earlier), recommend(last, earlier))
        _save(sweep, record)
    return sweep


def _begin(config: TrainConfig, budget: Budget | None) -> Start:
    """What the files say: the sequences, the batches, the rates and the rounds; the cost is not measured yet."""
    check_alone("find-lr", "; the rate is right for several too, since batch_tokens counts all of their tokens")
    opened = open_shards(config.shards)
    shards = shards_to_sweep(opened, config.seed)
    run_batches = plan_batches(config, opened.manifest.splits[TRAIN], opened.manifest.seq_len, 1)
    batches = plan_batches(config, shards.train_stats, opened.manifest.seq_len, 1)
    check_devices()
    checks = check_files(config, opened)
    raise_first_fail(checks)
    centre = pick_rate(config, read_model_config(config))
    config = config.model_copy(update={"learning_rate": centre.value})
    run_steps = run_batches.num_steps(config.epochs, config.max_steps)
    plan = make_plan(centre.value, run_steps, None if budget is None else budget.steps(batches.tokens_per_step))
    return Start(config, shards, batches, checks, centre, plan, run_steps)


def _save(sweep: Sweep, record: Record) -> None:
    """Write down how the sweep ended, and the page. Raises ModelError where every rate diverged."""
    found = sweep.recommendation
    if found is None:
        record.update(status="failed")
        rates = [one.rate for one in (*sweep.last, *sweep.earlier)]
        what = f"diverged at every learning rate from {min(rates):g} to {max(rates):g}"
        todo = f"look at the data with `sftdata inspect`, or set learning_rate={min(rates) / 100:.1g}"
        raise ModelError(sweep.start.config.model, what, todo)
    record.update(status="finished", recommendation=asdict(found), steps=sweep.steps)

    from sfttrain.find_lr.page import sweep_page

    record.save_page(sweep_page(sweep))


def run_rounds(plan: Plan, train: Callable[[float, int], Trial]) -> tuple[list[Trial], list[Trial]]:
    """The trials of the last round's length, and those of the rounds before, each made by `train(rate, steps)`.

    Where the best rate has no worse neighbour on a side, the rate there is trained too, and so on while the plan
    allows it: a rate that was left behind in a shorter round, or a new one beyond the edge.
    """
    rates, last, earlier = list(plan.rates), [], []
    for number, one in enumerate(plan.rounds, start=1):
        trials = [train(rate, one.steps) for rate in rates]
        if number == len(plan.rounds):
            last = trials
        else:
            earlier += trials
            rates = go_on(trials, plan.rounds[number].rates)
    for _ in range(plan.max_more):
        sides = unproven_sides(last, earlier)
        if not sides:
            break
        side, beside = sides[0]
        known = [one.rate for one in (*last, *earlier)]
        last.append(train(plan.next_rate(side, known) if beside is None else beside, plan.last_steps))
    return last, earlier


def _locked(folder: Path) -> ExitStack:
    """The folder, made, and held by this sweep until the end."""
    stack = ExitStack()
    lock = FolderLock(folder / LOCK, folder)
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    stack.callback(lock.remove)
    return stack


def _identity(start: Start) -> dict[str, Any]:
    """All that decides the result of a sweep, by names that a message can have."""
    config = start.config
    order = {
        "dataset": start.shards.manifest.dataset_hash,
        "rows_per_step": start.batches.rows_per_step,
        "seed": config.seed,
        "sort": config.sort,
    }
    return {
        **shared_settings(config, order, 1),
        "dtype": config.dtype,
        "attn_implementation": config.attn_implementation,
        "number of steps": start.run_steps,
        "plan": asdict(start.plan),
    }


def _cost(plan: Plan, batches: BatchPlan, measured: Any) -> Cost:
    """Steps, tokens and seconds, from what two steps and a validation took."""
    per_run = measured.judging + measured.loading
    seconds = plan.steps * measured.step + plan.runs * per_run
    more = plan.max_more * (plan.last_steps * measured.step + per_run)
    return Cost(
        plan.steps,
        plan.most_steps,
        plan.steps * batches.tokens_per_step,
        plan.most_steps * batches.tokens_per_step,
        seconds,
        seconds + more,
        (measured.step, measured.judging),
    )


def in_words(start: Start) -> list[str]:
    """What is said before the first rate is trained: the rates, who judges them, the rounds, and the cost."""
    plan, cost = start.plan, start.cost
    rounds = ", ".join(f"{one.rates} of {pluralize(one.steps, 'step')}" for one in plan.rounds)
    done = f"; {pluralize(start.done, 'run')} of an earlier sweep are there" if start.done else ""
    lines = [
        f"rates  {', '.join(f'{rate:g}' for rate in plan.rates)}",
        f"centre {start.centre.in_words}",
        f"judged by the validation loss, {start.start_loss:.4f} at the start; {start.shards.in_words}",
        f"runs   {rounds}, each from the start weights, with the whole schedule{done}",
        f"cost   {pluralize(cost.steps, 'step')}, about {pluralize(cost.tokens, 'token')}, about "
        f"{duration(cost.seconds)}",
    ]
    if plan.max_more:
        lines.append(
            f"       at most {pluralize(cost.most_steps, 'step')}, {pluralize(cost.most_tokens, 'token')}, "
            f"{duration(cost.most_seconds)}, if the minimum is at an edge"
        )
    return lines
