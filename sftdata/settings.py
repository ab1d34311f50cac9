"""What the settings of both packages share: groups that refuse unknown keys, YAML files, overrides, clear problems."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from sftdata.errors import ConfigError

SettingsT = TypeVar("SettingsT", bound="Settings")


class Settings(BaseModel):
    """A group of settings. Unknown keys are an error; nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_settings(path: Path, start_with: str) -> dict[str, Any]:
    """The mapping in a YAML file. Raises ConfigError; `start_with` says what an empty file lacks."""
    import yaml

    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(str(path), error.strerror or str(error), "give the path of a YAML file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), "is not UTF-8 text", "give the path of a YAML file") from error
    except yaml.YAMLError as error:
        line = getattr(error, "problem_mark", None)
        where = f"{path}:{line.line + 1}" if line else str(path)
        raise ConfigError(where, "is not YAML: " + " ".join(str(error).split()), "mend the file") from error
    if not isinstance(settings, dict):
        raise ConfigError(str(path), "holds no settings", f"start with {start_with}")
    return settings


def check_settings(kind: type[SettingsT], settings: Mapping[str, Any], where: str) -> SettingsT:
    """The settings as their class. Raises ConfigError naming every problem at once."""
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(where, describe_problems(error, kind)) from error


def describe_problems(error: ValidationError, root: type[BaseModel]) -> str:
    """All problems pydantic found, one a line where there are several, unknown keys with a suggestion."""
    problems = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"] if not str(part).startswith("function-"))
        if item["type"] == "extra_forbidden":
            problems.append(f"{key} is not a setting" + _suggestion(item["loc"], root))
        elif item["type"] == "too_short" and len(item["input"]) > item["ctx"]["actual_length"]:
            pass  # its items are wrong, and have been named
        elif item["type"] == "missing":
            problems.append(f"{key} is required")
        elif item["type"] == "value_error":  # a check of ours, in our words, a line each
            lines = str(item["ctx"]["error"]).splitlines()
            problems += [line if line.startswith(key) else f"{key}: {line}" for line in lines]
        else:
            problems.append(f"{key}: {item['msg'][0].lower()}{item['msg'][1:]} (got {item['input']!r})")
    if len(problems) == 1:
        return problems[0]
    return f"{len(problems)} problems:\n" + "\n".join(f"  - {problem}" for problem in problems)


def _suggestion(loc: tuple[int | str, ...], root: type[BaseModel]) -> str:
    """`; did you mean pack.seq_len?` where a known key of the same group is near."""
    group: type[BaseModel] | None = root
    for part in loc[:-1]:
        if isinstance(part, int) or group is None:
            continue
        field = group.model_fields.get(str(part))
        group = _group_of(field.annotation) if field else None
    known = list(group.model_fields) if group else []
    return suggest(str(loc[-1]), known, prefix="".join(f"{part}." for part in loc[:-1]))


def suggest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """`; did you mean pack.seq_len?` where a known name is near, or all known names where they are few."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {prefix}{near[0]}?"
    return f"; the settings here are {', '.join(known)}" if 0 < len(known) <= 20 else ""


def _group_of(annotation: object) -> type[BaseModel] | None:
    """The group of settings inside an annotation such as `tuple[SourceConfig, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((group for arg in get_args(annotation) if (group := _group_of(arg))), None)


def apply_override(settings: dict[str, Any], override: str, bare: Collection[str] = ()) -> None:
    """Set `dotted.key=value` in nested settings; the value is read as YAML. Raises ConfigError as `put`, and where the
    text is no assignment.
    """
    import yaml

    dotted, equals, value = override.partition("=")
    if not equals or not dotted:
        raise ConfigError(override, "is neither a file nor a setting", "write settings as dotted.key=value")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(override, "the value is not YAML", "quote it") from error
    put(settings, dotted, parsed, override, bare)


def put(settings: dict[str, Any], dotted: str, value: Any, where: str, bare: Collection[str] = ()) -> None:
    """Set a value in nested settings; numbers index lists.

    `bare` names the groups that may be written as a bare path; they become a group when a key below them is set, and a
    bare path is then the group's. Raises ConfigError, with `where`, where the key runs through a plain value.
    """
    *parents, last = dotted.split(".")
    node: Any = settings
    for part in parents:
        node = _descend(node, part, where, bare)
    if isinstance(node, list):
        if not last.isdecimal() or int(last) >= len(node):
            raise ConfigError(where, f"there is no entry {last} in a list of {len(node)}")
        node[int(last)] = value
    elif last in bare and isinstance(value, str) and isinstance(node.get(last), dict):
        node[last]["path"] = value  # what else is set of the group stays
    else:
        node[last] = value


def _descend(node: Any, part: str, override: str, bare: Collection[str]) -> Any:
    """The settings under `part`, made where absent."""
    if isinstance(node, list):
        if not part.isdecimal() or int(part) >= len(node):
            raise ConfigError(override, f"there is no entry {part} in a list of {len(node)}")
        if isinstance(node[int(part)], str):
            node[int(part)] = {"path": node[int(part)]}
        if not isinstance(node[int(part)], (dict, list)):
            raise ConfigError(override, f"entry {part} holds a plain value, not settings")
        return node[int(part)]
    child = node.setdefault(part, {})
    if isinstance(child, str) and part in bare:
        child = node[part] = {"path": child}
    if not isinstance(child, (dict, list)):
        raise ConfigError(override, f"{part} holds a plain value, not settings")
    return child
