"""`sftdata prepare`: turn raw files into a dataset."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sftdata.cli import completion
from sftdata.cli.shared import (
    Columns,
    Format,
    Items,
    Split,
    System,
    as_json_text,
    config_of,
    fail,
    fail_for_faults,
    is_one_stream,
    print_warnings,
    shortest_path,
    show,
    shown_progress,
    source_settings,
    user_errors,
)
from sftdata.safe.control_chars import terminal_safe

if TYPE_CHECKING:
    from sftdata.config import Config
    from sftdata.errors import SftDataError
    from sftdata.progress import Remembered
    from sftdata.store.manifest import Manifest
    from sftdata.view.summary import Summary


_DATASET, _RUN, _PRINTED = "What is made", "How it runs", "What is printed"
Tokenizer = Annotated[
    str | None, typer.Option(metavar="NAME", help="folder or hub id of the tokenizer", rich_help_panel=_DATASET)
]
Out = Annotated[
    str | None, typer.Option(metavar="FOLDER", help="output folder, or its address", rich_help_panel=_DATASET)
]
SeqLen = Annotated[
    int | None,
    typer.Option(metavar="N", help="maximum tokens of a sequence [default: 2048]", rich_help_panel=_DATASET),
]
MaxDropped = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE",
        help="write no dataset if more than this share of the rows, such as 0.1 or 10%, is dropped, duplicates "
        "included",
        rich_help_panel=_DATASET,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="replace an existing dataset in the output folder", rich_help_panel=_DATASET),
]
Report = Annotated[
    bool,
    typer.Option(
        "--report", help="write report.html into the output folder, as `sftdata report` does", rich_help_panel=_DATASET
    ),
]
Encoder = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="auto, fast or hf; the ids are the same [default: auto]",
        rich_help_panel=_RUN,
        autocompletion=completion.encoders,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="number of processes [default: one per core]", rich_help_panel=_RUN),
]
Engine = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="local, or ray: a Ray cluster; the bytes are the same [default: local]",
        rich_help_panel=_RUN,
        autocompletion=completion.engines,
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="the Ray cluster, or auto for the one of this machine [default: Ray on this machine alone]",
        rich_help_panel=_RUN,
    ),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="ignore cached work and start over", rich_help_panel=_RUN)]
KeepWork = Annotated[
    bool,
    typer.Option("--keep-work", help="keep the cached work for a run with other settings", rich_help_panel=_RUN),
]
By = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="a table of what each value of this column gives; a source has it in keep",
        rich_help_panel=_PRINTED,
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="print the summary as JSON, and nothing else", rich_help_panel=_PRINTED)
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="print warnings and errors only, to stderr", rich_help_panel=_PRINTED),
]


def prepare(
    items: Items,
    tokenizer: Tokenizer = None,
    out: Out = None,
    columns: Columns = None,
    format: Format = None,
    system: System = None,
    split: Split = None,
    seq_len: SeqLen = None,
    max_dropped: MaxDropped = None,
    overwrite: Overwrite = False,
    report: Report = False,
    workers: Workers = None,
    encoder: Encoder = None,
    engine: Engine = None,
    ray_address: RayAddress = None,
    fresh: Fresh = False,
    keep_work: KeepWork = False,
    by: By = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Turn raw files into packed training shards."""
    with user_errors():
        started = time.monotonic()
        options = {"tokenizer": tokenizer, "out": out, "encoder": encoder, "pack.seq_len": seq_len}
        reading = source_settings(columns, format, system, split)
        config = config_of(items, {**options, "max_dropped": max_dropped}, of_sources=reading)
        _check_by(by, config)
        from sftdata.pipeline.prepare import prepare as run
        from sftdata.progress import Remembered
        from sftdata.records.faults import INTERNAL_ERROR

        try:
            with shown_progress(is_quiet=quiet) as shown:
                progress = Remembered(shown)
                where: dict[str, Any] = {"workers": workers, "ray_address": ray_address}
                where |= {} if engine is None else {"engine": engine}
                manifest = run(
                    config, **where, overwrite=overwrite, fresh=fresh, keep_work=keep_work, progress=progress
                )
        except KeyboardInterrupt:
            fail("stopped; no dataset was written, run the same command again to continue", 130)
        summary = _summary(config, manifest, by, progress, time.monotonic() - started, is_reported=report)
        written, problem = _report(config) if report else (None, None)
        summary = replace(summary, data={**summary.data, "report": written}) if report else summary
        if as_json:
            print(as_json_text(summary.to_dict()))
        if quiet:
            print_warnings(summary)
        elif not as_json:
            seen = set(map(terminal_safe, progress.notes)) if is_one_stream(sys.stdout, sys.stderr) else set()
            show(replace(summary, lines=tuple(line for line in summary.lines if line not in seen)))
            if written is not None:
                print(f"\nreport: {terminal_safe(written)}")
        if problem is not None:
            raise problem
        if not manifest.shards:
            fail(f"{config.out.path}: no row was packed; see the reasons above")
        fail_for_faults(manifest.counts.dropped_as(INTERNAL_ERROR), manifest.counts.rows_read, "the dataset lacks them")


