"""A conversation that a chat template has already rendered into one text -> its turns, if that can be proven.

    <|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\nHello<|im_end|>\\n       user "Hi", assistant "Hello"

The proof: no turn contains a mark, and writing the turns with the same marks gives the text again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import cycle

from sftdata.records.chat_marks import ANALYSIS, FAMILIES, Marks
from sftdata.records.record import Message

_BEGINS = re.compile(
    r"(?:<s>|<bos>|<BOS_TOKEN>|<\|begin_of_text\|>|<\|startoftext\|>|<｜begin▁of▁sentence｜>|\[gMASK\]<sop>|\[BOS\])?\s*"
)
_ENDS = ("", "\n", "</s>", "<|endoftext|>", "<eos>", "<|end_of_text|>", "<|return|>", "<|user|>")
_SYSTEM = re.compile(r"<<SYS>>\n(.*?)\n<</SYS>>\n\n(.*)", re.DOTALL)
_INPUT = "\n\n### Input:\n"


def rendered_turns(text: str) -> tuple[str, tuple[Message, ...]] | None:
    """The family and the turns of a rendered conversation; None if it is none, or the proof fails.

    There is at least one user's turn and an assistant's turn after it.
    """
    return next(((marks.name, turns) for marks, turns in _proofs(text)), None)


def _proofs(text: str) -> Iterator[tuple[Marks, tuple[Message, ...]]]:
    """The families in whose marks a text is proven to be written, and its turns in them."""
    for marks in FAMILIES:
        if marks.opens["user"].strip() in text:
            turns = _turns(text, marks)
            if turns is not None and _has_answer(turns):
                yield marks, tuple(_split_system(turns, marks))


# What only a rendered text begins with, and how a rendered prompt ends.
_STARTS: dict[str, str] = {}
for _marks in FAMILIES:
    for _mark in _marks.opens.values() if not _marks.is_text else ():
        is_shared = _STARTS.setdefault(_mark, _marks.name) != _marks.name
        _STARTS[_mark] = f"a template with {_mark.strip()}" if is_shared else _marks.name
_ANSWERS = {marks.opens["assistant"].strip(): marks for marks in FAMILIES if marks.is_text}
_START_MARKS, _ANSWER_MARKS = tuple(sorted(_STARTS, key=len, reverse=True)), tuple(_ANSWERS)
ANSWER_MARKS = tuple(dict.fromkeys(marks.opens["assistant"].strip() for marks in FAMILIES))
STEMS = ("ssistant", "SSISTANT", "Response:", ">model", "_TOKEN|>", "bot>:", "[/INST]")  # each of them has one
# What a chat in words begins with before its first turn.
_PREAMBLE = re.compile(r"\s*(?:below is an? |a chat between |you are |(?:### ?)?system(?: prompt)?:)", re.IGNORECASE)
_SYSTEM_HEADER = re.compile(r"\A(?:### ?)?(?:System(?: Prompt)?|SYSTEM):\s*")  # before a preamble
_MAX_PREAMBLE = 1000  # characters
# What a text in the marks of FAMILIES begins with, for a quick look at many texts (RE2: no look-around).
BEGINNING = (
    rf"^(?:{_BEGINS.pattern}|\s+)(?:"
    + "|".join(sorted({re.escape(mark.strip()) for marks in FAMILIES for mark in marks.opens.values()}))
    + r")|^(?i:below is an? |a chat between )"
)


def _begins_as(text: str) -> str | None:
    """The family whose marks a text begins with, or None."""
    start = _BEGINS.match(text)
    at = start.end() if start else 0
    if not text.startswith(_START_MARKS, at):
        return None
    return next(_STARTS[mark] for mark in _START_MARKS if text.startswith(mark, at))


def looks_rendered(text: str) -> str | None:
    """The family whose marks a text begins with, or which it is proven to be written in; None for other text.

    A family whose marks are words is certain only if the text is nothing but turns in them, by the user and the
    assistant in turn, or begins as only rendered texts do.
    """
    begins = _begins_as(text)
    if begins is None and not any(stem in text for stem in STEMS):
        return None
    if begins is None and not any(mark in text for mark in ANSWER_MARKS):
        return None
    found = next((marks.name for marks, turns in _proofs(text) if _is_certain(text, marks, turns)), None)
    return found or begins


def _is_certain(text: str, marks: Marks, turns: Sequence[Message]) -> bool:
    """Whether a text that can be read as these turns is no other text that has marks in it by chance."""
    if not marks.has_preamble:
        return True
    has_end = any(close.strip() and close in text for close in marks.closes.values())
    if not marks.is_text:
        return has_end or _begins_as(text) is not None
    roles = [turn.role for turn in turns if turn.role != "system"]
    alternates = all(role == wanted for role, wanted in zip(roles, cycle(("user", "assistant"))))
    return alternates and (has_end or _has_preamble_only(text, marks))


def _has_preamble_only(text: str, marks: Marks) -> bool:
    """Whether nothing is before the first mark, or a preamble as templates write it: one paragraph before marks with
    ###, or one that begins as those of known templates.
    """
    before = text[: text.index(marks.opens["user"].strip())]
    begin = _BEGINS.match(before)
    before = before[begin.end() :] if begin else before
    is_paragraph = "\n\n" not in before.strip() and len(before) <= _MAX_PREAMBLE
    is_known = _PREAMBLE.match(before) is not None
    return not before.strip() or is_known or (is_paragraph and marks.opens["user"].startswith("#"))


def ends_rendered(prompt: str) -> str | None:
    """The family in whose marks a prompt is rendered, up to those that open the answer; None for other text."""
    family = _begins_as(prompt)
    end = prompt[-40:].rstrip()
    if family is None and end.endswith(_ANSWER_MARKS):
        for mark, marks in _ANSWERS.items():
            if end.endswith(mark) and marks.opens["user"].strip() in prompt and _has_preamble_only(prompt, marks):
                return marks.name
    return family


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
    system = _SYSTEM_HEADER.sub("", preamble.strip(), count=1)
    return [Message("system", system), *turns] if system else turns


def _openings(text: str, marks: Marks) -> Iterator[tuple[int, str, int]]:
    """Where each turn opens: the place of its mark, its role, and where its content begins."""
    role_of = {mark: role for role, mark in marks.opens.items()}
    pattern = "|".join(re.escape(mark) for mark in sorted(role_of, key=len, reverse=True))
    if marks.is_text and not marks.opens["user"].startswith("#"):  # words are marks only where a turn may begin
        pattern = rf"(?:(?<=\s)|(?<=</s>)|^)(?:{pattern})" if marks.is_inside_lines else rf"(?m:^)(?:{pattern})"
    for match in re.finditer(pattern, text):
        yield match.start(), role_of[match.group()], match.end()


def _without_end(content: str, close: str) -> str:
    """The content of the last turn without what closes it, which may be cut short or be followed by an end token."""
    ends = {base + more for base in (close, close.rstrip()) for more in _ENDS} | {"<|return|>"}  # of Harmony
    for end in sorted(ends, key=len, reverse=True):
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
    """Whether an answer comes after a question, and what is thought comes right before an answer."""
    roles = [turn.role for turn in turns]
    if any(role == ANALYSIS and after != "assistant" for role, after in zip(roles, [*roles[1:], ""])):
        return False
    return "user" in roles and "assistant" in roles[roles.index("user") :]


def _split_system(turns: list[Message], marks: Marks) -> Iterator[Message]:
    """The turns; Llama 2 writes the system prompt into the first of them, Alpaca an input behind the instruction, and
    Harmony what is thought as a turn before the answer.
    """
    thought: str | None = None
    for number, turn in enumerate(turns):
        content = turn.content or ""
        if turn.role == ANALYSIS:
            thought = content
            continue
        if thought is not None:
            turn, thought = turn._replace(reasoning=thought), None
        match = _SYSTEM.fullmatch(content) if marks.name == "Llama 2" and number == 0 else None
        if match is not None:
            yield Message("system", match.group(1))
            yield turn._replace(content=match.group(2))
        elif marks.name == "Alpaca" and turn.role == "user" and content.count(_INPUT) == 1:
            yield turn._replace(content=content.replace(_INPUT, "\n"))
        else:
            yield turn
