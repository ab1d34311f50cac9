"""Groups of settings that refuse unknown keys, and name every problem at once with what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from sftdata.errors import ConfigError

SettingsT = TypeVar("SettingsT", bound="Settings")


class Settings(BaseModel):
    """A group of settings. Unknown keys are an error; nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
