"""What the commands share: settings from arguments, errors in one sentence, progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from sftdata.config import Config
    from sftdata.progress import Progress

CONFIG_SUFFIXES = (".yaml", ".yml")


@contextmanager
def user_errors() -> Iterator[None]:
    """A user's mistake becomes one sentence and exit code 1; a fault of the program keeps its traceback."""
    from sftdata.errors import SftDataError

    try:
        yield
        sys.stdout.flush()
    except SftDataError as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("stopped", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it ends
        fail("the program that read the output is gone", 141)


def fail(message: str, code: int = 1) -> NoReturn:
    """Print a sentence and end the command."""
    print(f"sftdata: {message}", file=sys.stderr)
    raise typer.Exit(code)


def config_of(items: list[str], options: dict[str, object], defaults: Mapping[str, Any] = {}) -> Config:
    """The settings of a file, or of data files and options; `key=value` items apply in either case.

    Paths in options are relative to the current folder, those in a file and in `key=value` to the file. `defaults` holds
    values for required settings that are left out, where nothing will read them.
    """
    from sftdata.config import PATH_GROUPS, load_config, parse_config
    from sftdata.errors import ConfigError
    from sftdata.settings.overrides import apply_override, set_nested

    paths = [item for item in items if "=" not in item or Path(item).exists() or "://" in item]
    overrides = [item for item in items if item not in paths]
    files = [path for path in paths if path.endswith(CONFIG_SUFFIXES)]
    if files and len(paths) > 1:
        raise ConfigError(files[0], "stands beside other files", "give one settings file, or data files only")
    if files:
        return load_config(files[0], overrides, defaults, _settings_of(options, Path(files[0]).parent))
    if not paths:
        needed = "" if defaults else " with --tokenizer and --out"
        raise ConfigError("command line", "names no data", f"give a settings file, or data files{needed}")
    settings: dict[str, Any] = {**defaults, "sources": [{"path": path} for path in paths]}
    for override in overrides:
        apply_override(settings, override, PATH_GROUPS)
    for name, value in _settings_of(options, Path()).items():
        set_nested(settings, name, value, name, PATH_GROUPS)
    return parse_config(settings, "command line")


def _settings_of(options: dict[str, object], base: Path) -> dict[str, object]:
    """Options as settings by their dotted names, with the paths in them as seen from `base`."""
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
    from sftdata.progress import ProgressBar, ProgressLines

    if sys.stderr.isatty():
        with ProgressBar() as bar:
            yield bar
    else:
        yield ProgressLines()
