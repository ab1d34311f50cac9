"""The 18 ordinary kinds of conversation that the zoo gives to every chat template.

Every text, name and argument is a word or number of its own, so that a rendering shows which fields were written.
"""

from __future__ import annotations

import json
from typing import Any

Chat = list[dict[str, Any]]


def _tool(name: str, description: str, parameter: str, meaning: str) -> dict[str, Any]:
    properties = {parameter: {"type": "string", "description": meaning}}
    parameters = {"type": "object", "properties": properties, "required": [parameter]}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


TOOLS = [
    _tool("get_weather", "Look up the weather of a city.", "city", "the name of the city"),
    _tool("find_train", "Look up the next train.", "station", "the name of the station"),
]


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _system(text: str, role: str = "system") -> dict[str, Any]:
    return {"role": role, "content": text}


def _answer(text: str, thought: str | None = None) -> dict[str, Any]:
    more = {} if thought is None else {"reasoning_content": thought}
    return {"role": "assistant", "content": text, **more}


def _call(number: int, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    # As OpenAI writes it; nine letters and digits are the strictest form of an id that a template asks for.
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": f"callaaa0{number}", "type": "function", "function": function}


def _calling(*calls: dict[str, Any], text: str | None = None, thought: str | None = None) -> dict[str, Any]:
    more = {} if thought is None else {"reasoning_content": thought}
    return {"role": "assistant", "content": text, "tool_calls": list(calls), **more}


def _result(number: int, name: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "content": text, "tool_call_id": f"callaaa0{number}", "name": name}


ASK_WEATHER = _user("How warm is it in the capital of Ecuador?")
CALL_WEATHER = _call(1, "get_weather", {"city": "Quito"})
CALL_TRAIN = _call(2, "find_train", {"station": "Leipzig"})
WEATHER = _result(1, "get_weather", '{"degrees": 14, "sky": "cloudy"}')
TRAIN = _result(2, "find_train", '{"leaves": "16:42", "track": 9}')
TIDE, SEA = _user("What is a tide?"), _answer("The rise and fall of the sea.")
CAUSE, MOON = _user("What causes it?"), _answer("Mostly the pull of the moon.")
THINK_SEA, THINK_MOON = "They ask for a definition.", "Gravity of the nearest body wins."

CHATS: dict[str, tuple[Chat, list[dict[str, Any]] | None]] = {
    "single turn": ([TIDE, SEA], None),
    "with system": ([_system("Be brief and exact."), TIDE, SEA], None),
    "multi-turn": ([TIDE, SEA, CAUSE, MOON], None),
    "a call": ([ASK_WEATHER, _calling(CALL_WEATHER)], TOOLS),
    "call, result": ([ASK_WEATHER, _calling(CALL_WEATHER), WEATHER], TOOLS),
    "call, result, answer": (
        [ASK_WEATHER, _calling(CALL_WEATHER), WEATHER, _answer("It is cool, under grey skies.")],
        TOOLS,
    ),
    "parallel calls": (
        [
            _user("How warm is it in the capital of Ecuador, and when does a train leave Bach's city?"),
            _calling(CALL_WEATHER, CALL_TRAIN),
            WEATHER,
            TRAIN,
            _answer("It is cool there, and a train leaves in the afternoon."),
        ],
        TOOLS,
    ),
    "text beside a call": (
        [ASK_WEATHER, _calling(CALL_WEATHER, text="Let me look."), WEATHER, _answer("It is cool, under grey skies.")],
        TOOLS,
    ),
    "reasoning, last turn": ([TIDE, _answer("The rise and fall of the sea.", THINK_SEA)], None),
    "reasoning, every turn": (
        [TIDE, _answer("The rise and fall of the sea.", THINK_SEA), CAUSE, _answer("Mostly the moon.", THINK_MOON)],
        None,
    ),
    "reasoning, some turns": ([TIDE, SEA, CAUSE, _answer("Mostly the moon.", THINK_MOON)], None),
    "reasoning and a call": (
        [
            ASK_WEATHER,
            _calling(CALL_WEATHER, thought="A tool knows this."),
            WEATHER,
            _answer("It is cool, under grey skies.", "Fourteen degrees are cool."),
        ],
        TOOLS,
    ),
    "inline <think>": ([TIDE, _answer(f"<think>\n{THINK_SEA}\n</think>\n\nThe rise and fall of the sea.")], None),
    "tools, none used": ([_user("Good morning!"), _answer("Good morning to you.")], TOOLS),
    "two rounds of tools": (
        [
            ASK_WEATHER,
            _calling(CALL_WEATHER),
            WEATHER,
            _answer("It is cool, under grey skies."),
            _user("And when does a train leave Bach's city?"),
            _calling(CALL_TRAIN),
            TRAIN,
            _answer("In the afternoon, from the ninth track."),
        ],
        TOOLS,
    ),
    "developer": ([_system("Be brief and exact.", "developer"), TIDE, SEA], None),
    "empty system": ([_system(""), TIDE, SEA], None),
    "long, a tool in the middle": (
        [
            _system("Be brief and exact."),
            TIDE,
            SEA,
            CAUSE,
            MOON,
            ASK_WEATHER,
            _calling(CALL_WEATHER),
            WEATHER,
            _answer("It is cool, under grey skies."),
            _user("Is that usual?"),
            _answer("Yes, the city lies high."),
            _user("Thank you."),
            _answer("You are welcome."),
        ],
        TOOLS,
    ),
}


def row_of(kind: str) -> dict[str, Any]:
    """The row of a kind, as a user's file has it."""
    messages, tools = CHATS[kind]
    row = {"messages": messages, **({"tools": tools} if tools else {})}
    copied: dict[str, Any] = json.loads(json.dumps(row))
    return copied
