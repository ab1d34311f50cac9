"""The samples of one record by the definition in turns.py, with every check of its text, and what is to be counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sftdata.encode.proof.context import Context, Mark, count_name, describe, own_details, unwritten_context
from sftdata.encode.proof.guarded_samples import GuardedSample, Note
from sftdata.encode.proof.modes import in_mode, notes_of, turns_in_modes
from sftdata.encode.proof.turns import ProvenTurn, TextSample, group_turns
from sftdata.encode.stats import ARGUMENTS, CHANGES, LEFT_OUT, LOST_CONTEXT, UNUSED_MESSAGES, UNWRITTEN
from sftdata.encode.template.conversation import Conversation, Refusal
from sftdata.encode.template.messages import (
    map_strings,
    strings_in,
    strings_of,
    strings_of_message,
    to_chat,
    with_arguments,
)
from sftdata.encode.template.probes import TemplateProbes
from sftdata.encode.template.reasoning import count_inline
from sftdata.encode.tokenizer.control import PLACEHOLDER, PRIVATE
from sftdata.records.record import Record


def samples_by_definition(
    record: Record, trained: Sequence[int], probes: TemplateProbes, *, allow_lost: bool
) -> tuple[list[GuardedSample], Counter[Note], list[Refusal]]:
    """The samples of a record, what to count of it, and why turns of it are left out. Raises Refusal.

    A turn that cannot be proven is left out if the prompts of the others are right. With `allow_lost`, context that the
    template does not write is counted, not refused.
    """
    # First, so that what is escaped in a JSON text is looked at too.
    record, given = with_arguments(record, probes)
    _refuse_private_names(record)
    thoughts = Counter(count_inline(record, trained, probes)) if probes.thinking.reads_texts else Counter()
    chat = to_chat(record, probes)
    turns, left_out = turns_in_modes(chat, trained, probes)
    try:
        protects = any(PLACEHOLDER in text for text in strings_in(probes.kwargs))
        if protects or any(probes.control.find(text) for text in strings_of(record)):
            _check_protection(record, chat, turns, probes)
        notes = _check_context(chat, turns, probes, allow_lost=allow_lost)
    except Refusal as refusal:
        raise (left_out[0] if left_out else refusal) from refusal
    for form, number in given.items():
        notes[CHANGES, f"{ARGUMENTS}{form}"] = number
    notes.update(notes_of(turns, probes))
    notes.update((LEFT_OUT, refusal.drop.reason) for refusal in left_out)
    return [_guard(sample, probes) for sample in group_turns(turns)], notes + thoughts, left_out


def _refuse_private_names(record: Record) -> None:
    for turn, message in enumerate(record.messages):
        if any(PRIVATE in text or PLACEHOLDER in text for text in strings_of_message(message)):
            raise Refusal("unproven_mask", "its text holds the private name of a control token", turn)
    if any(PRIVATE in text or PLACEHOLDER in text for tool in record.tools for text in strings_in(tool)):
        raise Refusal("unproven_mask", "its tools hold the private name of a control token")


def _check_protection(record: Record, chat: Conversation, turns: Sequence[ProvenTurn], probes: TemplateProbes) -> None:
    """Raise Refusal if the template writes the conversation differently when its control strings are protected.

    While the template renders, placeholders stand for them.
    """
    plain = to_chat(record, probes, protect=False)
    for turn in turns:
        k = turn.index
        guarded, own = in_mode(chat, probes, turn.mode)
        bare = Conversation(plain.messages, plain.tools, map_strings(own.kwargs, probes.control.unprotect))
        for num_messages, prompt in ((k, True), (k + 1, False)):
            protected = probes.control.unprotect(guarded.render(own, num_messages, prompt=prompt))
            if protected != bare.render(own, num_messages, prompt=prompt):
                raise Refusal("unproven_mask", "the template acts on a control string in its text", k)


def _check_context(
    chat: Conversation, turns: Sequence[ProvenTurn], probes: TemplateProbes, *, allow_lost: bool
) -> Counter[Note]:
    """What the template does not write of the context of these turns, to be counted. Raises Refusal if it is lost."""
    notes: Counter[Note] = Counter()
    trained = {turn.index for turn in turns}
    last = max(trained)
    lost: dict[str, Mark] = {}
    details: set[Mark] = set()
    for turn in turns:
        given, own = in_mode(chat, probes, turn.mode)
        context: Context = unwritten_context(given, turn.index, turn.prompt, own)
        for mark in context.lost:
            lost.setdefault(count_name(mark, chat.messages), mark)
        details.update(own_details(given, turn.index, own))
        if turn.index == last:
            details.update(context.details)
    if lost and not allow_lost:
        first = min(lost.values(), key=lambda mark: -1 if mark.turn is None else mark.turn)
        raise Refusal("lost_field", describe(first, chat.messages), first.turn)
    for name in lost:
        notes[LOST_CONTEXT, name] = 1
    for mark in details:
        if mark.name == "reasoning" and mark.turn in trained:
            continue  # it is trained in the sample of its own turn
        notes[UNWRITTEN, f"{'rows' if mark.turn is None else 'messages'}: {mark.name}"] += 1
    if last + 1 < len(chat.messages):
        notes[UNUSED_MESSAGES] += len(chat.messages) - last - 1
    return notes


def _guard(sample: TextSample, probes: TemplateProbes) -> GuardedSample:
    """A proven text as guarded text, cut at its spans."""
    cuts = [0, *(place for span in sample.spans for place in span), len(sample.text)]
    guard = probes.control.guard
    return GuardedSample(tuple(guard(sample.text[a:b]) for a, b in zip(cuts, cuts[1:])), sample.turns)
