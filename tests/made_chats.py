"""Conversations made by hypothesis: with tools, nulls, numbers, nesting and letters of all languages; their schema."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

Row = dict[str, Any]


def in_order(value: Any) -> Any:
    """A value whose objects have their keys in the order of the alphabet: Arrow has those of all rows in one order."""
    if isinstance(value, dict):
        return {key: in_order(item) for key, item in sorted(value.items())}
    return [in_order(item) for item in value] if isinstance(value, list) else value


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12).filter(
    lambda text: not text.isspace()
)
NUMBERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_infinity=False)
# The arguments of a tool: a column of Arrow has one type, and keys in one order.
ARGUMENTS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "city": (pa.string(), st.none() | WORDS),
    "days": (pa.int64(), st.none() | NUMBERS),
    "exact": (pa.bool_(), st.none() | st.booleans()),
    "limit": (pa.float64(), st.none() | FLOATS),
    "tags": (pa.list_(pa.string()), st.none() | st.lists(st.none() | WORDS, max_size=3)),
    "where": (
        pa.struct([("lat", pa.float64()), ("names", pa.list_(pa.struct([("de", pa.string()), ("fr", pa.string())])))]),
        st.fixed_dictionaries(
            {},
            optional={"lat": FLOATS, "names": st.lists(st.fixed_dictionaries({"de": WORDS, "fr": st.none() | WORDS}))},
        ).map(lambda given: dict(sorted(given.items()))),
    ),
}
VALUES = st.fixed_dictionaries({}, optional={name: values for name, (_, values) in ARGUMENTS.items()}).map(in_order)
TYPES = pa.struct([(name, kind) for name, (kind, _) in ARGUMENTS.items()])
PROPERTY = st.fixed_dictionaries({"type": st.sampled_from(["string", "integer"])}, optional={"description": WORDS})
PROPERTY_TYPE = pa.struct([("description", pa.string()), ("type", pa.string())])
TOOL = st.builds(
    lambda properties: {
        "type": "function",
        "function": {
            "name": "f",
            "parameters": {
                "type": "object",
                "properties": in_order(properties),
            },
        },
    },
    st.fixed_dictionaries({}, optional=dict.fromkeys(ARGUMENTS, PROPERTY)),
)
TOOL_TYPE = pa.struct(
    [
        ("type", pa.string()),
        (
            "function",
            pa.struct(
                [
                    ("name", pa.string()),
                    ("description", pa.string()),
                    (
                        "parameters",
                        pa.struct(
                            [
                                ("type", pa.string()),
                                ("properties", pa.struct([(name, PROPERTY_TYPE) for name in ARGUMENTS])),
                            ]
                        ),
                    ),
                ]
            ),
        ),
    ]
)
CALL_TYPE = pa.struct(
    [
        ("id", pa.string()),
        ("type", pa.string()),
        ("function", pa.struct([("name", pa.string()), ("arguments", TYPES)])),
    ]
)
TURN_TYPE = pa.struct(
    [
        ("role", pa.string()),
        ("content", pa.string()),
        ("reasoning", pa.string()),
        ("tool_calls", pa.list_(CALL_TYPE)),
        ("tool_call_id", pa.string()),
        ("weight", pa.int64()),
        ("mood", pa.string()),
    ]
)
CHATS = pa.schema([("messages", pa.list_(TURN_TYPE)), ("tools", pa.list_(TOOL_TYPE)), ("note", pa.string())])


@st.composite
def chats(draw: st.DrawFn) -> Row:
    """A conversation with tools, and with nulls, absent keys and unused columns here and there."""
    turns: list[Row] = draw(
        st.sampled_from([[], [{"role": "system", "content": None}], [{"role": "system", "content": "S"}]])
    )
    turns = [*turns, {"role": "user", "content": draw(WORDS)}]
    if draw(st.booleans()):
        function = {"name": "f", "arguments": draw(VALUES)}
        turns.append(
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": function}],
            }
        )
        turns.append({"role": "tool", "content": draw(WORDS), "tool_call_id": "c1"})
    optional = {"weight": st.sampled_from([None, 0, 1]), "mood": WORDS}
    turns.append({"role": "assistant", "content": draw(WORDS), **draw(st.fixed_dictionaries({}, optional=optional))})
    row: Row = {"messages": turns}
    if draw(st.booleans()):
        row["tools"] = draw(st.none() | st.lists(TOOL, max_size=1))
    if draw(st.booleans()):
        row["note"] = draw(st.none() | WORDS)
    return row
