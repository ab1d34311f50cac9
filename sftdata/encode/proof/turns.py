"""The definition of a correct mask, in text: for each trained turn its prompt and its completion.

For assistant turn k, with the same tools, template arguments and date:

    prompt      P_k = render(messages[:k], add_generation_prompt=True)       what an inference server feeds
    rendering   R_k = render(messages[:k+1])
    completion  C_k = what follows P_k in R_k, up to and including the first end-of-turn token

Everything here is text whose message fields are protected (see control.py), so a control string in it was written by
the template. What cannot be shown to satisfy the definition is refused with a reason and the turn's number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sftdata.encode.proof.fields import lost_field, shape_of
from sftdata.encode.template.jinja import RenderError, Turn
from sftdata.encode.template.probes import MARK, TemplateProbes
from sftdata.records.record import Drop


@dataclass(frozen=True, slots=True)
class ProvenTurn:
    """One trained turn: `index` is 0-based in the conversation, the texts are protected renderings."""

    index: int
    prompt: str
    completion: str
    rendering: str | None  # R_k where it begins with prompt + completion, else None


class TextSample(NamedTuple):
    """A text to train on and the turns trained in it, in order; `spans` are the completions' places in it."""

    text: str
    spans: tuple[tuple[int, int], ...]
    turns: tuple[int, ...]


class Refusal(Exception):
    """A conversation that cannot be proven; carries the Drop."""

    def __init__(self, reason: str, detail: str, turn: int | None = None) -> None:
        where = "" if turn is None else f"turn {turn + 1}: "
        super().__init__(f"{reason}: {where}{detail}")
        self.drop = Drop(reason, where + detail)


@dataclass(slots=True)
class Conversation:
    """A conversation as the template gets it: every field protected, arguments in the template's form."""

    messages: list[Turn]
    tools: list[Any] | None
    kwargs: Mapping[str, Any] | None

    def render(self, probes: TemplateProbes, num_messages: int, *, prompt: bool) -> str:
        """The first messages as text; Refusal with the template's message where it refuses."""
        try:
            return probes.template.render(
                self.messages[:num_messages], tools=self.tools, add_generation_prompt=prompt, kwargs=self.kwargs
            )
        except RenderError as error:
            raise Refusal("template_error", str(error), num_messages if prompt else num_messages - 1) from error


def prove_turns(chat: Conversation, trained: Sequence[int], probes: TemplateProbes) -> list[ProvenTurn]:
    """Prompt and completion of every trained turn, by the definition. Raises Refusal."""
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
    """Where the completion starts in a rendering that does not begin with the prompt.

    Some templates write an earlier part of the conversation differently once the answer is there (Mistral moves the
    system prompt, gpt-oss takes out old thoughts). With sentinels for the texts of turn k and of the one before it,

        prompt      ... before G            G is the generation prompt
        rendering   ... before G completion

    shows the completion; the cut is proven where the real rendering ends in it, and both the real prompt and the
    rendering before it end in the same text and G.
    """
    before, own = MARK.format("before"), MARK.format("own")
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
    """Refuse a turn of which the template leaves out a field."""
    k = turn.index

    def render(changed: Turn) -> str:
        return probes.template.render([*chat.messages[:k], changed], tools=chat.tools, kwargs=chat.kwargs)

    seen = probes.shown_fields.setdefault((bool(chat.tools), shape_of(chat.messages[: k + 1], probes)), {})
    lost = lost_field(chat.messages[k], turn.completion, render, seen)
    if lost is not None:
        raise Refusal("lost_field", lost, k)


def group_turns(turns: Sequence[ProvenTurn]) -> list[TextSample]:
    """Put each turn, once, into the longest rendering that begins with its prompt and completion.

    system user A1 user A2      a template that keeps history: one sample, A1 and A2 trained
                ^^      ^^
    system user A1' user A2     one that rewrites it: A1 trained in its own rendering, A2 in the longer one
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
