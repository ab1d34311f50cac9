"""Settings as text: YAML files, and `dotted.key=value` on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sftdata.errors import ConfigError
from sftdata.settings.yaml_text import parse_yaml, yaml_fault, yaml_problem


def read_settings(path: Path, required: str) -> dict[str, Any]:
    """Read a YAML file that must be a mapping. Raises ConfigError; `required` names what an empty file is missing."""
    import yaml

    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        settings = parse_yaml(text)
    except OSError as error:
        raise ConfigError(str(path), error.strerror or str(error), "give the path of a YAML file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), "is not UTF-8 text", "give the path of a YAML file") from error
    except yaml.YAMLError as error:
        line, what, hint = yaml_fault(error, text)
        raise ConfigError(str(path) if line is None else f"{path}:{line}", what, hint) from error
    except (ValueError, RecursionError) as error:  # a date that does not exist, or lists a thousand deep
        raise ConfigError(str(path), f"has a value that cannot be read ({error})", "fix the file") from error
    if not isinstance(settings, dict):
        raise ConfigError(str(path), "contains no settings", f"start with {required}")
    return settings


def apply_override(settings: dict[str, Any], override: str, short_groups: Mapping[str, str] = {}) -> None:
    """Apply `dotted.key=value` to nested settings; the value is parsed as YAML.

    Raises ConfigError if the text is not an assignment, and as `set_nested` does.
    """
    import yaml

    dotted, equals, value = override.partition("=")
    if not equals or not dotted:
        raise ConfigError(override, "is neither a file nor a setting", "write settings as dotted.key=value")
    try:
        parsed = parse_yaml(value)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a ValueError for a date that does not exist
        what = yaml_problem(error) if isinstance(error, yaml.constructor.ConstructorError) else "the value is not YAML"
        raise ConfigError(override, what, "quote it") from error
    set_nested(settings, dotted, parsed, override, short_groups)


def set_nested(
    settings: dict[str, Any], dotted: str, value: Any, where: str, short_groups: Mapping[str, str] = {}
) -> None:
    """Set a value in nested settings by its dotted key; numbers index lists.

    In `short_groups`, a plain value is short for the group with this one setting (`out: shards` for {path: shards}):
    setting another one keeps it, and setting a path keeps the others. Raises ConfigError(where) if the key leads
    through another plain value.
    """
    *parents, last = dotted.split(".")
    node: Any = settings
    for part in parents:
        node = _descend(node, part, where, short_groups)
    if isinstance(node, list):
        node[_index(node, last, where)] = value
    elif short_groups.get(last) == "path" and isinstance(value, str) and isinstance(node.get(last), dict):
        node[last]["path"] = value  # keeps the other keys of the group
    else:
        node[last] = value


def _descend(node: Any, part: str, where: str, short_groups: Mapping[str, str]) -> Any:
    """The settings under `part`, created if missing."""
    if isinstance(node, list):
        at = _index(node, part, where)
        if isinstance(node[at], str):
            node[at] = {"path": node[at]}
        if not isinstance(node[at], (dict, list)):
            raise ConfigError(where, f"entry {part} is a plain value, not a group of settings")
        return node[at]
    child = node.setdefault(part, {})
    if part in short_groups and (isinstance(child, str) or child is False):  # YAML reads `off` as false
        child = node[part] = {short_groups[part]: child or "off"}
    if not isinstance(child, (dict, list)):
        raise ConfigError(where, f"{part} is a plain value, not a group of settings")
    return child


def _index(entries: list[Any], part: str, where: str) -> int:
    """`part` as the index of an entry. Raises ConfigError if there is no such entry."""
    if not part.isdecimal() or int(part) >= len(entries):
        raise ConfigError(where, f"there is no entry {part} in a list of length {len(entries)}")
    return int(part)
