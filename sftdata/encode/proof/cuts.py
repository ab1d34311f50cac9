"""Where the completion starts in a rendering that does not start with its prompt.

Some templates write the history differently once the answer is there. So the conversation is rendered again, with
sentinels as the texts of turn k and of the turn before it, which shows the form of both sides:

    prompt      ... before A G         G is the generation prompt: the rendering with it minus the rendering without it
    rendering   ... before B G C       C is the form of the completion; A and B close the message before

There are several ways to tell C from what comes before it:

- G is in the rendering as in the prompt. Mostly A = B; they differ where a template writes what closes the last message
  in another way (Hermes 2 Pro), or ends every rendering with instructions (Command R+ with tools).
- G is control tokens alone, and the rendering leaves it out: C comes right behind B (Apertus, behind a tool's result).
- A G is in the rendering with other white space (Llama 4 of vLLM): C comes behind it. White space that the prompt has
  at its end is the prompt's, in whatever form the rendering has it.
- The prompt ends with a block of reasoning that is closed and empty, which the rendering leaves out (Gemma 4, Hunyuan):
  C is what the rendering has in its place. A prompt that ends in an open block proves nothing.
- The prompt opens a block of reasoning, which the rendering leaves out, and the reasoning of the turn is what it has in
  its place, closed before the answer (Apriel 1.6): C begins with the reasoning.

The cut is proven if the real rendering and the real prompt end in the same forms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from sftdata.encode.template.conversation import Conversation, Refusal
from sftdata.encode.template.jinja import Turn
from sftdata.encode.template.probes import ANSWER, SENTINEL, THOUGHT, USER, TemplateProbes
from sftdata.records.reasoning_marks import MARKS_OF_MODELS

_BEFORE, _OWN, _THOUGHT = (SENTINEL.format(name) for name in ("before", "own", "ownthought"))
_REASONING = ("reasoning_content", "thinking", "reasoning")


class _Form(NamedTuple):
    """A proven form: the end of the prompt, the end of the rendering up to the completion, and the completion."""

    prompt: str
    before: str
    completion: str


def find_cut(chat: Conversation, k: int, prompt: str, rendering: str, probes: TemplateProbes) -> int:
    """Where the completion of turn k starts in its rendering. Raises Refusal if that cannot be proven."""
    turn = chat.messages[k]
    for form in _forms(chat, k, probes):
        for own, thought in product(_as_written(turn.get("content")), _as_written(turn.get("reasoning_content"))):
            completion = form.completion.replace(_OWN, own).replace(_THOUGHT, thought)
            start = len(rendering) - len(completion)
            if (
                rendering.endswith(completion)
                and rendering[:start].endswith(form.before)
                and prompt.endswith(form.prompt)
            ):
                return start
    raise Refusal("unproven_mask", "the template writes the conversation before it differently once it is answered", k)


def _as_written(text: object) -> tuple[str, ...]:
    """A text as a template may write it: as it is, or trimmed."""
    return tuple(dict.fromkeys((text, text.strip()))) if isinstance(text, str) and text.strip() else ("",)


def _forms(chat: Conversation, k: int, probes: TemplateProbes) -> Iterator[_Form]:
    """The forms in which the completion of turn k may be proven."""
    text = chat.messages[k].get("content")
    changed: list[Turn] = [*chat.messages[: k - 1], {**chat.messages[k - 1], "content": _BEFORE}, {**chat.messages[k]}]
    if isinstance(text, str) and text.strip():
        changed[k]["content"] = _OWN
    probe = Conversation(changed, chat.tools, chat.kwargs)
    prompt = probe.render(probes, k, prompt=True).rpartition(_BEFORE)[2]
    tail = probe.render(probes, k + 1, prompt=False).rpartition(_BEFORE)[2]
    if prompt and tail.startswith(prompt):
        yield _Form(prompt, prompt, tail[len(prompt) :])
        return
    try:
        without = probe.render(probes, k, prompt=False).rpartition(_BEFORE)[2]
    except Refusal:
        without = prompt
    generation = prompt[len(without) :] if prompt.startswith(without) else ""
    if generation.strip() and tail.count(generation) == 1:
        before, _, completion = tail.partition(generation)
        last = without[len(before) :] if without.startswith(before) else ""  # at the end of every rendering
        ends_before = last.strip() and any(end in completion.removesuffix(last) for end in probes.end_texts)
        if _without_space(before) == _without_space(without) or (ends_before and completion.endswith(last)):
            yield _Form(prompt, before + generation, completion)
            return
    is_control = all(probes.control.id_of(piece) is not None for piece in probes.control.pieces(generation.strip()))
    if generation.strip() and is_control and tail.startswith(without + _OWN) and generation not in tail:
        yield _Form(prompt, without, tail[len(without) :])
        return
    if prompt.strip():
        yield from _with_other_space(prompt, tail, probes)
    if not chat.messages[k].get("reasoning_content"):
        yield from _without_block(prompt, tail, probes)
    elif probes.shows_reasoning:
        thinking = {name: _THOUGHT for name in _REASONING if name in changed[k]}
        reasoned = Conversation([*changed[:k], {**changed[k], **thinking}], chat.tools, chat.kwargs)
        yield from _behind_opening(prompt, reasoned.render(probes, k + 1, prompt=False).rpartition(_BEFORE)[2], probes)


def _with_other_space(prompt: str, tail: str, probes: TemplateProbes) -> Iterator[_Form]:
    """The form of a completion behind all that the prompt has, in which only white space differs."""
    place = 0
    for character in _without_space(prompt):
        while tail[place : place + 1].isspace():
            place += 1
        if tail[place : place + 1] != character:
            return
        place += 1
    rest = _behind_space(tail[place:], prompt[len(prompt.rstrip()) :])
    before = tail[: len(tail) - len(rest)]
    if rest and probes.control.find(before) == probes.control.find(prompt):
        yield _Form(prompt, before, rest)


def _behind_space(text: str, given: str) -> str:
    """What comes behind the white space at the beginning of a text, of which the prompt has some in its own form."""
    rest = text.lstrip()
    space = text[: len(text) - len(rest)]
    return (space[len(given) :] if space.startswith(given) else "") + rest


def _behind_opening(prompt: str, tail: str, probes: TemplateProbes) -> Iterator[_Form]:
    """The form of a completion that begins with its reasoning, behind an opening that only the prompt has."""
    at = _common(prompt, tail, probes)
    opening, rest = prompt[at:].strip(), tail[at:].lstrip()
    closing = rest.partition(_THOUGHT)[2].partition(_OWN)[0].strip()
    closes = [close for _, close in probes.once(_marks)]
    if opening and rest.startswith(_THOUGHT) and closing and not any(one in opening for one in (closing, *closes)):
        yield _Form(prompt, tail[: len(tail) - len(rest)], rest)


def _without_block(prompt: str, tail: str, probes: TemplateProbes) -> Iterator[_Form]:
    """The form of a completion behind an empty, closed block of reasoning that only the prompt has."""
    at = _common(prompt, tail, probes)
    block, rest = prompt[at:], tail[at:]
    for opening, closing in probes.once(_marks):
        marks = re.compile(rf"\s*(?:{_flexible(opening)}\s*)?{_flexible(closing)}(\s*)")
        left_out = marks.fullmatch(block)
        if left_out is None:
            continue
        own = marks.match(rest)
        if own is not None:  # the rendering has a block of another form, and white space that the prompt may have too
            rest = _behind_space(rest[own.start(1) :], left_out.group(1))
        if rest.strip() and re.match(rf"\s*{_flexible(opening)}|\s*{_flexible(closing)}", rest) is None:
            yield _Form(prompt, tail[: len(tail) - len(rest)], rest)
            return


def _common(a: str, b: str, probes: TemplateProbes) -> int:
    """The length of what two texts have in common at their start, without a part of a control token."""
    size = 0
    for piece, other in zip(probes.control.pieces(a), probes.control.pieces(b)):
        if piece != other:
            same = next((at for at, (x, y) in enumerate(zip(piece, other)) if x != y), min(len(piece), len(other)))
            is_control = probes.control.id_of(piece) is not None or probes.control.id_of(other) is not None
            return size if is_control else size + same
        size += len(piece)
    return size


def _marks(probes: TemplateProbes) -> list[tuple[str, str]]:
    """What opens and closes reasoning in a template: as it writes a turn with reasoning, and as models are known to."""
    found = []
    for turn in ({"role": "assistant", "content": ANSWER}, probes.tool_turn):
        if turn is None:
            continue
        user: Turn = {"role": "user", "content": USER}
        has_calls = "tool_calls" in turn
        thinking = {**turn, "reasoning_content": THOUGHT, "thinking": THOUGHT}
        texts = [probes.probe([user, each], tools=has_calls) for each in (turn, thinking)]
        if None in texts or THOUGHT not in (texts[1] or ""):
            continue
        plain, with_thought = ((text or "").rpartition(USER)[2] for text in texts)
        before, _, after = with_thought.partition(THOUGHT)
        opening = before[_common(before, plain, probes) :]
        rest = plain[_common(before, plain, probes) :]
        closing = after[: len(after) - len(rest)] if rest and after.endswith(rest) else ""
        if opening.strip() and closing.strip():
            found.append((opening.strip(), closing.strip()))
    return [*found, *MARKS_OF_MODELS.items()]


def _flexible(mark: str) -> str:
    """A pattern for a mark in which white space may differ."""
    return r"\s*".join(map(re.escape, mark.split()))


def _without_space(text: str) -> str:
    return "".join(text.split())
