"""What columns are commonly called, and which columns of a row may be its question, its context and its answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

# Names in several languages, most likely first.
_INSTRUCTIONS = ("instruction", "anweisung", "aufgabe", "consigne", "instruccion", "instrucción", "istruzione")
_QUESTIONS = (
    *("question", "query", "prompt"),
    *_INSTRUCTIONS,
    *("input", "problem", "user", "human", "request", "title"),
    *("frage", "anfrage", "eingabe", "pregunta", "consulta", "entrada", "pergunta", "domanda", "requête", "demande"),
    *("вопрос", "запрос", "问题", "指令", "输入", "質問", "입력", "질문", "q"),
)
_ANSWERS = (
    *("answer", "response", "output", "completion", "chosen", "solution", "target", "assistant", "reply", "summary"),
    *("highlights", "tldr"),
    *("antwort", "ausgabe", "lösung", "loesung", "respuesta", "salida", "resposta", "saída", "risposta"),
    *("réponse", "reponse", "sortie", "ответ", "回答", "答案", "输出", "応答", "답변", "출력", "a"),
    *("accepted", "preferred", "correct", "best"),
)
_CONTEXTS = (
    *("input", "context", "passage", "document", "background"),
    *("kontext", "eingabe", "contexte", "contexto", "entrada", "contesto", "контекст", "输入", "上下文"),
)
_TEXTS = ("text", "content", "body", "story", "document", "article", "inhalt", "texte", "texto", "testo")
_DIALOGS = ("dialog", "dialogue", "chat", "turns", "messages", "conversation", "thread", "gespräch", "verlauf")
# A column whose name ends in one of these says something about the row.
_ABOUT = {
    *("id", "uuid", "guid", "index", "idx", "key", "hash", "url", "uri", "link", "file", "path", "source", "split"),
    *("date", "time", "timestamp", "created", "updated", "lang", "language", "model", "version", "license", "author"),
    *("name", "category", "type", "topic", "tags", "score", "rating"),
}
# What the names of answers say that are not to be trained on, as whole words and as the beginning of one; and what
# those of the answers say that are better than others.
_REJECTED = {"bad", "badly", "worse", "worst", "lose", "loser", "losing", "lost", "neg", "negatives", "schlecht"}
_REJECTING = ("reject", "incorrect", "wrong", "distract", "negativ", "hallucinat", "dispref", "unpref", "falsch")
_PREFERRED = {"chosen", "correct", "best", "accepted", "preferred", "right", "winner", "winning", "better", "gold"}
_NOT = {"not", "non", "less", "least", "un"}  # before one of _PREFERRED
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
# A column with such a name may say which of the choices is the answer, with a value such as 2, B, (b) or model_b.
_PICKS = {"answer", "label", "key", "gold", "correct", "target", "best", "chosen", "preferred", "preference", "winner"}
_PICK = re.compile(r"\(?(?:(?:model|response|answer|option|choice)[_ -]?)?(?:[A-Za-z]|\d{1,2})(?:\.0)?[).]?")
_CHOICES = {"choice", "option", "ending", "candidate", "alternative"}
_SEVERAL = {"answer", "response", "completion", "output"}  # a list with such a name holds choices
_NUMBERED = re.compile(r"(.*[_. -]|)[A-Ea-e]|(.*?)\d{1,2}|(.*[a-z])[A-E]|(op)[a-e]")  # option1, ref_B, C
_NOT_NUMBERED = {"question", "sentence", "premise", "text", "prompt", "input", "q"}
# Marks of a chat that was rendered with a template: its text is not to be trained on as it is.
_RENDERED = re.compile(
    r"<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|\[INST\]|<｜User｜>|<\|(?:user|assistant)\|>"
    r"|^(?:### ?)?(?:Human|User|Assistant|Instruction|USER|ASSISTANT): ?",
    re.MULTILINE,
)
_WORDS = re.compile(r"[^\W\d_]+", re.UNICODE)
_CAMEL = re.compile(r"(?<=[a-zß-ÿ])(?=[A-Z])")
_PARTS = 3  # at most this many columns are tried for each part of a conversation
_MAX_DEPTH = 3


def likely_settings(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Settings of a source that may make a conversation of this row, most likely first. None of them is tried."""
    pick, choices = picked_from(row) or (None, [])
    has_texts = any(map(is_cell, row))  # as names: the others may be texts too, unless they are words alone
    given = {key: value for key, value in row.items() if " " not in str(key)} if has_texts else row
    paths = {path: value for path, value in _paths(given, "", 0) if not (is_rejected(path) or is_cell(path))}
    if pick is not None:
        paths = {path: value for path, value in paths.items() if path.split(".")[0] not in (pick, *choices)}
    lists = [(path, value) for path, value in paths.items() if isinstance(value, list) and _holds_objects(value)]
    for path, turns in sorted(lists, key=lambda item: (not _is_preferred(item[0]), not _is_dialog(item[0]))):
        yield {"columns": {"messages": path}}
        for role, content in _turn_keys(turns[0]) if isinstance(turns[0], dict) else ():
            yield {"columns": {"messages": path, "role": role, "content": content}}
    texts = [path for path, value in paths.items() if _is_text(value) and not is_about(path)]
    texts.sort(key=lambda path: not _is_preferred(path))
    for path in texts:
        if is_rendered(paths[path]):
            yield {"format": "rendered"}
            yield {"format": "rendered", "columns": {"text": path}}
    strings = [path for path in texts if isinstance(paths[path], str)]
    may_answer = [path for path in texts if "text" in _words(path) or _NO_ANSWER.isdisjoint(_stems(path))]
    answers = _named([path for path in may_answer if path in strings], _ANSWERS) or _named(may_answer, _ANSWERS)
    questions = _named(strings, _QUESTIONS)
    answers.sort(key=lambda path: not _is_preferred(path))
    contexts = _named(texts, _CONTEXTS)
    for answer, question in product(answers[:_PARTS], questions[:_PARTS]):
        if answer != question:
            context = next((path for path in contexts if path not in (answer, question)), None)
            if context is not None:
                yield {"columns": {"instruction": question, "input": context, "output": answer}}
            yield {"columns": {"prompt": question, "completion": answer}}
    if has_texts or pick is not None or any(is_rejected(str(key)) for key in row):
        return
    if not (questions and answers):
        bodies = _named(texts, _TEXTS) or (texts if len(texts) == 1 and not questions else [])
        for path in bodies[:1]:
            is_part = message_column(row) is not None or any(answer != path for answer in answers)
            if is_part or is_rendered(paths[path]):
                continue
            yield {"format": "text"} if path == "text" else {"format": "text", "columns": {"text": path}}


