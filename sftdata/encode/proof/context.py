"""Checks that the prompt of a trained turn shows the whole conversation before it, and the tools.

A template that silently leaves out a message or the tools would train an answer behind a prompt that does not explain
it. So each conversation is also rendered with a sentinel in every field, once per shape, and the real texts are looked
for in the real prompt: a sentinel alone would miss what the template does to certain texts, a text alone can be there
by chance.

Three things are no loss: earlier reasoning, which templates strip from history; white space around contents; and what
a template adds. Names and ids that are not written are counted (`unwritten`), never a reason to drop a conversation.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

from sftdata.encode.call_ids import find_call_ids
from sftdata.encode.proof.fields import CALLS, CONTENT, REASONING, has_call, has_value
from sftdata.encode.template.conversation import Conversation
from sftdata.encode.template.jinja import RenderError, Turn
from sftdata.encode.template.probes import SENTINEL, TemplateProbes

TOOLS = "tools"
_KEPT_VALUES = ("type", "$ref", "role")  # of tools: templates compare them with constants
_THINK_END = "</think>"


class Mark(NamedTuple):
    """A field of a conversation: its turn (None for tools), its name, and whether its loss is only counted."""

    turn: int | None
    name: str
    is_detail: bool = False


class Context(NamedTuple):
    """What a template does not write of a conversation: fields whose loss is a fault, and details."""

    lost: tuple[Mark, ...]
    details: tuple[Mark, ...]


def unwritten_context(chat: Conversation, k: int, prompt: str, probes: TemplateProbes) -> Context:
    """The fields of the messages before turn k, and of the tools, that its prompt does not show."""
    hidden = _hidden_fields(chat, k, probes)
    lost = [mark for mark in hidden if not mark.is_detail]
    found = {(mark.turn, mark.name) for mark in lost}
    lost += [mark for mark in _missing_texts(chat, k, prompt, probes) if (mark.turn, mark.name) not in found]
    return Context(tuple(lost), tuple(mark for mark in hidden if mark.is_detail))


def own_details(chat: Conversation, k: int, probes: TemplateProbes) -> tuple[Mark, ...]:
    """The name and the ids of turn k that the template does not write."""
    turn = chat.messages[k]
    if not turn.get("name") and not any(call.get("id") for call in turn.get(CALLS) or ()):
        return ()
    return tuple(
        mark
        for mark in _hidden_fields(chat, k + 1, probes)
        if mark.is_detail and mark.turn == k and mark.name != "reasoning"
    )


def describe(mark: Mark, messages: Sequence[Turn]) -> str:
    """A lost field in words, without its turn: "the developer's content", "tools"."""
    if mark.turn is None:
        return TOOLS
    role = messages[mark.turn]["role"]
    return f"the {role}'s {'tool calls' if mark.name == CALLS else mark.name}"


def count_name(mark: Mark, messages: Sequence[Turn]) -> str:
    """The name under which a lost field is counted: "tools", "tool calls", "developer messages"."""
    if mark.turn is None:
        return TOOLS
    return "tool calls" if mark.name == CALLS else f"{messages[mark.turn]['role']} messages"


def _missing_texts(chat: Conversation, k: int, prompt: str, probes: TemplateProbes) -> Iterator[Mark]:
    """The contents, calls and tools whose own texts the prompt does not show."""
    at = 0
    close = _THINK_END if probes.thinking.own_marks is None else probes.thinking.own_marks[1]
    for turn, message in enumerate(chat.messages[:k]):
        content = message.get(CONTENT)
        text = content.strip() if isinstance(content, str) else ""
        if message["role"] == "assistant" and close in text:
            text = text.rpartition(close)[2].strip()  # reasoning before it may be stripped
        if text:
            place = prompt.find(text, at)
            if place >= 0:
                at = place + len(text)
            elif text not in prompt and not _is_rewritten(chat, turn, k, probes, prompt):
                yield Mark(turn, CONTENT)
        for call in message.get(CALLS) or ():
            if not has_call(prompt, call["function"]):
                yield Mark(turn, CALLS)
                break
    for tool in chat.tools or ():
        function = _function_of(tool)
        if not all(has_value(prompt, function[key]) for key in ("name",) if isinstance(function.get(key), str)):
            yield Mark(None, TOOLS)
            return


def _is_rewritten(chat: Conversation, turn: int, k: int, probes: TemplateProbes, prompt: str) -> bool:
    """Whether the template writes a content in another form, such as JSON: what is put at its ends is written."""
    content = chat.messages[turn][CONTENT]
    if has_value(prompt, content) or has_value(prompt, content.strip()):
        return True
    ends = SENTINEL.format("start"), SENTINEL.format("stop")
    changed = [*chat.messages[:k]]
    changed[turn] = {**changed[turn], CONTENT: f"{ends[0]}{content}{ends[1]}"}
    text = _render(Conversation(changed, chat.tools, chat.kwargs), probes)
    return text is not None and all(end in text for end in ends)


def _hidden_fields(chat: Conversation, k: int, probes: TemplateProbes) -> tuple[Mark, ...]:
    """The fields whose sentinels the prompt does not show. Cached by shape."""
    shape = _shape_of(chat, k)
    if shape not in probes.hidden_fields:
        probes.hidden_fields[shape] = _find_hidden(chat, k, probes)
    return probes.hidden_fields[shape]


def _find_hidden(chat: Conversation, k: int, probes: TemplateProbes) -> tuple[Mark, ...]:
    """Render the conversation with sentinels: everywhere, or in its messages alone and its tools alone.

    The latter is for templates that require certain values in one of them. A part that they refuse either way is left
    to the check of its texts.
    """
    marker = _Marker(named=any(map(_calls, chat.messages[:k])) and find_call_ids(probes).form == "named")
    messages = [marker.turn(number, turn) for number, turn in enumerate(chat.messages[:k])]
    in_messages = dict(marker.marks)
    tools = [marker.tool(tool) for tool in chat.tools or ()] or None
    in_tools = {sentinel: mark for sentinel, mark in marker.marks.items() if sentinel not in in_messages}
    text = _render(Conversation(messages, tools, chat.kwargs), probes)
    if text is not None:
        return _absent(marker.marks, text)
    hidden: tuple[Mark, ...] = ()
    for changed, marks in (
        (Conversation(messages, chat.tools, chat.kwargs), in_messages),
        (Conversation(chat.messages[:k], tools, chat.kwargs), in_tools),
    ):
        text = _render(changed, probes)
        hidden += () if text is None else _absent(marks, text)
    return hidden


def _absent(marks: Mapping[str, Sequence[Mark]], text: str) -> tuple[Mark, ...]:
    """The marks whose sentinels are not in a text, each once."""
    return tuple(dict.fromkeys(mark for sentinel, found in marks.items() if sentinel not in text for mark in found))


def _render(chat: Conversation, probes: TemplateProbes) -> str | None:
    """A conversation as a prompt, or None if the template refuses it."""
    try:
        return probes.template.render(chat.messages, tools=chat.tools, add_generation_prompt=True, kwargs=chat.kwargs)
    except RenderError:
        return None


class _Marker:
    """Puts sentinels into a conversation. `marks` says which fields each of them stands for.

    Ids keep their agreement: a result has the id of its call. A result with the name of a call has the call's sentinel,
    because a template that writes the call has written the name. Where the template writes ids in place of names
    (`named`), an id has the sentinel of the name in it.
    """

    def __init__(self, *, named: bool = False) -> None:
        self._named = named
        self.marks: dict[str, list[Mark]] = {}
        self._numbers = count(1)
        self._ids: dict[str, str] = {}
        self._called: dict[str, str] = {}  # name of a tool -> sentinel of its last call

    def _new(self, mark: Mark) -> str:
        return self._mark(SENTINEL.format(next(self._numbers)), mark)

    def _mark(self, sentinel: str, mark: Mark) -> str:
        self.marks.setdefault(sentinel, []).append(mark)
        return sentinel

    def turn(self, number: int, turn: Turn) -> Turn:
        """A turn with sentinels in all its fields."""
        changed = dict(turn)
        content = turn.get(CONTENT)
        if isinstance(content, str) and content.strip():
            changed[CONTENT] = self._new(Mark(number, CONTENT))
        if turn.get(REASONING):
            thought = self._new(Mark(number, "reasoning", is_detail=True))
            changed.update(dict.fromkeys(("thinking", REASONING, *turn.keys() & {"reasoning"}), thought))
        if turn.get(CALLS):
            changed[CALLS] = [self._call(number, call) for call in turn[CALLS]]
        if turn.get("tool_call_id"):
            changed["tool_call_id"] = self._id(turn["tool_call_id"], Mark(number, "a tool_call_id", is_detail=True))
        if turn.get("name"):
            mark = Mark(number, "a name", is_detail=True)
            called = self._called.get(turn["name"]) if turn["role"] == "tool" else None
            changed["name"] = self._new(mark) if called is None else self._mark(called, mark)
        return changed

    def _id(self, text: str, mark: Mark) -> str:
        """The sentinel of an id: nine letters and digits, which is the strictest form that a template asks for."""
        return self._mark(self._ids.setdefault(text, f"zqx{next(self._numbers):06}"), mark)

    def _call(self, number: int, call: Mapping[str, Any]) -> dict[str, Any]:
        function, mark = call["function"], Mark(number, CALLS)
        arguments = function["arguments"]
        if isinstance(arguments, str):
            arguments = json.dumps(self._values(json.loads(arguments), mark), ensure_ascii=False)
        else:
            arguments = self._values(arguments, mark)
        name = self._called[function["name"]] = self._new(mark)
        if self._named and function["name"] in (call.get("id") or ""):
            self._ids[call["id"]] = call["id"].replace(function["name"], name)
        head = {"id": self._id(call["id"], Mark(number, "call ids", is_detail=True))} if call.get("id") else {}
        return {**call, **head, "function": {**function, "name": name, "arguments": arguments}}

    def _values(self, value: Any, mark: Mark) -> Any:
        """A copy of tool arguments with every key and every string replaced."""
        if isinstance(value, str):
            return self._new(mark) if value.strip() else value
        if isinstance(value, Mapping):
            return {self._new(mark): self._values(item, mark) for item in value.values()}
        if isinstance(value, list):
            return [self._values(item, mark) for item in value]
        return value

    def tool(self, tool: Any) -> Any:
        """A tool with sentinels in all its strings."""
        if not isinstance(tool, Mapping):
            return tool
        function = _function_of(tool)
        changed = {
            key: self._new(Mark(None, TOOLS))
            if key in ("name", "description") and isinstance(value, str) and value.strip()
            else self._schema(value, key, {})
            for key, value in function.items()
        }
        if function is tool:
            return changed
        return {key: changed if key == "function" else self._schema(value, key, {}) for key, value in tool.items()}

    def _schema(self, value: Any, key: str, names: Mapping[str, str], depth: int = 0) -> Any:
        """A part of a tool. `names` has the sentinels of the properties beside it, which `required` lists again."""
        if isinstance(value, str):
            if key in _KEPT_VALUES or not value.strip():
                return value
            if key == "required" and value in names:
                return names[value]
            return self._new(Mark(None, TOOLS) if key == "description" and depth == 1 else _detail(key))
        if isinstance(value, list):
            return [self._schema(item, key, names, depth) for item in value]
        if not isinstance(value, Mapping):
            return value
        properties = value.get("properties")
        if not isinstance(properties, Mapping):
            return {name: self._schema(item, name, names, depth) for name, item in value.items()}
        own = {name: self._new(Mark(None, TOOLS)) for name in properties}
        changed = {own[name]: self._schema(item, "properties", {}, depth + 1) for name, item in properties.items()}
        return {
            name: changed if name == "properties" else self._schema(item, name, own, depth)
            for name, item in value.items()
        }


def _detail(key: str) -> Mark:
    """A part of a tool beside its name, its description and its parameters with theirs."""
    return Mark(None, f"`{key}` in tools", is_detail=True)


def _function_of(tool: Any) -> Mapping[str, Any]:
    """The definition of a tool, which most formats wrap: {"type": "function", "function": {...}}."""
    if not isinstance(tool, Mapping):
        return {}
    function = tool.get("function")
    return function if isinstance(function, Mapping) else tool


def _shape_of(chat: Conversation, k: int) -> Hashable:
    """What may decide which fields a template writes: roles, fields of each turn, and the form of the tools."""
    turns = tuple(
        (
            turn["role"],
            bool(turn.get(CONTENT)),
            bool(turn.get(REASONING)),
            tuple(map(_shape_of_call, turn.get(CALLS) or ())),
            turn.get("name") is not None,
            turn.get("tool_call_id") is not None,
        )
        for turn in chat.messages[:k]
    )
    return turns, tuple(_form(tool) for tool in chat.tools or ())


def _calls(turn: Turn) -> bool:
    return bool(turn.get(CALLS))


def _shape_of_call(call: Mapping[str, Any]) -> Hashable:
    """Of an id it matters whether it is there, and has the name that some templates write in it alone."""
    given, function = call.get("id") or "", call["function"]
    return bool(given), function["name"] in given, type(function["arguments"])


def _form(value: Any, key: str = "") -> Hashable:
    """The form of a tool: its keys, without the names of properties, and its types."""
    if isinstance(value, Mapping):
        if key == "properties":
            return frozenset(_form(item) for item in value.values())
        return tuple((name, _form(item, name)) for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple({_form(item): None for item in value})
    return str(value) if key in _KEPT_VALUES and isinstance(value, str) else type(value).__name__
