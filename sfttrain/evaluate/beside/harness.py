"""Tasks of lm-evaluation-harness, where it is installed: the one function that it documents for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from sftdata.errors import ConfigError, first_line
from sfttrain.evaluate.beside.models import Given, read_given
from sfttrain.evaluate.beside.result import TaskFigure
from sfttrain.hardware import has_gpu

PACKAGE = "lm-eval"
STDERR = "_stderr"  # behind the name of a metric: its standard error


def check_installed() -> None:
    """Raise ConfigError where lm-evaluation-harness is not there."""
    if find_spec("lm_eval") is None:
        raise ConfigError("--lm-eval", f"needs the package {PACKAGE}", f'install it: pip install "{PACKAGE}[hf]"')


def run_tasks(
    models: Sequence[str], tasks: str, *, dtype: str = "auto", trust_remote_code: bool = False
) -> tuple[TaskFigure, ...]:
    """The figures of the models on tasks, whose names have commas between them.

    Raises ConfigError where the package is not installed, or a task is not known to it.
    """
    check_installed()
    import lm_eval  # type: ignore[import-not-found,unused-ignore]

    device = "cuda" if has_gpu() else "cpu"  # its default is a GPU, whether there is one or not
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    found = []
    for given in map(read_given, models):
        arguments = {**_arguments(given), "dtype": dtype, "trust_remote_code": trust_remote_code}
        try:
            results = lm_eval.simple_evaluate(
                model="hf", model_args=arguments, tasks=names, device=device, log_samples=False
            )
        except (KeyError, ValueError) as error:
            # A KeyError shows its message in quotes.
            what = first_line(ValueError(*error.args))
            raise ConfigError("--lm-eval", what, "see `lm_eval ls tasks`") from error
        found.append(results["results"])
    return figures_of_tasks(found)


def _arguments(given: Given) -> dict[str, str]:
    """What its class for models of transformers calls a model, and an adapter for one."""
    return {"pretrained": given.base, **({"peft": given.name} if given.is_adapter else {})}


def figures_of_tasks(results: Sequence[Mapping[str, Mapping[str, Any]]]) -> tuple[TaskFigure, ...]:
    """The figures in the `results` of models, in the order of the first one, groups of tasks among them.

    A metric is there as `acc,none`: its name and the filter of the answers. `acc_stderr,none` is its standard error, or
    `N/A`. What else is there (name, alias, sample_len, sample_count) is no metric.
    """
    keys = dict.fromkeys((task, key) for one in results for task, figures in one.items() for key in figures)
    found = []
    for task, key in keys:
        metric, comma, answers = key.partition(",")
        if not comma or metric.endswith(STDERR):
            continue
        values = tuple(_number(one.get(task, {}).get(key)) for one in results)
        errors = tuple(_number(one.get(task, {}).get(f"{metric}{STDERR},{answers}")) for one in results)
        samples = next((one[task].get("sample_len") for one in results if task in one), None)
        if any(value is not None for value in values):
            found.append(TaskFigure(task, metric, answers, values, errors, samples))
    return tuple(found)


def _number(value: Any) -> float | None:
    """A figure; None for `N/A`, a NaN, and one that is not there. Figures may be those of numpy."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None
