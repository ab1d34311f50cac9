"""What looks like a tool call in a text that stays text: said by the name of its mark, never parsed here."""

from __future__ import annotations

import re

# Only what a call would begin with behind a mark counts: "the tag <tool_call> opens a call" is none.
_LOOKS = {
    "<tool_call>": r"<tool_calls?>\s*(?:[\[{<]|[\w.-]+\s*<arg_key>)",
    "<|tool_call|>": r"<\|tool_call(?:_start)?\|?>\s*(?:[\[{]|call:)",
    "<start_function_call>": r"<start_function_call>\s*call:",
    "<function_call>": r"<function_?call>\s*[\[{<]",
    "<function=...>": r"<function=[^>\s]+>",
    "<invoke>": r"<(?:antml:|｜DSML｜)?invoke(?: name=|>\s*<)|<tool_use>\s*[<{]",
    "[TOOL_CALLS]": r"\[TOOL_CALLS?\]\s*(?:[\[{]|[\w.-]+(?:\[CALL_ID\]|\[ARGS\]|\{))",
    "<|python_tag|>": r"<\|python_tag\|>",
    "<｜tool▁calls▁begin｜>": r"<｜tool▁calls?▁begin｜>",
    "<|tool_calls_section_begin|>": r"<\|tool_calls?(?:_section)?_begin\|>",
    "Harmony": r"<\|channel\|>\w+[^<>\n]*(?:<\|constrain\|>[^<>\n]*)?<\|message\|>",
    "tool_code": r"```tool_code[ \t]*\n",
    "ReAct": r'^Action Input:|"action_input"\s*:',
}
_PATTERN = re.compile("|".join(f"({pattern})" for pattern in _LOOKS.values()), re.MULTILINE)
_NAMES = tuple(_LOOKS)


def call_marks(text: str) -> list[str]:
    """The names of the marks of tool calls in a text, outside code blocks and backticks; each once, in order."""
    found = [
        _NAMES[(match.lastindex or 1) - 1] for match in _PATTERN.finditer(text) if not is_quoted(text, match.start())
    ]
    return list(dict.fromkeys(found))


def is_quoted(text: str, at: int) -> bool:
    """Whether a place in a text is in a code block or in backticks: text about marks, not marks."""
    return text.count("```", 0, at) % 2 == 1 or text[:at].endswith("`")
