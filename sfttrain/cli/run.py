"""`sfttrain run`: train on shards."""

from __future__ import annotations

import gc
import json
import os
import shlex
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from sftdata.errors import ConfigError, SftDataError, pluralize
from sftdata.settings.help_page import Command
from sfttrain.cli.arguments import KeyValues, Model, Preset, Target, overrides
from sfttrain.say import duration, say

if TYPE_CHECKING:
    from sfttrain.config import TrainConfig
    from sfttrain.train import Result

HELP = """Train on shards, with settings from a YAML file or the command line.

Other fields of TRL's SFTConfig go under trainer, by their own names: trainer.weight_decay=0.1
"""
EXAMPLES = """
sfttrain run shards --model HuggingFaceTB/SmolLM2-135M-Instruct --out run max_steps=1
sfttrain run train.yaml lora.r=8
"""


class RunCommand(Command):
    """The command with its settings in the help."""

    def more_sections(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """The settings, those of groups by their dotted names."""
        from sftdata.settings.catalog import settings_of
        from sfttrain.config import TrainConfig

        return [
            ("Settings, for the file or as KEY=VALUE", [(one.key, one.in_words) for one in settings_of(TrainConfig)])
        ]


def run(
    target: Target,
    settings: KeyValues = None,
    model: Model = None,
    preset: Preset = None,
    out: Annotated[str | None, typer.Option(metavar="FOLDER", help="the folder for the trained model")] = None,
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="resume with other settings than before")
    ] = False,
) -> None:
    """Train, print the result, and exit with a code that says how it ended."""
    from sfttrain.hardware import this_process
    from sfttrain.train import Interrupted
    from sfttrain.train import run as train

    try:
        quiet_libraries()
        changes = "true" if allow_changes else None
        given = overrides(settings, model=model, preset=preset, out=out, allow_changes=changes)
        config = read_config(target, given)
        result = train(config, resume_command=resume_command(sys.argv[1:]))
    except SftDataError as error:
        message, code = str(error), 1
    except Interrupted as stop:
        message, code = str(stop), 128 + stop.signum
    except KeyboardInterrupt:
        message, code = "stopped; nothing was saved after the last checkpoint", 130
    else:
        message, code = "", 0
    leave_process_group()  # here no exception holds the trainer
    if code:
        fail(message, code)
    if not this_process().is_main:
        return
    try:
        print_result(result)
    except (OSError, ValueError):
        close_stdout()
        fail(f"the model is in {result.out}, but the result could not be printed: standard output is closed or full", 1)
    if missed := [one for one in result.summary["answers"] if not one["met"]]:
        bars = ", ".join(f"{one['name']} {one['share']:.2f}, at least {one['at_least']:.2f}" for one in missed)
        fail(f"the model is in {result.out}, but its answers miss a bar: {bars}", 1)


def leave_process_group() -> None:
    """End the connections between the processes of a run, and the threads behind them.

    A thread of gloo that frees a tensor of the last collective while Python ends asks for the lock of an interpreter
    that is gone, and C++ aborts the process after all was saved. The threads end with the last reference to the group:
    those of the wrapped model, which is in a cycle, and then torch.distributed's own.
    """
    if "torch" not in sys.modules:
        return
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        gc.collect()
        distributed.destroy_process_group()


def close_stdout() -> None:
    """Let Python not try once more to write what could not be written, and fail at its end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def quiet_libraries() -> None:
    """Keep other libraries quiet, unless the environment asks for their output. Call it before they are imported."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(trl|transformers|accelerate|peft)\b")


def read_config(target: str, overrides: list[str], out: str | None = None) -> TrainConfig:
    """The settings from a YAML file, or from a folder of shards and the command line. Raises ConfigError.

    `out` is the output folder where the command line needs none.
    """
    from sfttrain.config import load_config, parse_config

    path = Path(target)
    if path.suffix in (".yaml", ".yml") and not path.is_dir():
        return load_config(path, overrides)
    if "=" in target and not path.exists():
        raise ConfigError(
            target, "is a setting, but the first argument is a settings file or a folder of shards", "put that first"
        )
    settings = {"shards": target} if out is None else {"shards": target, "out": out}
    return parse_config(settings, overrides, "command line")


def resume_command(arguments: list[str]) -> str:
    """The command that continues the run started with these arguments."""
    once = ("resume=", "overwrite=", "allow_changes=", "--allow-changes")  # a new checkpoint has the new settings
    kept = [argument for argument in arguments if not argument.startswith(once)]
    return shlex.join(["sfttrain", *kept, "resume=true"])


def print_result(result: Result) -> None:
    """Print steps, tokens and losses of a finished run."""
    summary, losses = result.summary, result.summary["losses"]
    tokens = f"{pluralize(summary['tokens'], 'token')}, {summary['trained_tokens']:,} of them with loss"
    print(f"trained {pluralize(summary['steps'], 'step')} on {tokens}")
    for kind in ("train", "validation"):
        first, last = losses[f"{kind}_first"], losses[f"{kind}_last"]
        if last is not None:
            print(f"{kind} loss {first:.4f} -> {last:.4f}")
    print(f"saved in {result.out} after {duration(summary['seconds'])}", flush=True)


def refuse(error: SftDataError, *, as_object: bool, **more: Any) -> NoReturn:
    """Print a user error, as a sentence to stderr or as an object of JSON to stdout, and exit with 1."""
    if not as_object:
        fail(str(error), 1)
    print(json.dumps({"ok": False, **more, "error": str(error)}, indent=2, ensure_ascii=False), flush=True)
    raise typer.Exit(1)


def fail(message: str, code: int) -> NoReturn:
    """Print a sentence to stderr and exit."""
    say(f"sfttrain: {message}")
    raise typer.Exit(code)
