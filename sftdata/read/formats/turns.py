"""The turns of a conversation, in the format of OpenAI or ShareGPT or a mixture of both -> Messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sftdata.read.formats.media import is_media
from sftdata.read.formats.reasoning import PARTS, find_reasoning, part_text, unwrapped, without_inline
from sftdata.read.formats.roles import normalized, role_of, roles_in_context
from sftdata.read.formats.shapes.channels import FOLDED, TurnKeys, join_channels
from sftdata.read.formats.shapes.exchanges import turns_of
from sftdata.read.formats.shapes.results import result_text
from sftdata.read.formats.shapes.training import trained_by
from sftdata.read.formats.tool_calls import calls_in, has_tools, id_text, parse_tools, same_calls
from sftdata.read.formats.values import (
    ConversionError,
    as_list_of_objects,
    describe_value,
    is_given,
    parse_if_text,
    parse_python,
    scalar_text,
)
from sftdata.read.marks.calls_in_text import may_hold_call
from sftdata.read.marks.parts import split_parts
from sftdata.read.readers.parse_json import parse_text
from sftdata.records.record import Message, ToolCall

TOOLS = ("tools", "functions")
_PLAIN = frozenset(("role", "content", "from", "value"))
_TEXT_PARTS = ("text", "input_text", "output_text")
_WAY = 'write each turn as {"role": "user", "content": "..."}'
_PART_KEYS = frozenset(("type", "text"))
# What is read of a turn besides its role, content and reasoning. A weight says nothing of turns that are never trained.
_ALWAYS = ("role", "from")
_OF_ROLE = {
    "user": ("name",),
    "assistant": ("name", "tool_calls", "function_call"),
    "call": ("tool_calls", "function_call"),
    "tool": ("name", "tool_call_id"),
    "system": ("name", *TOOLS),
    "developer": ("name", *TOOLS),
}


class TurnFormat(NamedTuple):
    """How the turns of a source are written: the keys of a turn's parts, and the roles that the source names."""

    role_key: str | None = None
    content_key: str | None = None
    reasoning_key: str | None = None
    roles: Mapping[str, str] = {}


class Notes:
    """What is noted while one row is converted: values that nothing uses, and tools that its turns declare."""

    def __init__(self) -> None:
        self.unused: dict[str, None] = {}  # names such as "messages[].timestamp", in order
        self.tools: list[tuple[Mapping[str, Any], ...]] = []
        self.label = ""  # what the turns that are being read are called
        self.joined = 0  # contents that were lists of several texts

    def note(self, name: str) -> None:
        """Note a key of a turn that is not used."""
        self.unused[f"{self.label}[].{name}"] = None


_DEFAULT = TurnFormat()


def parse_turns(value: Any, label: str, how: TurnFormat = _DEFAULT, notes: Notes | None = None) -> tuple[Message, ...]:
    """The messages of a list of turns, which may be given as text. Raises ConversionError.

    A system turn whose content is null is no turn. Questions with their answers, and names that are plain beside the
    other names of the list (see turns_of and roles_in_context), are turns too.
    """
    if not isinstance(value, list):
        value = as_list_of_objects(parse_if_text(value, label), "role", "from", "content", "value")
        if isinstance(value, dict) and ("role" in value or "from" in value) and label == "completion":
            value = [value]
        if not isinstance(value, list):
            value = turns_of(value, how.roles)
        if value is None:
            raise ConversionError("wrong_type", f"{label} is {describe_value(value)}, not a list of turns")
    notes = notes or Notes()
    notes.label = label
    noted = dict(notes.unused), [*notes.tools]
    try:
        return _messages(value, how, notes)
    except ConversionError as error:
        turns = turns_of(value, how.roles) or value
        more = roles_in_context(_names(turns, how), how.roles)
        if turns is value and not more:
            raise error
    notes.unused, notes.tools = noted
    return _messages(turns, how._replace(roles={**how.roles, **more}), notes)


