"""Whole sweeps with a tiny model: what each rate sees, what is said and written, and what goes on after a crash."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sftdata.errors import ConfigError, ModelError, OutputError
from sfttrain.config import parse_config
from sfttrain.data import TRAIN, open_shards
from sfttrain.find_lr import sweep as sweep_module
from sfttrain.find_lr.decide import Trial
from sfttrain.find_lr.held_out import SweepShards, shards_to_sweep
from sfttrain.find_lr.plan import Budget
from sfttrain.find_lr.sweep import Start, Sweep, find_rate, in_words
from sfttrain.trainer.packed import PackedTrainer

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # in peft

Settings = Callable[..., dict[str, Any]]
SHORT = {"max_steps": 8, "batch_tokens": 128}  # one round of seven rates, eight steps each


@pytest.fixture
def sweep_of(settings: Settings, tmp_path: Path) -> Callable[..., Sweep]:
    """A sweep of a short run into this test's folder."""

    def run(out: str = "lr", **changes: Any) -> Sweep:
        others = {name: changes.pop(name) for name in ("budget", "dry_run", "on_start", "on_trial") if name in changes}
        config = parse_config(settings(**{**SHORT, **changes}))
        return find_rate(config, tmp_path / out, **others)

    return run


def record_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "find_lr.json").read_text()))


@pytest.mark.parametrize("lora", [None, {"r": 4}])
def test_each_rate_begins_at_the_same_weights_and_sees_the_same_sequences(
    sweep_of: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch, lora: dict[str, int] | None
):
    seen: list[tuple[float, list[Any]]] = []
    weights: list[dict[str, Any]] = []
    plain_train, plain_batches = PackedTrainer.train, PackedTrainer.get_batch_samples

    def train(self: PackedTrainer, *args: Any, **kwargs: Any) -> Any:
        weights.append({name: one.detach().clone() for name, one in self.model.named_parameters()})
        seen.append((self.args.learning_rate, []))
        return plain_train(self, *args, **kwargs)

    def batches(self: PackedTrainer, *args: Any, **kwargs: Any) -> Any:
        found = plain_batches(self, *args, **kwargs)
        seen[-1][1].append([one["input_ids"].tolist() for one in found[0]])
        return found

    monkeypatch.setattr(PackedTrainer, "train", train)
    monkeypatch.setattr(PackedTrainer, "get_batch_samples", batches)
    sweep = sweep_of(lora=lora, learning_rate=1e-3)
    assert [rate for rate, _ in seen[1:]] == [3.2e-5, 1e-4, 3.2e-4, 1e-3, 3.2e-3, 1e-2, 3.2e-2][: len(seen) - 1] + [
        one.rate for one in sweep.last[7:]
    ]
    assert all(rows == seen[1][1] and len(rows) >= 8 for _, rows in seen[1:])
    for one in weights:
        assert all(one[name].equal(weights[0][name]) for name in weights[0])


def test_the_cost_that_is_said_is_the_steps_that_are_run(sweep_of: Callable[..., Sweep]):
    started: list[Start] = []
    trials: list[Trial] = []
    sweep = sweep_of(learning_rate=3e-3, on_start=started.append, on_trial=lambda trial, number: trials.append(trial))
    assert sweep.recommendation is not None
    done = sum(one.steps_done for one in trials)
    more = len(trials) - 7
    assert started[0].cost.steps == 7 * 8
    assert done == sweep.steps == 7 * 8 + more * 8
    assert done <= started[0].cost.most_steps == 7 * 8 + 3 * 8
    said = "\n".join(in_words(started[0]))
    assert "cost   56 steps" in said and "at most 80 steps" in said


def test_a_dry_run_says_the_cost_and_writes_nothing(sweep_of: Callable[..., Sweep], tmp_path: Path):
    started: list[Start] = []
    sweep = sweep_of(dry_run=True, on_start=started.append)
    assert (sweep.last, sweep.recommendation) == ((), None)
    assert started[0].cost.steps == 56
    assert not (tmp_path / "lr").exists()


