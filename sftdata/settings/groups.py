"""Base class for groups of settings. Unknown keys are errors; all problems are reported at once, with suggestions."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, field_validator

from sftdata.errors import ConfigError
from sftdata.settings.catalog import group_of, settings_of
from sftdata.settings.other_names import Names
from sftdata.settings.unknown_keys import explain_unknown
from sftdata.settings.yaml_line import settings_line

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
    short_for: ClassVar[str] = ""  # the setting that a plain value in place of the group stands for, if there is one
    other_names: ClassVar[Names] = {}  # what settings are called in other tools, for messages
    listed_by: ClassVar[str] = ""  # the command that lists all settings, for messages

    @field_validator("*", mode="before")
    @classmethod
    def _path_is_a_text(cls, value: object) -> object:
        """A pathlib.Path is as good as its text."""
        return os.fspath(value) if isinstance(value, os.PathLike) else value

    @classmethod
    def from_dict(cls: type[SettingsT], settings: Mapping[str, Any]) -> SettingsT:
        """The settings in nested dicts. Raises ConfigError that lists all problems."""
        return check_settings(cls, settings, cls.__name__)

    def to_yaml(self) -> str:
        """What differs from the defaults, as a settings file. Paths are as they were given, relative to the folder of
        the file that they are from; addresses lose their passwords. Raises ConfigError for rows that are objects.
        """
        from sftdata.settings.written import settings_file

        return settings_file(self)

    def __repr__(self) -> str:
        from sftdata.settings.written import settings_repr

        return settings_repr(self)

    __str__ = __repr__

    def _repr_html_(self) -> str:
        from sftdata.settings.written import settings_html

        return settings_html(self)


def _plain_kinds(annotation: Any) -> set[Any]:
    """The plain types that a value of a setting itself may have, not the entries of a list or a mapping."""
    if get_origin(annotation) in (tuple, list, dict):
        return set()
    return {annotation} | {kind for inner in get_args(annotation) for kind in _plain_kinds(inner)}


def as_names(value: object, norwegian: str) -> tuple[object, ...]:
    """A list of names, where a bare name means a list of one. YAML reads Norwegian's bare `no` as false."""
    names = value if isinstance(value, (list, tuple)) else (value,)
    return tuple(norwegian if name is False else name for name in names)


def as_groups(value: object) -> object:
    """Turn paths in a list of groups into {path: ...}. A single entry needs no list."""
    if isinstance(value, (str, os.PathLike, Mapping)):
        value = [value]
    if not isinstance(value, Sequence):
        return value
    return [{"path": os.fspath(item)} if isinstance(item, (str, os.PathLike)) else item for item in value]


def check_settings(group: type[SettingsT], settings: Mapping[str, Any], where: str) -> SettingsT:
    """Validate settings as an instance of `group`. Raises ConfigError that lists all problems."""
    problems = _switches_for_numbers(settings, group)
    try:
        checked = group.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(where, _listed([*problems, *_problems(error, group, settings, where)])) from error
    if problems:
        raise ConfigError(where, _listed(problems))
    return checked


def _listed(problems: list[str]) -> str:
    """One problem as it is, several as a list."""
    if len(problems) == 1:
        return problems[0]
    return f"{len(problems)} problems:\n" + "\n".join(f"  - {problem}" for problem in problems)


def _problems(error: ValidationError, root: type[BaseModel], settings: Any, where: str) -> list[str]:
    """All problems that pydantic found. For an unknown key, it says what was meant."""
    problems = []
    for item in error.errors():
        loc = tuple(part for part in item["loc"] if not str(part).startswith("function-"))
        key = ".".join(map(str, loc))
        if item["type"] == "extra_forbidden":
            problems.append(f"{key} is not a setting" + explain_unknown(loc, item["input"], root, settings, where))
        elif item["type"] == "too_short" and len(item["input"]) > item["ctx"]["actual_length"]:
            pass  # its items are invalid, and are already listed
        elif item["type"] == "missing":
            problems.append(f"{key} is required")
        elif item["type"] == "model_type":
            problems.append(f"{key} is a group of settings" + _inside(key, item["input"], root))
        elif item["type"] == "value_error":  # raised by one of our validators, one problem per line
            lines = str(item["ctx"]["error"]).splitlines()
            problems += [line if line.startswith(key) else f"{key}: {line}" for line in lines]
        else:
            near = _near_choice(item["input"], item["ctx"]["expected"]) if item["type"] == "literal_error" else ""
            problems.append(f"{key}: {item['msg'][0].lower()}{item['msg'][1:]} (got {item['input']!r}){near}")
    return problems


def _near_choice(given: object, expected: str) -> str:
    """`; did you mean alpaca?` if one of the choices is similar. They are quoted, as in `'auto', 'fast' or 'hf'`."""
    similar = difflib.get_close_matches(str(given), expected.split("'")[1::2], n=1)
    return f"; did you mean {similar[0]}?" if similar else ""


def _switches_for_numbers(given: object, group: type[BaseModel], prefix: str = "") -> list[str]:
    """Where true or false is given for a number. YAML reads yes and no as these, and Python takes them for 1 and 0."""
    problems: list[str] = []
    if isinstance(given, (list, tuple)):
        for number, entry in enumerate(given):
            problems += _switches_for_numbers(entry, group, f"{prefix}{number}.")
    for name, value in given.items() if isinstance(given, Mapping) else ():
        field = group.model_fields.get(str(name))
        inner = None if field is None else group_of(field.annotation)
        if inner is not None:
            problems += _switches_for_numbers(value, inner, f"{prefix}{name}.")
        elif field is not None and isinstance(value, bool):
            kinds = _plain_kinds(field.annotation)
            if kinds & {int, float} and bool not in kinds:
                got = f"{str(value).lower()}, which is how YAML reads {'yes and on' if value else 'no and off'}"
                problems.append(f"{prefix}{name} must be a number (got {got})")
    return problems


def _inside(key: str, given: object, root: type[BaseModel]) -> str:
    """What to write for a plain value in place of a group: the only setting of it that takes such a value."""
    plain = ".".join(part for part in key.split(".") if not part.isdecimal())
    every = list(settings_of(root))
    group = next((one.group for one in every if one.key == plain), None)
    known = [one.leaf for one in every if one.section == plain]
    fitting = [leaf for leaf in known if group is not None and _takes(group, {leaf: given})]
    if len(fitting) == 1:
        name = key.rpartition(".")[2]
        return f", not one value: write `{settings_line({name: {fitting[0]: given}})}`"
    return f", not one value (got {given!r}): {', '.join(known)}"


def _takes(group: type[BaseModel], settings: Mapping[str, Any]) -> bool:
    try:
        group.model_validate(settings)
    except ValidationError:
        return False
    return True
