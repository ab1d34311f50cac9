"""`sfttrain check`: what a run checks before its first step, without running it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from sftdata.errors import SftDataError
from sftdata.settings.layout import columns_of_terminal
from sfttrain.cli.arguments import KeyValues, Model, Preset, Target, overrides
from sfttrain.cli.run import fail, leave_process_group, quiet_libraries, read_config, refuse

if TYPE_CHECKING:
    from sfttrain.check.findings import Finding

HELP = """Check a model and shards before training: tokenizer, template, ids, context, labels, samples kept apart.

Two steps are trained in a temporary folder, to measure time and memory; nothing of them is kept. Each check passes,
warns or fails, and says what to do. The exit code is 1 where one fails.
"""
EXAMPLES = """
sfttrain check shards --model HuggingFaceTB/SmolLM2-135M-Instruct
sfttrain check train.yaml --json
"""


def check(
    target: Target,
    settings: KeyValues = None,
    model: Model = None,
    preset: Preset = None,
    as_object: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Check, print a line for each finding, and exit with 1 where one fails."""
    from sfttrain.check.everything import check as check_all
    from sfttrain.check.findings import as_json, verdict
    from sfttrain.hardware import this_process

    try:
        quiet_libraries()
        config = read_config(target, overrides(settings, model=model, preset=preset), out="sfttrain-check")
        is_main = this_process().is_main
        findings = check_all(config, on_found=_print if is_main and not as_object else _ignore)
    except SftDataError as error:
        refuse(error, as_object=as_object, checks=[])
    except KeyboardInterrupt:
        fail("stopped", 130)
    leave_process_group()
    result = as_json(findings)
    if is_main:
        print(json.dumps(result, indent=2, ensure_ascii=False) if as_object else verdict(findings), flush=True)
    if not result["ok"]:
        raise typer.Exit(1)


def _print(findings: Iterable[Finding]) -> None:
    from sfttrain.check.findings import lines

    width = columns_of_terminal() if sys.stdout.isatty() else 10_000
    print("\n".join(lines(findings, width)), flush=True)


def _ignore(findings: Iterable[Finding]) -> None:
    """Everything is printed at the end."""
