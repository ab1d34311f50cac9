"""`sfttrain eval`: a model on shards and prompts, beside another one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from sftdata.errors import ConfigError, SftDataError
from sftdata.settings.layout import columns_of_terminal
from sfttrain.cli.run import fail, quiet_libraries, read_config, refuse
from sfttrain.hardware import check_alone
from sfttrain.say import say

HELP = """Judge a model on shards: loss, accuracy, perplexity and bits per byte, overall, by source and by turn.

With --against, another model is judged in the same way, and a page shows both side by side, with their answers to the
prompts. Prompts and checks are those of the run's settings, or of --config. The exit code is 1 where a bar is missed.
"""
EXAMPLES = """
sfttrain eval run
sfttrain eval run --against HuggingFaceTB/SmolLM2-135M-Instruct --prompts prompts.jsonl --out eval.html
"""


def evaluate(
    model: Annotated[str, typer.Argument(metavar="RUN|MODEL", help="the folder of a run, of a model, or a hub id")],
    shards: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="the shards to judge it on [default: those of the run]")
    ] = None,
    against: Annotated[str | None, typer.Option(metavar="MODEL", help="another model, such as the base")] = None,
    prompts: Annotated[str | None, typer.Option(metavar="FILE", help="chats to answer, as evaluate.prompts")] = None,
    config: Annotated[
        str | None, typer.Option(metavar="CONFIG.yaml", help="settings whose group evaluate counts, not the run's")
    ] = None,
    split: Annotated[str, typer.Option(help="the split of the shards")] = "validation",
    out: Annotated[Path, typer.Option(metavar="FILE", help="where to write the page")] = Path("eval.html"),
    dtype: Annotated[str | None, typer.Option(help="the compute dtype [default: that of the run, else auto]")] = None,
    lm_eval: Annotated[
        str | None, typer.Option("--lm-eval", metavar="TASKS", help="tasks of lm-evaluation-harness too, with commas")
    ] = None,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="as the setting of a run")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace a file that is no such page, or has changed")
    ] = False,
    as_object: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Judge, write the page, print the figures, and exit with 1 where a bar is missed."""
    try:
        quiet_libraries()
        check_alone("eval")
        given = _settings(model, config, shards, prompts)
        from sfttrain.evaluate.beside.compare import compare
        from sfttrain.evaluate.beside.harness import check_installed, run_tasks
        from sfttrain.evaluate.beside.page import check_target, write_page

        models = [one for one in (against, model) if one]
        check_target(out, models, given["shards"], overwrite=overwrite)
        if lm_eval is not None:
            check_installed()
        found = compare(
            model,
            given["shards"],
            against=against,
            settings=given["evaluate"],
            split=split,
            seed=given["seed"],
            dtype=dtype or given["dtype"],
            trust_remote_code=trust_remote_code,
            on_step=_ignore if as_object else say,
        )
        write_page(found, out)
        if lm_eval is not None:  # if that fails, the page is there without it
            tasks = run_tasks(models, lm_eval, dtype=dtype or given["dtype"], trust_remote_code=trust_remote_code)
            found = replace(found, tasks=tasks)
            write_page(found, out)
    except SftDataError as error:
        refuse(error, as_object=as_object)
    except KeyboardInterrupt:
        fail("stopped", 130)
    _print(found, out, as_object=as_object)
    if found.missed:
        fail("a bar is missed: " + "; ".join(one.in_words for one in found.missed), 1)


def _settings(model: str, config: str | None, shards: str | None, prompts: str | None) -> dict[str, Any]:
    """Shards, seed and the group evaluate: from --config, else from the run's settings. Raises ConfigError."""
    from sfttrain.config import parse_config
    from sfttrain.evaluate.beside.models import run_settings

    run = run_settings(model)
    if config is not None:
        read = read_config(config, [])
    elif run is not None:
        read = parse_config(run, (), f"{model}/run.json")
    elif shards is None:
        raise ConfigError(model, "is no run, so it does not say which shards to judge it on", "give them with --shards")
    else:
        read = parse_config({"shards": shards, "model": model, "out": "sfttrain-eval"})
    evaluate = read.evaluate
    if prompts is not None:
        evaluate = evaluate.model_copy(update={"prompts": prompts})
    return {"shards": shards or read.shards, "seed": read.seed, "dtype": read.dtype, "evaluate": evaluate}


def _ignore(text: str) -> None:
    """Nothing but the result is printed."""


def _print(found: Any, out: Path, *, as_object: bool) -> None:
    from sftdata.view.terminal import print_lines

    if as_object:
        print(json.dumps(found.as_json(), indent=2, ensure_ascii=False), flush=True)
        return
    for table in found.tables():
        print_lines(table.styled(columns_of_terminal()))
        print()
    print(f"page     {out}", flush=True)
