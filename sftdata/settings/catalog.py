"""Every setting of a model: its dotted name, what it takes, its default, what it is for. Read from the model itself."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from sftdata.settings.yaml_line import flow

_PLAIN = {int: "a whole number", float: "a number", str: "a text", Any: "anything", object: "anything"}
_MANY = {int: "whole numbers", float: "numbers", str: "texts"}
_BOUNDS = (("ge", "from {}"), ("gt", "above {}"), ("le", "up to {}"), ("lt", "below {}"))


@dataclass(frozen=True)
class Setting:
    """A setting, or a group of settings."""

    key: str  # dotted; the entries of a list have no number in it: sources.format
    about: str
    kind: str  # what it takes, in words
    default: str  # as YAML; "required" where there is none, empty for a group that has none of its own
    choices: tuple[str, ...]  # the values that it takes, where these can be listed
    lists: tuple[str, ...] = ()  # the groups in its key that are lists
    group: type[BaseModel] | None = None  # of a group: its model

    @property
    def leaf(self) -> str:
        """The last part of the key."""
        return self.key.rpartition(".")[2]

    @property
    def section(self) -> str:
        """The group that it is in; an empty text for the settings at the top."""
        return self.key.rpartition(".")[0]

    @property
    def in_words(self) -> str:
        """`maximum tokens of a sequence (a whole number from 8; default 2048)`."""
        said = f"; default {self.default}" if self.default else ""
        return f"{self.about} ({self.kind}{'; required' if self.default == 'required' else said})"

    @property
    def on_command_line(self) -> str:
        """The key as it is written on the command line, for the first entry of a list: sources.0.format."""
        parts = self.key.split(".")
        heads = [".".join(parts[: at + 1]) for at in range(len(parts))]
        return ".".join(
            f"{part}.0" if head in self.lists and head != self.key else part for part, head in zip(parts, heads)
        )


def settings_of(model: type[BaseModel], prefix: str = "", lists: tuple[str, ...] = ()) -> Iterator[Setting]:
    """Every setting of a model, in its order; a group comes before its settings."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        group = group_of(field.annotation)
        is_list = group is not None and _is_list(field.annotation)
        about = field.description or (_first_sentence(group) if group is not None else "")
        default = "required" if field.is_required() else _default(field, group)
        yield Setting(key, about, _kind(field), default, tuple(_choices(field.annotation)), lists, group)
        if group is not None:
            yield from settings_of(group, f"{key}.", (*lists, key) if is_list else lists)


