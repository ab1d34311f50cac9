"""What the Tab key completes: settings with their values, files, and the names of formats, templates and reasons.

A shell runs the command for every press of the key, so each function imports what it needs, and no more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sftdata.settings.catalog import Setting

_SHOWN = 60  # characters of what a setting is for


def files_and_settings(incomplete: str) -> list[tuple[str, str]]:
    """Files, and settings as `key=` with their values behind it."""
    in_bash = _key_in_bash()
    if in_bash is not None:  # bash cuts the word at =, and completes what is behind it
        return [(value, "") for value in _values(in_bash) if value.startswith(incomplete)]
    key, equals, value = incomplete.partition("=")
    if equals:
        return [(f"{key}={one}", "") for one in _values(key) if one.startswith(value)]
    found = [(name, "") for name in _files(incomplete)]
    settings = [one for one in _settings() if one.on_command_line.startswith(incomplete)]
    found += [(f"{one.on_command_line}=", one.about[:_SHOWN]) for one in settings]
    if len(found) == 1 and settings:  # with a value beside it, so that no shell puts a space behind the =
        found += [(f"{settings[0].on_command_line}={one}", "") for one in _values(settings[0].on_command_line)]
    return found


def files(incomplete: str) -> list[str]:
    """Files and folders."""
    return list(_files(incomplete))


def setting_keys(incomplete: str) -> list[tuple[str, str]]:
    """The keys of settings, and what other tools call them."""
    from sftdata.settings.other_names import PREPARE_NAMES

    found = [(one.key, one.about[:_SHOWN]) for one in _settings(with_groups=True)]
    found += [(name, other.setting) for name, other in PREPARE_NAMES.items() if other.setting]
    return [pair for pair in found if pair[0].startswith(incomplete)]


def formats(incomplete: str) -> list[str]:
    """The formats of rows."""
    return [name for name in _values("sources.0.format") if name.startswith(incomplete)]


def fields(incomplete: str) -> list[str]:
    """The fields that columns are mapped to, behind those that are there already: prompt=question,completion="""
    before, comma, last = incomplete.rpartition(",")
    if "=" in last:
        return []
    from sftdata.cli.discover import FORMATS

    names = dict.fromkeys(name for one in FORMATS.values() for name in one.fields)
    return [f"{before}{comma}{name}=" for name in names if name.startswith(last)]


def reasons(incomplete: str) -> list[tuple[str, str]]:
    """The reasons why a row is dropped."""
    from sftdata.reasons import REASONS

    return [(name, meaning[:_SHOWN]) for name, (_, meaning) in REASONS.items() if name.startswith(incomplete)]


def templates(incomplete: str) -> list[tuple[str, str]]:
    """The built-in templates."""
    from sftdata.encode.template.load import template_names, template_summary

    return [(name, template_summary(name)[:_SHOWN]) for name in template_names() if name.startswith(incomplete)]


def encoders(incomplete: str) -> list[str]:
    """The values of `encoder`."""
    return [name for name in _values("encoder") if name.startswith(incomplete)]


def engines(incomplete: str) -> list[str]:
    """The engines of prepare."""
    return [name for name in ("local", "ray") if name.startswith(incomplete)]


def _settings(with_groups: bool = False) -> Iterator[Setting]:
    from sftdata.config import Config
    from sftdata.settings.catalog import settings_of, short_form

    for one in settings_of(Config):
        if with_groups or one.group is None or short_form(one.group):
            yield one


def _values(key: str) -> list[str]:
    """The values that a setting takes, where they can be listed; else its default."""
    plain = ".".join(part for part in key.split(".") if not part.isdecimal())
    one = next((one for one in _settings(with_groups=True) if one.key == plain), None)
    if one is None:
        return []
    if plain == "template":
        return ["auto", *(name for name, _ in templates(""))]
    return list(one.choices) or ([one.default] if one.default not in ("required", "null", "") else [])


def _files(incomplete: str) -> Iterator[str]:
    """The files and folders whose paths begin so. Hidden ones only if that is asked for."""
    folder, _, start = incomplete.rpartition("/")
    where = Path(folder or ("/" if incomplete.startswith("/") else ".")).expanduser()
    try:
        entries = sorted(os.scandir(where), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(start) and (start.startswith(".") or not entry.name.startswith(".")):
            yield incomplete[: len(incomplete) - len(start)] + entry.name + ("/" if entry.is_dir() else "")


def _key_in_bash() -> str | None:
    """The setting whose value is completed, where the shell is bash, which takes key, = and value for three words."""
    words = os.environ.get("COMP_WORDS", "").split("\n")
    number = os.environ.get("COMP_CWORD", "")
    if not number.isdecimal() or not 1 < int(number) <= len(words):
        return None
    at = int(number)
    if at < len(words) and words[at] == "=":
        return words[at - 1]
    return words[at - 2] if words[at - 1] == "=" else None
