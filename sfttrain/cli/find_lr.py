"""`sfttrain find-lr`: a short sweep of learning rates, and which one to take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sftdata.errors import SftDataError
from sftdata.settings.layout import columns_of_terminal, fold
from sfttrain.cli.arguments import KeyValues, Model, Preset, Target, overrides
from sfttrain.cli.run import fail, quiet_libraries, read_config, refuse
from sfttrain.say import say

if TYPE_CHECKING:
    from sfttrain.find_lr.decide import Trial
    from sfttrain.find_lr.sweep import Start, Sweep

HELP = """Find a learning rate: train several for a few steps each, and compare their validation losses.

Each rate begins at the same weights and sees the same sequences. What it costs is said first; --dry-run stops there.
The better half of the rates goes on to a longer round, those that diverge are out. A sweep that was stopped goes on
with the same command. The rates lie around learning_rate, or the default of the model, a factor of 30 to each side.
"""
EXAMPLES = """
sfttrain find-lr shards --model HuggingFaceTB/SmolLM2-135M-Instruct --out lr --dry-run
sfttrain find-lr train.yaml --out lr --budget 400steps
"""


def find_lr(
    target: Target,
    out: Annotated[str, typer.Option(metavar="FOLDER", help="the folder for find_lr.json and find_lr.html")],
    settings: KeyValues = None,
    model: Model = None,
    preset: Preset = None,
    budget: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="the most that it may cost: 400, 400steps, 2Mtokens")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what it will cost, and stop")] = False,
    as_object: Annotated[
        bool, typer.Option("--json", help="print find_lr.json at the end; with --dry-run the plan and its cost")
    ] = False,
) -> None:
    """Sweep, and print what was found."""
    from sfttrain.find_lr.plan import parse_budget
    from sfttrain.find_lr.record import RECORD
    from sfttrain.find_lr.sweep import find_rate

    try:
        quiet_libraries()
        config = read_config(target, overrides(settings, model=model, preset=preset), out=out)
        limit = None if budget is None else parse_budget(budget)
        sweep = find_rate(config, Path(out), budget=limit, dry_run=dry_run, on_start=_say_start, on_trial=_say_trial)
    except SftDataError as error:
        refuse(error, as_object=as_object)
    except KeyboardInterrupt:
        fail("stopped; the same command goes on from the last finished run", 130)
    if as_object:
        found = sweep.start.as_json() if dry_run else json.loads((Path(out) / RECORD).read_bytes())
        print(json.dumps(found, indent=1, ensure_ascii=False), flush=True)
    if dry_run or as_object:
        return
    _print_result(sweep, Path(out))


def _say_start(start: Start) -> None:
    from sfttrain.find_lr.sweep import in_words

    say("\n".join(in_words(start)))


def _say_trial(trial: Trial, number: int) -> None:
    found = trial.out or f"validation loss {trial.loss:.4f}"
    say(f"run {number}  rate {trial.rate:g}, {trial.steps_done:,} steps: {found}")


def _print_result(sweep: Sweep, out: Path) -> None:
    """Print the table, the recommendation, and the setting to paste."""
    from sftdata.view.terminal import print_lines
    from sfttrain.find_lr.record import PAGE
    from sfttrain.find_lr.shown import recommendation_lines, table_of

    width = columns_of_terminal()
    print_lines(table_of(sweep).styled(width))
    print()
    for word, text in recommendation_lines(sweep):
        print("\n".join(fold(text, width, f"{word:<13}")))
    if sweep.recommendation is not None:
        print(f"{'to paste':<13}learning_rate={sweep.recommendation.rate:g}")
    print(f"{'page':<13}{out / PAGE}", flush=True)
