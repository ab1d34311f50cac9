"""All checks of a run in turn, for `sfttrain check` and for Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from sftdata.errors import SftDataError
from sfttrain.check.files import check_files
from sfttrain.check.findings import Finding, of_error
from sfttrain.check.memory import check_memory
from sfttrain.config import TrainConfig
from sfttrain.data import TRAIN, Shards, open_shards
from sfttrain.evaluate.asked import asked_in_run
from sfttrain.hardware import check_devices, this_process
from sfttrain.model import read_model_config
from sfttrain.trainer.batches import plan_batches
from sfttrain.watch.trackers import check_trackers
from sfttrain.ways.rate import pick_rate


def check(config: TrainConfig, *, on_found: Callable[[Iterable[Finding]], None] = lambda found: None) -> list[Finding]:
    """Everything that a run checks before its first step, and an estimate of its time and memory from two steps.

    Nothing is written: the steps are trained in a temporary folder. Where a check of the files fails, the model is not
    loaded. `on_found` gets the findings as they come. Raises a subclass of SftDataError where the dataset or the model
    cannot be read at all.
    """
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    process = this_process()
    shards = open_shards(config.shards, checksums=process.local_rank == 0, needs_validation=config.eval_every > 0)
    batches = plan_batches(config, shards.manifest.splits[TRAIN], shards.manifest.seq_len, process.world_size)
    check_devices()
    check_trackers(config.log_to)
    found = check_files(config, shards)
    model = read_model_config(config)
    config = config.model_copy(update={"learning_rate": pick_rate(config, model).value})
    config, memory = check_memory(config, shards, batches, model)
    found += check_prompts(config, shards, model)
    on_found(found)
    if any(one.status == "fail" for one in [*found, memory]):
        on_found([memory])
        return [*found, memory]
    from sfttrain.check.steps import check_steps

    measured = check_steps(config, shards, batches, memory)
    on_found(measured)
    return [*found, *measured]


def check_prompts(config: TrainConfig, shards: Shards, model: Any) -> list[Finding]:
    """Whether the prompts of the settings can be answered by this model, and the checks made; nothing without any."""
    if config.evaluate.prompts is None and not config.evaluate.checks:
        return []
    try:
        return [asked_in_run(config, shards, model).finding]
    except SftDataError as error:
        return [of_error("prompts", error)]
