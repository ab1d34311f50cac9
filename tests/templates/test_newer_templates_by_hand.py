"""Renderings of newer templates written by hand: intended differences, and what nothing is compared with."""

from __future__ import annotations

from typing import Any

import pytest
from template_conversations import CLOCK, assistant, call, result, system, user
from template_rendering import REFUSALS, ours

HI = [user("Hi"), assistant("Hello!")]
TWO = [system("Be brief."), *HI, user(" 2? "), assistant(" two ")]
ONE_CALL = assistant(None, tool_calls=[call("now", {"zone": "é<&>"})])
TEXT_CALL = assistant(None, tool_calls=[call("now", '{"zone":1}')])
WAIT = assistant("Wait.", tool_calls=[call("now", {"zone": "x"})])
CLOCK_JSON = '{"name": "now", "description": "What time is it?", "parameters": {"type": "object", "properties": {}}}'


def test_gemma4_writes_text_before_calls_and_goes_on_after_results() -> None:
    busy = assistant("Wait.", tool_calls=[call("now", {"zone": "x", "at": {"b": None, "a": [1, True]}})])
    called = (
        "<s><|turn>user\na<turn|>\n<|turn>model\nWait."
        '<|tool_call>call:now{at:{a:[1,true],b:null},zone:<|"|>x<|"|>}<tool_call|><|tool_response>'
    )
    answered = called + 'response:now{value:<|"|>9:00<|"|>}<tool_response|>'
    talk = [user("a"), busy, result("9:00"), assistant("Nine.")]
    assert ours("gemma4", talk[:2]) == called
    assert ours("gemma4", talk[:3], prompt=True) == answered
    assert ours("gemma4", talk) == answered + "Nine.<turn|>\n"


def test_gemma4_refuses_a_channel_in_an_answer() -> None:
    with pytest.raises(REFUSALS):
        ours("gemma4", [user("a"), assistant("<|channel>thought\nx\n<channel|>4")])


KIMI = "<|im_system|>system<|im_middle|>You are Kimi, an AI assistant created by Moonshot AI.<|im_end|>"
KIMI_CALL = "<|tool_call_begin|>functions.now:%d<|tool_call_argument_begin|>%s<|tool_call_end|>"
KIMI_CALLS = "<|tool_calls_section_begin|>%s<|tool_calls_section_end|><|im_end|>"
KIMI_RESULT = "<|im_system|>tool<|im_middle|>## Return of functions.now:%d\n%s<|im_end|>"


def test_kimi_counts_its_calls_and_gives_results_the_ids_of_theirs() -> None:
    two = assistant(None, tool_calls=[call("now", {}, 1), call("now", {"z": 1}, 2)])
    third = assistant(None, tool_calls=[call("now", {}, 3)])
    assert ours("kimi-k2", [user("a"), two, result("second", 2), result("first", 1), third]) == (
        KIMI
        + "<|im_user|>user<|im_middle|>a<|im_end|><|im_assistant|>assistant<|im_middle|>"
        + KIMI_CALLS % (KIMI_CALL % (0, "{}") + KIMI_CALL % (1, '{"z": 1}'))
        + KIMI_RESULT % (1, "second")
        + KIMI_RESULT % (0, "first")
        + "<|im_assistant|>assistant<|im_middle|>"
        + KIMI_CALLS % (KIMI_CALL % (2, "{}"))
    )


def test_kimi_k2_thinking_shows_reasoning_after_the_last_answer() -> None:
    thought = assistant(None, reasoning_content="s", tool_calls=[call("now", {})])
    talk = [user("a"), assistant("4", reasoning_content="r"), user("b"), thought, result("9:00")]
    prompt = (
        KIMI
        + "<|im_user|>user<|im_middle|>a<|im_end|><|im_assistant|>assistant<|im_middle|><think></think>4<|im_end|>"
        + "<|im_user|>user<|im_middle|>b<|im_end|><|im_assistant|>assistant<|im_middle|><think>s</think>"
        + KIMI_CALLS % (KIMI_CALL % (0, "{}"))
        + KIMI_RESULT % (0, "9:00")
        + "<|im_assistant|>assistant<|im_middle|>"
    )
    assert ours("kimi-k2-thinking", talk, prompt=True) == prompt
    for answer in (assistant("5", reasoning_content="t"), assistant("<think>t</think>5")):
        assert ours("kimi-k2-thinking", [*talk, answer]) == prompt + "<think>t</think>5<|im_end|>"


def test_deepseek_v31_writes_the_last_answer_with_its_reasoning_if_it_thinks() -> None:
    talk = [user("a"), assistant("4", reasoning_content="r"), user("b"), assistant("<think>s</think>5")]
    before = "<s><｜User｜>a<｜Assistant｜></think>4<｜end▁of▁sentence｜><｜User｜>b<｜Assistant｜>"
    for switch in ("thinking", "enable_thinking"):
        assert ours("deepseek-v3.1", talk[:3], prompt=True, **{switch: True}) == before + "<think>"
        assert ours("deepseek-v3.1", talk, **{switch: True}) == before + "<think>s</think>5<｜end▁of▁sentence｜>"
    assert ours("deepseek-v3.1", talk[:3], prompt=True) == before + "</think>"


