"""Answers end where the context of the model does, whatever is asked beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sfttrain.evaluate.generate import BATCH, batches_of, generate


def test_a_prompt_whose_answer_may_not_fit_is_answered_alone():
    assert list(batches_of([5, 90, 3, 97], 10, 100)) == [([2, 0, 1], 10), ([3], 3)]
    assert list(batches_of([5, 90], 10, None)) == [([0, 1], 10)]
    assert [len(numbers) for numbers, _ in batches_of([1] * (BATCH + 1), 10, 100)] == [BATCH, 1]


def test_an_answer_ends_where_the_positions_of_the_model_end(short_gpt2: Path):
    from transformers import GPT2LMHeadModel

    model = GPT2LMHeadModel.from_pretrained(short_gpt2)
    model.generation_config.eos_token_id = None
    prompts = [[5] * 40, [7] * 10, [9] * 46]
    answers = generate(model, prompts, (), max_new_tokens=20)
    assert [len(answer) for answer in answers] == [8, 20, 2]
    for prompt, answer in zip(prompts, answers, strict=True):
        assert answer == generate(model, [prompt], (), max_new_tokens=len(answer))[0]


def test_a_run_answers_prompts_up_to_the_end_of_the_context(short_gpt2: Path, tmp_path: Path, tiny_tokenizer: Path):
    import json

    import sftdata
    import sfttrain

    (tmp_path / "chats.jsonl").write_text(json.dumps({"prompt": "Who?", "completion": "Me"}) + "\n")
    data = {"tokenizer": str(tiny_tokenizer), "sources": [str(tmp_path / "chats.jsonl")], "pack": {"seq_len": 48}}
    sftdata.prepare({**data, "out": str(tmp_path / "data")})
    settings = {
        "shards": str(tmp_path / "data"),
        "model": str(short_gpt2),
        "out": str(tmp_path / "out"),
        "max_steps": 1,
    }
    evaluate = {"prompts": str(tmp_path / "chats.jsonl"), "max_new_tokens": 256}
    result = sfttrain.run({**settings, "dtype": "float32", "evaluate": evaluate})
    (line,) = (result.out / "answers.jsonl").read_text().splitlines()
    assert json.loads(line)["reference"] == "Me"


def test_a_mixture_of_experts_answers_while_it_trains_and_is_saved_as_it_was(
    chats: Path, tmp_path: Path, tiny_tokenizer: Path
):
    """TRL has its routers give their logits for the loss that balances them; generating, with a mask, would fail."""
    import json
    import shutil

    import torch
    from transformers import MixtralConfig, MixtralForCausalLM

    import sfttrain

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = MixtralConfig(
        vocab_size=640, num_key_value_heads=2, num_local_experts=4, max_position_embeddings=256, eos_token_id=0, **sizes
    )
    MixtralForCausalLM(config).save_pretrained(tmp_path / "model")
    shutil.copy(tiny_tokenizer / "tokenizer.json", tmp_path / "model")
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Hi"}\n{"prompt": "Who is it?"}\n')
    settings = {"shards": str(chats), "model": str(tmp_path / "model"), "out": str(tmp_path / "out"), "max_steps": 1}
    evaluate = {"prompts": str(tmp_path / "prompts.jsonl"), "max_new_tokens": 3}
    result = sfttrain.run({**settings, "dtype": "float32", "evaluate": evaluate})
    assert len((result.out / "answers.jsonl").read_text().splitlines()) == 4
    assert json.loads((result.out / "config.json").read_text())["output_router_logits"] is False


def test_a_model_is_not_judged_on_samples_longer_than_its_context(short_gpt2: Path, chats: Path, tmp_path: Path):
    from sftdata.errors import ModelError
    from sfttrain.evaluate.beside.compare import compare

    with pytest.raises(ModelError, match="more than the 48 of the model's context"):
        compare(str(short_gpt2), chats)
