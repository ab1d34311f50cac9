"""The report of a run as one HTML page, in the frame of the data report: curves, settings, dataset, checks, versions.

The page follows from run.json and metrics.jsonl alone: the same files give the same bytes, wherever they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from sftdata.safe.control_chars import html_safe
from sftdata.view.html.card import boxes_html, name_html
from sftdata.view.report.look import Section, whole_page
from sftdata.view.summary import in_millions, last_part
from sfttrain.report.about import (
    checks_html,
    dataset_html,
    entry,
    settings_html,
    text_in,
    versions_html,
)
from sfttrain.report.curves import curves_html, short, steps_in_words, typical_speed, validation_html
from sfttrain.report.log import Log, number_in
from sfttrain.report.names import Names
from sfttrain.say import duration

MAX_ROWS = 20  # rows by file:line that a page shows of a step whose loss is not finite
ENDS = {
    "running": "is not finished, or was killed",
    "stopped": "was stopped, and can be continued",
    "interrupted": "was interrupted",
    "saving": "was killed while its model was saved, or is saving it",
    "failed": "failed",
}  # how a run ended, where it did not finish


def run_page(summary: Mapping[str, Any], log: Log) -> bytes:
    """The page without its doctype, from the content of run.json and the log of the steps."""
    config = entry(summary, "config")
    names = Names(config)
    title = title_of(summary, names)
    said = "".join(f"<p>{html_safe(text)}</p>" for text in steps_in_words(log, summary))
    sections = [Section("curves", "Curves", said + curves_html(log))]
    if validation := validation_html(log):
        sections.append(Section("validation", "Validation", validation))
    sections += [
        Section("settings", "Settings", settings_html(config, names)),
        Section("dataset", "Dataset", dataset_html(summary)),
        Section("checks", "Checked before the first step", checks_html(summary, names)),
        Section("versions", "Versions and files", versions_html(summary)),
    ]
    return whole_page(title, _head(title, summary, log, names), sections).encode("utf-8", "backslashreplace")


def title_of(summary: Mapping[str, Any], names: Names) -> str:
    """`SmolLM2-135M-Instruct on chats`."""
    config = entry(summary, "config")
    model = names.name(text_in(config, "model")) or "a model"
    dataset = text_in(entry(summary, "dataset"), "name") or last_part(text_in(config, "shards")) or "a dataset"
    return f"{model} on {dataset}"


def _head(title: str, summary: Mapping[str, Any], log: Log, names: Names) -> str:
    chips = "".join(f"<span>{html_safe(text)}</span>" for text in _chips(summary))
    return (
        f'<div class="card">{name_html(title)}<p>{html_safe(_method(summary))}</p><div class="chips">{chips}</div>'
        f"{boxes_html(_tiles(summary, log))}{_end(summary, names)}</div>"
    )


def _method(summary: Mapping[str, Any]) -> str:
    """`LoRA of rank 16: 460,800 of 134,975,808 parameters trained`."""
    config = entry(summary, "config")
    lora = entry(config, "lora")
    kind = f"LoRA of rank {lora.get('r')}" if lora else "Full training"
    if lora.get("dora"):
        kind = f"DoRA of rank {lora.get('r')}"
    elif lora.get("rslora"):
        kind = f"rsLoRA of rank {lora.get('r')}"
    if lora.get("quantize") not in (None, "none"):
        kind = f"Q{kind}"
    trained, every = summary.get("trained_parameters"), summary.get("parameters")
    if isinstance(trained, int) and isinstance(every, int):
        kind += f": {trained:,} of {every:,} parameters trained"
    return kind


def _chips(summary: Mapping[str, Any]) -> Iterator[str]:
    config = entry(summary, "config")
    yield text_in(summary, "status") or "status unknown"
    yield from filter(None, (text_in(summary, name) for name in ("device", "dtype", "attn_implementation")))
    if isinstance(processes := summary.get("world_size"), int) and processes > 1:
        yield f"{processes:,} processes"
    rate = number_in(dict(summary), "learning_rate")
    if math.isfinite(rate):
        yield f"learning rate {rate:g}, {text_in(config, 'schedule')}"
    if isinstance(seed := summary.get("seed"), int):
        yield f"seed {seed}"
    if found := text_in(summary, "dataset_hash"):
        yield f"dataset {found[:12]}"


def _tiles(summary: Mapping[str, Any], log: Log) -> Iterator[tuple[str, str]]:
    """Numbers and what they are; those of the log where run.json does not have them yet."""
    steps = [line["step"] for line in (*log.steps, *log.validations)]
    if steps:
        yield f"{max(steps):,}", "step" if max(steps) == 1 else "steps"
    for name, what in (("tokens", "tokens"), ("trained_tokens", "trained tokens")):
        found = number_in(dict(summary), name)
        number = found if math.isfinite(found) else log.last(name)
        if number is not None:
            yield in_millions(int(number)), what
    for name, what in (("loss", "training loss"), ("validation_loss", "validation loss")):
        values = [value for _, value in log.curve(name) if math.isfinite(value)]
        if values:
            yield (f"{values[-1]:.4f}", f"{what}, {values[0]:.4f} at first" if len(values) > 1 else what)
    seconds = number_in(dict(summary), "seconds")
    if math.isfinite(seconds):
        resumed, speed = summary.get("resumed_from_step"), typical_speed(log)
        about = [f"since step {resumed:,}"] if isinstance(resumed, int) and resumed else []
        about += [f"{short(speed)} tokens/s"] if speed is not None else []
        yield duration(seconds), ", ".join(about) or "in all"


def _end(summary: Mapping[str, Any], names: Names) -> str:
    """A box for a run that did not finish: how it ended, and the rows of a step whose loss was not finite."""
    status = text_in(summary, "status")
    if status == "finished":
        return ""
    said = [f"<b>This run {html_safe(ENDS.get(status, 'does not say how it ended'))}.</b>"]
    if error := text_in(summary, "error"):
        said.append(html_safe(names.text(error)))
    rows = summary.get("rows")
    if isinstance(rows, list) and rows:
        shown = ", ".join(names.text(str(row)) for row in rows[:MAX_ROWS])
        more = f" and {len(rows) - MAX_ROWS:,} more" if len(rows) > MAX_ROWS else ""
        said.append(html_safe(f"Rows of that step: {shown}{more}"))
    return f'<div class="warn">{"<br>".join(said)}</div>'
