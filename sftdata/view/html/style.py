"""The one stylesheet of what notebooks and reports show: classes below `.sftv`."""

from __future__ import annotations

from collections.abc import Sequence

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


def page(parts: Sequence[str]) -> str:
    """The parts below each other, with the stylesheet: the HTML of one cell of a notebook."""
    return f"<style>{CSS}</style>" + '<div class="sftv">' + "\n".join(parts) + "</div>"
