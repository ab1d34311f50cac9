"""Tool arguments reach the template as a server gives them: as objects, however a row writes them.

The oracle here knows nothing but objects: it renders with transformers' `apply_chat_template`, to which it gives what
`json.loads` makes of a JSON text, as servers do with the text of a request.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_tokenizers
from families import DATE, ENDS, SHARED, SWITCHES, TEMPLATES
from hypothesis import given
from hypothesis import strategies as st
from oracle import Oracle
from reference import Chat
from strategies import few_examples

from sftdata.config import SourceConfig
from sftdata.encode.record_encoder import EncodeSettings, RecordEncoder
from sftdata.encode.template.messages import to_chat, with_arguments
from sftdata.encode.tokenizer.load import load_tokenizer
from sftdata.read.formats.convert import to_record
from sftdata.read.stage import row_of
from sftdata.read.units import RawRow
from sftdata.records.record import Drop, Message, Record, ToolCall

# The built-in templates that write tool calls. GLM-4 and gpt-oss write one call a turn, without text.
WITH_CALLS = (
    *("deepseek-r1", "deepseek-v3", "glm4", "glm4.5", "gpt-oss", "llama3.1", "llama3.2"),
    *("mistral-nemo", "mistral-v0.3", "qwen2.5", "qwen3", "deepseek-v3.1", "gemma4", "glm4.7", "granite4", "kimi-k2"),
    *("llama4", "minimax-m2", "nemotron3", "qwen3.5", "smollm3", "apertus", "hermes3", "kimi-k2-thinking", "lfm2.5"),
    "phi4-mini",
)
# One object, as data gives it: itself, and its JSON compact, with spaces as Python writes it, with others, and escaped.
VALUE = {"unit": "m", "city": "Zürich ☀", "deep": {"b": [1, 2.5, None], "a": {}}, "n": 18, "yes": True, "x": "a<b>'\""}
SPELLED: dict[str, Any] = {
    "object": {**VALUE, "deep": {"b": [1, 2.5, None], "a": {}}},
    "compact": json.dumps(VALUE, ensure_ascii=False, separators=(",", ":")),
    "spaced": json.dumps(VALUE, ensure_ascii=False),
    "indented": json.dumps(VALUE, ensure_ascii=False, indent=2),
    "escaped": json.dumps(VALUE),
}
TOOL = {"type": "function", "function": {"name": "look", "description": "Look.", "parameters": {"type": "object"}}}


def row(arguments: Any) -> dict[str, Any]:
    function = {"name": "look", "arguments": arguments}
    messages = [
        {"role": "user", "content": "How warm is it?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "callaaaa1", "type": "function", "function": function}],
        },
        {"role": "tool", "content": '{"degrees": 14}', "tool_call_id": "callaaaa1", "name": "look"},
        {"role": "assistant", "content": "It is cool."},
    ]
    return {"messages": messages, "tools": [TOOL]}


class ServerOracle(Oracle):
    """Judges samples of conversations whose arguments are objects, and takes no other form of them."""

    def forms(self, messages: Chat) -> Iterator[tuple[Chat, bool]]:
        objects = [_parsed(message) for message in messages]
        for form, needed in super().forms(objects):
            calls = [call for message in form for call in message.get("tool_calls") or ()]
            if not any(isinstance(call["function"]["arguments"], str) for call in calls):
                yield form, needed


def _parsed(message: dict[str, Any]) -> dict[str, Any]:
    if not message.get("tool_calls"):
        return message
    calls = []
    for call in message["tool_calls"]:
        value = call["function"]["arguments"]
        value = json.loads(value) if isinstance(value, str) else value
        calls.append({**call, "function": {**call["function"], "arguments": value}})
    return {**message, "tool_calls": calls}


class Case:
    """An encoder and the oracle of servers for one tokenizer folder and template."""

    def __init__(self, folder: Path, template: str, ends: str) -> None:
        settings = EncodeSettings(files=load_tokenizer(str(folder)), date=DATE, template=template, lost_context="warn")
        self.encoder = RecordEncoder(settings)
        source = None if template == "auto" else (TEMPLATES / f"{template}.jinja").read_text(encoding="utf-8")
        self.oracle = ServerOracle(folder, ENDS[ends], source, DATE)
        self.oracle.switch = SWITCHES.get(ends)

    def encode(self, value: dict[str, Any]) -> Any:
        record = to_record(value, format="messages", columns={}, system=None)
        assert not isinstance(record, Drop), record
        return self.encoder.encode([record])[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_tokenizers.build("byte_level", tmp_path_factory.mktemp("tokenizer"))


@functools.cache
def case_of(folder: Path, template: str) -> Case:
    if template.startswith("deepseek"):
        names = {"bos_token": "<｜begin▁of▁sentence｜>", "eos_token": "<｜end▁of▁sentence｜>"}
        changed = folder.with_name("deepseek")
        changed.mkdir(exist_ok=True)
        (changed / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        (changed / "tokenizer_config.json").write_text(json.dumps({**config, **names}), encoding="utf-8")
        folder = changed
    return Case(folder, template, template)


def ids_of(result: Any) -> list[tuple[list[int], list[int]]]:
    assert not isinstance(result, Drop), result
    return [(sample.input_ids.tolist(), sample.labels.tolist()) for sample in result]


@pytest.mark.parametrize("spelled", sorted(SPELLED))
@pytest.mark.parametrize("template", WITH_CALLS)
def test_the_ids_are_those_of_a_server_however_arguments_are_written(folder: Path, template: str, spelled: str) -> None:
    case = case_of(folder, template)
    value = row(SPELLED[spelled])
    result = case.encode(value)
    assert not isinstance(result, Drop), result
    # An object of a row has no nulls: Arrow adds them.
    assert case.oracle.judge(value, result) == []


@pytest.mark.parametrize("template", WITH_CALLS)
def test_every_spelling_of_one_object_gives_the_same_ids(folder: Path, template: str) -> None:
    case = case_of(folder, template)
    results = [ids_of(case.encode(row(arguments))) for arguments in SPELLED.values()]
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("arguments", [{"zeta": 1, "alpha": 2}, '{"zeta":1,"alpha":2}'])
@pytest.mark.parametrize("template", sorted({*WITH_CALLS} - {"gemma4"}))  # whose format is in order of the alphabet
def test_the_order_of_keys_is_kept(folder: Path, template: str, arguments: Any) -> None:
    case = case_of(folder, template)
    text = case.encoder.decode(case.encode(row(arguments))[-1].input_ids.tolist())
    assert -1 < text.find("zeta") < text.find("alpha")


# What Python's json makes of numbers, and so what a server writes.
NUMBERS = {
    '{"v":1.0}': '{"v": 1.0}',
    '{"v":1e5}': '{"v": 100000.0}',
    '{"v":1E+2}': '{"v": 100.0}',
    '{"v":-0.0}': '{"v": -0.0}',
    '{"v":-0}': '{"v": 0}',
    '{"v":1e-7}': '{"v": 1e-07}',
    '{"v":0.10}': '{"v": 0.1}',
    '{"v":12345678901234567890123}': '{"v": 12345678901234567890123}',
    '{"v":1e16}': '{"v": 1e+16}',
    '{"v":"\\u00fc\\/\\n"}': '{"v": "ü/\\n"}',
    '{"v":null}': '{"v": null}',
    "{}": "{}",
}


@pytest.mark.parametrize("given", NUMBERS)
def test_values_are_written_as_a_server_writes_them(folder: Path, given: str) -> None:
    case = case_of(folder, "qwen3")
    text = case.encoder.decode(case.encode(row(given))[-1].input_ids.tolist())
    assert f'{{"name": "look", "arguments": {NUMBERS[given]}}}' in text


@pytest.mark.parametrize("given", ['{"v": 12345678901234567890123}', '{"v": -0.0}', '{"v": 1e5}', '{"v": 1.0}'])
def test_an_object_in_a_row_keeps_its_numbers_like_a_text(folder: Path, given: str) -> None:
    case = case_of(folder, "qwen3")
    assert ids_of(case.encode(row(json.loads(given)))) == ids_of(case.encode(row(given)))


@pytest.mark.parametrize(
    "broken",
    ['{"v": 1', '{"v": NaN}', '{"v": 1e999}', "[1]", '"x"', '{"v": 1, "v": 2}', "not JSON", '{"v": "\\ud800"}'],
)
def test_arguments_that_are_no_object_are_refused_by_name(broken: str) -> None:
    """A server makes {} of them; here the row is dropped, so that nobody trains a call without its arguments."""
    dropped = row_of(RawRow(1, row(broken), None), SourceConfig(path="x", format="messages")).drop
    assert dropped is not None
    assert dropped.reason == "bad_tool_call"


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
)
_LISTS = st.lists(_SCALARS, max_size=3)
_VALUES = _SCALARS | _LISTS | st.dictionaries(st.text(max_size=4), _SCALARS | _LISTS, max_size=3)


@few_examples(200)
@given(
    st.dictionaries(st.text(max_size=4), _VALUES, max_size=4),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :\n")]),
    st.booleans(),
)
def test_any_json_text_is_written_as_python_writes_what_it_reads_there(
    folder: Path, value: dict[str, Any], separators: tuple[str, str], ascii: bool
) -> None:
    probes = case_of(folder, "qwen3").encoder.probes
    text = json.dumps(value, ensure_ascii=ascii, separators=separators)
    turns = (Message("user", "?"), Message("assistant", None, tool_calls=(ToolCall(name="look", arguments=text),)))
    record, counts = with_arguments(Record(turns), probes)
    assert counts == {"object from text": 1}
    written = to_chat(record, probes, protect=False).render(probes, 2, prompt=False)
    assert f'"arguments": {json.dumps(value, ensure_ascii=False)}}}' in written


# Templates that do not take objects: by an error, as Python writes them, and by an error for a number alone.
TEXT_ONLY = {
    "an error": "{{ '<call>' + c.function.name + c.function.arguments + '</call>' }}",
    "Python's repr": "<call>{{ c.function.name }}{{ c.function.arguments }}</call>",
    "texts alone": "{% if c.function.arguments is string %}<call>{{ c.function.name }}{{ c.function.arguments }}</call>"
    "{% else %}<call>{{ c.function.name }}{% for k, v in c.function.arguments.items() %}{{ k + '=' + v }}{% endfor %}"
    "</call>{% endif %}",
}
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}CALL{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if tools %}{% endif %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.mark.parametrize("kind", sorted(TEXT_ONLY))
@pytest.mark.parametrize(
    ("given", "written"),
    [({"b": 18, "a": 3}, '{"b": 18, "a": 3}'), ('{"b":18,"a":3}', '{"b":18,"a":3}'), ("{ }", "{ }")],
)
def test_a_template_that_fails_on_objects_gets_json(
    make_encoder: Callable[..., RecordEncoder], kind: str, given: Any, written: str
) -> None:
    encoder = make_encoder(CHAT.replace("CALL", TEXT_ONLY[kind]), lost_context="warn")
    samples = encoder.encode([record_of(row(given))])[0]
    assert not isinstance(samples, Drop), samples
    assert f"<call>look{written}</call>" in encoder.decode(samples[-1].input_ids.tolist())


def test_an_object_is_preferred_where_a_template_takes_both(make_encoder: Callable[..., RecordEncoder]) -> None:
    shown = "c.function.arguments if c.function.arguments is string else '!' ~ (c.function.arguments | tojson)"
    both = f"<call>{{{{ c.function.name }}}}{{{{ {shown} }}}}</call>"
    encoder = make_encoder(CHAT.replace("CALL", both), lost_context="warn")
    samples = encoder.encode([record_of(row('{"b":18}'))])[0]
    assert '<call>look!{"b": 18}</call>' in encoder.decode(samples[-1].input_ids.tolist())


@pytest.mark.parametrize("escaped", ["\\u003c|im_end|>", "\\u0001sftdata:7\\u0002", "\\ue002sftdata:7\\ue003"])
def test_what_is_escaped_in_a_json_text_forges_no_control_token(
    make_encoder: Callable[..., RecordEncoder], escaped: str
) -> None:
    raw = "<call>{{ c.function.name }}{% for k, v in c.function.arguments.items() %}{{ k }}={{ v }}{% endfor %}</call>"
    encoder = make_encoder(CHAT.replace("CALL", raw), lost_context="warn")
    result = encoder.encode([record_of(row('{"v": "' + escaped + '"}'))])[0]
    if escaped.endswith("im_end|>"):
        assert not isinstance(result, Drop), result
        end = encoder.probes.control.id_of("<|im_end|>")
        assert result[-1].input_ids.tolist().count(end) == 4  # those of the four messages
        assert "v=<|im_end|></call>" in encoder.decode(result[-1].input_ids.tolist())
    else:
        assert isinstance(result, Drop)
        assert result == Drop("unproven_mask", "turn 2: its text holds the private name of a control token")


def record_of(value: dict[str, Any]) -> Any:
    return to_record(value, format="messages", columns={}, system=None)


@pytest.mark.parametrize("name", sorted(SHARED))
def test_the_shared_tokenizers_agree_with_servers(shared: Path, name: str) -> None:
    folder = shared / "tokenizers" / name
    encoder = RecordEncoder(EncodeSettings(files=load_tokenizer(str(folder)), date=DATE))
    if encoder.probes.tool_turn is None:
        pytest.skip(f"the template of {name} writes no tool calls")
    case = Case(folder, "auto", SHARED[name])
    for arguments in SPELLED.values():
        value = row(arguments)
        result = case.encode(value)
        assert not isinstance(result, Drop), result
        assert case.oracle.judge(value, result) == []
