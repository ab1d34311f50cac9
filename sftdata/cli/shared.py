"""What the commands share: common arguments, settings from arguments, user errors, progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TextIO

import typer

if TYPE_CHECKING:
    from sftdata.config import Config
    from sftdata.progress import Progress

CONFIG_SUFFIXES = (".yaml", ".yml")

DatasetFolder = Annotated[Path, typer.Argument(metavar="DATASET", help="a folder written by prepare")]


@contextmanager
def user_errors() -> Iterator[None]:
    """Print a user error as one sentence and exit with code 1. Bugs keep their traceback."""
    from sftdata.errors import SftDataError

    try:
        yield
        sys.stdout.flush()
    except SftDataError as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("stopped", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python prints an error at exit
        fail("the program that read the output has exited", 141)


def fail(message: str, code: int = 1) -> NoReturn:
    """Print a message and exit."""
    print(f"sftdata: {message}", file=sys.stderr)
    raise typer.Exit(code)


def fail_for_faults(number: int, num_rows: int, what: str) -> None:
    """Exit with code 1 if faults of sftdata cost more than a small share of the rows."""
    from sftdata.errors import pluralize
    from sftdata.records.faults import MAX_SHARE

    if number > MAX_SHARE * num_rows:
        share = f"{number / num_rows:.1%}, and up to {MAX_SHARE:.0%} is let pass"
        fail(f"{pluralize(number, 'row')} lost to faults of sftdata ({share}): {what}")


def config_of(items: list[str], options: dict[str, object], defaults: Mapping[str, Any] = {}) -> Config:
    """The config from a settings file, or from data files and options. `key=value` items apply in both cases.

    Paths in options are relative to the current folder; paths in the file and in `key=value` are relative to the
    file. `defaults` has values for required settings that the command does not use. Raises ConfigError.
    """
    from sftdata.config import apply_changes, load_config, parse_config
    from sftdata.errors import ConfigError

    paths = [item for item in items if "=" not in item or Path(item).exists() or "://" in item]
    overrides = [item for item in items if item not in paths]
    files = [path for path in paths if path.endswith(CONFIG_SUFFIXES)]
    if files and len(paths) > 1:
        raise ConfigError(
            files[0], "is a settings file, but other files are given too", "give one settings file, or data files only"
        )
    if files:
        return load_config(files[0], overrides, defaults, _settings_of(options, Path(files[0]).parent))
    if not paths:
        needed = "" if defaults else " with --tokenizer and --out"
        raise ConfigError("command line", "no data is given", f"give a settings file, or data files{needed}")
    settings: dict[str, Any] = {**defaults, "sources": [{"path": path} for path in paths]}
    apply_changes(settings, overrides, _settings_of(options, Path()))
    return parse_config(settings, "command line")


def _settings_of(options: dict[str, object], base: Path) -> dict[str, object]:
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
def shown_progress() -> Iterator[Progress]:
    """A progress bar on a terminal, log lines elsewhere."""
    from sftdata.progress import ProgressBar, ProgressLines

    if sys.stderr.isatty():
        with ProgressBar() as bar:
            yield bar
    else:
        yield ProgressLines()