def group_of(annotation: object) -> type[BaseModel] | None:
    """The group of settings inside an annotation such as `tuple[SourceConfig, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((group for arg in get_args(annotation) if (group := group_of(arg))), None)


def short_form(group: type[BaseModel]) -> str:
    """The setting that a plain value in place of the group stands for; an empty text if a group has none."""
    return str(getattr(group, "short_for", ""))


def _first_sentence(group: type[BaseModel]) -> str:
    """`How samples are packed` of the docstring `How samples are packed into rows.`, beginning in lower case."""
    text = " ".join((group.__doc__ or "").split("\n\n")[0].split()).partition(". ")[0].rstrip(".")
    return text[:1].lower() + text[1:]


def _default(field: FieldInfo, group: type[BaseModel] | None) -> str:
    """A default as YAML. That of a group is what a plain value in its place would say."""
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        value = getattr(value, short_form(type(value)), None) if short_form(type(value)) else None
        return "" if value is None else str(value)
    if value is None and group is not None:
        return "off"
    return value if isinstance(value, str) and value else flow(value)


def _kind(field: FieldInfo) -> str:
    """What a setting takes, in words: `a whole number from 8`."""
    words = _words(field.annotation)
    group = group_of(field.annotation)
    if group is not None and short_form(group):
        inner = group.model_fields[short_form(group)].annotation
        words = f"{_words(inner)}, or {'a list of settings' if _is_list(field.annotation) else 'settings'}"
    bounds = _bounds(field.metadata)
    return f"{words} {bounds}" if bounds and not words.startswith("one of") else words


def _words(annotation: Any) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        bounds = _bounds([*args[1:], *(one for extra in args[1:] for one in getattr(extra, "metadata", ()))])
        return f"{_words(args[0])} {bounds}".strip()
    if annotation is bool:
        return "true or false"
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if origin is Literal:
        return f"one of {', '.join(map(str, args))}"
    if origin in (Union, types.UnionType):
        return _either([_words(arg) for arg in args if arg is not type(None)])
    if origin in (tuple, list):
        inner = args[0]
        if get_origin(inner) is Literal:
            return f"a list of {', '.join(map(str, get_args(inner)))}"
        return "a list of settings" if group_of(inner) else f"a list of {_MANY.get(inner, 'values')}"
    if origin is dict:
        return "a mapping"
    return "a group" if group_of(annotation) else "a value"


def _either(words: list[str]) -> str:
    """`a whole number` and `a number` are `a number`; others are joined."""
    kept = [one for one in dict.fromkeys(words) if not (one == _PLAIN[int] and _PLAIN[float] in words)]
    return " or ".join(kept)


def _bounds(metadata: list[Any]) -> str:
    said = [
        how.format(f"{limit:,}")
        for name, how in _BOUNDS
        for one in metadata
        if (limit := getattr(one, name, None)) is not None
    ]
    return " ".join(said)


def _choices(annotation: Any) -> Iterator[str]:
    """The values of a choice, those inside a list too; for a group, those of what a plain value stands for."""
    if annotation is bool:
        yield from ("true", "false")
    elif get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if short_form(annotation):
            yield from _choices(annotation.model_fields[short_form(annotation)].annotation)
    elif get_origin(annotation) is not dict:
        for inner in get_args(annotation):
            yield from _choices(inner)


def _is_list(annotation: object) -> bool:
    """Whether an annotation is a list of groups."""
    return get_origin(annotation) in (tuple, list)


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema (Draft 2020-12) of settings files, which allows what they may write shorter."""
    schema = model.model_json_schema()
    for name, group in [(model.__name__, schema), *schema.get("$defs", {}).items()]:
        own = _model_called(name, model)
        for key, field in own.model_fields.items() if own is not None else ():
            assert own is not None
            group["properties"][key] = _shortened(group["properties"][key], own, key)
            if not group["properties"][key].get("description") and (inner := group_of(field.annotation)) is not None:
                group["properties"][key]["description"] = _first_sentence(inner)
        if own is not None:
            group["description"] = _first_sentence(own)
        if own is not None and "rows" in own.model_fields:  # in place of path
            group.pop("required", None)
            group["anyOf"] = [{"required": ["path"]}, {"required": ["rows"]}]
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {**head, **schema, "title": f"settings of {getattr(model, 'listed_by', '') or model.__name__}"}


def _model_called(name: str, root: type[BaseModel]) -> type[BaseModel] | None:
    """The group of settings of this name, in a model or in one of its groups."""
    models = [root, *(one.group for one in settings_of(root) if one.group is not None)]
    return next((model for model in models if model.__name__ == name), None)


def _shortened(schema: dict[str, Any], model: type[BaseModel], key: str) -> dict[str, Any]:
    """The schema of a setting with what may be written in place of its full form, if the model takes it: a path for a
    source, a preset for filters, one entry for a list, on and off, a share as a percentage.
    """
    field = model.model_fields[key]
    group, is_list = group_of(field.annotation), _is_list(field.annotation)
    kept: dict[str, Any] = {name: schema.pop(name) for name in ("description", "default", "title") if name in schema}
    forms: list[dict[str, Any]] = [schema]
    if group is not None and short_form(group):
        plain = group.model_json_schema()["properties"][short_form(group)]
        forms.append({name: value for name, value in plain.items() if name in ("type", "enum", "const")})
    if is_list:
        forms += [schema["items"]] if group is not None or _takes(model, key, _entry_of(field)) else []
        schema["items"] = {"anyOf": [schema["items"], *forms[1:2]]} if group is not None else schema["items"]
    elif group is None or short_form(group) != "path":
        switches = (True, False, "on", "off") if group is not None or _choices_of(field) else ()
        probes = [one for one in switches if one not in _choices_of(field) and _takes(model, key, one)]
        forms += [{"enum": probes}] if probes else []
    if "a number" in _words(field.annotation) and _takes(model, key, "10%"):
        forms.append({"type": "string", "pattern": "%$"})
    return {**({"anyOf": forms} if len(forms) > 1 else schema), **kept}


def _choices_of(field: FieldInfo) -> tuple[str, ...]:
    """The texts that a setting takes; none for a switch, which takes no other form."""
    return tuple(one for one in _choices(field.annotation) if one not in ("true", "false"))


def _entry_of(field: FieldInfo) -> Any:
    """An entry of a list."""
    return next(iter((*_choices_of(field), *(field.default or ()), "en")))


def _takes(model: type[BaseModel], key: str, value: object) -> bool:
    """Whether a group takes a value for one of its settings."""
    try:
        model.model_validate({key: value})
    except ValidationError as error:
        return not any(item["loc"][:1] in ((), (key,)) for item in error.errors())
    return True