def guessed_settings(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Settings for a row whose names say little: a text and its summary, or else the first text asks and the next one
    answers. Only its owner knows.
    """
    no_pair = (
        picked_from(row) is not None
        or message_column(row) is not None
        or any("label" in _stems(str(key)) for key in row)
    )
    if no_pair or any(map(is_cell, row)):
        return None
    outer = {key: value for key, value in row.items() if not isinstance(value, list)}
    names = [path for path, value in _paths(outer, "", 0) if isinstance(value, str)]
    texts = [name for name in names if not is_about(name) and not is_rejected(name)]
    if len(texts) < 2:
        return None
    answer = next(iter(_named(texts, _ANSWERS)), None)
    question = next(path for path in [*_named(texts, _QUESTIONS), *_named(texts, _TEXTS), *texts] if path != answer)
    if answer is None:
        answer = next(path for path in texts if path != question)
    return {"columns": {"prompt": question, "completion": answer}}


def message_column(row: Mapping[str, Any]) -> str | None:
    """The column that shows that a row is one message of a conversation: its role, or the message before it."""
    for key, value in row.items():
        words = _stems(str(key))
        if isinstance(value, str) and value.strip().lower() in _ROLES and words & _ROLE_NAMES:
            return str(key)
        if (
            "parent" in words
            and words <= {"parent", "message", "comment", "post", "id"}
            and (value is None or isinstance(value, (str, int)))
        ):
            return str(key)
    return None


def picked_from(row: Mapping[str, Any]) -> tuple[str, list[str]] | None:
    """The column that says which of the choices is the answer, by a number or a letter, and the columns of the choices;
    None if there are none.
    """
    choices: list[str] = []
    numbered: dict[str, list[str]] = {}
    for key, value in row.items():
        name, words = str(key), _stems(str(key))
        if not isinstance(value, (str, list, dict)) or not value:
            continue
        if words & _CHOICES or (isinstance(value, list) and len(value) > 1 and words & _SEVERAL):
            choices.append(name)
        elif (match := _NUMBERED.fullmatch(name)) is not None and not words & _NOT_NUMBERED:
            numbered.setdefault(next(stem for stem in match.groups() if stem is not None), []).append(name)
    choices += [name for names in numbered.values() if len(names) > 1 for name in names]
    for key, value in row.items():
        picks = _PICK.fullmatch(value.strip()) if isinstance(value, str) else _is_text(value)
        if picks and choices and str(key) not in choices and _stems(str(key)) & _PICKS:
            return str(key), choices
    return None


def _paths(node: object, path: str, depth: int) -> Iterator[tuple[str, object]]:
    """Every value in a row with its dotted path, outer ones first; only the first item of a list."""
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


def _is_dialog(path: str) -> bool:
    return any(word in _DIALOGS for word in _words(path))


def _turn_keys(turn: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The keys of a turn that may hold its role and its text: every pair of texts, a short one first."""
    texts = [key for key, value in turn.items() if isinstance(value, str) and not is_rejected(key)]
    texts.sort(key=lambda key: len(turn[key]))
    yield from ((role, content) for role in texts[:_PARTS] for content in reversed(texts) if role != content)


def _words(path: str) -> list[str]:
    """The words of a path in lower case: `meta.userMessage` -> meta, user, message."""
    return [word.lower() for word in _WORDS.findall(_CAMEL.sub(" ", path))]


def _stems(path: str) -> set[str]:
    """The words of a path, and those in the plural without their last letter too."""
    words = _words(path)
    return {*words, *(word[:-1] for word in words if word.endswith("s"))}


def is_rendered(value: object) -> bool:
    """Whether a text holds a chat that a template was applied to."""
    return isinstance(value, str) and _RENDERED.search(value) is not None


def is_about(path: str) -> bool:
    """Whether a column says something about the row, such as where it is from, by its name."""
    words = _words(path)
    return bool(words) and words[-1] in _ABOUT


def is_cell(name: object) -> bool:
    """Whether the name of a column looks like the text or the number in a row, so that its file has no header."""
    if not isinstance(name, str):
        return False
    is_number = re.fullmatch(r"\s*-?\d+(?:[.,]\d+)*%?\s*", name) is not None
    is_sentence = name.rstrip().endswith((".", "!", "?", "。", "！", "？")) or len(name.split()) > 5 or len(name) > 60
    return is_number or is_sentence or name.lstrip().startswith(("{", "["))


def is_rejected(path: str) -> bool:
    """Whether a column holds answers that are not to be trained on, by its name."""
    words = _words(path)
    if any(word in _REJECTED or word.startswith(_REJECTING) for word in words):
        return True
    return any(one in _NOT and other in _PREFERRED for one, other in zip(words, words[1:]))


def _is_preferred(path: str) -> bool:
    """Whether a column holds answers that are better than others, by its name: `chosen`, or `best_answer`. A column
    with such a name alone may say whether another one is.
    """
    words = _words(path)
    return words == ["chosen"] or (len(words) > 1 and not _PREFERRED.isdisjoint(words))


def _named(paths: Sequence[str], names: Sequence[str]) -> list[str]:
    """The paths that have such a name: first those whose last part is one, then those with it as a word or in one."""
    last = {path: path.rpartition(".")[2].lower() for path in paths}
    exact = [path for name in names for path in paths if last[path] == name]
    words = [path for name in names for path in paths if len(name) > 1 and name in _stems(path)]
    inside = [path for name in names for path in paths if len(name) >= 5 and name in last[path]]
    return list(dict.fromkeys([*exact, *words, *inside]))
