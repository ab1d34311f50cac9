"""What the commands share: common arguments, settings from arguments, user errors, progress."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TextIO

import typer

from sftdata.cli import completion
from sftdata.settings.layout import columns_of_terminal, fold_message

if TYPE_CHECKING:
    from sftdata.config import Config
    from sftdata.progress import Progress
    from sftdata.view.layout import Line
    from sftdata.view.summary import Summary

CONFIG_SUFFIXES = (".yaml", ".yml")


def _plain_path(place: str) -> str:
    """A path without what says nothing, such as a slash at its end; an address as it is."""
    return place if "://" in place else str(Path(place))


DatasetFolder = Annotated[
    str,
    typer.Argument(metavar="DATASET", help="a folder written by prepare, or its address", callback=_plain_path),
]

READING = "How the data files are read"  # a group of options
Items = Annotated[
    list[str],
    typer.Argument(
        metavar="CONFIG.yaml|FILE... [KEY=VALUE]...",
        help="a settings file, or data files, folders and globs; then settings, such as pack.seq_len=4096 "
        "(`sftdata settings` lists them)",
        autocompletion=completion.files_and_settings,
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        metavar="FIELD=COLUMN,...",
        help="which columns are the fields of the format: prompt=question,completion=answer",
        rich_help_panel=READING,
        autocompletion=completion.fields,
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="format of the rows, as `sftdata formats` lists them [default: auto]",
        rich_help_panel=READING,
        autocompletion=completion.formats,
    ),
]
System = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="system prompt for conversations without one", rich_help_panel=READING),
]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="split to read of data that has splits, such as a hub dataset [default: train]",
        rich_help_panel=READING,
    ),
]


@contextmanager
def user_errors(code: int = 1) -> Iterator[None]:
    """Print a user error as one sentence and exit with this code. Bugs keep their traceback."""
    from sftdata.errors import SftDataError

    try:
        yield
        sys.stdout.flush()
    except SftDataError as error:
        fail(str(error), code)
    except KeyboardInterrupt:
        fail("stopped", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python prints an error at exit
        raise typer.Exit(141) from None  # the reader, such as head, has seen enough


def fail(message: str, code: int = 1) -> NoReturn:
    """Print a message, folded between words on a terminal, and exit."""
    text = f"sftdata: {message}"
    print(fold_message(text, columns_of_terminal()) if sys.stderr.isatty() else text, file=sys.stderr)
    raise typer.Exit(code)


def fail_for_faults(number: int, num_rows: int, what: str) -> None:
    """Exit with code 1 if faults of sftdata cost more than a small share of the rows."""
    from sftdata.errors import pluralize
    from sftdata.records.faults import MAX_SHARE

    if number > MAX_SHARE * num_rows:
        share = f"{number / num_rows:.1%}, and up to {MAX_SHARE:.0%} is let pass"
        fail(f"{pluralize(number, 'row')} lost to faults of sftdata ({share}): {what}")


def config_of(
    items: list[str],
    options: Mapping[str, object],
    defaults: Mapping[str, Any] = {},
    of_sources: Mapping[str, object] = {},
) -> Config:
    """The config from a settings file, or from data files and options. `key=value` items apply in both cases.

    Paths in options are relative to the current folder; paths in the file and in `key=value` are relative to the
    file. `defaults` has values for required settings that the command does not use, `of_sources` settings of all data
    files, or of the only source of a settings file. Raises ConfigError.
    """
    from sftdata.config import apply_changes, load_config, parse_config
    from sftdata.errors import ConfigError

    paths, overrides = paths_and_settings(items)
    files = [path for path in paths if path.endswith(CONFIG_SUFFIXES)]
    if files and len(paths) > 1:
        raise ConfigError(
            files[0], "is a settings file, but other files are given too", "give one settings file, or data files only"
        )
    if files:
        of_file = {**_settings_of(options, Path(files[0]).parent), **_of_one_source(files[0], of_sources)}
        return load_config(files[0], overrides, defaults, of_file)
    if not paths:
        needed = "" if defaults else " with --tokenizer and --out"
        raise ConfigError("command line", "no data is given", f"give a settings file, or data files{needed}")
    settings: dict[str, Any] = {**defaults, "sources": [{"path": path, **of_sources} for path in paths]}
    apply_changes(settings, overrides, _settings_of(options, Path()))
    return parse_config(settings, "command line")


def paths_and_settings(items: Sequence[str]) -> tuple[list[str], list[str]]:
    """The files among the arguments, and the `key=value` settings."""
    paths = [item for item in items if "=" not in item or Path(item).exists() or "://" in item.partition("=")[0]]
    return paths, [item for item in items if item not in paths]


def _of_one_source(file: str, of_sources: Mapping[str, object]) -> dict[str, object]:
    """Settings of the only source of a file, by their dotted names. Raises ConfigError if it has several."""
    from sftdata.errors import ConfigError
    from sftdata.settings.overrides import read_settings
    from sftdata.settings.yaml_line import override

    if not of_sources:
        return {}
    sources = read_settings(Path(file), "`tokenizer:`, `sources:` and `out:`").get("sources")
    if not isinstance(sources, list):  # one source needs no list
        entry = sources if isinstance(sources, Mapping) else {"path": sources}
        return {"sources": [{**entry, **of_sources}]}
    if len(sources) == 1:
        return {f"sources.0.{name}": value for name, value in of_sources.items()}
    name, value = next(iter(of_sources.items()))
    named = [one.get("path", "rows") if isinstance(one, Mapping) else one for one in sources]
    lines = [f"`{override(f'sources.{at}.{name}', value)}` for {path}" for at, path in enumerate(named[:3])]
    what = f"has {len(sources)} sources, and --{name} does not say which of them it is for"
    raise ConfigError(file, what, f"write {', '.join(lines)}{', and so on' if len(sources) > 3 else ''}")


def source_settings(
    columns: str | None, format: str | None, system: str | None, split: str | None
) -> dict[str, object]:
    """The settings of a source from options of the command line. Raises ConfigError."""
    from sftdata.errors import ConfigError

    if split is not None and split.replace(".", "", 1).rstrip("%").isdigit():
        what = f"names the split of a source to read, such as train, and {split} is a number"
        raise ConfigError("--split", what, f"to hold out rows for validation, write split.validation={split}")
    given = {"format": format, "columns": None if columns is None else mapping_of(columns), "system": system}
    return {name: value for name, value in {**given, "split": split}.items() if value is not None}


def mapping_of(text: str) -> dict[str, str]:
    """`prompt=question,completion=answer` as a mapping; or one in braces, as in YAML. Raises ConfigError."""
    import yaml

    from sftdata.errors import ConfigError
    from sftdata.settings.yaml_text import parse_yaml

    hint = "write FIELD=COLUMN,FIELD=COLUMN, as in prompt=question,completion=answer"
    if text.lstrip().startswith("{"):
        try:
            found = parse_yaml(text)
        except (yaml.YAMLError, ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and found and all(isinstance(one, str) for one in (*found, *found.values())):
            return found
        raise ConfigError("--columns", f"{text} is not a mapping of names", hint)
    columns: dict[str, str] = {}
    for pair in text.split(","):
        field, _, column = (part.strip() for part in pair.partition("="))
        if not (field and column):
            raise ConfigError("--columns", f"{text!r} is not a list of FIELD=COLUMN", hint)
        if field in columns:
            raise ConfigError("--columns", f"{field} is given twice", "name one column for each field")
        columns[field] = column
    return columns


def _settings_of(options: Mapping[str, object], base: Path) -> dict[str, object]:
    """The options that are set, by their dotted names; paths in them become relative to `base`."""
    settings = {}
    for key, value in options.items():
        is_path = isinstance(value, str) and (key == "out" or Path(value).exists()) and "://" not in value
        if is_path and not Path(str(value)).is_absolute():
            value = os.path.relpath(Path(str(value)), base)
        if value is not None:
            settings[key] = value
    return settings


def is_one_stream(first: TextIO, second: TextIO) -> bool:
    """Whether two streams are one terminal, file or pipe, so that who reads the one has read the other."""
    try:
        return os.path.sameopenfile(first.fileno(), second.fileno())
    except (AttributeError, OSError, ValueError):  # no files, or closed
        return False


@contextmanager
def shown_progress(*, is_quiet: bool = False) -> Iterator[Progress]:
    """A line for each stage and a bar on a terminal, only the lines on one that cannot move its cursor, log lines
    elsewhere; nothing if `is_quiet`.
    """
    from sftdata.progress import NoProgress, ProgressBar, ProgressLines

    if is_quiet:
        yield NoProgress()
    elif not sys.stderr.isatty():
        yield ProgressLines()
    elif os.environ.get("TERM", "").lower() in ("dumb", "unknown"):
        yield ProgressLines(all_stages=True)
    else:
        with ProgressBar() as bar:
            yield bar


def show(summary: Summary) -> None:
    """Print a summary: laid out to the width of a terminal, as plain text of one width elsewhere."""
    if sys.stdout.isatty():
        from sftdata.view.terminal import print_summary_of

        print_summary_of(summary)
    else:  # the same text without rich, which is slow to import
        _print_plain(summary.styled(), sys.stdout)


def print_warnings(summary: Summary) -> None:
    """Print the warnings of a summary alone, to stderr."""
    from sftdata.view.layout import PLAIN_WIDTH
    from sftdata.view.summary import warning_lines

    if sys.stderr.isatty():
        from sftdata.safe.terminal import safe_console
        from sftdata.view.terminal import print_lines

        console = safe_console(stderr=True)
        print_lines(warning_lines(summary.warnings, console.width), console)
    else:
        _print_plain(warning_lines(summary.warnings, PLAIN_WIDTH), sys.stderr)


def _print_plain(lines: list[Line], file: TextIO) -> None:
    from sftdata.safe.control_chars import encodable
    from sftdata.view.layout import ASCII_BARS, plain

    encoding = file.encoding or "utf-8"
    is_unicode = encoding.lower().startswith("utf")
    for text in plain(lines):
        print(text if is_unicode else encodable(text.translate(ASCII_BARS), encoding), file=file)


def as_json_text(value: object) -> str:
    """A value as JSON, in which every character that controls a terminal is written as an escape."""
    return json.dumps(value, indent=2).replace("\x7f", "\\u007f")  # the only one that json leaves


def shortest_path(path: str) -> str:
    """A path relative to the current folder where it lies in it, else as it is."""
    if "://" in path:
        return path
    here = Path.cwd()
    absolute = Path(path) if Path(path).is_absolute() else here / path
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) and absolute != here else path
