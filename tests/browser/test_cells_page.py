"""Cells of a notebook in a browser: long turns that fold, the switch to tokens, and names of data that stay text."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from browsing import CONTRASTS, notebook_page
from raw_rows import chat

import sftdata
from sftdata.config import load_config

EVIL = "<script>window.pwned=1<&script><img src=x onerror=window.pwned=1>\"' \u202e \x1b[31m"
LONG = " ".join(f"word{number}" for number in range(400))
# Of each element that stands for tokens: what is written behind it, and its ids.
BEHIND = """() => [...document.querySelectorAll('.sftv [i]')].map(one => {
  const shown = ['::before', '::after'].map(part => getComputedStyle(one, part).content);
  return [one.getAttribute('i'), shown.some(text => /attr\\(i\\)|\\d/.test(text)),
    shown.some(text => /-100/.test(text)), one.closest('mark') !== null]; })"""

pytestmark = pytest.mark.filterwarnings("default")  # the notebook libraries' own


def write(folder: Path, name: str, rows: list[Any]) -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def long_page(tiny_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cells: a sample with a long answer, and a short one."""
    folder = tmp_path_factory.mktemp("long")
    data = write(folder, "a.jsonl", [chat("Say much.", LONG), chat("And now?", "Nothing.")])
    settings: dict[str, Any] = {"tokenizer": str(tiny_tokenizer), "pack": {"seq_len": 8192}}
    ds = sftdata.prepare(str(data), out=folder / "out", progress=False, **settings)
    (much,), (little,) = ds.samples.search("Say much."), ds.samples.search("And now?")
    (folder / "page.html").write_text(notebook_page([("a", much), ("b", little)]), encoding="utf-8")
    return folder / "page.html"


@pytest.mark.parametrize("width", [1280, 390])
def test_a_long_turn_is_folded_and_unfolds_and_folds_again(open_page: Any, long_page: Path, width: int) -> None:
    page = open_page(long_page, width=width)
    folded = page.locator(".sftv details")
    assert folded.count() == 1 and folded.locator("[i]").count() > 400
    summary = folded.locator("summary")
    whole = folded.locator(":scope > mark").first
    assert "word0 word1" in summary.inner_text() and "word399" in summary.inner_text()
    assert "word200" not in summary.inner_text() and "more characters" in summary.inner_text()
    assert not whole.is_visible()
    height = page.evaluate("document.documentElement.scrollHeight")
    summary.click()
    assert whole.is_visible() and "word200" in whole.inner_text()
    assert not summary.locator(".w").first.is_visible()  # nothing is there twice
    assert page.evaluate("document.documentElement.scrollHeight") > height
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    summary.locator(".cut").click()
    assert not whole.is_visible()
    assert page.evaluate("document.documentElement.scrollHeight") == height


def test_the_switch_writes_id_and_label_behind_each_token_of_its_cell_alone(open_page: Any, long_page: Path) -> None:
    page = open_page(long_page)
    first, second = page.locator(".sftv .k").all()
    page.locator(".sftv details > summary").click()
    page.mouse.move(0, 0)  # a token under the mouse shows its id
    assert not any(is_named for _, is_named, _, _ in page.evaluate(BEHIND))
    second.focus()
    page.keyboard.press("Space")
    assert second.is_checked() and not first.is_checked()
    of_second = page.locator(".sftv").nth(1).locator("[i]").count()
    named = [is_named for _, is_named, _, _ in page.evaluate(BEHIND)]
    assert not any(named[:-of_second]) and all(named[-of_second:])
    first.click()
    page.mouse.move(0, 0)
    assert all(is_named for _, is_named, _, _ in page.evaluate(BEHIND))
    for ids, _, is_left_out, is_marked in page.evaluate(BEHIND):
        assert is_left_out != is_marked, ids  # -100 behind each token that is not trained, and behind no other
    first.click()
    second.click()
    page.mouse.move(0, 0)
    assert not any(is_named for _, is_named, _, _ in page.evaluate(BEHIND))


