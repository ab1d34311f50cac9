"""Renderings written by hand, for families without a template to compare with, and for intended differences."""

from __future__ import annotations

from typing import Any

import pytest
from template_conversations import CLOCK, assistant, call, result, system, user
from template_rendering import REFUSALS, ours

HI = [user("Hi"), assistant("Hello!")]
TWO = [system("Be brief."), *HI, user(" 2? "), assistant(" two ")]
ONE_CALL = assistant(None, tool_calls=[call("now", {"zone": "é<&>"})])
TEXT_CALL = assistant(None, tool_calls=[call("now", '{"zone":1}')])


def test_alpaca_writes_headings_and_ends_each_answer() -> None:
    preamble = (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request."
    )
    single = preamble + "\n\n### Instruction:\nHi\n\n### Response:\nHello!</s>"
    assert ours("alpaca", HI) == "<s>" + single
    assert ours("alpaca", HI[:1], prompt=True) == "<s>" + preamble + "\n\n### Instruction:\nHi\n\n### Response:\n"
    assert ours("alpaca", HI, bos_token=None) == single


def test_alpacas_system_message_replaces_its_preamble() -> None:
    assert ours("alpaca", TWO) == (
        "<s>Be brief.\n\n### Instruction:\nHi\n\n### Response:\nHello!</s>"
        "\n\n### Instruction:\n 2? \n\n### Response:\n two </s>"
    )
    assert ours("alpaca", [system(""), *HI]) == "<s>### Instruction:\nHi\n\n### Response:\nHello!</s>"


def test_vicuna_writes_one_line_and_ends_each_answer() -> None:
    preamble = (
        "A chat between a curious user and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the user's questions. "
    )
    assert ours("vicuna", HI) == f"<s>{preamble}USER: Hi ASSISTANT: Hello!</s>"
    assert ours("vicuna", HI[:1], prompt=True) == f"<s>{preamble}USER: Hi ASSISTANT:"
    assert ours("vicuna", TWO) == "<s>Be brief. USER: Hi ASSISTANT: Hello!</s>USER:  2?  ASSISTANT:  two </s>"
    assert ours("vicuna", [system(""), *HI]) == "<s>USER: Hi ASSISTANT: Hello!</s>"


def test_llama2_puts_the_system_message_into_the_first_user_message_and_bos_before_each() -> None:
    assert ours("llama2", TWO) == (
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello! </s><s>[INST] 2? [/INST] two </s>"
    )
    assert ours("llama2", HI[:1], prompt=True) == "<s>[INST] Hi [/INST]"


def test_zephyr_writes_a_header_line_and_eos_for_each_message() -> None:
    assert ours("zephyr", TWO, prompt=True) == (
        "<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\nHello!</s>\n"
        "<|user|>\n 2? </s>\n<|assistant|>\n two </s>\n<|assistant|>\n"
    )


def test_phi4_separates_role_and_content_and_writes_no_line_breaks() -> None:
    assert ours("phi4", TWO[:4], prompt=True) == (
        "<|im_start|>system<|im_sep|>Be brief.<|im_end|><|im_start|>user<|im_sep|>Hi<|im_end|>"
        "<|im_start|>assistant<|im_sep|>Hello!<|im_end|><|im_start|>user<|im_sep|> 2? <|im_end|>"
        "<|im_start|>assistant<|im_sep|>"
    )


def test_mistral_moves_the_system_message_to_the_last_user_message() -> None:
    assert ours("mistral-v0.3", TWO) == "<s>[INST] Hi[/INST] Hello!</s>[INST] Be brief.\n\n 2? [/INST]  two</s>"
    assert ours("mistral-nemo", TWO) == "<s>[INST]Hi[/INST]Hello!</s>[INST]Be brief.\n\n 2? [/INST] two</s>"
    assert ours("mistral-nemo", TWO[:3]) == "<s>[INST]Be brief.\n\nHi[/INST]Hello!</s>"


TOOL_CHAT = [user("a"), ONE_CALL, result("9:00"), assistant("Nine."), user("b")]


