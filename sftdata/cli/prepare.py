"""`sftdata prepare`: turn raw files into a dataset."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from sftdata.cli.shared import config_of, fail, fail_for_faults, is_one_stream, shown_progress, user_errors

if TYPE_CHECKING:
    from sftdata.store.manifest import Manifest


def prepare(
    items: Annotated[
        list[str],
        typer.Argument(
            metavar="CONFIG.yaml|FILE... [KEY=VALUE]...",
            help="a settings file, or data files, folders and globs; then dotted.key=value settings: pack.seq_len=4096",
        ),
    ],
    tokenizer: Annotated[str | None, typer.Option(help="folder or hub id of the tokenizer")] = None,
    out: Annotated[str | None, typer.Option(help="output folder")] = None,
    encoder: Annotated[str | None, typer.Option(help="auto, fast or hf [default: auto]")] = None,
    seq_len: Annotated[int | None, typer.Option(help="maximum tokens in a packed row [default: 2048]")] = None,
    max_dropped: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE",
            help="write no dataset if more than this share of the rows, such as 0.1 or 10%, is dropped, duplicates "
            "included",
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="number of processes [default: one per core]")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace an existing dataset in the output folder")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="ignore cached work and start over")] = False,
    keep_work: Annotated[
        bool,
        typer.Option("--keep-work", help="keep the cached work for a run with other settings"),
    ] = False,
) -> None:
    """Turn raw files into packed training shards."""
    with user_errors():
        started = time.monotonic()
        options = {"tokenizer": tokenizer, "out": out, "encoder": encoder, "pack.seq_len": seq_len}
        config = config_of(items, {**options, "max_dropped": max_dropped})
        from sftdata.pipeline.prepare import prepare as run
        from sftdata.progress import Remembered
        from sftdata.records.faults import INTERNAL_ERROR

        try:
            with shown_progress() as shown:
                progress = Remembered(shown)
                manifest = run(
                    config,
                    workers=workers,
                    overwrite=overwrite,
                    fresh=fresh,
                    keep_work=keep_work,
                    progress=progress,
                )
        except KeyboardInterrupt:
            fail("stopped; no dataset was written, run the same command again to continue", 130)
        seen = progress.notes if is_one_stream(sys.stdout, sys.stderr) else ()
        _report(config.resolve_path(config.out.path), manifest, time.monotonic() - started, seen)
        if not manifest.shards:
            fail(f"{config.out.path}: no row was packed; see the reasons above")
        fail_for_faults(manifest.counts.dropped_as(INTERNAL_ERROR), manifest.counts.rows_read, "the dataset lacks them")


def _report(folder: str, manifest: Manifest, seconds: float, seen: Collection[str]) -> None:
    """Print the summary of the finished dataset, without messages that were seen before it, and the time it took."""
    from sftdata.safe.control_chars import encodable, terminal_safe
    from sftdata.view.summary import summarize

    summary = summarize(folder, manifest)
    known = set(map(terminal_safe, seen))
    summary = replace(summary, lines=tuple(line for line in summary.lines if line not in known))
    if sys.stdout.isatty():
        from sftdata.view.terminal import print_summary_of

        print_summary_of(summary)
    else:  # the same text without rich, which is slow to import
        print(encodable(str(summary), sys.stdout.encoding))
    print(f"\n{seconds:.1f} s, {manifest.counts.rows_read / max(seconds, 1e-3):,.0f} rows/s")
