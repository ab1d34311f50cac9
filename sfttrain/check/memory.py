"""How much memory a step takes, by a formula, and how much there is.

Weights, gradients and the state of the optimizer are counted exactly, as in Rajbhandari et al. 2020, ZeRO (arXiv
1910.02054, section 3.1): per trained parameter 4 bytes of weight, 4 of gradient, and 8 of Adam's two moments, in
float32; a frozen parameter has its weight alone. Activations are counted as in Korthikanti et al. 2022, Reducing
Activation Recomputation in Large Transformer Models (arXiv 2205.05198, section 4): what each operation keeps for the
backward pass, per token and layer, here for RMS norms, grouped queries and a gated MLP:

    norms         4 h  in float32: input and normalized input of each of the two
    attention     2 h + (q + 2 kv)  inputs of the projections, and query, key and value; q for the output
    MLP           2 h + 4 f: gate, its activation, up, and their product

with h the hidden size, q and kv the widths of all query and key heads, and f the width of the MLP. Attention with a
full matrix of scores (eager) keeps 2 of tokens x heads per token in addition, and sdpa with a mask the mask, once for
each layer. The logits are counted three times (logits, their log-softmax, the gradient), at the trained positions where
the loss skips the others. With activation checkpointing, a layer keeps its input, and one layer at a time all of it.
What torch keeps agrees with that within a tenth; a process has more, because freed blocks are not given back at once:
that is the part `runtime`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sfttrain.check.findings import Finding
from sfttrain.config import TrainConfig
from sfttrain.data import TRAIN, Shards
from sfttrain.hardware import free_memory, has_gpu, pick_attention, pick_dtype
from sfttrain.trainer.batches import BatchPlan

FACTOR = 1.5  # a measured peak of a step on a CPU lies within this factor of the estimate; a test holds that
RUNTIME = {"cpu": 200_000_000, "gpu": 500_000_000}  # bytes that are no tensors: freed blocks, libraries of the device
SPARE = 0.8  # of the free memory may be taken before activations are computed twice
# Bytes that optimizers keep per trained parameter, by the names of transformers. Others are taken for Adam.
OPTIMIZERS = {
    "sgd": 4,
    "adafactor": 0,
    "adamw_8bit": 2,
    "adamw_bnb_8bit": 2,
    "paged_adamw_8bit": 2,
    "lion_32bit": 4,
    "lion_8bit": 1,
}
TO_DO = (
    "train with lora, set activation_checkpointing=on or trainer.per_device_train_batch_size=1, or prepare shorter "
    "sequences (pack.seq_len)"
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """What decides the memory of a model."""

    parameters: int
    trained: int
    layers: int
    hidden: int
    mlp: int
    queries: int  # heads x width
    keys: int
    heads: int
    vocabulary: int
    has_sdpa: bool = True
    can_checkpoint: bool = True


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward and backward pass of one process."""

    tokens: int
    trained_tokens: int
    bfloat16: bool
    eager: bool
    masked: bool  # attention gets a mask over all pairs of tokens
    on_gpu: bool = False  # elsewhere, the loss computes the logits of the trained positions alone


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes, by what they are for."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    runtime: int

    @property
    def total(self) -> int:
        """All of it, at the peak of a step."""
        return self.fixed + self.activations + self.logits + self.runtime

    @property
    def fixed(self) -> int:
        """What does not depend on the batch; counted exactly."""
        return self.weights + self.gradients + self.optimizer

    @property
    def in_words(self) -> str:
        """`1.9 GB (weights 0.54, ...)`."""
        parts = ", ".join(f"{name} {gigabytes(size)}" for name, size in asdict(self).items())
        return f"{gigabytes(self.total)} GB ({parts})"


def estimate(config: TrainConfig, sizes: Sizes, one: Pass, *, checkpointing: bool, processes: int = 1) -> Memory:
    """The memory of one process at the peak of a step. What sharding (FSDP, DeepSpeed) saves is not counted."""
    frozen = sizes.parameters - sizes.trained
    quantized = config.lora is not None and config.lora.quantize == "nf4"
    # Under an adapter the frozen weights are in the compute dtype. In full training they are float32, and autocast
    # keeps copies in bfloat16.
    per_frozen = 0.56 if quantized else 2 if one.bfloat16 else 4
    copies = 2 * sizes.trained if one.bfloat16 else 0
    name = str(config.trainer.get("optim", "adamw_torch"))
    gradients = 4 * sizes.trained * (2 if processes > 1 else 1)  # DDP keeps the buckets that it sends
    layer = layer_bytes(sizes, one)
    kept = sizes.layers * 4 * sizes.hidden * one.tokens + layer if checkpointing else (sizes.layers + 1) * layer
    positions = min(one.tokens, 1024) if one.on_gpu else one.trained_tokens  # on a GPU, TRL's loss goes by pieces
    return Memory(
        weights=int(per_frozen * frozen + 4 * sizes.trained + copies),
        gradients=gradients,
        optimizer=OPTIMIZERS.get(name, 8) * sizes.trained,
        activations=kept,
        logits=3 * 4 * positions * sizes.vocabulary,
        runtime=RUNTIME["gpu" if one.on_gpu else "cpu"],
    )


def layer_bytes(sizes: Sizes, one: Pass) -> int:
    """What a layer keeps for the backward pass; see the top of this module."""
    width = 2 if one.bfloat16 else 4
    norms = 4 * sizes.hidden * 4
    attention = (2 * sizes.hidden + 2 * sizes.queries + 2 * sizes.keys) * width
    mlp = (2 * sizes.hidden + 4 * sizes.mlp) * width
    scores = 2 * one.tokens * sizes.heads * width if one.eager else one.tokens * 4 if one.masked else 0
    return one.tokens * (norms + attention + mlp + scores)


