"""GGUF files: the weights and the tokenizer of the folder beside them; what cannot be written is refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import sfttrain
from sftdata.errors import ConfigError, ModelError
from sfttrain.export.write import export

gguf = pytest.importorskip("gguf", reason="the extra `gguf` is not installed")
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # in peft


@pytest.fixture(scope="module")
def exported(adapter: sfttrain.Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter, merged, with a GGUF file of 32 bits beside it."""
    out = tmp_path_factory.mktemp("gguf") / "model"
    export(adapter.out, out, gguf="f32")
    return out


def fields(path: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items()}


def test_the_weights_are_those_of_the_merged_model(exported: Path):
    import torch
    from transformers import AutoModelForCausalLM

    ids = torch.tensor([[5, 9, 17, 30, 200, 2, 7, 8]])
    with torch.no_grad():
        beside = AutoModelForCausalLM.from_pretrained(exported).eval()(ids).logits
        found = AutoModelForCausalLM.from_pretrained(exported, gguf_file="model-f32.gguf").eval()(ids).logits
    assert torch.equal(found, beside)


def test_the_tokenizer_stops_and_template_are_those_that_were_trained(exported: Path, shards: Path):
    found = fields(exported / "model-f32.gguf")
    assert found["general.architecture"] == "llama"
    assert found["tokenizer.ggml.pre"] == "gpt-2"
    assert found["tokenizer.ggml.eos_token_id"] == 2
    assert found["tokenizer.ggml.add_bos_token"] is False
    assert found["tokenizer.chat_template"] == (shards / "tokenizer" / "chat_template.jinja").read_text()
    tokens = found["tokenizer.ggml.tokens"]
    assert tokens[:3] == ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] and len(tokens) == 640
    assert found["tokenizer.ggml.token_type"][:4] == [3, 3, 3, 1]  # control, control, control, normal
    assert found["tokenizer.ggml.token_type"][-1] == 5  # the model has more ids than the tokenizer: unused


def test_q8_0_is_quantized_and_the_card_names_the_file(finished: sfttrain.Result, tmp_path: Path):
    done = export(finished.out, tmp_path / "model", gguf="q8_0")
    kinds = {one.name: one.tensor_type.name for one in gguf.GGUFReader(done.out / "model-q8_0.gguf").tensors}
    assert kinds["blk.0.attn_q.weight"] == "Q8_0" and kinds["blk.0.attn_norm.weight"] == "F32"
    assert "`model-q8_0.gguf`" in (done.out / "README.md").read_text()


def test_a_type_or_an_architecture_that_is_not_written_is_refused_by_name(finished: sfttrain.Result, tmp_path: Path):
    with pytest.raises(ConfigError, match="q4_k_m is not a type that is written; give one of q8_0, f16, bf16, f32"):
        export(finished.out, tmp_path / "model", gguf="q4_k_m")
    from transformers import GPT2Config, LlamaConfig

    from sfttrain.export.gguf.architectures import architecture_of

    with pytest.raises(ModelError, match=r"GPT2LMHeadModel cannot be written.*convert_hf_to_gguf\.py"):
        architecture_of(GPT2Config(architectures=["GPT2LMHeadModel"]))
    yarn = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64}
    with pytest.raises(ModelError, match=r"its positions are scaled \(yarn\)"):
        architecture_of(LlamaConfig(architectures=["LlamaForCausalLM"], rope_parameters=yarn))
    assert list(tmp_path.iterdir()) == []


def test_llama_31_slows_low_frequencies_by_its_factor_and_leaves_high_ones():
    from transformers import LlamaConfig

    from sfttrain.export.gguf.architectures import architecture_of

    kind = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    rope = {**kind, "rope_theta": 500000.0, "original_max_position_embeddings": 8192}
    config = LlamaConfig(
        architectures=["LlamaForCausalLM"], hidden_size=128, num_attention_heads=1, rope_parameters=rope
    )
    factors = architecture_of(config).rope_factors()
    assert factors is not None and factors.shape == (64,)
    assert factors[0] == 1.0 and abs(float(factors[-1]) - 8.0) < 1e-4


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"}}, "into words"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}}, "into words"),
        ({"normalizer": {"type": "Lowercase"}}, "Lowercase"),
        ({"model": {"ignore_merges": True}}, "into words"),
        ({"model": {"type": "Unigram"}}, "Unigram"),
    ],
)
def test_a_tokenizer_that_llama_cpp_would_read_otherwise_is_refused(
    tiny_tokenizer: Path, tmp_path: Path, change: dict[str, Any], reason: str
):
    from sfttrain.export.gguf.tokenizer import read_vocabulary

    folder = tmp_path / "tokenizer"
    shutil.copytree(tiny_tokenizer, folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    for key, value in change.items():
        content[key] = {**content[key], **value} if key == "model" else value
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match=reason):
        read_vocabulary(folder, 640, [2])


def test_an_end_of_a_turn_that_is_not_the_eos_token_gets_a_place_of_its_own(tiny_tokenizer: Path):
    """A template may write the eos token, so that one stays."""
    from sfttrain.export.gguf.tokenizer import read_vocabulary

    assert read_vocabulary(tiny_tokenizer, 640, [1, 2]).special == {"eos": 2, "pad": 0, "eot": 1}
    with pytest.raises(ModelError, match="has room for 3"):
        read_vocabulary(tiny_tokenizer, 640, [2, 1, 5, 6])