def test_a_budget_bounds_the_steps(sweep_of: Callable[..., Sweep]):
    sweep = sweep_of(max_steps=100, budget=Budget(64, "steps"))
    assert sweep.steps <= 64
    with pytest.raises(ConfigError, match="the smallest sweep takes 64"):
        sweep_of(max_steps=100, budget=Budget(63, "steps"))


def test_a_rate_that_diverges_is_out_and_the_others_go_on(sweep_of: Callable[..., Sweep], tmp_path: Path):
    sweep = sweep_of(learning_rate=10.0)
    out = [one for one in sweep.last if one.is_out]
    assert {one.rate for one in out} >= {100.0, 320.0}
    assert all("diverged" in one.out for one in out)
    assert sweep.recommendation is not None
    assert sweep.recommendation.rate < 10
    table = (tmp_path / "lr" / "find_lr.html").read_text()
    assert "diverged" in table


def test_a_loss_that_is_nan_ends_its_rate_at_that_step(sweep_of: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch):
    plain = PackedTrainer.training_step

    def step(self: PackedTrainer, *args: Any, **kwargs: Any) -> Any:
        loss = plain(self, *args, **kwargs)
        broken = self.args.learning_rate > 5e-3 and self.state.global_step == 2
        self.pass_losses[-1] = loss * float("nan") if broken else loss
        return loss

    monkeypatch.setattr(PackedTrainer, "training_step", step)
    sweep = sweep_of(learning_rate=1e-3)
    ended = {one.rate: (one.steps_done, one.loss, one.out) for one in sweep.last if one.is_out}
    assert ended == {rate: (2, None, ended[rate][2]) for rate in (1e-2, 3.2e-2)}
    assert "the loss is nan" in ended[1e-2][2]


