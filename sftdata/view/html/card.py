"""The card of a dataset: what is in it, what deserves a warning, where the rows went, and how long conversations are.

Each part is a function that gives HTML without a stylesheet, empty if there is nothing to show: a notebook shows them
all, and a report has them among others. Texts and numbers are those of the summary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sftdata.errors import pluralize
from sftdata.safe.control_chars import html_safe
from sftdata.store.manifest import Counts, Manifest
from sftdata.view.figures import TEXT, Figures
from sftdata.view.html.charts import Mark, histogram
from sftdata.view.html.tables import Cell, bar_html, meter_html, number_cell, paged_table, table_html
from sftdata.view.outcome import Caution, Facts, Group, share_text
from sftdata.view.summary import (
    MAX_WARNINGS,
    Subject,
    Summary,
    about_dataset,
    by_stage,
    group_names,
    in_millions,
    mixture_table,
    packed_text,
    remark,
    short_names,
    splits_table,
)

SHOWN_GROUPS = 15  # rows of the table of sources on a page
MANY_DROPPED = 0.1  # share of a source above which it is marked

CARD_CSS = """
.sftv .card{max-width:70em}
.sftv .card .name{font-size:18px;font-weight:600;line-height:1.4;overflow-wrap:anywhere}
.sftv .card .part{font-weight:600;margin:1em 0 .3em}
.sftv .card .part .dim{font-weight:400}
.sftv .chips{display:flex;flex-wrap:wrap;gap:.3em .4em;margin:.5em 0}
.sftv .chips span{border:1px solid rgba(128,128,128,.5);border-radius:11px;padding:0 .7em;font-size:12px;
overflow-wrap:anywhere}
.sftv .tiles{display:flex;flex-wrap:wrap;gap:.5em;margin:.6em 0}
.sftv .tiles>div{flex:1 1 9em;min-width:max-content;box-sizing:border-box;
border:1px solid rgba(128,128,128,.4);border-radius:7px;padding:.4em .7em}
.sftv .tiles b{display:block;font-size:20px;font-weight:600;line-height:1.35}
.sftv .tiles span{font-size:12px;opacity:.8}
.sftv .warn{border:1px solid rgba(226,140,20,.65);border-left-width:5px;border-radius:6px;padding:.4em .8em;
margin:.5em 0;background:rgba(226,140,20,.12);overflow-wrap:anywhere}
.sftv code{font:12px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;color:inherit;
background:rgba(128,128,128,.16);border-radius:4px;padding:.1em .35em;overflow-wrap:anywhere;white-space:pre-wrap}
.sftv code.set{user-select:all;-webkit-user-select:all}
.sftv .warn .fix{margin-top:.25em}
.sftv .warn .fix>span{display:inline-block;margin-right:1.4em}
.sftv .card details{margin:.6em 0}
.sftv .card summary{font-weight:600}
.sftv .card ul{margin:.3em 0;padding-left:1.4em}
.sftv .card li{margin:.1em 0;overflow-wrap:anywhere}
.sftv .funnel{display:grid;grid-template-columns:minmax(0,max-content) minmax(3em,1fr) auto auto;gap:.15em .8em;
align-items:center}
.sftv .funnel .num{text-align:right;font-variant-numeric:tabular-nums}
.sftv .funnel .in{padding-left:1em}
.sftv .funnel .in2{padding-left:2em}
.sftv .funnel .remark{grid-column:1/-1;font-size:12px;opacity:.8;overflow-wrap:anywhere;
margin-bottom:.3em}
.sftv .funnel .bar{height:8px;border-radius:4px;min-width:0}
.sftv .charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(21em,100%),1fr));gap:0 2em}
.sftv .charts>div{display:flex;flex-direction:column}
.sftv .charts svg{margin-top:auto}
.sftv .key{display:inline-block;font-weight:400;margin-left:1em}
.sftv .key i{display:inline-block;width:9px;height:9px;border-radius:2px;margin-right:.4em;background:#4c82ee}
.sftv .key i.r{background:#dd5246;border:0;padding:0}
.sftv .settings td{text-align:left;overflow-wrap:anywhere;white-space:normal}
.sftv .settings td:first-child{font-weight:600;min-width:9em;overflow-wrap:break-word}
.sftv .many{background:rgba(221,82,70,.2);border-radius:4px;padding:0 .3em;font-weight:600}
"""


def card_html(summary: Summary, figures: Figures | None = None) -> str:
    """The whole card of a dataset or split, from its summary; without figures there are no histograms."""
    about = summary.subject
    assert about is not None, "a summary of a dataset"
    parts = [head_html(about), tiles_html(about, figures), warnings_html(summary.warnings)]
    if about.split is None:
        parts += [funnel_html(about.manifest.counts, about.facts)]
    parts += [charts_html(figures, about.manifest.seq_len) if figures is not None else ""]
    parts += [splits_html(about)]
    if about.split is None:
        parts += [mixture_html(about.manifest), groups_html(about.facts) if about.facts is not None else ""]
    parts += [notes_html(summary), commands_html(summary.commands)]
    return f'<div class="card">{"".join(filter(None, parts))}</div>'


def head_html(about: Subject) -> str:
    """Name, what is packed in one sentence, and the chips: tokenizer, template, packing, seed, hash."""
    manifest = about.manifest
    name = about.name if about.split is None else f"{about.split} of {about.name}"
    chips = [text for line in about_dataset(manifest, short_names([manifest.tokenizer.source])[0]) for text in line]
    shown = "".join(f"<span>{html_safe(text)}</span>" for text in chips)
    return f'{name_html(name, level=3)}<p>{html_safe(packed_sentence(about))}</p><div class="chips">{shown}</div>'


def packed_sentence(about: Subject) -> str:
    """`19,437 conversations packed into 2,197 sequences of 2,048 tokens`."""
    manifest, splits = about.manifest, about.splits
    counts = manifest.counts
    rows = sum(one.rows for one in splits.values())
    if rows:
        size = f"{pluralize(rows, 'sequence')} of {pluralize(manifest.seq_len, 'token')}"
        return f"{packed_text(manifest, splits, about.split)} packed into {size}"
    if not counts.rows_read:
        return "nothing is packed"
    return f"nothing is packed: of {pluralize(counts.rows_read, 'row')} read, {counts.num_dropped:,} dropped"


def tiles_html(about: Subject, figures: Figures | None = None) -> str:
    """The numbers of a dataset, each in a box."""
    return boxes_html(tiles_of(about, figures))


def boxes_html(tiles: Iterable[tuple[str, str]]) -> str:
    """Numbers and what they are, each in a box."""
    boxes = "".join(f"<div><b>{html_safe(value)}</b><span>{html_safe(what)}</span></div>" for value, what in tiles)
    return f'<div class="tiles">{boxes}</div>'


def tiles_of(about: Subject, figures: Figures | None = None) -> list[tuple[str, str]]:
    """Numbers and what they are: tokens, trained tokens, rows kept, how full sequences are, the median length."""
    manifest, stats = about.manifest, list(about.splits.values())
    counts = manifest.counts
    tokens, trained = sum(one.tokens for one in stats), sum(one.trained_tokens for one in stats)
    tiles = [
        (in_millions(tokens), "tokens"),
        (in_millions(trained), f"trained ({share_text(trained, tokens)})" if tokens else "trained"),
    ]
    if about.split is None and counts.rows_read:
        kept = share_text(counts.packed, counts.rows_read)
        tiles.append((kept, f"of {pluralize(counts.rows_read, 'row')} kept"))
    else:
        tiles.append((f"{sum(one.samples for one in stats):,}", "samples"))
    if rows := sum(one.rows for one in stats):
        tiles.append((share_text(tokens, rows * manifest.seq_len), "sequence fill"))
    if figures is not None:
        tiles.append((_median(figures.median), f"median tokens per {figures.noun}"))
    return tiles


def _median(median: float) -> str:
    return f"{median:,.0f}" if median == int(median) else f"{median:,.1f}"


def warnings_html(warnings: Sequence[Caution]) -> str:
    """Warnings, each with a setting to paste and an example; those beyond the first few are folded."""
    boxes = [_warning(one) for one in warnings]
    more = boxes[MAX_WARNINGS:]
    folded = ""
    if more:
        folded = f"<details><summary>{pluralize(len(more), 'more warning')}</summary>{''.join(more)}</details>"
    return "".join(boxes[:MAX_WARNINGS]) + folded


def _warning(one: Caution) -> str:
    ways = [f'set: <code class="set">{html_safe(one.setting)}</code>'] if one.setting is not None else []
    ways += [f"see: <code>{html_safe(one.example)}</code>"] if one.example is not None else []
    fix = f'<div class="fix">{" ".join(f"<span>{one}</span>" for one in ways)}</div>' if ways else ""
    return f'<div class="warn"><b>Warning:</b> {html_safe(one.text)}{fix}</div>'


def funnel_html(counts: Counts, facts: Facts | None = None) -> str:
    """From rows read to rows packed: what each stage dropped, for which reason, with the first row and details."""
    read = counts.rows_read
    if not read:
        return ""
    parts = [_step("rows read", f"{read:,}", "", 1.0, "b")]
    for stage, reasons in by_stage(counts):
        if len(reasons) > 1:
            lost = sum(number for _, number in reasons)
            name = f"{stage}: {len(reasons)} reasons"
            parts.append(_step(name, f"\u2212{lost:,}", share_text(lost, read), None, kind="in"))
        for reason, number in reasons:
            name, kind = (reason, "in2") if len(reasons) > 1 else (f"{stage}: {reason}", "in")
            parts.append(_step(name, f"\u2212{number:,}", share_text(number, read), number / read, "r", kind))
            first, said = counts.examples.get(reason), remark(reason, facts)
            shown = [f"<code>{html_safe(first)}</code>"] if first else []
            shown += [html_safe(said)] if said else []
            parts.append(f'<div class="remark {kind}">{" &ensp; ".join(shown)}</div>' if shown else "")
    parts.append(_step("packed", f"{counts.packed:,}", share_text(counts.packed, read), counts.packed / read))
    return f'{part_html("Where the rows went")}<div class="funnel">{"".join(parts)}</div>'


def _step(name: str, number: str, share: str, part: float | None, bar: str = "", kind: str = "") -> str:
    drawn = bar_html(part, bar) if part is not None else "<span></span>"
    label = f"<div{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{html_safe(name)}</div>"
    return f'{label}{drawn}<b class="num">{number}</b><span class="num dim">{html_safe(share)}</span>'


def charts_html(figures: Figures, limit: int) -> str:
    """Histograms of tokens per conversation, with the limit of a sequence, and of the share of them that is trained."""
    tokens, noun = figures.tokens, figures.noun
    marks = [Mark(figures.median, f"median {_median(figures.median)}")]
    is_drawn = limit <= tokens.edges[-1]
    marks += [Mark(limit, f"limit {limit:,}")] if is_drawn else []
    about = "" if is_drawn else f" (longest {figures.longest:,}, limit {limit:,})"
    key = ""
    if figures.overlong:
        key = '<span class="key"><i></i>packed</span> <span class="key"><i class="r"></i>dropped as overlong</span>'
    title = f"Tokens per {noun}"
    chart = histogram(
        *(tokens.edges, tokens.counts),
        title=title,
        others=tokens.others,
        names=("packed", "overlong"),
        marks=marks,
        is_open=tokens.is_open,
    )
    boxes = [f"<div>{part_html(title, about, key)}{chart}</div>"]
    if figures.shares is None:
        whole = "texts are trained from their second token on" if noun == TEXT else "every token is trained"
        boxes.append(f"<div>{part_html('Trained share')}<p>{whole}</p></div>")
    else:
        title = f"Trained share of a {noun}"
        chart = histogram(figures.shares.edges, figures.shares.counts, title=title, unit="%")
        boxes.append(f"<div>{part_html(title)}{chart}</div>")
    return f'<div class="charts">{"".join(boxes)}</div>'


def splits_html(about: Subject) -> str:
    """The splits, if there are several; of one split, what is in it."""
    if len(about.splits) < 2 and about.split is None:
        return ""
    return part_html("Splits") + table_html(splits_table(about.splits, about.manifest.seq_len))


def mixture_html(manifest: Manifest) -> str:
    """The requested and the actual share of each source, if a mixture is asked for."""
    if not manifest.mixture:
        return ""
    table = mixture_table(manifest)
    values = [(one.asked, one.got, one.trained_tokens, one.available_tokens) for one in manifest.mixture]
    counts = [(one.records, one.copies) for one in manifest.mixture]
    rows = [
        [Cell(texts[0]), *(Cell(text, number) for text, number in zip(texts[1:], (*some, *more), strict=True))]
        for texts, some, more in zip(table.rows, values, counts, strict=True)
    ]
    head = ("source", *table.head[1:])
    return part_html("Mixture") + paged_table(head, rows, total=len(rows), noun="source", page_rows=SHOWN_GROUPS)


def groups_html(facts: Facts) -> str:
    """What each source, or value of a kept column, gives to the dataset."""
    if not facts.groups:
        return ""
    tokens = max(1, sum(one.tokens for one in facts.groups))
    trained = max(1, sum(one.trained_tokens for one in facts.groups))
    rows = _group_rows(facts.groups, group_names(facts), tokens, trained)
    head = (facts.by or "source", "rows", "dropped", "of tokens", "of trained tokens", "tokens", "trained")
    noun = "value" if facts.by else "source"
    table = paged_table(head, rows, total=len(facts.groups), noun=noun, page_rows=SHOWN_GROUPS)
    return part_html(f"By {facts.by}" if facts.by else "Sources") + table


def _group_rows(groups: Sequence[Group], names: Sequence[str], tokens: int, trained: int) -> Iterator[list[Cell]]:
    for name, group in zip(names, groups, strict=True):
        lost = (group.rows - group.packed) / max(1, group.rows)
        dropped = share_text(group.rows - group.packed, group.rows)
        shares = (group.tokens / tokens, group.trained_tokens / trained)
        texts = (share_text(group.tokens, tokens), share_text(group.trained_tokens, trained))
        yield [
            Cell(name),
            number_cell(group.rows),
            Cell(dropped, lost, f'<span class="many">{html_safe(dropped)}</span>' if lost >= MANY_DROPPED else None),
            Cell(texts[0], shares[0], meter_html(texts[0], shares[0], "b")),
            Cell(texts[1], shares[1], meter_html(texts[1], shares[1])),
            Cell(in_millions(group.tokens), group.tokens),
            Cell(in_millions(group.trained_tokens), group.trained_tokens),
        ]


def notes_html(summary: Summary) -> str:
    """What was met in the data without being a warning, folded."""
    if not summary.lines:
        return ""
    items = "".join(f"<li>{html_safe(line)}</li>" for line in summary.lines)
    return f"<details><summary>{pluralize(len(summary.lines), 'note')}</summary><ul>{items}</ul></details>"


def commands_html(commands: Sequence[str]) -> str:
    """Commands to continue with."""
    return "".join(f'<p><code class="set">{html_safe(one)}</code></p>' for one in commands)


def name_html(name: str, *, level: int = 1) -> str:
    """The name of a card, a heading of this level."""
    return f'<div class="name" role="heading" aria-level="{level}">{html_safe(name)}</div>'


def part_html(title: str, more: str = "", html: str = "") -> str:
    """The heading of a part, with a text and HTML behind it."""
    rest = f'<span class="dim">{html_safe(more)}</span>' if more else ""
    return f'<div class="part" role="heading" aria-level="4">{html_safe(title)}{rest}{html}</div>'
