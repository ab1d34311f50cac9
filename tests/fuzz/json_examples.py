"""JSON that nobody expects: any values, rows of every format, and changes of both anywhere."""

# ruff: noqa: E501 (tables read better with a row a line)
from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from odd_rows import ODD

MAX_ODD = 20_000  # characters of an odd row that is changed further

MARKS = (
    *("<tool_call>", "</tool_call>", "<tool_calls>", "<function_call>", "</function_call>", "<functioncall>"),
    *("[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_CALLS]", "<|tool_call_start|>", "<|tool_call_end|>", "<|python_tag|>"),
    *("<function=f>", "</function>", "<parameter=a>", "</parameter>", '<invoke name="f">', "</invoke>"),
    *(
        '<parameter name="a">',
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁call▁begin｜>",
        "<｜tool▁sep｜>",
        "<｜tool▁calls▁end｜>",
    ),
    *("<|tool_calls_section_begin|>", "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<start_function_call>"),
    *("call:f{a:1}", "<end_function_call>", "<tools>", "</tools>", "<tool_response>", "<arg_key>", "<arg_value>"),
    *("Action: f\nAction Input: {}\n", "Observation: ", "Thought: ", "Final Answer: ", "```json\n", "```tool_code\n"),
    *("```", "f(a=1)", "[f(a=1, b='x')]", '{"name": "f", "arguments": {"a": 1}}', '{"name": "f", "parameters": "{}"}'),
    *("<think>", "</think>", "<thinking>", "[THINK]", "[/THINK]", "<|begin_of_thought|>", "<|end_of_thought|>"),
    *("<|im_start|>", "<|im_end|>", "<|im_start|>user\n", "<|im_start|>assistant\n", "<|eot_id|>", "<|endoftext|>"),
    *("[INST]", "[/INST]", "<<SYS>>", "</s>", "<s>", "<start_of_turn>model\n", "<end_of_turn>", "### Instruction:\n"),
    *("### Response:\n", "USER: ", "ASSISTANT: ", "\n\nHuman: ", "<|start|>assistant<|channel|>analysis<|message|>"),
    *("<|channel|>final<|message|>", "<|start_header_id|>user<|end_header_id|>\n\n", "<|user|>", "<|assistant|>"),
)
PERSONAL = (
    "anna@example.com",
    "+41 79 123 45 67",
    "sk-" + "a1B2" * 12,
    "192.168.1.7",
    "Bearer abc.def",
    "AKIA" + "Z" * 16,
)
ODD_TEXTS = (
    *("", " ", "\n", "\t", "\x00", "\ud800", "\udfff\ud800", "\ufeff", "\u2028", "\x85", "\x1b[2J", "\u202e", "a\u0301"),
    *("\U0010ffff", "null", "NaN", "[]", "{}", "[[", "{{x}}", "{% if", "%s", "{0}", "None", "True", "1e999", "-0", "'", '"'),
    *("\\", "\\u0000", "$ref", "../../etc/passwd", "data:image/png;base64,iVBORw0KGgo=", "user", "assistant", "f", "abc123456"),
    *('{"a": NaN}', '{"a": 1e999}', "{'a': None}", '{"a": 1, "a": 2}', '["x", "y"]', '[{"role": "user", "content": "x"}]'),
)  # fmt: skip
PIECES = st.sampled_from([*MARKS, *PERSONAL, *ODD_TEXTS])
# One text many times: what costs the square shows.
LONG = st.builds(lambda piece, times: piece * times, PIECES, st.sampled_from([2, 50, 400]))
TEXTS = st.lists(PIECES | st.text(max_size=8) | LONG, max_size=5).map("".join)
KEYS = st.sampled_from(
    [
        *(
            "messages",
            "conversations",
            "conversation",
            "role",
            "from",
            "content",
            "value",
            "text",
            "type",
            "name",
            "id",
        ),
        *("tool_calls", "function", "function_call", "arguments", "parameters", "tool_call_id", "tools", "functions"),
        *("prompt", "completion", "instruction", "input", "output", "question", "answer", "answers", "query", "system"),
        *("weight", "train", "training", "loss", "reasoning_content", "reasoning", "thinking", "thoughts", "channel"),
        *("chat_template_kwargs", "documents", "history", "chosen", "rejected", "parts", "tool_use", "tool_result"),
        *(
            "image",
            "image_url",
            "audio",
            "input_audio",
            "Messages",
            "### Human:",
            "gpt-4o",
            "human",
            "gpt",
            "bos_token",
        ),
        *("properties", "required", "items", "$ref", "enum", "a", "", "\ud800", "\x00", "k" * 5000),
    ]
)
NUMBERS = st.sampled_from([0, 1, -1, 0.0, -0.0, 0.5, 1e308, 1e-320, 2**31, 2**53 + 1, 2**63, 2**64, -(2**70), 10**400])
LEAVES = st.none() | st.booleans() | NUMBERS | st.integers() | st.floats() | TEXTS


