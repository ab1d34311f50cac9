"""The arguments that several commands have: where the settings come from."""

from __future__ import annotations

from typing import Annotated

import typer

Target = Annotated[str, typer.Argument(metavar="CONFIG.yaml|SHARDS", help="a settings file, or a folder of shards")]
KeyValues = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="settings by their dotted names, such as lora.r=8"),
]
Model = Annotated[str | None, typer.Option(metavar="NAME", help="a local folder or a hub id")]
Preset = Annotated[str | None, typer.Option(metavar="NAME", help="see `sfttrain presets`")]


def overrides(settings: list[str] | None, **options: str | None) -> list[str]:
    """Settings as they were given, and behind them the options that were."""
    return [*(settings or ()), *(f"{key}={value}" for key, value in options.items() if value is not None)]
