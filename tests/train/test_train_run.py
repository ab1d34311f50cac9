"""What a run leaves behind, and how it goes on after a stop."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sfttrain
from sftdata.errors import ConfigError, DatasetError, ModelError, OutputError
from sfttrain.trainer import PackedTrainer

# PEFT asks transformers by a name that is going away.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

Settings = Callable[..., dict[str, Any]]


def metrics(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def losses(out: Path) -> list[tuple[int, float]]:
    return [(line["step"], line["loss"]) for line in metrics(out) if "loss" in line]


def stop_in_batch(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Have Ctrl-C come while the run works on its batch of this number (from 1)."""
    seen = 0
    step = PackedTrainer.training_step

    def training_step(self: PackedTrainer, *args: Any, **kwargs: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == number:
            signal.raise_signal(signal.SIGINT)
        return step(self, *args, **kwargs)

    monkeypatch.setattr(PackedTrainer, "training_step", training_step)


@pytest.fixture(scope="module")
def finished(shards: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> sfttrain.Result:
    """One epoch of full training."""
    config = {
        "shards": str(shards),
        "model": str(tiny_model),
        "out": str(tmp_path_factory.mktemp("finished") / "out"),
        "batch_tokens": 256,
        "learning_rate": 1e-2,
        "dtype": "float32",
        "eval_every": 2,
    }
    return sfttrain.run(config)


def test_the_result_loads_as_a_model_with_its_tokenizer_and_template(finished: sfttrain.Result, shards: Path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(finished.out)
    tokenizer = AutoTokenizer.from_pretrained(finished.out)
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    assert (finished.out / "tokenizer.json").read_bytes() == (shards / "tokenizer" / "tokenizer.json").read_bytes()
    assert 2 in model.generation_config.eos_token_id


def test_the_model_has_learned(finished: sfttrain.Result):
    first, last = finished.facts["losses"]["train_first"], finished.facts["losses"]["train_last"]
    assert last < first


def test_nothing_but_the_model_its_facts_and_its_metrics_is_left(finished: sfttrain.Result):
    assert sorted(path.name for path in finished.out.iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "metrics.jsonl",
        "model.safetensors",
        "run.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_run_json_says_what_was_done(finished: sfttrain.Result, shards: Path):
    facts = json.loads((finished.out / "run.json").read_text())
    manifest = json.loads((shards / "manifest.json").read_text())
    train = [shard for shard in manifest["shards"] if shard["split"] == "train"]
    assert facts["status"] == "finished"
    assert facts["dataset_hash"] == manifest["dataset_hash"]
    assert facts["config"]["learning_rate"] == 1e-2
    assert facts["versions"]["trl"] and facts["versions"]["torch"]
    assert facts["tokens"] == sum(shard["tokens"] for shard in train)
    assert facts["trained_tokens"] == sum(shard["trained_tokens"] for shard in train)
    assert facts["seconds"] > 0


def test_every_step_and_every_validation_has_a_line_of_metrics(finished: sfttrain.Result):
    lines = metrics(finished.out)
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5]
    assert [line["step"] for line in lines if "validation_loss" in line] == [0, 2, 4, 5]
    step = next(line for line in lines if "loss" in line)
    assert set(step) == {
        "step",
        "epoch",
        "loss",
        "learning_rate",
        "grad_norm",
        "tokens",
        "trained_tokens",
        "tokens_per_second",
    }


def test_an_adapter_is_saved_alone_and_changes_the_model(settings: Settings, tiny_model: Path):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    result = sfttrain.run(settings(lora={"r": 4}, max_steps=3))
    assert not (result.out / "model.safetensors").exists()
    assert result.facts["trained_parameters"] < result.facts["parameters"] / 2
    AutoTokenizer.from_pretrained(result.out)
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    ids = torch.tensor([[5, 6, 7]])
    before = base(ids).logits
    after = PeftModel.from_pretrained(base, result.out)(ids).logits
    assert not torch.equal(before, after)


def test_the_same_settings_give_the_same_losses(settings: Settings, tmp_path: Path):
    first = sfttrain.run(settings(max_steps=3))
    second = sfttrain.run(settings(max_steps=3, out=str(tmp_path / "again")))
    assert losses(first.out) == losses(second.out)


@pytest.mark.parametrize("batch", [13, 16, 23])  # of 4 a step, 18 an epoch: in a step, at its end, in epoch two
def test_a_run_that_is_stopped_and_resumed_is_the_run_that_was_not(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
):
    kind = {"epochs": 2, "max_steps": None, "lora": {"r": 4, "dropout": 0.2}, "eval_every": 3}
    whole = sfttrain.run(settings(**kind, out=str(tmp_path / "whole")))
    with monkeypatch.context() as patch:
        stop_in_batch(patch, batch)
        with pytest.raises(sfttrain.Interrupted, match="resume=true"):
            sfttrain.run(settings(**kind))
    stopped = json.loads((tmp_path / "out" / "run.json").read_text())
    assert stopped["status"] == "stopped"
    resumed = sfttrain.run(settings(**kind, resume=True))
    assert resumed.facts["resumed_from_step"] == stopped["steps"] > 0
    assert losses(resumed.out) == losses(whole.out)
    assert resumed.facts["tokens"] == whole.facts["tokens"]
    assert resumed.facts["trained_tokens"] == whole.facts["trained_tokens"]
    assert (resumed.out / "adapter_model.safetensors").read_bytes() == (
        whole.out / "adapter_model.safetensors"
    ).read_bytes()


def test_a_stop_before_the_first_step_leaves_nothing_to_go_on_from(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    stop_in_batch(monkeypatch, 2)
    with pytest.raises(sfttrain.Interrupted, match="nothing to go on from"):
        sfttrain.run(settings())


def test_checkpoints_come_when_asked_and_the_last_two_are_kept(settings: Settings):
    result = sfttrain.run(settings(save_every=1, max_steps=4))
    assert sorted(path.name for path in result.out.glob("checkpoint-*")) == ["checkpoint-3", "checkpoint-4"]


def test_an_earlier_run_is_neither_mixed_with_nor_lost_by_mistake(settings: Settings):
    result = sfttrain.run(settings(lora=True, save_every=1))
    with pytest.raises(ConfigError, match="holds an earlier run; set resume=true"):
        sfttrain.run(settings())
    assert (result.out / "checkpoint-2").is_dir()
    (result.out / "notes.txt").write_text("mine")
    sfttrain.run(settings(overwrite=True))
    assert not (result.out / "adapter_model.safetensors").exists()
    assert not (result.out / "checkpoint-2").exists()
    assert (result.out / "notes.txt").read_text() == "mine"


def test_a_run_is_not_continued_on_other_data_or_other_batches(
    settings: Settings, make_shards: Callable[..., Path], samples_of: Callable[..., Any], tmp_path: Path
):
    sfttrain.run(settings(save_every=1))
    other = make_shards(tmp_path / "other", [samples_of(40, seed=9)])
    with pytest.raises(ConfigError, match="has dataset_hash"):
        sfttrain.run(settings(resume=True, shards=str(other)))
    with pytest.raises(ConfigError, match="has rows_per_step 4"):
        sfttrain.run(settings(resume=True, batch_tokens=128))


def test_a_step_in_which_nothing_is_trained_is_an_error_not_a_loss_of_zero(
    settings: Settings, make_shards: Callable[..., Path], samples_of: Callable[..., Any], tmp_path: Path
):
    only_first = [(ids, [ids[0]] + [-100] * (len(ids) - 1)) for ids, _ in samples_of(6)]
    data = make_shards(tmp_path / "first", [only_first])
    with pytest.raises(DatasetError, match="step 1: none of its tokens is trained"):
        sfttrain.run(settings(shards=str(data)))
    assert not (tmp_path / "out" / "metrics.jsonl").exists()
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "failed"


def test_a_loss_that_is_no_number_ends_the_run(settings: Settings, tmp_path: Path):
    with pytest.raises(ModelError, match=r"loss is (nan|inf)"):
        sfttrain.run(settings(learning_rate=1e30, max_steps=20, warmup=0, trainer={"max_grad_norm": 0.0}))
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_validation_without_a_validation_split_is_refused(
    settings: Settings, make_shards: Callable[..., Path], samples_of: Callable[..., Any], tmp_path: Path
):
    data = make_shards(tmp_path / "all", [samples_of(6)])
    with pytest.raises(ConfigError, match="no validation split"):
        sfttrain.run(settings(shards=str(data), eval_every=1))


def test_a_value_that_sftconfig_refuses_is_named(settings: Settings):
    with pytest.raises(ConfigError, match="trainer: sgdd is not a valid"):
        sfttrain.run(settings(trainer={"optim": "sgdd"}))


def test_a_layer_that_is_not_there_is_named(settings: Settings):
    with pytest.raises(ModelError, match="nowhere"):
        sfttrain.run(settings(lora={"target_modules": ["nowhere"]}))


def test_an_out_folder_that_cannot_be_made_is_said_before_the_model_is_loaded(settings: Settings, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        sfttrain.run(settings(out=str(tmp_path / "file" / "out")))


def test_a_finished_run_has_nothing_to_go_on_with(settings: Settings):
    sfttrain.run(settings(save_every=1))
    with pytest.raises(ConfigError, match="has 2 of 2 steps done"):
        sfttrain.run(settings(resume=True))


def test_resume_without_a_checkpoint_begins_at_the_beginning(settings: Settings):
    assert sfttrain.run(settings(resume=True)).facts["resumed_from_step"] == 0


def test_a_checkpoint_that_was_cut_off_is_passed_over(settings: Settings, tmp_path: Path):
    sfttrain.run(settings(save_every=1))
    (tmp_path / "out" / "checkpoint-2" / "trainer_state.json").unlink()
    assert sfttrain.run(settings(resume=True)).facts["resumed_from_step"] == 1


def test_a_run_can_go_on_from_a_checkpoint_by_its_path(settings: Settings, tmp_path: Path):
    whole = sfttrain.run(settings(save_every=1, max_steps=3))
    before = losses(whole.out)
    again = sfttrain.run(settings(save_every=1, max_steps=3, resume=str(tmp_path / "out" / "checkpoint-2")))
    assert again.facts["resumed_from_step"] == 2
    assert losses(again.out) == before


def test_a_full_disk_is_said_to_be_full(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import errno

    def no_space(self: PackedTrainer, *args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PackedTrainer, "save_model", no_space)
    with pytest.raises(OutputError, match="the disk is full"):
        sfttrain.run(settings())
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_seldom_logging_is_no_reason_to_fail(settings: Settings):
    result = sfttrain.run(settings(trainer={"logging_steps": 50}))
    assert result.facts["losses"]["train_last"] is None
    assert result.facts["losses"]["validation_last"] is not None
