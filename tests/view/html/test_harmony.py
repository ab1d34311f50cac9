"""The messages of Harmony as a page shows them, and a system prompt that the template has of its own."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from raw_rows import chat
from tokenizers import AddedToken, Tokenizer, decoders, models

import sftdata
from sftdata.view.decoder import Decoder
from sftdata.view.html.harmony import harmony_turns
from sftdata.view.html.tokens import shown_tokens
from sftdata.view.sample import Sample

CONTROL = ("<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>", "<|call|>", "<|return|>")
DEFAULT = "You are a kind model."
TEMPLATE = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are a kind model.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def found_in(text: str, controls: tuple[str, ...] = CONTROL) -> list[tuple[str, str, str]] | None:
    """The role, name and content of each message of a text, whose marks are control tokens."""
    words = re.findall(r"<\|\w+\|>|[^<]+|<", text)
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(dict.fromkeys(words))}, unk_token=""))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in controls])
    ids = [tokenizer.token_to_id(word) for word in words]
    marks = frozenset(tokenizer.token_to_id(mark) for mark in controls)
    sample = Sample("r", ids, ids, "s", 0, 0, Decoder(tokenizer), marks)
    found = harmony_turns(shown_tokens(sample))
    if found is None:
        return None
    return [(one.turn.role, one.name, text[one.turn.content_start : one.turn.content_end]) for one in found]


def test_reasoning_a_call_its_result_and_the_answer_are_messages_of_their_own() -> None:
    assert found_in(
        "<|start|>user<|message|>Rain?<|end|>"
        "<|start|>assistant<|channel|>analysis<|message|>I look.<|end|>"
        "<|start|>assistant<|channel|>commentary<|message|>One moment.<|end|>"
        "<|start|>assistant to=functions.rain<|channel|>commentary json<|message|>{}<|call|>"
        "<|start|>functions.rain to=assistant<|channel|>commentary<|message|>yes<|end|>"
        "<|start|>assistant<|channel|>final<|message|>It rains.<|return|>"
    ) == [
        ("user", "user", "Rain?"),
        ("assistant", "reasoning", "I look."),
        ("assistant", "assistant, commentary", "One moment."),
        ("assistant", "call of functions.rain", "{}"),
        ("tool", "result of functions.rain", "yes"),
        ("assistant", "assistant", "It rains."),
    ]


def test_the_recipient_may_be_behind_the_channel_and_the_end_cut_off() -> None:
    assert found_in(
        "<|start|>assistant<|channel|>commentary to=functions.a <|constrain|>json<|message|>{}<|call|>"
        "<|start|>user<|message|>And n"
    ) == [("assistant", "call of functions.a", "{}"), ("user", "user", "And n")]


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "<|start|>user",
        "a<|start|>user<|message|>b<|end|>",
        "<|start|>user<|message|>b<|end|>c",
        "<|start|>user<|message|>a<|message|>b<|end|>",
        "<|start|>user<|message|>a<|start|>user<|message|>b<|end|>",
        "<|start|>user<|end|>",
        "<|start|>two words<|message|>a<|end|>",
    ],
)
def test_anything_else_is_no_harmony(text: str) -> None:
    assert found_in(text) is None


def test_the_same_characters_that_are_text_are_no_marks() -> None:
    assert found_in("<|start|>user<|message|>a<|end|>", CONTROL[1:]) is None
    # `<|return|>` is text here, within a message
    assert found_in("<|start|>user<|message|>a<|return|>b<|end|>", CONTROL[:-1]) == [("user", "user", "a<|return|>b")]


def head_of(html: str) -> tuple[str, str]:
    """The name and counts of the first turn, and its content."""
    (turn,) = re.findall(r'<div class="m s"[^>]*>(.*?)</div>', html, re.DOTALL)
    (names,) = re.findall(r"<em>(.*?)</small>", turn)
    return unescape(re.sub(r"<[^>]*>", "", names)), turn.partition('<span class="c">')[2]


def test_the_system_prompt_of_the_template_is_grey_and_named(tiny_tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "kind.jinja").write_text(TEMPLATE, encoding="utf-8")
    given = chat("Hi?", "Ho.")
    given["messages"] = [{"role": "system", "content": "You are a <i> model."}, *given["messages"]]
    settings: dict[str, Any] = {"tokenizer": str(tiny_tokenizer), "template": str(tmp_path / "kind.jinja")}
    ds = sftdata.prepare([chat("Yes?", "No."), given], out=tmp_path / "out", progress=False, **settings)
    (with_default,) = ds.samples.search("Yes?")
    (with_own,) = ds.samples.search("Hi?")
    about, content = head_of(with_default.show(tokens=False).html)
    assert about.startswith("system the template's own, ")
    assert content.startswith(f'<span class="g">{DEFAULT}</span>')
    about, content = head_of(with_own.show(tokens=False).html)
    assert re.fullmatch(r"system \d+ tokens ", about)
    assert content.startswith("You are a &lt;i&gt; model.<span")
