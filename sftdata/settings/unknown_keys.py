"""A key that is not a setting -> what was meant, and the line to write in its place."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

from sftdata.settings.catalog import Setting, group_of, settings_of, short_form
from sftdata.settings.other_names import Names, OtherName, plain_name
from sftdata.settings.yaml_line import flow, override

COMMAND_LINE = "command line"  # where settings are from that are in no file
_IN_A_FILE = (".yaml", ".yml")
# How alike two names are from which one is taken for a typo of the other: in the same group, and anywhere else.
_LIKELY, _SURE = 0.6, 0.84
_MAX_NAMED, _MAX_LISTED = 3, 20
_MAX_LINE = 240  # characters of a line to paste

Loc = tuple[int | str, ...]


class _Unknown(NamedTuple):
    """A key that is not a setting, with all settings that were given and all that there are."""

    loc: Loc
    value: Any
    every: Sequence[Setting]
    settings: Any
    where: str


def explain_unknown(loc: Loc, value: Any, root: type[BaseModel], settings: Any, where: str) -> str:
    """What an unknown key means, as the end of a sentence that says that it is not a setting: `; it is called
    pack.seq_len here: write pack: {seq_len: 4096}`. `settings` are all settings that were given, `where` is their file.
    """
    every = list(settings_of(root))
    name, group = plain_name(str(loc[-1])), ".".join(part for part in loc[:-1] if isinstance(part, str))
    unknown = _Unknown(loc, value, every, settings, where)
    table: Names = getattr(root, "other_names", {})
    own = [one for one in every if one.section == group]
    if "." in name:  # the form of the command line, in a file
        dotted = [one.key for one in every if one.key == (f"{group}.{name}" if group else name)]
        if not dotted:
            return _nothing(own, root)
        line = _write(dotted[0], _place(dotted[0], unknown), unknown, value, ": write ")
        return f"; names with dots are for the command line{line}"
    if isinstance(value, Mapping) and (groups := _groups_with(value, own)):
        return _typo(groups[0], unknown)
    known = table.get(name)
    is_here = name in [one.leaf for one in own] or (known is not None and _is_around(known.setting, group))
    if known is not None and not is_here:
        return _called(known, unknown)
    meant = _same_leaf(name, own) or _same_leaf(name, every) or _alike(name, own, every, table)
    if len(meant) == 1:
        return _typo(meant[0], unknown)
    if meant:
        return f"; did you mean {' or '.join(meant[:_MAX_NAMED])}?"
    return _nothing(own, root)


def option_hint(option: str, root: type[BaseModel]) -> str | None:
    """What to write for an option that does not exist, but is the name of a setting, or what another tool calls one."""
    every = list(settings_of(root))
    name = plain_name(option)
    other = getattr(root, "other_names", {}).get(name)
    if other is not None and not other.setting:
        return f"it is {other.option} here" if other.option else other.instead
    same = [one.key for one in every if one.key == name] or _same_leaf(name, every)
    found = [other.setting] if other is not None else same or _alike(name, [], every, {})
    if len(found) != 1:
        return None
    key = next(one.on_command_line for one in every if one.key == found[0])
    inside = f".{other.inside}" if other is not None and other.inside else ""
    return f"settings have no dashes: write {key}{inside}=VALUE"


def _nothing(own: Sequence[Setting], root: type[BaseModel]) -> str:
    """What to say of a key that is like nothing."""
    listed = getattr(root, "listed_by", "")
    return suggest("", [one.leaf for one in own]) or (f"; `{listed}` lists all settings" if listed else "")


def suggest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """`; did you mean pack.seq_len?` if a known name is similar; else all known names if there are only a few."""
    known = list(known)
    similar = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if similar:
        return f"; did you mean {prefix}{similar[0]}?"
    return f"; the settings here are {', '.join(known)}" if 0 < len(known) <= _MAX_LISTED else ""


def _is_around(key: str, group: str) -> bool:
    """Whether a setting is this group, or has it inside."""
    return key != "" and f"{group}.".startswith(f"{key}.")


def _groups_with(value: Mapping[Any, Any], own: Sequence[Setting]) -> list[str]:
    """The groups that have all these settings, where a group under a wrong name is given."""
    return [one.key for one in own if one.group is not None and value and set(value) <= set(one.group.model_fields)]


def _same_leaf(name: str, settings: Sequence[Setting]) -> list[str]:
    """The settings with this last part; those of evaluation files only if no source has one of this name."""
    found = [one.key for one in settings if one.leaf == name]
    return [key for key in found if not key.startswith("decontaminate.against.")] or found


def _alike(name: str, own: Sequence[Setting], every: Sequence[Setting], table: Names) -> list[str]:
    """The setting whose name, here or in another tool, is most like this one, if it is like it at all."""
    others = {one.leaf: one.key for one in reversed(every)}
    others.update({called: other.setting for called, other in table.items() if other.setting})
    near = _closest(name, {one.leaf: one.key for one in own}, _LIKELY)
    far = _closest(name, others, _SURE)
    best = max(near, far)
    return [best[1]] if best[1] else []


def _closest(name: str, keys: Mapping[str, str], cutoff: float) -> tuple[float, str]:
    """How alike the most similar name is, and its key; 0 and nothing without one."""
    similar = difflib.get_close_matches(name, keys, n=1, cutoff=cutoff)
    return (difflib.SequenceMatcher(None, similar[0], name).ratio(), keys[similar[0]]) if similar else (0.0, "")


def _typo(key: str, unknown: _Unknown) -> str:
    """What to do about a key that is a setting's name with a mistake, or in a wrong group."""
    place = _place(key, unknown)
    named = ".".join(map(str, place)) if place else key
    return f"; did you mean {named}?" + _write(key, place, unknown, unknown.value, " write ")


