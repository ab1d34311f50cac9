"""sfttrain: trains a causal language model on the shards that sftdata wrote, and on nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sftdata import __version__

if TYPE_CHECKING:
    from sfttrain.config import LoraSettings, TrainConfig, load_config
    from sfttrain.train import Interrupted, Result, run

__all__ = ["Interrupted", "LoraSettings", "Result", "TrainConfig", "__version__", "load_config", "run"]

_HOMES = {
    **dict.fromkeys(("LoraSettings", "TrainConfig", "load_config"), "sfttrain.config"),
    **dict.fromkeys(("Interrupted", "Result", "run"), "sfttrain.train"),
}


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import sfttrain` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value
