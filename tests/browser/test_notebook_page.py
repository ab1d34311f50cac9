"""What a notebook shows, in a browser: the page that nbconvert makes, with JupyterLab's own rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from browsing import CONTRASTS, notebook_page, shard_tokens

import sftdata

EVIL = (
    "</span></style></script><script>window.pwned=1</script><img id=pwned src=x onerror=window.pwned=1>\"'`javascript:"
)
CHATS: list[list[dict[str, str]]] = [
    [{"role": "user", "content": "What is the capital of France?"}, {"role": "assistant", "content": "Paris."}],
    [{"role": "user", "content": f"a {EVIL}"}, {"role": "assistant", "content": f"b {EVIL}"}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "tab\there, two  spaces\n\nline"},
        {"role": "assistant", "content": "naïve €5 你好 " + "word" * 60},
    ],
    [{"role": "user", "content": "no answer"}],
]
# Each element that stands for tokens: their ids, and how it or the mark around it is painted.
TOKENS = """() => [...document.querySelectorAll('.sftv [i], .sftv .t[title]')].map(one => {
  const ids = one.getAttribute('i') ?? [...one.title.matchAll(/id (\\d+)/g)].map(found => found[1]).join(' ');
  const style = getComputedStyle(one.closest('mark') ?? one);
  return [ids, style.backgroundColor, style.textDecorationLine.includes('underline')];
})"""

pytestmark = pytest.mark.filterwarnings("default")  # the notebook libraries' own


@pytest.fixture(scope="module")
def dataset(tiny_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> sftdata.Dataset:
    folder = tmp_path_factory.mktemp("evil")
    data = folder / "a'b\"<script>window.pwned=1<&.jsonl"
    data.write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in CHATS), encoding="utf-8")
    sftdata.prepare(str(data), tokenizer=str(tiny_tokenizer), out=str(folder / "out"), progress=False)
    return sftdata.open(folder / "out")


@pytest.fixture(scope="module")
def pages(dataset: sftdata.Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same notebook under the light and the dark theme of JupyterLab."""
    folder = tmp_path_factory.mktemp("pages")
    cells: list[tuple[str, Any]] = [("ds", dataset), ("ds[0]", dataset[0])]
    for theme in ("light", "dark"):
        (folder / f"{theme}.html").write_text(notebook_page(cells, theme), encoding="utf-8")
    return {theme: folder / f"{theme}.html" for theme in ("light", "dark")}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_runs_and_nothing_overflows(open_page: Any, pages: dict[str, Path], theme: str, width: int):
    page = open_page(pages[theme], scheme=theme, width=width)
    assert page.evaluate("window.pwned") is None
    assert page.locator("#pwned").count() == 0
    assert page.locator(".sftv").count() >= 2
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast_under_each_theme_of_the_notebook_and_of_the_system(
    open_page: Any, pages: dict[str, Path], theme: str, scheme: str
):
    page = open_page(pages[theme], scheme=scheme)
    page.evaluate(
        "document.querySelectorAll('.jp-InputArea, .jp-InputPrompt, .jp-OutputPrompt').forEach(e => e.remove())"
    )
    texts = page.evaluate(CONTRASTS)
    assert len(texts) > 20
    assert [(text, round(contrast, 2)) for text, contrast in texts if contrast < 4.5] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_coloured_tokens_are_the_labels_of_the_shards(
    open_page: Any, pages: dict[str, Path], dataset: sftdata.Dataset, theme: str
):
    page = open_page(pages[theme], scheme=theme)
    marked = []
    for ids, background, is_underlined in page.evaluate(TOKENS):
        is_green = background.startswith("rgba(38, 166, 91,")
        assert is_green == is_underlined
        marked += [(int(number), is_green) for number in ids.split()]
    assert marked == shard_tokens(dataset.path)
    assert {is_trained for _, is_trained in marked} == {False, True}


def test_copying_a_sample_gives_its_text(open_page: Any, dataset: sftdata.Dataset, tmp_path: Path):
    sample = dataset.samples.search("capital of France")[0]
    (tmp_path / "one.html").write_text(notebook_page([("sample", sample)]), encoding="utf-8")
    page = open_page(tmp_path / "one.html")
    copied = page.evaluate(
        "() => { getSelection().selectAllChildren(document.querySelector('.sftv .text')); return `${getSelection()}` }"
    )
    assert copied.rstrip("\n") == sample.text.rstrip("\n")
