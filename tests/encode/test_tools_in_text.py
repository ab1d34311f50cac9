"""`tool_calls: inline`: calls, results and tools as text, under templates that write none, or only the tools."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_tokenizers
from as_read import as_read
from families import DATE, ENDS, TEMPLATES
from hypothesis import given
from oracle import Oracle
from reference import Chat, change_fields
from small_chats import encode_to_text
from strategies import conversations, few_examples
from tools_in_text import TOOL_MARKS, in_text, shown

from sftdata.encode.record_encoder import EncodeSettings, RecordEncoder
from sftdata.encode.tokenizer.load import load_tokenizer
from sftdata.read.formats.convert import to_record
from sftdata.records.record import Drop, Message, Record, ToolCall

Make = Callable[..., RecordEncoder]
TOOL = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}
SHOWN_TOOL = (
    '{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}'
)
PROMPT = (
    "You are a function calling AI model. You are provided with function signatures within <tools></tools> XML tags. "
    "You may call one or more functions to assist with the user query. Don't make assumptions about what values to "
    f"plug into functions. Here are the available tools:\n<tools>\n{SHOWN_TOOL}\n</tools>\n"
    "For each function call return a json object with function name and arguments within <tool_call></tool_call> XML "
    'tags as follows:\n<tool_call>\n{"name": <function-name>, "arguments": <args-dict>}\n</tool_call>'
)
# Takes no system message, and demands that user and assistant alternate, as Gemma 2 does.
ALTERNATES = (
    "{% for m in messages %}{% if m.role != ('user', 'assistant')[loop.index0 % 2] %}"
    "{{ raise_exception('Roles must alternate') }}{% endif %}"
    "{{ '<start_of_turn>' + m.role + '\\n' + m.content | trim + '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>assistant\\n' }}{% endif %}"
)
# Lists the tools by itself, and expects calls in the content, as LFM2 8B does.
LISTS_TOOLS = (
    "{% set system = messages[0].content if messages[0].role == 'system' else '' %}"
    "{% if tools %}{% set system = system + 'List of tools: ' + tools | tojson %}{% endif %}"
    "{% if system %}{{ '<|im_start|>system\\n' + system + '<|im_end|>\\n' }}{% endif %}"
    "{% for m in messages if m.role != 'system' %}"
    "{{ '<|im_start|>' + m.role + '\\n' + (m.content if m.content is string else m.content | tojson) }}"
    "{{ '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def call(name: str = "look", arguments: Any = None, id_: str | None = None) -> ToolCall:
    return ToolCall(name=name, arguments={"at": "me"} if arguments is None else arguments, id=id_)


def calling(*calls: ToolCall, text: str | None = None, **more: Any) -> Message:
    return Message("assistant", text, tool_calls=calls, **more)


def result(text: str) -> Message:
    return Message("tool", text)


TWO_CALLS = Record(
    (
        Message("system", "Be brief."),
        Message("user", "hi"),
        calling(call(), call(arguments='{"at":"you","n":1e2}'), text="Let me look."),
        result("red"),
        result('{"hair": "grey"}'),
        Message("assistant", "Well."),
    ),
    (TOOL,),
)
ALONE = TWO_CALLS.replaced(messages=TWO_CALLS.messages[1:])
CALLS = (
    'Let me look.\n<tool_call>\n{"name": "look", "arguments": {"at": "me"}}\n</tool_call>\n'
    '<tool_call>\n{"name": "look", "arguments": {"at": "you", "n": 100.0}}\n</tool_call>'
)
RESULTS = '<tool_response>\nred\n</tool_response>\n<tool_response>\n{"hair": "grey"}\n</tool_response>'


def test_under_a_template_that_writes_roles_and_texts_all_is_text(make_encoder: Make) -> None:
    encoder = make_encoder(tiny_tokenizers.CHATML, tool_calls="inline")
    rest = (
        f"<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n{{{{{CALLS}<|im_end|>}}}}\n"
        f"<|im_start|>user\n{RESULTS}<|im_end|>\n<|im_start|>assistant\n{{{{Well.<|im_end|>}}}}\n"
    )
    assert encode_to_text(encoder, TWO_CALLS) == [f"<|im_start|>system\nBe brief.\n\n{PROMPT}<|im_end|>\n{rest}"]
    assert encode_to_text(encoder, ALONE) == [f"<|im_start|>system\n{PROMPT}<|im_end|>\n{rest}"]


def test_where_no_system_message_is_taken_the_first_user_message_has_the_tools(make_encoder: Make) -> None:
    encoder = make_encoder(ALTERNATES, eos="<end_of_turn>", tool_calls="inline")
    assert encode_to_text(encoder, ALONE) == [
        f"<start_of_turn>user\n{PROMPT}\n\nhi<end_of_turn>\n<start_of_turn>assistant\n{{{{{CALLS}<end_of_turn>}}}}\n"
        f"<start_of_turn>user\n{RESULTS}<end_of_turn>\n<start_of_turn>assistant\n{{{{Well.<end_of_turn>}}}}\n"
    ]
    # Its own system message is not moved: the template refuses it.
    refused = encoder.encode([TWO_CALLS])[0]
    assert isinstance(refused, Drop) and refused.reason == "template_error"


def test_tools_that_the_template_lists_stay_with_it(make_encoder: Make) -> None:
    encoder = make_encoder(LISTS_TOOLS, tool_calls="inline")
    rest = (
        f"List of tools: [{SHOWN_TOOL}]<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
        f"<|im_start|>assistant\n{{{{{CALLS}<|im_end|>}}}}\n"
        f"<|im_start|>user\n{RESULTS}<|im_end|>\n<|im_start|>assistant\n{{{{Well.<|im_end|>}}}}\n"
    )
    assert encode_to_text(encoder, TWO_CALLS) == [f"<|im_start|>system\nBe brief.{rest}"]
    assert encode_to_text(encoder, ALONE) == [f"<|im_start|>system\n{rest}"]


def test_they_come_behind_a_developer_message_that_is_joined_with_the_system_message(make_encoder: Make) -> None:
    leading = (Message("system", "Be brief."), Message("developer", "Be kind."))
    record = ALONE.replaced(messages=(*leading, *ALONE.messages))
    encoder = make_encoder(name="gemma3", eos="<end_of_turn>", tool_calls="inline")
    (text,) = encode_to_text(encoder, record)
    start = f"<s><start_of_turn>user\nBe brief.\n\nBe kind.\n\n{PROMPT}\n\nhi<end_of_turn>\n"
    assert text.startswith(f"{start}<start_of_turn>model\n{{{{{CALLS}<end_of_turn>}}}}")
    assert encoder.encode([record])[0][0].turns == (3, 6)


def test_tools_that_no_turn_calls_are_written_too(make_encoder: Make) -> None:
    record = Record((Message("user", "hi"), Message("assistant", "yo")), (TOOL,))
    assert make_encoder(tiny_tokenizers.CHATML).encode([record])[0] == Drop("lost_field", "tools")
    assert encode_to_text(make_encoder(tiny_tokenizers.CHATML, tool_calls="inline"), record) == [
        f"<|im_start|>system\n{PROMPT}<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
        "<|im_start|>assistant\n{{yo<|im_end|>}}\n"
    ]


def test_rows_without_tools_are_as_without_the_setting(make_encoder: Make) -> None:
    rows = [Record((Message("user", "hi <tool_call>"), Message("assistant", "yo"))), Record(text="<tool_call> 1")]
    plain, inline = (make_encoder(tiny_tokenizers.CHATML, tool_calls=how).encode(rows) for how in ("keep", "inline"))
    texts = ["<|im_start|>user\nhi <tool_call><|im_end|>\n<|im_start|>assistant\nyo<|im_end|>\n", "<s><tool_call> 1"]
    encoder = make_encoder(tiny_tokenizers.CHATML)
    for results in (plain, inline):
        assert [encoder.decode(one[0].input_ids.tolist()) for one in results] == [texts[0], texts[1] + "<|im_end|>"]


def test_a_mark_that_the_model_has_a_token_for_is_that_token_and_text_stays_text(make_encoder: Make) -> None:
    encoder = make_encoder(tiny_tokenizers.CHATML, tool_calls="inline")
    ids = {mark: encoder.probes.control.id_of(mark) for mark in TOOL_MARKS}
    assert [mark for mark, id_ in ids.items() if id_ is None] == ["<tools>", "</tools>"]
    written = Record(
        (
            Message("user", "Write <tool_call>, please."),
            calling(call(arguments={"at": "</tool_call>"}), text="A <tool_call>:"),
            result("<tool_response>"),
            Message("assistant", "<tool_call>"),
        )
    )
    (sample,) = encoder.encode([written])[0]
    found = [mark for id_ in sample.input_ids.tolist() for mark, own in ids.items() if id_ == own]
    assert found == ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
    trained = [int(label) for label in sample.labels if label != -100]
    assert [trained.count(ids[mark]) for mark in TOOL_MARKS[2:]] == [1, 1, 0, 0]


def test_reasoning_comes_first_and_then_the_calls(make_encoder: Make) -> None:
    def of(text: str | None) -> Record:
        return Record((Message("user", "hi"), calling(call(), text=text, reasoning="why")))

    both = make_encoder(tiny_tokenizers.CHATML, tool_calls="inline", reasoning="inline")
    written = '<tool_call>\n{"name": "look", "arguments": {"at": "me"}}\n</tool_call><|im_end|>}}\n'
    start = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n{{<think>\nwhy\n</think>\n\n"
    assert encode_to_text(both, of("Look:")) == [f"{start}Look:\n{written}"]
    assert encode_to_text(both, of(None)) == [start + written]
    think = both.probes.control.id_of("<think>")
    assert think in both.encode([of(None)])[0][0].input_ids
    field = make_encoder(name="qwen3", tool_calls="inline")  # which writes reasoning itself
    assert encode_to_text(field, of(None)) == [start + written]
    assert encode_to_text(field, of("Look:")) == [f"{start}Look:\n{written}"]
    lost = make_encoder(tiny_tokenizers.CHATML, tool_calls="inline").encode([of("Look:")])[0]
    assert lost == Drop("lost_field", "turn 2: reasoning_content")


def test_a_user_who_goes_on_behind_a_result_shares_its_turn(make_encoder: Make) -> None:
    record = Record(
        (
            Message("user", "hi"),
            calling(call(), train=False),
            result("red"),
            Message("user", "And now?"),
            Message("assistant", "Well."),
        )
    )
    encoder = make_encoder(ALTERNATES, eos="<end_of_turn>", tool_calls="inline")
    assert encode_to_text(encoder, record) == [
        "<start_of_turn>user\nhi<end_of_turn>\n<start_of_turn>assistant\n"
        '<tool_call>\n{"name": "look", "arguments": {"at": "me"}}\n</tool_call><end_of_turn>\n'
        "<start_of_turn>user\n<tool_response>\nred\n</tool_response>\n\nAnd now?<end_of_turn>\n"
        "<start_of_turn>assistant\n{{Well.<end_of_turn>}}\n"
    ]
    assert encoder.encode([record])[0][0].turns == (4,)


def test_turns_are_those_of_the_row_however_many_messages_it_becomes(make_encoder: Make) -> None:
    encoder = make_encoder(tiny_tokenizers.CHATML, tool_calls="inline")
    assert [sample.turns for record in (TWO_CALLS, ALONE) for sample in encoder.encode([record])[0]] == [(2, 5), (1, 4)]
    thinks = ALONE.messages[4]._replace(reasoning="why")
    refused = ALONE.replaced(messages=(*ALONE.messages[:4], thinks))
    encoder.encode([refused])
    assert encoder.left_out == {0: [Drop("lost_field", "turn 5: reasoning_content")]}


def test_a_greeting_before_the_tools_is_not_trained(make_encoder: Make) -> None:
    messages = (Message("assistant", "Hello!"), Message("user", "hi"), Message("assistant", "yo"))
    (sample,) = make_encoder(tiny_tokenizers.CHATML, tool_calls="inline").encode([Record(messages, (TOOL,))])[0]
    assert sample.turns == (2,)


def test_a_conversation_is_split_into_windows_that_all_have_the_tools(make_encoder: Make) -> None:
    rounds = [message for at in range(4) for message in (Message("user", f"hi {at}"), *ALONE.messages[1:])]
    record = Record(tuple(rounds), (TOOL,))
    encoder = make_encoder(tiny_tokenizers.CHATML, tool_calls="inline", overlong="split", seq_len=650)
    samples = encoder.encode([record])[0]
    assert isinstance(samples, list) and len(samples) > 1
    assert [turn for sample in samples for turn in sample.turns] == [1, 4, 6, 9, 11, 14, 16, 19]
    for sample in samples:
        assert len(sample.input_ids) <= 650
        assert encoder.decode(sample.input_ids.tolist()).startswith(
            f"<|im_start|>system\n{PROMPT}<|im_end|>\n<|im_start|>"
        )


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("{'at': 'me'}", "Expecting property name enclosed in double quotes"),
        ("", "Expecting value"),
        ("[1]", "but list"),
        ('"me"', "but str"),
        ('{"n": NaN}', "a number that is none, or too large"),
    ],
)
def test_arguments_that_are_no_json_object_are_refused_by_name(make_encoder: Make, arguments: str, why: str) -> None:
    encoder = make_encoder(tiny_tokenizers.CHATML, tool_calls="inline")
    record = Record((Message("user", "hi"), calling(call(arguments=arguments))))
    detail = f"turn 2: the arguments of 'look' are not a JSON object ({why})"
    assert encoder.encode([record])[0] == Drop("bad_tool_call", detail)


def test_one_source_may_write_text_and_another_what_the_template_writes(make_encoder: Make) -> None:
    from sftdata.encode.options import SourceSettings

    encoder = make_encoder(name="hermes3", sources=(SourceSettings(), SourceSettings(tool_calls="inline")))
    record = Record((Message("user", "hi"), calling(call()), result("red"), Message("assistant", "Well.")))
    own, text = encoder.encode([record, record], [0, 1])
    assert isinstance(own, list) and isinstance(text, list)
    shown = [encoder.decode(one[0].input_ids.tolist()) for one in (own, text)]
    assert [one.count("<|im_start|>tool\n<tool_response>") for one in shown] == [1, 0]
    assert [one.count("<|im_start|>user\n<tool_response>") for one in shown] == [0, 1]
    assert (own[0].turns, text[0].turns) == ((1, 3), (1, 3))


def test_what_was_written_as_text_is_counted_and_so_are_ids_and_names_that_are_not(make_encoder: Make) -> None:
    encoder = make_encoder(tiny_tokenizers.CHATML, tool_calls="inline")
    encoder.encode([ALONE])
    as_text = {name: n for (kind, name), n in encoder.notes.items() if name.startswith("as text")}
    assert as_text == {"as text: calls": 2, "as text: results": 2, "as text: tools in the system message": 1}
    encoder.notes.clear()
    named = Message("tool", "red", tool_call_id="c1", name="look")
    encoder.encode([Record((Message("user", "hi"), calling(call(id_="c1")), named, Message("assistant", "Well.")))])
    unwritten = {name: n for (kind, name), n in encoder.notes.items() if kind == "unwritten"}
    assert unwritten == {"messages: call ids": 1, "messages: a tool_call_id": 1, "messages: a name": 1}


def test_templates_check_says_where_the_setting_trains_a_shape(make_encoder: Make) -> None:
    from sftdata.encode.template_check import check_template

    outcomes = {one.name: one.outcome for one in check_template(make_encoder(tiny_tokenizers.CHATML)).examples}
    assert outcomes["tools with text"] == "lost_field: turn 2: tool_calls (tool_calls=inline trains it)"
    assert outcomes["thinking"] == "lost_field: turn 2: reasoning_content"


class TextOracle(Oracle):
    """The oracle, with marks of tools that are the model's own wherever it has tokens for them."""

    own = (*Oracle.own, *TOOL_MARKS)

    def render(self, messages: Chat, tools: Any, kwargs: Any, *, prompt: bool) -> str:
        return super().render(change_fields(messages, shown), tools, kwargs, prompt=prompt)

    def _with_own_marks(self, message: dict[str, Any], hidden: dict[str, Any]) -> dict[str, Any]:
        found = super()._with_own_marks(message, hidden)
        return {**found, "content": shown(found["content"] or "")}


