"""`sftdata.prepare`: data and settings in, the opened dataset out."""

from __future__ import annotations

import os
from typing import Any

from sftdata.config import Config
from sftdata.errors import ConfigError
from sftdata.library.arguments import config_of
from sftdata.library.shown_progress import ShownProgress, shown_progress
from sftdata.pipeline.prepare import prepare as run
from sftdata.view.dataset import Dataset, open_dataset
from sftdata.view.layout import PLAIN_WIDTH, plain
from sftdata.view.summary import summarize, warning_lines

_OPTIONS = ("workers", "engine", "ray_address", "overwrite", "fresh", "keep_work", "progress")


def prepare(
    data: Any = None,
    *,
    tokenizer: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | dict[str, Any] | None = None,
    workers: int | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    overwrite: bool = False,
    fresh: bool = False,
    keep_work: bool = False,
    progress: ShownProgress = "auto",
    **settings: Any,
) -> Dataset:
    """Prepare a dataset, and open it.

        ds = sftdata.prepare("chats.jsonl", tokenizer="ORG/NAME", out="shards", dedup={"near": {}})
        ds = sftdata.prepare(rows, tokenizer="ORG/NAME", out="shards", pack={"seq_len": 4096})
        ds = sftdata.prepare("prepare.yaml", overwrite=True)

    `data` is a path (a file, a folder, a glob, a URL or a hub id); rows: a list of dicts, a datasets.Dataset, a table
    of pandas, polars or pyarrow, or anything else that gives Arrow data; the settings of a source, as {"path": ...,
    "columns": ...} or {"rows": ..., "name": ...}; a list of these; or a Config, a dict with all settings, or the path
    of a settings file. Rows are numbered from 1, and their content decides the dataset, as that of a file does.
    Iterators and readers can be read only once.

    `settings` are those of a settings file, by their names: nested dicts, or dotted names in **{"pack.seq_len": 4096}.
    They take the place of those in `data`. The settings of a source (columns, format, system, keep, ...) are those of
    all sources in `data`, as is `split` where it is a text.

    `workers` processes are used (default: one per core). With `engine="ray"` they are those of a Ray cluster, whose
    address is `ray_address` ("auto": the one that this machine belongs to), or of this machine where there is none.
    Neither changes a byte.

    A dataset in `out` is replaced only with `overwrite`. A run that was stopped is continued when it is called again
    with the same data and settings; `fresh` ignores what is there, `keep_work` keeps it for a run with other settings.

    `progress` is shown by default, where the program runs: on a terminal, in a notebook, else as lines on stderr, with
    the warnings that `Dataset.summary` has. False shows nothing; an object of the protocol `sftdata.Progress` gets it.

    Raises SftDataError (ConfigError, SourceError, OutputError, ...) for what a user can put right.
    """
    if workers is not None and workers < 1:
        raise ConfigError("workers", f"must be a number from 1 (got {workers})", "leave it out for one per core")
    named = {"tokenizer": tokenizer, "out": out}
    given = {**{name: value for name, value in named.items() if value is not None}, **settings}
    config: Config = config_of(data, given, "prepare", options=_OPTIONS)
    with shown_progress(progress) as shown:
        where: dict[str, Any] = {"workers": workers, "engine": engine, "ray_address": ray_address}
        manifest = run(config, **where, overwrite=overwrite, fresh=fresh, keep_work=keep_work, progress=shown)
        folder = config.resolve_path(config.out.path)
        for line in plain(warning_lines(summarize(folder, manifest).warnings, PLAIN_WIDTH)):
            shown.note(line)
    return open_dataset(folder)