def sizes_of(config: TrainConfig, model_config: Any) -> Sizes | None:
    """The sizes of a model from its config, without its weights; None where they cannot be known without them."""
    import torch
    from transformers import AutoModelForCausalLM

    from sfttrain.model import lora_config

    text = model_config.get_text_config()
    adapter = lora_config(config.lora)
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(model_config, trust_remote_code=config.trust_remote_code)
            if adapter is not None:
                from peft import get_peft_model

                model = get_peft_model(model, adapter)
    except Exception:  # noqa: BLE001 - a model's own code may raise anything; a real fault shows when it is loaded
        return None
    counts = [(one.numel(), one.requires_grad) for one in model.parameters()]
    heads = int(getattr(text, "num_attention_heads", None) or 1)
    hidden = int(getattr(text, "hidden_size", 0))
    per_head = int(getattr(text, "head_dim", None) or hidden // heads)
    groups = int(getattr(text, "num_key_value_heads", None) or heads)
    return Sizes(
        parameters=sum(count for count, _ in counts),
        trained=sum(count for count, is_trained in counts if is_trained or adapter is None),
        layers=int(getattr(text, "num_hidden_layers", 0)),
        hidden=hidden,
        mlp=_mlp(text, hidden),
        queries=heads * per_head,
        keys=groups * per_head,
        heads=heads,
        vocabulary=int(text.vocab_size),
        has_sdpa=bool(getattr(model, "_supports_sdpa", True)),
        can_checkpoint=bool(getattr(model, "supports_gradient_checkpointing", True)),
    )


def _mlp(text: Any, hidden: int) -> int:
    """The width of the MLP that a token goes through: of its experts, where it has some."""
    experts, width = getattr(text, "num_experts_per_tok", None), getattr(text, "moe_intermediate_size", None)
    if isinstance(experts, int) and isinstance(width, int):
        return experts * width + int(getattr(text, "shared_expert_intermediate_size", 0) or 0)
    return int(getattr(text, "intermediate_size", None) or getattr(text, "n_inner", None) or 4 * hidden)


def check_memory(config: TrainConfig, shards: Shards, batches: BatchPlan, model: Any) -> tuple[TrainConfig, Finding]:
    """The estimate for a run against the memory of this machine, and the settings with `activation_checkpointing`
    decided: where it is auto, activations are computed twice only if a step would not fit without.
    """
    free, on_gpu = free_memory(), has_gpu()
    sizes = sizes_of(config, model)
    chosen = config.activation_checkpointing
    if sizes is None or free is None:
        checkpointing = chosen == "on" or (chosen == "auto" and on_gpu)
        what = "unknown: the model cannot be built without its weights, or the system does not say what is free"
        return _decided(config, checkpointing), Finding("memory", "pass", what)
    one = _pass(config, shards, batches, sizes, on_gpu)
    processes = batches.world_size
    plain = estimate(config, sizes, one, checkpointing=False, processes=processes)
    fits = plain.total <= SPARE * free or not sizes.can_checkpoint
    checkpointing = chosen == "on" or (chosen == "auto" and not fits)
    memory = estimate(config, sizes, one, checkpointing=True, processes=processes) if checkpointing else plain
    shared = processes > 1 or bool(config.trainer.get("fsdp") or config.trainer.get("deepspeed"))
    return _decided(config, checkpointing), finding(memory, free, checkpointing=checkpointing, shared=shared)


def _decided(config: TrainConfig, checkpointing: bool) -> TrainConfig:
    return config.model_copy(update={"activation_checkpointing": "on" if checkpointing else "off"})


def _pass(config: TrainConfig, shards: Shards, batches: BatchPlan, sizes: Sizes, on_gpu: bool) -> Pass:
    """The largest forward pass of a run: full sequences."""
    dtype = pick_dtype(config.dtype)
    attention = pick_attention(config.attn_implementation, dtype) or ("sdpa" if sizes.has_sdpa else "eager")
    tokens = max(batches.seq_len, round(batches.rows_per_device * batches.mean_row_tokens))
    train = shards.manifest.splits[TRAIN]
    return Pass(
        tokens=tokens,
        trained_tokens=round(tokens * train.trained_tokens / train.tokens),
        bfloat16=dtype == "bfloat16",
        eager=attention == "eager",
        masked=attention == "sdpa",
        on_gpu=on_gpu,
    )


def finding(memory: Memory, free: int, *, checkpointing: bool, shared: bool) -> Finding:
    """The estimate against the free memory. Only what is counted exactly fails, and not where processes may share it
    (`shared`).
    """
    figures = {**asdict(memory), "total": memory.total, "free": free, "checkpointing": checkpointing}
    twice = "; activations are computed twice (activation_checkpointing)" if checkpointing else ""
    what = f"about {memory.in_words} of {gigabytes(free)} GB free{twice}"
    if memory.fixed > free and not shared:
        return Finding("memory", "fail", f"{what}: the weights and their optimizer alone are too large", TO_DO, figures)
    if memory.total > free:
        return Finding("memory", "warn", what, TO_DO, figures)
    return Finding("memory", "pass", what, figures=figures)


def gigabytes(size: int) -> str:
    """`0.54`, `12`: two digits."""
    return f"{size / 1e9:.2g}" if size < 99.5e9 else f"{size / 1e9:,.0f}"
