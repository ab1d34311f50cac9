"""The model card: README.md, metadata as YAML and then Markdown, in which every text of a run stays text.

It names no folder of the machine: of a path, its last part alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from sftdata.errors import pluralize
from sftdata.store.manifest import Manifest
from sftdata.view.report.markdown.text import block, cell, code, sentence, table
from sfttrain.export.source import Source

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_PLACES = ("shards", "out", "resume")  # settings that say where something is, and nothing of the model
_IN_ORDER = ("read", "format", "validate", "filter", "privacy", "dedup", "decontaminate", "encode", "pack", "mixture")
_STEPS = {name: at for at, name in enumerate(_IN_ORDER)}


@dataclass(frozen=True, slots=True)
class Exported:
    """What the card says of the folder that it is in."""

    name: str
    is_adapter: bool
    dtype: str | None  # of merged weights
    ends: Sequence[tuple[int, str]]  # ids and texts of the stop tokens
    gguf: str | None = None  # the name of the file
    prompt_note: str | None = None  # where the template's default is another prompt than the one that was trained


def model_card(source: Source, exported: Exported) -> str:
    """The card of an exported run. The same run gives the same text."""
    parts = [
        *_head(source, exported),
        *_use(source, exported),
        *_data(source),
        *_losses(source.summary),
        *_stops(source, exported),
        *_settings(source),
        *_versions(source.summary),
    ]
    body = "\n".join(part if part.endswith("\n") else f"{part}\n" for part in parts)
    return f"---\n{_metadata(source, exported)}---\n\n{body}"


def base_name(model: str) -> str:
    """A hub id as it is, of a folder its last part."""
    is_id = _HUB_ID.fullmatch(model) and not model.startswith(".") and not Path(model).exists()
    return model if is_id else without_folder(model) or "a local model"


def without_folder(text: str) -> str:
    """The last part of a path of any system."""
    return PureWindowsPath(text).name


def _metadata(source: Source, exported: Exported) -> str:
    """The YAML of the card, as the Hub reads it."""
    import yaml

    base = base_name(source.config.model)
    fields: dict[str, Any] = {"base_model": base} if _HUB_ID.fullmatch(base) else {}
    if fields:
        fields["base_model_relation"] = "adapter" if exported.is_adapter else "finetune"
    fields |= {"library_name": "peft" if exported.is_adapter else "transformers", "pipeline_tag": "text-generation"}
    fields["tags"] = ["sft", *(["lora"] if source.config.lora is not None else []), "sfttrain"]
    text: str = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)
    return text


def _head(source: Source, exported: Exported) -> Iterator[str]:
    summary, lora = source.summary, source.config.lora
    yield f"# {sentence(exported.name)}"
    way = "all weights were trained" if lora is None else f"a LoRA adapter of rank {lora.r} was trained"
    merged = " and merged into it" if lora is not None and not exported.is_adapter else ""
    dtype = f", in {exported.dtype}" if exported.dtype else ""
    steps = pluralize(int(summary.get("steps", 0)), "step")
    tokens = f"{summary.get('trained_tokens', 0):,} of {pluralize(int(summary.get('tokens', 0)), 'token')} with loss"
    yield f"Of {code(base_name(source.config.model))}, {way}{merged}{dtype}: {steps}, {tokens}."


def _use(source: Source, exported: Exported) -> Iterator[str]:
    yield "## How to use it"
    load = (
        'from transformers import pipeline\n\nchat = pipeline("text-generation", "FOLDER")\n'
        'messages = [{"role": "user", "content": "Hello"}]\n'
        'print(chat(messages)[0]["generated_text"][-1]["content"])'
    )
    yield "`FOLDER` is this folder, or its id on the Hub."
    yield block(load, "python")
    if exported.gguf is not None:
        yield f"{code(exported.gguf)} is the same model for llama.cpp, with its tokenizer and template."


def _data(source: Source) -> Iterator[str]:
    yield "## Data"
    yield f"The dataset has the hash {code(source.dataset_hash)}."
    if source.shards is None:
        yield "It was not there when this was exported, so nothing else is said of it."
        return
    manifest = source.shards.manifest
    rows = [
        [sentence(name), f"{one.samples:,}", f"{one.tokens:,}", f"{one.trained_tokens:,}"]
        for name, one in manifest.splits.items()
    ]
    yield table(("split", "samples", "tokens", "trained"), rows, {1, 2, 3})
    yield from _funnel(manifest)


def _funnel(manifest: Manifest) -> Iterator[str]:
    """From rows read to rows packed."""
    counts = manifest.counts
    if not counts.rows_read:
        return
    rows = [["rows read", "", f"{counts.rows_read:,}"]]
    for stage in sorted(counts.dropped, key=lambda name: (_STEPS.get(name, len(_STEPS)), name)):
        rows += [[sentence(stage), cell(reason), f"-{number:,}"] for reason, number in counts.dropped[stage].items()]
    rows.append(["packed", "", f"{counts.packed:,}"])
    yield table(("step", "reason", "rows"), rows, {2})
    if counts.num_dropped:
        yield "`sftdata reasons REASON` explains a reason."


def _losses(summary: Mapping[str, Any]) -> Iterator[str]:
    losses = summary.get("losses") or {}
    rows = [
        [kind, *(_figure(losses.get(f"{key}_{when}")) for when in ("first", "last"))]
        for kind, key in (("training", "train"), ("validation", "validation"))
        if losses.get(f"{key}_last") is not None
    ]
    if rows:
        yield "## Losses"
        yield table(("loss", "first", "last"), rows, {1, 2})


def _figure(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, (int, float)) else "-"


def _stops(source: Source, exported: Exported) -> Iterator[str]:
    yield "## Template and stop tokens"
    template = source.shards.manifest.template if source.shards is not None else None
    if template is not None:
        named = "the tokenizer's own" if template.source == "auto" else code(without_folder(template.source))
        yield f"The chat template is {named}, with the sha256 {code(template.sha256)}."
    if exported.prompt_note is not None:
        yield f"Note: {sentence(exported.prompt_note)}."
    if exported.ends:
        listed = ", ".join(f"{code(text)} ({id_})" for id_, text in exported.ends)
        yield f"Answers end in {listed}: the stop tokens of `generation_config.json`."


def _settings(source: Source) -> Iterator[str]:
    import yaml

    yield "## Settings"
    given = source.config.model_dump(mode="json", exclude_defaults=True)
    kept = {key: _without_places(value) for key, value in given.items() if key not in _PLACES}
    kept["model"] = base_name(source.config.model)
    if rate := source.summary.get("learning_rate"):
        kept["learning_rate"] = rate
    yield "Those of `sfttrain run` that differ from the defaults:"
    yield block(yaml.safe_dump(kept, sort_keys=False, allow_unicode=True).rstrip("\n"), "yaml")


def _without_places(value: Any) -> Any:
    """A setting in which of every path that begins at a root its last part is left."""
    if isinstance(value, Mapping):
        return {key: _without_places(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_places(inner) for inner in value]
    if not isinstance(value, str):
        return value
    path = PureWindowsPath(value)
    return path.name if path.root or path.drive or value.startswith("~") else value


def _versions(summary: Mapping[str, Any]) -> Iterator[str]:
    yield "## Versions"
    versions: Mapping[str, Any] = summary.get("versions") or {}
    rows = [[cell(name), cell(str(version))] for name, version in versions.items()]
    yield table(("package", "version"), rows)