def _called(other: OtherName, unknown: _Unknown) -> str:
    """What to do about a key that is the name of another tool."""
    if other.option:
        if unknown.value is False:
            return "; remove it"
        option = other.option if unknown.value is True else f"{other.option} {flow(unknown.value)}"
        return f"; it is an option of the command: remove it, and add `{option}`"
    if not other.setting:
        return f"; {other.instead}"
    place = _place(other.setting, unknown)
    called = f"; it is called {other.setting} here"
    present = None if place is None else _at(unknown.settings, place)
    if present is not None and not (isinstance(present, Mapping) and other.inside):
        return f"{called}, which is given too: remove one of the two"
    return called + _write(other.setting, place, unknown, other.value(unknown.value), ": write ", other.inside)


def _write(key: str, place: Loc | None, unknown: _Unknown, value: Any, glue: str, inside: str = "") -> str:
    """The line to write, for a file and for the command line; empty if the value is nothing that can be written."""
    from yaml import YAMLError

    section, _, leaf = key.rpartition(".")
    try:
        dotted = ".".join(map(str, place or (key,)))
        on_line = override(f"{dotted}.{inside}", value[inside]) if inside else override(dotted, value)
        present = _at(unknown.settings, place) if place is not None and inside else None
        line = f"{leaf}: {flow({**present, **value} if isinstance(present, Mapping) else value)}"
        if place is None:
            return f"{glue}`{line}` into the entry of {section} that it is for"
        if unknown.where == COMMAND_LINE:
            return f"{glue}`{on_line}`"
        if place[:-1] == unknown.loc[:-1]:
            in_file = f"`{line}` in " + ("its place" if present is None else f"place of {leaf}")
        elif len(place) == 1:
            in_file = f"`{line}` at the top of the settings"
        else:
            in_file = _group_line(place, unknown, value) or f"`{line}` into {section}"
    except YAMLError:  # objects of Python that YAML has no form for
        return ""
    also = ""
    if unknown.where.endswith(_IN_A_FILE) and _is_on_command_line(unknown, place):
        also = f", or `{on_line}` on the command line"
    return "" if len(in_file) > _MAX_LINE else f"{glue}{in_file}{also}"


def _is_on_command_line(unknown: _Unknown, place: Loc) -> bool:
    """Whether the command line can set what is at a place: every group around it is written out, or not given, or a
    path alone.
    """
    paths = {one.key for one in unknown.every if one.group is not None and short_form(one.group) == "path"}
    for at in range(1, len(place)):
        node = _at(unknown.settings, place[:at])
        if isinstance(place[at], int):
            fits = isinstance(node, (list, tuple))
        else:
            fits = node is None or isinstance(node, Mapping) or (isinstance(node, str) and place[0] in paths)
        if not fits:
            return False
    return True


def _group_line(place: Loc, unknown: _Unknown, value: Any) -> str:
    """The whole group at the top of the settings with one of them changed; empty if it is not to be written out."""
    top = str(place[0])
    present = unknown.settings.get(top)
    if top == "sources" and any(isinstance(one, Mapping) and "rows" in one for one in _entries(present)):
        return ""
    group = next(one.group for one in unknown.every if one.key == top)
    rest = _without(present, unknown.loc[1:]) if unknown.loc[0] == top else present
    changed = _with(rest, place[1:], value, group)
    return f"`{top}: {flow(changed)}`" + (f" in place of {top}" if top in unknown.settings else "")


def _with(node: Any, rest: Loc, value: Any, group: type[BaseModel] | None) -> Any:
    """A group of settings with one changed. A plain value in its place becomes the setting that it is short for."""
    if not rest:
        return value
    if isinstance(rest[0], int):
        entries = _entries(node)
        return [_with(one, rest[1:], value, group) if at == rest[0] else one for at, one in enumerate(entries)]
    short = short_form(group) if group is not None else ""
    given = dict(node) if isinstance(node, Mapping) else {short: node} if short and node is not None else {}
    field = group.model_fields.get(rest[0]) if group is not None else None
    inner = group_of(field.annotation) if field is not None else None
    return {**given, rest[0]: _with(given.get(rest[0]), rest[1:], value, inner)}


def _without(node: Any, rest: Loc) -> Any:
    """Settings without the one at a place."""
    if isinstance(node, (list, tuple)):
        return [_without(one, rest[1:]) if at == rest[0] else one for at, one in enumerate(node)]
    if not isinstance(node, Mapping):
        return node
    if len(rest) == 1:
        return {key: value for key, value in node.items() if key != rest[0]}
    return {key: _without(value, rest[1:]) if key == rest[0] else value for key, value in node.items()}


def _place(key: str, unknown: _Unknown) -> Loc | None:
    """Where a setting belongs, with the numbers of entries: those of the unknown key, or of the only entry. None if
    there is no such entry, or several.
    """
    lists = next(one.lists for one in unknown.every if one.key == key)
    loc = unknown.loc
    place: Loc = ()
    head = ""
    for part in key.split("."):
        head = f"{head}.{part}" if head else part
        place = (*place, part)
        if head in lists:
            number = loc[len(place)] if loc[: len(place)] == place and len(loc) > len(place) else None
            if not isinstance(number, int):
                if len(_entries(_at(unknown.settings, place))) != 1:
                    return None
                number = 0
            place = (*place, number)
    return place


def _at(settings: Any, place: Loc) -> Any:
    """What is given at a place; None if nothing is."""
    for part in place:
        if isinstance(part, int):
            entries = _entries(settings)
            settings = entries[part] if part < len(entries) else None
        else:
            settings = settings.get(part) if isinstance(settings, Mapping) else None
    return settings


def _entries(value: Any) -> list[Any]:
    """The entries of a list of groups, of which one needs no list."""
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]
