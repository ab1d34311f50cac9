"""Loading a tokenizer before it is certain which one: by the look of the command line.

Loading takes longest of all that comes before the first record is encoded, and a process of its own has nothing else
to do until the settings are checked. What is loaded is known by the text that it was loaded from: a wrong guess costs
its time, and changes nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import date as Date
from pathlib import Path

from sftdata.encode.control import guard_pipeline
from sftdata.encode.encoder import load_ahead
from sftdata.encode.facts import TemplateFacts
from sftdata.encode.templates import load_template
from sftdata.encode.tokenizers import read_plain
from sftdata.light import import_arrow

WANTED = ("tokenizer", "template", "encoder")


def begin(arguments: Sequence[str]) -> None:
    """Begin to load the tokenizer that these arguments seem to name, in a thread, where its files say all of it.

    Meanwhile what encodes will want is imported.
    """
    _load(arguments)
    import_arrow()


def _load(arguments: Sequence[str]) -> None:
    named = dict(_named(arguments))
    folder = Path(named.get("tokenizer", ""))
    if named.get("encoder") == "hf":
        return
    with contextlib.suppress(Exception):  # whatever is wrong is said where it is certain
        files = read_plain(folder) if (folder / "tokenizer.json").is_file() else None
        if files is None:
            return
        template = load_template(
            named.get("template", "auto"),
            own=files.chat_templates,
            special_tokens=files.special_tokens,
            today=Date.today(),  # no template has other control tokens on another day
        )
        load_ahead(guard_pipeline(files, TemplateFacts(template, files).control))


def _named(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The settings wanted, as they stand in a settings file, in `name=value`, and in `--name value`."""
    for argument, following in zip(arguments, [*arguments[1:], ""]):
        name, _, value = argument.removeprefix("--").partition("=")
        if argument.endswith((".yaml", ".yml")) and Path(argument).is_file():
            yield from _named_in(Path(argument))
        elif name in WANTED and (value or argument.startswith("--")):
            yield name, value or following


def _named_in(path: Path) -> Iterator[tuple[str, str]]:
    """The settings wanted in a settings file. Paths in it are relative to it."""
    import yaml

    with contextlib.suppress(yaml.YAMLError, OSError, ValueError):
        settings = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        for name in WANTED:
            value = settings.get(name) if isinstance(settings, dict) else None
            if isinstance(value, str):
                beside = path.parent / value
                yield name, str(beside) if beside.exists() else value
