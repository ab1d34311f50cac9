"""sftdata.view.html: what is on the page, and what message text cannot do to it."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from sftdata.view.dataset import Dataset, Row, Sample, open_dataset
from sftdata.view.decoder import Decoder
from sftdata.view.html import row_html, sample_html, visible
from sftdata.view.html.text import readable, token_text

EVIL = '</span></div><script>alert(1)</script><img src=x onerror=alert(2)>&lt;"\' title="x'


class Page(HTMLParser):
    """The page's tags, the text of its samples, and its tokens as (marks, attributes, text)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.tokens: list[tuple[set[str], dict[str, str], str]] = []
        self.marks: list[str] = []
        self.all_text = ""
        self._stack: list[str] = []
        self._in_token = 0
        self.feed(html)
        self.close()
        assert not self._stack, "every tag is closed"

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        self.attributes |= set(values)
        if tag == "input":
            return
        self._stack.append(tag)
        self.marks.append((values.get("class") or "y") if tag == "mark" else "")
        if tag in ("b", "s", "u", "q", "kbd") and "i" in values:
            kinds = {one for one in self.marks if one} | ({"c"} if tag == "kbd" else set())
            self.tokens.append((kinds, values, ""))
            self._in_token = len(self._stack)

    def handle_endtag(self, tag):
        if tag == "input":
            return
        assert self._stack.pop() == tag
        self.marks.pop()
        if len(self._stack) < self._in_token:
            self._in_token = 0

    def handle_data(self, data):
        self.all_text += data
        if self._in_token:
            classes, title, text = self.tokens[-1]
            self.tokens[-1] = (classes, title, text + data)

    @property
    def text(self) -> str:
        return "".join(text for _, _, text in self.tokens)


@pytest.fixture
def row(small_dataset: Path) -> Row:
    return open_dataset(small_dataset)[0]


def sample_of(row: Row, record_id: str) -> Sample:
    return next(sample for sample in row.samples if sample.record_id == record_id)


def word_sample(words: list[str], trained: list[bool]) -> Sample:
    """A sample with one token per word, for any words."""
    tokenizer = Tokenizer(
        models.WordLevel(vocab={word: at for at, word in enumerate(dict.fromkeys(words))}, unk_token="")
    )
    tokenizer.decoder = decoders.Fuse()
    ids = [tokenizer.token_to_id(word) for word in words]
    labels = [id_ if flag else -100 for id_, flag in zip(ids, trained, strict=True)]
    return Sample("r<0>", ids, labels, "train/0.arrow", 0, 0, Decoder(tokenizer), frozenset())


def ids_and_labels(page: Page) -> list[tuple[int, int]]:
    """The id and label of each token on a page, as they are shown."""
    found = []
    for marks, attributes, _ in page.tokens:
        ids = list(map(int, attributes["i"].split()))
        labels = attributes["i"].split() if "y" in marks else ["-100"] * len(ids)
        labels = attributes["l"].split() if "l" in attributes else labels
        found += zip(ids, map(int, labels), strict=True)
    return found


def test_the_tokens_on_the_page_are_those_of_the_row_each_with_id_and_label(row: Row):
    expected = [pair for sample in row.samples for pair in zip(sample.input_ids, sample.labels, strict=True)]
    assert ids_and_labels(Page(row_html(row))) == expected


def test_trained_tokens_and_no_others_are_marked_as_trained(row: Row):
    page = Page(sample_html(sample_of(row, "r0")))
    assert "".join(text for classes, _, text in page.tokens if "y" in classes) == "Paris.<|im_end|>"


def test_control_tokens_are_chips_but_text_that_looks_like_them_is_not(dataset_writer, tmp_path: Path):
    folder = dataset_writer(tmp_path / "out", {"train": [[[("user", "hi"), ("assistant", "yo")]]]})
    sample = open_dataset(folder).sample(0)
    chips = [text for classes, _, text in Page(sample_html(sample)).tokens if "c" in classes]
    assert chips == ["<|im_start|>", "<|im_end|>", "<|im_start|>", "<|im_end|>"]
    forged = word_sample(["<|im_", "end|>"], [False, False])
    assert not any("c" in classes for classes, _, _ in Page(sample_html(forged)).tokens)


