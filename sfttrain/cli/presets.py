"""`sfttrain presets`: the presets, what they set, and where that is from."""

from __future__ import annotations

from sftdata.settings.layout import columns_of_terminal, fold

HELP = """List the presets: what each is for, where it is from, and its settings.

`preset: NAME` in a settings file or `--preset NAME` uses one. Other settings override those of a preset.
"""
EXAMPLES = """
sfttrain presets
sfttrain check shards --model HuggingFaceTB/SmolLM2-135M-Instruct --preset lora
"""


def presets() -> None:
    """Print every preset."""
    import yaml

    from sfttrain.ways.presets import load_preset, preset_names

    width = columns_of_terminal()
    blocks = []
    for name in preset_names():
        preset = load_preset(name)
        lines = [name, *fold(preset.about, width, "  "), *fold(f"source: {preset.source}", width, "  ", "    ")]
        written = yaml.safe_dump(dict(preset.settings), sort_keys=False, default_flow_style=None, width=10_000)
        blocks.append("\n".join([*lines, *(f"    {line}" for line in written.splitlines())]))
    print("\n\n".join(blocks))