def _check_by(by: str | None, config: Config) -> None:
    """Raise ConfigError if no source keeps the column to group the rows by, before anything is done."""
    from sftdata.errors import ConfigError
    from sftdata.settings.yaml_line import override

    if by is not None and not any(by in source.keep for source in config.sources):
        setting = override("sources.0.keep", [*config.sources[0].keep, by])
        raise ConfigError("--by", f"no source keeps the column {by}", f"add {setting}")


def _report(config: Config) -> tuple[str | None, SftDataError | None]:
    """Write the report of the finished dataset: where it is, or why it could not be written."""
    from sftdata.errors import SftDataError, with_known_names
    from sftdata.view.report.write import write_report

    folder = config.resolve_path(config.out.path)
    try:
        return with_known_names(str(write_report(shortest_path(folder), data=config.resolve_path(".")))), None
    except SftDataError as error:
        return None, error


def _summary(
    config: Config, manifest: Manifest, by: str | None, progress: Remembered, seconds: float, *, is_reported: bool
) -> Summary:
    """The summary of the finished dataset, with what its ledger says, the time it took, and how to go on."""
    from sftdata.remote.mirror import local_folder
    from sftdata.view.outcome import read_facts
    from sftdata.view.summary import summarize

    folder = config.resolve_path(config.out.path)
    shown = shortest_path(folder)
    facts = read_facts(local_folder(folder), manifest, by)
    summary = summarize(shown, manifest, facts=facts, commands=_next(shown, config, manifest, is_reported=is_reported))
    time_taken = f"{seconds:.1f} s, {manifest.counts.rows_read / max(seconds, 1e-3):,.0f} rows/s"
    stages = [
        {"stage": one.stage, "number": one.number, "noun": one.noun, "dropped": one.dropped} for one in progress.stages
    ]
    times = [{**stage, "seconds": round(one.seconds, 3)} for stage, one in zip(stages, progress.stages)]
    data = {**summary.data, "seconds": round(seconds, 3), "stages": times}
    return replace(summary, facts=(*summary.facts, time_taken), data=data)


def _next(folder: str, config: Config, manifest: Manifest, *, is_reported: bool) -> list[str]:
    """Commands to continue with, which work as they are."""
    if not manifest.shards:
        first = next(iter(manifest.counts.examples.values()), None)
        return [] if first is None else [shlex.join(["sftdata", "why", folder, first])]
    commands = [["sftdata", "inspect", folder]]
    commands += [] if is_reported else [["sftdata", "report", folder]]
    commands += [["sftdata", "why", folder, row] for row in [*manifest.counts.examples.values()][:1]]
    tokenizer = config.resolve_if_exists(config.tokenizer)
    path = Path(tokenizer)
    has_weights = path.is_dir() and (path / "config.json").exists() and any(path.glob("*.safetensors"))
    if has_weights or (not path.exists() and tokenizer.count("/") == 1):  # a hub id
        number = next(n for n in count(1) if not Path("run" if n == 1 else f"run-{n}").exists())
        run = "run" if number == 1 else f"run-{number}"
        commands.append(["sfttrain", "run", folder, "--model", tokenizer, "--out", run])
    return [shlex.join(command) for command in commands]
