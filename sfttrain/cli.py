"""The command line: parse, call, print, return a code."""

from __future__ import annotations

import os
import shlex
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from sftdata import __version__
from sftdata.errors import ConfigError, SftDataError
from sfttrain.config import TrainConfig, config_of, load_config
from sfttrain.train import Interrupted, Result, run

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


def main() -> None:
    """Run the command line; exits with 0, 1 after a mistake of the user's, 130 after Ctrl-C."""
    app(prog_name="sfttrain")


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"sfttrain {__version__}")
        raise typer.Exit


@app.callback()
def _sfttrain(
    version: Annotated[bool, typer.Option("--version", callback=_say_version, is_eager=True)] = False,
) -> None:
    """Train a causal language model on the shards that sftdata wrote."""


@app.command("run")
def _run(
    target: Annotated[str, typer.Argument(metavar="CONFIG.yaml|SHARDS", help="settings, or a folder of shards")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="settings by their dotted names, e.g. lora.r=8"),
    ] = None,
    model: Annotated[str | None, typer.Option(help="a folder or a hub id")] = None,
    out: Annotated[str | None, typer.Option(help="the folder for the trained model")] = None,
) -> None:
    """Train on shards, with the settings of a YAML file or of the command line.

    Settings: KEYS. Anything else of TRL's SFTConfig goes under trainer, by its own name: trainer.weight_decay=0.1
    """
    overrides = [f"{key}={value}" for key, value in (("model", model), ("out", out)) if value is not None]
    try:
        config = _settings(target, [*(settings or ()), *overrides])
        _quiet()
        result = run(config, resume_command=resume_command(sys.argv[1:]))
    except SftDataError as error:
        _leave(str(error), 1)
    except Interrupted as stop:
        _leave(str(stop), 128 + stop.signum)
    except KeyboardInterrupt:
        _leave("stopped; nothing was saved after the last checkpoint", 130)
    _report(result)


if _run.__doc__:
    _run.__doc__ = _run.__doc__.replace("KEYS", ", ".join(TrainConfig.model_fields))


def resume_command(arguments: list[str]) -> str:
    """The command line that goes on with the run that these arguments started."""
    kept = [argument for argument in arguments if not argument.startswith(("resume=", "overwrite="))]
    return shlex.join(["sfttrain", *kept, "resume=true"])


def _settings(target: str, overrides: list[str]) -> TrainConfig:
    """The settings of a YAML file, or of a folder of shards and the command line."""
    path = Path(target)
    if path.suffix in (".yaml", ".yml") and not path.is_dir():
        return load_config(path, overrides)
    if "=" in target and not path.exists():
        raise ConfigError(target, "stands where the settings file or the shards belong", "give those first")
    return config_of({"shards": target}, overrides, "command line")


def _quiet() -> None:
    """Only our own lines on the screen, unless the environment asks for more. Set before the libraries are loaded."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(trl|transformers|accelerate|peft)\b")


def _report(result: Result) -> None:
    """One screen at the end."""
    facts: dict[str, Any] = dict(result.facts)
    losses = facts["losses"]
    print(f"trained {facts['steps']:,} steps, {facts['trained_tokens']:,} tokens with loss of {facts['tokens']:,}")
    for kind in ("train", "validation"):
        first, last = losses[f"{kind}_first"], losses[f"{kind}_last"]
        if last is not None:
            print(f"{kind} loss {first:.4f} -> {last:.4f}")
    print(f"saved in {result.out} after {facts['seconds']:.0f} s")


def _leave(message: str, code: int) -> NoReturn:
    print(f"sfttrain: {message}", file=sys.stderr)
    raise typer.Exit(code)
