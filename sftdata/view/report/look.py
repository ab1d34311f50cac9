"""The look of a report: its stylesheet, its script, and the frame of the page, which asks for nothing from outside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from sftdata.safe.control_chars import html_safe
from sftdata.view.html.cells import ALL_CSS
from sftdata.view.html.style import CSS, scoped
from sftdata.view.html.tables import TABLE_SCRIPT

_PAGE_CSS = """
:root{color-scheme:light dark}
body{margin:0;background:Canvas;color:CanvasText;font-family:system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:70em;margin:0 auto;padding:1em 1.2em 3em;box-sizing:border-box}
@media (max-width:500px){main{padding:.6em .7em 2em}}
@media print{
:root{color-scheme:light}
@page{margin:14mm}
main{max-width:none;padding:0}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
}
"""
_CSS = """
.sftv.report{font-size:14px;margin:0 auto}
.sftv.report .card{max-width:none}
.sftv.report .card .name{font-size:24px}
.sftv.report .part{font-weight:600;margin:1em 0 .3em}
.sftv .folded>summary::before{content:"\\25b8\\a0"}
.sftv .folded[open]>summary::before{content:"\\25be\\a0"}
.sftv nav{display:flex;flex-wrap:wrap;gap:.2em 1.2em;margin:.6em 0;font-size:13px}
.sftv nav a{color:inherit;text-decoration:underline;text-underline-offset:3px}
.sftv h2{font-size:18px;line-height:1.4;margin:2em 0 .5em;padding-top:.6em;border-top:1px solid rgba(128,128,128,.4)}
.sftv select{font:inherit;color:inherit;background:Canvas;border:1px solid rgba(128,128,128,.6);border-radius:5px;
padding:.15em .3em;margin:0;max-width:100%}
.sftv .reason{display:block;box-sizing:border-box;border:1px solid rgba(128,128,128,.4);border-radius:6px;margin:.4em 0}
.sftv .reason>summary{padding:.25em .7em}
.sftv .reason>summary::before{content:"\\25b8\\a0"}
.sftv .reason[open]>summary::before{content:"\\25be\\a0"}
.sftv .reason>p{margin:.2em .7em}
.sftv .eg{border-top:1px solid rgba(128,128,128,.25);padding:.3em .7em .6em;overflow-wrap:anywhere}
.sftv .wraps :is(td.l,td.x){overflow-wrap:anywhere;min-width:7em}
@media(max-width:500px){.sftv .wraps :is(th,td){white-space:normal;padding-right:.5em;font-size:11px}
.sftv .wraps :is(td.l,td.x){min-width:4em}}
.sftv .tools[hidden],.sftv .one[hidden]{display:none}
.sftv .samples>.k{position:sticky;top:.4em;z-index:3;background:Canvas;display:block;width:fit-content;margin-left:auto}
.sftv.report .cut i{display:none}
@media print{
.sftv .tools,.sftv .k,.sftv nav{display:none!important}
.sftv.report{font-size:11px}
.sftv .m,.sftv table,.sftv code,.sftv .head,.sftv small,.sftv .cut{font-size:10px}
.sftv em{font-size:10px}
.sftv .one,.sftv .m,.sftv .warn,.sftv tr,.sftv svg,.sftv .whole{break-inside:avoid}
.sftv .m,.sftv .c,.sftv .m details{display:block;width:auto}
.sftv h2,.sftv .part,.sftv summary,.sftv .eg>p{break-after:avoid}
.sftv h2{margin-top:1.2em}
.sftv .folded{display:none}
.sftv .count[hidden]{display:block}
.sftv .box{overflow:visible}
.sftv details::details-content{content-visibility:visible;display:block}
}
"""
_SCRIPT = """(() => {
const box = document.querySelector('.samples'), tools = document.querySelector('.find');
if (box && tools) {
  const all = [...box.querySelectorAll('.one')].map(one => [one, one.textContent.toLowerCase(), one.dataset.in]);
  const text = tools.querySelector('input'), picks = [...tools.querySelectorAll('select')];
  const found = tools.querySelector('.found');
  const show = () => {
    const words = text.value.toLowerCase().split(/\\s+/).filter(Boolean);
    const wanted = picks.map(one => one.value).filter(Boolean);
    let number = 0;
    for (const [one, said, inside] of all) {
      const is = words.every(word => said.includes(word)) && wanted.every(value => inside.includes(` ${value} `));
      one.hidden = !is; number += is; }
    found.textContent = number === all.length ? `${number} samples` : `${number} of ${all.length} samples`; };
  text.oninput = show;
  for (const one of picks) one.onchange = show;
  tools.hidden = false; show(); }
const folded = [];
const unfold = () => { for (const one of document.querySelectorAll('details:not([open]):not(.folded)')) {
  one.open = true; folded.push(one); } };
const fold = () => { for (const one of folded.splice(0)) one.open = false; };
addEventListener('beforeprint', unfold); addEventListener('afterprint', fold);
})()"""
_STYLES = _PAGE_CSS.replace("\n", "") + CSS + ALL_CSS + scoped(_CSS)
_SCRIPTS = f"{TABLE_SCRIPT};{_SCRIPT}"


class Section(NamedTuple):
    """A part of a report: its name in the address, its title, which the list of parts has, and its HTML."""

    name: str
    title: str
    html: str


def whole_page(title: str, head: str, sections: Sequence[Section]) -> str:
    """The page behind its doctype. `head` is HTML above the sections."""
    digest = base64.b64encode(hashlib.sha256(_SCRIPTS.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    links = "".join(f'<a href="#{one.name}">{html_safe(one.title)}</a>' for one in sections)
    parts = "".join(f'<section id="{one.name}"><h2>{html_safe(one.title)}</h2>{one.html}</section>' for one in sections)
    return (
        f'<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html_safe(title)}</title><style>{_STYLES}</style></head>"
        f'<body><main class="sftv report"><nav aria-label="parts">{links}</nav>{head}{parts}</main>'
        f"<script>{_SCRIPTS}</script></body></html>\n"
    )
