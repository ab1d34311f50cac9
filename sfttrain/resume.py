"""What a continued run must share with the run that it continues: the order of the rows, and what decides the steps."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sftdata.errors import ConfigError
from sfttrain.config import TrainConfig

# Fields of SFTConfig that decide how fast or where something is done, or what is reported, but not what is learned.
FREE = frozenset(
    [
        "per_device_train_batch_size",  # rows_per_step is compared
        "per_device_eval_batch_size",
        "eval_accumulation_steps",
        "eval_delay",
        "torch_empty_cache_steps",
        "gradient_checkpointing_kwargs",
        "activation_checkpointing_kwargs",
        "activation_offloading",
        "save_total_limit",
        "save_on_each_node",
        "run_name",
        "project",
        "skip_memory_metrics",
        "include_num_input_tokens_seen",
        "push_to_hub",
        "dataloader_num_workers",
        "dataloader_pin_memory",
        "dataloader_persistent_workers",
        "dataloader_prefetch_factor",
    ]
)
# Settings that decide which sequences a step takes, and those whose results are in a checkpoint.
DECIDE_ROWS = frozenset(["dataset_hash", "rows_per_step", "seed", "sort", "processes"])
IN_CHECKPOINTS = frozenset(["model", "lora", "trainer.optim"])
FREE_PREFIXES = ("logging_", "log_", "ddp_", "torch_compile", "hub_", "trackio_")


def shared_settings(config: TrainConfig, row_order: Mapping[str, Any], world_size: int) -> dict[str, Any]:
    """The values that must be the same when a run is continued, as JSON has them.

    The length of a run, validation, checkpoints, the compute dtype and the attention may be others: they are used as
    they are set then. `row_order` decides which rows each step sees.
    """
    trainer = {
        f"trainer.{name}": value
        for name, value in config.model_dump(mode="json")["trainer"].items()
        if name not in FREE and not name.startswith(FREE_PREFIXES)
    }
    return {
        **row_order,
        "processes": world_size,
        "model": model_key(config.model),
        "learning_rate": config.peak_learning_rate,
        "schedule": config.schedule,
        "warmup": config.warmup,
        "lora": None if config.lora is None else config.lora.model_dump(mode="json"),
        "dropout": None if config.dropout is None else config.dropout.model_dump(mode="json"),
        "neftune": config.neftune,
        "final_rate": config.final_rate or None,
        **trainer,
    }


def check_shared(
    where: Path, earlier: Mapping[str, Any], now: Mapping[str, Any], *, allow_changes: bool = False
) -> list[str]:
    """What a continued run has otherwise than it began with, in words.

    Raises ConfigError for the first of it, unless changes are allowed; always where the weights or the state of the
    optimizer in a checkpoint would not fit.
    """
    changes = []
    for name in (*now, *(name for name in earlier if name not in now)):
        old, new = earlier.get(name), now.get(name)
        if old == new:
            continue
        if name == "model":
            what = "the earlier run trained another model"
        else:
            what = f"the earlier run had {name} {_shown(old)}, this one has {_shown(new)}"
        if name in DECIDE_ROWS:
            what += ", so rows would repeat or be skipped"
        if name in IN_CHECKPOINTS:
            raise ConfigError(str(where), what, "resume with the earlier settings, or start a new run")
        if not allow_changes:
            todo = "resume with the earlier settings or with --allow-changes, or start a new run"
            raise ConfigError(str(where), what, todo)
        changes.append(what.replace("would repeat", "may repeat"))
    return changes


def model_key(source: str) -> str:
    """What tells one model from another: a hub id, or a checksum of a folder's config.json and the sizes of its
    weights, so that a folder may be moved.
    """
    folder = Path(source)
    if not folder.is_dir():
        return source
    digest = hashlib.sha256()
    config = folder / "config.json"
    digest.update(config.read_bytes() if config.is_file() else b"")
    weights = [path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin") and path.is_file()]
    for path in sorted(weights):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
    return digest.hexdigest()


def _shown(value: object) -> str:
    return "its default" if value is None else repr(value)