def test_deepseek_v31_declares_tools_after_the_system_message() -> None:
    rendered = ours("deepseek-v3.1", [system("S"), user("a"), ONE_CALL, result("9:00")], prompt=True, tools=[CLOCK])
    assert rendered.startswith(
        "<s>S\n\n## Tools\nYou have access to the following tools:\n\n### now\nDescription: What time is it?\n\n"
        'Parameters: {"type": "object", "properties": {}}\n\n'
        "IMPORTANT: ALWAYS adhere to this exact format for tool use:\n"
    )
    assert rendered.endswith(
        "- For multiple tool calls, chain them directly without separators or spaces\n"
        "<｜User｜>a<｜Assistant｜></think><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>now<｜tool▁sep｜>"
        '{"zone": "é<&>"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>'
        "<｜end▁of▁sentence｜><｜tool▁output▁begin｜>9:00<｜tool▁output▁end｜>"
    )


def test_smollm3_writes_tools_reasoning_and_calls() -> None:
    busy = assistant("4", reasoning_content="r", tool_calls=[call("now", {"zone": "é<&>"})])
    rendered = ours("smollm3", [system("Be brief. /think"), user("a"), busy], tools=[CLOCK])
    head, _, rest = rendered.partition("## Custom Instructions\n\n")
    assert head.startswith("<|im_start|>system\n## Metadata\n\nKnowledge Cutoff Date: June 2025\nToday Date: ")
    assert head.endswith("\nReasoning Mode: /think\n\n")
    assert rest == (
        "Be brief.\n\n### Tools\n\nYou may call one or more functions to assist with the user query.\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n\n<tools>\n"
        '{"type": "function", "function": '
        + CLOCK_JSON
        + "}\n</tools>\n\nFor each function call, return a json object "
        "with function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n"
        '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>\n\n<|im_end|>\n'
        "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n<think>\nr\n</think>\n4\n"
        '<tool_call>\n{"name": "now", "arguments": {"zone": "é<&>"}}\n</tool_call><|im_end|>\n'
    )


def test_smollm3s_system_message_chooses_the_mode_and_may_be_all_there_is() -> None:
    assert ours("smollm3", [system("X /no_think /system_override"), *HI]) == (
        "<|im_start|>system\nX<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\nHello!<|im_end|>\n"
    )
    with pytest.raises(REFUSALS):
        ours("smollm3", HI, python_tools=["def f(): ..."])


@pytest.mark.parametrize(
    ("answer", "given", "written"),
    [
        (assistant(" 4 ", reasoning_content="2+2\n"), {}, "<think>2+2</think>4<|user|>"),
        (assistant("4"), {}, "<think></think>4<|user|>"),
        (assistant("4"), {"enable_thinking": False}, "</think>4<|user|>"),
        (
            assistant(None, tool_calls=[call("now", {"zone": "x", "n": [1]})]),
            {},
            "<think></think><tool_call>now<arg_key>zone</arg_key><arg_value>x</arg_value>"
            "<arg_key>n</arg_key><arg_value>[1]</arg_value></tool_call><|observation|>",
        ),
    ],
)
def test_glm47_closes_the_last_turn_and_has_a_block_that_follows_the_prompt(
    answer: dict[str, Any], given: dict[str, Any], written: str
) -> None:
    assert ours("glm4.7", [user("a"), answer], **given) == "[gMASK]<sop><|user|>a<|assistant|>" + written


@pytest.mark.parametrize(
    ("name", "prompt", "answer"),
    [
        ("minimax-m2", "]~b]ai\n<think>\n", "\n</think>\n\nHello![e~[\n"),
        ("nemotron3", "<|im_start|>assistant\n<think>\n", "\n</think>\nHello!<|im_end|>\n"),
        ("qwen3.5", "<|im_start|>assistant\n<think>\n", "\n</think>\n\nHello!<|im_end|>\n"),
    ],
)
def test_a_last_answer_without_reasoning_has_the_empty_block_that_its_prompt_opens(
    name: str, prompt: str, answer: str
) -> None:
    opened = ours(name, HI[:1], prompt=True)
    assert opened.endswith(prompt)
    assert ours(name, HI) == opened + answer


def test_phi4_mini_writes_no_line_breaks() -> None:
    assert ours("phi4-mini", TWO) == (
        "<|system|>Be brief.<|end|><|user|>Hi<|end|><|assistant|>Hello!<|end|>"
        "<|user|> 2? <|end|><|assistant|> two <|end|></s>"
    )