def _messages(value: Sequence[Any], how: TurnFormat, notes: Notes) -> tuple[Message, ...]:
    messages: list[Message] = []
    number = 0
    keys = TurnKeys(how.role_key, how.content_key, how.reasoning_key, how.roles)
    turns = join_channels(value, keys)
    try:
        for turn in turns:
            number += 1
            if turn is FOLDED:
                continue
            for one in split_parts(turn, how.role_key or "role", how.content_key or "content"):
                message = _message(one, how, notes)
                if message is not None:
                    messages.append(message)
    except ConversionError as error:
        raise ConversionError(error.drop.reason, f"turn {number}: {error.drop.detail}") from None
    return tuple(messages)


def _names(turns: Sequence[Any], how: TurnFormat) -> list[str]:
    """The names of the roles in a list of turns."""
    keys = [key for key in (how.role_key, "role", "from") if key is not None]
    named = [turn.get(key) for turn in turns if isinstance(turn, dict) for key in keys]
    return [name for name in named if isinstance(name, str)]


def same_turns(first: Sequence[Message], second: Sequence[Message]) -> bool:
    """Whether two conversations say the same: outer white space, ids, and how arguments are written, do not matter."""
    return len(first) == len(second) and all(map(_is_same, first, second))


def _is_same(first: Message, second: Message) -> bool:
    texts = [
        [(text or "").strip() for text in (message.role, message.content, message.reasoning)]
        for message in (first, second)
    ]
    return texts[0] == texts[1] and same_calls(first.tool_calls, second.tool_calls)


def turns_in_text(text: str, roles: Mapping[str, str]) -> list[Any] | None:
    """The turns that a text holds as JSON, or as Python writes a list of them; None for any other text. `roles` are the
    names that the source has set. Objects with a `role` and a `content` that is text are turns whatever their role.
    """
    start = text[:100].lstrip()[:2]
    if not start.startswith("["):
        return None
    try:
        value = parse_text(text)
    except ValueError:
        value = parse_python(text)
    return value if isinstance(value, list) and value and all(_is_turn(turn, roles) for turn in value) else None


def _is_turn(turn: Any, roles: Mapping[str, str]) -> bool:
    if not isinstance(turn, dict):
        return False
    name = turn.get("role") or turn.get("from")
    if not isinstance(name, str) or {"content", "value", "tool_calls"}.isdisjoint(turn):
        return False
    return role_of(name, roles) is not None or ("role" in turn and isinstance(turn.get("content"), str))


def _message(turn: Any, how: TurnFormat, notes: Notes) -> Message | None:
    if not isinstance(turn, dict):
        raise ConversionError("wrong_type", f"it is {describe_value(turn)}, not an object; {_WAY}")
    name = turn.get(how.role_key or "role")
    if name is None or name == "":
        name = turn.get("from", name)
    if not isinstance(name, str):
        plain = _with_plain_keys(turn)
        if plain is not turn:
            return _message(plain, how, notes)
        raise _no_role(name, turn)
    role = role_of(name, how.roles)
    if role is None:
        raise ConversionError("unknown_role", f"its role is {name[:40]!r}")
    content = turn.get(how.content_key or "content")
    if content is None or (content == "" and turn.get("value") is not None):
        content = turn.get("value")
    if isinstance(content, str) and role != "call" and len(turn) == 2 and turn.keys() <= _PLAIN:
        return Message(role=role, content=content)
    return _full_message(turn, role, content, how, notes)


def _no_role(name: Any, turn: Mapping[str, Any]) -> ConversionError:
    if name is None:
        return ConversionError(
            "missing_field", f"its role is absent; its keys are {', '.join(map(repr, list(turn)[:8]))[:200]}; {_WAY}"
        )
    return ConversionError("wrong_type", f"its role is {describe_value(name)}, not text")


def _with_plain_keys(turn: dict[str, Any]) -> dict[str, Any]:
    """A turn without a role, with "Role" as `role`, and so on, if none of its keys is that name already."""
    names = {name: normalized(name) for name in turn if isinstance(name, str) and normalized(name) in _PLAIN}
    if not names or turn.keys() & _PLAIN or len({*names.values()}) < len(names):
        return turn
    return {names.get(name, name): value for name, value in turn.items()}


