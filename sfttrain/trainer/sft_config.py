"""TRL's SFTConfig for packed rows, from the settings of a run. Imports trl."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from trl import SFTConfig

from sfttrain.config import TrainConfig
from sfttrain.trainer.batches import BatchPlan

OLD_NAME, NEW_NAME = "gradient_checkpointing", "activation_checkpointing"


def make_sft_config(
    config: TrainConfig,
    batches: BatchPlan,
    dtype: str,
    *,
    validates: bool,
    resumes: bool,
    checkpointing: bool = False,
) -> SFTConfig:
    """The SFTConfig that trains on packed rows as they are, with each sample isolated. Raises ValueError, TypeError.

    `packing` with `skip_prepare_dataset` makes the collator restart positions at each of `seq_lengths` and leave out
    the attention mask; either one alone silently trains on something else.
    """
    num_steps = batches.num_steps(config.epochs, config.max_steps)
    save_every = config.eval_every if config.keep == "best" else config.save_every
    gpu, cpu = torch.cuda.is_available(), torch.accelerator.current_accelerator() is None
    defaults: dict[str, Any] = {
        "per_device_eval_batch_size": batches.rows_per_device,
        "logging_steps": 1,
        "save_total_limit": 2,
        "eval_on_start": validates and not resumes,
        "dataloader_pin_memory": gpu,
    }
    decided: dict[str, Any] = {
        "output_dir": config.out,
        "max_steps": config.max_steps or -1,
        "num_train_epochs": config.epochs or 1.0,
        "per_device_train_batch_size": batches.rows_per_device,
        "gradient_accumulation_steps": batches.accumulation,
        "learning_rate": config.peak_learning_rate,
        **_schedule(config),
        "warmup_steps": int(config.warmup if config.warmup >= 1 else config.warmup * num_steps),
        "seed": config.seed,
        "data_seed": config.seed,
        "eval_strategy": "steps" if validates and config.eval_every else "no",
        "eval_steps": config.eval_every or None,
        "save_strategy": "steps" if save_every else "no",
        "save_steps": save_every or 500,
        **({"load_best_model_at_end": True, "metric_for_best_model": "eval_loss"} if config.keep == "best" else {}),
        "bf16": dtype == "bfloat16",
        "trust_remote_code": config.trust_remote_code,
        "report_to": list(config.log_to),
        "use_liger_kernel": config.liger,
        _checkpointing_name(): checkpointing,
    }
    fixed: dict[str, Any] = {
        "packing": True,
        "packing_strategy": "bfd",
        "max_length": batches.seq_len,
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "assistant_only_loss": False,
        "completion_only_loss": False,
        "shuffle_dataset": False,
        "average_tokens_across_devices": True,
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
        "use_cpu": cpu,  # by default, several processes on CPUs would each train alone
        "ddp_backend": "gloo" if cpu and batches.world_size > 1 else None,
    }
    made = SFTConfig(**{**defaults, **config.trainer, **decided, **fixed})
    made.report_to = list(config.log_to)  # transformers adds kubeflow where its address is in the environment
    return made


def _schedule(config: TrainConfig) -> dict[str, Any]:
    """How the rate decays, under the names of transformers."""
    if config.final_rate:
        given = config.trainer.get("lr_scheduler_kwargs") or {}
        kwargs = {**given, "min_lr_rate": config.final_rate}
        return {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": kwargs}
    return {"lr_scheduler_type": "constant_with_warmup" if config.schedule == "constant" else config.schedule}


def _checkpointing_name() -> str:
    """The installed transformers' name for recomputing activations; a version with both warns about the old one."""
    fields = {field.name for field in dataclasses.fields(SFTConfig)}
    return NEW_NAME if NEW_NAME in fields else OLD_NAME
