"""Conversations to test chat templates with, each with tags for what is special about it.

A tag is something that a format may not support, or that our template deliberately writes in another way.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

Turn = dict[str, Any]

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a place, now.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "A city, like Łódź"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                "days": {"type": "array", "items": {"type": "integer"}},
            },
            "required": ["city"],
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {"name": "now", "description": "What time is it?", "parameters": {"type": "object", "properties": {}}},
}
NESTED = {
    "type": "function",
    "function": {
        "name": "book",
        "description": "Books a table.",
        "parameters": {
            "type": "object",
            "properties": {
                "guest": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
                    "required": ["name"],
                },
                "when": {"oneOf": [{"type": "string", "description": "a date"}, {"type": "integer", "default": 3}]},
                "wishes": {"type": "array", "items": {"type": "object", "properties": {"what": {"type": "string"}}}},
                "smoking": {"type": ["boolean", "null"], "default": False},
                "price": {"type": "number", "nullable": True},
                "note": {"type": "string", "nullable": True},
                "extra": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            },
        },
    },
}


@dataclass(frozen=True)
class Conversation:
    name: str
    messages: list[Turn]
    tags: frozenset[str] = frozenset()
    tools: list[dict[str, Any]] | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)


def system(content: str) -> Turn:
    return {"role": "system", "content": content}


def user(content: str) -> Turn:
    return {"role": "user", "content": content}


def assistant(content: str | None, **fields: Any) -> Turn:
    return {"role": "assistant", "content": content, **fields}


def result(content: str, call: int = 1) -> Turn:
    return {"role": "tool", "content": content, "tool_call_id": f"call0000{call}"}


def call(name: str, arguments: dict[str, Any] | str, number: int = 1) -> dict[str, Any]:
    return {"id": f"call0000{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


PARIS = {"city": "Paris", "days": [1, 2]}
ASK = user("How is the weather in Paris?")
ONE_CALL = assistant(None, tool_calls=[call("get_weather", PARIS)])
EMPTY_CALL = assistant("", tool_calls=[call("get_weather", PARIS)])
SUNNY = result('{"sky": "clear", "°C": 21}')
AFTER = assistant("Clear, 21 °C.")


def _make(name: str, messages: list[Turn], tags: str = "", **more: Any) -> Conversation:
    return Conversation(name, copy.deepcopy(messages), frozenset(tags.split()), **more)


def plain() -> list[Conversation]:
    """Conversations with nothing but text. Every format supports those in which user and assistant alternate."""
    pair = [user("Hi"), assistant("Hello!")]
    return [
        _make("single turn", pair),
        _make("question only", [user("Hi")]),
        _make("two turns", [*pair, user("And now?"), assistant("Bye.")]),
        _make("three turns, last open", [*pair, user("2?"), assistant("two"), user("3?")]),
        _make("system", [system("Be brief."), *pair], "system"),
        _make("system, two turns", [system("Be brief."), *pair, user("?"), assistant("!")], "system"),
        _make("system, two turns, open", [system(" Be\nbrief. "), *pair, user("?")], "system"),
        _make("empty system", [system(""), *pair], "system empty_system"),
        _make("empty answer", [user("Hi"), assistant("")], "empty"),
        _make("empty answer, then more", [user("Hi"), assistant(""), user("Hm?"), assistant("Yes")], "empty"),
        _make("white space", [user("  Hi \n"), assistant("\n\n Hello!\t ")]),
        _make("white space in the middle", [user(" a"), assistant(" b "), user("c "), assistant("\nd")]),
        _make("unicode", [user("Zażółć 你好 👩‍👩‍👧 e\u0301"), assistant("\u200bمرحبا \U0001f600\u00a0")]),
        _make("markup", [user("<b>\"&amp;'</b> {{ x }} {% y %}"), assistant("a < b && c > 'd'")]),
        _make("code", [user("Code?"), assistant("```python\n\tprint('{}')\n```\n")]),
        _make("looks like JSON", [user('{"a": [1]}'), assistant('{"b": null}')]),
        _make("two users in a row", [user("Hi"), user("You there?"), assistant("Yes")], "no_alternation"),
        _make("two answers in a row", [user("Hi"), assistant("a"), assistant("b")], "two_answers no_alternation"),
        _make("answer first", [assistant("Welcome"), user("Hi"), assistant("b")], "no_alternation"),
        _make("late system", [*pair, system("Now rhyme."), user("?"), assistant("!")], "late_system no_alternation"),
        _make("two systems", [system("A"), system("B"), *pair], "system late_system no_alternation"),
        _make("developer", [{"role": "developer", "content": "Be brief."}, *pair], "developer no_alternation"),
    ]


def reasoning() -> list[Conversation]:
    """Conversations with reasoning, in its own field or in the content."""
    field_ = assistant("4", reasoning_content="2 and 2 make 4")
    inline = assistant("<think>\n2 and 2 make 4\n</think>\n\n4")
    more = [user("And 3+3?"), assistant("6", reasoning_content="\n\n3 and 3: 6\n")]
    ask = user("2+2?")
    dialogs = {
        "reasoning": [ask, field_],
        "inline reasoning": [ask, inline],
        "reasoning twice": [ask, field_, *more],
        "inline, then field": [ask, inline, *more],
        "reasoning, then a question": [ask, field_, user("Sure?")],
        "half a block": [ask, assistant("so 4</think>4")],
        "two blocks": [ask, assistant("<think>a</think>b<think>c</think>d")],
        "empty reasoning": [ask, assistant("4", reasoning_content="")],
        "reasoning, system": [system("S"), ask, field_, *more],
    }
    made = [_make(name, messages, _tags(messages)) for name, messages in dialogs.items()]
    for switch, given in (("thinking", True), ("no_thinking", False)):
        made += [
            _make(
                f"{name}, enable_thinking={given}", messages, _tags(messages, switch), kwargs={"enable_thinking": given}
            )
            for name, messages in (*list(dialogs.items())[:4], ("plain", [ask, assistant("4")]), ("ask", [ask]))
        ]
    return made


def _tags(messages: list[Turn], switch: str = "") -> str:
    """`field` for reasoning in its own field, and `no_thinking` for any with the switch off."""
    has_field = any(message.get("reasoning_content") for message in messages)
    has_any = has_field or any("</think>" in message["content"] for message in messages)
    shown = switch if switch != "no_thinking" or has_any else ""
    return " ".join(["reasoning", shown, "field" if has_field else ""])


def tools() -> list[Conversation]:
    """Conversations with declarations of tools, calls and results."""
    both = [WEATHER, CLOCK]
    two = assistant(None, tool_calls=[call("get_weather", PARIS), call("now", {}, 2)])
    three = assistant(None, tool_calls=[call("now", {}, n) for n in (1, 2, 3)])
    text = assistant("Let me look.", tool_calls=[call("get_weather", PARIS)])
    thought = assistant(None, tool_calls=[call("get_weather", PARIS)], reasoning_content="I need the weather.")
    string = assistant(None, tool_calls=[call("get_weather", '{"city": "Paris"}')])
    again = [user("And in Rome?"), assistant(None, tool_calls=[call("get_weather", {"city": "Rome"}, 2)])]
    rounds = [ASK, ONE_CALL, SUNNY, AFTER, *again, result("rain", 2), assistant("Rain.")]
    chain = [ASK, ONE_CALL, SUNNY, assistant(None, tool_calls=[call("now", {}, 2)]), result("9:00", 2), AFTER]
    return [
        _make("tools unused", [user("Hi"), assistant("Hello!")], "tools", tools=both),
        _make("tools unused, system", [system("S"), user("Hi"), assistant("Hello!")], "tools system", tools=both),
        _make("nested schema", [user("Hi"), assistant("Hello!")], "tools nested", tools=[NESTED]),
        _make("tools, answer first", [assistant("Hi"), user("a")], "tools tools_first no_alternation", tools=both),
        _make("call", [ASK, ONE_CALL], "tools calls one_call", tools=both),
        _make("call, empty text", [ASK, EMPTY_CALL], "tools calls one_call", tools=both),
        _make("call and result", [ASK, ONE_CALL, SUNNY], "tools calls one_call", tools=both),
        _make("call, result, answer", [ASK, ONE_CALL, SUNNY, AFTER], "tools calls one_call", tools=both),
        _make("call, undeclared", [ASK, ONE_CALL, SUNNY, AFTER], "calls one_call"),
        _make("call, system", [system("S"), ASK, ONE_CALL, SUNNY, AFTER], "tools calls system one_call", tools=both),
        _make(
            "call, text result",
            [ASK, ONE_CALL, result('sunny "ish"'), AFTER],
            "tools calls one_call text_result",
            tools=both,
        ),
        _make("string arguments", [ASK, string, SUNNY, AFTER], "tools calls one_call string_arguments", tools=both),
        _make("text and call", [ASK, text, SUNNY, AFTER], "tools calls text_and_call", tools=both),
        _make("text and call, system", [system("S"), ASK, text], "tools calls text_and_call system", tools=both),
        _make("two calls", [ASK, two], "tools calls parallel", tools=both),
        _make("two calls, results", [ASK, two, SUNNY, result("9:00", 2), AFTER], "tools calls parallel", tools=both),
        _make(
            "three calls",
            [ASK, three, *(result(str(n), n) for n in (1, 2, 3)), AFTER],
            "tools calls parallel three",
            tools=both,
        ),
        _make("two rounds", rounds, "tools calls one_call rounds text_result", tools=both),
        _make("chain", chain, "tools calls one_call rounds text_result", tools=both),
        _make(
            "call, then a question", [ASK, ONE_CALL, SUNNY, AFTER, user("Thanks")], "tools calls one_call", tools=both
        ),
        _make(
            "reasoning before a call", [ASK, thought, SUNNY, AFTER], "tools calls one_call reasoning field", tools=both
        ),
        _make("reasoning, call open", [ASK, thought, SUNNY], "tools calls one_call reasoning field", tools=both),
        _make("orphan result", [user("Hi"), SUNNY, AFTER], "orphan"),
    ]


def everything() -> list[Conversation]:
    return [*plain(), *reasoning(), *tools()]
