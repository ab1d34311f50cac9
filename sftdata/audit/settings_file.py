"""Settings files that are written for people: in blocks, with comments, and with paths relative to their own folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sftdata.config import Config, is_hub_id
from sftdata.errors import ConfigError
from sftdata.safe.addresses import written_address
from sftdata.settings.layout import fold
from sftdata.settings.yaml_line import flow, settings_line
from sftdata.settings.yaml_text import parse_yaml

DEFAULT_OUT = "shards"
_COLUMNS = 80  # of comments
_TOKENIZER = """\
# tokenizer: HuggingFaceTB/SmolLM2-135M-Instruct   # required; or --tokenizer NAME"""
_SECRETS = "Addresses are written without passwords and tokens; they have to come from the environment."


def check_new(path: Path, *, overwrite: bool) -> None:
    """Raise ConfigError if a file exists and is not to be replaced, or if its name is not that of a settings file."""
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError(str(path), "is not the name of a settings file", "give one that ends in .yaml")
    if os.path.lexists(path) and not overwrite:
        raise ConfigError(str(path), "exists", "add --overwrite to replace it, or name another file")


def write_new(path: Path, text: str, *, overwrite: bool) -> None:
    """Write a settings file, whole or not at all. Raises ConfigError as `check_new` does, and if that fails."""
    check_new(path, overwrite=overwrite)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with open(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except OSError as error:
        raise ConfigError(
            str(path), f"cannot be written ({error.strerror})", "name a file in another folder"
        ) from error


def recommended_file(config: Config, settings: str, folder: Path, head: str) -> str:
    """The settings that an audit of `config` suggests, or its own where there are none, for a file in `folder`. `head`
    says where they are from.
    """
    comments: dict[str, str] = {}
    found: dict[str, Any] = {}
    above = ""
    for line in (settings or config.to_yaml()).splitlines():
        if line.startswith("#"):
            above = line
        elif not line.startswith(" "):
            comments[line.partition(":")[0]] = above
            above = ""
    found.update(parse_yaml(settings or config.to_yaml()) or {})
    if not config.out.path:
        found.pop("out", None)
    own = {file.path for file in config.decontaminate.against}
    here, base = Path.cwd(), config.resolve_path("")
    for entry in found.get("decontaminate", {}).get("against", ()):
        path = Path(entry.get("path", ""))
        if (
            entry.get("path") not in own and path.is_absolute() and path.is_relative_to(here)
        ):  # given to the audit alone
            entry["path"] = os.path.relpath(path, base)
    found = relocated(found, Path(config.resolve_path("")), folder)
    return settings_text(found, {**comments, "": head_of(config, head)}, {})


def head_of(config: Config, head: str) -> str:
    """What a file says first; where an address in the config has a password, also that it is left out."""
    has_secrets = any(written_address(source.path) != source.path for source in config.sources)
    return f"{head} {_SECRETS}" if has_secrets else head


def relocated(settings: Mapping[str, Any], old: Path, new: Path) -> dict[str, Any]:
    """Settings whose paths are relative to one folder, with paths relative to another."""
    moved = dict(settings)

    def move(path: str, *, only_if_there: bool = False) -> str:
        is_fixed = "://" in path or path.startswith("~") or Path(path).is_absolute()
        if is_fixed or ((only_if_there or is_hub_id(path)) and not (old / path).exists()):
            return path
        return Path(os.path.relpath(old / path, new)).as_posix()

    def entries(value: Any) -> Any:
        return [{**one, "path": move(one["path"])} if isinstance(one, Mapping) else move(one) for one in value]

    for name in ("tokenizer", "template"):
        if isinstance(moved.get(name), str):
            moved[name] = move(moved[name], only_if_there=True)
    if "sources" in moved:
        moved["sources"] = entries(moved["sources"])
    if (out := moved.get("out")) is not None:
        moved["out"] = {**out, "path": move(out["path"])} if isinstance(out, Mapping) else move(out)
    if (against := (moved.get("decontaminate") or {}).get("against")) is not None:
        moved["decontaminate"] = {**moved["decontaminate"], "against": entries(against)}
    if (semantic := (moved.get("dedup") or {}).get("semantic")) is not None:
        moved["dedup"] = {**moved["dedup"], "semantic": {**semantic, "model": move(semantic["model"])}}
    return moved


def settings_text(
    settings: Mapping[str, Any], comments: Mapping[str, str], of_sources: Mapping[int, Sequence[str]]
) -> str:
    """Settings as a file, with a comment above a group of settings (the text of "" is above everything) and above
    each source. What is required and missing is there as a comment, but for the folder that is written.
    """
    lines = fold(comments.get("", ""), _COLUMNS, "# ", "# ")
    lines.append("" if settings.get("tokenizer") else _TOKENIZER)
    others = {group: value for group, value in settings.items() if group != "out"}
    for group, value in {**others, "out": settings.get("out") or DEFAULT_OUT}.items():
        if group == "tokenizer" and not value:
            continue
        lines.append(comments.get(group, ""))
        if isinstance(value, Mapping) and value.keys() == {"path"}:
            value = value["path"]
        if group != "sources":
            lines.append(settings_line({group: value}))
            continue
        lines.append("sources:")
        for number, source in enumerate(value):
            lines += [line for one in of_sources.get(number, ()) for line in fold(one, _COLUMNS, "  # ", "  # ")]
            pairs = list(source.items()) if isinstance(source, Mapping) else [("path", source)]
            lines += [f"  {'- ' if at == 0 else '  '}{name}: {flow(one)}" for at, (name, one) in enumerate(pairs)]
    return "".join(f"{line}\n" for line in lines if line)


def _umask() -> int:
    """The permissions that new files do not get."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
