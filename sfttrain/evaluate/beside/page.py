"""Figures and answers before and after training as one HTML page, in the frame of the data report.

Nothing in it depends on the time or on the machine: the same models on the same shards give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from sftdata.errors import OutputError, pluralize
from sftdata.files.atomic import write_bytes
from sftdata.files.report_files import check_place, is_there
from sftdata.safe.control_chars import html_safe
from sftdata.view.find.turns import SampleMessage
from sftdata.view.html.card import boxes_html, name_html
from sftdata.view.html.messages import message_chat, messages_chat
from sftdata.view.html.tables import table_html
from sftdata.view.layout import shortened
from sftdata.view.report.look import Section, whole_page
from sfttrain.evaluate.beside.result import ARROW, Answer, Comparison, Judged
from sfttrain.report.mark import EVAL, check_own, with_mark

PAGE = "eval.html"
MAX_SHOWN = 200  # prompts with their answers
MAX_TILE = 24  # characters of the name of a check in a box
BEFORE, AFTER = "before", "after"
_ARROW = " → "


def check_target(path: Path, models: Sequence[str], shards: str | Path, *, overwrite: bool = False) -> None:
    """Raise OutputError where the page must not be written: in the dataset, over a file in the folder of a model, or
    what is no page of this command as it was written, unless `overwrite` is set.
    """
    own, place = Path(shards).resolve(), path.parent.resolve()
    if own == place or own in place.parents:
        raise OutputError(str(path), "lies in the folder of the dataset", "choose another --out")
    for folder in filter(Path.is_dir, map(Path, models)):
        check_place(path, folder, PAGE, f"a model, which has {PAGE} for it")
    if is_there(path, PAGE) and not overwrite:
        check_own(path, EVAL, "choose another --out, or give --overwrite")


def write_page(comparison: Comparison, path: Path) -> None:
    """Write the page, where `check_target` allows it. Raises OutputError."""
    write_bytes(path, page(comparison))


def page(comparison: Comparison) -> bytes:
    """The page, with its head."""
    after = comparison.models[-1]
    title = f"{after.name} on {comparison.shards}"
    if len(comparison.models) == 2:
        title = f"{after.name} against {comparison.models[0].name} on {comparison.shards}"
    sections = [Section("figures", "Figures", _figures(comparison))]
    if after.answers:
        sections.append(Section("answers", "Answers", _answers(comparison)))
    sections.append(Section("about", "How it was measured", _about(comparison)))
    whole = whole_page(title, _head(title, comparison), sections)
    return with_mark(EVAL, whole.encode("utf-8", "backslashreplace"))


def _head(title: str, comparison: Comparison) -> str:
    """The main figures, and which bars are missed."""
    models = comparison.models
    tiles = [
        (_from_to(models, lambda one: f"{one.figures['loss']:.3f}"), f"loss on the {comparison.split} split"),
        (_from_to(models, lambda one: f"{one.figures['accuracy']:.0%}"), "tokens right"),
    ]
    if models[-1].figures["bits_per_byte"] is not None:
        tiles.append((_from_to(models, lambda one: f"{one.figures['bits_per_byte']:.3f}"), "bits per byte"))
    for at, tally in enumerate(models[-1].tallies):
        name = shortened(tally.name, MAX_TILE)
        tiles.append((_ARROW.join(f"{one.tallies[at].share:.0%}" for one in models), f"pass {name}"))
    missed = "".join(f"<div class=warn><p>Missed: {html_safe(one.in_words)}.</p></div>" for one in comparison.missed)
    return f'<div class="card">{name_html(title)}{boxes_html(tiles)}{missed}</div>'


def _from_to(models: tuple[Judged, ...], figure: Callable[[Judged], str]) -> str:
    """`0.31 → 0.82`, or one figure."""
    return _ARROW.join(figure(one) for one in models)


def _figures(comparison: Comparison) -> str:
    """The tables that a terminal shows, whose figures may break behind the arrow on a phone."""
    shown = []
    for table in comparison.tables():
        rows = ((name, *(one.replace(ARROW, _ARROW) for one in cells)) for name, *cells in table.rows)
        shown.append(table_html(replace(table, rows=tuple(rows))))
    return f"<div class=wraps>{''.join(shown)}</div>{_notes()}"


def _notes() -> str:
    text = (
        "Loss: mean negative log-likelihood of a trained token, in nats. Accuracy: trained tokens that are the model's "
        "most likely one. Bits per byte: the loss of all trained tokens in bits over the bytes of their text in UTF-8; "
        "special tokens and ends of turns count no bytes. A turn is a run of trained tokens, an answer as a rule."
    )
    return f'<p class="dim">{html_safe(text)}</p>'


def _answers(comparison: Comparison) -> str:
    """Each prompt with the answers of both models side by side, and the answer in the row."""
    number = len(comparison.models[-1].answers)
    parts = [_answered(comparison, at) for at in range(min(number, MAX_SHOWN))]
    if number > MAX_SHOWN:
        left = pluralize(number - MAX_SHOWN, "more prompt")
        parts.append(f'<p class="dim">and {left}, which `--json` has</p>')
    return f"<p>Answers to {pluralize(number, 'prompt')}.</p>{''.join(parts)}"


def _answered(comparison: Comparison, at: int) -> str:
    found = [one.answers[at] for one in comparison.models]
    last = found[-1]
    prompt = messages_chat([SampleMessage(role, text, False) for role, text in last.messages])
    texts = _text(last)
    if len(found) == 2:
        sides = (f"<div><b>{name}</b>{_text(one)}</div>" for name, one in zip((BEFORE, AFTER), found, strict=True))
        texts = f'<div class="pair">{"".join(sides)}</div>'
    reference = ""
    if last.reference is not None:
        reference = f"<p><b>in the row</b></p>{message_chat('assistant', last.reference)}"
    outcomes = "".join(_outcomes(found, name) for name in last.checks)
    head = f"<p><b>{html_safe(last.where)}</b></p>"
    return f'<div class="eg">{head}{prompt}<div class="whole">{texts}</div>{reference}{outcomes}</div>'


def _text(answer: Answer) -> str:
    """An answer, whole: two of them have little in common that could be marked."""
    return message_chat("assistant", answer.text) if answer.text else '<p class="dim">(no text)</p>'


def _outcomes(found: list[Answer], name: str) -> str:
    """`json: no (is not JSON) → yes`."""
    said = []
    for one in found:
        outcome = one.checks[name]
        said.append("passes" if outcome.passed else f"does not pass ({outcome.detail})")
    return f'<p class="dim">{html_safe(name)}: {html_safe(_ARROW.join(said))}</p>'


def _about(comparison: Comparison) -> str:
    tokens = comparison.models[-1].figures["tokens"]
    facts = (
        f"{tokens:,} trained tokens of the {comparison.split} split, each sample alone.",
        "Prompts are id for id what the answers of the dataset were trained after.",
        f"Dataset {comparison.dataset_hash[:12]}.",
    )
    return f"<ul>{''.join(f'<li>{html_safe(fact)}</li>' for fact in facts)}</ul>"
