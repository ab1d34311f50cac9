"""What is known of a run: for run.json, in the run.json of an earlier one, and as printed before the first step."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftdata.errors import ConfigError, pluralize
from sftdata.files.inside import is_taken
from sfttrain.config import LoraSettings, TrainConfig
from sfttrain.data import TRAIN, VALIDATION, Shards
from sfttrain.trainer.batches import BatchPlan

if TYPE_CHECKING:
    from sfttrain.check.isolation import ProofCallback
    from sfttrain.run_folder import RunFolder
    from sfttrain.trainer.metrics import MetricsCallback
    from sfttrain.trainer.packed import PackedTrainer
    from sfttrain.ways.rate import Rate

RUN_JSON = "run.json"
_MAX_BYTES = 32 << 20  # far above what a run.json has
PACKAGES = ("sftdata", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers")


def summarize_start(config: TrainConfig, trainer: PackedTrainer, folder: RunFolder) -> dict[str, Any]:
    """The part of run.json that is known before the first step."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in trainer.model.parameters()]
    return {
        "config": config.model_dump(mode="json"),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "learning_rate": config.peak_learning_rate,
        "device": str(trainer.args.device),
        "dtype": trainer.dtype,
        "attn_implementation": trainer.model.config._attn_implementation,
        "world_size": trainer.args.world_size,
        "parameters": sum(size for size, _ in sizes),
        "trained_parameters": sum(size for size, is_trained in sizes if is_trained),
        "resumed_from_step": folder.first_step,
        "changes": list(folder.changes),
    }


def summarize_end(
    trainer: PackedTrainer, folder: RunFolder, proof: ProofCallback, metrics: MetricsCallback, seconds: float
) -> dict[str, Any]:
    """The part of run.json that is known after the last step. All processes must call it."""
    losses, validation = metrics.losses, metrics.validation_losses
    return {
        "preflight": None if proof.proof is None else asdict(proof.proof),
        "steps": trainer.state.global_step,
        "epochs": trainer.state.epoch,
        "losses": {
            "train_first": losses[0] if losses else None,
            "train_last": losses[-1] if losses else None,
            "validation_first": validation[0] if validation else None,
            "validation_last": validation[-1] if validation else None,
        },
        "validation": {
            "first": metrics.validations[0] if metrics.validations else None,
            "last": metrics.validations[-1] if metrics.validations else None,
        },
        "tokens": folder.tokens_before + trainer.tokens,
        "trained_tokens": folder.trained_tokens_before + trainer.trained_tokens,
        "seconds": round(seconds, 2),
    }


def read_run(folder: Path) -> dict[str, Any]:
    """The content of the run.json of a run, which has at least its status and its dataset_hash.

    Raises ConfigError where there is none, it cannot be read, sfttrain did not write it, or it is damaged.
    """
    path, todo = folder / RUN_JSON, "give the folder that `sfttrain run` wrote (its setting out)"
    try:
        if not folder.is_dir():
            raise ConfigError(str(folder), "is not a folder" if is_taken(folder) else "does not exist", todo)
        if not path.is_file():
            raise ConfigError(str(folder), f"has no {RUN_JSON}, so it is not the folder of a run", todo)
        data = path.read_bytes() if path.stat().st_size <= _MAX_BYTES else b""
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}", "make it readable") from error
    found = run_in(data)
    if found is None:
        raise no_run(path)
    return found


def run_in(data: bytes) -> dict[str, Any] | None:
    """The content of a run.json; None where sfttrain did not write it, or it is damaged."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    is_run = isinstance(found, dict) and all(isinstance(found.get(key), str) for key in ("status", "dataset_hash"))
    return found if is_run else None


def settings_of_run(folder: Path, run: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in the content of a run.json. Raises ConfigError where it has none."""
    found = run.get("config")
    if not isinstance(found, dict):
        raise no_run(folder / RUN_JSON)
    return found


def no_run(path: Path) -> ConfigError:
    """The error for a run.json that is not as sfttrain writes it."""
    return ConfigError(str(path), "was not written by sfttrain, or is damaged", "restore it, or train again")


def describe_start(
    config: TrainConfig, start: Mapping[str, Any], shards: Shards, batches: BatchPlan, model_check: str, rate: Rate
) -> str:
    """What is printed before training, a line each for data, model, batches and schedule.

    `start` is what `summarize_start` returned, and `model_check` what was found of the tokenizer.
    """
    splits = shards.manifest.splits
    train, validation = splits[TRAIN], splits.get(VALIDATION)
    held_out = f"; {pluralize(validation.rows, 'row')} for validation" if validation else ""
    kind = "full training" if config.lora is None else f"{_adapter(config.lora)} of rank {config.lora.r}"
    length = _length(config)
    lines = [
        f"data   {shards.shown}: {pluralize(train.samples, 'sample')} in {pluralize(train.rows, 'row')}, "
        f"{pluralize(train.tokens, 'token')}, "
        f"{train.trained_tokens:,} of them trained{held_out}",
        f"model  {config.model}: {kind}, {start['trained_parameters']:,} of {start['parameters']:,} parameters, "
        f"{start['dtype']}, {start['attn_implementation']}, {start['device']}; {model_check}",
        f"batch  {_describe_batches(batches, config.batch_tokens)}",
        f"train  {length}, learning rate {rate.value:g}, {config.schedule}, warmup {config.warmup:g}",
        *([] if rate.is_set else [f"rate   {rate.in_words}"]),
    ]
    if start["resumed_from_step"]:
        lines.append(f"resume after step {start['resumed_from_step']:,}")
    lines += [f"note   {change}" for change in start["changes"]]
    num_steps = batches.num_steps(config.epochs, config.max_steps)
    if config.warmup > num_steps:
        lines.append(
            f"note   the warmup of {config.warmup:g} steps is longer than the run of {num_steps:,}: the learning "
            f"rate does not reach {rate.value:g}"
        )
    return "\n".join(lines)


def _adapter(lora: LoraSettings) -> str:
    """`LoRA`, `rsLoRA`, `QDoRA`: the kind of adapter under the name that it has in papers."""
    name = "DoRA" if lora.dora else "LoRA"
    return f"{'rs' if lora.rslora else ''}{'Q' if lora.quantize != 'none' else ''}{name}"


def _length(config: TrainConfig) -> str:
    """`100 steps`, or `1 epoch`."""
    if config.max_steps:
        return pluralize(config.max_steps, "step")
    epochs = config.epochs or 1
    return f"{epochs:g} {'epoch' if epochs == 1 else 'epochs'}"


def _describe_batches(batches: BatchPlan, batch_tokens: int) -> str:
    processes = f"{batches.world_size} process{'es' if batches.world_size > 1 else ''}"
    spread = f"{batches.rows_per_device} per process x {batches.accumulation} accumulated x {processes}"
    return (
        f"{pluralize(batches.rows_per_step, 'row')} per step ({spread}), about "
        f"{pluralize(batches.tokens_per_step, 'token')} "
        f"(batch_tokens is {batch_tokens:,}); {pluralize(batches.steps_per_epoch, 'step')} per epoch"
    )


def _version(package: str) -> str | None:
    """The version of an installed package; None where it is not installed as one."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
