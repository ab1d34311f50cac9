"""Settings as text that can be pasted: into a settings file, or behind a command."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any


def settings_line(settings: Mapping[str, Any]) -> str:
    """Settings as a line of YAML: {"dedup": {"exact": True}} -> `dedup: {exact: true}`."""
    return ", ".join(f"{key}: {flow(value)}" for key, value in settings.items())


def flow(value: Any) -> str:
    """A value as YAML on one line, which reads back as the same value."""
    import yaml

    class _OneLine(yaml.SafeDumper):
        """Writes texts with line breaks as escaped ones, which stay on one line."""

    def write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        style = None if text.isprintable() else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    _OneLine.add_representer(str, write_text)
    text = yaml.dump(
        _plain(value),
        Dumper=_OneLine,
        default_flow_style=True,
        sort_keys=False,
        width=float("inf"),
        allow_unicode=_is_printable(value),
    )
    return text.removesuffix("\n").removesuffix("\n...")


def override(dotted: str, value: Any) -> str:
    """A setting for the command line, quoted for a shell: `'sources.0.columns={prompt: q}'`."""
    text = flow(value)
    if "'" in text and _is_printable(value):
        text = json.dumps(value, ensure_ascii=False)  # is YAML too, and its quotation marks need none around them
    return shlex.quote(f"{dotted}={text}")


def _plain(value: Any) -> Any:
    """The value with mappings and sequences that YAML knows."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _is_printable(value: Any) -> bool:
    """Whether every text in a value can be shown as it is; control and format characters are escaped."""
    if isinstance(value, Mapping):
        return all(map(_is_printable, [*value, *value.values()]))
    if isinstance(value, (list, tuple)):
        return all(map(_is_printable, value))
    return not isinstance(value, str) or value.isprintable()