def _full_message(turn: Mapping[str, Any], role: str, content: Any, how: TurnFormat, notes: Notes) -> Message | None:
    """A turn with more than a role and a text: tool calls, reasoning, a weight, a list of content parts."""
    for name, value in turn.items():
        if name not in _PLAIN and is_media(name, value):
            raise ConversionError("untrainable_content", f"it holds {name}")
    used = {how.role_key, how.content_key, *_ALWAYS, *_OF_ROLE[role]}
    if how.role_key is None and how.content_key is None:
        _refuse_contradiction(turn, role, how, used)
    train, flags = trained_by(turn)
    used.update(flags)
    if not is_given(content) and is_given(turn.get("parts")):
        content = turn["parts"]
        used.add("parts")
    text, thought = _text_of(content, role, notes) if role != "call" else (None, None)
    reasoning = None
    if role in ("assistant", "call"):
        reasoning, names = find_reasoning(turn, how.reasoning_key)
        used.update(names)
        reasoning = _either(reasoning, thought)
        if reasoning is not None and text:
            text = without_inline(text, reasoning)
    elif thought is not None:
        raise ConversionError("untrainable_content", f"the content of a turn of role {role} has a part of reasoning")
    _note_unused(turn, content, used, notes)
    if role in ("system", "developer"):
        notes.tools += [parse_tools(turn[name]) for name in TOOLS if has_tools(turn.get(name))]
        if text is None:
            return None
    if role == "call":
        return _call_turn(turn, content, reasoning, train, notes)
    if role == "assistant":
        return _answer(turn, text, reasoning, train, notes)
    if text is None:
        raise ConversionError("missing_field", "its content is absent or null")
    return Message(
        role=role,
        content=text,
        tool_call_id=_optional_text(turn, "tool_call_id") if role == "tool" else None,
        name=_optional_text(turn, "name"),
    )


def _refuse_contradiction(turn: Mapping[str, Any], role: str, how: TurnFormat, used: set[str | None]) -> None:
    """Raise ConversionError if the two names of a role, or of a content, say different things."""
    if "from" in turn and isinstance(turn.get("role"), str) and is_given(name := turn["from"]):
        other = role_of(name, how.roles) if isinstance(name, str) else None
        if other is None:
            used.discard("from")  # the name of a speaker
        elif other != role:
            raise ConversionError("conflicting_fields", f"its role is {role}, but its from says {other}")
    if "value" in turn and is_given(turn.get("content")) and is_given(turn["value"]):
        content, value = scalar_text(turn["content"]), scalar_text(turn["value"])
        if isinstance(content, str) and isinstance(value, str) and content.strip() != value.strip():
            raise ConversionError("conflicting_fields", "its content and its value say different things")
        used.add("value")


def _note_unused(turn: Mapping[str, Any], content: Any, used: Iterable[str | None], notes: Notes) -> None:
    """Note the keys of a turn that have a value of their own and are not used."""
    for name, value in turn.items():
        if name not in used and is_given(value) and value is not content and value != content:
            notes.note(name)


def _either(first: str | None, second: str | None) -> str | None:
    """The one reasoning of a turn, from a field or from the parts of its content."""
    if first is not None and second is not None and first.strip() != second.strip():
        raise ConversionError("conflicting_fields", "the reasoning in its content and that in its fields differ")
    return first if first is not None else second


def _answer(
    turn: Mapping[str, Any], text: str | None, reasoning: str | None, train: bool | None, notes: Notes
) -> Message:
    calls = _tool_calls(turn, notes)
    if text is None and not calls:
        if train is not False and reasoning is None:
            raise ConversionError("missing_field", "its content is absent or null, and it calls no tool")
        text = ""
    return Message(
        role="assistant",
        content=text,
        reasoning=reasoning,
        tool_calls=calls,
        name=_optional_text(turn, "name"),
        train=train,
    )


