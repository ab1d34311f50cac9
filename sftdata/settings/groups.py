"""Base class for groups of settings. Unknown keys are errors; all problems are reported at once, with suggestions."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from sftdata.errors import ConfigError

SettingsT = TypeVar("SettingsT", bound="Settings")


def _share(value: object) -> object:
    """A share as a number. Raises ValueError if it is none."""
    text = str(value).strip()
    is_percentage = isinstance(value, str) and text.endswith("%")
    try:
        number = float(text[:-1]) / 100 if is_percentage else float(text)
    except ValueError:
        number = -1.0
    if isinstance(value, bool) or not 0 <= number <= 1:
        raise ValueError(f"must be a share from 0 to 1, such as 0.1 or 10% (got {value!r})")
    return number


Share = Annotated[float, BeforeValidator(_share)]  # `10%` is 0.1


class Settings(BaseModel):
    """A group of settings: immutable, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


def as_names(value: object, norwegian: str) -> tuple[object, ...]:
    """A list of names, where a bare name means a list of one. YAML reads Norwegian's bare `no` as false."""
    names = value if isinstance(value, (list, tuple)) else (value,)
    return tuple(norwegian if name is False else name for name in names)


def as_groups(value: object, other: str | None = None) -> object:
    """Turn paths in a list of groups into {path: ...}, and objects that are no groups into {other: ...}. A single entry
    needs no list.
    """
    if isinstance(value, (str, Mapping)) or (other is not None and value is not None and not _is_list(value)):
        value = [value]
    if not isinstance(value, Sequence):
        return value
    groups: list[Any] = []
    for item in value:
        is_other = other is not None and not isinstance(item, (Mapping, Settings)) and hasattr(item, "__iter__")
        groups.append({"path": item} if isinstance(item, str) else {str(other): item} if is_other else item)
    return groups


def _is_list(value: object) -> bool:
    return isinstance(value, (list, tuple))


def check_settings(group: type[SettingsT], settings: Mapping[str, Any], where: str) -> SettingsT:
    """Validate settings as an instance of `group`. Raises ConfigError that lists all problems."""
    try:
        return group.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(where, describe_problems(error, group)) from error


def describe_problems(error: ValidationError, root: type[BaseModel]) -> str:
    """All problems that pydantic found: one per line if there are several, with suggestions for unknown keys."""
    problems = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"] if not str(part).startswith("function-"))
        if item["type"] == "extra_forbidden":
            problems.append(f"{key} is not a setting" + _suggestion(item["loc"], root))
        elif item["type"] == "too_short" and len(item["input"]) > item["ctx"]["actual_length"]:
            pass  # its items are invalid, and are already listed
        elif item["type"] == "missing":
            problems.append(f"{key} is required")
        elif item["type"] == "value_error":  # raised by one of our validators, one problem per line
            lines = str(item["ctx"]["error"]).splitlines()
            problems += [line if line.startswith(key) else f"{key}: {line}" for line in lines]
        else:
            problems.append(f"{key}: {item['msg'][0].lower()}{item['msg'][1:]} (got {item['input']!r})")
    if len(problems) == 1:
        return problems[0]
    return f"{len(problems)} problems:\n" + "\n".join(f"  - {problem}" for problem in problems)


def _suggestion(loc: tuple[int | str, ...], root: type[BaseModel]) -> str:
    """`; did you mean pack.seq_len?` if a setting of the same group has a similar name."""
    group: type[BaseModel] | None = root
    for part in loc[:-1]:
        if isinstance(part, int) or group is None:
            continue
        field = group.model_fields.get(str(part))
        group = _group_of(field.annotation) if field else None
    known = list(group.model_fields) if group else []
    return suggest(str(loc[-1]), known, prefix="".join(f"{part}." for part in loc[:-1]))


def suggest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """`; did you mean pack.seq_len?` if a known name is similar; else all known names if there are only a few."""
    known = list(known)
    similar = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if similar:
        return f"; did you mean {prefix}{similar[0]}?"
    return f"; the settings here are {', '.join(known)}" if 0 < len(known) <= 20 else ""


def _group_of(annotation: object) -> type[BaseModel] | None:
    """The group of settings inside an annotation such as `tuple[SourceConfig, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((group for arg in get_args(annotation) if (group := _group_of(arg))), None)
