"""The page of `sfttrain eval` in a browser: both themes, a phone, paper, and hostile prompts, answers and names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browsing import CONTRASTS

from sfttrain.evaluate.beside.page import write_page
from sfttrain.evaluate.beside.result import Answer, Comparison, Judged, TaskFigure
from sfttrain.evaluate.checks import Outcome, Tally

EVIL = "</span></style></script><script>window.pwned=1</script><img id=pwned src=x onerror=window.pwned=1>\"'`\u202e"
LONG = "averylongwordwithoutanyspaceinit" * 12
QUESTIONS = [
    "My order 4471 came with a cracked screen. What do I do now?",
    f"What is the meaning of {EVIL}?",
    f"Write {LONG}",
    "Write a haiku about rain",
]
BEFORE_ANSWERS = ["I am sorry to hear that!\n\n1. Keep calm.\n2. Call us.", EVIL, LONG, ""]
AFTER_ANSWERS = ['{"intent": "defect", "urgency": "high"}', f"{EVIL} again", "short", "Rain on the roof\n\tdrips"]


def figures(loss: float) -> dict[str, Any]:
    one = {"loss": loss, "accuracy": 0.61, "perplexity": 2.718 * loss, "bits_per_byte": loss / 3, "tokens": 12_345}
    turns = {"first": one, "second": one, "later": {**one, "bits_per_byte": None, "perplexity": None}}
    return {**one, "sources": {"/home/me/plain.jsonl": one, f"{EVIL}.jsonl": one, f"{LONG}.jsonl": one}, "turns": turns}


def judged(name: str, loss: float, texts: list[str], passed: int) -> Judged:
    answers = []
    for at, (question, text) in enumerate(zip(QUESTIONS, texts, strict=True)):
        outcome = Outcome(at < passed, "" if at < passed else f"is not JSON: {EVIL}")
        messages = (("system", "You are a helpful assistant."), ("user", question))
        reference = f"in the row: {EVIL}" if at == 1 else None
        answers.append(Answer(f"{EVIL}.jsonl:{at + 1}", messages, reference, text, {"json": outcome, EVIL: outcome}))
    tallies = tuple(Tally(check, passed, len(texts), 0.6) for check in ("json", EVIL))
    return Judged(name, figures(loss), tuple(answers), tallies)


def comparison(*, alone: bool = False) -> Comparison:
    before = judged(f"base {EVIL}", 2.345, BEFORE_ANSWERS, 0)
    after = judged("run", 1.234, AFTER_ANSWERS, 2)
    tasks = (TaskFigure(EVIL, "acc", "none", (0.25, None), (0.01, None), 1319),)
    models = (after,) if alone else (before, after)
    return Comparison(f"chats {EVIL}", "ab" * 32, "validation", models, () if alone else tasks)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of two models, and of one alone."""
    folder = tmp_path_factory.mktemp("pages")
    found = {"two": comparison(), "one": comparison(alone=True)}
    for name, one in found.items():
        write_page(one, folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in found}


@pytest.mark.parametrize("name", ["two", "one"])
def test_nothing_in_a_prompt_an_answer_or_a_name_runs_and_no_folder_is_named(
    open_page: Any, pages: dict[str, Path], name: str
) -> None:
    page = open_page(pages[name])
    assert page.evaluate("window.pwned") is None
    assert page.locator("#pwned").count() == 0
    assert page.locator("img").count() == 0
    assert "<script>window.pwned=1" in page.locator("#answers").text_content()
    assert "<script>window.pwned=1" in page.locator("#figures").text_content()
    assert "/home/me" not in page.content()
    assert "\u202e" not in page.locator("#figures").inner_text() + page.locator(".card").first.inner_text()


def test_the_page_has_the_figures_and_answers_of_both_models_side_by_side(
    open_page: Any, pages: dict[str, Path]
) -> None:
    page = open_page(pages["two"])
    tiles = [tile.split("\n")[0] for tile in page.locator(".tiles > div").all_inner_texts()]
    assert tiles == ["2.345 → 1.234", "61% → 61%", "0.782 → 0.411", "0% → 50%", "0% → 50%"]
    assert page.locator("#answers .eg").count() == 4
    first = page.locator("#answers .eg").first.inner_text()
    for text in (QUESTIONS[0], "Keep calm.", '{"intent": "defect", "urgency": "high"}', "before", "after"):
        assert text in first
    left, right = (page.locator("#answers .eg").first.locator(".pair > div").nth(at).bounding_box() for at in (0, 1))
    assert left["y"] == right["y"] and left["x"] + left["width"] <= right["x"]
    assert "Missed: json" in page.locator(".warn").first.inner_text()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["two", "one"])
def test_nothing_overflows_and_every_text_has_contrast(
    open_page: Any, pages: dict[str, Path], name: str, scheme: str, width: int
) -> None:
    page = open_page(pages[name], scheme=scheme, width=width)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.querySelectorAll('.box')].every(one => one.scrollWidth <= one.clientWidth)")
    texts = page.evaluate(CONTRASTS)
    assert len(texts) > 50
    assert [(text, round(contrast, 2)) for text, contrast in texts if contrast < 4.5] == []


def test_on_paper_all_is_unfolded_and_nothing_is_cut(open_page: Any, pages: dict[str, Path]) -> None:
    page = open_page(pages["two"])
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open]):visible").count() == 0
    assert page.locator("nav:visible").count() == 0
    assert page.evaluate("getComputedStyle(document.querySelector('#answers .whole')).breakInside") == "avoid"
    page.set_viewport_size({"width": 718, "height": 1000})  # of A4 within its margins
    assert page.evaluate("[...document.querySelectorAll('.box')].every(one => one.scrollWidth <= one.clientWidth)")
