"""What `sftdata.tools_as_text` gives a server: the messages of a request as texts."""

from __future__ import annotations

from typing import Any

import pytest

import sftdata
from sftdata.errors import SftDataError

TOOL = {"type": "function", "function": {"name": "look", "description": "Sieht – nach."}}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "mich"}'}}
CALLED = '<tool_call>\n{"name": "look", "arguments": {"at": "mich"}}\n</tool_call>'
ASKED: list[dict[str, Any]] = [
    {"role": "user", "content": "Wer bin ich?"},
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "Bo"},
]
PROMPT = (
    "You are a function calling AI model. You are provided with function signatures within <tools></tools> XML tags. "
    "You may call one or more functions to assist with the user query. Don't make assumptions about what values to "
    "plug into functions. Here are the available tools:\n<tools>\n"
    '{"type": "function", "function": {"name": "look", "description": "Sieht – nach."}}\n</tools>\n'
    "For each function call return a json object with function name and arguments within <tool_call></tool_call> XML "
    'tags as follows:\n<tool_call>\n{"name": <function-name>, "arguments": <args-dict>}\n</tool_call>'
)
TURNS = [
    {"role": "assistant", "content": CALLED},
    {"role": "user", "content": "<tool_response>\nBo\n</tool_response>"},
]


def test_tools_are_in_the_system_message_calls_in_answers_and_results_in_the_users_turns() -> None:
    user = {"role": "user", "content": "Wer bin ich?"}
    assert sftdata.tools_as_text(ASKED, [TOOL]) == [{"role": "system", "content": PROMPT}, user, *TURNS]
    system = {"role": "system", "content": "Be brief."}
    first = {"role": "system", "content": f"Be brief.\n\n{PROMPT}"}
    assert sftdata.tools_as_text([system, *ASKED], [TOOL]) == [first, user, *TURNS]
    blank = {"role": "system", "content": ""}
    assert sftdata.tools_as_text([blank, user], [TOOL]) == [{"role": "system", "content": PROMPT}, user]


def test_or_in_the_first_user_message_or_left_to_the_template() -> None:
    first = {"role": "user", "content": f"{PROMPT}\n\nWer bin ich?"}
    assert sftdata.tools_as_text(ASKED, [TOOL], tools_in="user") == [first, *TURNS]
    user = {"role": "user", "content": "Wer bin ich?"}
    assert sftdata.tools_as_text(ASKED, [TOOL], tools_in="template") == [user, *TURNS]
    assert sftdata.tools_as_text(ASKED) == [user, *TURNS]


def test_messages_without_tools_stay() -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]
    assert sftdata.tools_as_text(messages) == messages


def test_the_given_messages_are_not_changed() -> None:
    before = str(ASKED)
    sftdata.tools_as_text(ASKED, [TOOL])
    assert str(ASKED) == before


@pytest.mark.parametrize("arguments", ["{'at': 1}", "[1]", "1", '{"n": NaN}', '{"n": ' + "[" * 10**5])
def test_arguments_that_are_no_json_object_are_named(arguments: str) -> None:
    call = {"type": "function", "function": {"name": "look", "arguments": arguments}}
    with pytest.raises(SftDataError, match=r"^turn 2: the arguments of 'look' are not a JSON object"):
        sftdata.tools_as_text([ASKED[0], {"role": "assistant", "content": None, "tool_calls": [call]}])


def test_contents_that_are_no_texts_are_named() -> None:
    with pytest.raises(SftDataError, match=r"^turn 1: its content is not text"):
        sftdata.tools_as_text([{"role": "user", "content": [{"type": "text", "text": "Hi"}]}])


def test_numbers_and_the_order_of_keys_stay() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": '{"b": 123456789012345678901, "a": 1.50}'}}
    (message,) = sftdata.tools_as_text([{"role": "assistant", "content": "So:", "tool_calls": [call]}])
    text = '{"name": "f", "arguments": {"b": 123456789012345678901, "a": 1.5}}'
    assert message["content"] == f"So:\n<tool_call>\n{text}\n</tool_call>"
