"""What to do about rows that no setting reads: a sentence, and Python that was tried on them where that is certain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sftdata.read.column_names import (
    ANSWERS,
    CONTEXTS,
    QUESTIONS,
    holds_rows,
    holds_turns,
    is_rendered,
    label_column,
    list_of_texts,
    message_column,
    named,
)
from sftdata.read.columns.choices import picked_from, several_answers
from sftdata.read.columns.snippets import Part, Snippet, joined, of_classes, of_items, of_pick, of_turns
from sftdata.read.columns.words import is_about, is_rejected
from sftdata.read.formats.convert import RowFormat, convert
from sftdata.read.formats.fields import at_path, key_list
from sftdata.records.record import Drop

Row = Mapping[str, Any]
_MORE_CONTEXTS = (*CONTEXTS, "article", "story", "text", "ctx", "support")


def explain(rows: Sequence[Row]) -> tuple[str, Snippet | None]:
    """What to do about failing rows that no settings fix, as one clause."""
    for about in (_about_choices, _about_labels, _about_texts, _about_turns):
        found = about(rows)
        if found is not None:
            return found
    return _about_shapes(rows)


def _about_texts(rows: Sequence[Row]) -> tuple[str, Snippet | None] | None:
    """Rows with nothing but a list of texts, which may be turns."""
    path = next((found for row in rows if (found := list_of_texts(row)) is not None), None)
    if path is None:
        return None
    what = (
        f"{shown(path)} holds texts without roles; if the user and the assistant speak in turn, write them as messages"
    )
    return what, of_turns(rows, path)


def _about_turns(rows: Sequence[Row]) -> tuple[str, Snippet | None] | None:
    """Rows with lists of turns that cannot be read."""
    lists = [path for path, value in rows[0].items() if holds_turns(value) and not is_rejected(path)] if rows else []
    for path in lists:
        read = convert({**rows[0], "messages": rows[0][path]}, RowFormat("messages")).found
        if isinstance(read, Drop):
            return f"{shown(path)} holds turns, of which one cannot be read ({read.detail})", None
    return None


def _about_choices(rows: Sequence[Row]) -> tuple[str, Snippet | None] | None:
    """Rows with several answers, with a column that says which is right or without one."""
    picks = next((found for row in rows if (found := picked_from(row)) is not None), None)
    if picks is not None:
        pick, choices = picks
        snippet = None
        if (prompt := _prompt(rows, {pick, *choices})) is not None:
            snippet = of_pick(rows, prompt, pick, choices)
        what = f"{shown(pick)} says by a number or a letter which of {shown(*choices)} answers"
        return f"{what}; write the text of that answer", snippet
    answers = next((names for row in rows if (names := several_answers(row))), None)
    if answers is None:
        return None
    snippet = None
    if any(isinstance(row.get(answers[0]), list) for row in rows) and (prompt := _prompt(rows, set(answers))):
        first = of_items(rows, prompt, answers[0], None)
        snippet = None if first is None else first._replace(condition=f"for {shown(answers[0])}")
    what = f"{shown(*answers)} hold answers, and nothing plainly says which of them are the ones to train on"
    return f"{what}; write one row for each that is, with the text of the question", snippet


def _about_labels(rows: Sequence[Row]) -> tuple[str, Snippet | None] | None:
    """Rows with a text and the number of its class."""
    label = next((found for row in rows if (found := label_column(row)) is not None), None)
    if label is None:
        return None
    prompt = _prompt(rows, {label}, all_texts=True)
    snippet = None if prompt is None else of_classes(rows, prompt, label)
    return f"{shown(label)} is the class of a row; write the name of that class as the answer", snippet


def _about_shapes(rows: Sequence[Row]) -> tuple[str, Snippet | None]:
    """Rows of any other kind."""
    rejected = next((key for row in rows for key in map(str, row) if is_rejected(key)), None)
    if rejected is not None:
        return f"{shown(rejected)} is not to be trained on, by its name, and no other column is plainly an answer", None
    message = next((column for row in rows if (column := message_column(row)) is not None), None)
    if message is not None:
        what = f"each row seems to be one message, as {shown(message)} says"
        return f"{what}; write those of a conversation into one row, as a list under messages", None
    whole = next((path for row in rows for path, _ in _lists(row) if holds_rows(path, at_path(row, path))), None)
    if whole is not None:
        return f"{shown(whole)} holds whole rows; write each of them as a row of its own", None
    many = next((path for row in rows for path, count in _lists(row) if count > 1), None)
    if many is not None:
        what = f"{shown(many)} holds several items; write one row for each, with the text of the question"
        return f"{what} and the answer", _one_for_each(rows, many)
    rendered = next((key for row in rows for key, value in row.items() if is_rendered(value)), None)
    if rendered is not None:
        return f"{shown(rendered)} holds chats that a template was applied to; write their turns as messages", None
    what = "set columns to say which of them are the prompt and the completion, or hold messages"
    return f"{what}; a dotted path such as data.answer names what is inside a column", None


def shown(*names: str) -> str:
    """The names of columns on one line."""
    return key_list(dict.fromkeys(names))


def _prompt(rows: Sequence[Row], without: set[str], all_texts: bool = False) -> Part | None:
    """The text of the question, with its context before it; or `all_texts` of a row. None where none is plain."""
    texts = [
        str(key)
        for key in rows[0]
        if key not in without
        and not (is_about(str(key)) or is_rejected(str(key)))
        and all(isinstance(row.get(key), str) and row[key].strip() for row in rows)
    ]
    texts = [name for name in texts if not _is_label(rows, name)]
    if all_texts:
        return joined(texts) if 0 < len(texts) <= 3 else None
    found = named(texts, QUESTIONS)
    if not found:
        longest = max(texts, key=lambda name: sum(len(row[name]) for row in rows), default=None)
        return None if longest is None else joined([longest])
    context = next((name for name in named(texts, _MORE_CONTEXTS) if name != found[0]), None)
    return joined([found[0]] if context is None else [context, found[0]])


def _is_label(rows: Sequence[Row], name: str) -> bool:
    """Whether all texts of a column are single words, such as the name of a subject."""
    return all(len(str(row[name]).split()) <= 1 for row in rows)


def _one_for_each(rows: Sequence[Row], path: str) -> Snippet | None:
    """One row for each item of a list of texts, or of objects with the text of an answer."""
    prompt = _prompt(rows, {path.split(".", maxsplit=1)[0]})
    items = at_path(rows[0], path)
    if prompt is None or not isinstance(items, list) or not items:
        return None
    key = None
    if isinstance(items[0], dict):
        texts = [name for name, value in items[0].items() if isinstance(value, str) and not is_about(name)]
        key = next(iter(named(texts, (*ANSWERS, "text", "content"))), None)
        if key is None:
            return None
    return of_items(rows, prompt, path, key)


def _lists(row: Row) -> list[tuple[str, int]]:
    """The columns of a row, or those in one, that are lists of texts or objects, and their lengths."""
    flat = [(str(key), value) for key, value in row.items()]
    flat += [(f"{key}.{name}", item) for key, value in flat if isinstance(value, dict) for name, item in value.items()]
    lists = [(path, len(value)) for path, value in flat if isinstance(value, list) and value]
    lists = [(path, count) for path, count in lists if isinstance(at_path(row, f"{path}.0"), (str, dict))]
    lists = [pair for pair in lists if not is_rejected(pair[0])]
    return sorted(lists, key=lambda pair: is_about(pair[0].rstrip("s")))
