"""What columns are commonly called, and which columns of a row may be its question, its context and its answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from sftdata.read.columns.choices import numbered_columns, picked_from, several_answers
from sftdata.read.columns.words import is_about, is_preferred, is_rejected, stems, words_of
from sftdata.read.formats.shapes.known import detect_format

# Names in several languages, most likely first.
_INSTRUCTIONS = ("instruction", "anweisung", "aufgabe", "consigne", "instruccion", "instrucción", "istruzione")
QUESTIONS = (
    *("question", "query", "prompt"),
    *_INSTRUCTIONS,
    *("input", "problem", "user", "human", "request", "title"),
    *("frage", "anfrage", "eingabe", "pregunta", "consulta", "entrada", "pergunta", "domanda", "requête", "demande"),
    *("вопрос", "запрос", "问题", "指令", "输入", "質問", "입력", "질문", "q"),
)
ANSWERS = (
    *("answer", "response", "output", "completion", "chosen", "solution", "target", "assistant", "reply", "summary"),
    *("highlights", "tldr"),
    *("antwort", "ausgabe", "lösung", "loesung", "respuesta", "salida", "resposta", "saída", "risposta"),
    *("réponse", "reponse", "sortie", "ответ", "回答", "答案", "输出", "応答", "답변", "출력", "a"),
    *("accepted", "preferred", "correct", "best", "ans"),
)
# What a program is called, and the text that it is written from.
_CODE = ("code", "program", "canonical_solution", "implementation", "function", "snippet", "sql")
_DOCS = ("docstring", "documentation", "description", "comment", "spec", "nl", "text", "intent")
CONTEXTS = (
    *("input", "context", "passage", "document", "background"),
    *("kontext", "eingabe", "contexte", "contexto", "entrada", "contesto", "контекст", "输入", "上下文"),
)
_TEXTS = ("text", "content", "body", "story", "document", "article", "inhalt", "texte", "texto", "testo")
_DIALOGS = ("dialog", "dialogue", "chat", "turns", "messages", "conversation", "thread", "gespräch", "verlauf")
_LABELS = {"label", "labels", "class", "sentiment", "emotion", "intent"}
_MAX_LABEL_WORDS = 3
_ROLE_NAMES = {"role", "from", "speaker", "sender", "author"}
_ROLES = {
    "system",
    "user",
    "assistant",
    "human",
    "gpt",
    "prompter",
    "bot",
    "ai",
    "model",
    "chatbot",
    "agent",
    "customer",
}
# Words of names that are no answers, unless "text" is one of them too.
_NO_ANSWER = {"start", "end", "num", "number", "index", "indices", "idx", "label", "score", "id", "count", "rank"}
# Marks of a chat that was rendered with a template: its text is not to be trained on as it is.
_RENDERED = re.compile(
    r"<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|\[INST\]|<｜User｜>|<\|(?:user|assistant)\|>"
    r"|^(?:### ?)?(?:Human|User|Assistant|Instruction|USER|ASSISTANT): ?",
    re.MULTILINE,
)
_ROWS = {
    "data",
    "rows",
    "examples",
    "items",
    "records",
    "samples",
    "entries",
    "instances",
    "train",
    "test",
}  # of a file
_PARTS = 3  # at most this many columns are tried for each part of a conversation
_MAX_DEPTH = 3


def likely_settings(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Settings of a source that may make a conversation of this row, most likely first. None of them is tried."""
    pick, choices = picked_from(row) or (None, [])
    choices = [*choices, *numbered_columns(row), *several_answers(row)]  # none of them is plainly the answer
    has_texts = any(map(is_cell, row))  # as names: the others may be texts too, unless they are words alone
    given = {key: value for key, value in row.items() if " " not in str(key)} if has_texts else row
    paths = {path: value for path, value in _paths(given, "", 0) if not (is_rejected(path) or is_cell(path))}
    paths = {path: value for path, value in paths.items() if path.split(".")[0] not in (pick, *choices)}
    lists = [(path, value) for path, value in paths.items() if isinstance(value, list) and _holds_objects(value)]
    lists = [(path, value) for path, value in lists if not holds_rows(path, value)]
    yield from _lists_of_turns(paths)
    for path, turns in sorted(lists, key=lambda item: (not is_preferred(item[0]), not _is_dialog(item[0]))):
        yield {"columns": {"messages": path}}
        for role, content in _turn_keys(turns[0]) if isinstance(turns[0], dict) else ():
            yield {"columns": {"messages": path, "role": role, "content": content}}
    texts = [path for path, value in paths.items() if _is_text(value) and not is_about(path)]
    texts += [path for path, value in paths.items() if isinstance(value, bool) and path.lower() in ANSWERS]
    texts.sort(key=lambda path: not is_preferred(path))
    for path in texts:
        if is_rendered(paths[path]):
            yield {"format": "rendered"}
            yield {"format": "rendered", "columns": {"text": path}}
    strings = [path for path in texts if isinstance(paths[path], str)]
    may_answer = [path for path in texts if "text" in words_of(path) or _NO_ANSWER.isdisjoint(stems(path))]
    answers = named([path for path in may_answer if path in strings], ANSWERS) or named(may_answer, ANSWERS)
    questions = named(strings, QUESTIONS)
    answers.sort(key=lambda path: (not is_preferred(path), _is_only_result(path, paths)))
    contexts = named(texts, CONTEXTS)
    for answer, question in product(answers[:_PARTS], questions[:_PARTS]):
        if answer != question:
            context = next((path for path in contexts if path not in (answer, question)), None)
            if context is not None:
                yield {"columns": {"instruction": question, "input": context, "output": answer}}
            yield {"columns": {"prompt": question, "completion": answer}}
    if has_texts or pick is not None or label_column(row) is not None or any(is_rejected(str(key)) for key in row):
        return
    if not (questions and answers) and code_pair(strings) is None and not several_answers(row):
        bodies = named(texts, _TEXTS) or (texts if len(texts) == 1 and not questions else [])
        for path in bodies[:1]:
            is_part = message_column(row) is not None or any(answer != path for answer in answers)
            if is_part or is_rendered(paths[path]):
                continue
            yield {"format": "text"} if path == "text" else {"format": "text", "columns": {"text": path}}


