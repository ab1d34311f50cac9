"""Presets: settings under a name, from files in sfttrain/presets, each with its source. Explicit settings win."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "presets"


@dataclass(frozen=True, slots=True)
class Preset:
    """A preset as its file has it."""

    name: str
    about: str
    source: str
    settings: Mapping[str, Any]


@cache
def preset_names() -> tuple[str, ...]:
    """The names of the presets."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@cache
def load_preset(name: str) -> Preset:
    """A preset by its name, which must be one of `preset_names`."""
    import yaml

    content = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return Preset(name, content["about"], content["source"], MappingProxyType(content["settings"]))


def with_preset(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings given, and those of the preset that they name where they say nothing else.

    An unknown name changes nothing here: checking the settings reports it.
    """
    name = given.get("preset")
    if not isinstance(name, str) or name not in preset_names():
        return dict(given)
    preset = dict(load_preset(name).settings)
    if given.get("max_steps") is not None:
        preset.pop("epochs", None)  # one of the two says how long a run is
    if given.get("schedule", "cosine") != "cosine":
        preset.pop("final_rate", None)  # where a cosine ends
    return _under(preset, given)


def _under(preset: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Both settings as one; what is given wins, also within groups."""
    merged = {**preset, **given}
    for key, base in preset.items():
        chosen = given.get(key)
        if isinstance(base, Mapping):
            if isinstance(chosen, Mapping):
                merged[key] = _under(base, chosen)
            elif chosen is True:  # `lora: true`, the group as it is by default
                merged[key] = dict(base)
    return merged