def test_phi4_mini_writes_tools_calls_and_results() -> None:
    declared = f"<|tool|>[{CLOCK_JSON}]<|/tool|><|end|>"
    rest = (
        "<|user|>a<|end|><|assistant|>"
        '<|tool_call|>[{"name": "now", "arguments": {"zone": "é<&>"}}]<|/tool_call|><|end|>'
        "<|tool|>9:00<|end|><|assistant|>"
    )
    talk = [user("a"), ONE_CALL, result("9:00")]
    assert ours("phi4-mini", [system("S"), *talk], prompt=True, tools=[CLOCK]) == "<|system|>S" + declared + rest
    assert ours("phi4-mini", talk, prompt=True, tools=[CLOCK]) == (
        "<|system|>You are a helpful assistant with some tools." + declared + rest
    )


def test_hermes_writes_text_before_calls_and_closes_results_in_one_way() -> None:
    prompt = (
        "<s><|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nWait.\n"
        '<tool_call>\n{"name": "now", "arguments": {"zone": "x"}}\n</tool_call><|im_end|>\n'
        "<|im_start|>tool\n<tool_response>\n9:00\n</tool_response>\n<tool_response>\n10\n</tool_response><|im_end|>"
        "<|im_start|>assistant\n"
    )
    talk = [user("a"), WAIT, result("9:00"), result("10", 2)]
    assert ours("hermes3", talk, prompt=True) == prompt
    assert ours("hermes3", [*talk, assistant("Nine.")]) == prompt + "Nine.<|im_end|>\n"


def test_apertus_ends_answers_and_starts_those_to_results_like_their_prompt() -> None:
    thought = assistant(None, reasoning_content="r", tool_calls=[call("now", {"zone": 1})])
    prompt = (
        "<s><|system_start|>S<|system_end|><|developer_start|>Deliberation: enabled\nTool Capabilities: disabled"
        "<|developer_end|><|user_start|>a<|user_end|><|assistant_start|><|inner_prefix|>r<|inner_suffix|>"
        '<|tools_prefix|>[{"now": {"zone": 1}}]<|tools_suffix|>[9:00, 10]<|assistant_start|>'
    )
    talk = [system("S"), user("a"), thought, result("9:00"), result("10", 2)]
    assert ours("apertus", talk, prompt=True, enable_thinking=True) == prompt
    more = [*talk, assistant("Nine."), user("b"), assistant("!")]
    assert ours("apertus", more, enable_thinking=True) == (
        prompt + "Nine.<|assistant_end|><|user_start|>b<|user_end|><|assistant_start|>!<|assistant_end|>"
    )


def test_apertus_closes_a_turn_of_calls_that_a_user_interrupts() -> None:
    assert ours("apertus", [system("S"), user("a"), TEXT_CALL, result("9:00"), user("b")]).endswith(
        '<|tools_prefix|>[{"now": {"zone":1}}]<|tools_suffix|>[9:00]<|assistant_end|><|user_start|>b<|user_end|>'
    )


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("apertus", '<|tools_prefix|>[{"now": {"zone":1}}]<|tools_suffix|>'),
        ("deepseek-v3.1", '<｜tool▁sep｜>{"zone":1}<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>'),
        ("granite4", '<tool_call>\n{"name": "now", "arguments": {"zone":1}}\n</tool_call><|end_of_text|>\n'),
        ("hermes3", '<tool_call>\n{"name": "now", "arguments": {"zone":1}}\n</tool_call><|im_end|>\n'),
        ("kimi-k2", KIMI_CALLS % (KIMI_CALL % (0, '{"zone":1}'))),
        ("kimi-k2-thinking", KIMI_CALLS % (KIMI_CALL % (0, '{"zone":1}'))),
        ("llama4", '<|python_start|><|python_end|>{"name": "now", "parameters": {"zone":1}}<|eot|>'),
        ("phi4-mini", '<|tool_call|>[{"name": "now", "arguments": {"zone":1}}]<|/tool_call|><|end|></s>'),
        ("smollm3", '<tool_call>\n{"name": "now", "arguments": {"zone":1}}\n</tool_call><|im_end|>\n'),
    ],
)
def test_arguments_given_as_json_text_are_written_unchanged(name: str, written: str) -> None:
    assert ours(name, [user("a"), TEXT_CALL]).endswith(written)


@pytest.mark.parametrize("name", ["gemma4", "glm4.5", "glm4.7", "lfm2", "lfm2.5", "minimax-m2", "nemotron3", "qwen3.5"])
def test_json_text_is_refused_where_each_argument_is_written_by_itself(name: str) -> None:
    with pytest.raises(REFUSALS, match="must be an object"):
        ours(name, [user("a"), TEXT_CALL])


@pytest.mark.parametrize("name", ["apertus", "gemma4", "kimi-k2", "kimi-k2-thinking", "minimax-m2"])
def test_a_result_without_a_call_is_refused(name: str) -> None:
    with pytest.raises(REFUSALS, match="without a tool call"):
        ours(name, [user("a"), result("9:00"), assistant("b")])


@pytest.mark.parametrize("name", ["apertus", "gemma4"])
def test_two_answers_that_the_published_template_joins_are_refused(name: str) -> None:
    with pytest.raises(REFUSALS, match="no two assistant turns in a row"):
        ours(name, [user("a"), assistant("b"), assistant("c")])
