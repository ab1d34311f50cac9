"""Text is folded between words, and what is to be pasted stays in one piece."""

from __future__ import annotations

import shlex

from hypothesis import given
from hypothesis import strategies as st

from sftdata.settings.layout import command_lines, definitions, fold, fold_message, table


def test_a_message_is_folded_between_words_and_what_is_in_backticks_is_not() -> None:
    text = (
        "sftdata: c.yaml: has 2 sources, and it is not clear which; write `'sources.0.columns={prompt: q}'` for a.jsonl"
    )
    assert fold_message(text, 40).splitlines() == [
        "sftdata: c.yaml: has 2 sources, and it",
        "  is not clear which; write",
        "  `'sources.0.columns={prompt: q}'` for",
        "  a.jsonl",
    ]


def test_lists_of_problems_keep_their_indents_and_lines_of_a_file_are_left_alone() -> None:
    text = "c.yaml: 2 problems:\n  - the first is long enough to be folded\n"
    text += "  12 | a: b: c and so on, and on, and on\n     |     ^"
    assert fold_message(text, 24).splitlines() == [
        "c.yaml: 2 problems:",
        "  - the first is long",
        "    enough to be folded",
        "  12 | a: b: c and so on, and on, and on",
        "     |     ^",
    ]


@given(st.text("ab `-", max_size=200), st.integers(20, 60))
def test_folding_changes_nothing_but_spaces_and_line_breaks(text: str, width: int) -> None:
    assert fold_message(text, width).split() == text.split()
    assert " ".join(fold(text, width)).split() == text.split()


def test_a_name_that_is_too_long_has_a_line_of_its_own() -> None:
    rows = [("--short N", "what it does"), ("--a-very-long-option NAME,...", "what else is done")]
    assert [line.text for line in definitions(rows, 40)] == [
        "  --short N  what it does",
        "  --a-very-long-option NAME,...",
        "             what else is done",
    ]


def test_a_table_folds_its_cells_and_is_none_where_too_little_is_left() -> None:
    rows = [("near.on", "one of conversation, prompt", "the text that is compared, of both rows")]
    lines = table(("setting", "takes", ""), rows, 62, (10, 16))
    assert lines is not None
    assert [line.text for line in lines] == [
        "  setting  takes",
        "  near.on  one of            the text that is compared, of",
        "           conversation,     both rows",
        "           prompt",
    ]
    assert table(("setting", "takes", ""), rows, 50, (10, 16)) is None


def test_a_command_on_several_lines_is_the_same_command_for_a_shell() -> None:
    command = (
        "sftdata prepare 'my chats.jsonl' --tokenizer org/name --out shards 'sources.0.system=Be very brief.' seed=1"
    )
    lines = command_lines(command, 42)
    assert shlex.split("\n".join(lines).replace("\\\n", "")) == shlex.split(command)
    assert lines == [
        "  sftdata prepare 'my chats.jsonl' \\",
        "      --tokenizer org/name --out shards \\",
        "      'sources.0.system=Be very brief.' \\",
        "      seed=1",
    ]
