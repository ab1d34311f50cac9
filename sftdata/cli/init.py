"""`sftdata init`: write a settings file for data files."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from sftdata.cli import completion
from sftdata.cli.shared import (
    CONFIG_SUFFIXES,
    Columns,
    Format,
    Split,
    System,
    config_of,
    source_settings,
    user_errors,
)
from sftdata.safe.addresses import mask_credentials


def init(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="data files, folders, globs, hub ids",
            autocompletion=completion.files,
        ),
    ],
    tokenizer: Annotated[str | None, typer.Option(metavar="NAME", help="folder or hub id of the tokenizer")] = None,
    out: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="output folder of prepare [default: shards]")
    ] = None,
    write: Annotated[Path, typer.Option(metavar="FILE", help="the settings file to write")] = Path("prepare.yaml"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an existing settings file")] = False,
    columns: Columns = None,
    format: Format = None,
    system: System = None,
    split: Split = None,
) -> None:
    """Write a settings file for data files. The formats and columns of their first rows are found, tried, and written
    down with comments.
    """
    with user_errors():
        from sftdata.audit import UNUSED_SETTINGS
        from sftdata.audit.first_look import first_look
        from sftdata.audit.settings_file import write_new
        from sftdata.errors import ConfigError

        if settings := [file for file in files if file.endswith(CONFIG_SUFFIXES)]:
            raise ConfigError(
                settings[0], "is a settings file", "give data files; `sftdata check` reads settings files"
            )
        options = {"tokenizer": tokenizer, "out": out}
        reading = source_settings(columns, format, system, split)
        config = config_of(files, options, UNUSED_SETTINGS, reading)
        command = mask_credentials(shlex.join(["sftdata", "init", *files]))
        text = first_look(config, write.parent, f"Written by `{command}`. `sftdata settings` lists all settings.")
        write_new(write, text, overwrite=overwrite)
        report_written(write, has_tokenizer=tokenizer is not None)


def report_written(path: Path, *, has_tokenizer: bool) -> None:
    """Say which file was written, and how to go on."""
    needed = [] if has_tokenizer else ["--tokenizer", "FOLDER_OR_HUB_ID"]
    print(f"wrote {path}\n")
    print(f"next:  {shlex.join(['sftdata', 'check', str(path)])}")
    print(f"       {shlex.join(['sftdata', 'prepare', str(path), *needed])}")
