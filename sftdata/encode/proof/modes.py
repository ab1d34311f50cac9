"""The mode of thinking in which each answer is trained, and the empty thinking block that is not.

A model that thinks when asked to is served in two modes, by a switch that its template reads (template/thinking.py).
An answer with reasoning is what it writes with thinking on, one without is what it writes with thinking off:

    on    <user>hi<assistant>                             <think>They greet me.</think>Hello!<end>     all is trained
    off   <user>hi<assistant><think></think>              Hello!<end>                      the block is in the prompt

So unless a switch is given, each answer is proven in its own mode, and the prompt is the one that a server feeds in it.
Some models are in a third mode by default, and decide themselves: theirs is left if they would write that they do not.
Where a template writes an empty block and reads no switch (or a switch is given), the block goes to the prompt: if it
were trained, the model would learn not to think. `train_empty_thinking` trains it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sftdata.encode.proof.fields import CONTENT, REASONING
from sftdata.encode.proof.turns import ProvenTurn, prove_turn
from sftdata.encode.stats import THINKING
from sftdata.encode.template.conversation import Conversation, Refusal
from sftdata.encode.template.jinja import RenderError, Turn
from sftdata.encode.template.probes import ANSWER, SENTINEL, USER, TemplateProbes
from sftdata.encode.template.thinking import NAMES

DEFAULT, ON, OFF = "", "on", "off"
OF_ONE_TURN = ("no_end_of_turn", "unproven_mask", "lost_field")  # reasons for which one turn is left out
IN_PROMPT = "prompt"


@dataclass(frozen=True)
class Modes:
    """The probes of a template in each mode, and the modes that are tried first for answers with reasoning or not."""

    probes: dict[str, TemplateProbes]
    reasoned: str = DEFAULT
    plain: str = DEFAULT

    def order(self, *, reasoned: bool) -> list[str]:
        """The modes to try, the best first."""
        first, other = (self.reasoned, ON) if reasoned else (self.plain, OFF)
        return [mode for mode in dict.fromkeys((first, DEFAULT, other)) if mode in self.probes]


def modes_of(probes: TemplateProbes) -> Modes:
    """The modes of a template with its arguments. If these have a switch, there is only the one that it says."""
    return probes.once(_find_modes)


def _find_modes(probes: TemplateProbes) -> Modes:
    switch = probes.thinking.switch
    if switch is None or switch.name in probes.kwargs or not NAMES.isdisjoint(probes.kwargs):
        return Modes({DEFAULT: probes})
    given = {mode: {switch.name: switch.value(mode)} for mode in (ON, OFF)}
    default = probes.signature({})
    thinks, does_not = (default == probes.signature(given[mode]) for mode in (ON, OFF))
    thinks = thinks or (not does_not and _says_not_to_think(probes))
    return Modes(
        {DEFAULT: probes, **{mode: probes.with_arguments({**probes.kwargs, **one}) for mode, one in given.items()}},
        reasoned=ON if does_not else DEFAULT,
        plain=OFF if thinks and not probes.train_empty_thinking else DEFAULT,
    )


def _says_not_to_think(probes: TemplateProbes) -> bool:
    """Whether a model writes an empty block itself where it does not think, as one that decides for each question."""
    chat = Conversation(
        [{"role": "user", "content": USER}, {"role": "assistant", "content": ANSWER}], None, probes.kwargs
    )
    try:
        return _empty_block(prove_turn(chat, 1, probes), probes) is not None
    except Refusal:
        return False


def turns_in_modes(
    chat: Conversation, trained: Sequence[int], probes: TemplateProbes
) -> tuple[list[ProvenTurn], list[Refusal]]:
    """The prompt and completion of every trained turn, each in its mode; and why the others cannot be proven.

    Raises Refusal if none can be proven, or if the template refuses a turn.
    """
    turns: list[ProvenTurn] = []
    refusals: list[Refusal] = []
    for k in trained:
        try:
            turns.append(_turn_in_mode(chat, k, probes))
        except Refusal as refusal:
            if refusal.drop.reason not in OF_ONE_TURN:
                raise
            refusals.append(refusal)
    if not turns:
        raise refusals[0]
    return turns, refusals


def _turn_in_mode(chat: Conversation, k: int, probes: TemplateProbes) -> ProvenTurn:
    reasoned = _has_reasoning(chat.messages[k], probes)
    refusals: dict[str, Refusal] = {}
    for mode in modes_of(probes).order(reasoned=reasoned):
        chat_in_mode, own = in_mode(chat, probes, mode)
        try:
            turn = replace(prove_turn(chat_in_mode, k, own), mode=mode)
            if reasoned and _empty_block(turn, probes) is not None:
                what = "the template writes an empty thinking block in front of the reasoning in its text"
                raise Refusal("unproven_mask", what, k)
        except Refusal as refusal:
            refusals[mode] = refusal
            continue
        return turn if reasoned or probes.train_empty_thinking else _without_empty_block(turn, chat_in_mode, own)
    switch, first = probes.thinking.switch, refusals[DEFAULT]
    if reasoned and switch is not None and probes.kwargs.get(switch.name) == switch.off:
        first = first.with_detail(f"it has reasoning, and {switch.shown(OFF)}")
    raise first


def in_mode(chat: Conversation, probes: TemplateProbes, mode: str) -> tuple[Conversation, TemplateProbes]:
    """A conversation and the probes with the template arguments of a mode."""
    if mode == DEFAULT:
        return chat, probes
    own = modes_of(probes).probes[mode]
    return Conversation(chat.messages, chat.tools, own.kwargs), own


def _has_reasoning(turn: Turn, probes: TemplateProbes) -> bool:
    """Whether a turn has reasoning, in its field or in front of its content in the model's own marks."""
    if (turn.get(REASONING) or "").strip():
        return True
    marks, content = probes.thinking.own_marks, turn.get(CONTENT) or ""
    if marks is None or not content.lstrip().startswith(marks[0]):
        return False
    return bool(content.lstrip()[len(marks[0]) :].partition(marks[1])[0].strip())