def test_where_every_rate_diverges_it_is_an_error_that_names_them(
    sweep_of: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    from sfttrain.find_lr import trial

    def none_learns(*args: Any) -> Trial:
        return Trial(args[3], args[4], 1, None, "diverged: the loss is nan")

    monkeypatch.setattr(trial, "train_rate", none_learns)
    with pytest.raises(ModelError, match=r"diverged at every learning rate from 1e-06 to 0\.032"):
        sweep_of(learning_rate=1e-3)
    assert record_of(tmp_path / "lr")["status"] == "failed"


def test_after_a_crash_finished_rates_are_not_run_again_and_the_result_is_the_same(
    sweep_of: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    whole = sweep_of("whole", learning_rate=3e-3)

    def crash(trial: Trial, number: int) -> None:
        if number == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep_of("stopped", learning_rate=3e-3, on_trial=crash)
    left = record_of(tmp_path / "stopped")
    assert (left["status"], len(left["trials"])) == ("running", 3)

    from sfttrain.find_lr import trial

    ran: list[float] = []
    plain = trial.train_rate
    monkeypatch.setattr(trial, "train_rate", lambda *args: (ran.append(args[3]), plain(*args))[1])
    again = sweep_of("stopped", learning_rate=3e-3)
    assert again.start.done == 3
    assert sorted(ran) == sorted(one.rate for one in whole.last[3:])
    assert again.recommendation == whole.recommendation
    pages = [(tmp_path / name / "find_lr.html").read_bytes() for name in ("whole", "stopped")]
    assert pages[0] == pages[1]
    records = [record_of(tmp_path / name) for name in ("whole", "stopped")]
    for one in records:
        del one["cost"]  # seconds
    assert records[0] == records[1]


def test_a_sweep_of_something_else_is_not_continued(sweep_of: Callable[..., Sweep], tmp_path: Path):
    sweep_of(learning_rate=1e-3)
    with pytest.raises(OutputError, match="has a sweep with another seed; choose another --out, or set overwrite=true"):
        sweep_of(learning_rate=1e-3, seed=1)
    with pytest.raises(OutputError, match="another plan"):
        sweep_of(learning_rate=2e-3)
    assert sweep_of(learning_rate=1e-3, seed=1, overwrite=True).start.done == 0


@pytest.mark.parametrize("name", ["find_lr.json", "find_lr.html"])
def test_files_of_somebody_else_are_left_alone(sweep_of: Callable[..., Sweep], tmp_path: Path, name: str):
    (tmp_path / "lr").mkdir()
    (tmp_path / "lr" / name).write_text("mine")
    with pytest.raises(OutputError, match="was not written by `sfttrain find-lr`"):
        sweep_of(overwrite=True)
    assert (tmp_path / "lr" / name).read_text() == "mine"


def test_a_page_that_was_edited_is_kept(sweep_of: Callable[..., Sweep], tmp_path: Path):
    sweep_of(learning_rate=1e-3)
    page = tmp_path / "lr" / "find_lr.html"
    sweep_of(learning_rate=1e-3)  # as it was written: written again
    page.write_bytes(edited := page.read_bytes() + b"<!-- a note of mine -->")
    for changes in ({}, {"overwrite": True}):
        with pytest.raises(OutputError, match="find-lr`, or has changed since, so it is kept; move it away"):
            sweep_of(learning_rate=1e-3, **changes)
    assert page.read_bytes() == edited


def test_several_processes_are_refused(sweep_of: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="start it without torchrun"):
        sweep_of()


@pytest.fixture
def without_validation(make_shards: Callable[..., Path], samples_of: Callable[..., Any], tmp_path: Path) -> Path:
    return make_shards(tmp_path / "all", [samples_of(60, seed=1)])


def test_without_a_validation_split_a_tenth_is_held_out_by_the_seed_and_said(without_validation: Path):
    opened = open_shards(without_validation)
    total = opened.manifest.splits[TRAIN].rows
    shards = shards_to_sweep(opened, 0)
    held = round(total / 10)
    assert len(shards.judges) == held
    assert sorted([*shards.judges, *(shards.chosen or ())]) == list(range(total))
    assert f"no validation split: {held} of {total} train sequences" in shards.in_words
    assert shards_to_sweep(opened, 0) == shards
    assert any(shards_to_sweep(opened, seed).judges != shards.judges for seed in (1, 2, 3))


def test_the_sequences_held_out_are_trained_by_no_rate(without_validation: Path):
    shards = shards_to_sweep(open_shards(without_validation), 0)
    train, judges = shards.rows("train"), shards.rows("validation")
    assert train is not None and judges is not None
    texts = [[tuple(row["input_ids"]) for row in rows] for rows in (train, judges)]
    assert set(texts[0]) & set(texts[1]) == set()
    assert [sum(map(len, one)) for one in texts] == [shards.train_stats.tokens, shards.judge_tokens]
    assert shards.lengths("train") == [len(one) for one in texts[0]]


def test_a_sweep_without_a_validation_split(sweep_of: Callable[..., Sweep], without_validation: Path):
    sweep = sweep_of(shards=str(without_validation))
    assert sweep.recommendation is not None
    assert "held out" in "\n".join(in_words(sweep.start))


def test_one_sequence_is_too_few(
    sweep_of: Callable[..., Sweep], make_shards: Callable[..., Path], samples_of: Callable[..., Any], tmp_path: Path
):
    alone = make_shards(tmp_path / "alone", [samples_of(1)])
    with pytest.raises(ConfigError, match="nothing is left to judge a rate by"):
        sweep_of(shards=str(alone))


def test_a_validation_split_judges(shards: Path):
    found = shards_to_sweep(open_shards(shards), 0)
    assert isinstance(found, SweepShards)
    assert found.chosen is None
    assert len(found.judges) == open_shards(shards).manifest.splits["validation"].rows


def test_the_modules_that_load_torch_are_loaded_late():
    assert not hasattr(sweep_module, "train_rate")
