"""The setting `trainer`: which fields of TRL's SFTConfig a user may set, and why the others are refused."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Any

from sftdata.settings.unknown_keys import suggest

# Fields of SFTConfig that follow from a setting of sfttrain, and that setting.
DECIDED_BY = {
    "output_dir": "out",
    "num_train_epochs": "epochs",
    "max_steps": "max_steps",
    "gradient_accumulation_steps": "batch_tokens",
    "learning_rate": "learning_rate",
    "lr_scheduler_type": "schedule",
    "warmup_steps": "warmup",
    "warmup_ratio": "warmup",
    "seed": "seed",
    "data_seed": "seed",
    "eval_strategy": "eval_every",
    "eval_steps": "eval_every",
    "save_strategy": "save_every",
    "save_steps": "save_every",
    "load_best_model_at_end": "keep",
    "metric_for_best_model": "keep",
    "greater_is_better": "keep",
    "bf16": "dtype",
    "fp16": "dtype",
    "bf16_full_eval": "dtype",
    "fp16_full_eval": "dtype",
    "train_sampling_strategy": "sort",
    "length_column_name": "sort",
    "resume_from_checkpoint": "resume",
    "trust_remote_code": "trust_remote_code",
    "gradient_checkpointing": "activation_checkpointing",
    "activation_checkpointing": "activation_checkpointing",
    "neftune_noise_alpha": "neftune",
    "use_liger_kernel": "liger",
    "report_to": "log_to",
}
# Fields of SFTConfig with only one right value for packed, masked shards: any other value trains on something else.
FIXED = frozenset(
    [
        "packing",
        "packing_strategy",
        "padding_free",
        "max_length",
        "truncation_mode",
        "dataset_kwargs",
        "dataset_text_field",
        "dataset_num_proc",
        "shuffle_dataset",
        "eval_packing",
        "completion_only_loss",
        "assistant_only_loss",
        "remove_unused_columns",
        "chat_template_path",
        "eos_token",
        "pad_token",
        "model_init_kwargs",
        "average_tokens_across_devices",
        "label_names",
        "save_only_model",
        "ignore_data_skip",
        "logging_nan_inf_filter",
        "disable_tqdm",
        "hub_token",
        "auto_find_batch_size",
        "dataloader_drop_last",
        "pad_to_multiple_of",
        "parallelism_config",
        "accelerator_config",
        "enable_jit_checkpoint",
        "use_cpu",
        "ddp_backend",
    ]
)


def check_trainer_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with numbers that YAML reads as text converted. Raises ValueError, one line for each problem."""
    if not settings:
        return {}  # do not import trl, and with it torch, for nothing
    known = _sft_config_fields()
    converted = {name: _to_number(value, known.get(name, "")) for name, value in settings.items()}
    problems = [problem for name, value in converted.items() if (problem := _problem(name, value, known))]
    if problems:
        raise ValueError("\n".join(problems))
    return converted


def _sft_config_fields() -> dict[str, str]:
    """The fields of SFTConfig and their annotations."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # as in `run`; it is read when trl imports huggingface_hub
    from trl import SFTConfig

    types = {field.name: field.type for field in dataclasses.fields(SFTConfig) if field.init}
    return {name: kind.__name__ if isinstance(kind, type) else str(kind) for name, kind in types.items()}


def _problem(name: str, value: Any, known: Mapping[str, str]) -> str | None:
    """Why `trainer.NAME` cannot be set to this value, or None."""
    if name in DECIDED_BY:
        return f"trainer.{name} is decided by {DECIDED_BY[name]}; set that instead"
    if name in FIXED:
        return f"trainer.{name} cannot be set: sfttrain sets what packed shards need"
    if name not in known:
        free = [field for field in known if field not in DECIDED_BY and field not in FIXED]
        return f"trainer.{name} is not a field of SFTConfig" + suggest(name, free, prefix="trainer.")
    if not _fits(value, known[name]):
        return f"trainer.{name} cannot be {value!r}: SFTConfig expects {known[name]}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"trainer.{name} must be a finite number"
    if name == "per_device_train_batch_size" and value < 1:
        return f"trainer.{name} must be at least 1"
    return None


def _fits(value: Any, annotation: str) -> bool:
    """Whether a value has the type of a plain annotation such as `float | None`; True for any other annotation.

    SFTConfig does not check types, so a wrong one would fail much later with an unrelated traceback.
    """
    kinds = {kind.strip() for kind in annotation.split("|")}
    if not kinds <= {"int", "float", "bool", "None"}:
        return True
    if value is None or isinstance(value, bool):
        return ("None" if value is None else "bool") in kinds
    return (isinstance(value, int) and bool(kinds & {"int", "float"})) or (
        isinstance(value, float) and "float" in kinds
    )


def _to_number(value: Any, annotation: str) -> Any:
    """YAML reads 1e-2 as text. Convert it where SFTConfig expects a float."""
    if isinstance(value, str) and "float" in annotation:
        try:
            return float(value)
        except ValueError:
            return value
    return value
