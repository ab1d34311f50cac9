"""Common prefixes, by hand."""

from __future__ import annotations

import numpy as np

from sftdata.curate.duplicates.prefix import drop_shared_prefixes, prefix_key
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


def test_the_preferred_row_of_a_prefix_is_kept_and_rows_without_a_key_are_ignored():
    one, two = [1, 2], [1, 3]
    keys = np.array([one, two, one, one, two, one], np.uint64)
    present = np.array([True, True, True, False, True, True])
    assert drop_shared_prefixes(keys, present, np.arange(6)).tolist() == [-1, -1, 0, -1, 1, 0]
    assert drop_shared_prefixes(keys, present, np.array([5, 4, 3, 2, 1])).tolist() == [-1, 4, 5, -1, -1, -1]
    assert drop_shared_prefixes(keys[:0], present[:0], np.arange(0)).tolist() == []
