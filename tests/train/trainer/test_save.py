"""The saved model or adapter, with the dataset's tokenizer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sftdata
import sfttrain

# PEFT uses a name of transformers that is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


def test_the_saved_folder_loads_as_a_model_with_its_tokenizer_and_template(finished: sfttrain.Result, shards: Path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(finished.out)
    tokenizer = AutoTokenizer.from_pretrained(finished.out)
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    assert (finished.out / "tokenizer.json").read_bytes() == (shards / "tokenizer" / "tokenizer.json").read_bytes()
    assert 2 in model.generation_config.eos_token_id


@pytest.mark.parametrize("lora", [None, {"r": 4}], ids=["whole", "adapter"])
def test_all_named_templates_and_every_field_of_the_tokenizers_config_go_along(
    settings: Callable[..., dict[str, Any]], tiny_tokenizer: Path, tmp_path: Path, lora: dict[str, int] | None
):
    from transformers import AutoTokenizer

    own = tmp_path / "tokenizer"
    shutil.copytree(tiny_tokenizer, own)
    (own / "additional_chat_templates").mkdir()
    (own / "additional_chat_templates" / "rag.jinja").write_text("R{{ messages[0].content }}", encoding="utf-8")
    (own / "special_tokens_map.json").write_text('{"eos_token": "<|im_end|>"}', encoding="utf-8")
    (own / "generation_config.json").write_text('{"eos_token_id": [2, 0], "top_k": 7}', encoding="utf-8")
    config = json.loads((own / "tokenizer_config.json").read_text())
    config |= {"padding_side": "left", "model_max_length": 321, "house": {"style": ["plain", None]}}
    (own / "tokenizer_config.json").write_text(json.dumps(config))
    rows = [{"prompt": f"Which is {number}?", "completion": f"It is {number}."} for number in range(40)]
    shards = str(tmp_path / "shards")
    given = {"tokenizer": str(own), "sources": [{"rows": rows}], "out": shards, "pack": {"seq_len": 64}}
    sftdata.prepare(sftdata.parse_config(given), workers=1)
    out = sfttrain.run(settings(shards=shards, lora=lora, max_steps=1)).out
    assert json.loads((out / "tokenizer_config.json").read_text()) == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 321,
        "padding_side": "left",
        "house": {"style": ["plain", None]},
    }
    assert (out / "additional_chat_templates" / "rag.jinja").read_text() == "R{{ messages[0].content }}"
    assert json.loads((out / "special_tokens_map.json").read_text()) == {"eos_token": "<|im_end|>"}
    generation = json.loads((out / "generation_config.json").read_text())
    assert (sorted(generation["eos_token_id"]), generation.get("top_k")) == ([0, 2], None)  # the model's own
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert (tokenizer.padding_side, tokenizer.model_max_length) == ("left", 321)
    turns = [{"role": "user", "content": "Hi"}]
    assert tokenizer.apply_chat_template(turns, tokenize=False, chat_template="rag") == "RHi"
    assert tokenizer.apply_chat_template(turns, tokenize=False) == "<|im_start|>user\nHi<|im_end|>\n"


def test_an_adapter_is_saved_alone_and_changes_the_model(settings: Callable[..., dict[str, Any]], tiny_model: Path):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    result = sfttrain.run(settings(lora={"r": 4}, max_steps=3))
    assert not (result.out / "model.safetensors").exists()
    assert result.summary["trained_parameters"] < result.summary["parameters"] / 2
    AutoTokenizer.from_pretrained(result.out)
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    ids = torch.tensor([[5, 6, 7]])
    before = base(ids).logits
    after = PeftModel.from_pretrained(base, result.out)(ids).logits
    assert not torch.equal(before, after)
