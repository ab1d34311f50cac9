"""`run`: shards and a model in, a trained model out. The whole of it, one line a stage."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftdata.errors import ModelError, OutputError, SftDataError
from sftdata.files.atomic import output_errors
from sfttrain.check.files import check_files
from sfttrain.check.findings import as_json, raise_first_fail, warnings_of
from sfttrain.check.memory import check_memory
from sfttrain.config import TrainConfig, resolve_config
from sfttrain.data import TRAIN, Shards, open_shards
from sfttrain.evaluate.asked import asked_in_run
from sfttrain.hardware import check_devices, this_process
from sfttrain.model import read_model_config
from sfttrain.report.dataset import describe_dataset
from sfttrain.resume import shared_settings
from sfttrain.run_folder import RunFolder, check_place, open_run_folder
from sfttrain.say import say
from sfttrain.summary import describe_start, summarize_end, summarize_start
from sfttrain.trainer.batches import BatchPlan, plan_batches
from sfttrain.trainer.save import record_checkpoints, save_model, tokenizer_names
from sfttrain.watch.trackers import check_trackers
from sfttrain.ways.rate import pick_rate

SMALL_BYTES = 64 << 20  # a disk with less space is full


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM ended a run. The message says how to continue it; `signum` is the signal."""

    def __init__(self, message: str, signum: int) -> None:
        self.signum = signum
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Result:
    """A finished run: its folder, and the content of its run.json."""

    out: Path
    summary: Mapping[str, Any]


def run(config: TrainConfig | Mapping[str, Any] | str | Path, *, resume_command: str | None = None) -> Result:
    """Train a model on shards, with settings from a TrainConfig, a mapping, or a YAML file.

    Raises a subclass of SftDataError for what a user can put right, and Interrupted after Ctrl-C or SIGTERM, whose
    message names the checkpoint and `resume_command`, the command that continues the run.
    """
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    started = time.monotonic()
    process = this_process()

    config = resolve_config(config)
    check_place(config)
    shards = open_shards(config.shards, checksums=process.local_rank == 0, needs_validation=config.eval_every > 0)
    batches = plan_batches(config, shards.manifest.splits[TRAIN], shards.manifest.seq_len, process.world_size)
    check_devices()
    check_trackers(config.log_to)
    checks = check_files(config, shards)
    raise_first_fail(checks)
    model = read_model_config(config)
    rate = pick_rate(config, model)
    config, memory = check_memory(config.model_copy(update={"learning_rate": rate.value}), shards, batches, model)
    checks.append(memory)
    raise_first_fail(checks)
    row_order = _row_order(config, shards, batches)
    shared = shared_settings(config, row_order, process.world_size)
    asked = asked_in_run(config, shards, model)
    with open_run_folder(config, shared, tokenizer_names(shards.manifest), is_main=process.is_main) as folder:
        folder.check_steps_left(batches.num_steps(config.epochs, config.max_steps))

        # These import torch, transformers and trl.
        from sfttrain.check.isolation import prove_loss_before_step_0
        from sfttrain.check.steps import say_time_after_two_steps
        from sfttrain.evaluate.during import evaluate_during
        from sfttrain.report.during import reported
        from sfttrain.trainer.build import build_trainer
        from sfttrain.trainer.finite import stop_where_not_finite
        from sfttrain.trainer.metrics import record_metrics
        from sfttrain.trainer.stop import stop_on_signals

        trainer = build_trainer(config, shards, batches, resumes=folder.resume_from is not None)
        trainer.check_data = shards.check_unchanged
        record_checkpoints(trainer, folder)
        proof = prove_loss_before_step_0(trainer)
        stop_where_not_finite(trainer, folder, shards)
        summary = {**row_order, **summarize_start(config, trainer, folder), "checks": as_json(checks)["checks"]}
        summary["dataset"] = describe_dataset(shards)
        metrics = record_metrics(trainer, folder, {"status": "running", **summary})
        evaluations = evaluate_during(trainer, config, shards, folder, asked)
        say_time_after_two_steps(trainer)
        stop = stop_on_signals(trainer)
        if process.is_main:
            start = describe_start(config, summary, shards, batches, checks[0].what, rate)
            say("\n".join([start, *warnings_of(checks)]))

        with reported(trainer, folder), failure_recorded(folder, summary), training_errors(folder.path):
            with stop, metrics.view:
                trainer.train(resume_from_checkpoint=str(folder.resume_from) if folder.resume_from else None)
            shards.check_unchanged()
            if stop.signum is not None and trainer.state.global_step < trainer.state.max_steps:
                end = summarize_end(trainer, folder, proof, metrics, time.monotonic() - started)
                folder.write_summary({"status": "stopped", **summary, **end})
                raise Interrupted(folder.how_to_resume(trainer.state.global_step, resume_command), stop.signum)
            evaluations.finish(metrics.last_validated_step)
            files = save_model(trainer, shards, folder, config, summary)

            end = summarize_end(trainer, folder, proof, metrics, time.monotonic() - started)
            summary = {"status": "finished", **summary, **end, **evaluations.summary(), "files": files}
            folder.write_summary(summary)
    return Result(folder.path, summary)


def _row_order(config: TrainConfig, shards: Shards, batches: BatchPlan) -> dict[str, Any]:
    """What decides which sequence is trained in which step."""
    return {
        "dataset_hash": shards.manifest.dataset_hash,
        "rows_per_step": batches.rows_per_step,
        "seed": config.seed,
        "sort": config.sort,
    }


@contextmanager
def failure_recorded(folder: RunFolder, summary: Mapping[str, Any]) -> Iterator[None]:
    """Write to run.json how the block ended: "failed" and the error after an SftDataError, "interrupted" after a signal
    that stopped it at once. A run that is stopped with a checkpoint has said so itself.
    """
    try:
        yield
    except Interrupted:
        raise
    except KeyboardInterrupt:
        with suppress(OutputError):
            folder.write_summary({"status": "interrupted", **summary})
        raise
    except SftDataError as error:
        with suppress(OutputError):
            rows = {"rows": found} if (found := getattr(error, "rows", None)) else {}  # where a loss is NaN
            folder.write_summary({"status": "failed", "error": str(error), **rows, **summary})
        raise


@contextmanager
def training_errors(out: Path) -> Iterator[None]:
    """Turn what a full GPU or a full disk raises into an error that says what to do."""
    import torch
    from safetensors import SafetensorError

    try:
        with output_errors(out):
            yield
    except torch.OutOfMemoryError as error:
        hint = "set activation_checkpointing=on, train with lora, or prepare shorter rows (pack.seq_len)"
        raise ModelError("the GPU", "does not have enough memory for a step", hint) from error
    except SftDataError:
        raise
    except Exception as error:  # that of a full disk is RuntimeError in torch, and Exception itself in tokenizers
        todo = "free some space, then continue with resume=true"
        if "No space left" in str(error) or "os error 28" in str(error):
            raise OutputError(str(out), "the disk is full", todo) from error
        if not isinstance(error, (SafetensorError, RuntimeError)):
            raise
        if "inline_container" not in str(error) and "PytorchStreamWriter" not in str(error):
            raise
        # torch does not say why it could not write a file.
        is_full = shutil.disk_usage(out).free < SMALL_BYTES
        what = "the disk is full" if is_full else "a checkpoint cannot be written: a quota or a limit is reached"
        raise OutputError(str(out), what, todo) from error
