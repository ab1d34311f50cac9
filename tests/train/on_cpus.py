"""Runs sfttrain as one of several processes on CPUs, and writes down what they read.

    torchrun ... on_cpus.py READ run CONFIG.yaml

Lines of READ: the rank, and the sequences that it reads for a batch; and how accelerate spreads the model.

accelerate shards a model (FSDP2) on GPUs alone. Here, processes on CPUs are called another kind of device, so that it
does the same on CPUs, over gloo.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType

from sfttrain.cli.app import main
from sfttrain.trainer.packed import PackedTrainer


def on_cpu(self: Any) -> None:
    self.device = torch.device("cpu")
    if self.distributed_type == DistributedType.MULTI_CPU and os.environ.get("ACCELERATE_USE_FSDP") == "true":
        self.distributed_type = DistributedType.MULTI_XPU


def record(file: Path) -> None:
    import datasets

    rank = int(os.environ["RANK"])
    read, step = datasets.Dataset.__getitems__, PackedTrainer.training_step

    def write(line: list[Any]) -> None:
        with file.open("a") as lines:
            lines.write(json.dumps(line) + "\n")

    def recorded(self: Any, numbers: list[int]) -> Any:
        write([rank, numbers])
        return read(self, numbers)

    def training_step(self: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        kind = type(next(model.parameters())).__name__
        write([rank, str(self.accelerator.distributed_type.value), type(model).__name__, kind])
        return step(self, model, *args, **kwargs)

    datasets.Dataset.__getitems__ = recorded
    PackedTrainer.training_step = training_step


if __name__ == "__main__":
    PartialState.set_device = on_cpu
    record(Path(sys.argv[1]))
    sys.argv[1:2] = []
    main()
