"""Set-ups that silently train on something else: each stops the run before its first step, and its cause is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sfttrain
from sftdata.errors import ModelError

Settings = Callable[..., dict[str, Any]]


def saved(model: Any, folder: Path, tokenizer: Path) -> str:
    """A model in a folder, with the dataset's tokenizer."""
    model.save_pretrained(folder)
    shutil.copy(tokenizer / "tokenizer.json", folder)
    return str(folder)


def qwen3_next() -> Any:
    """Three layers of four have linear attention, whose state runs over all tokens of a row."""
    from transformers import Qwen3NextConfig, Qwen3NextForCausalLM

    return Qwen3NextForCausalLM(
        Qwen3NextConfig(
            vocab_size=640,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            linear_key_head_dim=8,
            linear_value_head_dim=8,
            linear_num_key_heads=2,
            linear_num_value_heads=4,
            num_experts=4,
            num_experts_per_tok=2,
            moe_intermediate_size=16,
            shared_expert_intermediate_size=16,
            max_position_embeddings=256,
        )
    )


def mamba() -> Any:
    """No attention at all."""
    from transformers import MambaConfig, MambaForCausalLM

    return MambaForCausalLM(
        MambaConfig(vocab_size=640, hidden_size=32, state_size=8, num_hidden_layers=2, pad_token_id=0, eos_token_id=0)
    )


def lfm2() -> Any:
    """Short convolutions look at the three tokens before, also across the start of a sample."""
    from transformers import Lfm2Config, Lfm2ForCausalLM

    return Lfm2ForCausalLM(
        Lfm2Config(
            vocab_size=640,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            layer_types=["conv", "full_attention", "conv"],
            max_position_embeddings=256,
            pad_token_id=0,
            bos_token_id=0,
            eos_token_id=0,
        )
    )


@pytest.mark.parametrize(
    ("make", "layers"),
    [(qwen3_next, "Qwen3NextGatedDeltaNet"), (mamba, "MambaMixer"), (lfm2, "Lfm2ShortConv")],
)
def test_a_model_whose_state_runs_from_sample_to_sample_is_refused_with_its_layers(
    make: Callable[[], Any], layers: str, settings: Settings, tmp_path: Path, tiny_tokenizer: Path
):
    import torch

    torch.manual_seed(0)
    model = saved(make(), tmp_path / "model", tiny_tokenizer)
    with pytest.raises(ModelError, match=rf"{layers}.* of this model carry a state from one sample into the next"):
        sfttrain.run(settings(model=model))


def test_such_a_model_trains_on_samples_that_are_not_packed(
    settings: Settings, tmp_path: Path, tiny_tokenizer: Path, make_shards: Callable[..., Path], samples_of: Any
):
    """What the message says to do works."""
    import torch

    torch.manual_seed(0)
    model = saved(qwen3_next(), tmp_path / "model", tiny_tokenizer)
    data = make_shards(tmp_path / "unpacked", [samples_of(8)], strategy="none")
    config = settings(model=model, shards=str(data), max_steps=1, trainer={"per_device_train_batch_size": 1})
    assert sfttrain.run(config).summary["steps"] == 1


def test_skipping_the_preparation_without_padding_free_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """TRL's own default for rows that are ready: the lengths of the samples are ignored without a word."""
    from sfttrain.trainer import build

    make = build.make_sft_config

    def not_padding_free(*args: Any, **kwargs: Any) -> Any:
        made = make(*args, **kwargs)
        made.packing = False
        return made

    monkeypatch.setattr(build, "make_sft_config", not_padding_free)
    with pytest.raises(ModelError, match="has no position_ids, so nothing says where a sample begins"):
        sfttrain.run(settings())


def test_a_cache_that_is_left_on_is_refused(settings: Settings, leave_cache_on: Callable[[], None]):
    """With a cache, transformers takes the row for a continued text and does not look for its samples."""
    leave_cache_on()
    with pytest.raises(ModelError, match="does not keep them apart"):
        sfttrain.run(settings(attn_implementation="sdpa"))


def test_a_cache_that_the_loss_leaves_on_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    from sfttrain.trainer.packed import PackedTrainer

    def compute_loss(self: Any, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
        outputs = model(**inputs, use_cache=True)
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    monkeypatch.setattr(PackedTrainer, "compute_loss", compute_loss)
    with pytest.raises(ModelError, match=r"the cache is on, .* pass use_cache=False"):
        sfttrain.run(settings(attn_implementation="sdpa"))


def test_a_kernel_that_loses_the_mask_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """As a fused loss that trains prompts too: the logits are right."""
    import torch

    from sfttrain.trainer.packed import PackedTrainer

    def compute_loss(self: Any, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
        inputs = {name: value for name, value in inputs.items() if name != "labels"}
        outputs = model(**inputs, use_cache=False)
        loss = torch.nn.functional.cross_entropy(outputs.logits[0, :-1], inputs["input_ids"][0, 1:])
        return (loss, outputs) if return_outputs else loss

    monkeypatch.setattr(PackedTrainer, "compute_loss", compute_loss)
    with pytest.raises(ModelError, match=r"the logits agree and the loss does not.*set liger=false"):
        sfttrain.run(settings())
