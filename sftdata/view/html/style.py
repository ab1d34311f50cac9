"""The one stylesheet of what notebooks and reports show: classes below `.sftv`."""

from __future__ import annotations

from collections.abc import Sequence

# Colours are semi-transparent, so that they work on any theme. Marks for white space, ids and positions are generated
# content, and labels cannot be selected: a browser copies neither.
_BASE = """
.sftv{line-height:1.6;font-size:13px;margin:.3em 0;color:inherit}
.sftv p{margin:.2em 0;line-height:1.5}
.sftv .dim{opacity:.75}
.sftv table{border-collapse:collapse;margin:.5em 0;font-size:13px;line-height:1.5;color:inherit}
.sftv tr{background:none}
.sftv th,.sftv td{padding:.15em .8em .15em 0;text-align:right;border:0;background:none;color:inherit}
.sftv thead th{border-bottom:1px solid rgba(128,128,128,.5);font-weight:600}
.sftv .l{text-align:left}
"""
# `.m` is a turn with the lane of its role, `.c` its content, `.g` what the template writes around it, `.n` a part of
# it. Turns are inline blocks: a browser that copies several puts no line breaks between those.
_CHAT = """
.sftv .sample{border:1px solid rgba(128,128,128,.45);border-radius:6px;margin:.5em 0;padding-bottom:.3em}
.sftv .head{padding:.2em .7em;margin:0;background:rgba(128,128,128,.1);font-size:12px;overflow-wrap:anywhere;
user-select:none;-webkit-user-select:none}
.sftv .m{display:inline-block;box-sizing:border-box;width:calc(100% - .8em);margin:.4em .4em 0;padding:.2em .7em .3em;
border-left:4px solid rgba(128,128,128,.7);border-radius:4px;position:relative;vertical-align:top}
.sftv .text{counter-reset:t -1}
.sftv .m,.sftv .pre{white-space:pre-wrap;overflow-wrap:anywhere;tab-size:4;
font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.sftv .m.s{border-left-color:rgb(150,110,210);background:rgba(150,110,210,.06)}
.sftv .m.u{border-left-color:rgb(80,130,240);background:rgba(80,130,240,.06)}
.sftv .m.a{border-left-color:rgb(38,166,91)}
.sftv .m.o{border-left-color:rgb(200,130,20);background:rgba(200,130,20,.06)}
.sftv em,.sftv small,.sftv .cut{font:600 12px/1.6 system-ui,sans-serif;user-select:none;-webkit-user-select:none;
color:inherit}
.sftv small,.sftv .cut{font-weight:400;opacity:.8}
.sftv .c,.sftv span.n,.sftv details{display:inline-block;width:100%;vertical-align:top;unicode-bidi:plaintext}
.sftv span.n{box-sizing:border-box;margin:.2em 0;padding:0 .6em .2em;border:1px dashed rgba(128,128,128,.7);
border-radius:4px}
.sftv span.n em{display:block;font-style:italic}
.sftv .g{opacity:.8;font-size:11px}
.sftv .list{margin:.2em 0}
.sftv summary{cursor:pointer;display:block}
.sftv summary.head::before,.sftv .card summary::before{content:"\\25b8\\a0"}
.sftv [open]>summary.head::before,.sftv .card [open]>summary::before{content:"\\25be\\a0"}
.sftv .why{margin-top:.6em}
.sftv p code{margin:.2em 0;display:inline-block;max-width:100%}
.sftv .cut{display:block;border-top:1px dotted rgba(128,128,128,.6);border-bottom:1px dotted rgba(128,128,128,.6);
margin:.2em 0}
.sftv .cut::before{content:"\\25b8\\a0"}
.sftv [open]>summary .w{display:none}
.sftv [open]>summary .cut::before{content:"\\25be\\a0 fold: "}
.sftv .pair{display:flex;flex-wrap:wrap;gap:.5em}
.sftv .pair>div{flex:1 1 20em;min-width:0}
.sftv ins,.sftv del{color:inherit;background:rgba(226,126,20,.22);text-decoration:underline 2px rgb(226,126,20)}
.sftv mark{color:inherit;background:rgba(38,166,91,.22);text-decoration:underline 2px rgb(38,166,91);
text-underline-offset:3px;text-decoration-skip-ink:none}
.sftv mark.p{background:rgba(226,126,20,.26);text-decoration:underline 2px dotted rgb(226,126,20)}
.sftv kbd{font:inherit;font-size:11px;color:inherit;border:1px solid rgba(80,130,240,.8);border-radius:7px;
padding:0 3px;margin:0 2px;background:rgba(80,130,240,.14);box-shadow:none}
.sftv mark kbd{background:none;border-color:rgb(38,166,91);border-bottom-width:2px}
.sftv .legend>*{margin-right:.8em}
.sftv i{font-style:normal}
.sftv i.u{unicode-bidi:isolate;font-size:0}
.sftv i.u::before{content:attr(data-c);font-size:10px;border:1px dotted currentColor;border-radius:3px;padding:0 2px}
.sftv i.r{border:1px dotted currentColor;border-radius:3px;padding:0 2px}
"""
# A token is b, s, u or kbd with its id in `i`; `l` has the labels of several that share a character. The switch `.k` is
# a checkbox before what it changes, so that it needs no id, which another cell of a notebook could have too.
_TOKENS = """
.sftv [i]{counter-increment:t;font-weight:inherit;text-decoration:none}
.sftv [i]:hover{outline:1px solid currentColor;border-radius:2px}
.sftv [i]:hover::before{content:"position " counter(t) " \\b7  id " attr(i) " \\b7  label -100";position:absolute;
z-index:9;margin-top:1.7em;padding:1px 6px;font:11px/1.5 system-ui,sans-serif;white-space:normal;color:#fff;
background:#222;border:1px solid #777;border-radius:4px;pointer-events:none}
.sftv mark [i]:hover::before{content:"position " counter(t) " \\b7  id " attr(i) " \\b7  label " attr(i)}
.sftv [l]:hover::before{content:"up to position " counter(t) " \\b7  ids " attr(i) " \\b7  labels " attr(l)
" \\b7  " attr(d)}
.sftv [d]:not([l]):hover::before{content:"up to position " counter(t) " \\b7  ids " attr(i) " \\b7  labels -100 \\b7  "
attr(d)}
.sftv mark [d]:not([l]):hover::before{content:"up to position " counter(t) " \\b7  ids and labels " attr(i) " \\b7  "
attr(d)}
.sftv [n="2"]{counter-increment:t 2}
.sftv [n="3"]{counter-increment:t 3}
.sftv [n="4"]{counter-increment:t 4}
.sftv s,.sftv u{text-decoration:none}
.sftv q::before,.sftv q::after{content:none}
.sftv .k{appearance:none;-webkit-appearance:none;font:12px/1.6 system-ui,sans-serif;color:inherit;cursor:pointer;
width:auto;height:auto;margin:.2em 0;padding:0 .7em;border:1px solid rgba(128,128,128,.8);border-radius:10px;
background:none}
.sftv .k::before{content:"show tokens and white space"}
.sftv .k:checked::before{content:"hide tokens and white space"}
.sftv .k:checked~* [i]{box-shadow:inset 1px 0 rgba(128,128,128,.5)}
.sftv .k:checked~* [i]::after{content:attr(i) "\\a -100";display:inline-block;white-space:pre;margin:0 3px 0 1px;
font:8px/9px system-ui,sans-serif;vertical-align:middle}
.sftv .k:checked~* mark [i]::after{content:attr(i) "\\a" attr(i);font-weight:700}
.sftv .k:checked~* [l]::after{content:attr(i) "\\a" attr(l)}
.sftv .k:checked~* u[i]::after{content:none}
.sftv .k:checked~* u[i]::before{content:"\\21b5 " attr(i) " -100";font:9px/1 system-ui,sans-serif}
.sftv .k:checked~* mark u[i]::before{content:"\\21b5 " attr(i) " " attr(i)}
.sftv .k:checked~* s[i]{background:radial-gradient(circle,currentColor 1px,transparent 1.5px) 0 50%/1ch 1em no-repeat}
.sftv .k:checked~* :is(q[i],s:not([i])){
background:radial-gradient(circle,currentColor 1px,transparent 1.5px) 0 50%/1ch 1em repeat-x}
.sftv .k:checked~* u:not([i])::before{content:"\\21b5"}
.sftv .k:checked~* q:not([i])::before{content:"\\21e5";position:absolute}
.sftv .k:checked~* .e::before{content:"\\2205"}
"""


def scoped(css: str) -> str:
    """Rules below `.sftv` that win over those of a notebook wherever these are; those of tables are
    `.jp-RenderedHTMLCommon tbody tr:nth-child(odd)`.
    """
    return (
        css.replace(".sftv", ".sftv.sftv.sftv" if "table" in css else ".sftv.sftv")
        .replace(",\n", ",")
        .replace("\n", "")
    )


CSS = scoped(_BASE + _CHAT + _TOKENS)


def page(parts: Sequence[str]) -> str:
    """The parts below each other, with the stylesheet: the HTML of one cell of a notebook."""
    return f"<style>{CSS}</style>" + '<div class="sftv">' + "\n".join(parts) + "</div>"