def test_mistral_declares_tools_before_the_last_user_message_and_gives_results_their_call() -> None:
    tools = [
        {"type": "function", "function": {"name": "now", "description": 'Say "when"', "return": {"type": "string"}}}
    ]
    declared = '[{"type": "function", "function": {"name": "now", "description": "Say \\"when\\""}}]'
    calls = '[{"name": "now", "arguments": {"zone": "é<&>"}, "id": "call00001"}]</s>'
    answer = '{"content": "9:00", "call_id": "call00001"}[/TOOL_RESULTS]'
    assert ours("mistral-nemo", TOOL_CHAT, tools=tools) == (
        f"<s>[INST]a[/INST][TOOL_CALLS]{calls}[TOOL_RESULTS]{answer}Nine.</s>"
        f"[AVAILABLE_TOOLS]{declared}[/AVAILABLE_TOOLS][INST]b[/INST]"
    )
    assert ours("mistral-v0.3", TOOL_CHAT, tools=tools) == (
        f"<s>[INST] a[/INST][TOOL_CALLS] {calls}[TOOL_RESULTS] {answer} Nine.</s>"
        f"[AVAILABLE_TOOLS] {declared}[/AVAILABLE_TOOLS][INST] b[/INST]"
    )


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ('{"a": [1]}', '{"a": [1]}'),
        ("[1, 2]", "[1, 2]"),
        ('"quoted"', '"quoted"'),
        ("21", "21"),
        ("-0.5", "-0.5"),
        ("true", "true"),
        ("null", "null"),
        ("", '""'),
        ("inf", '"inf"'),
        ("21 °C", '"21 °C"'),
        ('He said "no"\n', '"He said \\"no\\"\\n"'),
    ],
)
def test_mistral_writes_every_result_as_json(text: str, written: str) -> None:
    rendered = ours("mistral-nemo", [user("a"), ONE_CALL, result(text)])
    assert rendered.endswith('[TOOL_RESULTS]{"content": ' + written + ', "call_id": "call00001"}[/TOOL_RESULTS]')


@pytest.mark.parametrize(
    "wrong",
    [
        assistant("Text", tool_calls=ONE_CALL["tool_calls"]),
        assistant(None, tool_calls=[{"type": "function", "function": {"name": "now", "arguments": {}}}]),
        assistant(None, tool_calls=[{**call("now", {}), "id": "call_1"}]),
    ],
)
def test_mistral_refuses_text_beside_calls_and_invalid_ids(wrong: dict[str, Any]) -> None:
    for name in ("mistral-nemo", "mistral-v0.3"):
        with pytest.raises(REFUSALS):
            ours(name, [user("a"), wrong])


def test_glm4_closes_the_last_turn_with_the_header_that_the_model_must_write() -> None:
    assert ours("glm4", TWO) == (
        "[gMASK]<sop><|system|>\nBe brief.<|user|>\nHi<|assistant|>\nHello!<|user|>\n 2? <|assistant|>\n two <|user|>"
    )
    assert ours("glm4", HI[:1], prompt=True) == "[gMASK]<sop><|user|>\nHi<|assistant|>"
    assert ours("glm4", [user("a"), ONE_CALL]) == (
        '[gMASK]<sop><|user|>\na<|assistant|>now\n{"zone": "é<&>"}<|observation|>'
    )


def test_glm4_declares_tools_in_a_system_message_and_writes_results_as_observations() -> None:
    assert ours("glm4", [user("a"), ONE_CALL, result("9:00")], prompt=True, tools=[CLOCK]) == (
        "[gMASK]<sop><|system|>\n你是一个名为 GLM-4 的人工智能助手。你是基于智谱AI训练的语言模型 GLM-4 模型开发的，"
        "你的任务是针对用户的问题和要求提供适当的答复和支持。\n\n# 可用工具\n\n## now\n\n"
        '{\n    "name": "now",\n    "description": "What time is it?",\n    "parameters": {\n'
        '        "type": "object",\n        "properties": {}\n    }\n}'
        "\n在调用上述函数时，请使用 Json 格式表示调用的参数。<|user|>\na"
        '<|assistant|>now\n{"zone": "é<&>"}<|observation|>\n9:00<|assistant|>'
    )


def test_glm45_closes_the_last_turn_and_writes_each_argument() -> None:
    assert ours("glm4.5", [user("a"), assistant(" 4 ", reasoning_content="2+2\n")]) == (
        "[gMASK]<sop><|user|>\na<|assistant|>\n<think>2+2</think>\n4<|user|>"
    )
    assert ours("glm4.5", [user("a"), assistant(None, tool_calls=[call("now", {"zone": "x", "n": [1]})])]) == (
        "[gMASK]<sop><|user|>\na<|assistant|>\n<think></think>\n<tool_call>now\n<arg_key>zone</arg_key>\n"
        "<arg_value>x</arg_value>\n<arg_key>n</arg_key>\n<arg_value>[1]</arg_value>\n</tool_call><|observation|>"
    )


