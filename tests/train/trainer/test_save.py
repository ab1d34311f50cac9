"""The saved model or adapter, with the dataset's tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
