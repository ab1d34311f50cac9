from __future__ import annotations

import json
from pathlib import Path

import pytest

from sftdata.config import SourceConfig
from sftdata.read import no_rows_error, plan_units, suggest_fix


@pytest.mark.parametrize(
    ("row", "mapping"),
    [
        ({"question": "q", "answer": "a"}, "{prompt: question, completion: answer}"),
        ({"id": "1", "Query": "q", "model_answer": "a"}, "{prompt: Query, completion: model_answer}"),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, "{prompt: prompt, completion: chosen}"),
        ({"dialog": [{"speaker": "x"}]}, "{messages: dialog}"),
        ({"x": {"turns": [{"role": "user", "content": "q"}]}}, "{messages: x.turns}"),
        (
            {"instruction": "i", "instances": [{"input": "", "output": "a"}]},
            "{instruction: instruction, input: instances.0.input, output: instances.0.output}",
        ),
        ({"foo": "q", "bar": 2}, "{prompt: KEY, completion: KEY} or {messages: KEY}"),
    ],
)
def test_a_mapping_is_suggested_from_the_keys(row, mapping):
    sentence = suggest_fix(row)
    assert sentence.startswith(f"its rows have the keys {', '.join(row)}")
    assert sentence.endswith(f"columns: {mapping}")


def test_plain_text_and_whole_columns_are_recognized():
    assert "format: text" in suggest_fix({"text": "Once."})
    assert "lines=True" in suggest_fix({"prompt": {"0": "q", "1": "r"}, "completion": {"0": "a", "1": "b"}})
    assert "as an object" in suggest_fix(["q", "a"])


def error(file: Path, **settings: object) -> str:
    source = SourceConfig(path=str(file), **settings)
    return str(no_rows_error(plan_units([source]), source))


def test_the_error_names_the_source_and_the_problem_of_its_first_row(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"question": "q", "answer": "a"}\n')
    assert error(file) == (
        f"{file}: none of its rows is a conversation; its rows have the keys question, answer; "
        "map them with columns: {prompt: question, completion: answer}"
    )
    file.write_text(json.dumps({"messages": []}, indent=2))
    assert "the first, a.jsonl:1, is bad_json" in error(file)
    assert "rename it to end in .json" in error(file)
    file.write_text('\n{"messages": [{"role": "user", "content": "Hi"}]}\n')
    assert "a.jsonl:2, is no_answer" in error(file)
    file.write_text("\n\n")
    assert error(file).startswith(f"{file}: holds no rows")


def test_the_error_for_the_seed_tasks_says_what_to_map(shared):
    sentence = error(shared / "data" / "seed_tasks.jsonl")
    assert "keys id, name, instruction, instances, is_classification" in sentence
    assert "input: instances.0.input, output: instances.0.output" in sentence
