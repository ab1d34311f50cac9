"""Masked samples as HTML for notebooks: self-contained, no JavaScript, readable on light and dark themes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from sftdata.errors import pluralize
from sftdata.safe.control_chars import INVISIBLE, char_name, visible_char
from sftdata.view.decoder import TokenSpan
from sftdata.view.summary import Summary, Table

if TYPE_CHECKING:
    from sftdata.view.dataset import Row, Sample

MAX_TOKENS = 16_384  # a notebook cell with more than this becomes slow to scroll

# Colours are semi-transparent, so that they work on any theme. Marks for white space are generated content, which a
# browser does not copy.
CSS = """
.sftv{line-height:1.75;font-size:13px;margin:.3em 0;color:inherit}
.sftv p{margin:.2em 0;line-height:1.5}
.sftv .dim{opacity:.7}
.sftv table{border-collapse:collapse;margin:.5em 0;font-size:13px;line-height:1.5;color:inherit}
.sftv th,.sftv td{padding:.15em .8em .15em 0;text-align:right;border:0;background:none;color:inherit}
.sftv thead th{border-bottom:1px solid rgba(128,128,128,.5);font-weight:600}
.sftv .l{text-align:left}
.sftv .sample{border:1px solid rgba(128,128,128,.45);border-left:4px solid rgba(128,128,128,.75);border-radius:4px;
margin:.5em 0;overflow:hidden}
.sftv .head{padding:.15em .7em;background:rgba(128,128,128,.14);font-size:12px}
.sftv .text{padding:.4em .7em;white-space:pre-wrap;overflow-wrap:anywhere;tab-size:4;
font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.sftv .t{box-shadow:inset 1px 0 rgba(128,128,128,.28)}
.sftv .t:hover{outline:1px solid currentColor;border-radius:2px}
.sftv .y{background:rgba(38,166,91,.24);text-decoration:underline 2px rgb(38,166,91);text-underline-offset:4px;
text-decoration-skip-ink:none;text-decoration-skip-spaces:none}
.sftv .m{background:rgba(226,126,20,.3);text-decoration:underline 2px dotted rgb(226,126,20);text-underline-offset:4px}
.sftv .c{border:1px solid rgba(80,130,240,.8);border-radius:7px;padding:0 4px;margin:0 1px;font-size:12px;
background-color:rgba(80,130,240,.16)}
.sftv .c.y{background-color:rgba(38,166,91,.34);border-color:rgb(38,166,91)}
.sftv .t i{font-style:normal;text-decoration:inherit}
.sftv i.s{position:relative}
.sftv i.s::before{content:"\\00b7";position:absolute;left:0;right:0;text-align:center;opacity:.45}
.sftv i.n::before{content:"\\21b5";opacity:.55}
.sftv i.b{position:relative}
.sftv i.b::before{content:"\\21e5";position:absolute;left:0;opacity:.55}
.sftv i.u{unicode-bidi:isolate;font-size:0}
.sftv i.u::before{content:attr(data-c);font-size:10px;border:1px dotted currentColor;border-radius:3px;padding:0 2px;
opacity:.8}
.sftv i.r{border:1px dotted currentColor;border-radius:3px;padding:0 2px}
.sftv i.e::before{content:"\\2205";opacity:.55}
"""

_MARKED = re.compile(f"[ \n\t\ufffd{INVISIBLE}]")


def visible(text: str) -> str:
    """Text as escaped HTML with white space and invisible characters marked.

    Copying it from a browser gives the text itself, except for control characters, which are not allowed in HTML: they
    become Unicode control pictures.
    """
    return _MARKED.sub(_mark, escape(text))


def _mark(match: re.Match[str]) -> str:
    char = match[0]
    if char == " ":
        return '<i class="s"> </i>'
    if char == "\n":
        return '<i class="n"></i>\n'
    if char == "\t":
        return '<i class="b">\t</i>'
    if char == "\ufffd":
        return f'<i class="r" title="U+FFFD: invalid bytes">{char}</i>'
    inside = visible_char(char) if unicodedata.category(char) == "Cc" else char
    return f'<i class="u" data-c="{char_name(char)}">{escape(inside)}</i>'


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


def summary_html(summary: Summary) -> str:
    """The summary of a dataset: its splits, and the counts from rows read to rows packed."""
    parts = [f"<p><b>{escape(summary.title)}</b></p>"]
    parts += [f"<p><b>warning:</b> {escape(one.text)}</p>" for one in summary.warnings]
    parts += [f'<p class="dim">{escape(line)}</p>' for line in (*summary.facts, *summary.lines)]
    parts += [_table(table) for table in summary.tables]
    return _page(parts)


def _page(parts: Sequence[str]) -> str:
    return f"<style>{CSS}</style>" + '<div class="sftv">' + "\n".join(parts) + "</div>"


def _samples_page(title: str, boxes: Sequence[str]) -> str:
    """Boxes under a title and a legend. The legend explains partly trained characters only if there are any."""
    partly = '<span class="m">trained in part</span> &nbsp; ' if any('<span class="t m' in box for box in boxes) else ""
    legend = (
        f'<p class="dim"><span class="y">trained</span> &nbsp; {partly}not trained &nbsp; '
        '<span class="c">control token</span> &nbsp; hover over a token for its position, id and label</p>'
    )
    return _page([f"<p>{escape(title)}</p>", legend, *boxes])


def _table(table: Table) -> str:
    def cells(values: Sequence[str], tag: str) -> str:
        kinds = (' class="l"' if at in table.text_columns else "" for at in range(len(values)))
        return "".join(f"<{tag}{kind}>{escape(value)}</{tag}>" for kind, value in zip(kinds, values, strict=True))

    def below(number: int) -> str:
        texts = table.notes[number] if table.notes else ()
        return "".join(f'<tr><td class="l dim" colspan="{len(table.head)}">{escape(text)}</td></tr>' for text in texts)

    body = "".join(f"<tr>{cells(row, 'td')}</tr>{below(at)}" for at, row in enumerate(table.rows))
    return f"<table><thead><tr>{cells(table.head, 'th')}</tr></thead><tbody>{body}</tbody></table>"


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