def test_the_switch_works_without_scripts(browser: Any, long_page: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(long_page.resolve().as_uri())
    one = page.locator(".sftv").nth(1)
    token = one.locator("mark [i]").first
    before = token.bounding_box()["width"]
    one.locator(".k").click()
    assert token.bounding_box()["width"] > before
    context.close()


@pytest.fixture(scope="module")
def evil_page(tiny_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that a notebook shows of a dataset with hostile names: file, columns, values, roles, tokenizer, folder."""
    folder = tmp_path_factory.mktemp("evil")
    name = EVIL.replace("/", "")
    tokenizer = folder / name
    shutil.copytree(tiny_tokenizer, tokenizer)
    rows: list[dict[str, Any]] = [
        {**chat(f"Why {n}? {EVIL}", f"So {n}. {EVIL}"), EVIL: "ab"[n % 2] + EVIL} for n in range(8)
    ]
    rows += [rows[0], {"messages": [{"role": EVIL, "content": "a"}, {"role": "assistant", "content": "b"}], EVIL: "a"}]
    data = write(folder, f"{name}.jsonl", rows)
    settings: dict[str, Any] = {"tokenizer": str(tokenizer), "progress": False, "keep": [EVIL]}
    ds = sftdata.prepare(str(data), out=folder / f"out {name}", **settings)
    other = sftdata.prepare(str(data), out=folder / f"other {name}", train_on="last", **settings)
    (folder / "prepare.yaml").write_text(json.dumps({"sources": [str(data)], "tokenizer": str(tokenizer), "out": name}))
    cells = [
        ("ds", ds),
        ("ds[0]", ds[0]),
        ("ds.samples", ds.samples),
        ("ds.dropped", ds.dropped),
        *[("ds.why(row)", ds.why(row.where, folder)) for row in ds.dropped],
        ("ds.diff(other)", ds.diff(other)),
        ("ds.manifest", ds.manifest),
        ("config", load_config(folder / "prepare.yaml")),
        ("sftdata.check(data)", sftdata.check(str(data), progress=False)),
    ]
    (folder / "page.html").write_text(notebook_page(cells), encoding="utf-8")
    return folder / "page.html"


def test_names_of_files_columns_roles_and_tokenizers_stay_text(open_page: Any, evil_page: Path) -> None:
    page = open_page(evil_page)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert page.evaluate("window.pwned") is None
    assert page.locator(".sftv img, .sfts img").count() == 0
    assert page.locator("img[src=x], [onerror]").count() == 0
    text = page.locator("body").inner_text()
    assert text.count("<script>window.pwned=1") > 30
    for shown in ("By <script>", "tokenizer <script>", "role"):
        assert shown in text
    assert "\x1b" not in page.content()
    # A character that turns text around is alone in an element that shows its name.
    turning = (
        "[...document.querySelectorAll('body *')].filter(one => [...one.childNodes].some("
        "node => node.nodeType === 3 && node.data.includes('\\u202e')) && !one.closest('style, script'))"
    )
    assert page.evaluate(f"{turning}.length") > 10
    assert page.evaluate(f"{turning}.every(one => one.matches('i.u') && one.textContent === '\\u202e')")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_hostile_names_are_found_by_the_search_of_a_table(open_page: Any, evil_page: Path) -> None:
    page = open_page(evil_page)
    for box in page.locator(".paged").all():
        box.locator("input").fill("<script>window")
        assert box.locator(".tools span").inner_text() != "nothing found" or "script" not in box.inner_text()
    assert page.evaluate("window.pwned") is None


@pytest.fixture(scope="module")
def all_kinds(tiny_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What notebooks show of a dataset with warnings, dropped rows and long turns."""
    folder = tmp_path_factory.mktemp("kinds")
    rows = [chat(f"Why {n}?", f"So {n}.<|endoftext|>") for n in range(12)] + [chat("Why 1?", "So 1.<|endoftext|>")]
    data = write(folder, "a.jsonl", [*rows, chat("Much", LONG[:2000])])
    ds = sftdata.prepare(str(data), tokenizer=str(tiny_tokenizer), out=folder / "out", progress=False)
    shown = (ds, ds[0], ds.samples, ds.manifest, ds.ledger, ds.why("a.jsonl:13", folder))
    return "".join(one._repr_html_() or "" for one in shown).replace("<details", "<details open")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("ground", "text"),
    [
        ("#1f1f1f", "#cccccc"),  # VS Code, Dark Modern
        ("#ffffff", "#3b3b3b"),  # VS Code, Light Modern
        ("#000000", "#ffffff"),  # VS Code, high contrast
        ("#383838", "#e3e3e3"),  # Colab, dark
        ("#ffffff", "#212121"),  # Colab, light
    ],
)
def test_the_colours_of_other_notebooks_give_contrast_whatever_the_system_prefers(
    browser: Any, all_kinds: str, ground: str, text: str, scheme: str
) -> None:
    # Colab shows a cell in a frame of its own; VS Code in one for all. Neither runs what is not trusted.
    context = browser.new_context(java_script_enabled=False, color_scheme=scheme)
    page = context.new_page()
    page.set_content(f'<body style="background:{ground};color:{text};font-family:sans-serif">{all_kinds}')
    found = page.evaluate(CONTRASTS)
    assert len(found) > 100
    assert [(words, round(contrast, 2)) for words, contrast in found if contrast < 4.5] == []
    context.close()