def _lists_of_turns(paths: Mapping[str, object]) -> Iterator[dict[str, Any]]:
    """Settings for a question that is a list of turns, and an answer that is a text or a list of turns."""
    turns = [path for path, value in paths.items() if holds_turns(value)]
    given = [path for path, value in paths.items() if path in turns or isinstance(value, str)]
    given = [path for path in given if not is_about(path)]
    questions = [path for path in named(given, QUESTIONS) if path in turns]
    answers = sorted(named(given, ANSWERS), key=lambda path: (not is_preferred(path), path not in turns))
    for answer, question in product(answers[:_PARTS], questions[:_PARTS]):
        if answer != question:
            yield {"columns": {"prompt": question, "completion": answer}}


def holds_turns(value: object) -> bool:
    """Whether a value is a list of turns, by the roles of some of them."""
    return isinstance(value, list) and any(
        isinstance(item, Mapping) and any(isinstance(item.get(name), str) for name in ("role", "from"))
        for item in value
    )


def list_of_texts(row: Mapping[str, Any]) -> str | None:
    """The column that holds two texts or more, in a row that has no other text: they may be turns."""
    texts = [str(key) for key, value in row.items() if isinstance(value, str) and not is_about(str(key))]
    lists = [
        str(key)
        for key, value in row.items()
        if isinstance(value, list) and len(value) > 1 and all(isinstance(item, str) for item in value)
    ]
    lists = [name for name in lists if not is_rejected(name) and not is_about(name.rstrip("s"))]
    return lists[0] if len(lists) == 1 and not texts else None


def more_settings(
    columns: Mapping[str, str], unused: Sequence[str], row: Mapping[str, Any]
) -> Iterator[dict[str, str]]:
    """These columns with one for the system prompt or the tools too, for each unused one that is called so."""
    for path in unused:
        words = words_of(path)
        if "system" in words and "system" not in columns:
            below = [
                name for name, value in _paths(row, "", 0) if isinstance(value, str) and name.startswith(f"{path}.")
            ]
            for name in (path, *below):
                yield {**columns, "system": name}
        elif words and words[-1] in ("tools", "functions") and "tools" not in columns:
            yield {**columns, "tools": path}


