"""Trackers of experiments, which transformers sends the logs of a run to: those that `log_to` names, and no other."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence

from sftdata.errors import ConfigError

# The name of a tracker, as transformers has it: the modules of which it needs one, and the package to install.
TRACKERS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "tensorboard": (("tensorboard", "tensorboardX"), "tensorboard"),
    "wandb": (("wandb",), "wandb"),
    "trackio": (("trackio",), "trackio"),
    "mlflow": (("mlflow",), "mlflow"),
    "comet_ml": (("comet_ml",), "comet-ml"),
    "clearml": (("clearml",), "clearml"),
    "swanlab": (("swanlab",), "swanlab"),
    "dvclive": (("dvclive",), "dvclive"),
}


def check_trackers(names: Sequence[str]) -> None:
    """Raise ConfigError where the package of a tracker is not installed."""
    missing = [name for name in names if not any(map(_is_installed, TRACKERS[name][0]))]
    if missing:
        packages = " ".join(TRACKERS[name][1] for name in missing)
        what = (
            f"{' and '.join(missing)} cannot be used, as {'it is' if len(missing) == 1 else 'they are'} not installed"
        )
        raise ConfigError("log_to", what, f"pip install {packages}")


def _is_installed(module: str) -> bool:
    """Whether a module can be imported. A folder of this name, as some trackers leave one behind, is none."""
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.origin is not None
