from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftdata.config import SourceConfig
from sftdata.read import check_structure, to_record
from sftdata.read.stage import row_of
from sftdata.read.units import RawRow
from sftdata.reasons import REASONS
from sftdata.records.record import Drop, Message, Record, ToolCall

USER, ANSWER = Message(role="user", content="Hi"), Message(role="assistant", content="Hello")
SYSTEM = Message(role="system", content="Be kind.")


def read(value: object, format: str = "auto", system: str | None = None, **columns: str) -> Record | Drop:
    return to_record(value, format=format, columns=columns, system=system)


def messages(value: object, *args: Any, **kwargs: Any) -> tuple[Message, ...]:
    record = read(value, *args, **kwargs)
    assert isinstance(record, Record), record
    return record.messages


def reason(value: object, *args: Any, **kwargs: Any) -> str:
    drop = read(value, *args, **kwargs)
    assert isinstance(drop, Drop), drop
    return drop.reason


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        {"conversations": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
        {"messages": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        {"conversation": [{"from": "Human", "value": "Hi"}, {"from": " GPT ", "value": "Hello"}]},
        {"messages": '[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]'},
        {"prompt": "Hi", "completion": "Hello"},
        {"prompt": "Hi", "response": "Hello"},
        {"prompt": [{"role": "user", "content": "Hi"}], "completion": [{"role": "assistant", "content": "Hello"}]},
        {"prompt": [{"role": "user", "content": "Hi"}], "completion": "Hello"},
        {"instruction": "Hi", "output": "Hello"},
        {"instruction": "Hi", "input": "", "response": "Hello"},
        {"instruction": "Hi", "input": None, "completion": "Hello", "system": ""},
        {"messages": None, "instruction": "Hi", "input": " ", "output": "Hello", "history": []},
        {"text": "unused", "instruction": "Hi", "output": "Hello"},
    ],
)
def test_every_format_is_detected(row):
    assert messages(row) == (USER, ANSWER)


def test_the_input_is_on_its_own_line_after_the_instruction():
    row = {"instruction": "Add.", "input": "1 and 2", "output": "3"}
    assert messages(row)[0].content == "Add.\n1 and 2"
    assert messages({**row, "instruction": ""})[0].content == "1 and 2"


def test_dollys_context_is_an_input():
    row = {"instruction": "Who?", "context": "Ann did it.", "response": "Ann."}
    assert messages(row)[0].content == "Who?\nAnn did it."


def test_history_comes_before_the_question():
    row = {"instruction": "Hi", "output": "Hello", "system": "Be kind.", "history": [["a", "b"], ["c", "d"]]}
    assert [message.content for message in messages(row)] == ["Be kind.", "a", "b", "c", "d", "Hi", "Hello"]
    assert reason({**row, "history": [["a"]]}) == "wrong_type"
    assert reason({**row, "history": "no"}) == "wrong_type"


def test_outer_white_space_of_a_message_is_kept():
    assert messages({"prompt": " Hi\n", "completion": "\tHello "}) == (
        Message(role="user", content=" Hi\n"),
        Message(role="assistant", content="\tHello "),
    )


def test_a_system_prompt_comes_from_the_turns_or_the_row_or_the_source():
    turns = [{"role": "user", "content": "Hi"}]
    own = {"role": "system", "content": "Be kind."}
    assert messages({"messages": [own, *turns], "system": "Row."}, system="Source.")[0] == SYSTEM
    assert messages({"messages": turns, "system": "Be kind."}, system="Source.")[0] == SYSTEM
    assert messages({"messages": turns, "system": " "}, system="Be kind.")[0] == SYSTEM
    assert messages({"messages": turns, "system_prompt": "Be kind."})[0] == SYSTEM
    assert messages({"messages": turns})[0] == USER
    assert messages({"messages": [{**own, "role": "developer"}, *turns]}, system="Source.")[0].role == "developer"
    assert reason({"messages": turns, "system": ["x"]}) == "wrong_type"


def test_text_is_a_format_only_when_asked_for():
    assert reason({"text": "Once."}) == "unknown_shape"
    assert read({"text": "Once."}, "text") == Record(text="Once.")
    assert read({"body": "Once."}, "text", text="body") == Record(text="Once.")
    assert read({"body": "Once."}, text="body") == Record(text="Once.")
    assert reason({"text": ["Once."]}, "text") == "wrong_type"


