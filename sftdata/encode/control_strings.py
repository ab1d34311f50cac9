"""Control strings in message text, most often another model's end-of-turn token at the end of scraped answers.

A control string is the text of a control token (see tokenizer/control.py). In message text it stays plain text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sftdata.encode.stats import EncodingStats
from sftdata.encode.template.messages import strings_in, strings_of_message
from sftdata.encode.tokenizer.control import ControlTokens
from sftdata.records.end_tokens import EndTokens
from sftdata.records.record import Record


def count_control_strings(texts: Iterable[tuple[str, str]], control: ControlTokens, stats: EncodingStats) -> None:
    """Count the control strings in (role, text) pairs by string and role."""
    for role, text in texts:
        for string in control.find(text):
            stats.control_strings[string, role] += 1


def count_control_strings_of(record: Record, control: ControlTokens, stats: EncodingStats) -> None:
    """The same for a record that has more than roles and contents. Tools count as the role `tools`, arguments of the
    template as `chat_template_kwargs`.
    """
    texts = [(message.role, text) for message in record.messages for text in strings_of_message(message)]
    texts += [("tools", text) for tool in record.tools for text in strings_in(tool)]
    texts += [("chat_template_kwargs", text) for text in strings_in(record.template_kwargs)]
    count_control_strings(texts, control, stats)


def count_trailing_control(ends: Iterable[tuple[int, str | None]], stats: EncodingStats) -> list[int]:
    """Count the answers that end in an end token, by their last one: what `clean.strip_trailing_control` would strip.
    Returns the rows that have some. `ends` are those of `trailing_control`.

    An answer that has nothing else would be empty then, and is counted apart.
    """
    rows = []
    for row, token in ends:
        if token is None:
            stats.changes["only_control"] += 1
        else:
            stats.trailing_control[token] += 1
            rows.append(row)
    return rows


def trailing_control(
    texts: Sequence[tuple[int, str, str]],
    live: Iterable[tuple[int, Record]],
    not_plain: Iterable[tuple[int, Record]],
    end_tokens: EndTokens,
) -> Iterator[tuple[int, str | None]]:
    """The row of each answer that ends in an end token, and its last one; None if the answer has nothing else.

    `texts` are the texts of the plain records among `live` that may have an end token, as row, role and text. So a
    question matters to an answer only where it is one of them. `not_plain` are the other records.
    """
    asked = {row for row, role, _ in texts if role == "user"}
    for row, role, text in texts:
        if role == "assistant" and row not in asked:
            answer, tokens = end_tokens.split(text)
            if tokens:
                yield row, tokens[-1] if answer else None
    with_question = ((row, record) for row, record in live if row in asked) if asked else ()
    for row, record in (*with_question, *not_plain):
        for token in end_tokens.trailing(record):
            yield row, token
