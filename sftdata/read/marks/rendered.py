"""A conversation that a chat template has already rendered into one text -> its turns, if that can be proven.

    <|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\nHello<|im_end|>\\n       user "Hi", assistant "Hello"

The proof: no turn contains a mark, and writing the turns with the same marks gives the text again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sftdata.read.formats.values import ConversionError
from sftdata.records.record import Message

_BEGINS = re.compile(r"(?:<s>|<bos>|<\|begin_of_text\|>|<\|startoftext\|>|<｜begin▁of▁sentence｜>|\[gMASK\]<sop>)?\s*")
_ENDS = ("", "\n", "</s>", "<|endoftext|>", "<eos>", "<|end_of_text|>")


class Marks(NamedTuple):
    """What one family of templates writes before and after each turn.

    `closes` are empty where only the next mark ends a turn. With `has_preamble`, text before the first mark is a system
    prompt. With `is_text`, the marks are words, which ordinary text may contain.
    """

    name: str
    opens: Mapping[str, str]
    closes: Mapping[str, str]
    has_preamble: bool = False
    is_text: bool = False


def _uniform(name: str, form: str, close: str, **roles: str) -> Marks:
    """Marks that are the same for every role but for its name."""
    return Marks(name, {role: form.format(label) for role, label in roles.items()}, dict.fromkeys(roles, close))


_OPENAI = {role: role for role in ("system", "user", "assistant", "tool", "developer")}


def _words(name: str, user: str, assistant: str, between: str, end: str = "", *, preamble: bool = True) -> Marks:
    return Marks(name, {"user": user, "assistant": assistant}, {"user": between, "assistant": end}, preamble, True)


_FAMILIES = (
    _uniform("ChatML", "<|im_start|>{}\n", "<|im_end|>\n", **_OPENAI),
    _uniform("ChatML", "<|im_start|>{}\n", "<|im_end|>", **_OPENAI),
    _uniform("Llama 3", "<|start_header_id|>{}<|end_header_id|>\n\n", "<|eot_id|>", **_OPENAI, ipython="ipython"),
    _uniform("Gemma", "<start_of_turn>{}\n", "<end_of_turn>\n", user="user", assistant="model", system="system"),
    _uniform("Phi", "<|{}|>\n", "<|end|>\n", **_OPENAI),
    _uniform("Zephyr", "<|{}|>\n", "</s>\n", **_OPENAI),
    _uniform("Zephyr", "<|{}|>\n", "</s>", **_OPENAI),
    _uniform("Tulu", "<|{}|>\n", "\n", **_OPENAI),
    Marks(
        "DeepSeek",
        {"user": "<｜User｜>", "assistant": "<｜Assistant｜>"},
        {"user": "", "assistant": "<｜end▁of▁sentence｜>"},
        True,
    ),
    *(
        Marks(
            "Llama 2",
            {"user": f"{start}[INST]{space}", "assistant": f"{space}[/INST]{after}"},
            {"user": "", "assistant": end},
        )
        for start, space, after, end in (
            ("<s>", " ", " ", " </s>"),
            ("<s>", " ", " ", "</s>"),
            ("", " ", " ", "</s>"),
            ("", " ", " ", " </s>"),
            ("", " ", " ", ""),
            ("", " ", "", "</s>"),
            ("", "", "", "</s>"),
        )
    ),
    _words("Vicuna", "USER: ", "ASSISTANT: ", " ", "</s>"),
    _words("Vicuna", "USER: ", "ASSISTANT: ", "\n", "</s>\n"),
    _words("Vicuna", "USER: ", "ASSISTANT: ", "\n", "\n"),
    _words("Vicuna", "USER: ", "ASSISTANT: ", " ", " "),
    _words("Alpaca", "### Instruction:\n", "### Response:\n", "\n\n", "\n\n"),
    _words("Alpaca", "### Instruction:\n", "### Response: ", "\n\n", "\n\n"),
    _words("Guanaco", "### Human: ", "### Assistant: ", "\n", "\n"),
    _words("Guanaco", "### Human: ", "### Assistant: ", "", ""),
    _words("Guanaco", "### Human:\n", "### Assistant:\n", "\n\n", "\n\n"),
    _words("Human and Assistant", "Human: ", "Assistant: ", "\n\n", "\n\n"),
)
_SYSTEM = re.compile(r"<<SYS>>\n(.*?)\n<</SYS>>\n\n(.*)", re.DOTALL)
_INPUT = "\n\n### Input:\n"


def rendered_turns(text: str) -> tuple[str, tuple[Message, ...]] | None:
    """The family and the turns of a rendered conversation; None if it is none, or the proof fails.

    There is at least one user's turn and an assistant's turn after it.
    """
    for marks in _FAMILIES:
        if marks.opens["user"].strip() in text:
            turns = _turns(text, marks)
            if turns is not None and _has_answer(turns):
                return marks.name, tuple(_split_system(turns, marks))
    return None


# What only a rendered text begins with, and how a rendered prompt ends; with the names of the families.
_STARTS = {mark: marks.name for marks in reversed(_FAMILIES) if not marks.is_text for mark in marks.opens.values()}
_ANSWERS = {marks.opens["assistant"].strip(): marks for marks in _FAMILIES if marks.is_text}
_START_MARKS, _ANSWER_MARKS = tuple(_STARTS), tuple(_ANSWERS)
_ALL_ANSWER_MARKS = tuple({marks.opens["assistant"].strip() for marks in _FAMILIES})


def _begins_as(text: str) -> str | None:
    """The family whose marks a text begins with, or None."""
    start = _BEGINS.match(text)
    at = start.end() if start else 0
    if not text.startswith(_START_MARKS, at):
        return None
    return next(name for mark, name in _STARTS.items() if text.startswith(mark, at))


def looks_rendered(text: str) -> str | None:
    """The family whose marks a text begins with, or which it is proven to be written in; None for other text."""
    family = _begins_as(text)
    if family is None and any(mark in text for mark in _ALL_ANSWER_MARKS):
        found = rendered_turns(text)
        family = None if found is None else found[0]
    return family


def ends_rendered(prompt: str) -> str | None:
    """The family in whose marks a prompt is rendered, up to those that open the answer; None for other text."""
    family = _begins_as(prompt)
    end = prompt[-40:].rstrip()
    if family is None and end.endswith(_ANSWER_MARKS):
        marks = next(marks for mark, marks in _ANSWERS.items() if end.endswith(mark))
        family = marks.name if marks.opens["user"].strip() in prompt else None
    return family


def refuse_text(value: object, label: str) -> None:
    """Raise ConversionError if a value is a text that looks rendered."""
    family = looks_rendered(value) if isinstance(value, str) else None
    if family is not None:
        raise _error(label, family)


def refuse_prompt(messages: Sequence[Message], label: str) -> None:
    """Raise ConversionError if the only message is a prompt that is rendered, up to the marks that open the answer."""
    family = ends_rendered(messages[0].content or "") if len(messages) == 1 else None
    if family is not None:
        raise _error(label, family)


def _error(label: str, family: str) -> ConversionError:
    return ConversionError(
        "rendered_chat",
        f"its {label} is a conversation that is already written in the marks of {family}; "
        "format: rendered reads it back into turns",
    )


def _turns(text: str, marks: Marks) -> list[Message] | None:
    """The turns of a text in these marks, proven, or None."""
    begin = _BEGINS.match(text)
    skip = begin.end() if begin and not text.startswith(marks.opens["user"]) else 0
    places = list(_openings(text[skip:], marks))
    if not places or (places[0][0] and not marks.has_preamble):
        return None
    body = text[skip:]
    preamble = body[: places[0][0]]
    ends = [start for start, _, _ in places[1:]] + [len(body)]
    turns: list[Message] = []
    for (_, role, start), end in zip(places, ends):
        close = marks.closes[role]
        content = body[start:end]
        if end == len(body):
            content = _without_end(content, close)
        elif close and not content.endswith(close):
            return None
        else:
            content = content[: len(content) - len(close)]
        if any(mark.strip() in content for mark in (*marks.opens.values(), *marks.closes.values()) if mark.strip()):
            return None
        turns.append(Message("tool" if role == "ipython" else role, content))
    if not _gives(turns, [role for _, role, _ in places], preamble, marks, body):
        return None
    return [Message("system", preamble.strip()), *turns] if preamble.strip() else turns


def _openings(text: str, marks: Marks) -> Iterator[tuple[int, str, int]]:
    """Where each turn opens: the place of its mark, its role, and where its content begins."""
    role_of = {mark: role for role, mark in marks.opens.items()}
    pattern = "|".join(re.escape(mark) for mark in sorted(role_of, key=len, reverse=True))
    # Words are marks only behind white space, or an end token; ### needs none.
    is_word = marks.is_text and not marks.opens["user"].startswith("#")
    for match in re.finditer(rf"(?:(?<=\s)|(?<=</s>)|^)(?:{pattern})" if is_word else pattern, text):
        yield match.start(), role_of[match.group()], match.end()


def _without_end(content: str, close: str) -> str:
    """The content of the last turn without what closes it, which may be cut short or be followed by an end token."""
    for end in sorted(
        {close + more for more in _ENDS} | {close.rstrip() + more for more in _ENDS}, key=len, reverse=True
    ):
        if end and content.endswith(end):
            return content[: len(content) - len(end)]
    return content


def _gives(turns: list[Message], roles: list[str], preamble: str, marks: Marks, text: str) -> bool:
    """Whether writing the turns with their marks gives the text again; the last turn may lack its end."""
    parts = [f"{marks.opens[role]}{turn.content}{marks.closes[role]}" for role, turn in zip(roles, turns)]
    whole = preamble + "".join(parts[:-1]) + f"{marks.opens[roles[-1]]}{turns[-1].content}"
    close = marks.closes[roles[-1]]
    rest = text[len(whole) :]
    return text.startswith(whole) and rest in {base + more for base in ("", close, close.rstrip()) for more in _ENDS}


def _has_answer(turns: list[Message]) -> bool:
    roles = [turn.role for turn in turns]
    return "user" in roles and "assistant" in roles[roles.index("user") :]


def _split_system(turns: list[Message], marks: Marks) -> Iterator[Message]:
    """The turns; Llama 2 writes the system prompt into the first of them, Alpaca an input behind the instruction."""
    for number, turn in enumerate(turns):
        content = turn.content or ""
        match = _SYSTEM.fullmatch(content) if marks.name == "Llama 2" and number == 0 else None
        if match is not None:
            yield Message("system", match.group(1))
            yield turn._replace(content=match.group(2))
        elif marks.name == "Alpaca" and turn.role == "user" and content.count(_INPUT) == 1:
            yield turn._replace(content=content.replace(_INPUT, "\n"))
        else:
            yield turn
