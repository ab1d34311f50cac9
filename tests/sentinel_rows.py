"""Raw rows of every shape whose values are sentinels, each of which a reader has to find again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

Row = dict[str, Any]
CALL_ID = "Qz99901zq"  # some templates ask for nine letters or digits
REASONING = (
    "reasoning_content",
    "reasoning",
    "thinking",
    "thought",
    "thoughts",
    "reasoning_details",
    "chain_of_thought",
    "rationale",
)
_KEPT = {
    "system",
    "user",
    "assistant",
    "tool",
    "developer",
    "human",
    "gpt",
    "function",
    "object",
    "string",
    "text",
    "image_url",
}


def marked(value: Any, number: Iterator[int] | None = None) -> Any:
    """A copy of a value with a sentinel in place of every text, but for roles and types.

    A text that begins with `=` is one value: it has the same sentinel at all its places.
    """
    numbers = count(1) if number is None else number
    same: dict[str, str] = {}

    def new(text: str) -> str:
        if text in _KEPT:
            return text
        if text.startswith("="):
            return same.setdefault(text, f"Qz{next(numbers):03}zq")
        if text == CALL_ID:
            return text
        return f"Qz{next(numbers):03}zq"

    def walk(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: walk(inner) for key, inner in item.items()}
        if isinstance(item, list):
            return [walk(inner) for inner in item]
        return new(item) if isinstance(item, str) else item

    return walk(value)


def sentinels(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(sentinel, the keys that lead to it) of a marked value."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from sentinels(item, (*path, key))
    elif isinstance(value, list):
        for item in value:
            yield from sentinels(item, path)
    elif isinstance(value, str) and value.startswith("Qz"):
        yield value, path


def _turn(role: str, **more: Any) -> Row:
    return {"role": role, "content": "x", **more}


def _call(**more: Any) -> Row:
    arguments = {"place": "x", "inner": {"deep": "x", "list": ["x", "x"]}}
    return {"id": CALL_ID, "type": "function", "function": {"name": "=tool", "arguments": arguments}, **more}


def _tool() -> Row:
    inner = {"type": "object", "description": "x", "properties": {"deep": {"type": "string", "description": "x"}}}
    place = {"type": "string", "description": "x", "enum": ["x", "x"], "title": "x"}
    parameters = {"type": "object", "properties": {"place": place, "inner": inner}, "remark": "x"}
    function = {"name": "=tool", "description": "x", "parameters": parameters, "returns": "x"}
    return {"type": "function", "function": function, "vendor": "x"}


def _called(**more: Any) -> Row:
    call = _turn("assistant", content=None, tool_calls=[_call(vendor="x")])
    call["tool_calls"][0]["function"]["strictness"] = "x"
    result = _turn("tool", tool_call_id=CALL_ID, name="=tool", status_text="x")
    return {"messages": [_turn("user"), call, result, _turn("assistant")], "tools": [_tool()], **more}


TEXT = {"type": "string", "description": "x"}
# Name -> (row, settings of its source). Every text becomes a sentinel.
SHAPES: dict[str, tuple[Row, Row]] = {
    "messages": (
        {
            "messages": [
                _turn("system", name="x"),
                _turn("user", name="x", mood="x"),
                _turn("assistant", name="x", extra={"deep": ["x"]}),
                _turn("user"),
                _turn("assistant", weight=0, note="x"),
                _turn("user"),
                _turn("assistant", train=True),
            ],
            "system": "x",
            "chat_template_kwargs": {"style": "x"},
            "documents": [{"title": "x", "text": "x"}],
            "metadata": {"a": {"b": ["x", {"c": "x"}]}},
            "remark": "x",
        },
        {},
    ),
    "system of the row": ({"messages": [_turn("user"), _turn("assistant")], "system": "x"}, {}),
    "developer": ({"messages": [_turn("developer"), _turn("user"), _turn("assistant")]}, {}),
    "a later system turn": (
        {"messages": [_turn("user"), _turn("assistant"), _turn("system"), _turn("user"), _turn("assistant")]},
        {},
    ),
    "tools and calls": (_called(), {}),
    "tools without calls": ({"messages": [_turn("user"), _turn("assistant")], "tools": [_tool()]}, {}),
    "tools in the system turn": (
        {"messages": [_turn("system", tools=[_tool()]), _turn("user"), _turn("assistant")]},
        {},
    ),
    "a turn behind the last answer": ({"messages": [_turn("user"), _turn("assistant"), _turn("user")]}, {}),
    "parts": (
        {
            "messages": [
                _turn("user", content=[{"type": "text", "text": "x"}, {"type": "text", "text": "x", "cited": "x"}]),
                _turn("assistant"),
            ]
        },
        {},
    ),
    **{
        f"reasoning as {name}": (
            {"messages": [_turn("user"), _turn("assistant", **{name: "x"}), _turn("user"), _turn("assistant")]},
            {},
        )
        for name in REASONING
    },
    **{f"{name} beside the answer": ({"prompt": "x", "completion": "x", name: "x"}, {}) for name in REASONING},
    "prompt and completion": ({"prompt": "x", "completion": "x", "system": "x", "chosen_by": "x"}, {}),
    "turns as prompt and completion": (
        {"prompt": [_turn("system"), _turn("user")], "completion": [_turn("assistant", mood="x")], "note": "x"},
        {},
    ),
    "alpaca": (
        {"instruction": "x", "input": "x", "output": "x", "system": "x", "history": [["x", "x"]], "topic": "x"},
        {},
    ),
    "xlam": (
        {
            "query": "x",
            "tools": [{"name": "=tool", "description": "x", "parameters": {"place": TEXT}}],
            "answers": [{"name": "=tool", "arguments": {"place": "x"}}],
            "id_of_source": "x",
        },
        {},
    ),
    "sharegpt": (
        {
            "conversations": [
                {"from": "system", "value": "x"},
                {"from": "human", "value": "x", "mood": "x"},
                {"from": "gpt", "value": "x"},
            ],
            "note": "x",
        },
        {},
    ),
    "text": ({"text": "x", "title": "x"}, {"format": "text"}),
    "mapped columns": (
        {"q": {"text": "x", "more": "x"}, "a": "x", "note": "x"},
        {"columns": {"prompt": "q.text", "completion": "a"}},
    ),
    "kept columns": ({"prompt": "x", "completion": "x", "note": "x"}, {"keep": ["note"]}),
}  # fmt: skip
# Rows that are dropped by a reason that names the field: (row, the field, the reason).
MEDIA: dict[str, Row] = {
    "image": {"prompt": "x", "completion": "x", "image": "pictures/a.png"},
    "images": {"messages": [_turn("user"), _turn("assistant")], "images": [{"bytes": "x", "path": "a.png"}]},
    "audio": {"prompt": "x", "completion": "x", "audio": {"array": [0.5, 0.25], "sampling_rate": 16000}},
    "video": {"instruction": "x", "output": "x", "video": "https://example.com/a.mp4"},
    "image_url": {
        "messages": [
            _turn("user", content=[{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "x"}}]),
            _turn("assistant"),
        ]
    },
}  # fmt: skip
