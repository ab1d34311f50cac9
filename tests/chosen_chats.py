"""Conversations, chosen by hand, whose values are hard to write in one format or another; and their Arrow schema.

Objects have their keys in the order of the schema: a column of Arrow has one order for all rows.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

Row = dict[str, Any]
NAMES = pa.struct([("de", pa.string()), ("fr", pa.string())])
ARGUMENTS = pa.struct(
    [
        ("city", pa.string()),
        ("count", pa.int64()),
        ("exact", pa.bool_()),
        ("limit", pa.float64()),
        ("tags", pa.list_(pa.string())),
        ("where", pa.struct([("lat", pa.float64()), ("names", pa.list_(NAMES))])),
    ]
)
PROPERTY = pa.struct(
    [
        ("type", pa.string()),
        ("description", pa.string()),
        ("enum", pa.list_(pa.string())),
        ("properties", pa.struct([("lat", pa.struct([("type", pa.string()), ("description", pa.string())]))])),
    ]
)
PARAMETERS = pa.struct(
    [
        ("type", pa.string()),
        ("properties", pa.struct([(field.name, PROPERTY) for field in ARGUMENTS])),
        ("required", pa.list_(pa.string())),
    ]
)
FUNCTION = pa.struct([("name", pa.string()), ("description", pa.string()), ("parameters", PARAMETERS)])
CALL = pa.struct(
    [
        ("id", pa.string()),
        ("type", pa.string()),
        ("function", pa.struct([("name", pa.string()), ("arguments", ARGUMENTS)])),
    ]
)
TURN = pa.struct(
    [
        ("role", pa.string()),
        ("content", pa.string()),
        ("reasoning", pa.string()),
        ("tool_calls", pa.list_(CALL)),
        ("tool_call_id", pa.string()),
        ("name", pa.string()),
        ("weight", pa.int64()),
        ("mood", pa.string()),
    ]
)
SCHEMA = pa.schema(
    [
        ("messages", pa.list_(TURN)),
        ("tools", pa.list_(pa.struct([("type", pa.string()), ("function", FUNCTION)]))),
        ("system", pa.string()),
        ("chat_template_kwargs", pa.struct([("enable_thinking", pa.bool_()), ("style", pa.string())])),
        ("note", pa.string()),
        ("meta", pa.struct([("score", pa.float64()), ("labels", pa.list_(pa.string()))])),
    ]
)


def user(content: str, **more: Any) -> Row:
    return {"role": "user", "content": content, **more}


def answer(content: str | None, **more: Any) -> Row:
    return {"role": "assistant", "content": content, **more}


def chat(*turns: Row, **more: Any) -> Row:
    return {"messages": list(turns), **more}


def call(id_: str | None, arguments: Row, name: str = "find") -> Row:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def tool(name: str = "find", *, required: list[str] | None = None, **properties: Row) -> Row:
    parameters: Row = {
        "type": "object",
        "properties": {one.name: properties[one.name] for one in ARGUMENTS if one.name in properties},
    }
    if required is not None:
        parameters["required"] = required
    return {"type": "function", "function": {"name": name, "description": f"To {name}.", "parameters": parameters}}


def result(content: str, id_: str | None = None, **more: Any) -> Row:
    return {"role": "tool", "content": content, "tool_call_id": id_, **more}


def called(arguments: Row, said: str | None = None, **more: Any) -> Row:
    """A conversation with one call."""
    turns = [user("Find it."), answer(said, tool_calls=[call("call00001", arguments)]), result("{}", "call00001")]
    return chat(*turns, answer("Found."), **more)


WHERE = {"type": "object", "properties": {"lat": {"type": "number", "description": "Nördlich."}}}
NUMBER = {"type": "integer"}
CITY = {"type": "string", "description": 'Its "name"', "enum": ["Zürich", "Genève", ""]}
CHATS: list[Row] = [
    chat(user("Hi"), answer("Hello")),
    chat({"role": "system", "content": None}, user("Null is no turn?"), answer("None."), system="Be brief."),
    chat({"role": "system", "content": "One."}, user("Two systems?"), answer("The turn's."), system="Two."),
    chat(user("An empty one?"), answer("None."), system="", note="", tools=[]),
    chat(user("e\u0301 \u00e9 \ufb01 \u1e9b\u0323 \u212b"), answer("It stays.")),
    chat(user("Letters?"), answer("\U0001f469\u200d\U0001f680 \u05e9\u05dc\u05d5\u05dd \u4f60\u597d \U00010348")),
    chat(user("a\u2028b\u2029c\u0085d\u000be\u000cf\u001cg\u001dh\u001ei\u007fj"), answer("It is one line.")),
    chat(user("\ufeffWith marks?"), answer("\ufeffwith \ufeff marks\ufeff")),
    chat(user(" \tone\r\ntwo\rthree\n\n"), answer('\n "a,b"; \'c\' | \\n \\" \\\\ ""\t')),
    *(
        chat(user(f"Text {number}"), answer(text))
        for number, text in enumerate(
            ["null", "NaN", "None", "true", "1", "007", "1e3", "[1, 2]", '{"a": [null, 1.50]}', '"', "'", "=1+1", "[]"]
        )
    ),
    chat(user("long " * 2000), answer("longer " * 1500)),
    called(
        {
            "city": "Zürich",
            "count": 3,
            "exact": True,
            "limit": 0.1,
            "tags": ["a", None, "", "\u2028"],
            "where": {"lat": 1.5, "names": [{"de": "Zürich", "fr": None}, {"de": None, "fr": "Zurich"}, {}]},
        },
        tools=[tool(city=CITY, count=NUMBER, where=WHERE, required=["city"])],
    ),
    called({"city": None, "count": 9223372036854775807, "exact": False, "limit": 1e22}, "I look.", tools=None),
    called({"count": -9223372036854775808, "limit": 5e-324, "tags": [], "where": {}}, ""),
    called({"city": "", "limit": 1000.0, "where": {"names": []}}, tools=[tool(city=CITY), tool("get", count=NUMBER)]),
    called({}, tools=[tool(required=[])]),
    chat(
        user("Both.", name="Ana"),
        answer(None, tool_calls=[call(None, {"count": 0}), call(None, {"city": "x"}, "get")]),
        result("1", name="find"),
        result("[2]", name="get"),
        answer("1 and 2."),
    ),
    chat(user("Think?"), answer("Yes.", reasoning="Hm.\n\nYes."), user("And?"), answer("No.", reasoning="")),
    chat(user("A?"), answer("B.", weight=0), user("C?"), answer("D.", weight=1), user("E?"), answer("F.", weight=None)),
    chat(user("Fast?"), answer("Fast."), chat_template_kwargs={"enable_thinking": False, "style": None}),
    chat(user("Extra?", mood="glad"), answer("Yes.", mood=None), note="x", meta={"score": 0.5, "labels": [None, "y"]}),
    chat(user("None?"), answer("Yes."), meta={"score": float("nan"), "labels": ["z"]}),
    chat(user("Nothing?"), answer(None)),
    chat(user("Nothing again?"), answer("")),
    chat(user("An empty list?"), answer("Yes.", tool_calls=[], tool_call_id="", name="")),
    chat(user("A last question"), answer("with one more turn"), user("behind it")),
    chat(user("a\0b"), answer("A null character costs its row.")),
]  # fmt: skip
PACKED = len(CHATS) - 3  # without those that have no answer, or a null character
