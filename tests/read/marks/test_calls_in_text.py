"""Tool calls and tool results written into texts become calls and results; what is not certain stays text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sftdata.read.formats.convert import RowFormat, convert
from sftdata.read.formats.structure import check_structure
from sftdata.records.record import Drop, Message, Record, ToolCall

PARIS = {"city": "Paris"}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
        },
    }
]


def converted(*turns: tuple[str, Any], mode: str = "parse", **row: Any) -> Record | Drop:
    messages = [{"role": role, "content": content} for role, content in turns]
    return convert({"messages": messages, **row}, RowFormat(tool_calls_in_text=mode)).found


def answer(text: str, **row: Any) -> Message:
    found = converted(("user", "Weather?"), ("assistant", text), **row)
    assert isinstance(found, Record), found
    (message,) = found.messages[1:]
    return message


def call(name: str = "get_weather", arguments: Any = PARIS, id: str | None = None) -> ToolCall:
    return ToolCall(name=name, arguments=arguments, id=id)


JSON_CALL = '{"name": "get_weather", "arguments": {"city": "Paris"}}'


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>\n{JSON_CALL}\n</tool_call>",
        f"<tool_call>{JSON_CALL}",
        "<tool_call>\n{'arguments': {'city': 'Paris'}, 'name': 'get_weather'}\n</tool_call>",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>",
        "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n</tool_call>",
        f"<tool_calls>[{JSON_CALL}]</tool_calls>",
        f"<tool_calls>\n<tool_call>\n{JSON_CALL}\n</tool_call>\n</tool_calls>",
        f"<|tool_call|>[{JSON_CALL}]",
        f"<|tool_call|>[{JSON_CALL}]<|end_of_text|>",
        f"<|tool_call|>[{JSON_CALL}]<|/tool_call|><|end|>",
        f"<function_call> {JSON_CALL}",
        f"<functioncall> {JSON_CALL} <|endoftext|>",
        f"[TOOL_CALLS] [{JSON_CALL}]",
        f"[TOOL_CALLS][{JSON_CALL}]</s>",
        '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}',
        '<|tool_call_start|>[get_weather(city="Paris")]<|tool_call_end|>',
        '<function=get_weather>{"city": "Paris"}</function>',
        '<|python_tag|>{"name": "get_weather", "parameters": {"city": "Paris"}}<|eom_id|>',
        '<|python_tag|>get_weather.call(city="Paris")<|eom_id|>',
        '<function_calls>\n<invoke name="get_weather">\n<parameter name="city">Paris</parameter>\n</invoke>\n'
        "</function_calls>",
        '<invoke name="get_weather"><parameter name="city">Paris</parameter></invoke>',
        '<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">Paris</parameter>\n</invoke>\n'
        "</minimax:tool_call>",
        '<｜DSML｜function_calls>\n<｜DSML｜invoke name="get_weather">\n<｜DSML｜parameter name="city" string="true">'
        "Paris</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls><｜end▁of▁sentence｜>",
        'Action: get_weather\nAction Input: {"city": "Paris"}',
        'Action: get_weather\nAction Input: {"city": "Paris"}\nObservation:',
    ],
)
def test_a_call_in_a_known_form_is_a_call(text):
    assert answer(text) == Message("assistant", None, tool_calls=(call(),))


def test_glaives_arguments_in_single_quotes_stay_text_of_json():
    text = """<functioncall> {"name": "get_weather", "arguments": '{"city": "Paris"}'} <|endoftext|>"""
    assert answer(text).tool_calls == (call(arguments='{"city": "Paris"}'),)


def test_the_marks_of_deepseek_and_kimi_are_known():
    deepseek = (
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n"
        '{"city": "Paris"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>'
    )
    kimi = (
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>"
        '{"city": "Paris"}<|tool_call_end|><|tool_calls_section_end|>'
    )
    for text in (deepseek, kimi):
        assert answer(text).tool_calls == (call(arguments='{"city": "Paris"}'),)


def test_several_calls_and_the_text_around_them_are_kept_in_order():
    text = (
        f"Let me see.\n<tool_call>{JSON_CALL}</tool_call>\n<tool_call>{JSON_CALL.replace('Paris', 'Rome')}</tool_call>"
    )
    calls = (call(), call(arguments={"city": "Rome"}))
    assert answer(text) == Message("assistant", "Let me see.", tool_calls=calls)


@pytest.mark.parametrize(
    "text",
    [
        f"The format is:\n<tool_call>\n{JSON_CALL}\n</tool_call>\nwhere get_weather is the name.",
        "The format is:\n<tool_call>\n{...}\n</tool_call>\nwhere f is the name.",
        f"First <tool_call>{JSON_CALL}</tool_call> and then <tool_call>{JSON_CALL}</tool_call>",
        f"[TOOL_CALLS] [{JSON_CALL}]\nis how Mistral writes it.</s>",
        f"<functioncall> {JSON_CALL}\nis how Glaive writes it.",
        '<|tool_call_start|>[get_weather(city="Paris")]<|tool_call_end|> is a call.',
        "<function=f>{...}</function> is how Llama writes it.",
        f"<|tool_call|>[{JSON_CALL}]<|/tool_call|> is how Phi-4 writes it.",
        f"<tool_calls>[{JSON_CALL}]</tool_calls> is a list.",
    ],
)
def test_an_answer_with_text_behind_a_call_stays_as_it_is(text):
    assert answer(text) == Message("assistant", text)
    result = converted(("user", "Hi"), ("assistant", text), ("tool", "3"), ("assistant", "Three."))
    assert isinstance(result, Record)
    assert check_structure(result) is None


def test_an_end_token_behind_a_call_is_no_text():
    for end in ("<|im_end|>", "</s>", "\n<|eot_id|>\n", "<end_of_turn>"):
        text = f"Let me see.\n<tool_call>{JSON_CALL}</tool_call>{end}"
        assert answer(text) == Message("assistant", "Let me see.", tool_calls=(call(),))


def test_text_behind_a_call_is_dropped_like_any_call_where_that_is_asked_for():
    text = f"Look:\n<tool_call>{JSON_CALL}</tool_call>\nis a call."
    found = converted(("user", "Hi"), ("assistant", text), mode="drop")
    assert isinstance(found, Drop)
    assert found.reason == "bad_tool_call"


def test_a_call_that_cannot_be_read_is_no_text_about_calls_if_another_call_is_last():
    for text in (
        f"<tool_call>{{oops</tool_call> So:\n<tool_call>{JSON_CALL}</tool_call>",
        f"<tool_call>{JSON_CALL}</tool_call>\n<tool_call>{{oops",
    ):
        found = converted(("user", "Hi"), ("assistant", text))
        assert isinstance(found, Drop)
        assert found.reason == "bad_tool_call"


def test_the_lists_of_granite_and_phi_may_have_several_calls_behind_a_text():
    both = f"[{JSON_CALL}, {JSON_CALL.replace('Paris', 'Rome')}]"
    calls = (call(), call(arguments={"city": "Rome"}))
    for text in (f"<|tool_call|>{both}", f"<|tool_call|>{both}<|/tool_call|>", f"<tool_calls>{both}</tool_calls>"):
        assert answer(f"Let me see. {text}") == Message("assistant", "Let me see.", tool_calls=calls)


def test_arguments_of_xml_have_the_types_that_the_tool_declares():
    text = (
        "<tool_call>\n<function=get_weather>\n<parameter=city>\n75001\n</parameter>\n"
        "<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>"
    )
    assert answer(text, tools=TOOLS).tool_calls == (call(arguments={"city": "75001", "days": 3}),)
    assert answer(text).tool_calls == (call(arguments={"city": "75001", "days": "3"}),)


def test_a_list_of_python_calls_is_calls_if_its_names_are_known():
    text = "[get_weather(city=\"Paris\", days=[1, -2], exact=true), Market Trends API(country='us', limit=None)]"
    system = "You may call get_weather and Market Trends API."
    found = converted(("system", system), ("user", "Weather?"), ("assistant", text))
    assert isinstance(found, Record)
    assert found.messages[2].tool_calls == (
        call(arguments={"city": "Paris", "days": [1, -2], "exact": True}),
        call("Market Trends API", {"country": "us", "limit": None}),
    )
    assert answer(text).tool_calls == ()


def test_a_list_of_python_calls_with_a_result_is_calls():
    found = converted(("user", "Weather?"), ("assistant", '[f(a="x")]'), ("tool", "3"), ("assistant", "Three."))
    assert isinstance(found, Record)
    assert found.messages[1].tool_calls == (call("f", {"a": "x"}),)
    assert check_structure(found) is None


@pytest.mark.parametrize(
    "text", ["[f(1)]", "[f(a=g())]", "[f(a=x)]", "[f(a=1) or g()]", "[__import__('os')]", "[f(**a)]"]
)
def test_python_that_is_more_than_named_plain_values_is_text(text):
    found = converted(("system", "f g"), ("user", "Hi"), ("assistant", text), ("tool", "3"), ("assistant", "Three."))
    assert isinstance(found, Record)
    assert found.messages[2].content == text
    assert check_structure(found) is None  # the result belongs to a call in the text


def test_bare_json_is_a_call_only_of_a_tool_that_is_declared():
    assert answer(JSON_CALL, tools=TOOLS).tool_calls == (call(),)
    assert answer(JSON_CALL.replace("arguments", "parameters"), tools=TOOLS).tool_calls == (call(),)
    for text, row in ((JSON_CALL, {}), (JSON_CALL.replace("get_weather", "other"), {"tools": TOOLS})):
        assert answer(text, **row) == Message("assistant", text)


@pytest.mark.parametrize(
    "text",
    [
        "Hermes writes `<tool_call>{...}</tool_call>` around a call.",
        "For example:\n```\n<tool_call>{oops</tool_call>\n```\n",
        "The tag <tool_call> opens a call.",
        "Action: jump\nThen rest.",
        "Action: jump\nAction Input: high",
        "[see the note (below)]",
    ],
)
def test_text_about_calls_stays_text(text):
    assert answer(text) == Message("assistant", text)


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "f", "arguments": {"a": }}</tool_call>',
        '<tool_call>{"arguments": {}}</tool_call>',
        "[TOOL_CALLS] [{]",
        "<|tool_call|>[{]<|/tool_call|>",
        "<tool_calls>[{]</tool_calls>",
        "<|tool_call_start|>[f(1)]<|tool_call_end|>",
        "<function=f>{oops</function>",
    ],
)
def test_a_call_in_marks_that_cannot_be_read_is_refused_by_name(text):
    found = converted(("user", "Hi"), ("assistant", text))
    assert isinstance(found, Drop)
    assert found.reason == "bad_tool_call"
    assert str(found.detail).startswith("turn 2: ")
    assert "tool_calls_in_text" in str(found.detail)


def test_calls_in_text_can_be_kept_or_dropped():
    turns = (
        ("user", "Hi"),
        ("assistant", f"<tool_call>{JSON_CALL}</tool_call>"),
        ("tool", "3"),
        ("assistant", "Three."),
    )
    kept = converted(*turns, mode="keep")
    assert isinstance(kept, Record)
    assert kept.messages == tuple(Message(*turn) for turn in turns)
    assert check_structure(kept) is None
    assert converted(*turns, mode="drop") == Drop(
        "bad_tool_call", "turn 2: its text has a tool call, and tool_calls_in_text is drop"
    )


@pytest.mark.parametrize(
    "result",
    [
        "<tool_response>\n3\n</tool_response>",
        "<function_response>3</function_response>",
        "<|tool_response_start|>3<|tool_response_end|>",
        "[TOOL_RESULTS] 3 [/TOOL_RESULTS]",
        "Observation: 3",
        "FUNCTION RESPONSE: 3",
    ],
)
@pytest.mark.parametrize("role", ["tool", "user"])
def test_marks_around_a_result_go(result, role):
    found = converted(
        ("user", "Hi"), ("assistant", f"<tool_call>{JSON_CALL}</tool_call>"), (role, result), ("assistant", "Three.")
    )
    assert isinstance(found, Record)
    assert found.messages[2] == Message("tool", "3")
    assert check_structure(found) is None


def test_two_results_in_one_turn_answer_two_calls():
    text = f"<tool_call>{JSON_CALL}</tool_call><tool_call>{JSON_CALL}</tool_call>"
    results = "<tool_response>3</tool_response>\n<tool_response>4</tool_response>"
    found = converted(("user", "Hi"), ("assistant", text), ("tool", results), ("assistant", "Both."))
    assert isinstance(found, Record)
    assert [message.content for message in found.messages[2:]] == ["3", "4", "Both."]


def test_a_turn_that_has_its_calls_twice_has_them_once():
    turn = {
        "role": "assistant",
        "content": f"<tool_call>{JSON_CALL}</tool_call>",
        "tool_calls": [{"id": "c1", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}],
    }
    found = convert({"messages": [{"role": "user", "content": "Hi"}, turn]}, RowFormat()).found
    assert isinstance(found, Record)
    assert found.messages[1] == Message("assistant", None, tool_calls=(call(arguments='{"city": "Paris"}', id="c1"),))
    other = {**turn, "tool_calls": [{"name": "get_weather", "arguments": {"city": "Rome"}}]}
    drop = convert({"messages": [{"role": "user", "content": "Hi"}, other]}, RowFormat()).found
    assert isinstance(drop, Drop)
    assert drop.reason == "conflicting_fields"


def test_a_whole_trace_of_react_is_taken_apart():
    text = (
        'Thought: I need it.\nAction: f\nAction Input: {"a": 1}\nObservation: 3\n'
        'Thought: Again.\nAction: f\nAction Input: {"a": 2}\nObservation: 4\nThought: I know.\nFinal Answer: 7'
    )
    found = converted(("user", "Hi"), ("assistant", text))
    assert isinstance(found, Record)
    assert found.messages[1:] == (
        Message("assistant", "Thought: I need it.", tool_calls=(call("f", {"a": 1}),)),
        Message("tool", "3"),
        Message("assistant", "Thought: Again.", tool_calls=(call("f", {"a": 2}),)),
        Message("tool", "4"),
        Message("assistant", "Thought: I know.\nFinal Answer: 7"),
    )


def test_an_input_of_react_that_is_text_goes_to_the_only_argument_that_is_declared():
    tools = [{"name": "search", "parameters": {"properties": {"query": {"type": "string"}}}}]
    text = "Thought: Look.\nAction: search\nAction Input: tides in May"
    assert answer(text, tools=tools).tool_calls == (call("search", {"query": "tides in May"}),)
    assert answer(text) == Message("assistant", text)


@pytest.mark.parametrize("fence", [("```json\n", "\n```"), ("```\n", "\n```"), ("", "")])
def test_an_action_of_react_in_json_is_a_call(fence):
    before, behind = fence
    text = f'Thought: Look.\nAction:\n{before}{{"action": "f", "action_input": {{"a": 1}}}}{behind}'
    found = converted(("user", "Hi"), ("assistant", text), ("tool", "3"), ("assistant", "Three."))
    assert isinstance(found, Record)
    assert found.messages[1:] == (
        Message("assistant", "Thought: Look.", tool_calls=(call("f", {"a": 1}),)),
        Message("tool", "3"),
        Message("assistant", "Three."),
    )
    assert check_structure(found) is None


def test_a_whole_trace_of_actions_in_json_is_taken_apart_up_to_the_final_answer():
    final = 'Thought: I know.\nAction:\n```\n{"action": "Final Answer", "action_input": "Three"}\n```'
    text = f'Action:\n```\n{{"action": "f", "action_input": {{"a": 1}}}}\n```\nObservation: 3\n{final}'
    found = converted(("user", "Hi"), ("assistant", text))
    assert isinstance(found, Record)
    assert found.messages[1:] == (
        Message("assistant", None, tool_calls=(call("f", {"a": 1}),)),
        Message("tool", "3"),
        Message("assistant", final),
    )
    assert answer(final) == Message("assistant", final)


@pytest.mark.parametrize(
    "text",
    [
        'Action:\n```json\n{"action": "f", "action_input": {"a": 1}}\n```\nis the format.',
        'Action:\n```json\n{"action": "f", "action_input": "tides"}\n```',
        'Action:\n```json\n{"action": "f", "action_input": {"a": }}\n```',
        'Action:\n```json\n{"action": "f", "action_input": null}\n```',
        '```json\n{"action": "f", "action_input": {"a": 1}}\n```',
        "Thought: Look.\nAction: search[tides]",
        '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": }<|call|>',
        "<invoke><tool_name>f</tool_name><parameters><a>1</a></parameters></invoke>",
        '<invoke name="f"><parameter name="a">1</parameter>and more</invoke>',
        "```tool_code\nprint(f(a=1))\n```",
    ],
)
def test_a_call_that_is_not_parsed_stays_text_and_has_its_result(text):
    found = converted(("user", "Hi"), ("assistant", text), ("tool", "3"), ("assistant", "Three."))
    assert isinstance(found, Record)
    assert found.messages[1:3] == (Message("assistant", text), Message("tool", "3"))
    assert check_structure(found) is None


def test_xlams_columns_are_a_question_tools_and_calls():
    tools = [{"name": "f", "description": "F", "parameters": {"a": {"type": "int"}}}]
    calls = [{"name": "f", "arguments": {"a": 1}}, {"name": "f", "arguments": {"a": 2}}]
    row = {"id": 7, "query": "Twice?", "answers": json.dumps(calls), "tools": json.dumps(tools)}
    found = convert(row, RowFormat())
    assert found.unused == ("id",)
    assert found.found == Record(
        (Message("user", "Twice?"), Message("assistant", None, tool_calls=(call("f", {"a": 1}), call("f", {"a": 2})))),
        ({"type": "function", "function": tools[0]},),
    )
    none = convert({**row, "answers": "[]"}, RowFormat()).found
    assert isinstance(none, Drop)
    assert none.reason == "missing_field"


def test_a_call_turn_may_have_its_call_in_marks():
    row = {
        "conversations": [
            {"from": "human", "value": "Hi"},
            {"from": "function_call", "value": f"<tool_call>{JSON_CALL}"},
        ]
    }
    found = convert(row, RowFormat()).found
    assert isinstance(found, Record)
    assert found.messages[1] == Message("assistant", None, tool_calls=(call(),))