def test_mapped_columns_decide_the_format_and_may_be_nested():
    row = {"question": "Hi", "answer": "Hello", "instruction": "not this"}
    assert messages(row, prompt="question", completion="answer") == (USER, ANSWER)
    seed = {"instruction": "Hi", "instances": [{"input": "", "output": "Hello"}]}
    assert messages(seed, input="instances.0.input", output="instances.0.output") == (USER, ANSWER)
    assert messages({"a.b": "Hi", "a": {"c": ["Hello"]}}, prompt="a.b", completion="a.c.0") == (USER, ANSWER)
    dialog = {"dialog": [{"who": "user", "said": "Hi"}, {"who": "assistant", "said": "Hello"}]}
    assert messages(dialog, messages="dialog", role="who", content="said") == (USER, ANSWER)
    spoken = {"talk": [{"who": "human", "said": "Hi"}, {"who": "gpt", "said": "Hello"}]}
    record = to_record(
        spoken, format="auto", columns={"conversations": "talk", "from": "who", "value": "said"}, system=None
    )
    assert record == Record(messages=(USER, ANSWER))
    assert messages({"prompt": "Hi", "answer": "Hello"}, completion="answer") == (USER, ANSWER)


def test_a_mapping_that_fits_two_formats_is_resolved_by_the_row():
    assert messages({"prompt": "Hi", "reply": "Hello"}, response="reply") == (USER, ANSWER)
    assert messages({"instruction": "Hi", "reply": "Hello"}, response="reply") == (USER, ANSWER)


def test_a_mapped_column_that_is_absent_is_named():
    drop = read({"question": "Hi"}, prompt="question", completion="answer")
    assert drop == Drop("missing_field", "completion (column answer) is absent or null; the row's keys are question")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([], "not_an_object"),
        ("text", "not_an_object"),
        (None, "not_an_object"),
        ({}, "unknown_shape"),
        ({"question": "Hi", "answer": "Hello"}, "unknown_shape"),
        ({"messages": None}, "missing_field"),
        ({"prompt": "Hi"}, "missing_field"),
        ({"prompt": "Hi", "chosen": "a", "rejected": "b"}, "missing_field"),
        ({"prompt": "Hi", "completion": None}, "missing_field"),
        ({"instruction": "Hi", "output": None}, "missing_field"),
        ({"messages": [{"content": "Hi"}]}, "missing_field"),
        ({"messages": [{"role": "user"}]}, "missing_field"),
        ({"messages": [{"role": "assistant", "content": None}]}, "missing_field"),
        ({"messages": {"role": "user"}}, "wrong_type"),
        ({"messages": "[{'role': 'user'}]"}, "missing_field"),
        ({"messages": "user: Hi"}, "wrong_type"),
        ({"messages": ["Hi"]}, "wrong_type"),
        ({"messages": [{"role": 1, "content": "Hi"}]}, "wrong_type"),
        ({"messages": [{"role": "user", "content": {"a": 5}}]}, "wrong_type"),
        ({"prompt": "Hi", "completion": {"a": None}}, "wrong_type"),
        ({"instruction": ["Hi"], "output": "x"}, "wrong_type"),
        ({"messages": [{"role": "wizard", "content": "Hi"}]}, "unknown_role"),
        ({"messages": [{"role": "user", "content": "<image>Hi"}], "images": ["a.png"]}, "untrainable_content"),
        ({"messages": [{"role": "user", "content": "Hi"}], "tools": "no"}, "wrong_type"),
        ({"messages": [{"role": "user", "content": "Hi"}], "tools": [3]}, "wrong_type"),
        ({"messages": [{"role": "user", "content": "Hi"}], "chat_template_kwargs": [1]}, "wrong_type"),
    ],
)
def test_a_row_that_cannot_become_a_record_has_a_reason(row, expected):
    assert reason(row) == expected


def test_tools_keep_their_keys_values_and_order():
    schema = {"type": "function", "function": {"parameters": {"z": 1, "a": {"enum": ["x", None]}}, "name": "f"}}
    record = read({"messages": [{"role": "user", "content": "Hi"}], "tools": [schema]})
    assert isinstance(record, Record)
    assert repr(record.tools) == repr((schema,))


def test_nulls_in_the_objects_of_tools_are_absent_as_arrow_adds_them():
    schema = {"name": "f", "strict": None, "parameters": {"a": {"type": "string", "default": None}}}
    record = read({"messages": [{"role": "user", "content": "Hi"}], "tools": [schema]})
    assert isinstance(record, Record)
    assert record.tools == ({"type": "function", "function": {"name": "f", "parameters": {"a": {"type": "string"}}}},)


