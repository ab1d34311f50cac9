"""Rows with tool calls as conversations of texts, as `tool_calls: inline` writes them; shares no code with the package.

Marks of tools that are to be the model's own tokens are stand-ins, one private-use character each, until the texts of
messages are hidden (see Masks in reference.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from reference import Chat

TOOL_MARKS = ("<tools>", "</tools>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
STAND_INS = {mark: chr(0xE0E0 + number) for number, mark in enumerate(TOOL_MARKS)}
# Nothing but reasoning; the characters are the stand-ins of zoo_oracle.py.
_REASONING = re.compile(r"\s*(?:<think>(?:(?!</think>).)*</think>|\ue0f0[^\ue0f1]*\ue0f1)\s*", re.DOTALL)
PROMPT = (
    "You are a function calling AI model. You are provided with function signatures within {tools}{/tools} XML tags. "
    "You may call one or more functions to assist with the user query. Don't make assumptions about what values to "
    "plug into functions. Here are the available tools:\n{tools}\nLIST\n{/tools}\n"
    "For each function call return a json object with function name and arguments within {tool_call}{/tool_call} XML "
    "tags as follows:\n{tool_call}\n"
    '{"name": <function-name>, "arguments": <args-dict>}\n{/tool_call}'
)


def shown(text: str) -> str:
    """A text with the marks in place of their stand-ins."""
    for mark, stand_in in STAND_INS.items():
        text = text.replace(stand_in, mark)
    return text


def in_text(row: Mapping[str, Any], tools_in: str, own: Collection[str] = ()) -> tuple[dict[str, Any], list[int]]:
    """The row as texts, and the place in the row of each of its messages.

    `tools_in` is system, user, or template, which gets them as before; `own` are the marks that are tokens.
    """

    def mark(name: str) -> str:
        return STAND_INS[name] if name in own else name

    chat: Chat = []
    places: list[int] = []
    for at, given in enumerate(row["messages"]):
        message = {key: value for key, value in given.items() if key != "tool_calls"}
        calls = [_as_json(call["function"]) for call in given.get("tool_calls") or ()]
        if message["role"] == "tool":
            text = f"{mark('<tool_response>')}\n{message.get('content') or ''}\n{mark('</tool_response>')}"
            if places and row["messages"][at - 1]["role"] == "tool":
                chat[-1]["content"] += "\n" + text
                continue
            message = {"role": "user", "content": text}
        elif calls:
            written = "\n".join(f"{mark('<tool_call>')}\n{call}\n{mark('</tool_call>')}" for call in calls)
            content = message.get("content") or ""
            space = "\n\n" if _REASONING.fullmatch(content) else "\n"
            message["content"] = f"{content}{space}{written}" if content else written
        elif message["role"] == "user" and at and row["messages"][at - 1]["role"] == "tool":
            chat[-1]["content"] += "\n\n" + message["content"]
            continue
        chat.append(message)
        places.append(at)
    tools = row.get("tools")
    if tools and tools_in != "template":
        prompt = PROMPT
        for name in TOOL_MARKS:
            prompt = prompt.replace("{" + name[1:-1] + "}", mark(name))
        prompt = prompt.replace("LIST", "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools))
        if tools_in == "user":
            first = next(message for message in chat if message["role"] == "user")
            first["content"] = f"{prompt}\n\n{first['content']}"
        elif chat[0]["role"] in ("system", "developer"):
            at = next(at for at, message in enumerate(chat) if message["role"] not in ("system", "developer")) - 1
            chat[at]["content"] = "\n\n".join(text for text in (chat[at].get("content"), prompt) if text)
        else:
            if chat[0]["role"] == "assistant":
                chat[0]["train"] = False
            chat.insert(0, {"role": "system", "content": prompt})
            places.insert(0, 0)
        tools = None
    others = {key: value for key, value in row.items() if key not in ("messages", "tools")}
    return {"messages": chat, **({"tools": tools} if tools else {}), **others}, places


def _as_json(function: Mapping[str, Any]) -> str:
    arguments = function["arguments"]
    value = json.loads(arguments) if isinstance(arguments, str) else arguments
    return json.dumps({"name": function["name"], "arguments": value}, ensure_ascii=False)
