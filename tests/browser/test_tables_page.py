"""Tables of a notebook in a browser: search, pages and sorting, several in a page, and a cell that runs again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browsing import notebook_page
from raw_rows import chat

import sftdata
from sftdata.view.html.cells import tables_page
from sftdata.view.html.tables import Cell, number_cell, paged_table

pytestmark = pytest.mark.filterwarnings("default")  # the notebook libraries' own
EVIL = "</td></table></script><script>window.pwned=1</script>"


class Shown:
    """What a cell shows."""

    def __init__(self, html: str) -> None:
        self._html = html

    def _repr_html_(self) -> str:
        return self._html


@pytest.fixture
def two_tables(tmp_path: Path) -> Path:
    numbers = [5, 40, 3, None, 1_000, *range(100, 120)]
    rows = [[Cell(f"name {at} {EVIL}"), number_cell(number)] for at, number in enumerate(numbers)]
    letters = [[Cell(letter)] for letter in "qwertzuiopasdfgh"]
    pages = (
        tables_page([paged_table(("name", "n"), rows, total=25)]),
        tables_page([paged_table(("letter",), letters, total=16, noun="letter")]),
    )
    (tmp_path / "page.html").write_text(notebook_page([(f"t{at}", Shown(one)) for at, one in enumerate(pages)]))
    return tmp_path / "page.html"


def rows_of(box: Any) -> list[str]:
    return [row.split("\t")[-1] for row in box.locator("tbody tr:visible").all_inner_texts()]


def test_a_table_pages_searches_and_sorts_without_touching_another(open_page: Any, two_tables: Path) -> None:
    page = open_page(two_tables)
    first, second = page.locator(".paged").all()
    assert rows_of(first) == ["5", "40", "3", "-", "1,000", "100", "101", "102", "103", "104"]
    assert first.locator(".tools span").inner_text() == "1\u201310 of 25"
    first.get_by_text("next").click()
    first.get_by_text("next").click()
    assert rows_of(first) == ["115", "116", "117", "118", "119"]
    first.locator("th", has_text="n").nth(1).click()  # the most first
    assert rows_of(first)[:3] == ["1,000", "119", "118"]
    first.locator("th").nth(1).click()
    assert rows_of(first)[:3] == ["3", "5", "40"]
    first.locator("th").nth(1).click()  # as they were
    assert rows_of(first)[:2] == ["5", "40"]
    first.locator("input").fill("SCRIPT 1,000")
    assert rows_of(first) == ["1,000"] and first.locator(".tools span").inner_text() == "1\u20131 of 1 found"
    first.locator("input").fill("nothing like it")
    assert first.locator(".tools span").inner_text() == "nothing found"
    assert rows_of(second) == list("qwertzuiop")
    second.locator("th").click()
    assert rows_of(second) == sorted("qwertzuiopasdfgh")[:10]
    assert page.evaluate("window.pwned") is None


def test_a_cell_that_runs_again_has_one_set_of_tools(open_page: Any, two_tables: Path) -> None:
    page = open_page(two_tables)
    page.evaluate("""() => {
        const script = [...document.querySelectorAll('script')].find(one => one.textContent.includes('sftvReady'));
        const again = document.createElement('script'); again.textContent = script.textContent;
        const box = document.querySelector('.paged'), copy = box.cloneNode(true);
        box.replaceWith(copy); document.body.append(again);
    }""")
    assert page.locator(".paged").first.locator(".tools").count() == 1
    page.locator(".paged").first.get_by_text("next").click()
    assert rows_of(page.locator(".paged").first)[0] == "105"


def test_without_scripts_the_first_page_is_there(browser: Any, two_tables: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(two_tables.resolve().as_uri())
    assert page.locator(".paged").first.locator("tbody tr:visible").count() == 10
    assert page.locator(".count").first.inner_text() == "10 of 25 rows"
    context.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_card_and_tables_of_a_dataset_do_not_overflow(
    open_page: Any, tiny_tokenizer: Path, tmp_path: Path, width: int, scheme: str
) -> None:
    rows = [{**chat(f"Question {n}? {'long' * 30}", f"Answer {n}."), "kind": f"kind {n % 3}"} for n in range(40)]
    ds = sftdata.prepare(
        [*rows, *rows[:9]], tokenizer=str(tiny_tokenizer), out=tmp_path / "out", keep=["kind"], progress=False
    )
    cells = [("ds", ds), ("ds.dropped", ds.dropped), ("ds.ledger", ds.ledger), ("ds.samples", ds.samples)]
    (tmp_path / "page.html").write_text(notebook_page(cells, scheme), encoding="utf-8")
    page = open_page(tmp_path / "page.html", scheme=scheme, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("svg.chart").count() == 2
    assert page.locator(".paged .tools").count() == 2
