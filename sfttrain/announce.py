"""What a run says of itself before its first step, to people and in run.json."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from sftdata.errors import ModelError
from sfttrain.config import TrainConfig
from sfttrain.data import TRAIN, VALIDATION, BatchShape, Shards
from sfttrain.runs import Run

if TYPE_CHECKING:
    from sfttrain.trainer import PackedTrainer

PACKAGES = ("sftdata", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers")


def facts_before(config: TrainConfig, trainer: PackedTrainer, place: Run) -> dict[str, Any]:
    """What is known of a run before its first step, for run.json. Raises ModelError where nothing would be trained."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in trainer.model.parameters()]
    trained = sum(size for size, requires_grad in sizes if requires_grad)
    if not trained:
        raise ModelError(config.model, "none of its parameters would be trained", "check lora.target_modules")
    return {
        "config": config.model_dump(mode="json"),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "learning_rate": config.rate,
        "device": str(trainer.args.device),
        "dtype": "bfloat16" if trainer.args.bf16 else "float32",
        "attn_implementation": trainer.model.config._attn_implementation,
        "world_size": trainer.args.world_size,
        "parameters": sum(size for size, _ in sizes),
        "trained_parameters": trained,
        "resumed_from_step": place.first_step,
    }


def announcement(
    config: TrainConfig, facts: Mapping[str, Any], shards: Shards, shape: BatchShape, comparison: str
) -> str:
    """What the user sees before training begins."""
    splits = shards.manifest.splits
    train, validation = splits[TRAIN], splits.get(VALIDATION)
    held_out = f"; {validation.rows:,} rows for validation" if validation else ""
    kind = "whole model" if config.lora is None else f"LoRA of rank {config.lora.r}"
    length = f"{config.max_steps:,} steps" if config.max_steps else f"{config.epochs or 1:g} epochs"
    lines = [
        f"data   {shards.path}: {train.samples:,} samples in {train.rows:,} rows, {train.tokens:,} tokens, "
        f"{train.trained_tokens:,} of them trained{held_out}",
        f"model  {config.model}: {kind}, {facts['trained_parameters']:,} of {facts['parameters']:,} parameters, "
        f"{facts['dtype']}, {facts['attn_implementation']}, {facts['device']}; {comparison}",
        f"batch  {shape.describe(config.batch_tokens)}",
        f"train  {length}, learning rate {config.rate:g}, {config.schedule}, warmup {config.warmup:g}",
    ]
    if facts["resumed_from_step"]:
        lines.append(f"resume after step {facts['resumed_from_step']:,}")
    return "\n".join(lines)


def _version(package: str) -> str | None:
    """A package's version, or None where it is not installed as one."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
