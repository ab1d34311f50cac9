"""The architectures that are written as GGUF, and what of a config each of them may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sftdata.errors import ModelError
from sfttrain.export.gguf.tokenizer import CONVERT

if TYPE_CHECKING:
    import torch
    from gguf import GGUFWriter

# As config.json names it -> as GGUF does.
ARCHITECTURES = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
}


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model's config in the terms of GGUF."""

    name: str
    config: Any

    @property
    def head_dim(self) -> int:
        """The size of an attention head."""
        given = getattr(self.config, "head_dim", None)
        return int(given or self.config.hidden_size // self.config.num_attention_heads)

    @property
    def rope(self) -> Mapping[str, Any]:
        """How positions are turned."""
        found: Mapping[str, Any] = self.config.rope_parameters
        return found

    def change_of(self, tensor: str) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """What is done to a tensor: llama.cpp turns neighbours in a head of Llama, transformers its two halves."""
        config = self.config
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
        number = next((heads[part] for part in tensor.split(".") if part in heads), None)
        if self.name != "llama" or number is None:
            return None
        return lambda data: data.reshape(number, 2, -1, *data.shape[1:]).swapaxes(1, 2).reshape(data.shape)

    def rope_factors(self) -> torch.Tensor | None:
        """By how much Llama 3.1 slows each frequency, as transformers computes it; None without that."""
        if self.rope["rope_type"] == "default":
            return None
        import torch
        from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

        slowed, _ = ROPE_INIT_FUNCTIONS[self.rope["rope_type"]](self.config, "cpu")
        steps = torch.arange(0, self.head_dim, 2, dtype=torch.float32) / self.head_dim
        return (1.0 / self.rope["rope_theta"] ** steps) / slowed.float()


def architecture_of(config: Any) -> Architecture:
    """The architecture of a model. Raises ModelError where it is not one of these, or has what GGUF says otherwise."""
    given = (config.architectures or ["a model without a name"])[0]
    if given not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ModelError("--gguf", f"{given} cannot be written, only {known}", CONVERT)
    found = Architecture(ARCHITECTURES[given], config)
    kinds = ("default", "llama3") if found.name == "llama" else ("default",)
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    reasons = {
        "its weights are quantized": getattr(config, "quantization_config", None) is not None,
        f"its activation is {config.hidden_act}": config.hidden_act != "silu",
        f"its positions are scaled ({found.rope['rope_type']})": found.rope["rope_type"] not in kinds,
        "only a part of a head is turned": found.rope.get("partial_rotary_factor", 1.0) != 1.0,
        f"its attention has a window of {window} tokens": window is not None,
    }
    if reason := next((reason for reason, is_so in reasons.items() if is_so), None):
        raise ModelError("--gguf", f"this {given} cannot be written: {reason}", CONVERT)
    return found


def add_sizes(writer: GGUFWriter, architecture: Architecture) -> None:
    """Write the model's part of the metadata."""
    config = architecture.config
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(architecture.head_dim)
    writer.add_value_length(architecture.head_dim)
    writer.add_rope_dimension_count(architecture.head_dim)
    writer.add_rope_freq_base(architecture.rope["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
