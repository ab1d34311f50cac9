"""The curves of a run, and the figures of its validations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from sftdata.errors import pluralize
from sftdata.safe.control_chars import html_safe
from sftdata.view.html.card import part_html
from sftdata.view.html.charts import line_chart
from sftdata.view.html.tables import Cell, number_cell, paged_table
from sfttrain.report.log import Curve, Log, number_in

DOTTED = 40  # points of a curve, up to which each has a dot
SMOOTHED_FROM, SMOOTHED_OVER = 40, 20  # points of a curve from which its trend is drawn too; stretches of a trend

_FIGURES = {"loss": "{:.4f}", "accuracy": "{:.1%}", "perplexity": "{:,.2f}", "bits_per_byte": "{:.3f}"}


def curves_html(log: Log) -> str:
    """A chart for each figure that the log has, one or two beside each other."""
    boxes = []
    training, validation = log.curve("loss"), log.curve("validation_loss")
    series: dict[str, Curve] = {"training, each step": training} if training else {}
    is_long = len(training) >= SMOOTHED_FROM
    if is_long:
        series["training, trend"] = trend(training)
    if validation:
        series["validation"] = validation
    if series:
        boxes.append(
            _box("Training and validation loss" if validation else "Training loss", series, faint=int(is_long))
        )
    found = {"Validation loss": validation, "Validation bits per byte": log.validation_curve("bits_per_byte")}
    found["Validation accuracy, %"] = [(step, 100 * value) for step, value in log.validation_curve("accuracy")]
    boxes += [_box(title, {"": points}, ends=True) for title, points in found.items() if len(points) > 1]
    for name, title in (("learning_rate", "Learning rate"), ("grad_norm", "Gradient norm")):
        if points := log.curve(name):
            boxes.append(_box(title, {"": points}))
    speeds = {"all tokens": log.curve("tokens_per_second"), "trained tokens": log.curve("trained_tokens_per_second")}
    if speeds := {name: found for name, found in speeds.items() if found}:
        boxes.append(_box("Tokens per second", speeds))
    if not boxes:
        return ""
    return f'<div class="card"><div class="charts">{"".join(boxes)}</div></div>'


def _box(title: str, series: Mapping[str, Curve], *, ends: bool = False, faint: int = 0) -> str:
    """A chart below its title; with `ends`, of one curve, its first and last value are in the title."""
    about = ""
    if ends:
        values = [y for _, y in next(iter(series.values())) if math.isfinite(y)]
        if len(values) > 1:
            about = f" {short(values[0])} \u2192 {short(values[-1])}"
    dots = all(len(points) <= DOTTED for points in series.values())
    chart = line_chart(series, title=title, x_name="step", dots=dots, faint=faint)
    return f"<div>{part_html(title, about)}{chart}</div>"


def trend(points: Curve) -> Curve:
    """The medians of about SMOOTHED_OVER stretches, each at the middle of its steps: what single steps hide."""
    found = []
    for number in range(SMOOTHED_OVER):
        stretch = points[len(points) * number // SMOOTHED_OVER : len(points) * (number + 1) // SMOOTHED_OVER]
        values = [y for _, y in stretch if math.isfinite(y)]
        if values:
            found.append((median(x for x, _ in stretch), median(values)))
    return found


def validation_html(log: Log) -> str:
    """The figures of the first and the last validation, overall, by source and by turn."""
    figures = [one["validation"] for one in log.validations if isinstance(one.get("validation"), dict)]
    if not figures:
        return ""
    first, last = figures[0], figures[-1]
    rows = [_row("all", "", first, last)]
    for group, kind in (("sources", "source"), ("turns", "turn")):
        some = [one.get(group) if isinstance(one.get(group), dict) else {} for one in (first, last)]
        names = [name for name, found in some[1].items() if isinstance(found, dict)]
        rows += [_row(name, kind, _entry(some[0], name), some[1][name]) for name in names if len(names) > 1]
    head = ("trained tokens of", "", "loss", "accuracy", "perplexity", "bits per byte", "tokens")
    table = paged_table(head, rows, total=len(rows), noun="row", page_rows=30)
    steps = [one["step"] for one in log.validations if isinstance(one.get("validation"), dict)]
    said = f"Before \u2192 after: at step {steps[0]:,} and at step {steps[-1]:,}." if len(figures) > 1 else ""
    return f"{f'<p>{html_safe(said)}</p>' if said else ''}{table}"


def _entry(group: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = group.get(name)
    return found if isinstance(found, dict) else {}


def _row(name: str, kind: str, first: dict[str, Any], last: dict[str, Any]) -> list[Cell]:
    cells = [
        Cell(_change(number_in(first, figure), number_in(last, figure), form), number_in(last, figure))
        for figure, form in _FIGURES.items()
    ]
    tokens = number_in(last, "tokens")
    return [Cell(name), Cell(kind), *cells, number_cell(int(tokens) if math.isfinite(tokens) else None)]


def _change(first: float, last: float, form: str) -> str:
    """`1.2345 \u2192 0.9876`, or one number where there is only one or both are the same."""
    texts = dict.fromkeys(form.format(one) if abs(one) < 1e6 else f"{one:.2e}" for one in (first, last) if one == one)
    return " \u2192 ".join(texts) or "-"


def short(number: float) -> str:
    """`1,234`, `2.345`, `2e-05`: four digits."""
    return f"{number:,.0f}" if abs(number) >= 1_000 else f"{number:.4g}"


def typical_speed(log: Log, name: str = "tokens_per_second") -> float | None:
    """The median of a speed over all steps; None where no speed is known."""
    values = [value for _, value in log.curve(name) if math.isfinite(value)]
    return median(values) if values else None


def steps_in_words(log: Log, summary: Mapping[str, Any]) -> Iterator[str]:
    """What is said above the curves."""
    if log.problem:
        yield f"{log.problem[0].upper()}{log.problem[1:]}."
    lowest = min(((y, x) for x, y in log.curve("validation_loss") if math.isfinite(y)), default=None)
    if lowest is not None and len(log.validations) > 1:
        yield f"Lowest validation loss: {lowest[0]:.4f}, after {pluralize(int(lowest[1]), 'step')}."
    if isinstance(step := summary.get("resumed_from_step"), int) and step:
        yield f"The run was continued after step {step:,}."
