"""Every value of a record is in a sample, or named by the drop, or counted: with every template and tokenizer here.

Each value is a sentinel, a word of its own. After encoding, each of them stands in the decoded samples; or the record
is dropped with a reason whose detail names the field; or the statistics count it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tiny_tokenizers
from families import SHARED, TEMPLATES
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.encode.record_encoder import EncodeSettings, RecordEncoder
from sftdata.encode.tokenizer.load import load_tokenizer
from sftdata.records.record import Drop, Message, Record, ToolCall

NAMES = sorted(path.stem for path in TEMPLATES.glob("*.jinja"))
# Field -> the end of the detail of a drop for it, and the start of its name in the counts.
FIELDS: dict[str, tuple[tuple[str, ...], str | None]] = {
    "content": ((": content", "'s content"), None),
    "reasoning": ((": reasoning_content",), "messages: reasoning"),
    "name": ((), "messages: a name"),
    "call": ((": tool_calls", "'s tool calls"), None),
    "call id": ((), "messages: call ids"),
    "tool_call_id": ((), "messages: a tool_call_id"),
    "tool": (("tools",), None),
    "tool detail": ((), "rows: `title` in tools"),
    "kwarg": ((), "rows: chat_template_kwargs.style"),
}


class Field(NamedTuple):
    """A sentinel's field: its kind, and the message that it is in."""

    kind: str
    turn: int | None = None


class Marked:
    """A record whose values are sentinels."""

    def __init__(self, draw: Any) -> None:
        self.fields: dict[str, Field] = {}
        self._draw = draw
        self.messages: list[Message] = []
        self.tools = tuple(self._tool() for _ in range(draw(st.integers(0, 2))))
        self._fill()
        kwargs = {"style": self.word("kwarg")} if draw(st.sampled_from([False, False, True])) else None
        self.record = Record(tuple(self.messages), self.tools, kwargs)

    def word(self, kind: str, turn: int | None = None) -> str:
        """A new sentinel."""
        sentinel = f"Qz{len(self.fields):03}zq"
        self.fields[sentinel] = Field(kind, turn)
        return sentinel

    def maybe(self, kind: str) -> str | None:
        """A sentinel, or nothing."""
        return self.word(kind, len(self.messages)) if self._draw(st.booleans()) else None

    def _tool(self) -> dict[str, Any]:
        schema = {
            "type": "object",
            "properties": {self.word("tool"): {"type": "string", "description": self.word("tool")}},
        }
        if self._draw(st.booleans()):
            schema["title"] = self.word("tool detail")
        function = {"name": self.word("tool"), "description": self.word("tool"), "parameters": schema}
        return {"type": "function", "function": function}

    def _add(self, role: str, **more: Any) -> None:
        given = {"content": self.word("content", len(self.messages)), **more}
        self.messages.append(Message(role=role, **given))

    def _fill(self) -> None:
        draw = self._draw
        for role in draw(st.sampled_from([(), (), ("system",), ("developer",), ("system", "developer")])):
            self._add(role)
        for _ in range(draw(st.integers(1, 2))):
            self._add("user", name=self.maybe("name"))
            if draw(st.booleans()) and self.tools:
                self._call()
            train = draw(st.sampled_from([None, None, False]))
            self._add("assistant", reasoning=self.maybe("reasoning"), train=train)
        if draw(st.sampled_from([False, False, True])):
            self._add("user")

    def _call(self) -> None:
        turn = len(self.messages)
        id_ = f"call{turn:05}"  # some templates ask for nine letters or digits
        self.fields[id_] = Field("call id", turn)
        name = self.tools[0]["function"]["name"]
        arguments = {self.word("call", turn): self.word("call", turn)}
        call = ToolCall(name=name, arguments=arguments, id=id_)
        content = self.word("content", turn) if self._draw(st.booleans()) else None
        train = self._draw(st.sampled_from([None, False]))
        self.messages.append(Message("assistant", content, tool_calls=(call,), train=train))
        self.fields[id_] = Field("call id", turn)
        self._add("tool", tool_call_id=id_, name=name)


@st.composite
def marked_records(draw: st.DrawFn) -> Marked:
    """Records of sentinels."""
    return Marked(draw)


def unaccounted(folder: Path, template: str, marked: Marked) -> list[Any]:
    """The fields that are neither in a sample nor counted; for a drop, the drop if it names no lost field."""
    encoder = encoder_of(folder, template)
    encoder.notes.clear()
    result = encoder.encode([marked.record])[0]
    if isinstance(result, Drop):
        return [] if _names_what_is_lost(result, folder, template, marked) else [result]
    last = max(turn for sample in result for turn in sample.turns)
    assert encoder.notes["changes", "unused_messages"] == len(marked.messages) - 1 - last
    missing = _missing(encoder, result, marked)
    return [field for field in missing if not (_is_counted(field, encoder) or (field.turn or 0) > last)]


def _missing(encoder: RecordEncoder, samples: Any, marked: Marked) -> list[Field]:
    """The fields that are in no sample."""
    text = "".join(encoder.decode(sample.input_ids.tolist()) for sample in samples)
    return [field for sentinel, field in marked.fields.items() if sentinel not in text]


def _names_what_is_lost(drop: Drop, folder: Path, template: str, marked: Marked) -> bool:
    """Whether a drop says what is wrong, and for lost context: whether that is really not in the samples without it."""
    if drop.reason != "lost_field":
        return bool(drop.detail)
    kinds = [kind for kind, (ends, _) in FIELDS.items() if any((drop.detail or "").endswith(end) for end in ends)]
    warned = encoder_of(folder, template, "warn")
    result = warned.encode([marked.record])[0]
    if isinstance(result, Drop):  # a trained turn itself loses a field
        return bool(kinds)
    return any(field.kind in kinds for field in _missing(warned, result, marked))


def _is_counted(field: Field, encoder: RecordEncoder) -> bool:
    start = FIELDS[field.kind][1]
    return start is not None and any(
        number and kind == "unwritten" and name.startswith(start) for (kind, name), number in encoder.notes.items()
    )


@pytest.fixture(scope="module")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer with the markers of all families."""
    return tiny_tokenizers.build("byte_level", tmp_path_factory.mktemp("nothing_is_lost"))


@cache
def encoder_of(folder: Path, template: str, lost_context: Any = "drop") -> RecordEncoder:
    """An encoder, kept for all tests of this module."""
    files = load_tokenizer(str(folder))
    eos = {"eos_token": tiny_tokenizers.EOS[template]} if template in tiny_tokenizers.EOS else {}
    files = type(files)(
        source=files.source,
        tokenizer_json=files.tokenizer_json,
        special_tokens={**files.special_tokens, **eos},
        chat_templates=files.chat_templates,
    )
    return RecordEncoder(EncodeSettings(files=files, template=template, date="2026-01-01", lost_context=lost_context))


@pytest.mark.parametrize("template", NAMES)
@settings(max_examples=20)
@given(marked=marked_records())
def test_every_value_is_written_named_or_counted_by_the_built_in_templates(
    small_folder: Path, template: str, marked: Marked
) -> None:
    assert unaccounted(small_folder, template, marked) == []


@pytest.mark.parametrize("name", sorted(SHARED))
@settings(max_examples=20)
@given(marked=marked_records())
def test_every_value_is_written_named_or_counted_by_the_shared_tokenizers(
    shared: Path, name: str, marked: Marked
) -> None:
    assert unaccounted(shared / "tokenizers" / name, "auto", marked) == []
