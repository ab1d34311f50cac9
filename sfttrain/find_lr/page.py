"""A sweep as one HTML page, in the frame of the data report. Nothing in it depends on the time or on the machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sftdata.errors import pluralize
from sftdata.safe.control_chars import html_safe
from sftdata.view.html.card import boxes_html, name_html, part_html
from sftdata.view.html.charts import Mark, line_chart
from sftdata.view.html.tables import table_html
from sftdata.view.report.look import Section, whole_page
from sfttrain.find_lr.shown import lengths_of, recommendation_lines, table_of, trials_of
from sfttrain.find_lr.sweep import Sweep
from sfttrain.report.mark import FIND_LR, with_mark


def sweep_page(sweep: Sweep) -> bytes:
    """The page, with its head."""
    config = sweep.start.config
    title = f"Learning rate for {shown_name(config.model)} on {shown_name(config.shards)}"
    sections = [
        Section("losses", "Losses", _losses(sweep)),
        Section("sweep", "How it was found", _about(sweep)),
    ]
    page = whole_page(title, _head(title, sweep), sections)
    return with_mark(FIND_LR, page.encode("utf-8", "backslashreplace"))


def shown_name(name: str) -> str:
    """A hub id, or the name of a folder without the path to it."""
    path = Path(name)
    return path.resolve().name if path.is_dir() else name


def _head(title: str, sweep: Sweep) -> str:
    """The rate with the setting to paste, and why."""
    found = sweep.recommendation
    assert found is not None, "a sweep that found a rate"
    tiles = (
        (f"{found.rate:g}", "recommended learning rate"),
        (pluralize(sweep.steps, "step"), f"in {pluralize(len(sweep.last) + len(sweep.earlier), 'run')}"),
        (f"{sweep.start.start_loss:.4f}", "validation loss at the start"),
        (f"{_lowest(sweep):.4f}", f"the lowest, after {pluralize(sweep.start.plan.last_steps, 'step')}"),
    )
    said = "".join(f"<p>{html_safe(f'{word.capitalize()}: {text}')}.</p>" for word, text in recommendation_lines(sweep))
    paste = f"<p>To paste: <code class=set>learning_rate={found.rate:g}</code></p>"
    edge = " class=warn" if found.edge else ""
    return f'<div class="card">{name_html(title)}{boxes_html(tiles)}<div{edge}>{said}</div>{paste}</div>'


def _lowest(sweep: Sweep) -> float:
    return min(one.loss for one in sweep.last if one.loss is not None and not one.is_out)


def _losses(sweep: Sweep) -> str:
    """The losses over rates, a line for each round, and over steps, and the table, which alone has what diverged."""
    series = {
        pluralize(steps, "step"): [
            (rate, trials[steps].loss or 0.0)
            for rate, trials in trials_of(sweep).items()
            if steps in trials and not trials[steps].is_out
        ]
        for steps in reversed(lengths_of(sweep))
    }
    found = sweep.recommendation
    marks = [Mark(found.rate, f"{found.rate:g}")] if found is not None else []
    chart = line_chart(
        series,
        title="Validation loss by learning rate",
        x_name="learning rate",
        y_name="validation loss",
        log_x=True,
        marks=marks,
        dots=True,
    )
    both = f"<div>{part_html('By learning rate')}{chart}</div><div>{part_html('By step')}{_curves(sweep)}</div>"
    return f"<div class=charts>{both}</div>{table_html(table_of(sweep))}"


def _curves(sweep: Sweep) -> str:
    """The training losses of the rates that were trained longest."""
    longest = sorted((one for one in sweep.last if one.curve), key=lambda one: one.rate)
    series = {f"{one.rate:g}": _points(one.curve) for one in longest}
    return line_chart(series, title="Training loss by step", x_name="step", y_name="training loss")


def _points(losses: Sequence[float]) -> list[tuple[float, float]]:
    return [(float(step), loss) for step, loss in enumerate(losses, start=1)]


def _about(sweep: Sweep) -> str:
    start = sweep.start
    rounds = ", then ".join(f"{one.rates} rates for {pluralize(one.steps, 'step')}" for one in start.plan.rounds)
    facts = (
        f"Rates around {start.centre.in_words}.",
        f"Rounds: {rounds} (successive halving, arXiv 1502.07943). Each run begins at the same weights, sees the same "
        f"sequences in the same order, and has the whole schedule ({start.config.schedule}, warmup "
        f"{start.config.warmup:g}).",
        f"{start.shards.in_words[:1].upper()}{start.shards.in_words[1:]}.",
        f"A step trains {pluralize(start.batches.rows_per_step, 'sequence')}, about "
        f"{pluralize(start.batches.tokens_per_step, 'token')}; the run that the rate is for has "
        f"{pluralize(start.run_steps, 'step')}.",
        f"Dataset {start.shards.manifest.dataset_hash[:12]}, seed {start.config.seed}.",
    )
    return f"<ul>{''.join(f'<li>{html_safe(fact)}</li>' for fact in facts)}</ul>"
