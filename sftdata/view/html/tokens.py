"""Masked samples as HTML for notebooks: self-contained, no JavaScript, readable on light and dark themes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from sftdata.errors import pluralize
from sftdata.view.decoder import TokenSpan
from sftdata.view.html.style import page
from sftdata.view.html.text import visible

if TYPE_CHECKING:
    from sftdata.view.dataset import Row, Sample

MAX_TOKENS = 16_384  # a notebook cell with more than this becomes slow to scroll


def sample_html(sample: Sample, *, max_tokens: int = MAX_TOKENS) -> str:
    """One sample."""
    return _samples_page(sample.title, [_sample_box(sample, "", max_tokens)])


def row_html(row: Row, *, max_tokens: int = MAX_TOKENS) -> str:
    """A packed row, one box per sample, up to `max_tokens` tokens. A note says how much is left out."""
    boxes = []
    left = max_tokens
    for sample in row.samples:
        if left <= 0:
            hidden = row.samples[sample.index :]
            tokens = pluralize(sum(one.num_tokens for one in hidden), "token")
            boxes.append(f'<p class="dim">Not shown: {pluralize(len(hidden), "more sample")} with {tokens}.</p>')
            break
        boxes.append(_sample_box(sample, f"sample {sample.index} · ", left))
        left -= sample.num_tokens
    return _samples_page(row.title, boxes)


def _samples_page(title: str, boxes: Sequence[str]) -> str:
    """Boxes under a title and a legend. The legend explains partly trained characters only if there are any."""
    partly = '<span class="m">trained in part</span> &nbsp; ' if any('<span class="t m' in box for box in boxes) else ""
    legend = (
        f'<p class="dim"><span class="y">trained</span> &nbsp; {partly}not trained &nbsp; '
        '<span class="c">control token</span> &nbsp; hover over a token for its position, id and label</p>'
    )
    return page([f"<p>{escape(title)}</p>", legend, *boxes])


def _sample_box(sample: Sample, prefix: str, max_tokens: int) -> str:
    head = f"{prefix}{sample.counts} · record {sample.record_id}"
    shown = [span for span in sample.spans() if span.start < max_tokens]
    text = "".join(_span_html(sample, span) for span in shown)
    more = sample.num_tokens - (shown[-1].end if shown else 0)
    note = f'<p class="dim head">Not shown: {pluralize(more, "more token")} of this sample.</p>' if more else ""
    return f'<div class="sample"><div class="head">{escape(head)}</div><div class="text">{text}</div>{note}</div>'


def _span_html(sample: Sample, span: TokenSpan) -> str:
    trained = [sample.labels[at] != -100 for at in range(span.start, span.end)]
    kind = "t y" if all(trained) else "t m" if any(trained) else "t"
    if span.end - span.start == 1 and sample.input_ids[span.start] in sample.control_ids:
        kind += " c"
    text = visible(span.text) if span.text else '<i class="e"></i>'
    return f'<span class="{kind}" title="{_hover_text(sample, span)}">{text}</span>'


def _hover_text(sample: Sample, span: TokenSpan) -> str:
    """One line per token. Tokens that share a character are also named by their bytes."""
    lines = []
    for at in range(span.start, span.end):
        line = f"position {at} · id {sample.input_ids[at]} · label {sample.labels[at]}"
        if span.end - span.start > 1 or not span.text:
            line += f" · {sample.decoder.name(sample.input_ids[at])}"
        lines.append(line)
    return "&#10;".join(escape(line) for line in lines)
