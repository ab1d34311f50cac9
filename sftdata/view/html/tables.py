"""Tables as HTML: those of a summary, and long ones that page, search and sort.

A long table is whole without JavaScript: its first page is shown, and a line says how many rows there are. A script in
the same cell adds search, pages and sorting; it knows tables by their class, needs no names and no ids, and so works
with several tables in a page, and when a cell runs again. Rows are hidden rows, and no data in the script.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sftdata.errors import pluralize
from sftdata.safe.control_chars import html_safe
from sftdata.settings.yaml_line import flow
from sftdata.view.layout import Table, shortened

MAX_ROWS, MAX_BYTES = 1_000, 200_000  # of a table that pages
PAGE_ROWS = 10
ALL_CHANGED, PAGE_SETTINGS = 100, 20  # rows of a table of settings that are shown at once
MAX_CELL = 200  # characters of a text in a cell
_LONG = 40  # characters of a text whose column is kept wide on a narrow page

TABLE_CSS = """
.sftv .box{overflow-x:auto;max-width:100%}
.sftv table{table-layout:auto;word-break:normal}
.sftv table.wide{width:100%}
.sftv th,.sftv td{vertical-align:top;white-space:nowrap}
.sftv td.l,.sftv td.x{white-space:normal;overflow-wrap:break-word;max-width:40em;text-align:left}
.sftv td.x{min-width:17em}
.sftv th:last-child,.sftv td:last-child{padding-right:0}
.sftv tbody tr[hidden]{display:none}
.sftv tbody td{border-bottom:1px solid rgba(128,128,128,.25)}
.sftv .bar{display:block;height:6px;min-width:5em;border-radius:3px;background:rgba(128,128,128,.18);overflow:hidden}
.sftv .bar>*{display:block;height:100%;min-width:2px;border-radius:3px;background:rgb(38,166,91)}
.sftv .bar .b{background:#4c82ee}
.sftv .bar .r{background:#dd5246}
.sftv .meter{display:flex;align-items:center;gap:0 .6em}
.sftv .meter .bar{flex:1 1 5em;max-width:9em;margin-left:auto}
.sftv .meter .of{min-width:3.4em;font-variant-numeric:tabular-nums}
@media(max-width:500px){
.sftv .meter{display:block;margin-bottom:.3em}
.sftv .paged table:has(td.x) tr:not([hidden]){display:flex;flex-wrap:wrap;gap:0 1em;padding:.2em 0;
border-bottom:1px solid rgba(128,128,128,.25)}
.sftv .paged table:has(td.x) :is(th,td){padding:0;border:0}
.sftv .paged table:has(td.x) td.x{order:1;flex:1 1 100%;min-width:0;max-width:none}
.sftv .paged table:has(td.x) td.x:empty{display:none}
}
.sftv .tools{display:flex;flex-wrap:wrap;gap:.4em;align-items:center;font-size:12px;margin:.3em 0}
.sftv .tools input,.sftv .tools button{font:inherit;color:inherit;background:rgba(128,128,128,.1);
border:1px solid rgba(128,128,128,.6);border-radius:5px;padding:.15em .6em;margin:0;width:auto;height:auto;min-width:0}
.sftv .tools input{flex:0 1 16em}
.sftv .tools input::placeholder{color:inherit;opacity:.75}
.sftv .tools button:disabled{opacity:.75;border-style:dashed}
.sftv th[aria-sort]{cursor:pointer}
.sftv th[aria-sort=ascending]::after{content:" \\25b4"}
.sftv th[aria-sort=descending]::after{content:" \\25be"}
"""

# Each table is made ready once; a saved page, which has the tools already, gets new ones.
TABLE_SCRIPT = """(() => { for (const box of document.querySelectorAll('.sftv .paged')) {
if (box.sftvReady) continue;
box.sftvReady = true;
const body = box.querySelector('tbody'), note = box.querySelector('.count'), size = +box.dataset.page;
const all = [...body.rows], noun = box.dataset.noun, heads = [...box.querySelectorAll('th')];
if (!heads.length || !note) continue;
let rows = all, page = 0, sorted = -1, down = false;
const make = (tag, text, act) => {
  const one = document.createElement(tag); one.textContent = text;
  if (act) { one.type = 'button'; one.onclick = act; } return one; };
for (const old of box.querySelectorAll('.tools')) old.remove();
const tools = make('div', ''), find = make('input', ''), where = make('span', '');
const back = make('button', '\\u2039 previous', () => { page--; show(); });
const next = make('button', 'next \\u203a', () => { page++; show(); });
tools.className = 'tools'; where.setAttribute('aria-live', 'polite');
find.type = 'search'; find.placeholder = 'search'; find.setAttribute('aria-label', 'search the ' + noun);
const key = row => { const cell = row.cells[sorted];
  return cell.dataset.v === undefined ? cell.textContent : +cell.dataset.v; };
const order = (a, b) => typeof a !== typeof b ? (typeof a === 'number' ? -1 : 1)
  : (down ? -1 : 1) * (typeof a === 'number' ? a - b : a.localeCompare(b));
const choose = () => {
  const words = find.value.toLowerCase().split(/\\s+/).filter(Boolean);
  const has = text => words.every(one => text.includes(one));
  rows = all.filter(row => has(row.textContent.toLowerCase()));
  if (sorted >= 0)
    rows = rows.map(row => [key(row), row]).sort((a, b) => order(a[0], b[0])).map(pair => pair[1]);
  page = 0; show(); };
const show = () => {
  const first = page * size, shown = rows.slice(first, first + size), seen = new Set(shown);
  for (const row of all) row.hidden = !seen.has(row);
  if (sorted >= 0) body.append(...rows); else body.append(...all);
  where.textContent = rows.length
    ? `${(first + 1).toLocaleString('en')}\\u2013${(first + shown.length).toLocaleString('en')} of ` +
      `${rows.length.toLocaleString('en')}` + (rows.length === all.length ? '' : ' found') : 'nothing found';
  back.disabled = page === 0; next.disabled = first + size >= rows.length; };
find.oninput = choose;
find.onkeydown = event => event.stopPropagation();
heads.forEach((head, at) => {
  head.setAttribute('aria-sort', 'none'); head.tabIndex = 0; head.title = 'sort';
  const act = () => {
    if (sorted === at && down === (head.dataset.n === undefined)) sorted = -1;
    else if (sorted === at) down = !down;
    else { sorted = at; down = head.dataset.n !== undefined; }
    heads.forEach((one, here) => one.setAttribute('aria-sort',
      here === sorted ? (down ? 'descending' : 'ascending') : 'none'));
    choose(); };
  head.onclick = act;
  head.onkeydown = event => { if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); act(); } }; });
note.hidden = true;
tools.append(find, back, next, where); box.prepend(tools);
show(); } })()"""


class Cell(NamedTuple):
    """What is in a cell: its text; a number to sort by, which puts it to the right; and HTML in place of the text."""

    text: str
    value: float | None = None  # not a number: to the right, and behind all numbers
    html: str | None = None


def number_cell(number: int | None) -> Cell:
    """A whole number; `-` where there is none."""
    return Cell("-", math.nan) if number is None else Cell(f"{number:,}", number)


def bar_html(share: float, kind: str = "") -> str:
    """A share as a bar: a stroke where there is hardly anything, and empty only where there is nothing."""
    width = min(max(share, 0.0), 1.0)
    inside = f'<span{f" class={kind}" if kind else ""} style="width:{width:.2%}"></span>' if width else ""
    return f'<span class="bar">{inside}</span>'


def meter_html(text: str, share: float, kind: str = "") -> str:
    """A share as a bar with its text."""
    return f'<span class="meter">{bar_html(share, kind)}<span class="of">{html_safe(text)}</span></span>'


def table_html(table: Table) -> str:
    """A table of a summary with its notes, each below its row; it scrolls sideways in its own box."""
    has_bars = bool(table.shares)
    wide = {at for at in table.text_columns if any(len(row[at]) > _LONG for row in table.rows)}

    def cells(values: Sequence[str], tag: str, share: float | None) -> str:
        found = []
        for at, value in enumerate(values):
            kind = "x" if at in wide else "l" if at in table.text_columns else ""
            found.append(f"<{tag}{f' class={_kind(kind, tag)}' if kind else ''}>{html_safe(value)}</{tag}>")
            if has_bars and at == table.bar_after:
                found.append(f"<{tag}>{bar_html(share) if share is not None else ''}</{tag}>")
        return "".join(found)

    def below(number: int) -> str:
        texts = table.notes[number] if table.notes else ()
        span = len(table.head) + has_bars
        return "".join(f'<tr><td class="l dim" colspan="{span}">{html_safe(text)}</td></tr>' for text in texts)

    shares = table.shares or (None,) * len(table.rows)
    body = "".join(f"<tr>{cells(row, 'td', shares[at])}</tr>{below(at)}" for at, row in enumerate(table.rows))
    head = f"<thead><tr>{cells(table.head, 'th', None)}</tr></thead>" if table.has_head else ""
    title = f"<p><b>{html_safe(table.title)}</b></p>" if table.title else ""
    return f'{title}<div class="box"><table>{head}<tbody>{body}</tbody></table></div>'


def _kind(kind: str, tag: str) -> str:
    return "l" if tag == "th" else kind


def paged_table(
    head: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    total: int,
    noun: str = "row",
    page_rows: int = PAGE_ROWS,
    more: str = "",
    wide: Sequence[int] = (),
) -> str:
    """A table that pages, searches and sorts where the page has TABLE_SCRIPT. `rows` may give fewer than the `total`:
    what is left out beyond MAX_ROWS rows and MAX_BYTES is said, with `more`, how to see it. `wide` are columns of text.
    """
    shown: list[str] = []
    size = 0
    is_number = [False] * len(head)
    for row in rows:
        cells = "".join(_cell(one, at in wide) for at, one in enumerate(row))
        hidden = " hidden" if len(shown) >= page_rows else ""
        text = f"<tr{hidden}>{cells}</tr>"
        size += len(text.encode("utf-8", "replace"))
        if len(shown) >= MAX_ROWS or (size > MAX_BYTES and shown):
            break
        is_number = [known or one.value is not None for known, one in zip(is_number, row, strict=True)]
        shown.append(text)
    if not shown:
        return f'<p class="dim">{pluralize(0, noun)}</p>'
    heads = "".join(
        f"<th data-n>{html_safe(name)}</th>" if number else f"<th class=l>{html_safe(name)}</th>"
        for name, number in zip(head, is_number, strict=True)
    )
    first = min(page_rows, len(shown))
    count = f'<p class="dim count">{first:,} of {pluralize(len(shown), noun)}</p>' if len(shown) > first else ""
    left = total - len(shown)
    rest = f"and {pluralize(left, f'more {noun}')} not in this table{f': {more}' if more else ''}" if left > 0 else ""
    notes = count + (f'<p class="dim">{html_safe(rest)}</p>' if rest else "")
    is_paged = len(shown) > page_rows
    kind = f' class="paged" data-page="{page_rows}" data-noun="{html_safe(noun)}s"' if is_paged else ""
    table = f"<thead><tr>{heads}</tr></thead><tbody>{''.join(shown)}</tbody>"
    return f'<div{kind}><div class="box"><table class="wide">{table}</table></div>{notes}</div>'


def _cell(cell: Cell, is_wide: bool) -> str:
    inside = cell.html if cell.html is not None else html_safe(shortened(cell.text, MAX_CELL))
    if cell.value is not None and math.isnan(cell.value):
        return f"<td>{inside}</td>"
    if cell.value is not None:
        value = f"{cell.value:.6g}" if cell.value != int(cell.value) else str(int(cell.value))
        return f"<td data-v={value}>{inside}</td>"
    return f"<td class={'x' if is_wide else 'l'}>{inside}</td>"


def settings_tables(changed: Sequence[tuple[str, Any]], others: Sequence[tuple[str, Any]]) -> str:
    """Settings by their dotted names: those that differ from the defaults, and folded, the others."""
    folded = ""
    if others:
        about = f"{len(others):,} at their defaults"
        folded = f"<details class=folded><summary>{about}</summary>{_settings_table(others, PAGE_SETTINGS)}</details>"
    return (_settings_table(changed, ALL_CHANGED) if changed else "<p>All settings are the defaults.</p>") + folded


def _settings_table(settings: Sequence[tuple[str, Any]], page_rows: int) -> str:
    rows = ([Cell(name, None, f"<b>{html_safe(name)}</b>"), Cell(flow(value))] for name, value in settings)
    return paged_table(("setting", "value"), rows, total=len(settings), noun="setting", page_rows=page_rows, wide=(1,))


def facts_table(rows: Iterable[tuple[str, str]]) -> str:
    """Names and HTML beside each other."""
    body = "".join(f"<tr><td class=l>{html_safe(name)}</td><td class=x>{html}</td></tr>" for name, html in rows)
    return f'<div class="box"><table class="wide facts"><tbody>{body}</tbody></table></div>'