@pytest.mark.parametrize(
    "tools",
    [
        '[{"name": "f", "parameters": {}}]',
        [{"name": "f", "parameters": {}}],
        ['{"name": "f", "parameters": {}}'],
        "[{'name': 'f', 'parameters': {}}]",
        {"name": "f", "parameters": {}},
        {"f": {"parameters": {}}},
        {"f": {"name": "f", "parameters": {}}},
        {"f": {"type": "function", "function": {"name": "f", "parameters": {}}}},
        {"name": ["f"], "parameters": [{}]},
        {"type": ["function"], "function": {"name": ["f"], "parameters": [{}]}},
        [{"type": "function", "name": "f", "parameters": {}}],
        [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    ],
)
def test_tools_in_any_form_are_converted_to_openais(tools):
    for key in ("tools", "functions"):
        record = read({"conversations": [{"from": "human", "value": "Hi"}], key: tools})
        assert isinstance(record, Record)
        assert record.tools == ({"type": "function", "function": {"name": "f", "parameters": {}}},)


def test_empty_tools_in_any_form_are_no_tools():
    for tools in (None, "", " ", "[]", []):
        assert read({"messages": [{"role": "user", "content": "Hi"}], "tools": tools}) == Record(messages=(USER,))


def test_template_arguments_are_kept():
    record = read({"prompt": "Hi", "completion": "Hello", "chat_template_kwargs": {"enable_thinking": False}})
    assert record == Record(messages=(USER, ANSWER), template_kwargs={"enable_thinking": False})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
WORDS = st.sampled_from(
    ["user", "assistant", "human", "gpt", "tool", "function_call", "system", "Hi", "", " ", "\0", "\ud800"]
)
CALL = st.sampled_from(
    ['{"name": "f", "arguments": {"a": 1}}', '{"name": "f", "arguments": "{}"}', '{"name": 1}', "no", "[]"]
)
LIKELY = WORDS | CALL | JSON
TURN_KEYS = ["role", "from", "content", "value", "tool_calls", "function_call", "weight", "train", "reasoning", "name"]
ROW_KEYS = ["messages", "conversations", "prompt", "completion", "instruction", "input", "output", "history", "system"]
CALL_KEYS = ["type", "text", "name", "arguments", "id", "function"]
TURN = st.dictionaries(
    st.sampled_from([*TURN_KEYS, "tool_call_id", "images"]),
    LIKELY | st.lists(st.dictionaries(st.sampled_from(CALL_KEYS), LIKELY)),
)
ROW = st.dictionaries(
    st.sampled_from([*ROW_KEYS, "tools", "text", "images", "chat_template_kwargs"]),
    LIKELY | st.lists(TURN, max_size=4),
    max_size=5,
)
# Conversations that often pass: only valid records reach serialization.
PASSING = st.fixed_dictionaries(
    {
        "messages": st.tuples(
            st.fixed_dictionaries({"role": st.just("user"), "content": st.just("Hi")}),
            st.fixed_dictionaries(
                {"role": st.just("assistant")},
                optional={
                    "content": st.just("Hello"),
                    "tool_calls": st.lists(
                        st.fixed_dictionaries({"name": st.just("f"), "arguments": st.dictionaries(st.text(), JSON)}),
                        max_size=2,
                    ),
                    "reasoning": st.text(),
                    "weight": st.sampled_from([0, 1]),
                },
            ),
        ).map(list)
    },
    optional={
        "tools": st.lists(st.dictionaries(st.text() | st.just("name"), JSON), max_size=2),
        "chat_template_kwargs": st.dictionaries(st.text(), JSON),
    },
)
COLUMNS = st.dictionaries(st.sampled_from(["messages", "prompt", "completion", "role", "text"]), st.text(max_size=6))


def without_nan(value: object) -> object:
    """Readers never return NaN or infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))) else value


@settings(max_examples=600, deadline=None)
@given(
    value=JSON | ROW | PASSING,
    format=st.sampled_from(["auto", "messages", "sharegpt", "alpaca", "prompt_completion", "text"]),
    columns=COLUMNS,
    system=st.none() | st.text(max_size=3),
)
def test_no_json_value_raises_and_valid_records_survive_serialization(value, format, columns, system):
    record = to_record(without_nan(value), format=format, columns=columns, system=system)
    if isinstance(record, Drop):
        assert REASONS[record.reason][0] == "format"
        str(record.detail).encode()  # details go into the ledger
        return
    problem = check_structure(record)
    if problem is not None:
        assert REASONS[problem.reason][0] == "validate" or problem.reason == "wrong_type"
        str(problem.detail).encode()
    if problem is None or problem.reason not in ("bad_characters", "wrong_type"):
        assert Record.from_json(record.to_json()) == record


def test_a_call_and_its_result_in_sharegpts_format_are_converted_to_openais():
    row = {
        "conversations": [
            {"from": "human", "value": "Hi"},
            {"from": "function_call", "value": '{"name": "f", "arguments": {"b": 1, "a": 2}}'},
            {"from": "observation", "value": "3"},
            {"from": "gpt", "value": "Hello"},
        ]
    }
    assert messages(row) == (
        USER,
        Message(role="assistant", content=None, tool_calls=(ToolCall(name="f", arguments={"b": 1, "a": 2}),)),
        Message(role="tool", content="3"),
        ANSWER,
    )


CHAT = '[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]'


@pytest.mark.parametrize(
    "text",
    [CHAT, '[{"role": "system", "content": "Be kind."}]', CHAT.replace('"', "'"), '[{"from": "human", "value": "Hi"}]'],
)
def test_an_answer_that_is_a_chat_as_text_stays_text(text):
    asked = Message(role="user", content="Write a chat.")
    assert messages({"prompt": "Write a chat.", "completion": text}) == (asked, Message("assistant", text))
    assert messages({"instruction": "Write a chat.", "output": text}) == (asked, Message("assistant", text))


def test_answers_as_text_are_turns():
    answer = '[{"role": "assistant", "content": "Hello"}]'
    assert messages({"prompt": "Hi", "completion": answer}) == (USER, ANSWER)
    asked = '[{"role": "user", "content": "Hi"}]'
    more = (USER, ANSWER, USER, ANSWER)
    later = answer.replace("]", ', {"role": "user", "content": "Hi"}, {"from": "gpt", "value": "Hello"}]')
    assert messages({"prompt": asked, "completion": later}) == more
    assert messages({"prompt": [{"role": "user", "content": "Hi"}], "completion": later}) == more


@pytest.mark.parametrize("empty", [[], "", " ", "[]", "null", {}, [{}], None])
@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Hi", "completion": "Hello"},
        {"instruction": "Hi", "output": "Hello"},
        {"conversation": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
    ],
)
def test_empty_fields_of_one_format_do_not_hide_another(row, empty):
    for name in ("messages", "conversations"):
        assert messages({name: empty, **row}) == (USER, ANSWER)
        assert row_of(RawRow(1, {name: empty, **row}, None), SourceConfig(path="x")).drop is None
    assert messages({"messages": empty, "conversations": empty, **row}) == (USER, ANSWER)


def test_an_empty_prompt_does_not_hide_an_instruction():
    assert messages({"prompt": "", "instruction": "Hi", "output": "Hello"}) == (USER, ANSWER)


def test_rows_that_are_empty_everywhere_are_said_to_be_so():
    record = read({"messages": [], "prompt": "", "completion": ""})
    assert isinstance(record, Record)
    drop = check_structure(record)
    assert drop == Drop("no_user_turn", "the conversation has no turns")


@pytest.mark.parametrize(
    ("row", "texts"),
    [
        (
            {"instruction": "Which?", "input": {"k": 1}, "output": {"b": [1, 2.5], "é": "ü"}},
            ['{"b": [1, 2.5], "é": "ü"}'],
        ),
        ({"prompt": {"k": True}, "completion": {"a": {"b": []}}}, ['{"k": true}', '{"a": {"b": []}}']),
    ],
)
def test_an_object_in_place_of_a_text_is_its_json_text(row, texts):
    contents = [message.content for message in messages(row)]
    assert contents[-len(texts) :] == texts


@pytest.mark.parametrize(
    "answer",
    [["x", "y"], {"text": ["x"], "answer_start": [1]}, {"a": {"b": None}}, {"a": float("nan")}, [{"a": 1}]],
)
def test_lists_and_objects_that_may_be_something_else_than_data_are_no_text(answer):
    assert reason({"instruction": "Which?", "output": answer}) == "wrong_type"


@pytest.mark.parametrize(
    "system",
    [
        [{"type": "text", "text": "Be kind."}, {"type": "text", "text": ""}],
        [{"text": "Be kind."}],
        {"role": "system", "parts": [{"text": "Be kind."}]},
        {"content": "Be kind."},
        {"text": "Be kind."},
    ],
)
def test_a_system_prompt_may_have_parts(system):
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    assert messages({"messages": turns, "system": system})[0].content == "Be kind."
