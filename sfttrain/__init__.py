"""sfttrain: trains a causal language model on the shards that sftdata wrote, and on nothing else."""

from __future__ import annotations

from sftdata import __version__
from sfttrain.config import LoraSettings, TrainConfig, load_config
from sfttrain.train import Interrupted, Result, run

__all__ = ["Interrupted", "LoraSettings", "Result", "TrainConfig", "__version__", "load_config", "run"]
