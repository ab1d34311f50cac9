"""Common prefixes, by hand."""

from __future__ import annotations

from sftdata.curate.duplicates.prefix import prefix_key
from sftdata.curate.duplicates.settings import PrefixConfig
from sftdata.records.record import Message, Record


def ask(prompt: str, system: str | None = None) -> Record:
    head = () if system is None else (Message(role="system", content=system),)
    return Record(messages=(*head, Message(role="user", content=prompt), Message(role="assistant", content="A")))


def test_prompts_that_begin_alike_share_a_key_whatever_follows():
    assert prefix_key(ask("abcdefgh one"), 8) == prefix_key(ask("abcdefgh two"), 8) is not None
    assert prefix_key(ask("abcdefgX one"), 8) != prefix_key(ask("abcdefgh one"), 8)


def test_case_white_space_and_full_width_letters_are_ignored_in_prefixes():
    assert prefix_key(ask("  AB\n\n cd ef gone"), 8) == prefix_key(ask("ab cd ＥＦ there"), 8) is not None


def test_shorter_prompts_and_system_prompts_are_not_compared():
    assert prefix_key(ask("abcdefg"), 8) is None
    assert prefix_key(ask(" a" + 100 * " " + "b "), 8) is None
    assert prefix_key(ask("abc", system="You are a careful and helpful assistant."), 8) is None


def test_two_hundred_characters_are_the_default():
    assert PrefixConfig().chars == 200