DEEPSEEK_CALLS = (
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n%s\n```<｜tool▁call▁end｜>"
    "<｜tool▁calls▁end｜><｜end▁of▁sentence｜>"
)
DEEPSEEK_RESULT = "<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>9:00<｜tool▁output▁end｜><｜tool▁outputs▁end｜>"


def test_deepseek_v3_ends_a_single_call_and_gives_each_round_a_header() -> None:
    rounds = [user("a"), ONE_CALL, result("9:00"), assistant("Nine."), user("b"), TEXT_CALL, result("9:00")]
    first = "<｜Assistant｜>" + DEEPSEEK_CALLS % '{"zone": "é<&>"}' + DEEPSEEK_RESULT + "Nine.<｜end▁of▁sentence｜>"
    second = "<｜Assistant｜>" + DEEPSEEK_CALLS % '{"zone":1}' + DEEPSEEK_RESULT
    assert ours("deepseek-v3", rounds, prompt=True) == f"<s><｜User｜>a{first}<｜User｜>b{second}"


def test_deepseek_v3_keeps_text_beside_a_call() -> None:
    said = assistant("Wait.", tool_calls=TEXT_CALL["tool_calls"])
    assert ours("deepseek-v3", [user("a"), said]) == (
        "<s><｜User｜>a<｜Assistant｜>Wait." + DEEPSEEK_CALLS % '{"zone":1}'
    )


def test_deepseek_calls_again_right_after_results() -> None:
    chain = [user("a"), TEXT_CALL, result("9:00"), TEXT_CALL]
    calls = DEEPSEEK_CALLS % '{"zone":1}'
    assert ours("deepseek-v3", chain) == f"<s><｜User｜>a<｜Assistant｜>{calls}{DEEPSEEK_RESULT}{calls}"
    assert ours("deepseek-r1", chain) == f"<s><｜User｜>a<｜Assistant｜>{calls}{DEEPSEEK_RESULT}{calls}"


@pytest.mark.parametrize(
    ("answer", "written"),
    [
        (assistant("4", reasoning_content="2+2"), "<think>\n2+2\n</think>\n\n4"),
        (assistant("<think>\n2+2\n</think>\n\n4"), "<think>\n2+2\n</think>\n\n4"),
        (assistant("<think>a</think>b</think>4"), "<think>\na</think>b\n</think>\n\n4"),
        (assistant("4"), "<think>\n\n</think>\n\n4"),
    ],
)
def test_deepseek_r1_writes_the_last_answer_with_its_reasoning(answer: dict[str, Any], written: str) -> None:
    assert (
        ours("deepseek-r1", [user("2+2?"), answer]) == f"<s><｜User｜>2+2?<｜Assistant｜>{written}<｜end▁of▁sentence｜>"
    )


def test_deepseek_r1_shows_earlier_answers_without_their_reasoning() -> None:
    talk = [user("a"), assistant("4", reasoning_content="2+2"), user("b"), assistant("<think>x</think>5"), user("c")]
    assert ours("deepseek-r1", talk, prompt=True) == (
        "<s><｜User｜>a<｜Assistant｜>4<｜end▁of▁sentence｜><｜User｜>b<｜Assistant｜>5<｜end▁of▁sentence｜>"
        "<｜User｜>c<｜Assistant｜><think>\n"
    )


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("llama3.1", '{"name": "now", "parameters": {"zone":1}}<|eot_id|>'),
        ("llama3.2", '{"name": "now", "parameters": {"zone":1}}<|eot_id|>'),
        ("qwen2.5", '\n<tool_call>\n{"name": "now", "arguments": {"zone":1}}\n</tool_call><|im_end|>\n'),
        ("qwen3", '<tool_call>\n{"name": "now", "arguments": {"zone":1}}\n</tool_call><|im_end|>\n'),
        ("gpt-oss", 'to=functions.now<|channel|>commentary json<|message|>{"zone":1}<|call|>'),
        ("mistral-nemo", '[TOOL_CALLS][{"name": "now", "arguments": {"zone":1}, "id": "call00001"}]</s>'),
        ("mistral-v0.3", '[TOOL_CALLS] [{"name": "now", "arguments": {"zone":1}, "id": "call00001"}]</s>'),
        ("glm4", '<|assistant|>now\n{"zone":1}<|observation|>'),
        ("deepseek-v3", "<｜Assistant｜>" + DEEPSEEK_CALLS % '{"zone":1}'),
        ("deepseek-r1", "<｜Assistant｜><think>\n\n</think>\n\n" + DEEPSEEK_CALLS % '{"zone":1}'),
    ],
)
def test_arguments_given_as_json_text_are_written_unchanged(name: str, written: str) -> None:
    assert ours(name, [user("a"), TEXT_CALL]).endswith(written)


def test_gpt_oss_writes_a_function_without_description_and_refuses_builtin_tools() -> None:
    bare = [{"type": "function", "function": {"name": "now"}}]
    assert "namespace functions {\n\ntype now = () => any;\n\n}" in ours("gpt-oss", HI, tools=bare)
    with pytest.raises(REFUSALS):
        ours("gpt-oss", HI, builtin_tools=["python"])


def test_llama31_writes_the_given_date_and_builtin_tools() -> None:
    rendered = ours("llama3.1", HI, date_string="1 May 2025", builtin_tools=["brave_search", "code_interpreter"])
    assert rendered.startswith(
        "<s><|start_header_id|>system<|end_header_id|>\n\nEnvironment: ipython\nTools: brave_search\n\n"
        "Cutting Knowledge Date: December 2023\nToday Date: 1 May 2025\n\n<|eot_id|>"
    )
    search = assistant(None, tool_calls=[call("brave_search", {"query": "x"})])
    assert ours("llama3.1", [user("a"), search], builtin_tools=["brave_search"]).endswith(
        '<|python_tag|>brave_search.call(query="x")<|eom_id|>'
    )
