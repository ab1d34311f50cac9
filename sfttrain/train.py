"""The whole of sfttrain: check the shards, check the model, prove the loss, train, save."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftdata.errors import ConfigError, ModelError, OutputError, SftDataError
from sftdata.files.atomic import output_faults
from sfttrain.announce import announcement, facts_before
from sfttrain.config import TrainConfig, config_of, load_config
from sfttrain.data import TRAIN, VALIDATION, BatchShape, Shards, batch_shape, open_shards
from sfttrain.runs import SAVING, Run, open_run

if TYPE_CHECKING:
    from sfttrain.trainer import PackedTrainer


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or SIGTERM, ended a run; the message says where it can go on. `signum` is the signal."""

    def __init__(self, message: str, signum: int) -> None:
        self.signum = signum
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Result:
    """A finished run: where it is, and what run.json says of it."""

    out: Path
    facts: Mapping[str, Any]


def run(config: TrainConfig | Mapping[str, Any] | str | Path, *, resume_command: str | None = None) -> Result:
    """Train a model on shards, as the settings say: a TrainConfig, a mapping, or the path of a YAML file.

    Raises a subclass of SftDataError for what the user can put right, and Interrupted after Ctrl-C, when a checkpoint
    is there; `resume_command` is what that message then names.
    """
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    started = time.monotonic()
    config = _config(config)
    rank, local_rank, world_size = (int(os.environ.get(name, default)) for name, default in _PROCESSES.items())
    shards = open_shards(config.shards, checksums=local_rank == 0)
    shape = _shape(config, shards, world_size)
    comparison = _check_model(config, shards)
    same = {"dataset_hash": shards.manifest.dataset_hash, "rows_per_step": shape.rows, "seed": config.seed}
    place = open_run(config.out, resume=config.resume, overwrite=config.overwrite, same=same, main=rank == 0)
    _check_length(config, shape, place)

    from sfttrain.watch import Watch

    trainer = build_trainer(config, shards, shape, resumes=place.resume_from is not None)
    watch = Watch.over(trainer, place)
    facts = {**same, **facts_before(config, trainer, place)}
    place.write_facts({"status": "running", **facts}, main=rank == 0)
    watch.say(announcement(config, facts, shards, shape, comparison))
    try:
        with training_faults(place.out):
            with watch.stop:
                trainer.train(resume_from_checkpoint=str(place.resume_from) if place.resume_from else None)
            if watch.stopped:
                facts = {"status": "stopped", **facts, **watch.outcome(time.monotonic() - started)}
                place.write_facts(facts, main=rank == 0)
                raise Interrupted(
                    place.how_to_resume(trainer.state.global_step, resume_command), watch.stop.signum or 0
                )
            if trainer.eval_dataset is not None and watch.metrics.validated_at != trainer.state.global_step:
                trainer.evaluate()
            files = save(trainer, shards, place.out, main=rank == 0)
    except SftDataError as error:
        with suppress(OutputError):
            place.write_facts({"status": "failed", "error": str(error), **facts}, main=rank == 0)
        raise
    facts = {"status": "finished", **facts, **watch.outcome(time.monotonic() - started), "files": files}
    place.write_facts(facts, main=rank == 0)
    return Result(place.out, facts)


_PROCESSES = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1}  # what torchrun and accelerate tell each process


def _config(config: TrainConfig | Mapping[str, Any] | str | Path) -> TrainConfig:
    if isinstance(config, TrainConfig):
        return config
    return config_of(config) if isinstance(config, Mapping) else load_config(config)


def _shape(config: TrainConfig, shards: Shards, world_size: int) -> BatchShape:
    """The rows of a step. Raises ConfigError where validation is asked for and there is none."""
    splits = shards.manifest.splits
    if config.eval_every and not (VALIDATION in splits and splits[VALIDATION].rows):
        todo = "prepare it with split.validation, or leave eval_every out"
        raise ConfigError(str(shards.path), "has no validation split to evaluate", todo)
    per_device = config.trainer.get("per_device_train_batch_size")
    return batch_shape(splits[TRAIN], shards.manifest.seq_len, config.batch_tokens, world_size, per_device)


