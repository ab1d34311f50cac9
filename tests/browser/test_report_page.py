"""The report of a dataset in a browser: search, filters, tokens, on paper and on a phone, with hostile texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from browsing import CONTRASTS, shard_tokens

import sftdata

EVIL = "</span></style></script><script>window.pwned=1</script><img id=pwned src=x onerror=window.pwned=1>\"'`\u202e"
LONG = "Write down in order all the stations of the night train from Riga to Vilnius, with the times, and the price of"
TOKENS = """() => [...document.querySelectorAll('.samples [i]')].map(one => {
  const style = getComputedStyle(one.closest('mark') ?? one);
  return [one.getAttribute('i'), style.backgroundColor.startsWith('rgba(38, 166, 91,'),
          style.textDecorationLine.includes('underline')];
})"""


def chat(*texts: str) -> dict[str, Any]:
    return {"messages": [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(texts)]}


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def dataset(tiny_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> sftdata.Dataset:
    """Two sources, one of them with a hostile name, and rows of each kind that a report shows."""
    folder = tmp_path_factory.mktemp("evil")
    plain = [chat(f"What is {n} and {n}?", f"It is {2 * n}.") for n in range(20)]
    plain += [chat(f"{LONG} {name}.", f"{LONG} {name}: 21:05, 22:40") for name in ("tea", "tea", "coffee")]
    plain += [chat("Long?", "word " * 200), chat("Who?", "Write to maria.lopez@example-hospital.org now.")]
    plain += [chat("a\tb", "c"), chat("again?", "yes", "and again?", "no"), chat("only a question")]
    evil = [chat(f"ask {n} {EVIL}", f"say {n} {EVIL}") for n in range(8)]
    evil += [chat(f"{EVIL} twice", EVIL)] * 2 + [{"messages": [{"role": EVIL, "content": EVIL}]}, {EVIL: EVIL}]
    exam = write(folder / f"exam {EVIL.replace('/', '_')[:60]}.jsonl", [chat(f"{LONG} milk?", "5 euro")])
    plain.append(chat(f"{LONG} milk?", "6 euro"))
    sources = [
        {"path": str(write(folder / "plain.jsonl", plain))},
        {"path": str(write(folder / f"a{EVIL.replace('/', '_')[:80]}.jsonl", evil)), "keep": [EVIL]},
    ]
    return sftdata.prepare(
        sources,
        tokenizer=str(tiny_tokenizer),
        out=folder / "out",
        dedup={"near": {"threshold": 0.7}},
        privacy="redact",
        decontaminate={"against": [str(exam)]},
        progress=False,
    )


@pytest.fixture(scope="module")
def report(dataset: sftdata.Dataset) -> Path:
    return dataset.report()


def samples_of(page: Any) -> list[str]:
    return [str(one) for one in page.locator(".samples .one:visible").all_inner_texts()]


def test_nothing_in_a_text_a_role_a_name_or_a_setting_runs_or_asks_for_anything(open_page: Any, report: Path) -> None:
    page = open_page(report)
    assert page.evaluate("window.pwned") is None
    assert page.locator("#pwned").count() == 0 and page.locator("img").count() == 0
    assert "<script>window.pwned=1" in page.locator("#dropped").text_content()
    assert "<script>window.pwned=1" in page.locator("#settings").text_content()
    assert "\u202e" not in page.locator("#settings").text_content()
    for name in ("settings", "dropped", "duplicates", "contamination", "private", "samples", "template", "hashes"):
        assert page.locator(f"section#{name} h2").count() == 1


def test_a_script_in_the_page_that_is_not_ours_does_not_run(browser: Any, report: Path, tmp_path: Path) -> None:
    text = report.read_text(encoding="utf-8")
    (tmp_path / "changed.html").write_text(
        text.replace("</main>", "<script>window.pwned=1</script><img src=/nothing.png></main>"), encoding="utf-8"
    )
    page = browser.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto((tmp_path / "changed.html").as_uri())
    assert page.evaluate("window.pwned") is None
    assert len(refused) == 2 and all("Content Security Policy" in one for one in refused)
    assert page.locator(".find:visible").count() == 1
    page.close()


def test_search_and_filters_choose_samples_together(open_page: Any, report: Path) -> None:
    page = open_page(report)
    every = len(samples_of(page))
    assert page.locator(".found").inner_text() == f"{every} samples"
    page.locator(".find input").fill("IT is  34.")
    assert len(samples_of(page)) == 1 and "It is 34." in samples_of(page)[0]
    assert page.locator(".found").inner_text() == f"1 of {every} samples"
    page.locator(".find input").fill("")
    page.get_by_label("all sources").select_option(index=1)
    assert {text.split(":")[0].strip() for text in samples_of(page)} == {"plain.jsonl"}
    page.get_by_label("all numbers of turns").select_option(label="2 or 3 trained turns (1)")
    assert len(samples_of(page)) == 1 and "and again?" in samples_of(page)[0]
    page.locator(".find input").fill("nothing like this")
    assert samples_of(page) == [] and page.locator(".found").inner_text() == f"0 of {every} samples"


def test_the_switch_shows_each_token_with_its_id(open_page: Any, report: Path) -> None:
    page = open_page(report)
    shown = "() => getComputedStyle(document.querySelector('.samples [i]'), '::after').content"
    assert page.evaluate(shown) in ("none", "normal")
    page.locator(".samples > .k").check()
    first = page.locator(".samples [i]").first.get_attribute("i")
    assert first in page.evaluate(shown)
    page.locator(".samples > .k").uncheck()
    assert page.evaluate(shown) in ("none", "normal")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_coloured_tokens_are_the_labels_of_the_shards(
    open_page: Any, report: Path, dataset: sftdata.Dataset, scheme: str
) -> None:
    shown = open_page(report, scheme=scheme).evaluate(TOKENS)
    assert all(is_green == is_underlined for _, is_green, is_underlined in shown)
    marked = sorted((int(number), is_green) for ids, is_green, _ in shown for number in ids.split())
    assert marked == sorted(shard_tokens(dataset.path))  # all samples are shown, in another order
    assert {is_trained for _, is_trained in marked} == {False, True}


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows_and_every_text_has_contrast(open_page: Any, report: Path, scheme: str, width: int) -> None:
    page = open_page(report, scheme=scheme, width=width)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    texts = page.evaluate(CONTRASTS)
    assert len(texts) > 200
    assert [(text, round(contrast, 2)) for text, contrast in texts if contrast < 4.5] == []
    page.locator(".samples > .k").check()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_on_paper_all_is_unfolded_and_tools_are_not_printed(open_page: Any, report: Path) -> None:
    page = open_page(report)
    folded = page.locator("details:not([open])").count()
    assert folded > 3
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open]):visible").count() == 0  # settings at their defaults are left out
    assert page.locator(".tools:visible, .k:visible, nav:visible").count() == 0
    assert page.evaluate("getComputedStyle(document.querySelector('.one')).breakInside") == "avoid"
    assert page.evaluate("getComputedStyle(document.querySelector('.samples mark')).printColorAdjust") == "exact"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() == folded


def test_without_scripts_all_is_there_but_the_tools(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator(".find:visible").count() == 0
    assert len(samples_of(page)) > 20
    context.close()