def guessed_settings(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Settings for a row whose names say little: a text and its summary, or else the first text asks and the next one
    answers. Only its owner knows.
    """
    if picked_from(row) is not None or message_column(row) is not None or any(map(is_cell, row)):
        return None
    if (several := several_answers(row)) and not isinstance(row[several[0]], str):
        return None
    label = label_column(row)
    if label is not None and not isinstance(row[label], str):
        return None
    left = {*several[1:], *(numbered_columns(row) if not several else ())}
    outer = {key: value for key, value in row.items() if not isinstance(value, list) and key not in left}
    names = [path for path, value in _paths(outer, "", 0) if isinstance(value, str)]
    texts = [name for name in names if not is_about(name) and not is_rejected(name)]
    if len(texts) < 2:
        return None
    pair = code_pair(texts)
    if pair is not None:
        return {"columns": {"prompt": pair[0], "completion": pair[1]}}
    answer = next(iter([*several[:1], *([label] if label is not None else named(texts, ANSWERS))]), None)
    question = next(path for path in [*named(texts, QUESTIONS), *named(texts, _TEXTS), *texts] if path != answer)
    if answer is None:
        answer = next(path for path in texts if path != question)
    return {"columns": {"prompt": question, "completion": answer}}


def code_pair(texts: Sequence[str]) -> tuple[str, str] | None:
    """A text that says what a program does, and the program, by their names; None if there are none."""
    code = next(iter(named(texts, _CODE)), None)
    docs = next((path for path in named(texts, _DOCS) if path != code), None)
    return None if code is None or docs is None else (docs, code)


def label_column(row: Mapping[str, Any]) -> str | None:
    """The column that says by a number or a word to which class a text belongs; None if there is none."""
    for key, value in row.items():
        words = words_of(str(key))
        is_short = isinstance(value, int) or (isinstance(value, str) and len(value.split()) <= _MAX_LABEL_WORDS)
        if words and words[-1] in _LABELS and is_short:
            return str(key)
    return None


def _is_only_result(path: str, paths: Mapping[str, Any]) -> bool:
    """Whether an answer is the result of a solution that a longer column tells."""
    solution = next((other for other in paths if other.rpartition(".")[2].lower() == "solution"), None)
    return solution is not None and path != solution and len(str(paths[path])) < len(str(paths[solution]))


def message_column(row: Mapping[str, Any]) -> str | None:
    """The column that shows that a row is one message of a conversation: its role, or the message before it."""
    for key, value in row.items():
        words = stems(str(key))
        if isinstance(value, str) and value.strip().lower() in _ROLES and words & _ROLE_NAMES:
            return str(key)
        if (
            "parent" in words
            and words <= {"parent", "message", "comment", "post", "id"}
            and (value is None or isinstance(value, (str, int)))
        ):
            return str(key)
    return None


def _paths(node: object, path: str, depth: int) -> Iterator[tuple[str, object]]:
    """Every value in a row with its dotted path, outer ones first; only the first item of a list, and none of turns:
    the others, or the rest of a turn, would be lost.
    """
    if holds_turns(node):
        return
    if isinstance(node, Mapping):
        inner = [(f"{path}.{key}" if path else str(key), item) for key, item in node.items()]
    else:
        inner = [(f"{path}.0", node[0])] if isinstance(node, list) and node else []
    yield from inner
    if depth < _MAX_DEPTH:
        for name, item in inner:
            yield from _paths(item, name, depth + 1)


def _is_text(value: object) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _holds_objects(items: list[Any]) -> bool:
    """Whether a list begins with an object, or with a pair of texts, as a list of turns or exchanges does."""
    first = items[0] if items else None
    return isinstance(first, dict) or (
        isinstance(first, list) and len(first) == 2 and all(isinstance(text, str) for text in first)
    )


def holds_rows(path: str, items: list[Any]) -> bool:
    """Whether a list holds whole rows, such as those of a file, by its name and what is in it."""
    is_file = not _ROWS.isdisjoint(words_of(path)) and not _is_dialog(path)
    return is_file and all(isinstance(item, dict) and detect_format(item) is not None for item in items)


def _is_dialog(path: str) -> bool:
    return any(word in _DIALOGS for word in words_of(path))


def _turn_keys(turn: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The keys of a turn that may hold its role and its text: every pair of texts, a short one first."""
    texts = [key for key, value in turn.items() if isinstance(value, str) and not is_rejected(key)]
    texts.sort(key=lambda key: len(turn[key]))
    yield from ((role, content) for role in texts[:_PARTS] for content in reversed(texts) if role != content)


def is_rendered(value: object) -> bool:
    """Whether a text holds a chat that a template was applied to."""
    return isinstance(value, str) and _RENDERED.search(value) is not None


def is_cell(name: object) -> bool:
    """Whether the name of a column looks like the text or the number in a row, so that its file has no header."""
    if not isinstance(name, str):
        return False
    is_number = re.fullmatch(r"\s*-?\d+(?:[.,]\d+)*%?\s*", name) is not None
    is_sentence = name.rstrip().endswith((".", "!", "?", "。", "！", "？")) or len(name.split()) > 5 or len(name) > 60
    return is_number or is_sentence or name.lstrip().startswith(("{", "["))


def named(paths: Sequence[str], names: Sequence[str]) -> list[str]:
    """The paths that have such a name: first those whose last part is one, then those with it as a word or in one."""
    last = {path: path.rpartition(".")[2].lower() for path in paths}
    exact = [path for name in names for path in paths if last[path] == name]
    words = [path for name in names for path in paths if len(name) > 1 and name in stems(path)]
    inside = [path for name in names for path in paths if len(name) >= 5 and name in last[path]]
    return list(dict.fromkeys([*exact, *words, *inside]))