WHERE = {
    "chatml": "system",
    "gemma2": "user",
    "llama3": "system",
    "phi3": "system",
    "vicuna": "system",
    "lfm2": "template",
}
CASES = [(kind, name) for kind in ("byte_level", "sentence_piece", "without_marks") for name in WHERE]


@functools.cache
def pair_of(folder: Path, template: str) -> tuple[RecordEncoder, TextOracle]:
    settings = EncodeSettings(
        files=load_tokenizer(str(folder)), date=DATE, template=template, tool_calls="inline", lost_context="warn"
    )
    source = (TEMPLATES / f"{template}.jinja").read_text(encoding="utf-8")
    return RecordEncoder(settings), TextOracle(folder, ENDS[template], source, DATE)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tokenizers")
    built = {kind: tiny_tokenizers.build(kind, folder) for kind in ("byte_level", "sentence_piece")}
    bare = tiny_tokenizers.write_folder(folder / "without_marks", tiny_tokenizers.byte_level())
    spec = (bare / "tokenizer.json").read_text(encoding="utf-8")
    (bare / "tokenizer.json").write_text(re.sub(r"tool_(call|response)>", r"other_\1>", spec), encoding="utf-8")
    return {**built, "without_marks": bare}


@pytest.mark.parametrize(("kind", "template"), CASES, ids=["-".join(case) for case in CASES])
@few_examples(8)
@given(conversation=conversations(tools=True, reasoning=True, weights=True))
def test_the_ids_and_labels_are_those_of_a_conversation_of_texts(
    folders: dict[str, Path], kind: str, template: str, conversation: dict[str, Any]
) -> None:
    record = to_record(conversation, format="messages", columns={}, system=None)
    if isinstance(record, Drop):
        return
    encoder, oracle = pair_of(folders[kind], template)
    row = {**conversation, "messages": as_read(conversation["messages"], record.messages)}
    own = [mark for mark in TOOL_MARKS if mark in oracle.controls]
    text_row, places = in_text(row, WHERE[template], own)
    at = {place: turn for turn, place in enumerate(places)}
    found: Any = encoder.encode([record])[0]
    if isinstance(found, Drop):
        detail = re.sub(r"turn (\d+)", lambda match: f"turn {at[int(match.group(1)) - 1] + 1}", found.detail or "")
        found = Drop(found.reason, detail)
    else:
        found = [SimpleNamespace(**{**one._asdict(), "turns": tuple(at[k] for k in one.turns)}) for one in found]
    assert oracle.judge(text_row, found) == []
