"""Pages in a browser without a window and without network: how one is found and started, and what is measured."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LOCAL = ("file:", "data:", "blob:", "about:")
HOW_TO_INSTALL = "no browser is here: `apt-get install chromium`, or `.venv/bin/playwright install chromium`"

# Each text on the page with the contrast of its colour, as WCAG 2 computes it. Semi-transparent colours and `opacity`
# are laid over what is below them. Generated content, such as marks for white space, is not looked at.
CONTRASTS = """() => {
  const parse = css => {
    const n = css.match(/-?[\\d.]+(e-?\\d+)?/g).map(Number);
    if (css.startsWith('rgb')) return [n[0], n[1], n[2], n[3] ?? 1];
    if (css.startsWith('color(srgb')) return [n[0] * 255, n[1] * 255, n[2] * 255, n[3] ?? 1];
    throw new Error('a colour that the test cannot read: ' + css);
  };
  const over = (top, below, alpha) => [0, 1, 2].map(i => top[i] * alpha + below[i] * (1 - alpha));
  const light = c => {
    const [r, g, b] = c.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const probe = document.createElement('div');
  probe.style.backgroundColor = 'Canvas';
  document.documentElement.append(probe);
  const canvas = parse(getComputedStyle(probe).backgroundColor).slice(0, 3);
  probe.remove();
  const colours = (chain, below) => {
    const [element, ...inner] = chain, style = getComputedStyle(element), back = parse(style.backgroundColor);
    const own = over(back, below, back[3]);
    let text, ground;
    if (inner.length) [text, ground] = colours(inner, own);
    else {
      const colour = parse(element.closest('svg text') ? style.fill : style.color);
      [text, ground] = [over(colour, own, colour[3]), own];
    }
    const opacity = Number(style.opacity);
    return [over(text, below, opacity), over(ground, below, opacity)];
  };
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
    if (!text || !element.checkVisibility({visibilityProperty: true}) || element.closest('script, style')) continue;
    if (getComputedStyle(element).fontSize === '0px') continue;
    const chain = [];
    for (let at = element; at; at = at.parentElement) chain.unshift(at);
    const [a, b] = colours(chain, canvas).map(light);
    found.push([text.slice(0, 40), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]);
  }
  return found;
}"""


def find_browser() -> str | None:
    """The program of Debian's Chromium, or of a browser like it; None if there is none."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def launch(playwright: Any) -> Any:
    """A browser, of the system or of playwright itself; None if there is none."""
    program = find_browser()
    if program is None and not Path(playwright.chromium.executable_path).exists():
        return None
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return playwright.chromium.launch(executable_path=program, args=["--no-sandbox"] if is_root else [])


def notebook_page(cells: Sequence[tuple[str, Any]], theme: str = "light") -> str:
    """A page that nbconvert makes of a notebook: cells of code, each with the object that it shows.

    It has the rules of JupyterLab for tables, and none of the template's scripts, which come from the network.
    """
    from nbformat import v4

    return exported(
        v4.new_notebook(
            cells=[
                v4.new_code_cell(
                    code,
                    outputs=[
                        v4.new_output("execute_result", {"text/html": shown._repr_html_(), "text/plain": repr(shown)})
                    ],
                )
                for code, shown in cells
            ]
        ),
        theme,
    )


def exported(notebook: Any, theme: str = "light") -> str:
    """A notebook as HTML, without the scripts of nbconvert's template; those of the cells would stay."""
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter

    template = (
        "{%- extends 'lab/index.html.j2' -%}{%- block html_head_js -%}{%- endblock -%}"
        "{%- block html_head_js_mathjax -%}{%- endblock -%}{%- block html_head_js_mermaidjs -%}{%- endblock -%}"
    )
    exporter = HTMLExporter(
        extra_loaders=[DictLoader({"offline.html.j2": template})], template_file="offline.html.j2", theme=theme
    )
    page, _ = exporter.from_notebook_node(notebook)
    for url in (exporter.mathjax_url, exporter.require_js_url):
        page = page.replace(f'<script src="{url}"> </script>', "").replace(f'<script src="{url}"></script>', "")
    return str(page)


def shard_tokens(folder: Path) -> list[tuple[int, bool]]:
    """The id of each token, and whether it is trained, read with pyarrow alone."""
    tokens: list[tuple[int, bool]] = []
    for shard in sorted(folder.glob("*/*.arrow")):
        with pa.OSFile(str(shard)) as file:
            table = pa.ipc.open_stream(file).read_all()
        for row in table.to_pylist():
            used = sum(row["seq_lengths"])
            tokens += [(id_, label != -100) for id_, label in zip(row["input_ids"][:used], row["labels"][:used])]
    return tokens
