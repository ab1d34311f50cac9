"""Settings as text: YAML files, and `dotted.key=value` on the command line."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from sftdata.errors import ConfigError


def read_settings(path: Path, required: str) -> dict[str, Any]:
    """The mapping in a YAML file. Raises ConfigError; `required` says what an empty file lacks."""
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
        raise ConfigError(str(path), "holds no settings", f"start with {required}")
    return settings


def apply_override(settings: dict[str, Any], override: str, path_groups: Collection[str] = ()) -> None:
    """Set `dotted.key=value` in nested settings; the value is read as YAML. Raises ConfigError as `set_nested`, and where the
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
    set_nested(settings, dotted, parsed, override, path_groups)


def set_nested(
    settings: dict[str, Any], dotted: str, value: Any, where: str, path_groups: Collection[str] = ()
) -> None:
    """Set a value in nested settings; numbers index lists.

    `bare` names the groups that may be written as a bare path; they become a group when a key below them is set, and a
    bare path is then the group's. Raises ConfigError, with `where`, where the key runs through a plain value.
    """
    *parents, last = dotted.split(".")
    node: Any = settings
    for part in parents:
        node = _descend(node, part, where, path_groups)
    if isinstance(node, list):
        if not last.isdecimal() or int(last) >= len(node):
            raise ConfigError(where, f"there is no entry {last} in a list of {len(node)}")
        node[int(last)] = value
    elif last in path_groups and isinstance(value, str) and isinstance(node.get(last), dict):
        node[last]["path"] = value  # what else is set of the group stays
    else:
        node[last] = value


def _descend(node: Any, part: str, override: str, path_groups: Collection[str]) -> Any:
    """The settings under `part`, made where defaults."""
    if isinstance(node, list):
        if not part.isdecimal() or int(part) >= len(node):
            raise ConfigError(override, f"there is no entry {part} in a list of {len(node)}")
        if isinstance(node[int(part)], str):
            node[int(part)] = {"path": node[int(part)]}
        if not isinstance(node[int(part)], (dict, list)):
            raise ConfigError(override, f"entry {part} holds a plain value, not settings")
        return node[int(part)]
    child = node.setdefault(part, {})
    if isinstance(child, str) and part in path_groups:
        child = node[part] = {"path": child}
    if not isinstance(child, (dict, list)):
        raise ConfigError(override, f"{part} holds a plain value, not settings")
    return child
