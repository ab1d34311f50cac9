"""The harness of `make zoo` works: on templates of this repository, and on samples that were spoilt."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from zoo_chats import CHATS, row_of
from zoo_measure import DATE, Animal, Outcome, with_setting
from zoo_oracle import TextOracle
from zoo_report import document, totals

from sftdata.encode.record_encoder import RecordEncoder
from sftdata.read.formats.convert import to_record
from sftdata.records.record import Record

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
PLAIN = ("single turn", "with system", "multi-turn", "empty system")
WITH_CALLS = ("a call", "call, result", "call, result, answer", "parallel calls", "two rounds of tools")
# The end of each assistant turn is left out of the last one, as GLM and Apertus do.
LATE_END = (
    "{% for message in messages %}"
    "{% if not loop.first and messages[loop.index0 - 1]['role'] == 'assistant' %}{{ '<|im_end|>' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] }}"
    "{% if message['role'] != 'assistant' %}{{ '<|im_end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes an animal of a template of this repository; made once."""
    made: dict[str, Animal] = {}

    def make(name: str) -> Animal:
        if name not in made:
            template = (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")
            made[name] = Animal(f"own-{name}", template, tmp_path_factory.mktemp("zoo"))
        return made[name]

    return make


def samples_of(animal: Animal, kind: str) -> list[Any]:
    """The encoder's samples of a kind."""
    record = to_record(row_of(kind), format="messages", columns={}, system=None)
    assert isinstance(record, Record) and animal.encoder is not None
    result = animal.encoder.encode([record])[0]
    assert isinstance(result, list)
    return result


def spoilt(sample: Any, **changed: Any) -> list[Any]:
    """A sample with other ids or labels."""
    return [SimpleNamespace(**{**sample._asdict(), **changed})]


def test_there_are_18_kinds_of_conversation() -> None:
    assert len(CHATS) == 18


@pytest.mark.parametrize(("name", "kinds"), [("chatml", PLAIN), ("qwen3", (*PLAIN, *WITH_CALLS)), ("gpt-oss", PLAIN)])
def test_what_a_template_writes_is_trained_and_right(zoo: Any, name: str, kinds: tuple[str, ...]) -> None:
    for kind in kinds:
        outcome = zoo(name).outcome(kind)
        assert (kind, outcome.writes_every_field, outcome.trained, outcome.wrong) == (kind, True, outcome.answers, [])


@pytest.mark.parametrize(("kind", "reason"), [("a call", "template_error"), ("reasoning, last turn", "lost_field")])
def test_what_a_template_does_not_write_is_refused_with_its_reason(zoo: Any, kind: str, reason: str) -> None:
    outcome = zoo("chatml").outcome(kind)
    assert (outcome.writes_every_field, outcome.trained, outcome.reason) == (False, 0, reason)


def test_what_a_refusal_names_is_applied_and_judged(zoo: Any) -> None:
    outcome = zoo("chatml").outcome("reasoning, last turn", ways=True)
    assert outcome.way.startswith("reasoning=") and outcome.way_trains and outcome.way_wrong == []


@pytest.mark.parametrize(
    ("name", "kind", "way"),
    [
        ("chatml", "parallel calls", "tool_calls=inline"),
        ("chatml", "reasoning and a call", "tool_calls=inline reasoning=inline"),
        ("gemma2", "tools, none used", "tool_calls=inline"),
    ],
)
def test_calls_as_text_are_judged_as_text(zoo: Any, name: str, kind: str, way: str) -> None:
    outcome = zoo(name).outcome(kind, ways=True)
    assert (outcome.way, outcome.way_trains, outcome.way_wrong) == (way, True, [])


def test_spoilt_samples_of_calls_as_text_are_wrong(zoo: Any) -> None:
    animal, row = zoo("chatml"), row_of("parallel calls")
    record = to_record(row, format="messages", columns={}, system=None)
    assert isinstance(record, Record)
    (sample,) = RecordEncoder(with_setting(animal.settings, "tool_calls", "inline")).encode([record])[0]
    oracle = TextOracle(animal.folder, animal.family.stops, None, DATE)
    labels, other = sample.labels.copy(), sample.input_ids.copy()
    labels[next(i for i, label in enumerate(labels) if label != -100)] = -100  # the first token of the calls
    other[3] = other[4]  # in the tools
    assert oracle.verdict(row, [sample]).problems == []
    for changed in ({"labels": labels}, {"input_ids": other}, {"turns": (1,)}):
        assert oracle.verdict(row, spoilt(sample, **changed)).problems != []
    assert animal.oracle.verdict(row, [sample]).problems != []  # as calls that the template writes


def test_spoilt_samples_are_wrong(zoo: Any) -> None:
    animal, row = zoo("qwen3"), row_of("with system")
    (sample,) = samples_of(animal, "with system")
    ids, labels = sample.input_ids.copy(), sample.labels.copy()
    first = next(i for i, label in enumerate(labels) if label != -100)
    last = max(i for i, label in enumerate(labels) if label != -100)
    assert animal.oracle.verdict(row, [sample]).problems == []
    early, late, unended, other = labels.copy(), labels.copy(), labels.copy(), ids.copy()
    early[first - 1] = ids[first - 1]  # the header is trained
    late[first] = -100  # the first token of the answer is not
    unended[last] = -100  # the end of turn is not
    other[1] = ids[2]  # the prompt is another
    for changed in ({"labels": early}, {"labels": late}, {"labels": unended}, {"input_ids": other}):
        assert animal.oracle.verdict(row, spoilt(sample, **changed)).problems != []


def test_an_end_that_only_the_next_turn_brings_is_part_of_the_answer(tmp_path: Path) -> None:
    animal = Animal("own-chatml", LATE_END, tmp_path)
    form = next(animal.oracle.all_forms(row_of("single turn")["messages"]))
    (turn,), problems = animal.oracle.provable(form, None, [1])
    assert (turn.completion, problems) == ("The rise and fall of the sea.<|im_end|>", [])


def test_the_document_has_the_figures_of_every_template(zoo: Any) -> None:
    kinds = ("single turn", "reasoning, last turn")
    outcomes = {"own-chatml": [zoo("chatml").outcome(kind) for kind in kinds]}
    assert {key: number for key, number in totals(outcomes).items() if number} == {
        "conversations": 2,
        "trained": 1,
        "every field written": 1,
        "of these trained": 1,
        "trained with the named": 1,
    }
    text = document(outcomes)
    assert "| conversations whose every field the template writes | 1 |" in text
    assert "| own-chatml (" not in text
    assert "| own-chatml | 1 | 1 | 1 | **lost_field: reasoning_content**: reasoning, last turn |" in text


def test_the_document_says_why_what_is_written_is_not_trained() -> None:
    why = "turn 2: the template writes the conversation before it differently once it is answered"
    refused = Outcome("single turn", writes_every_field=True, reason="unproven_mask", detail=why)
    other = Outcome("single turn", writes_every_field=True, reason="unproven_mask", detail="turn 2: it is <odd>")
    text = document(
        {"a": [refused, refused], "b": [refused, Outcome("multi-turn", writes_every_field=True, trained=1)]}
    )
    assert "Another template trains it, or reasoning in the data | 3 | a (2), b (1) |" in text
    assert "| unproven_mask: it is \\<odd> | 1 | c (1) |" in document({"c": [other]})