def _nested(levels: int, is_list: bool) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value] if is_list else {"content": value}
    return value


DEEP = st.builds(_nested, st.sampled_from([20, 99, 101, 200]), st.booleans())
WIDE = st.builds(lambda value, times: [value] * times, LEAVES, st.sampled_from([30, 600, 3000]))
JSON = (
    st.recursive(
        LEAVES,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=4) | WIDE
        ),
        max_leaves=10,
    )
    | DEEP
)

_CALL = {"id": "abc123456", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
_TOOL = {
    "type": "function",
    "function": {
        "name": "f",
        "description": "Does.",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    },
}
_TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Which?"},
    {"role": "assistant", "content": "", "tool_calls": [_CALL], "reasoning_content": "I look."},
    {"role": "tool", "content": "7", "tool_call_id": "abc123456", "name": "f"},
    {"role": "assistant", "content": "Seven.", "weight": 1},
]
_CHAT = '[{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]'
# A row of each format, and of shapes beside them.
FORMATS: tuple[Any, ...] = (
    {"messages": _TURNS, "tools": [_TOOL]},
    {"messages": [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "This one."}]},
    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yo"}], "system": "Be kind."},
    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "function_call", "value": '{"name": "f", "arguments": {}}'}, {"from": "observation", "value": "7"}, {"from": "gpt", "value": "Yo"}], "tools": "[]"},
    {"instruction": "Add.", "input": "1, 2", "output": "3", "history": [["a", "b"]], "system": "x"},
    {"prompt": "Why?", "completion": "So."},
    {"prompt": [{"role": "user", "content": "Why?"}], "completion": [{"role": "assistant", "content": "So."}]},
    {"prompt": "Why?", "completion": "So.", "thinking": "Hm.", "chat_template_kwargs": {"date_string": "x"}},
    {"query": "Go.", "tools": '[{"name": "f", "parameters": {"a": {"type": "int"}}}]', "answers": '[{"name": "f", "arguments": {"a": 1}}]'},
    {"text": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYo<|im_end|>\n"},
    {"text": "### Instruction:\nHi\n\n### Response:\nYo"},
    {"text": "Plain."},
    {"messages": _CHAT},
    {"messages": [{"user": "Hi", "assistant": "Yo"}, {"question": "A?", "answer": "B."}]},
    {"conversation": [["Hi", "Yo"], ["A?", "B."]]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "tool_result", "tool_use_id": "1", "content": "7"}]}, {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": "Yo"}, {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}}]}]},
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "channel": "analysis", "content": "Hm"}, {"role": "assistant", "channel": "final", "content": "Yo"}]},
    {"messages": [{"role": "user", "content": "Go."}, {"role": "assistant", "content": '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'}, {"role": "user", "content": "<tool_response>7</tool_response>"}, {"role": "assistant", "content": "7."}], "functions": [_TOOL["function"]]},
    {"question": "Q?", "answer": "A.", "choices": ["A.", "B."], "label": 0},
    *(row for row, _ in ODD.values() if isinstance(row, dict) and len(repr(row)) < MAX_ODD),
)  # fmt: skip


def places_in(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each object or list in a JSON value, with each of its keys."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places_in(value[key])


def is_huge(value: Any, most: int = 100_000) -> bool:
    """Whether a value has more parts than a row in a file: wide values in wide values."""
    num_parts, left = 0, [value]
    while left and num_parts <= most:
        one = left.pop()
        num_parts += 1 + (len(one) if isinstance(one, (dict, list)) else len(one) // 8 if isinstance(one, str) else 0)
        left += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
    return num_parts > most


@st.composite
def changed(draw: st.DrawFn, values: st.SearchStrategy[Any], replacements: st.SearchStrategy[Any] = JSON) -> Any:
    """A value with up to three changes: something else in a place, a key less, another key, a part twice or moved."""
    value = copy.deepcopy(draw(values))
    for _ in range(draw(st.integers(0, 3))):
        places = list(places_in(value))
        if not places:
            return copy.deepcopy(draw(replacements))
        inner, key = places[draw(st.integers(0, len(places) - 1))]
        how = draw(st.sampled_from(["replace", "replace", "remove", "rename", "wrap", "twice", "move"]))
        if how == "replace":
            inner[key] = copy.deepcopy(draw(replacements))  # further changes are made in place
        elif how == "remove":
            del inner[key]
        elif how == "rename" and isinstance(inner, dict):
            inner[draw(KEYS)] = inner.pop(key)
        elif how == "twice" and isinstance(inner, list):
            inner.insert(key, copy.deepcopy(inner[key]))
        elif how == "move":
            inner[key] = copy.deepcopy(places[draw(st.integers(0, len(places) - 1))][0])
        else:
            inner[key] = [inner[key]]
    return value


ROWS = changed(st.sampled_from(FORMATS))
