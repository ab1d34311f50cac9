"""What the turns of a conversation are called, in all the data that there is -> their roles."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

# Values of a turn's `role` or `from` -> its role. "call" is an assistant turn that is a tool call.
ROLE_OF = {
    "system": "system",
    "sys": "system",
    "system_prompt": "system",
    "developer": "developer",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "instruction": "user",
    "input": "user",
    "question": "user",
    "query": "user",
    "prompt": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "ai_assistant": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "gpt": "assistant",
    "gpt_3.5": "assistant",
    "gpt_4": "assistant",
    "gpt4": "assistant",
    "chatgpt": "assistant",
    "claude": "assistant",
    "gemini": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "llm": "assistant",
    "model": "assistant",
    "output": "assistant",
    "answer": "assistant",
    "response": "assistant",
    "completion": "assistant",
    "function_call": "call",
    "function_calls": "call",
    "tool_call": "call",
    "tool_calls": "call",
    "tool": "tool",
    "tools": "tool",
    "function": "tool",
    "ipython": "tool",
    "environment": "tool",
    "observation": "tool",
    "tool_response": "tool",
    "tool_responses": "tool",
    "tool_result": "tool",
    "tool_results": "tool",
    "tool_output": "tool",
    "function_response": "tool",
    "function_result": "tool",
    "function_output": "tool",
}
_SEPARATORS = re.compile(r"[\s\-]+")


@lru_cache(maxsize=1 << 12)
def normalized(name: str) -> str:
    """A name in small letters, with one `_` for white space and hyphens: "Function-Call" -> "function_call"."""
    return _SEPARATORS.sub("_", name.strip().lower())


def role_of(name: str, roles: Mapping[str, str] = {}) -> str | None:
    """The role that a turn's name stands for: by `roles`, which a source has set, or by ROLE_OF; None if unknown.

    Case, hyphens and white space do not matter.
    """
    if roles:
        plain = normalized(name)
        for own, role in roles.items():
            if name == own or plain == normalized(own):
                return role
    return ROLE_OF.get(name) or ROLE_OF.get(normalized(name))