def _check_model(config: TrainConfig, shards: Shards) -> str:
    from sfttrain.model import check_devices, check_model

    check_devices()
    return check_model(config, shards)


def _check_length(config: TrainConfig, shape: BatchShape, place: Run) -> None:
    """Raises ConfigError where the checkpoint to go on from is the end already."""
    steps = shape.steps(config.epochs, config.max_steps)
    if place.first_step >= steps:
        what = f"has {place.first_step:,} of {steps:,} steps done: there is nothing to go on with"
        raise ConfigError(str(place.resume_from), what, "raise max_steps or epochs to train further")


def build_trainer(config: TrainConfig, shards: Shards, shape: BatchShape, *, resumes: bool) -> PackedTrainer:
    """The model and its trainer on the shards. Raises ModelError, or ConfigError where SFTConfig refuses a setting."""
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    from sfttrain.model import load_model, load_tokenizer, lora_config, pick_attention, pick_dtype
    from sfttrain.trainer import PackedTrainer, sft_config

    dtype = pick_dtype(config.dtype)
    validation = shards.rows(VALIDATION)
    try:
        args = sft_config(config, shape, dtype, validates=validation is not None, resumes=resumes)
    except (ValueError, TypeError) as error:
        raise ConfigError("trainer", " ".join(str(error).split()), "see TRL's SFTConfig") from error
    if args.world_size != shape.world_size:
        what = f"{shape.world_size} processes were started, but {args.world_size} of them train together"
        raise ConfigError("trainer", what, "start them with torchrun or accelerate launch")
    model = load_model(config, dtype, pick_attention(config.attn_implementation, dtype))
    adapter = lora_config(config.lora)
    try:
        trainer = PackedTrainer(
            model=model,
            args=args,
            train_dataset=shards.rows(TRAIN),
            eval_dataset=validation,
            processing_class=load_tokenizer(shards),
            peft_config=adapter,
        )
    except ValueError as error:  # a layer that is not there, a mix of settings that TRL refuses
        raise ModelError(config.model, " ".join(str(error).split()), "change the setting it names") from error
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    return trainer


def save(trainer: PackedTrainer, shards: Shards, out: Path, *, main: bool) -> list[str]:
    """Write the model or adapter, the dataset's tokenizer and template as they are; the names of the files.

    The files are written beside and moved in whole, so that a run cut off here leaves no half of a model.
    """
    from sfttrain.model import stop_ids

    model = trainer.accelerator.unwrap_model(trainer.model)
    stop_ids(model, shards.manifest.tokenizer.end_of_turn_ids)
    saving = out / SAVING
    trainer.save_model(str(saving))
    if not main:
        return []
    model.generation_config.save_pretrained(str(saving))
    for name in ("README.md", "training_args.bin"):  # an empty form, and a pickle; run.json says how it was made
        (saving / name).unlink(missing_ok=True)
    for path in shards.tokenizer.iterdir():
        shutil.copyfile(path, saving / path.name)
    files = sorted(path.name for path in saving.iterdir())
    for name in files:
        (saving / name).replace(out / name)
    saving.rmdir()
    return files


@contextmanager
def training_faults(out: Path) -> Iterator[None]:
    """What a full disk or a full GPU raises, as an error that says what to do."""
    import torch
    from safetensors import SafetensorError

    try:
        with output_faults(out):
            yield
    except torch.OutOfMemoryError as error:
        todo = "set trainer.gradient_checkpointing=true, train with lora, or prepare shorter rows (pack.seq_len)"
        raise ModelError("the GPU", "has no memory left for a step", todo) from error
    except (SafetensorError, RuntimeError) as error:
        if "No space left" not in str(error) and "os error 28" not in str(error):
            raise
        raise OutputError(str(out), "the disk is full", "free some space, then go on with resume=true") from error
