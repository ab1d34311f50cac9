"""What a template does with a tokenizer, shown on example conversations: the checks of `sftdata templates check`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sftdata.encode.call_ids import with_call_ids
from sftdata.encode.encoded import EncodedSample
from sftdata.encode.record_encoder import RecordEncoder
from sftdata.encode.template.probes import CALL_IDS, TOOL
from sftdata.records.labels import IGNORE
from sftdata.records.record import Drop, Message, Record, ToolCall
from sftdata.records.tools_as_text import has_tools

_CALL = ToolCall(name="lookup", arguments={"word": "tide"}, id=CALL_IDS[0])
_USER = Message(role="user", content="What is a tide?")
_ANSWER = Message(role="assistant", content="The rise and fall of the sea.")
_AGAIN = Message(role="user", content="What causes it?")
_LAST = Message(role="assistant", content="Mostly the moon.")
_SYSTEM = Message(role="system", content="Be brief.")
_RESULT = Message(role="tool", content='{"meaning": "rise and fall"}', tool_call_id=CALL_IDS[0], name="lookup")
_THINKING = Message(role="assistant", content="The rise and fall of the sea.", reasoning="They ask about the sea.")
_THOUGHT_LAST = Message(role="assistant", content="Mostly the moon.", reasoning="Gravity.")

EXAMPLES: dict[str, Record] = {
    "single turn": Record(messages=(_USER, _ANSWER)),
    "multi-turn": Record(messages=(_USER, _ANSWER, _AGAIN, _LAST)),
    "system": Record(messages=(_SYSTEM, _USER, _ANSWER)),
    "system, multi-turn": Record(messages=(_SYSTEM, _USER, _ANSWER, _AGAIN, _LAST)),
    "tools": Record(
        messages=(_USER, Message(role="assistant", content=None, tool_calls=(_CALL,)), _RESULT, _ANSWER), tools=(TOOL,)
    ),
    "tools with text": Record(
        messages=(_USER, Message(role="assistant", content="Let me look.", tool_calls=(_CALL,)), _RESULT, _ANSWER),
        tools=(TOOL,),
    ),
    "thinking": Record(messages=(_USER, _THINKING)),
    "thinking, multi-turn": Record(messages=(_USER, _THINKING, _AGAIN, _THOUGHT_LAST)),
    "empty answer": Record(messages=(_USER, Message(role="assistant", content=""))),
}


@dataclass(frozen=True, slots=True)
class ExampleCheck:
    """The result for one example: its samples, or why it has none, and the setting that gives it some."""

    name: str
    samples: tuple[EncodedSample, ...]
    drop: Drop | None
    way: str = ""

    @property
    def outcome(self) -> str:
        """`one sample`, `split into 2 samples`, or the drop reason and its detail, and what trains it."""
        if self.drop is not None:
            parts = [self.drop.reason, *([self.drop.detail] if self.drop.detail else [])]
            return ": ".join(parts) + (f" ({self.way} trains it)" if self.way else "")
        return "one sample" if len(self.samples) == 1 else f"split into {len(self.samples)} samples"


@dataclass(frozen=True, slots=True)
class TemplateCheck:
    """The result for a template with a tokenizer."""

    end_of_turn: tuple[str, ...]
    generation_prompts: tuple[str, ...]
    examples: tuple[ExampleCheck, ...]

    @property
    def trains(self) -> bool:
        """Whether any example with an answer gives samples."""
        return any(check.samples for check in self.examples if check.name != "empty answer")

    @property
    def lost_fields(self) -> tuple[str, ...]:
        """The fields that the template leaves out."""
        lost = {
            check.drop.detail.rpartition(": ")[2]
            for check in self.examples
            if check.drop is not None and check.drop.reason == "lost_field" and check.drop.detail
        }
        return tuple(sorted(lost))


def check_template(encoder: RecordEncoder) -> TemplateCheck:
    """Try the template on every example."""
    checks = []
    as_text = RecordEncoder(replace(encoder.settings, tool_calls="inline", guarded_tokenizer=None))
    for name, record in EXAMPLES.items():
        result = encoder.encode([with_call_ids(record, encoder.probes)[0]])[0]
        if isinstance(result, Drop):
            way = "tool_calls=inline" if has_tools(record) and as_text.can_prove(record) else ""
            checks.append(ExampleCheck(name, (), result, way))
        else:
            checks.append(ExampleCheck(name, tuple(result), None))
    control = encoder.probes.control
    prompts = tuple(control.reveal(text) for text in encoder.probes.generation_prompts)
    return TemplateCheck(encoder.probes.end_texts, prompts, tuple(checks))


def marked(pieces: Sequence[tuple[str, bool]], opening: str = "⟦", closing: str = "⟧") -> str:
    """Text with brackets around its trained parts."""
    return "".join(f"{opening}{text}{closing}" if trained else text for text, trained in pieces)


def trained_parts(sample: EncodedSample, encoder: RecordEncoder) -> list[tuple[str, bool]]:
    """The text of a sample, split into trained and untrained parts: (text, is trained)."""
    trained = (sample.labels != IGNORE).tolist()
    parts: list[tuple[list[int], bool]] = []
    for id_, is_trained in zip(sample.input_ids.tolist(), trained, strict=True):
        if not parts or parts[-1][1] != is_trained:
            parts.append(([], is_trained))
        parts[-1][0].append(id_)
    return [(encoder.decode(ids), is_trained) for ids, is_trained in parts]
