"""The command line: parse, call, print, return a code."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from sftdata import cli_check, cli_templates
from sftdata.encoding import begin_encoding

if TYPE_CHECKING:
    from sftdata.config import Config
    from sftdata.engines.aside import Aside
    from sftdata.progress import Progress
    from sftdata.store.manifest import Manifest

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(cli_templates.app, name="templates")
app.command()(cli_check.check)
CONFIG_SUFFIXES = (".yaml", ".yml")


def only(named: Sequence[str]) -> typer.Typer:
    """The app with nothing but the command named, if it is one: typer makes all that there are, used or not."""
    commands = [command for command in app.registered_commands if getattr(command.callback, "__name__", "") in named]
    if commands:
        app.registered_commands, app.registered_groups = commands, []
    return app


def _version(value: bool) -> None:
    if value:
        from sftdata import __version__

        print(f"sftdata {__version__}")
        raise typer.Exit


@app.callback()
def _sftdata(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Turn instruction and chat data into tokenized, label-masked, packed shards."""


@app.command()
def prepare(
    context: typer.Context,
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
    fresh: Annotated[bool, typer.Option("--fresh", help="take nothing over from a run that was ended")] = False,
    keep_work: Annotated[
        bool, typer.Option("--keep-work", help="keep the work, so that a run with other settings repeats less of it")
    ] = False,
) -> None:
    """Prepare a dataset: raw files in, packed shards out."""
    with told():
        began = time.monotonic()
        config = config_of(items, {"tokenizer": tokenizer, "out": out, "encoder": encoder, "pack.seq_len": seq_len})
        encoding = begin_encoding(config, aside_for(context, workers))
        from sftdata.pipeline import prepare as run

        try:
            with shown_progress() as progress:
                manifest = run(
                    config,
                    workers=workers,
                    overwrite=overwrite,
                    fresh=fresh,
                    keep_work=keep_work,
                    progress=progress,
                    encoding=encoding,
                )
        except KeyboardInterrupt:
            _leave("stopped; no dataset was written, and the same command goes on from here", 130)
        _report(config.located(config.out.path), manifest, time.monotonic() - began)
        if not manifest.shards:
            _leave(f"{config.out.path}: no row was packed; the reasons are above")


@app.command()
def verify(folder: Annotated[Path, typer.Argument(metavar="DATASET", help="a folder that prepare wrote")]) -> None:
    """Prove a dataset from its files alone: checksums, counts, masks. Exits with 1 at the first thing that is wrong."""
    with told():
        from sftdata.store.verify import verify as run

        facts = run(folder)
        print(
            f"{folder}: {facts.files} files, {facts.rows_read:,} rows read = {facts.packed:,} packed"
            f" + {facts.dropped:,} dropped; {facts.samples:,} samples, {facts.tokens:,} tokens,"
            f" {facts.trained_tokens:,} of them trained: everything holds"
        )


@app.command()
def inspect(
    folder: Annotated[Path, typer.Argument(metavar="DATASET", help="a folder that prepare wrote")],
    row: Annotated[int | None, typer.Option(help="a packed row to show, from 0; else the summary and row 0")] = None,
    split: Annotated[str | None, typer.Option(help="only this split")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="tokens of the row to show")] = 4096,
) -> None:
    """Show a dataset, and a packed row with its trained tokens marked."""
    with told():
        from sftdata.view.dataset import open_dataset
        from sftdata.view.terminal import print_row, print_summary

        dataset = open_dataset(folder)
        if split is not None:
            dataset = dataset.split(split)
        if row is None:
            print_summary(dataset)
            print()
        if row is not None or len(dataset):
            print_row(dataset, row or 0, max_tokens=max_tokens)


@app.command()
def why(
    folder: Annotated[Path, typer.Argument(metavar="DATASET", help="a folder that prepare wrote")],
    where: Annotated[str, typer.Argument(metavar="FILE:LINE", help="a row of the input, such as chats.jsonl:17")],
) -> None:
    """Tell what became of a row of the input, and why."""
    with told():
        from sftdata.view.why import explain

        print(explain(folder, where))


def aside_for(context: typer.Context, workers: int | None) -> Aside | None:
    """The process that was begun beside this one, where there is one and more than one worker is wanted."""
    aside: Aside | None = context.obj
    if aside is not None and workers == 1:
        aside.close()
        return None
    return aside


@contextmanager
def told() -> Iterator[None]:
    """A user's mistake becomes one sentence and exit code 1; a fault of ours keeps its traceback."""
    from sftdata.errors import SftDataError

    try:
        yield
    except SftDataError as error:
        _leave(str(error))
    except KeyboardInterrupt:
        _leave("stopped", 130)
    except BrokenPipeError:
        _leave("nobody reads the output any more", 141)


def _leave(message: str, code: int = 1) -> NoReturn:
    print(f"sftdata: {message}", file=sys.stderr)
    raise typer.Exit(code)


def config_of(items: list[str], options: dict[str, object], absent: Mapping[str, Any] = {}) -> Config:
    """The settings of a file, or of data files and options; `key=value` items apply in either case.

    Paths in options are relative to the current folder, those in a file and in `key=value` to the file. `absent` holds
    what stands in for required settings that are left out, where nothing will read them.
    """
    from sftdata.config import BARE, load_config, parse_config
    from sftdata.errors import ConfigError
    from sftdata.settings import apply_override, put

    paths = [item for item in items if "=" not in item or Path(item).exists() or "://" in item]
    overrides = [item for item in items if item not in paths]
    files = [path for path in paths if path.endswith(CONFIG_SUFFIXES)]
    if files and len(paths) > 1:
        raise ConfigError(files[0], "stands beside other files", "give one settings file, or data files only")
    if files:
        return load_config(files[0], overrides, absent, _settings_of(options, Path(files[0]).parent))
    if not paths:
        needed = "" if absent else " with --tokenizer and --out"
        raise ConfigError("command line", "names no data", f"give a settings file, or data files{needed}")
    settings: dict[str, Any] = {**absent, "sources": [{"path": path} for path in paths]}
    for override in overrides:
        apply_override(settings, override, BARE)
    for name, value in _settings_of(options, Path()).items():
        put(settings, name, value, name, BARE)
    return parse_config(settings, "command line")


def _settings_of(options: dict[str, object], base: Path) -> dict[str, object]:
    """Options as settings by their dotted names, with the paths in them as seen from `base`."""
    import os

    settings = {}
    for key, value in options.items():
        is_path = isinstance(value, str) and (key == "out" or Path(value).exists()) and "://" not in value
        if is_path and not Path(str(value)).is_absolute():
            value = os.path.relpath(Path(str(value)), base)
        if value is not None:
            settings[key] = value
    return settings


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """A bar on a terminal, lines elsewhere."""
    from sftdata.progress import Bar, Lines

    if sys.stderr.isatty():
        with Bar() as bar:
            yield bar
    else:
        yield Lines()


def _report(folder: str, manifest: Manifest, seconds: float) -> None:
    """One screen at the end: the funnel, an example for each reason, tokens, fill, seconds."""
    from sftdata.view.marks import writable
    from sftdata.view.summary import summarize

    summary = summarize(folder, manifest)
    if sys.stdout.isatty():
        from sftdata.view.terminal import print_summary_of

        print_summary_of(summary)
    else:  # rich would print the same, and takes long to import
        print(writable(str(summary), sys.stdout.encoding))
    print(f"\n{seconds:.1f} s, {manifest.counts.rows_read / max(seconds, 1e-3):,.0f} rows/s")
