"""The loss is the same from sfttrain, from a plain SFTTrainer on the same files, and from plain torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_metrics import losses

import sfttrain
from sftdata.errors import DatasetError

ALL_ROWS = 10**6  # batch_tokens for one step over all data, so that the order of the rows does not matter


@pytest.fixture(scope="module")
def expected(tiny_model: Path, shards: Path, loss_by_hand: Callable[..., float]) -> float:
    return loss_by_hand(tiny_model, sorted((shards / "train").iterdir()))


def first_loss(out: Path) -> float:
    return losses(out)[0][1]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_first_loss_is_the_mean_over_the_trained_tokens_of_samples_run_alone(
    settings: Callable[..., dict[str, Any]], expected: float, attention: str
):
    result = sfttrain.run(settings(batch_tokens=ALL_ROWS, max_steps=1, attn_implementation=attention))
    assert first_loss(result.out) == pytest.approx(expected, rel=2e-6)


def test_several_rows_per_forward_pass_give_the_same_loss(settings: Callable[..., dict[str, Any]], expected: float):
    changes = {"batch_tokens": ALL_ROWS, "max_steps": 1, "trainer": {"per_device_train_batch_size": 6}}
    assert first_loss(sfttrain.run(settings(**changes)).out) == pytest.approx(expected, rel=2e-6)


def test_trls_loss_over_all_positions_is_the_same(
    settings: Callable[..., dict[str, Any]], expected: float, monkeypatch: pytest.MonkeyPatch
):
    from sfttrain.trainer.packed import PackedTrainer

    monkeypatch.setattr(PackedTrainer, "_can_score_trained_only", lambda self: False)
    result = sfttrain.run(settings(batch_tokens=ALL_ROWS, max_steps=1))
    assert first_loss(result.out) == pytest.approx(expected, rel=2e-6)


def test_one_sample_per_row_gives_the_same_loss(
    settings: Callable[..., dict[str, Any]],
    make_shards: Callable[..., Path],
    samples_of: Callable[..., Any],
    tiny_model: Path,
    loss_by_hand: Callable[..., float],
    tmp_path: Path,
):
    data = make_shards(tmp_path / "unpacked", [samples_of(9, seed=5)], strategy="none")
    result = sfttrain.run(settings(shards=str(data), batch_tokens=ALL_ROWS, max_steps=1))
    assert first_loss(result.out) == pytest.approx(loss_by_hand(tiny_model, [*(data / "train").iterdir()]), rel=2e-6)


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing. is deprecated:FutureWarning")  # TRL's own default
def test_a_plain_trl_trainer_reads_the_shards_through_datasets_and_gets_the_same_loss(
    shards: Path, tiny_model: Path, tmp_path: Path, expected: float, monkeypatch: pytest.MonkeyPatch
):
    import datasets
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    monkeypatch.setattr(SFTTrainer, "_send_telemetry", lambda self: None)
    files = [str(path) for path in sorted((shards / "train").iterdir())]
    rows = datasets.load_dataset("arrow", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_model),
        args=SFTConfig(
            output_dir=str(tmp_path / "trl"),
            packing=True,
            packing_strategy="bfd",
            max_length=64,
            dataset_kwargs={"skip_prepare_dataset": True},
            per_device_train_batch_size=1,
            gradient_accumulation_steps=len(rows),
            max_steps=1,
            logging_steps=1,
            bf16=False,
            report_to="none",
            save_strategy="no",
            dataloader_pin_memory=False,
        ),
        train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(shards / "tokenizer"),
    )
    trainer.train()
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert logged == [pytest.approx(expected, rel=2e-6)]


def test_the_validation_loss_is_the_mean_over_tokens_not_over_rows(
    settings: Callable[..., dict[str, Any]], tiny_model: Path, shards: Path, loss_by_hand: Callable[..., float]
):
    result = sfttrain.run(settings())
    held_out = [*(shards / "validation").iterdir()]
    recorded = result.summary["losses"]
    assert recorded["validation_first"] == pytest.approx(loss_by_hand(tiny_model, held_out), rel=2e-6)
    assert recorded["validation_last"] == pytest.approx(loss_by_hand(result.out, held_out), rel=2e-6)
    assert recorded["validation_first"] != recorded["validation_last"]


def test_a_step_without_trained_tokens_is_an_error_not_a_loss_of_zero(
    settings: Callable[..., dict[str, Any]],
    make_shards: Callable[..., Path],
    samples_of: Callable[..., Any],
    tmp_path: Path,
):
    only_first = [(ids, [ids[0]] + [-100] * (len(ids) - 1)) for ids, _ in samples_of(6)]
    data = make_shards(tmp_path / "first", [only_first])
    with pytest.raises(DatasetError, match="step 1: none of its tokens is trained"):
        sfttrain.run(settings(shards=str(data)))
    assert not (tmp_path / "out" / "metrics.jsonl").exists()
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "failed"
