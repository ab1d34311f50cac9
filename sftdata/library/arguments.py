"""What a program gives to `sftdata.prepare` and `sftdata.check` -> a Config."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from sftdata.config import PATH_GROUPS, Config, SourceConfig, parse_config
from sftdata.errors import ConfigError
from sftdata.settings.given_rows import ROWS, are_rows, are_splits, as_source, is_turn
from sftdata.settings.overrides import read_settings, set_nested
from sftdata.settings.written import given_settings

SETTINGS_FILES = (".yaml", ".yml")
_OF_SOURCES = frozenset(SourceConfig.model_fields) - frozenset(Config.model_fields) - {"path", ROWS}
_ADDRESSES = ("path", "tokenizer", "template", "model", "out")  # settings whose values may be local paths
_SIMILAR = 0.75  # from here on, a key of a dict is a setting with a typo, and not a column


def config_of(
    data: Any,
    settings: Mapping[str, Any],
    where: str,
    *,
    options: Collection[str] = (),
    defaults: Mapping[str, Any] = {},
) -> Config:
    """The config from what a program gives.

    `data` is a Config, its settings as a dict, or the path of a settings file; or what is to be read: a path, a source,
    rows, or a list of these. `settings` take the place of those that are there, as on the command line; a dotted name
    changes one setting of a group. Settings of a source (columns, format, system, ...) are those of every source in
    `data`, as is `split` if it is a text. `options` are other keywords of the function, for messages, and `defaults`
    values of required settings. Raises ConfigError that lists all problems.
    """
    if isinstance(data, Config) and not settings:
        return data
    given = {name: _checked(name, value) for name, value in settings.items()}
    base, found = _settings_in(data, where)
    if found is None:
        found = _with_sources(data, given, where)
    if "sources" in given:
        given["sources"] = _sources(given["sources"], where)
    _refuse_options(given, where, options)
    for name, value in given.items():
        moved = _relative_to(base, name.rpartition(".")[2], value)
        set_nested(found, name, moved, f"{where}: {name}", PATH_GROUPS)
    config = parse_config({**defaults, **found}, str(data) if base is not None else where)
    config._base = Path() if base is None else base
    return config


def _with_sources(data: Any, given: dict[str, Any], where: str) -> dict[str, Any]:
    """The sources in `data` as settings; the settings of sources in `given` go into them."""
    if (data is None) == ("sources" not in given):
        what, hint = (
            ("no data is given", "a path, rows, or sources=[...]")
            if data is None
            else ("data and sources are both given", "one of them")
        )
        raise ConfigError(where, what, f"give {hint}")
    sources = [] if data is None else _sources(data, where)
    for name in [name for name in given if name in _OF_SOURCES or (name == "split" and isinstance(given[name], str))]:
        if data is None:
            raise ConfigError(where, f"{name} is a setting of a source", f"write sources=[{{{name!r}: ..., ...}}]")
        if name == "name" and len(sources) > 1:
            raise ConfigError(where, "name is given for several sources", "give each its own in sources=[{...}]")
        value = given.pop(name)
        sources = [{**source, name: value} for source in sources]
    return {"sources": sources} if data is not None else {}


def _settings_in(data: Any, where: str) -> tuple[Path | None, dict[str, Any] | None]:
    """The folder that paths in `data` are relative to, if not the current one; and its settings, if it is the settings
    of a run, and no data.
    """
    if isinstance(data, Config):
        return data._base if data._base != Path() else None, given_settings(data)
    if isinstance(data, Mapping):
        if not _is_settings(data):
            return None, None
        found = {key: _copied(value) for key, value in data.items()}
        if "sources" in found:
            found["sources"] = _sources(found["sources"], where)
        return None, found
    paths = data if isinstance(data, (list, tuple)) else [data]
    files = [os.fspath(one) for one in paths if _is_settings_file(one)] if _names_source(next(iter(paths), "")) else []
    if not files:
        return None, None
    if len(paths) > 1:
        what = "is a settings file, but other data is given too"
        raise ConfigError(files[0], what, "give one settings file, or data only")
    return Path(files[0]).parent, read_settings(Path(files[0]), "`tokenizer:`, `sources:` and `out:`")


def _is_settings_file(value: object) -> bool:
    return isinstance(value, (str, os.PathLike)) and os.fspath(value).endswith(SETTINGS_FILES)


def _is_settings(data: Mapping[str, Any]) -> bool:
    """Whether a dict holds the settings of a whole run: it is neither a source, nor splits or columns of rows."""
    if _is_source(data) or are_splits(data):
        return False
    is_columns = data and all(map(are_rows, data.values())) and not data.keys() & Config.model_fields.keys()
    return not is_columns


def _is_source(item: Mapping[Any, Any]) -> bool:
    """Whether a dict is the settings of a source, and not a row with a column called path."""
    if not item.keys() & {"path", ROWS}:
        return False
    known = list(SourceConfig.model_fields)
    return all(key in known or difflib.get_close_matches(str(key), known, 1, _SIMILAR) for key in item)


def _sources(data: Any, where: str) -> list[dict[str, Any]]:
    """The sources in `data`, each as a mapping of settings."""
    if isinstance(data, SourceConfig):
        return [given_settings(data)]
    if not isinstance(data, (list, tuple)):
        if isinstance(data, Mapping) and not _is_source(data):
            return [{ROWS: data}]
        source = as_source(data)
        if not isinstance(source, Mapping):
            what = f"is of the type {type(data).__name__}, which is no data"
            raise ConfigError(where, what, "give a path, a list of dicts, a datasets.Dataset or a table")
        return [dict(source)]
    if not data or not _names_source(data[0]):
        if any(isinstance(item, (str, os.PathLike)) for item in data):
            hint = "put the rows into a list of their own: [rows, 'chats.jsonl']"
            raise ConfigError(where, "a list holds both rows and paths", hint)
        return [{ROWS: data}]
    return [source for item in data for source in _sources(item, where)]


def _names_source(item: Any) -> bool:
    """Whether the first item of a list is a source or its rows, and not a row."""
    if isinstance(item, Mapping):
        return _is_source(item) or (are_splits(item) and not any(isinstance(one, list) for one in item.values()))
    if isinstance(item, (list, tuple)):
        first = item[0] if item else None
        return isinstance(first, Mapping) and not is_turn(first)
    return isinstance(item, (str, os.PathLike, SourceConfig)) or are_rows(item)


def _copied(value: Any) -> Any:
    """Settings that may be changed; rows and other objects stay the same."""
    if isinstance(value, Mapping):
        return {key: item if key == ROWS else _copied(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], Mapping) and _is_source(value[0]):
        return [_copied(item) for item in value]
    return value


def _checked(name: str, value: Any) -> Any:
    """A setting that can be written. Raises ConfigError for a tokenizer that is an object."""
    if name == "tokenizer" and hasattr(value, "save_pretrained"):
        what = f"is a {type(value).__name__}, and must be a folder or a hub id"
        raise ConfigError(name, what, "write it with tokenizer.save_pretrained(FOLDER), and give the folder")
    return value


def _refuse_options(given: Mapping[str, Any], where: str, options: Collection[str]) -> None:
    """Raise ConfigError for a keyword that is no setting, and is like one that the function has besides settings."""
    for name in given:
        if name.partition(".")[0] not in Config.model_fields:
            near = difflib.get_close_matches(name, [*options, *Config.model_fields], 1, _SIMILAR)
            if near and near[0] in options:
                raise ConfigError(where, f"{name} is not a setting; did you mean {near[0]}?")


def _relative_to(base: Path | None, name: str, value: Any) -> Any:
    """A value whose paths, which are relative to the current folder, are relative to `base`, the folder of the settings
    file, as on the command line.
    """
    if base is None or name == ROWS:
        return value
    if isinstance(value, Mapping):
        return {key: _relative_to(base, str(key), item) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and name in ("sources", "against"):
        return [_relative_to(base, "path", item) if _is_path(item) else _relative_to(base, "", item) for item in value]
    if name not in _ADDRESSES or not _is_path(value):
        return value
    path = Path(os.fspath(value)).expanduser()
    is_local = "://" not in str(value) and (name == "out" or path.exists())
    return os.path.relpath(path, base) if is_local and not path.is_absolute() else value


def _is_path(value: object) -> bool:
    return isinstance(value, (str, os.PathLike))