def _call_turn(
    turn: Mapping[str, Any], content: Any, reasoning: str | None, train: bool | None, notes: Notes
) -> Message:
    """A turn that is nothing but tool calls, in its content or where OpenAI's format has them.

    Calls in marks stay text here: see parse_calls.
    """
    own = _tool_calls(turn, notes)
    if content is None:
        calls = own
        if not calls:
            raise ConversionError("missing_field", "its tool call is absent or null")
    elif isinstance(content, str) and may_hold_call(content):
        return Message(role="assistant", content=content, reasoning=reasoning, train=train)
    else:
        calls = calls_in(content, _noted(notes, "content"))
        if own and not same_calls(own, calls):
            raise ConversionError("conflicting_fields", "the calls in its content and those in its tool_calls differ")
    return Message(role="assistant", content=None, reasoning=reasoning, tool_calls=calls, train=train)


def _text_of(content: Any, role: str, notes: Notes) -> tuple[str | None, str | None]:
    """The text of a content, and the reasoning among its parts. Raises ConversionError if it is not text."""
    if role == "tool" and isinstance(content, (dict, list)):
        content = result_text(content)
    content = scalar_text(as_list_of_objects(content, "type", "text"))
    if isinstance(content, Mapping):
        content = _parts_of(content)
    if isinstance(content, list):
        return _joined(content, notes)
    if content is not None and not isinstance(content, str):
        raise ConversionError("wrong_type", f"its content is {describe_value(content)}, not text")
    return content, None


def _parts_of(content: Mapping[str, Any]) -> Any:
    """The parts of a content that is an object: the one that it is, {"text": ...}, or the list that it has,
    {"parts": [...]}; any other object unchanged.
    """
    if content.get("type") in _TEXT_PARTS:
        return [content]
    given = {name: value for name, value in content.items() if is_given(value)}
    if given.keys() == {"text"} and isinstance(given["text"], str):
        return [given]
    kind = given.pop("content_type", "text")
    is_list = given.keys() <= {"parts", "role"} and isinstance(given.get("parts"), list) and kind in _TEXT_PARTS
    return given["parts"] if is_list else content


def _joined(parts: list[Any], notes: Notes) -> tuple[str, str | None]:
    """The text of a list of content parts, and their reasoning. Raises ConversionError for parts that are not text.

    Each text that is not empty, and each plain string in a list of such, is a line, as vLLM joins them.
    """
    if parts and all(isinstance(part, str) for part in parts):
        notes.joined += len(parts) > 1
        return "\n".join(parts), None
    texts, thoughts = [], []
    for part in parts:
        text = part
        if isinstance(part, dict):
            kind = part.get("type", "text")
            if kind in PARTS or part.get("thought") is True:
                thoughts.append(part_text(part, "content"))
                continue
            if kind not in _TEXT_PARTS or any(is_media(name, value) for name, value in part.items()):
                raise ConversionError("untrainable_content", f"its content has a part of type {str(kind)[:40]!r}")
            text = part.get("text")
            for name, value in part.items():
                if name not in _PART_KEYS and is_given(value):
                    notes.note(f"content[].{name}")
        if not isinstance(text, str):
            raise ConversionError("wrong_type", f"its content has a part that is {describe_value(text)}, not text")
        if text:
            texts.append(text)
    notes.joined += len(texts) > 1
    return "\n".join(texts), unwrapped("".join(thoughts)) or None if thoughts else None


def _optional_text(turn: Mapping[str, Any], name: str) -> str | None:
    value = turn.get(name)
    if name == "tool_call_id":
        value = id_text(value)
    if value is not None and not isinstance(value, str):
        raise ConversionError("wrong_type", f"its {name} is {describe_value(value)}, not text")
    return value or None


def _tool_calls(turn: Mapping[str, Any], notes: Notes) -> tuple[ToolCall, ...]:
    """The calls in a turn's `tool_calls` or in the older `function_call`. Raises ConversionError if the two differ."""
    found: tuple[ToolCall, ...] = ()
    for name in ("tool_calls", "function_call"):
        calls = turn.get(name)
        if calls and (is_given(calls) or not isinstance(calls, dict)):
            own = calls_in(calls, _noted(notes, name))
            if found and not same_calls(found, own):
                raise ConversionError("conflicting_fields", "its tool_calls and its function_call differ")
            found = found or own
    return found


def _noted(notes: Notes, field: str) -> Callable[[str], None]:
    """What notes a key of a call in this field of a turn."""
    return lambda name: notes.note(f"{field}[].{name}")
