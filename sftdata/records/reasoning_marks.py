"""Reasoning that is written into the text of an answer, in the marks of some model, and the answer behind it.

    <think>They greet me.</think>Hello!         reasoning "They greet me.", answer "Hello!"
    They greet me.\\n</think>\\n\\nHello!          the same: R1's chat template opens the block in the prompt
    [THINK]They greet me.                       never closed: what is reasoning and what is answer is not certain

Where both are certain, a template can write them in its own marks.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# Marks that only models write, and how each is closed.
MARKS_OF_MODELS = {
    "<think>": "</think>",
    "<seed:think>": "</seed:think>",
    "[THINK]": "[/THINK]",
    "◁think▷": "◁/think▷",
    "<|begin_of_thought|>": "<|end_of_thought|>",
    "<|START_THINKING|>": "<|END_THINKING|>",
}
# Names of tags, in any case, that prompts ask for too: "reply with <reasoning> and <answer>".
_NAMES = "think|thinking|thoughts?|reasoning|reasoning_process|chain_of_thought|cot|scratchpad"
_OPENING = rf"{'|'.join(map(re.escape, MARKS_OF_MODELS))}|<(?i:{_NAMES})>"
_OPENS = re.compile(rf"\s*({_OPENING})")
BEGINNING = rf"^\s*(?:{_OPENING})"  # for a quick look at many texts (RE2: no look-around)
FIRST_BYTES = bytes({mark.encode()[0] for mark in (*MARKS_OF_MODELS, "<")})  # of BEGINNING, behind white space
# What opens and closes the answer behind reasoning; it is no part of the answer. <answer> stays: prompts ask for it.
_ANSWERS = {
    "<|begin_of_thought|>": ("<|begin_of_solution|>", "<|end_of_solution|>"),
    "<|START_THINKING|>": ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
}
# Closing marks that are certain without the opening one. All contain one of _HINTS.
_CLOSES = {close: opening for opening, close in MARKS_OF_MODELS.items()} | {"</thinking>": "<thinking>"}
_CLOSING = re.compile("|".join(map(re.escape, _CLOSES)))
_HINTS = ("/think", "THINK", "_of_thought|>")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)


class InlineReasoning(NamedTuple):
    """The reasoning in the text of an answer, and the answer behind it. `flaw` says why the two are not certain."""

    mark: str  # that opens it, or the closing mark if that is absent
    reasoning: str = ""
    answer: str = ""
    flaw: str = ""

    @property
    def is_of_model(self) -> bool:
        """Whether its opening mark is one that only models write."""
        return self.mark in MARKS_OF_MODELS


def may_hold_reasoning(text: str) -> bool:
    """Whether `split_reasoning` may find something. Fast."""
    return _OPENS.match(text) is not None or any(hint in text for hint in _HINTS)


def split_reasoning(text: str) -> InlineReasoning | None:
    """The reasoning at the beginning of an answer; None if the answer does not begin with reasoning.

    An answer that begins with an opening mark has a flaw if the mark is never closed, or if it is not certain which of
    several closing marks ends the reasoning.
    """
    opening = _OPENS.match(text)
    if opening is None:
        return _only_closed(text) if any(hint in text for hint in _HINTS) else None
    mark = opening.group(1)
    close = MARKS_OF_MODELS.get(mark) or f"</{mark[1:]}"
    pattern = re.compile(re.escape(close), re.IGNORECASE)
    found = pattern.search(text, opening.end())
    if found is None:
        return InlineReasoning(mark, flaw=f"its text begins with {mark}, which is never closed")
    reasoning, answer = text[opening.end() : found.start()], text[found.end() :]
    rest = _CODE.sub("", answer)
    if len(pattern.findall(rest)) > len(re.findall(re.escape(mark), rest, re.IGNORECASE)):
        return InlineReasoning(mark, flaw=f"which {close} ends the reasoning that its text begins with is not certain")
    answer = answer.lstrip("\n")
    starts, ends = _ANSWERS.get(mark, ("", ""))
    inner = answer.strip()
    if starts and inner.startswith(starts) and inner.endswith(ends) and inner.count(starts) == 1:
        answer = inner[len(starts) : -len(ends)].strip("\n")
    return InlineReasoning(mark, reasoning.strip("\n"), answer)


def _only_closed(text: str) -> InlineReasoning | None:
    """The reasoning of a text in which only its end is marked: once, not in code, and at the end of a line or alone."""
    found = _CLOSING.search(text)
    if found is None:
        return None
    close, before, after = found.group(), text[: found.start()], text[found.end() :]
    if close in after or _CLOSES[close] in text or not before.strip() or not after.strip():
        return None
    is_in_code = before.count("```") % 2 == 1 or before.rpartition("\n")[2].count("`") % 2 == 1
    if is_in_code or not (after.startswith(("\n", "\r\n")) or before.endswith("\n")):
        return None
    return InlineReasoning(close, before.strip("\n"), after.lstrip("\r\n"))


def is_asked_for(mark: str, prompt: str) -> bool:
    """Whether a prompt shows a mark that is a tag, so that it is a form of the answer that it asks for."""
    if mark in MARKS_OF_MODELS or mark in _CLOSES:
        return False
    name = mark.strip("<>").lower()
    return f"<{name}>" in prompt.lower() or f"</{name}>" in prompt.lower()
