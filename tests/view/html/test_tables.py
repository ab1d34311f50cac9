"""Tables that page: the first page without scripts, what is left out, and what data cannot do."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from raw_rows import chat

import sftdata
from sftdata.view.html.tables import MAX_BYTES, TABLE_CSS, TABLE_SCRIPT, Cell, number_cell, paged_table, table_html
from sftdata.view.layout import Table

EVIL = "</td></table><script>alert(1)</script><img src=x onerror=alert(2)>\"'\x1b\u202e"


class Rows(HTMLParser):
    """The rows of a page's tables, each as (is hidden, texts of its cells); and all tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[tuple[bool, list[str]]] = []
        self.tags: set[str] = set()
        self.text = ""
        self._in_cell = False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append(("hidden" in dict(attrs), []))
        self._in_cell = tag in ("td", "th") or (self._in_cell and tag == "span")
        if tag in ("td", "th"):
            self.rows[-1][1].append("")

    def handle_endtag(self, tag):
        self._in_cell = self._in_cell and tag != "td" and tag != "th"

    def handle_data(self, data):
        self.text += data
        if self._in_cell:
            self.rows[-1][1][-1] += data


def numbered(count: int) -> list[list[Cell]]:
    return [[Cell(f"row {n}"), number_cell(n)] for n in range(count)]


def test_the_first_page_is_shown_and_the_other_rows_are_hidden_rows() -> None:
    page = Rows(paged_table(("name", "n"), numbered(12), total=12))
    assert [texts for hidden, texts in page.rows if not hidden] == [
        ["name", "n"],
        *([f"row {n}", str(n)] for n in range(10)),
    ]
    assert [texts for hidden, texts in page.rows if hidden] == [["row 10", "10"], ["row 11", "11"]]
    assert "10 of 12 rows" in page.text


def test_a_table_of_one_page_has_nothing_to_page() -> None:
    html = paged_table(("name", "n"), numbered(10), total=10)
    assert "paged" not in html and "of 10 rows" not in html
    assert Rows(paged_table(("name",), [], total=0, noun="sample")).text == "0 samples"


def test_what_is_left_out_is_said() -> None:
    html = paged_table(("name", "n"), numbered(1_200), total=5_000, more="to_pandas() has all")
    page = Rows(html)
    assert len(page.rows) == 1_001
    assert "10 of 1,000 rows" in page.text
    assert "and 4,000 more rows not in this table: to_pandas() has all" in page.text


def test_a_table_has_at_most_200_kb_of_rows() -> None:
    html = paged_table(("text",), ([Cell("ä" * 200)] for _ in range(1_000)), total=1_000, wide=(0,))
    assert MAX_BYTES / 2 < len(html.encode()) < MAX_BYTES + 1_000
    page = Rows(html)
    assert f"and {1_001 - len(page.rows):,} more rows not in this table" in page.text


def test_long_texts_are_cut_and_text_stays_text() -> None:
    page = Rows(paged_table((EVIL,), [[Cell(EVIL)], [Cell("x" * 500)]], total=9, noun="row", more=EVIL))
    assert not page.tags & {"script", "img"}
    assert [len(texts[0]) for _, texts in page.rows[2:]] == [200]
    assert page.rows[1][1][0].startswith("</td></table><script>alert(1)</script>")
    assert "\x1b" not in page.text and "\u202e" not in page.text


def test_numbers_have_what_they_are_sorted_by() -> None:
    html = paged_table(("n",), [[number_cell(1234)], [number_cell(None)], [Cell("<0.1%", 0.00012)]], total=3)
    assert re.findall(r"<td[^>]*>[^<]*", html) == ["<td data-v=1234>1,234", "<td>-", "<td data-v=0.00012>&lt;0.1%"]


def test_the_script_makes_no_names_and_could_not_end_early() -> None:
    assert TABLE_SCRIPT.startswith("(() => {") and TABLE_SCRIPT.endswith("})()")
    assert "<" not in TABLE_SCRIPT.replace("first + size >= rows", "").replace("< ", "")
    assert "http" not in TABLE_SCRIPT + TABLE_CSS and "import" not in TABLE_SCRIPT and "window" not in TABLE_SCRIPT
    assert "getElementById" not in TABLE_SCRIPT
    assert len(TABLE_SCRIPT) < 4_000


def test_a_table_of_a_summary_has_bars_notes_and_a_box_of_its_own() -> None:
    table = Table(("a", "n"), (("x", "1"), ("y", "2")), frozenset({0}), "T<i>", (0.5, None), 1, ((), ("note",)))
    html = table_html(table)
    assert html.startswith('<p><b>T&lt;i&gt;</b></p><div class="box"><table>')
    assert html.count('style="width:50.00%"') == 1
    assert [texts for _, texts in Rows(html).rows] == [["a", "n", ""], ["x", "1", ""], ["y", "2", ""], ["note"]]


@pytest.fixture(scope="module")
def dataset(tiny_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> sftdata.Dataset:
    rows = [chat(f"Question {n}? {EVIL[:40]}", f"Answer {n}.") for n in range(30)]
    folder = tmp_path_factory.mktemp("tables")
    return sftdata.prepare([*rows, rows[3], rows[5]], tokenizer=str(tiny_tokenizer), out=folder / "out", progress=False)


def test_the_ledger_of_a_notebook_shows_fate_and_what_is_repeated(dataset: sftdata.Dataset) -> None:
    html = dataset.dropped._repr_html_()
    page = Rows(html)
    assert [texts for _, texts in page.rows[1:]] == [
        ["rows:31", "dropped as duplicate", "of rows:4", "-", "-"],
        ["rows:32", "dropped as duplicate", "of rows:6", "-", "-"],
    ]
    assert "dropped: duplicate 2" in page.text and "<script" not in html  # one page
    every = dataset.ledger._repr_html_()
    assert every.count("<script>") == 1 and "10 of 32 rows" in Rows(every).text


def test_samples_have_a_table_and_a_list(dataset: sftdata.Dataset) -> None:
    html = dataset.samples._repr_html_()
    page = Rows(html)
    rows = [texts for _, texts in page.rows[1:]]
    assert len(rows) == 30
    first = dataset.samples[0]
    assert rows[0][:4] == ["0", first.where, str(first.num_tokens), str(sum(label != -100 for label in first.labels))]
    assert rows[0][5].startswith("Question ") and rows[0][6].startswith("Answer ")
    assert "<script>alert" not in html
    assert html.count('class="sample"') == 10


def test_a_diff_is_shown_as_tables(dataset: sftdata.Dataset, tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = [chat(f"Question {n}? {EVIL[:40]}", f"Answer {n}.") for n in range(28)]
    other = sftdata.prepare(rows, tokenizer=str(tiny_tokenizer), out=tmp_path / "out", seed=7, progress=False)
    page = Rows(dataset.diff(other)._repr_html_())
    texts = [texts for _, texts in page.rows]
    assert ["rows that went", "rows", "first"] in texts
    assert ["seed", "0", "7"] in texts
    assert ["rows:29", "went", "packed in train", "-"] in texts
    assert "4 rows changed, 28 did not" in page.text
    assert "are the same: 32 rows" in Rows(dataset.diff(dataset)._repr_html_()).text
