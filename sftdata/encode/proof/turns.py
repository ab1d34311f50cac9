"""The definition of a correct loss mask, on text: the prompt and the completion of each trained turn.

For assistant turn k, with the same tools, template arguments and date:

    prompt      P_k = render(messages[:k], add_generation_prompt=True)       the input that an inference server uses
    rendering   R_k = render(messages[:k+1])
    completion  C_k = what follows P_k in R_k, up to and including the first end-of-turn token

The loss falls on the completions. All texts here are rendered from protected messages (see tokenizer/control.py), so
every control string in them was written by the template. A conversation for which the definition cannot be proven is
refused, with a reason and the number of the turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sftdata.encode.proof.fields import lost_field, shape_of
from sftdata.encode.template.conversation import Conversation, Refusal
from sftdata.encode.template.jinja import Turn
from sftdata.encode.template.probes import SENTINEL, TemplateProbes


@dataclass(frozen=True, slots=True)
class ProvenTurn:
    """The proven prompt and completion of a trained turn. `index` is its 0-based place in the conversation."""

    index: int
    prompt: str
    completion: str
    rendering: str | None  # R_k if it starts with prompt + completion, else None


class TextSample(NamedTuple):
    """A text to train on, the spans of the completions in it, and their turns."""

    text: str
    spans: tuple[tuple[int, int], ...]
    turns: tuple[int, ...]


def prove_turns(chat: Conversation, trained: Sequence[int], probes: TemplateProbes) -> list[ProvenTurn]:
    """The prompt and completion of every trained turn, by the definition. Raises Refusal if one cannot be proven."""
    turns = []
    for k in trained:
        prompt = chat.render(probes, k, prompt=True)
        rendering = chat.render(probes, k + 1, prompt=False)
        if rendering.startswith(prompt):
            completion = _cut_at_end(chat.messages[k], rendering[len(prompt) :], k, probes)
            turn = ProvenTurn(k, prompt, completion, rendering)
        else:
            start = _find_cut(chat, k, prompt, rendering, probes)
            turn = ProvenTurn(k, prompt, _cut_at_end(chat.messages[k], rendering[start:], k, probes), None)
        _check_fields(chat, turn, probes)
        turns.append(turn)
    return turns


def _cut_at_end(turn: Turn, tail: str, k: int, probes: TemplateProbes) -> str:
    """The text up to and including the first end-of-turn token."""
    places = [(place, len(end)) for end in probes.end_texts if (place := tail.find(end)) >= 0]
    if not places:
        if str(turn.get("content") or "").strip() not in tail:
            raise Refusal("lost_field", "content", k)
        raise Refusal("no_end_of_turn", "the template writes no end-of-turn token after it", k)
    place, length = min(places)
    return tail[: place + length]


def _find_cut(chat: Conversation, k: int, prompt: str, rendering: str, probes: TemplateProbes) -> int:
    """Where the completion starts in a rendering that does not start with the prompt. Raises Refusal if not found.

    Some templates write the history differently once the answer is there (Mistral moves the system prompt, gpt-oss
    removes earlier reasoning). So the conversation is rendered again, with sentinels as the texts of turn k and of the
    turn before it:

        prompt      ... before G               G is the generation prompt
        rendering   ... before G completion

    This shows the form of the completion. The cut is proven if the real rendering ends with a completion of that form,
    and if the rendering before it and the real prompt both end with the same character followed by G.
    """
    before, own = SENTINEL.format("before"), SENTINEL.format("own")
    text = chat.messages[k].get("content")
    has_text = isinstance(text, str) and bool(text.strip())
    changed = [*chat.messages[: k - 1], {**chat.messages[k - 1], "content": before}, dict(chat.messages[k])]
    if has_text:
        changed[k]["content"] = own
    probe = Conversation(changed, chat.tools, chat.kwargs)
    generation = probe.render(probes, k, prompt=True).rpartition(before)[2]
    tail = probe.render(probes, k + 1, prompt=False).rpartition(before)[2]
    if generation and tail.startswith(generation):
        pattern = tail[len(generation) :]
        for written in dict.fromkeys((text, text.strip())) if isinstance(text, str) and has_text else ("",):
            completion = pattern.replace(own, written)
            start = len(rendering) - len(completion)
            ends = {side[-len(generation) - 1 :] for side in (rendering[:start], prompt)}
            if rendering.endswith(completion) and len(ends) == 1 and prompt.endswith(generation):
                return start
    raise Refusal("unproven_mask", "the template writes the conversation before it differently once it is answered", k)


def _check_fields(chat: Conversation, turn: ProvenTurn, probes: TemplateProbes) -> None:
    """Raise Refusal if the template leaves out a field of a trained turn."""
    k = turn.index

    def render(changed: Turn) -> str:
        return probes.template.render([*chat.messages[:k], changed], tools=chat.tools, kwargs=chat.kwargs)

    shown = probes.shown_fields.setdefault((bool(chat.tools), shape_of(chat.messages[: k + 1], probes)), {})
    lost = lost_field(chat.messages[k], turn.completion, render, shown)
    if lost is not None:
        raise Refusal("lost_field", lost, k)


def group_turns(turns: Sequence[ProvenTurn]) -> list[TextSample]:
    """Put each turn into one sample: the longest rendering that starts with its prompt and completion.

    system user A1 user A2      a template that keeps the history: one sample that trains A1 and A2
                ^^      ^^
    system user A1' user A2     a template that rewrites it: two samples, A1 in its own rendering and A2 in the longer
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
        samples.append(TextSample(text, spans, tuple(turn.index for turn in members)))
    return samples
