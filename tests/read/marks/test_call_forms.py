"""Calls in XML, in channels and in code blocks; and what is said of calls that are parsed or left as text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.read.formats.convert import Converted, RowFormat, convert
from sftdata.read.formats.structure import check_structure
from sftdata.records.record import Drop, Message, Record, ToolCall

TOOLS = [{"name": "f", "parameters": {"properties": {"a": {"type": "string"}, "n": {"type": "integer"}}}}]
HERMES = '<tool_call>{"name": "f", "arguments": {"a": "x"}}</tool_call>'
DEFAULT = RowFormat()
CALL = ToolCall(name="f", arguments={"a": "x"})


def converted(*turns: tuple[str, str], how: RowFormat = DEFAULT, **row: Any) -> Converted:
    return convert({"messages": [{"role": role, "content": content} for role, content in turns], **row}, how)


def answers(text: str, how: RowFormat = DEFAULT, **row: Any) -> tuple[Message, ...]:
    found = converted(("user", "Hi"), ("assistant", text), how=how, **row).found
    assert isinstance(found, Record), found
    return found.messages[1:]


def test_values_in_xml_go_through_exactly():
    value = '  <b>&lt;"it\'s"</b>\n\n\\n 1 '
    text = f'<invoke name="f">\n<parameter name="a">{value}</parameter>\n<parameter name="n">3</parameter>\n</invoke>'
    assert answers(text)[0].tool_calls == (ToolCall(name="f", arguments={"a": value, "n": "3"}),)
    assert answers(text, tools=TOOLS)[0].tool_calls == (ToolCall(name="f", arguments={"a": value, "n": 3}),)


@given(st.text().filter(lambda text: "</" not in text and "<｜" not in text and "```" not in text))
def test_any_text_is_an_argument_of_xml(value: str):
    text = f'<function_calls><invoke name="f"><parameter name="a">{value}</parameter></invoke></function_calls>'
    assert answers(text)[0].tool_calls == (ToolCall(name="f", arguments={"a": value}),)


def test_two_calls_in_one_section_or_without_one_stand_behind_their_text():
    one = '<invoke name="f"><parameter name="a">x</parameter></invoke>'
    other = '<invoke name="g"></invoke>'
    calls = (CALL, ToolCall(name="g", arguments={}))
    for text in (f"<function_calls>{one}\n{other}</function_calls>", f"{one}\n{other}"):
        assert answers(f"Let me see.\n\n{text}") == (Message("assistant", "Let me see.", tool_calls=calls),)


def test_deepseek_says_which_arguments_are_text_and_which_are_json():
    text = (
        '<｜DSML｜tool_calls><｜DSML｜invoke name="f"><｜DSML｜parameter name="a" string="true">7</｜DSML｜parameter>'
        '<｜DSML｜parameter name="n" string="false">[7]</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜tool_calls>'
    )
    assert answers(text)[0].tool_calls == (ToolCall(name="f", arguments={"a": "7", "n": [7]}),)


@pytest.mark.parametrize(
    "text",
    [
        '<invoke name="f"><parameter name="a">1</parameter><parameter name="a">2</parameter></invoke>',
        '<invoke name="f"><parameter name="a">1</parameter> or so</invoke>',
        '<invoke name="f"><parameter name="a">1',
        '<function_calls><invoke name="f"></invoke> is how it begins',
        '<｜DSML｜invoke name="f"><｜DSML｜parameter name="a" string="false">{</｜DSML｜parameter></｜DSML｜invoke>',
        '<invoke name="f"></invoke>\nThat was the call.',
        '<tool_use>{"name": "f", "input": {}}</tool_use>',
        "<|python_tag|>import os\nprint(os.name)",
        "<|python_tag|>f.call(a=g())",
        '<|channel|>commentary to=python <|constrain|>json<|message|>{"a": 1}<|call|>',
        '<|channel|>commentary to=functions.f<|message|>{"a": 1}<|call|>\nThat was it.',
    ],
)
def test_what_is_not_certain_is_left_as_text_and_noted(text: str):
    found = converted(("user", "Hi"), ("assistant", text))
    assert isinstance(found.found, Record)
    assert found.found.messages[1] == Message("assistant", text)
    (note,) = found.calls
    assert note.startswith("unread: ")
    dropped = converted(("user", "Hi"), ("assistant", text), how=RowFormat(tool_calls_in_text="drop")).found
    assert isinstance(dropped, Drop)
    assert dropped.reason == "bad_tool_call"


@pytest.mark.parametrize(
    "text",
    [
        'Claude writes `<invoke name="f"></invoke>`.',
        '```xml\n<function_calls>\n<invoke name="f">\n</invoke>\n</function_calls>\n```',
        "In short:\n```\n<|channel|>commentary to=functions.f<|message|>{}<|call|>\n```\nDone.",
        "The channels are `<|channel|>analysis<|message|>` and final.",
        "Gemma opens a block of tool_code for each call.",
        "Methods that invoke others, e.g. invoke(name), are called drivers.",
        "C++ templates: std::function<int(int)> f; <function-like> things",
        "The tag <tool_call> opens a call, </tool_call> closes it.",
        "Mistral's mark is [TOOL_CALLS].",
        "`<|python_tag|>` begins code.",
    ],
)
def test_text_about_marks_is_neither_parsed_nor_noted(text: str):
    assert converted(("user", "Hi"), ("assistant", text)) == Converted(
        Record((Message("user", "Hi"), Message("assistant", text)))
    )


def test_an_answer_to_a_question_about_calls_keeps_them_unless_the_tool_is_known():
    question = "Show me a function call of Hermes."
    react = 'Thought: Look.\nAction: f\nAction Input: {"a": "x"}'
    harmony = '<|channel|>commentary to=functions.f<|message|>{"a": "x"}<|call|>'
    for text in (HERMES, f"Here you are: {HERMES}", react, harmony):
        found = converted(("user", question), ("assistant", text))
        assert isinstance(found.found, Record)
        assert found.found.messages[1] == Message("assistant", text)
        assert len(found.calls) == 1
        for turns in (
            (("system", "Your tools: f."), ("user", question), ("assistant", text)),
            (("user", f"You have access to the following tools: f\n{question}"), ("assistant", text)),
        ):
            known = converted(*turns).found
            assert isinstance(known, Record)
            assert known.messages[-1].tool_calls


@pytest.mark.parametrize(
    "before",
    [
        "Hermes writes a call between two tags, like this:",
        "The format is:",
        "Sure! Here is an example of a function call in XML:",
    ],
)
def test_an_answer_that_explains_a_form_keeps_it_unless_the_tool_is_known(before: str):
    text = f"{before}\n{HERMES}"
    parsed = (Message("assistant", before, tool_calls=(CALL,)),)
    assert answers(text) == (Message("assistant", text),)
    assert converted(("user", "How does Hermes call f?"), ("assistant", text)).calls == ("unread: <tool_call>",)
    assert answers(text, tools=TOOLS) == parsed
    followed = converted(("user", "Hi"), ("assistant", text), ("tool", "3"), ("assistant", "Three.")).found
    assert isinstance(followed, Record)
    assert followed.messages[1:2] == parsed
    wrapped = ("user", "<tool_response>3</tool_response>")
    followed = converted(("user", "Hi"), ("assistant", text), wrapped, ("assistant", "Three.")).found
    assert isinstance(followed, Record)
    assert followed.messages[1:3] == (*parsed, Message("tool", "3"))


def test_a_call_in_harmony_has_its_reasoning_and_its_arguments_as_they_are():
    head = "<|channel|>analysis<|message|>Look it up.<|end|><|start|>assistant"
    for header in (
        "<|channel|>commentary to=functions.f <|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.f<|constrain|>json<|message|>",
        " to=functions.f<|channel|>commentary json<|message|>",
        "<|channel|>commentary to=functions.f<|message|>",
    ):
        expected = Message(
            "assistant", None, "Look it up.", tool_calls=(ToolCall(name="f", arguments='{"a":  "x\\u00e9"}'),)
        )
        assert answers(f'{head}{header}{{"a":  "x\\u00e9"}}<|call|>') == (expected,)
    # Of the reasoning in a field and that in the text, neither may be lost.
    turn = {"role": "assistant", "content": f"{head}{header}{{}}<|call|>", "reasoning": "Other."}
    both = convert({"messages": [{"role": "user", "content": "Hi"}, turn]}, RowFormat()).found
    assert isinstance(both, Record)
    assert (both.messages[1].tool_calls, both.messages[1].reasoning) == ((), "Other.")


def test_an_answer_in_channels_without_a_call_is_reasoning_and_text():
    text = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hello.<|return|>"
    assert answers(text) == (Message("assistant", "Hello.", "Hm."),)
    assert answers(text, RowFormat(tool_calls_in_text="keep")) == (Message("assistant", text),)
    only = "<|channel|>analysis<|message|>Hm.<|end|>"
    assert converted(("user", "Hi"), ("assistant", only)).calls == ("unread: Harmony",)


def test_a_whole_trace_of_harmony_is_taken_apart():
    text = (
        "<|channel|>commentary<|message|>I will look.<|end|>"
        '<|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": "x"}<|call|>'
        "<|start|>functions.f to=assistant<|channel|>commentary<|message|>3<|end|>"
        "<|start|>assistant<|channel|>analysis<|message|>So three.<|end|>"
        "<|start|>assistant<|channel|>final<|message|>Three.<|return|>"
    )
    assert answers(text) == (
        Message("assistant", "I will look.", tool_calls=(ToolCall(name="f", arguments='{"a": "x"}'),)),
        Message("tool", "3", name="f"),
        Message("assistant", "Three.", "So three."),
    )


def test_a_block_of_tool_code_is_calls_if_their_names_are_known():
    text = 'I look.\n```tool_code\nf(a="x")\n```'
    expected = (Message("assistant", "I look.", tool_calls=(CALL,)),)
    assert answers(text, tools=TOOLS) == expected
    assert answers(text) == (Message("assistant", text),)
    turns = (("user", "Hi"), ("assistant", text), ("user", "```tool_output\n3\n```"), ("assistant", "Three."))
    found = converted(("system", "You may call f."), *turns).found
    assert isinstance(found, Record)
    assert found.messages[2:4] == (*expected, Message("tool", "3"))
    assert check_structure(found) is None
    two = answers('```tool_code\nf(a="x")\nf(a="y")\n```', tools=TOOLS)
    assert two == (Message("assistant", None, tool_calls=(CALL, ToolCall(name="f", arguments={"a": "y"}))),)


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call><function=f><parameter=a>1</parameter><parameter=a>2</parameter></function></tool_call>",
        "<function=f><parameter=a>1</parameter><parameter=a>2</parameter></function>",
        '<tool_call>{"name": "f", "arguments": {"a": NaN}}</tool_call>',
        '<function=f>{"a": Infinity}</function>',
    ],
)
def test_no_argument_is_lost_in_silence(text: str):
    found = converted(("user", "Hi"), ("assistant", text)).found
    assert isinstance(found, Drop)
    assert found.reason == "bad_tool_call"


def test_a_number_that_json_does_not_have_stays_text():
    text = '<invoke name="f"><parameter name="n">NaN</parameter></invoke>'
    assert answers(text, tools=TOOLS)[0].tool_calls == (ToolCall(name="f", arguments={"n": "NaN"}),)


def test_a_call_with_more_than_a_call_has_is_refused_and_not_cut():
    found = converted(
        ("user", "Hi"), ("assistant", '<tool_call>{"name": "f", "arguments": {}, "why": "so"}</tool_call>')
    )
    assert isinstance(found.found, Drop)
    assert found.found.reason == "bad_tool_call"


def test_what_was_parsed_is_noted_by_its_form():
    turns = (
        ("user", "Hi"),
        ("assistant", HERMES),
        ("tool", "<tool_response>3</tool_response>"),
        ("assistant", 'Action: f\nAction Input: {"a": 1}'),
        ("user", "Observation: 4"),
        ("assistant", "Four."),
    )
    assert converted(*turns).calls == ("parsed: <tool_call>, <tool_response>, ReAct, Observation",)


def test_calls_that_the_settings_or_the_template_leave_as_text_are_noted():
    turns = (("user", "Hi"), ("assistant", HERMES), ("tool", "3"), ("assistant", "Three."))
    messages = tuple(Message(*turn) for turn in turns)
    for how, row, note in (
        (RowFormat(tool_calls_in_text="keep"), {}, "kept: <tool_call>"),
        (RowFormat(calls_written="never"), {"tools": TOOLS}, "unwritten: <tool_call>"),
        (RowFormat(calls_written="with_tools"), {}, "unwritten: <tool_call>"),
    ):
        found = converted(*turns, how=how, **row)
        assert isinstance(found.found, Record)
        assert found.found.messages == messages
        assert found.calls == (note,)
        assert check_structure(found.found) is None
    written = converted(*turns, how=RowFormat(calls_written="with_tools"), tools=TOOLS)
    assert written.calls == ("parsed: <tool_call>",)
    never = RowFormat(tool_calls_in_text="drop", calls_written="never")
    assert isinstance(converted(*turns, how=never).found, Drop)


def test_a_broken_call_stays_text_where_the_template_writes_none():
    text = '<tool_call>{"name": "f", "arguments": {"a": }}</tool_call>'
    assert answers(text, RowFormat(calls_written="never")) == (Message("assistant", text),)


def test_a_result_behind_a_text_without_marks_is_noted():
    found = converted(("user", "Hi"), ("assistant", "[f(1)]"), ("tool", "3"), ("assistant", "Three."))
    assert found.calls == ("unread: another form",)


def test_plain_answers_are_not_noted():
    assert converted(("user", "Hi"), ("assistant", "[see the note (below)]")).calls == ()


GEMMA = "<start_function_call>call:f{a:<escape>x, {y}<escape>,n:[1,-2.5,true,null],o:{k:<escape><escape>}}"
GEMMA_ARGUMENTS = {"a": "x, {y}", "n": [1, -2.5, True, None], "o": {"k": ""}}


@pytest.mark.parametrize(
    "text",
    [
        f"{GEMMA}<end_function_call>",
        GEMMA,
        f"{GEMMA}<end_function_call>\n<end_of_turn>",
        GEMMA.replace("<start_function_call>", "<|tool_call>").replace("<escape>", '<|"|>') + "<tool_call|>",
    ],
)
def test_calls_of_gemma_are_read_with_their_types(text):
    turns = (("user", "Hi"), ("assistant", text), ("tool", "3"), ("assistant", "Three."))
    found = converted(*turns, tools=TOOLS).found
    assert isinstance(found, Record), found
    assert found.messages[1] == Message("assistant", None, tool_calls=(ToolCall(name="f", arguments=GEMMA_ARGUMENTS),))


def test_a_call_of_gemma_that_cannot_be_read_is_a_bad_call():
    found = converted(("user", "Hi"), ("assistant", "<start_function_call>call:f{a:x y}"), tools=TOOLS).found
    assert isinstance(found, Drop)
    assert found.reason == "bad_tool_call"


def test_a_call_between_the_marks_of_tools_is_a_call_and_tools_are_none():
    call, tool = '{"name": "f", "arguments": {"a": "x"}}', '{"name": "f", "parameters": {"type": "object"}}'
    for text, calls in ((call, (CALL,)), (tool, ())):
        turns = (("user", "Hi"), ("assistant", f"<tools>\n{text}\n</tools>"), ("tool", "3"), ("assistant", "Three."))
        found = converted(*turns, tools=TOOLS).found
        assert isinstance(found, Record)
        assert found.messages[1].tool_calls == calls


@pytest.mark.parametrize("text", ["call f with a = x", "<<f>> a=x"])
def test_a_result_behind_a_text_that_names_a_tool_is_the_result_of_a_call(text):
    found = converted(("user", "Hi"), ("assistant", text), ("tool", "3"), ("assistant", "Three."), tools=TOOLS)
    assert isinstance(found.found, Record)
    assert check_structure(found.found) is None
    assert found.calls == ("unread: another form",)


@pytest.mark.parametrize("text", ["of course", "F is a letter"])
def test_a_result_behind_another_text_belongs_to_no_call(text):
    found = converted(("user", "Hi"), ("assistant", text), ("tool", "3"), ("assistant", "Three."), tools=TOOLS).found
    assert isinstance(found, Record)
    problem = check_structure(found)
    assert problem is not None
    assert problem.reason == "tool_result_without_call"


@pytest.mark.parametrize(
    "text", ['<tool_call>{"name": "f", "arguments": {"a": 1, "a": 2}}</tool_call>', "<tool_call>{'a': 1, 'a': 2}"]
)
def test_a_call_that_gives_an_argument_twice_is_a_bad_call(text):
    found = converted(("user", "Hi"), ("assistant", text)).found
    assert isinstance(found, Drop)
    assert found.reason == "bad_tool_call"


@pytest.mark.parametrize("text", ["[f(a=1e999)]", "[f(a=1, a=2)]", "[f(a={'k': 1, 'k': 2})]"])
def test_python_calls_whose_values_would_be_lost_stay_text_and_are_counted(text):
    found = converted(("user", "Hi"), ("assistant", text), tools=TOOLS)
    assert isinstance(found.found, Record)
    assert found.found.messages[1] == Message("assistant", text)
    assert found.calls == ("unread: list of calls",)


def test_a_value_that_is_given_twice_alike_is_no_contradiction():
    text = '<tool_call>{"name": "f", "arguments": {"a": "x", "a": "x"}}</tool_call>'
    assert answers(text)[0].tool_calls == (CALL,)
