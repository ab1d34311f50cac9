"""Ids of tool calls: found out from the template, made on demand, and named where they are why a row is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import few_examples

from sftdata.encode.call_ids import CallIds, find_call_ids, with_call_ids
from sftdata.encode.record_encoder import RecordEncoder
from sftdata.encode.stats import CHANGES, EncodingStats
from sftdata.encode.ways_out import find_ways_out
from sftdata.records.record import Drop, Message, Record, ToolCall

CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ RESULT }}{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}CALL{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if tools %}{% endif %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
JSON = "<call>{{ c.function.arguments if c.function.arguments is string else c.function.arguments | tojson }}</call>"
RETURN = "'## Return of ' ~ m.tool_call_id ~ '\n' if m.role == 'tool' else ''"
CHECK = "{% if c.id is not defined or c.id | length TEST %}{{ raise_exception('ids have nine characters') }}{% endif %}"


def template(call: str, result: str = "''") -> str:
    return CHAT.replace("CALL", call).replace("RESULT", result)


# What the publishers write: Kimi K2 at first, then with numbers of its own for calls, then for results too; Mistral;
# vLLM's for Mistral, which cuts ids; Solar; Qwen, which writes none.
TEMPLATES = {
    "kimi": (template("<c>{{ c.id }}</c>" + JSON, RETURN), CallIds("named")),
    "kimi, own numbers": (
        template("<c>functions.{{ c.function.name }}:{{ loop.index0 }}</c>" + JSON, RETURN),
        CallIds("named", restarts=True),
    ),
    "kimi, own ids": (template("<c>functions.{{ c.function.name }}:{{ loop.index0 }}</c>" + JSON), CallIds("")),
    "mistral": (
        template(CHECK.replace("TEST", "!= 9") + "{{ c.function.name }}" + JSON + "{{ c.id }}", RETURN),
        CallIds("nine"),
    ),
    "vllm's mistral": (
        template(CHECK.replace("TEST", "< 9") + "{{ c.function.name }}" + JSON + "{{ c.id[-9:] }}", RETURN),
        CallIds("long"),
    ),
    "solar": (template("{{ c.id + c.function.name }}" + JSON, RETURN), CallIds("any")),
    "qwen": (template("{{ c.function.name }}" + JSON), CallIds("")),
}


def chat(*ids: str | None, results: tuple[str | None, ...] | None = None) -> Record:
    """Two rounds of tools, of which the first makes two calls."""
    own = ids if results is None else results
    calls = [ToolCall(name=name, arguments={"at": at}, id=id_) for at, (name, id_) in enumerate(zip("aba", ids))]
    return Record(
        (
            Message("user", "?"),
            Message("assistant", None, tool_calls=(calls[0], calls[1])),
            Message("tool", "one", tool_call_id=own[0]),
            Message("tool", "two", tool_call_id=own[1]),
            Message("assistant", "And."),
            Message("user", "?"),
            Message("assistant", None, tool_calls=(calls[2],)),
            Message("tool", "three", tool_call_id=own[2]),
            Message("assistant", "Done."),
        )
    )


def ids_of(record: Record) -> list[str | None]:
    return [call.id for message in record.messages for call in message.tool_calls]


def results_of(record: Record) -> list[str | None]:
    return [message.tool_call_id for message in record.messages if message.role == "tool"]


@pytest.mark.parametrize("kind", sorted(TEMPLATES))
def test_what_a_template_asks_of_ids_is_found_out(make_encoder: Callable[..., RecordEncoder], kind: str) -> None:
    source, expected = TEMPLATES[kind]
    assert find_call_ids(make_encoder(source).probes) == expected


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("kimi", ["functions.a:0", "functions.b:1", "functions.a:2"]),
        ("kimi, own numbers", ["functions.a:0", "functions.b:1", "functions.a:0"]),
        ("kimi, own ids", ["call_1", "call_2", "call_3"]),
        ("vllm's mistral", None),
        ("mistral", None),
        ("solar", ["call_1", "call_2", "call_3"]),
        ("qwen", ["call_1", "call_2", "call_3"]),
    ],
)
def test_ids_are_made_in_the_form_that_the_template_demands(
    make_encoder: Callable[..., RecordEncoder], kind: str, made: list[str] | None
) -> None:
    found, count = with_call_ids(chat("call_1", "call_2", "call_3"), make_encoder(TEMPLATES[kind][0]).probes)
    ids = ids_of(found)
    if made is None:
        assert all(re.fullmatch("[0-9A-Za-z]{9}", str(id_)) for id_ in ids)
        assert len({*ids}) == 3
    else:
        assert ids == made
    assert results_of(found) == ids
    assert count == sum(new != old for new, old in zip(ids, ("call_1", "call_2", "call_3")))


def test_ids_that_fit_stay_and_the_same_conversation_gets_the_same_ids(
    make_encoder: Callable[..., RecordEncoder],
) -> None:
    probes = make_encoder(TEMPLATES["mistral"][0]).probes
    found, count = with_call_ids(chat("D681PevKs", None, "call_3"), probes)
    assert ids_of(found)[0] == "D681PevKs"
    assert count == 2
    assert with_call_ids(chat("D681PevKs", None, "call_3"), probes) == (found, 2)
    assert with_call_ids(found, probes) == (found, 0)


def test_an_id_has_the_number_that_the_template_writes_itself(make_encoder: Callable[..., RecordEncoder]) -> None:
    probes = make_encoder(TEMPLATES["kimi, own numbers"][0]).probes
    found, count = with_call_ids(chat("functions.a:0", "functions.b:7", "functions.a:2"), probes)
    assert ids_of(found) == results_of(found) == ["functions.a:0", "functions.b:1", "functions.a:0"]
    assert count == 2


def test_a_result_gets_the_id_of_its_call(make_encoder: Callable[..., RecordEncoder]) -> None:
    probes = make_encoder(TEMPLATES["kimi"][0]).probes
    swapped, _ = with_call_ids(chat("x", "y", "z", results=("y", "x", "z")), probes)
    assert results_of(swapped) == ["functions.b:1", "functions.a:0", "functions.a:2"]
    without, _ = with_call_ids(chat(None, None, None), probes)
    assert results_of(without) == ["functions.a:0", "functions.b:1", "functions.a:2"]
    messages = chat(None, None, None).messages
    named = Record((*messages[:2], messages[2]._replace(name="b"), messages[3]._replace(name="a"), *messages[4:]))
    assert results_of(with_call_ids(named, probes)[0]) == ["functions.b:1", "functions.a:0", "functions.a:2"]


_IDS = st.sampled_from([None, "call_1", "x", "D681PevKs", "functions.a:0", "toolu_01A09q90qw90lq917835lq9"])
_ROUNDS = st.lists(st.lists(st.tuples(st.sampled_from("ab"), _IDS), min_size=1, max_size=3), min_size=1, max_size=3)


@few_examples(60)
@given(_ROUNDS, st.sampled_from(["kimi", "kimi, own numbers", "mistral", "vllm's mistral", "solar"]), st.booleans())
def test_all_calls_get_fitting_ids_and_all_results_those_of_their_round(
    make_encoder: Callable[..., RecordEncoder], rounds: list[list[tuple[str, str | None]]], kind: str, backwards: bool
) -> None:
    probes = make_encoder(TEMPLATES[kind][0]).probes
    messages = []
    for calls in rounds:
        made = tuple([ToolCall(name=name, arguments="{}", id=id_) for name, id_ in calls])
        results = [Message("tool", "r", tool_call_id=id_, name=name) for name, id_ in calls]
        messages += [Message("user", "?"), Message("assistant", None, tool_calls=made)]
        messages += results[::-1] if backwards else results
    found, _ = with_call_ids(Record(tuple(messages)), probes)
    assert with_call_ids(found, probes) == (found, 0)
    own: list[tuple[str, str | None]] = []
    for message in found.messages:
        if message.tool_calls:
            assert all(call.id for call in message.tool_calls)
            own = [(call.name, call.id) for call in message.tool_calls]
        if message.role == "tool":
            assert message.tool_call_id in [id_ for _, id_ in own]


@pytest.mark.parametrize("kind", ["kimi", "mistral", "vllm's mistral"])
def test_a_refusal_for_ids_names_the_setting_and_the_setting_trains_the_row(
    make_encoder: Callable[..., RecordEncoder], kind: str
) -> None:
    source, record = TEMPLATES[kind][0], chat("call_1", "call_2", "call_3")
    encoder = make_encoder(source)
    result = encoder.encode([record])[0]
    assert isinstance(result, Drop)
    assert result.reason in ("template_error", "lost_field")
    assert "the call of 'a' has 'call_1'; tool_call_ids: make makes such ids" in (result.detail or "")
    stats = EncodingStats()
    stats.add_examples(result.reason, [("0", record.to_json().decode(), 0)])
    ways = find_ways_out(stats, encoder.settings)
    assert ways == {result.reason: "tool_call_ids=make trains 1 of 1 of them that were tried"}
    maker = make_encoder(source, tool_call_ids="make")
    samples = maker.encode([record])[0]
    assert not isinstance(samples, Drop), samples
    assert maker.notes[CHANGES, "made_call_ids"] == 3


@pytest.mark.parametrize("backend", ["tokenizers"])
def test_ids_that_a_template_writes_in_place_of_names_are_trained_as_they_are(
    make_encoder: Callable[..., RecordEncoder], backend: Any
) -> None:
    encoder = make_encoder(TEMPLATES["kimi"][0], backend=backend)
    record = chat("functions.a:0", "functions.b:1", "functions.a:0")
    samples = encoder.encode([record])[0]
    assert not isinstance(samples, Drop), samples
    text = encoder.decode(samples[-1].input_ids.tolist())
    assert '<c>functions.a:0</c><call>{"at": 0}</call><c>functions.b:1</c><call>{"at": 1}</call><|im_end|>' in text
    assert "## Return of functions.b:1\ntwo" in text


def test_a_call_before_a_trained_turn_is_lost_without_its_name(make_encoder: Callable[..., RecordEncoder]) -> None:
    """Its name is in the tools of the prompt too, and a row of the same shape was trained before."""
    encoder = make_encoder("{{ tools | tojson if tools else '' }}" + TEMPLATES["kimi"][0])
    tools = tuple({"type": "function", "function": {"name": name, "description": "d"}} for name in "ab")
    good, bad = (
        Record(tuple(m._replace(train=False) if m.tool_calls else m for m in one.messages), tools)
        for one in (chat("functions.a:0", "functions.b:1", "functions.a:2"), chat("x1", "x2", "x3"))
    )
    first, second = encoder.encode([good, bad])
    assert not isinstance(first, Drop), first
    assert isinstance(second, Drop)
    assert second.reason == "lost_field"
