"""Tasks of lm-evaluation-harness, where it is installed: the one function that it documents for programs."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from sftdata.errors import ConfigError
from sfttrain.evaluate.beside.models import read_given
from sfttrain.hardware import has_gpu

PACKAGE = "lm-eval"


def check_installed() -> None:
    """Raise ConfigError where lm-evaluation-harness is not there."""
    if find_spec("lm_eval") is None:
        raise ConfigError("--lm-eval", f"needs the package {PACKAGE}", f'install it: pip install "{PACKAGE}[hf]"')


def run_tasks(model: str, tasks: str, *, against: str | None = None, dtype: str = "auto") -> dict[str, dict[str, Any]]:
    """The results of each model on tasks, by `MODEL TASK`, as lm_eval.simple_evaluate gives them.

    Raises ConfigError where the package is not installed, or a task is not known to it.
    """
    check_installed()
    import lm_eval  # type: ignore[import-not-found,unused-ignore]

    device = "cuda" if has_gpu() else "cpu"  # its default is a GPU, whether there is one or not
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    found: dict[str, dict[str, Any]] = {}
    for one in [name for name in (against, model) if name is not None]:
        given = read_given(one)
        arguments = {"pretrained": given.base, "dtype": dtype, **({"peft": given.name} if given.is_adapter else {})}
        try:
            results = lm_eval.simple_evaluate(model="hf", model_args=arguments, tasks=names, device=device)
        except (KeyError, ValueError) as error:
            raise ConfigError("--lm-eval", str(error), "see `lm_eval ls tasks`") from error
        for task, figures in results["results"].items():
            found[f"{one} {task}"] = {key: value for key, value in figures.items() if key != "alias"}
    return found