def _empty_block(turn: ProvenTurn, probes: TemplateProbes) -> re.Match[str] | None:
    """The empty thinking block at the head of a completion, the white space behind it left out; or None.

    Some templates write only its end.
    """
    for opening, close in probes.thinking.marks:
        if close not in turn.completion:
            continue
        opens = "" if turn.prompt.rstrip().endswith(opening) else f"(?:{re.escape(opening)})?"
        block = re.match(rf"\s*{opens}\s*{re.escape(close)}", turn.completion)
        if block is not None:
            return block
    return None


def _without_empty_block(turn: ProvenTurn, chat: Conversation, probes: TemplateProbes) -> ProvenTurn:
    """The turn with the empty thinking block at the head of its completion moved to the end of its prompt."""
    content, block = chat.messages[turn.index].get(CONTENT) or "", _empty_block(turn, probes)
    if block is None:
        return turn
    rest = turn.completion[block.end() :]
    written = next((text for text in (content, content.strip()) if text.strip() and text in rest), "")
    if content[:1].isspace():  # the template may write some white space, and remove some
        space = _space_before_content(turn, rest, chat, probes)
    else:
        space = rest.partition(written)[0] if written else rest[: len(rest) - len(rest.lstrip())]
    if space.strip() or (not written and content.strip()):
        return turn  # something else comes before the answer
    cut = block.end() + len(space)
    prompt, completion = turn.prompt + turn.completion[:cut], turn.completion[cut:]
    return replace(turn, prompt=prompt, completion=completion, has_block=True)


def _space_before_content(turn: ProvenTurn, rest: str, chat: Conversation, probes: TemplateProbes) -> str:
    """The white space that the template itself writes between an empty block and a content, which is at the beginning
    of `rest`. Raises Refusal.
    """
    k = turn.index
    changed = {**chat.messages[k], CONTENT: SENTINEL.format("blank")}
    refused = Refusal("unproven_mask", "which white space before its content the template writes is not certain", k)
    try:
        text = probes.template.render([*chat.messages[:k], changed], tools=chat.tools, kwargs=chat.kwargs)
    except RenderError as error:
        raise refused from error
    head, found, _ = text.partition(changed[CONTENT])
    block = _empty_block(replace(turn, completion=head[len(turn.prompt) :]), probes)
    if not found or not head.startswith(turn.prompt) or block is None:
        raise refused
    space = head[len(turn.prompt) + block.end() :]
    if not rest.startswith(space):
        raise refused
    return space


def notes_of(turns: Sequence[ProvenTurn], probes: TemplateProbes) -> list[tuple[str, str]]:
    """What to count once of a record with these turns: the modes that its answers chose, and blocks in its prompts."""
    found = [(THINKING, IN_PROMPT)] if any(turn.has_block for turn in turns) else []
    switch = probes.thinking.switch
    if switch is not None:
        chosen = {turn.mode for turn in turns}
        found += [(THINKING, f"{mode}: {switch.shown(mode)}") for mode in (ON, OFF) if mode in chosen]
    return found
