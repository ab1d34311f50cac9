"""The definition of a correct loss mask, on text: the prompt and the completion of each trained turn.

For assistant turn k, with the same tools, template arguments and date:

    prompt      P_k = render(messages[:k], add_generation_prompt=True)       the input that an inference server uses
    rendering   R_k = render(messages[:k+1])
    completion  C_k = what follows P_k in R_k, up to and including the first end-of-turn token

Where the template writes the end of a turn only once the next turn follows, C_k is what follows P_k in the rendering
with a next turn (see template/ends.py: an end is a token at which a server stops).

The loss falls on the completions. All texts here are rendered from protected messages (see tokenizer/control.py), so
every control string in them was written by the template. A conversation for which the definition cannot be proven is
refused, with a reason and the number of the turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sftdata.encode.proof.cuts import find_cut
from sftdata.encode.proof.fields import lost_field, shape_of
from sftdata.encode.template.conversation import Conversation, Refusal
from sftdata.encode.template.ends import TurnEnd
from sftdata.encode.template.jinja import Turn
from sftdata.encode.template.probes import LATER, RESULT, TemplateProbes


@dataclass(frozen=True, slots=True)
class ProvenTurn:
    """The proven prompt and completion of a trained turn. `index` is its 0-based place in the conversation."""

    index: int
    prompt: str
    completion: str
    rendering: str | None  # R_k if it starts with prompt + completion, or these if its end is deferred; else None
    mode: str = ""  # of thinking, see modes.py
    has_block: bool = False  # whether its prompt ends with an empty thinking block that the template has in the answer


class TextSample(NamedTuple):
    """A text to train on, the spans of the completions in it, and their turns."""

    text: str
    spans: tuple[tuple[int, int], ...]
    turns: tuple[int, ...]
    mode: str = ""  # of thinking in which the text was rendered


def prove_turns(chat: Conversation, trained: Sequence[int], probes: TemplateProbes) -> list[ProvenTurn]:
    """The prompt and completion of every trained turn, by the definition. Raises Refusal if one cannot be proven."""
    return [prove_turn(chat, k, probes) for k in trained]


def prove_turn(chat: Conversation, k: int, probes: TemplateProbes) -> ProvenTurn:
    """The prompt and completion of turn k, by the definition. Raises Refusal if it cannot be proven."""
    prompt = chat.render(probes, k, prompt=True)
    rendering = chat.render(probes, k + 1, prompt=False)
    whole: str | None = None
    if rendering.startswith(prompt):
        completion = _completion(chat, k, rendering, len(prompt), probes)
        # Where the end comes with the next turn only, it is put behind the rendering.
        whole = rendering if rendering.startswith(completion, len(prompt)) else prompt + completion
    else:
        completion = _completion(chat, k, rendering, find_cut(chat, k, prompt, rendering, probes), probes)
    turn = ProvenTurn(k, prompt, completion, whole)
    _check_fields(chat, turn, probes)
    return turn


def _completion(chat: Conversation, k: int, rendering: str, start: int, probes: TemplateProbes) -> str:
    """What follows a place in the rendering of turn k, up to and including the first end-of-turn token."""
    tail, turn = rendering[start:], chat.messages[k]
    stops = [place + len(end) for end in probes.end_texts if end in probes.stops and (place := tail.find(end)) >= 0]
    length = min(stops) if stops else _closed_at(tail, turn, probes)
    if length:
        return tail[:length]
    if str(turn.get("content") or "").strip() not in tail:
        raise Refusal("lost_field", "content", k)
    end = probes.call_end if turn.get("tool_calls") else probes.plain_end
    if end is None or not end.deferred:
        raise Refusal("no_end_of_turn", _no_end(turn, probes), k)
    return tail + _deferred_end(chat, k, rendering, end, probes)


def _closed_at(tail: str, turn: Turn, probes: TemplateProbes) -> int:
    """Where a turn ends whose end is no stop, but the token that closes it; 0 if there is none.

    Such a token may also close the parts of a turn: reasoning, or the text beside a call (Solar, GigaChat 3).
    """
    has_calls = bool(turn.get("tool_calls")) and probes.call_end is not None
    end, written = (probes.call_end, probes.call_tail) if has_calls else (probes.plain_end, probes.plain_tail)
    if end is None or end.deferred or end.token in probes.stops or written is None:
        return 0
    parts = tail.split(end.token)
    before = parts[: max(0, len(parts) - written.last.count(end.token))]
    return sum(map(len, before)) + len(before) * len(end.token)


def _no_end(turn: Turn, probes: TemplateProbes) -> str:
    """Why no end of a turn is certain, in words."""
    token = probes.undeclared_end(calls=bool(turn.get("tool_calls")))
    if token is None:
        return "the template writes no end-of-turn token after it"
    return (
        f"the template writes {token} after it, which is neither the tokenizer's EOS nor in generation_config.json; "
        "if servers stop at it, name it in stop_tokens"
    )


def _deferred_end(chat: Conversation, k: int, rendering: str, end: TurnEnd, probes: TemplateProbes) -> str:
    """What a template writes between turn k and its end once the next turn follows. Raises Refusal if it is not clear.

    The rendering with the next turn shows it. Where the template writes an answered turn differently (without its
    reasoning), the rendering has to end with the text of the turn as in probes.
    """
    turn = chat.messages[k]
    calls = turn.get("tool_calls") or ()
    following: list[Turn] = [{"role": "user", "content": LATER}]
    if calls:
        following = [
            {**RESULT, "name": call["function"]["name"], **({"tool_call_id": call["id"]} if call.get("id") else {})}
            for call in calls
        ]
    longer = Conversation([*chat.messages[: k + 1], *following], chat.tools, chat.kwargs)
    try:
        text = longer.render(probes, len(longer.messages), prompt=False)
    except Refusal:
        text = ""
    if text.startswith(rendering):
        before, found, _ = text[len(rendering) :].partition(end.token)
        if found and not before.strip():
            return before + found
    content = str(turn.get("content") or "").strip()
    if not calls and content and rendering.endswith(content + end.written):
        return end.deferred
    raise Refusal("no_end_of_turn", f"the template does not write {end.token} once the next turn follows", k)


def _check_fields(chat: Conversation, turn: ProvenTurn, probes: TemplateProbes) -> None:
    """Raise Refusal if the template leaves out a field of a trained turn."""
    k = turn.index

    def render(changed: Turn) -> str:
        return probes.template.render([*chat.messages[:k], changed], tools=chat.tools, kwargs=chat.kwargs)

    shown = probes.shown_fields.setdefault((bool(chat.tools), shape_of(chat.messages[: k + 1], probes)), {})
    opened = probes.thinking.opened_block  # which a content in the model's own marks begins with
    written = opened + turn.completion if opened and turn.prompt.endswith(opened) else turn.completion
    lost = lost_field(chat.messages[k], written, render, shown)
    if lost is not None:
        raise Refusal("lost_field", lost, k)


def group_turns(turns: Sequence[ProvenTurn]) -> list[TextSample]:
    """Put each turn into one sample: the longest rendering that starts with its prompt and completion.

    system user A1 user A2      a template that keeps the history: one sample that trains A1 and A2
                ^^      ^^
    system user A1' user A2     a template that rewrites it: two samples, A1 in its own rendering and A2 in the longer

    Raises Refusal for a turn that follows another trained turn with nothing in between: no token would show where the
    one ends and the other begins, and no server asks for an answer there.
    """
    hosts: dict[int, list[ProvenTurn]] = {}
    for turn in turns:
        start = turn.prompt + turn.completion
        host = next(
            (
                other.index
                for other in reversed(turns)
                if other.rendering is not None and other.index >= turn.index and other.rendering.startswith(start)
            ),
            turn.index,
        )
        hosts.setdefault(host, []).append(turn)
    by_index = {turn.index: turn for turn in turns}
    samples = []
    for host, members in sorted(hosts.items()):
        own = by_index[host]
        text = own.rendering if own.rendering is not None else own.prompt + own.completion
        spans = tuple((len(turn.prompt), len(turn.prompt) + len(turn.completion)) for turn in members)
        for at in range(1, len(members)):
            if spans[at - 1][1] == spans[at][0]:
                what = "the template writes nothing between the answer before it and itself"
                raise Refusal("unproven_mask", what, members[at].index)
        samples.append(TextSample(text, spans, tuple(turn.index for turn in members), own.mode))
    return samples