def test_the_text_on_the_page_is_the_text_of_the_sample(row: Row):
    for record_id in ("r0", "r1", "r3"):
        assert Page(sample_html(sample_of(row, record_id))).text == sample_of(row, record_id).text


def test_message_text_cannot_become_markup(row: Row):
    tags = {"style", "div", "p", "span", "i", "b", "s", "u", "q", "kbd", "mark", "em", "small", "input"}
    page = Page(row_html(row))
    assert set(page.tags) <= tags
    assert page.attributes <= {"class", "title", "data-c", "i", "l", "n", "d", "style", "type", "aria-label"}
    evil = Page(sample_html(word_sample([EVIL, "\n", EVIL], [True, False, False])))
    assert set(evil.tags) <= tags
    assert evil.attributes <= {"class", "title", "data-c", "i", "l", "n", "d", "style", "type", "aria-label"}
    assert evil.text == f"{EVIL}\n{EVIL}"


def test_names_from_the_files_cannot_become_markup(small_dataset: Path):
    ds = open_dataset(small_dataset)
    tokenizer = ds.manifest.tokenizer.model_copy(update={"source": EVIL})
    html = Dataset(ds.path, ds.manifest.model_copy(update={"tokenizer": tokenizer}))._repr_html_()
    assert "<script" not in html
    assert EVIL in Page(html).all_text


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from(" \n\t<>&\"'")))
def test_marks_for_white_space_are_not_part_of_the_text(text: str):
    assert Page(f"<b i=1>{visible(text)}</b>").text == text
    assert Page(f"<b i=1>{token_text(text)}</b>").text == text
    assert Page(f"<b i=1>{readable(text)}</b>").text == text


def test_white_space_and_invisible_characters_are_marked():
    assert visible(" \n\t") == '<i class="s"> </i><i class="n"></i>\n<i class="b">\t</i>'
    assert visible("\u202e") == '<i class="u" data-c="U+202E">\u202e</i>'


def test_control_characters_are_not_put_on_the_page():
    assert visible("\x1b\r\x00\x9b") == (
        '<i class="u" data-c="ESC">\u241b</i><i class="u" data-c="CR">\u240d</i>'
        '<i class="u" data-c="NUL">\u2400</i><i class="u" data-c="U+009B">&lt;U+009B&gt;</i>'
    )


def test_a_character_of_several_tokens_appears_once_and_its_hover_text_names_the_bytes(row: Row):
    page = Page(sample_html(sample_of(row, "r3")))
    attributes = next(attributes for _, attributes, text in page.tokens if text == "€")
    assert attributes["d"] == "bytes E2 · bytes 82 · bytes AC"
    assert len(attributes["i"].split()) == 3


def test_a_partly_trained_character_is_marked(row: Row):
    sample = sample_of(row, "r3")
    at = next(span.start for span in sample.spans() if span.text == "€")
    labels = [*sample.labels[:at], -100, *sample.labels[at + 1 :]]
    torn = Sample("r", sample.input_ids, labels, "s", 0, 0, sample.decoder, sample.control_ids)
    page = Page(sample_html(torn))
    assert [text for classes, _, text in page.tokens if "p" in classes] == ["€"]
    assert "trained in part" in page.all_text
    assert "trained in part" not in sample_html(sample)


def test_the_page_loads_nothing(row: Row):
    html = row_html(row)
    assert "http" not in html
    assert "url(" not in html
    assert "@import" not in html


def test_a_long_row_says_what_is_left_out(row: Row):
    first, second = row.samples[:2]
    page = Page(row_html(row, max_tokens=first.num_tokens + 5))
    assert len(ids_and_labels(page)) == first.num_tokens + 5
    assert f"Not shown: {second.num_tokens - 5} more tokens of this sample." in page.all_text
    hidden = row.samples[2:]
    tokens = sum(sample.num_tokens for sample in hidden)
    assert f"Not shown: {len(hidden)} more samples with {tokens} tokens." in page.all_text


def test_rows_samples_and_datasets_have_html_for_notebooks(small_dataset: Path):
    ds = open_dataset(small_dataset)
    assert "6 conversations packed into 3 sequences of 256 tokens" in Page(ds._repr_html_()).all_text
    assert "exact duplicate of an earlier row" in Page(ds._repr_html_()).all_text
    assert ds[0]._repr_html_() == row_html(ds[0])
    assert ds.sample(0)._repr_html_() == sample_html(ds.sample(0))
