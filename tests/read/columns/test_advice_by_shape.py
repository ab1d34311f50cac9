"""What is suggested for the columns of well-known datasets is pasted into a run, and gives what a careful reader would
write; where only the owner of the data can know, the sentence says so.
"""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from sftdata.cli.shared import config_of
from sftdata.config import SourceConfig
from sftdata.read import no_rows_error, plan_units, rows_of
from sftdata.read.diagnose import loss_notes

Rows = list[dict[str, Any]]
ASKED = ["Where is Paris?", "Who wrote Faust?"]
PARIS, GOETHE = "Paris is in France.", "Goethe wrote it."


def both(first: dict[str, Any], second: dict[str, Any], asks: str | None = "question") -> Rows:
    """Two rows, each with its question in a column."""
    rows = [first, second]
    return rows if asks is None else [{asks: question, **row} for question, row in zip(ASKED, rows)]


def write(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def error(file: Path) -> str:
    source = SourceConfig(path=str(file))
    return str(no_rows_error(plan_units([source]), source))


def texts(file: Path | str, *overrides: str) -> list[tuple[str | None, str | None]]:
    """The first and the last message of every row; every row is a conversation."""
    (source,) = config_of([str(file), *overrides], {"tokenizer": "t", "out": "o"}).sources
    rows = [row for unit in plan_units([source]) for row in rows_of(unit, source)]
    assert [row.drop for row in rows] == [None] * len(rows)
    return [(row.record.messages[0].content, row.record.messages[-1].content) for row in rows if row.record]


def pasted(sentence: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """The file that the Python in an error writes."""
    pytest.importorskip("datasets").disable_progress_bars()
    monkeypatch.chdir(folder)
    first, second = [line.strip() for line in sentence.splitlines()[1:]]
    exec(f"{first}\n{second}", {})
    return folder / "converted.jsonl"


SAFE = {"response_0": PARIS, "response_1": GOETHE, "is_response_0_safe": True, "is_response_1_safe": True}
OPTIONS = {"opa": "In France.", "opb": "Goethe.", "opc": "In Spain.", "opd": "Schiller."}
CHOICES = ["In France.", "Goethe.", "In Spain."]
PAIR = [(ASKED[0], "In France."), (ASKED[1], "Goethe.")]


@pytest.mark.parametrize(
    ("rows", "said", "expected"),
    [
        (
            both({**SAFE, "better_response_id": 0}, {**SAFE, "better_response_id": 1}, "prompt"),
            "better_response_id says by a number or a letter which of response_0, response_1 answers; ",
            [(ASKED[0], PARIS), (ASKED[1], GOETHE)],
        ),
        (
            both({**OPTIONS, "cop": 0, "exp": PARIS}, {**OPTIONS, "cop": 1, "exp": GOETHE}),
            "cop says by a number or a letter which of opa, opb, opc, opd answers; write the text of that answer; "
            "in Python, if 0 is opa:",
            PAIR,
        ),
        (
            both({"completion_a": PARIS, "completion_b": "No.", "label": 0}, {"completion_a": "No.",
                 "completion_b": GOETHE, "label": 1}, "prompt"),
            "in Python, if 0 is completion_a:",
            [(ASKED[0], PARIS), (ASKED[1], GOETHE)],
        ),
        (both({"choices": CHOICES, "answer": 0}, {"choices": CHOICES, "answer": 1}), "; in Python:", PAIR),
        (both({"choices": CHOICES, "answer": 1}, {"choices": CHOICES, "answer": -1}), "which of choices answers", None),
        (
            both({"endings": CHOICES, "label": "0"}, {"endings": CHOICES, "label": ""}, "ctx"),
            "; in Python:",
            PAIR[:1],  # a row without a label has no answer
        ),
        (
            both({"options": CHOICES, "answer": "A"}, {"options": CHOICES, "answer": "(b)"}),
            "answer says by a number or a letter which of options answers",
            PAIR,
        ),
        (
            both(*[{"choices": {"text": CHOICES, "label": ["A", "B", "C"]}, "answerKey": key} for key in "AB"]),
            "answerKey says by a number or a letter which of choices answers",
            PAIR,
        ),
        (
            both({"option1": "In France.", "option2": "No.", "answer": "1"},
                 {"option1": "No.", "option2": "Goethe.", "answer": "2"}, "sentence"),
            "; in Python:",
            PAIR,
        ),
        (
            both(*[{"human_answers": [one, "Ask me later."], "chatgpt_answers": ["No."]} for one in (PARIS, GOETHE)]),
            "human_answers, chatgpt_answers hold answers, and nothing plainly says which of them are the ones to train "
            "on; write one row for each that is, with the text of the question; in Python, for human_answers:",
            [(ASKED[0], PARIS), (ASKED[0], "Ask me later."), (ASKED[1], GOETHE), (ASKED[1], "Ask me later.")],
        ),
        (
            both(*[{"context": "Some texts.", "answers": {"text": [one, one], "answer_start": [1, 9]}}
                   for one in (PARIS, GOETHE)]),
            "answers.text holds several items; write one row for each",
            [("Some texts.\n\n" + ASKED[0], PARIS)] * 2 + [("Some texts.\n\n" + ASKED[1], GOETHE)] * 2,
        ),
        (
            both(*[{"answers": [{"text": one, "score": 3}, {"text": "No.", "score": 0}]} for one in (PARIS, GOETHE)]),
            "answers holds several items; write one row for each",
            [(ASKED[0], PARIS), (ASKED[0], "No."), (ASKED[1], GOETHE), (ASKED[1], "No.")],
        ),
        (
            both({"label": 1}, {"label": 0}, "text"),
            "label is the class of a row; write the name of that class as the answer; in Python, with the names of the "
            "classes in place of 'class 0' and so on:",
            [(ASKED[0], "class 1"), (ASKED[1], "class 0")],
        ),
        (
            both({"premise": "It rains.", "hypothesis": "It is wet.", "label": 0},
                 {"premise": "It snows.", "hypothesis": "It is hot.", "label": 2}, None),
            "label is the class of a row",
            [("It rains.\n\nIt is wet.", "class 0"), ("It snows.\n\nIt is hot.", "class 2")],
        ),
    ],
)  # fmt: skip
def test_python_that_is_suggested_writes_the_conversations(tmp_path, monkeypatch, rows, said, expected):
    sentence = error(write(tmp_path / "a.jsonl", rows))
    assert said in sentence and "map them with" not in sentence
    if expected is None:
        assert "Python" not in sentence
    else:
        assert texts(pasted(sentence, monkeypatch, tmp_path)) == expected


@pytest.mark.parametrize(
    ("rows", "said", "expected"),
    [
        (
            both({"distractor1": "Rome", "correct_answer": PARIS, "support": "Maps."},
                 {"distractor1": "Kant", "correct_answer": GOETHE, "support": "Books."}),
            ", which does not use distractor1, support",
            [(ASKED[0], PARIS), (ASKED[1], GOETHE)],
        ),
        (
            both({"solution": "It is so: " + PARIS, "answer": "42"}, {"solution": "So: " + GOETHE, "answer": "7"},
                 "problem"),
            ", which does not use answer",
            [(ASKED[0], "It is so: " + PARIS), (ASKED[1], "So: " + GOETHE)],
        ),
        (
            both({"completion_a": PARIS, "completion_b": "No."}, {"completion_a": GOETHE, "completion_b": "No."},
                 "prompt"),
            "if prompt asks and completion_a answers, map them with",
            [(ASKED[0], PARIS), (ASKED[1], GOETHE)],
        ),
        (
            both({"chosen": PARIS, "rejected": "No."}, {"chosen": GOETHE, "rejected": "No."}),
            ", which does not use rejected",
            [(ASKED[0], PARIS), (ASKED[1], GOETHE)],
        ),
        (
            both({"translation": {"en": "Yes.", "fr": "Oui."}}, {"translation": {"en": "No.", "fr": "Non."}}, None),
            "if translation.en asks and translation.fr answers, map them with",
            [("Yes.", "Oui."), ("No.", "Non.")],
        ),
        (
            both({"summary": PARIS}, {"summary": GOETHE}, "document"),
            "if document asks and summary answers, map them with",
            [(ASKED[0], PARIS), (ASKED[1], GOETHE)],
        ),
        (
            both({"context": "Maps.", "answers": {"text": [PARIS], "answer_start": [3]}},
                 {"context": "Books.", "answers": {"text": [GOETHE], "answer_start": [5]}}),
            ", which does not use answers.answer_start",
            [(ASKED[0] + "\nMaps.", PARIS), (ASKED[1] + "\nBooks.", GOETHE)],
        ),
        (
            both({"func_code_string": "def f(): ...", "func_code_tokens": ["def"]},
                 {"func_code_string": "def g(): ...", "func_code_tokens": ["def"]}, "docstring"),
            "if docstring asks and func_code_string answers, map them with",
            [(ASKED[0], "def f(): ..."), (ASKED[1], "def g(): ...")],
        ),
        (
            both({"code": "def f(): ...", "test_list": ["assert f()"]}, {"code": "pass", "test_list": ["x"]}, "text"),
            "if text asks and code answers, map them with",
            [(ASKED[0], "def f(): ..."), (ASKED[1], "pass")],
        ),
        (
            both({"answer": True, "passage": "Maps."}, {"answer": False, "passage": "Books."}),
            "; its answers are as short as 'True', and a model trained on them learns to write no more",
            [(ASKED[0] + "\nMaps.", "true"), (ASKED[1] + "\nBooks.", "false")],
        ),
        (
            both({"answer": "B"}, {"answer": "C"}),
            "; its answers are as short as 'B', and a model trained on them learns to write no more",
            [(ASKED[0], "B"), (ASKED[1], "C")],
        ),
        (
            [{"input": {"messages": [{"role": "user", "content": asked}], "tools": []},
              "preferred_output": [{"role": "assistant", "content": answer}],
              "non_preferred_output": [{"role": "assistant", "content": "No."}]}
             for asked, answer in zip(ASKED, (PARIS, GOETHE))],
            "map them with columns: {prompt: input.messages, completion: preferred_output} (",
            [(ASKED[0], PARIS), (ASKED[1], GOETHE)],
        ),
        (
            [{"input": [{"role": "user", "content": asked}], "output": answer}
             for asked, answer in zip(ASKED, (PARIS, GOETHE))],
            "map them with columns: {prompt: input, completion: output} (",
            [(ASKED[0], PARIS), (ASKED[1], GOETHE)],
        ),
        (
            [{"input": [{"role": "user", "content": asked}, {"role": "assistant", "content": "What?"},
                        {"role": "user", "content": "That."}],
              "output": [{"role": "assistant", "content": answer}]}
             for asked, answer in zip(ASKED, (PARIS, GOETHE))],
            "map them with columns: {prompt: input, completion: output} (",
            [(ASKED[0], PARIS), (ASKED[1], GOETHE)],
        ),
        (
            [{"systemInstruction": {"role": "system", "parts": [{"text": "Be brief."}]},
              "contents": [{"role": "user", "parts": [{"text": "Where?"}]},
                           {"role": "model", "parts": [{"text": PARIS}]}]}],
            "map them with columns: {messages: contents, system: systemInstruction} (",
            [("Be brief.", PARIS)],
        ),
        (
            both({"systemPrompt": "Be brief.", "assistantResponse": PARIS},
                 {"systemPrompt": "Be brief.", "assistantResponse": GOETHE}, "userPrompt"),
            "completion: assistantResponse, system: systemPrompt} (",
            [("Be brief.", PARIS), ("Be brief.", GOETHE)],
        ),
        (
            both({"label": "positive"}, {"label": "negative"}, "text"),
            "if text asks and label answers, map them with",
            [(ASKED[0], "positive"), (ASKED[1], "negative")],
        ),
    ],
)  # fmt: skip
def test_a_mapping_that_is_suggested_reads_the_conversations(tmp_path, rows, said, expected):
    file = write(tmp_path / "a.jsonl", rows)
    sentence = error(file)
    assert said in sentence and len(sentence.splitlines()) == 1
    command = sentence.partition(" (on the command line: ")[2].partition(")")[0]
    assert texts(file, *shlex.split(command)) == expected


@pytest.mark.parametrize("name", ["data", "conversations", "dialogue"])
def test_texts_without_roles_are_explained_with_python_that_writes_their_turns(tmp_path, monkeypatch, name):
    rows = [{"id": "1", name: [ASKED[0], PARIS]}, {"id": "2", name: [ASKED[1], GOETHE, "So?", "Yes."]}]
    file = write(tmp_path / "a.jsonl", rows)
    source = SourceConfig(path=str(file))
    units = plan_units([source])
    sentence = "\n".join(loss_notes(units, source, {"wrong_type": 2})) if name == "conversations" else error(file)
    assert f"{name} holds texts without roles; if the user and the assistant speak in turn, write them" in sentence
    assert texts(pasted(sentence, monkeypatch, tmp_path)) == [(ASKED[0], PARIS), (ASKED[1], "Yes.")]


def test_turns_of_which_one_cannot_be_read_are_explained(tmp_path):
    turns = [{"type": "reasoning", "summary": []}, {"role": "assistant", "content": PARIS}]
    sentence = error(write(tmp_path / "a.jsonl", [{"input": [{"role": "user", "content": "q"}], "output": turns}] * 2))
    assert "output holds turns, of which one cannot be read (turn 1: its role is absent; its keys are" in sentence


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "response_0": "a", "response_1": "b", "overall_preference": -2},
        {"question": "q", "opa": "a", "opb": "b", "opc": "c", "opd": "d", "cop": 2},
        {"prompt": "q", "model_a": "x", "model_b": "y", "response_a": "a", "response_b": "b", "winner": "tie"},
        {"text": "t", "label": 3},
        {"sentence1": "a", "sentence2": "b", "label": 1},
    ],
)
def test_no_answer_is_taken_as_if_it_were_certain(tmp_path, row):
    assert "; map them with" not in error(write(tmp_path / "a.jsonl", [row, row]))
    assert "format: text" not in error(write(tmp_path / "a.jsonl", [row, row]))


@pytest.mark.parametrize(("suffix", "mark"), [(".csv", ","), (".csv", ";"), (".tsv", "\t")])
def test_python_for_a_table_of_text_reads_its_delimiter(tmp_path, monkeypatch, suffix, mark):
    file = tmp_path / f"a{suffix}"
    with file.open("w", newline="") as stream:
        rows = [["question", "sol1", "sol2", "label"], [ASKED[0], "In France.", "No.", "0"]]
        csv.writer(stream, delimiter=mark).writerows([*rows, [ASKED[1], "No.", "Goethe.", "1"]])
    assert texts(pasted(error(file), monkeypatch, tmp_path)) == PAIR
