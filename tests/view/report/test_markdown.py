"""Texts of data in Markdown: whatever they hold, they stay texts, in the place that they were put into."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from sftdata.view.report.markdown.text import block, cell, code, sentence, table

READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

NASTY = st.sampled_from(
    [
        *(
            "|",
            "`",
            "``",
            "```",
            "~~~",
            "\\",
            "\\|",
            "<script>alert(1)</script>",
            "<b>",
            "<!--",
            "-->",
            "</code>",
            "&lt;",
        ),
        *(
            "---",
            "===",
            "***",
            "\n",
            "\n\n",
            "\r",
            "\t",
            "    ",
            "# ",
            "- ",
            "+ ",
            "> ",
            "1. ",
            "2) ",
            "*a*",
            "_a_",
            "__",
        ),
        *(
            "[a](b)",
            "![a](b)",
            "[a]: b",
            "<http://a.b>",
            "http://a.b",
            "~~a~~",
            "$a$",
            "\u202e",
            "\u200b",
            "\x1b",
            "\x00",
        ),
        *("\u2028", "\x85", "|---|", ":-:", "a", " ", "{}", "%", "@@", "&#60;"),
    ]
)
TEXTS = st.lists(NASTY | st.text(max_size=4), max_size=8).map("".join)


def page_of(text: str) -> str:
    """A page with a text in every place that a card has."""
    return "\n".join(
        [
            f"# {sentence(text)}\n",
            f"say {sentence(text)} and {code(text)}.\n",
            f"- {sentence(text)}\n  - set {code(text)}\n",
            table(("a", "b"), [(sentence(text), cell(text)), ("c", "d")]),
            block(text, "diff"),
            "end\n",
        ]
    )


def tokens_of(page: str) -> list[Token]:
    return [one for token in READER.parse(page) for one in (token, *(token.children or ()))]


@given(TEXTS.filter(lambda text: text.strip(" \t\n") != ""))
def test_no_text_makes_another_page_of_it(text: str) -> None:
    blocks = [(one.type, one.tag, one.level) for one in READER.parse(page_of(text))]
    assert blocks == [(one.type, one.tag, one.level) for one in READER.parse(page_of("text"))]
    assert {one.type for one in tokens_of(page_of(text)) if one.level == 0 and not one.block} <= {"text", "code_inline"}
    assert not [one for one in tokens_of(page_of(text)) if one.type in ("html_inline", "html_block", "softbreak")]


@given(TEXTS.filter(lambda text: not set(text) & set("\n\t\r\x00\x1b\x85\u2028\u202e\u200b") and text.isprintable()))
def test_a_text_is_read_back_as_it_is(text: str) -> None:
    words = " ".join(text.split(" ")).strip(" ")
    (paragraph,) = READER.parse(f"x {sentence(text)}.")[1].children or [None]
    while "  " in words:
        words = words.replace("  ", " ")
    assert paragraph is not None and paragraph.content == f"x {words}."
    if text.strip(" "):
        (span,) = READER.parse(code(text))[1].children or [None]
        assert span is not None and (span.type, span.content) == ("code_inline", text)
    fence = READER.parse(block(text))[0]
    assert (fence.type, fence.content) == ("fence", f"{text}\n")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain words, 2.85 M (30.3%)", "plain words, 2.85 M (30.3%)"),
        ("a|b", "a&#124;b"),
        ("<script>", "&lt;script&gt;"),
        ("snake_case *x*", r"snake\_case \*x\*"),
        ("# head", r"\# head"),
        ("- item", r"\- item"),
        ("1. item", r"1\. item"),
        ("2.85 M", "2.85 M"),
        ("two\nlines", "two lines"),
        ("a\u202eb", "a&lt;U+202E&gt;b"),
        ("costs $5 or `$6`", "costs &#36;5 or &#96;&#36;6&#96;"),
        ("https://a.b and www.c.d", "https&#58;//a.b and www&#46;c.d"),
    ],
)
def test_a_sentence(text: str, escaped: str) -> None:
    assert sentence(text) == escaped


@pytest.mark.parametrize(
    ("text", "outside", "in_a_table"),
    [
        ("chats.jsonl:3", "`chats.jsonl:3`", "`chats.jsonl:3`"),
        ("<|im_end|>", "`<|im_end|>`", r"`<\|im_end\|>`"),
        ("a`b", "``a`b``", "``a`b``"),
        ("`a`", "`` `a` ``", "`` `a` ``"),
        ("", "-", "-"),
        (r"a\|b", r"`a\|b`", "a&#92;&#124;b"),
        ("a\nb", "`a␊b`", "`a␊b`"),
    ],
)
def test_a_code_span(text: str, outside: str, in_a_table: str) -> None:
    assert (code(text), cell(text)) == (outside, in_a_table)


def test_a_block_has_a_longer_fence_than_its_text() -> None:
    assert block("a\n```\nb", "yaml") == "````yaml\na\n```\nb\n````\n"
    assert block("\x1b[31mred\u2028") == "```\n␛[31mred<U+2028>\n```\n"


def test_a_table() -> None:
    assert table(("a", "b"), [("x", "1")], {1}) == "| a | b |\n| --- | ---: |\n| x | 1 |\n"
