"""What becomes of the reasoning of answers, in their fields or in the marks of some model in their texts.

A template that writes reasoning gets it as a field, and writes it in its own marks, once. Under another template the
texts stay as they are, but for marks that the model has tokens for: at the head of an answer they are these tokens.
Reasoning in a field is then a lost field, unless the setting `reasoning` is inline or drop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from sftdata.encode.options import Reasoning
from sftdata.encode.stats import REASONING
from sftdata.encode.template.conversation import Refusal
from sftdata.encode.template.probes import TemplateProbes
from sftdata.records.reasoning_marks import InlineReasoning, is_asked_for, split_reasoning
from sftdata.records.record import Message, Record

_ASKED = "asked for"  # the flaw of marks that the prompts show, which are text


def inline_reasoning(messages: Sequence[Message], at: int) -> InlineReasoning | None:
    """The reasoning in the text of a turn, if it is an answer without reasoning of its own."""
    message = messages[at]
    if message.role != "assistant" or message.reasoning is not None or not message.content:
        return None
    found = split_reasoning(message.content)
    if found is not None and not found.flaw:
        prompts = (one.content or "" for one in messages[:at] if one.role != "assistant")
        if any(is_asked_for(found.mark, prompt) for prompt in prompts):
            return found._replace(flaw=_ASKED)
    return found


def as_fields(messages: Sequence[Message], *, keep_blank: bool = False) -> list[Message]:
    """The messages with the reasoning in their texts as fields, where it is certain. Blank reasoning is none, unless it
    is to be kept.
    """
    return [_as_field(messages, at, keep_blank=keep_blank) for at in range(len(messages))]


def _as_field(messages: Sequence[Message], at: int, *, keep_blank: bool = False) -> Message:
    found = inline_reasoning(messages, at)
    if found is None or found.flaw:
        return messages[at]
    reasoning = found.reasoning if keep_blank or found.reasoning.strip() else None
    return messages[at]._replace(reasoning=reasoning, content=found.answer)


def count_inline(record: Record, trained: Collection[int], probes: TemplateProbes) -> Iterator[tuple[str, str]]:
    """What to count of the reasoning in the texts of a record, for a template that writes it or a model with own marks.

    Raises Refusal for a trained turn that begins with reasoning of which the end is not certain: as text, it would come
    behind the block in which the template says that there is none. And for one with reasoning and no answer.
    """
    read = "read" if probes.shows_reasoning else "own"
    for at, message in enumerate(record.messages):
        found = inline_reasoning(record.messages, at)
        if found is None:
            continue
        if found.flaw and found.flaw != _ASKED and at in trained:
            raise Refusal("unproven_mask", found.flaw, at)
        has_answer = bool(found.answer.strip() or message.tool_calls or message.pieces or not found.reasoning.strip())
        if not found.flaw and not has_answer and at in trained:
            raise Refusal("empty_answer", f"the assistant's turn holds reasoning in {found.mark} but no answer", at)
        yield REASONING, f"{'text' if found.flaw else read}: {found.mark}"


def texts_in_own_marks(
    messages: Sequence[Message], probes: TemplateProbes, change: Callable[[str], str]
) -> dict[int, str]:
    """The contents of answers that begin with reasoning, with the model's own marks around it and the rest changed.

    Marks that are the model's own stay as they are, with the white space around them; others are replaced. An empty
    block is left out, unless it is to be trained.
    """
    texts: dict[int, str] = {}
    marks = probes.thinking.own_marks
    for at, message in enumerate(messages):
        found = None if marks is None else inline_reasoning(messages, at)
        if marks is None or found is None or found.flaw:
            continue
        opening, close = marks
        if not found.reasoning.strip() and not probes.train_empty_thinking:
            texts[at] = change(found.answer)
        elif found.mark == opening and not probes.thinking.opened_block:
            before, _, rest = (message.content or "").partition(opening)
            inner, _, answer = rest.partition(close)
            texts[at] = f"{before}{opening}{change(inner)}{close}{change(answer)}"
        else:
            head = probes.thinking.opened_block or f"{opening}\n"
            answer = f"\n\n{change(found.answer)}" if found.answer else ""
            texts[at] = f"{head}{change(found.reasoning)}\n{close}{answer}"
    return texts


def has_reasoning(record: Record) -> bool:
    """Whether an answer of a record has reasoning, in its field or its text."""
    messages = record.messages
    return any(one.reasoning or inline_reasoning(messages, at) is not None for at, one in enumerate(messages))


def rewritten(record: Record, how: Reasoning) -> tuple[Record, int]:
    """A record with its reasoning in the texts of its answers (inline), or without it (drop); and how many answers have
    changed.
    """
    if record.text is not None:
        return record, 0
    messages = [_rewritten(record.messages, at, how) for at in range(len(record.messages))]
    changed = sum(map(Message.__ne__, messages, record.messages))
    return (record.replaced(messages=tuple(messages)), changed) if changed else (record, 0)


def _rewritten(messages: Sequence[Message], at: int, how: Reasoning) -> Message:
    if how == "drop":
        return _as_field(messages, at)._replace(reasoning=None)
    message = messages[at]
    if message.role != "assistant" or not (message.reasoning or "").strip():
        return message
    reasoning = (message.reasoning or "").strip("\n")
    answer = f"\n\n{message.content}" if message.content else ""
    return message._replace(content=f"<think>\n{reasoning}\n</think>{answer}", reasoning=None)
