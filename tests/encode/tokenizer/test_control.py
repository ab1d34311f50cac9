"""Control strings are found, protected, guarded and revealed."""

from __future__ import annotations

from pathlib import Path

import tiny_tokenizers
from hypothesis import given
from hypothesis import strategies as st

from sftdata.encode.tokenizer.control import ControlTokens, control_tokens, private_name
from sftdata.encode.tokenizer.load import AddedToken, load_tokenizer

TOKENS = [
    AddedToken(id=10, content="<|im_end|>", special=True),
    AddedToken(id=11, content="<|im_end|>x", special=True),
    AddedToken(id=12, content="</think>", special=False),
]
PIECES = ["<|im_end|>", "<|im_end|>x", "</think>", "<|im_end|", "</", "think>", "x", " ", "é", "|>"]
TEXTS = st.lists(st.sampled_from(PIECES)).map("".join)


def test_the_longest_control_string_is_found_first() -> None:
    assert ControlTokens(TOKENS).find("a<|im_end|>x</think><|im_end|>") == ["<|im_end|>x", "</think>", "<|im_end|>"]


@given(TEXTS)
def test_protected_text_has_no_control_string_and_can_be_unprotected(text: str) -> None:
    control = ControlTokens(TOKENS)
    assert control.find(control.protect(text)) == []
    assert control.unprotect(control.protect(text)) == text


@given(TEXTS, TEXTS)
def test_only_what_the_template_wrote_gets_a_private_name(field: str, written: str) -> None:
    control = ControlTokens(TOKENS)
    guarded = control.guard(written + "\n" + control.protect(field))
    assert guarded.endswith("\n" + field)
    assert control.reveal(guarded) == written + "\n" + field
    names = [private_name(token.id) for token in TOKENS]
    assert sum(guarded.count(name) for name in names) == len(control.find(written))


def test_control_tokens_are_special_tokens_and_added_tokens_that_the_template_writes(tmp_path: Path) -> None:
    files = load_tokenizer(str(tiny_tokenizers.build("byte_level", tmp_path)))
    found = {token.content for token in control_tokens(files, ["... </think> ..."]).tokens}
    assert {"<|im_end|>", "</s>", "</think>"} <= found
    assert "<tool_call>" not in found
