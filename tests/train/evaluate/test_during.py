"""What a run does at its evaluations: answers, checks, early stopping and the best model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sfttrain
from sftdata.errors import ConfigError, SftDataError
from sfttrain.evaluate.during import evaluations_since_lowest

Settings = Callable[..., dict[str, Any]]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    rows = [{"prompt": "Hi 0", "completion": "Héllo 0"}, {"prompt": "Who?"}, {"prompt": "What is 2+2?"}]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "prompts.jsonl"


def test_prompts_are_answered_at_each_evaluation_as_transformers_generates(
    chats: Path, tiny_model: Path, prompts: Path, settings: Settings
):
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    evaluate = {"prompts": str(prompts), "max_new_tokens": 4, "checks": [{"regex": "(?s).", "at_least": 0.5}]}
    result = sfttrain.run(settings(shards=str(chats), max_steps=1, eval_every=1, evaluate=evaluate))
    found = lines(result.out / "answers.jsonl")
    assert [(line["step"], line["where"]) for line in found] == [
        (step, f"prompts.jsonl:{row}") for step in (0, 1) for row in (1, 2, 3)
    ]
    assert [line["reference"] for line in found[:3]] == ["Héllo 0", None, None]
    tokenizer = AutoTokenizer.from_pretrained(chats / "tokenizer")
    for folder, part in ((tiny_model, found[:3]), (result.out, found[3:])):
        model = LlamaForCausalLM.from_pretrained(folder)
        for line in part:
            chat = [{"role": "user", "content": line["messages"][-1][1]}]
            ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt")["input_ids"]
            with torch.no_grad():
                answer = model.generate(
                    ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=4, eos_token_id=[0, 2]
                )
            written = [int(one) for one in answer[0, ids.shape[1] :]]
            ends = [at for at, one in enumerate(written) if one in (0, 2)]
            assert line["answer"] == tokenizer.decode(written[: ends[0] if ends else 4]).strip()
    (tally,) = result.summary["answers"]
    assert (tally["name"], tally["answers"], tally["at_least"]) == ("regex", 3, 0.5)
    assert {"step": 1, "checks": {"regex": tally["share"]}} in lines(result.out / "metrics.jsonl")


def test_without_a_validation_split_prompts_are_answered_after_training(
    tmp_path: Path, tiny_tokenizer: Path, prompts: Path, settings: Settings
):
    import sftdata

    sftdata.prepare({"tokenizer": str(tiny_tokenizer), "sources": [str(prompts)], "out": str(tmp_path / "data")})
    evaluate = {"prompts": str(prompts), "max_new_tokens": 2}
    result = sfttrain.run(settings(shards=str(tmp_path / "data"), max_steps=1, evaluate=evaluate))
    assert [line["step"] for line in lines(result.out / "answers.jsonl")] == [1, 1, 1]


def test_a_check_without_its_reference_is_refused_by_the_row_before_training(
    chats: Path, prompts: Path, settings: Settings
):
    evaluate = {"prompts": str(prompts), "checks": [{"exact": "reference"}]}
    with pytest.raises(ConfigError, match=r"prompts\.jsonl:2: has no answer of its own"):
        sfttrain.run(settings(shards=str(chats), evaluate=evaluate))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluate": {"prompts": "{folder}/gone.jsonl"}}, "gone.jsonl"),
        ({"evaluate": {"prompts": "{folder}/prompts.jsonl", "checks": [{"exact": "label"}]}}, "has no 'label'"),
        (
            {"evaluate": {"prompts": "{folder}/long.jsonl"}},
            r"long\.jsonl:1: has 2,010 tokens, and .* sees 256, so it cannot",
        ),
        ({"lora": {"target_modules": ["none"]}}, "none"),
        ({"dropout": {"residual": 0.1}}, "has no residual dropout"),
    ],
)
def test_a_run_that_cannot_begin_leaves_the_one_that_it_was_to_replace(
    chats: Path, prompts: Path, settings: Settings, changes: dict[str, Any], message: str
):
    (prompts.parent / "long.jsonl").write_text(json.dumps({"prompt": "word " * 400}) + "\n")
    earlier = sfttrain.run(settings(shards=str(chats), max_steps=1))
    before = {path.name: path.read_bytes() for path in earlier.out.iterdir()}
    if (given := changes.get("evaluate")) is not None:
        changes = {"evaluate": {**given, "prompts": given["prompts"].format(folder=prompts.parent)}}
    with pytest.raises(SftDataError, match=message):
        sfttrain.run(settings(shards=str(chats), overwrite=True, **changes))
    assert {path.name: path.read_bytes() for path in earlier.out.iterdir()} == before


@pytest.mark.parametrize(
    ("losses", "waited"), [([], 0), ([3.0], 0), ([3.0, 2.0], 0), ([2.0, 3.0, 2.0], 2), ([3.0, 1.0, 2.0, 2.0], 2)]
)
def test_patience_counts_evaluations_after_the_first_of_the_lowest_loss(losses: list[float], waited: int):
    assert evaluations_since_lowest(losses) == waited


def test_a_run_stops_when_patience_ends_and_saves_the_best_model(chats: Path, settings: Settings, loss_by_hand: Any):
    """At this rate the first step makes the model worse, and so do the others."""
    changes = {"shards": str(chats), "max_steps": 8, "eval_every": 1, "learning_rate": 0.3, "warmup": 0}
    result = sfttrain.run(settings(**changes, patience=2, keep="best"))
    losses = [line["validation_loss"] for line in lines(result.out / "metrics.jsonl") if "validation_loss" in line]
    waited = len(losses) - 1 - losses.index(min(losses))
    assert result.summary["steps"] < 8
    assert waited == 2
    after = losses[1:]
    best = min(after)  # the model before training has no checkpoint
    assert result.summary["best"] == {"step": after.index(best) + 1, "validation_loss": pytest.approx(best)}
    assert loss_by_hand(result.out, sorted((chats / "validation").iterdir())) == pytest.approx(best, rel=1e-5)


def test_patience_needs_evaluations(settings: Settings):
    with pytest.raises(ConfigError, match="set eval_every"):
        sfttrain.run(settings(patience=2))
