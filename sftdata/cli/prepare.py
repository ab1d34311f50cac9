"""`sftdata prepare`: raw files in, a dataset out."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from sftdata.cli.shared import config_of, fail, shown_progress, user_errors

if TYPE_CHECKING:
    from sftdata.store.manifest import Manifest


def prepare(
    items: Annotated[
        list[str],
        typer.Argument(
            metavar="CONFIG.yaml|FILE... [KEY=VALUE]...",
            help="settings, or data files, folders and globs; then settings by their dotted names: pack.seq_len=4096",
        ),
    ],
    tokenizer: Annotated[str | None, typer.Option(help="a folder or a hub id")] = None,
    out: Annotated[str | None, typer.Option(help="the folder for the dataset")] = None,
    encoder: Annotated[str | None, typer.Option(help="auto, fast or hf [default: auto]")] = None,
    seq_len: Annotated[int | None, typer.Option(help="tokens a packed row holds at most [default: 2048]")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="processes [default: one per core]")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the dataset in the output folder")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="ignore cached work and start over")] = False,
    keep_work: Annotated[
        bool,
        typer.Option("--keep-work", help="keep the cached work for a run with other settings"),
    ] = False,
) -> None:
    """Prepare a dataset: raw files in, packed shards out."""
    with user_errors():
        started = time.monotonic()
        config = config_of(items, {"tokenizer": tokenizer, "out": out, "encoder": encoder, "pack.seq_len": seq_len})
        from sftdata.pipeline.prepare import prepare as run

        try:
            with shown_progress() as progress:
                manifest = run(
                    config,
                    workers=workers,
                    overwrite=overwrite,
                    fresh=fresh,
                    keep_work=keep_work,
                    progress=progress,
                )
        except KeyboardInterrupt:
            fail("stopped; no dataset was written, and the same command continues from here", 130)
        _report(config.resolve_path(config.out.path), manifest, time.monotonic() - started)
        if not manifest.shards:
            fail(f"{config.out.path}: no row was packed; the reasons are above")


def _report(folder: str, manifest: Manifest, seconds: float) -> None:
    """One screen at the end: the funnel, an example for each reason, tokens, fill, seconds."""
    from sftdata.view.control_chars import encodable
    from sftdata.view.summary import summarize

    summary = summarize(folder, manifest)
    if sys.stdout.isatty():
        from sftdata.view.terminal import print_summary_of

        print_summary_of(summary)
    else:  # rich would print the same, and takes long to import
        print(encodable(str(summary), sys.stdout.encoding))
    print(f"\n{seconds:.1f} s, {manifest.counts.rows_read / max(seconds, 1e-3):,.0f} rows/s")
