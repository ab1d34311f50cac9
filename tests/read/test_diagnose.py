from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from sftdata.cli.shared import config_of
from sftdata.config import SourceConfig
from sftdata.errors import SourceError
from sftdata.read import no_rows_error, plan_units, rows_of, suggest_fix

TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


@pytest.mark.parametrize(
    ("row", "mapping"),
    [
        ({"question": "q", "answer": "a"}, "{prompt: question, completion: answer}"),
        ({"id": "1", "Query": "q", "model_answer": "a"}, "{prompt: Query, completion: model_answer}"),
        (
            {"prompt": "q", "chosen": "a", "rejected": "b"},
            "{prompt: prompt, completion: chosen}, which does not use rejected",
        ),
        ({"dialog": TURNS}, "{messages: dialog}"),
        ({"x": {"turns": TURNS}}, "{messages: x.turns}"),
        (
            {"dialog": [{"speaker": "user", "text": "Who goes there?"}, {"speaker": "assistant", "text": "Me."}]},
            "{messages: dialog, role: speaker, content: text}",
        ),
        ({"id": 7, "qa": {"question": "q", "answer": "a"}}, "{prompt: qa.question, completion: qa.answer}"),
        ({"Frage: kurz": "q", "Antwort": "a"}, "{prompt: 'Frage: kurz', completion: Antwort}"),
        ({"问题": "q", "回答": "a"}, "{prompt: 问题, completion: 回答}"),
        (
            {"context": "c", "question": "q", "answer": "a"},
            "{instruction: question, input: context, output: answer}",
        ),
        ({"prompt": "q", "chosen": TURNS, "source": "web"}, "{messages: chosen}"),
        ({"user_id": "u", "input": "q", "output": "a"}, "{prompt: input, completion: output}"),
        (
            {"instruction": "i", "instances": [{"input": "", "output": "a"}]},
            "{instruction: instruction, input: instances.0.input, output: instances.0.output}",
        ),
    ],
)
def test_a_mapping_is_suggested_from_the_keys(row, mapping):
    sentence = suggest_fix(row)
    assert sentence.startswith(f"its rows have the keys {', '.join(row)}")
    assert sentence.endswith(f"columns: {mapping}")


REJECTED = [TURNS[0], {"role": "assistant", "content": "BAD"}]


@pytest.mark.parametrize(
    ("row", "advice"),
    [
        ({"rejected": REJECTED, "chosen": TURNS}, "map them with columns: {messages: chosen}"),
        ({"prompt": "q", "rejected": REJECTED, "chosen": TURNS, "messages": None}, "columns: {messages: chosen}"),
        ({"prompt": "q", "rejected": "BAD", "chosen": "a", "messages": None}, "{prompt: prompt, completion: chosen}"),
        (
            {"rejected": "\n\nHuman: q\n\nAssistant: BAD", "chosen": "\n\nHuman: q\n\nAssistant: a"},
            "set format: rendered and columns: {text: chosen} to",
        ),
        (
            {"question": "q", "incorrect_answer": "BAD", "correct_answer": "a"},
            "{prompt: question, completion: correct_answer}",
        ),
        (
            {"question": "q", "answerWrong": "BAD", "answer": "w", "bestAnswer": "a"},
            "{prompt: question, completion: bestAnswer}",
        ),
        ({"pair": {"rejected": REJECTED, "chosen": TURNS}}, "{messages: pair.chosen}"),
        ({"prompt": "q", "non-preferred": "BAD", "preferred": "a"}, "{prompt: prompt, completion: preferred}"),
        (
            {"question": "q", "distractor1": "BAD", "correct_answer": "a"},
            "{prompt: question, completion: correct_answer}",
        ),
    ],
)
def test_answers_that_are_worse_by_their_name_are_never_suggested(row, advice):
    assert f"{advice}, which does not use " in suggest_fix(row) or f"{advice} read " in suggest_fix(row)
    turned = dict(reversed(row.items()))  # whatever the order of the columns is
    assert f"{advice}, which does not use " in suggest_fix(turned) or f"{advice} read " in suggest_fix(turned)


@pytest.mark.parametrize("name", ["rejected", "badAnswer", "WRONG.output", "loser", "negative-response", "worse"])
def test_where_all_answers_are_worse_none_is_suggested(name):
    for value in ("BAD", REJECTED):
        sentence = suggest_fix({"question": "q", name: value})
        assert "columns" not in sentence
        assert sentence.endswith(
            f"{name} is not to be trained on, by its name, and no other column is plainly an answer"
        )


@pytest.mark.parametrize(
    ("row", "mapping"),
    [
        (
            {"id": "1", "context": "c", "question": "q", "answers": {"text": ["Denver"], "answer_start": [177]}},
            "{instruction: question, input: context, output: answers.text.0}",
        ),
        (
            {"id": "1", "context": "c", "question": "q", "answers": {"answer_start": [177], "text": ["Denver"]}},
            "{instruction: question, input: context, output: answers.text.0}",
        ),
        ({"question": "q", "answer_num": 3, "answer_text": "a"}, "{prompt: question, completion: answer_text}"),
        ({"question": "q", "answer": 3, "solution": "It is 3."}, "{prompt: question, completion: solution}"),
        ({"question": "q", "choices": ["x", "y"], "answer": 1, "response": "y"}, "{prompt: question, completion: res"),
        ({"question": "1 + 2?", "answer": 3}, "{prompt: question, completion: answer}"),  # there is no text
        ({"question": "q", "choices": ["x", "y"], "answer": "x it is"}, "{prompt: question, completion: answer}"),
    ],
)
def test_text_answers_and_numbers_only_where_there_is_none(row, mapping):
    assert f"columns: {mapping}" in suggest_fix(row)


@pytest.mark.parametrize(
    ("row", "answer", "choices"),
    [
        ({"history": "h", "human_ref_A": "a", "human_ref_B": "b", "labels": 1}, "labels", "human_ref_A, human_ref_B"),
        ({"question": "q", "choices": ["x", "y"], "answer": 1}, "answer", "choices"),
        ({"question": "q", "choices": "['x', 'y']", "subject": "s", "answer": "1"}, "answer", "choices"),
        ({"input": "q", "A": "a", "B": "b", "C": "c", "D": "d", "target": "A"}, "target", "A, B, C, D"),
        ({"goal": "q", "sol1": "a", "sol2": "b", "label": 0}, "label", "sol1, sol2"),
        ({"sentence": "q _", "option1": "a", "option2": "b", "answer": "2"}, "answer", "option1, option2"),
        ({"question": "q", "choices": {"text": ["x"], "label": ["A"]}, "answerKey": "A"}, "answerKey", "choices"),
        ({"ctx": "q", "endings": ["a", "b"], "label": "1"}, "label", "endings"),
        (
            {"conversation_a": TURNS, "conversation_b": TURNS, "winner": "model_b"},
            "winner",
            "conversation_a, conversation_b",
        ),
    ],
)
def test_a_number_or_a_letter_that_picks_one_of_the_choices_is_no_answer(row, answer, choices):
    assert suggest_fix(row).endswith(
        f"; {answer} says by a number or a letter which of {choices} answers; write the text of that answer"
    )


@pytest.mark.parametrize("name", ["answer_start", "answerIndex", "answer.idx", "label", "answer-score", "answer_id"])
def test_names_of_numbers_are_no_answers(name):
    assert "completion: " not in suggest_fix({"question": "q", name: 1})


@pytest.mark.parametrize(
    "data",
    [
        "what is 1+1?,2\nwhat is 2+2?,4\n",
        "Name the capital of France,Paris\nWhere is Rome?,In Italy\n".replace("Paris", "Paris."),
        "question one,answer one,1\nquestion two,answer two,2\n",
        "what is the answer to this one,an output\nand the answer to that,another output\n",
        '"Question: who?","Answer: me."\n"Question: where?","Answer: here."\n',
        "wer ist da?,3.5\nwer noch?,4.5\n",
    ],
)
def test_a_file_without_a_header_gets_no_mapping_of_its_first_row(tmp_path, data):
    file = tmp_path / "q.csv"
    file.write_text(data)
    sentence = error(file)
    assert "if it is a row, put a line with names above it, such as prompt,completion; if not, " in sentence
    assert "command line" not in sentence and "format: text" not in sentence


def test_a_question_among_the_names_does_not_hide_the_columns_with_plain_names(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("question,answer,Is it good?\nWho?,Me.,yes\n")
    assert "columns: {prompt: question, completion: answer}" in error(file)


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"message_id": "2", "parent_id": "1", "text": "Hi.", "role": "assistant"}, "parent_id"),
        ({"text": "Hi.", "role": "prompter"}, "role"),
        ({"chat": "7", "speaker": "User", "content": "Hi."}, "speaker"),
    ],
)
def test_a_row_for_each_message_is_not_trained_as_a_text_alone(row, column):
    assert suggest_fix(row).endswith(
        f"; each row seems to be one message, as {column} says; write those of a conversation into one row, "
        "as a list under messages"
    )


@pytest.mark.parametrize(
    ("row", "asks", "answers"),
    [
        ({"article": "Long.", "highlights": "Short.", "id": "1"}, "article", "highlights"),
        ({"summary": "Short.", "dialogue": "Long."}, "dialogue", "summary"),
        ({"translation": {"en": "Yes.", "fr": "Oui."}}, "translation.en", "translation.fr"),
    ],
)
def test_a_pair_of_texts_is_a_guess_with_paths_that_work(row, asks, answers):
    mapping = f"{{prompt: {asks}, completion: {answers}}}"
    assert suggest_fix(row).endswith(f"; if {asks} asks and {answers} answers, map them with columns: {mapping}")


def test_names_with_line_breaks_stay_on_one_line():
    sentence = suggest_fix({"my\nquestion": "q", "my\nanswer": "a", "my\tnote": "n"})
    assert sentence.endswith(
        r"""map them with columns: {prompt: "my\nquestion", completion: "my\nanswer"}, """
        r"""which does not use 'my\tnote'"""
    )


@pytest.mark.parametrize("row", [{"foo": "q", "bar": 2}, {"my\nkey": "q"}, {"data": {"a.b": "q", "c.d": "a"}}])
def test_where_nothing_is_plain_there_is_nothing_to_paste(row):
    assert suggest_fix(row).endswith(
        "; set columns to say which of them are the prompt and the completion, or hold messages; "
        "a dotted path such as data.answer names what is inside a column"
    )


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
        "map them with columns: {prompt: question, completion: answer} "
        "(on the command line: 'sources.0.columns={prompt: question, completion: answer}')"
    )
    file.write_text(json.dumps({"messages": []}, indent=2))
    assert "the first, a.jsonl:1, is bad_json" in error(file)
    assert "rename" not in error(file)  # under another name it has no conversation either
    file.write_text(json.dumps({"messages": TURNS}, indent=2))
    assert "rename it to end in .json" in error(file)
    file.write_text('\n{"messages": [{"role": "user", "content": "Hi"}]}\n')
    assert "a.jsonl:2, is no_answer" in error(file)
    file.write_text("\n\n")
    assert error(file).startswith(f"{file}: holds no rows")


def test_the_error_for_the_seed_tasks_says_what_to_map(shared):
    sentence = error(shared / "data" / "seed_tasks.jsonl")
    assert "keys id, name, instruction, instances, is_classification" in sentence
    assert "input: instances.0.input, output: instances.0.output" in sentence


def lines(file: Path, *rows: object) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_settings_that_take_the_first_of_several_items_are_not_suggested(tmp_path):
    pairs = [{"question": "Who?", "reply": "Me."}, {"question": "And?", "reply": "You."}]
    sentence = error(lines(tmp_path / "a.jsonl", {"qa": pairs[:1]}, {"qa": pairs}))
    assert "columns" not in sentence
    assert sentence.endswith(
        "qa holds several items; write one row for each, with the text of the question and the answer"
    )


def test_a_column_that_is_the_same_in_all_rows_is_no_question(tmp_path):
    rows = [{"input": "web", "problem": f"{number} + 1?", "solution": str(number + 1)} for number in range(3)]
    assert "columns: {prompt: problem, completion: solution}" in error(lines(tmp_path / "a.jsonl", *rows))


def test_names_that_say_nothing_are_left_to_the_owner(tmp_path):
    sentence = error(lines(tmp_path / "a.jsonl", {"id": "1", "x": "Who?", "y": "Me."}))
    assert "; if x asks and y answers, map them with columns: {prompt: x, completion: y} (" in sentence


def test_a_text_alone_is_trained_as_it_is_unless_it_is_a_rendered_chat(tmp_path):
    plain = error(lines(tmp_path / "a.jsonl", {"inhalt": "Es war einmal."}))
    assert "set format: text and columns: {text: inhalt} to train on the text as it is" in plain
    unclear = {"text": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYo<|im_end|> And more"}
    sentence = error(lines(tmp_path / "b.jsonl", unclear))
    assert "format: text" not in sentence and "text holds chats that a template was applied to" in sentence


def test_a_rendered_chat_in_any_column_is_read_back_where_that_can_be_proven(tmp_path):
    row = {"chat": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYo<|im_end|>\n"}
    assert "; set format: rendered and columns: {text: chat} to read" in error(lines(tmp_path / "a.jsonl", row))


def test_a_part_of_the_rows_is_named_with_its_number_and_the_keys_of_the_rest(tmp_path):
    file = lines(
        tmp_path / "a.jsonl", {"frage": "Wer?", "antwort": "Ich."}, {"x": 1}, {"frage": "Wo?", "antwort": "Da."}
    )
    sentence = error(file)
    assert "columns: {prompt: frage, completion: antwort} (fixes 2 of 3 such rows tried)" in sentence
    assert sentence.endswith("; other rows have the keys x")


@pytest.mark.parametrize(
    "row",
    [
        {"Frage: kurz": "Wer?", "Antwort, kurz": "Ich."},
        {"question's": "Who?", "answer#1": "Me."},
        {"input": "Who?", 'the "output"': "Me."},
        {"inhalt = alles": "Es war einmal."},
        {"qa.question": "Who?", "qa.answer": "Me."},
        {"data": {"question": "Who?", "answer": "Me."}},
        {"data": {"my q": "Who?", "my:a": "Me."}},
        {"my\nquestion": "Who?", "my\r\nanswer's": "Me."},
        {"prompt": {"text": "Who?"}, "completion": {"text": "Me."}},
        {"turns": [{"sender": "human", "msg": "Who goes there?"}, {"sender": "gpt", "msg": "Only me."}]},
    ],
)
def test_what_is_suggested_for_the_command_line_works_when_it_is_pasted(tmp_path, row):
    file = lines(tmp_path / "a.jsonl", row)
    command = error(file).partition(" (on the command line: ")[2].partition(")")[0]
    overrides = shlex.split(command)
    assert overrides
    config = config_of([str(file), *overrides], {"tokenizer": "t", "out": "o"})
    (source,) = config.sources
    assert [row.drop for unit in plan_units([source]) for row in rows_of(unit, source)] == [None]


def test_columns_that_are_mapped_the_wrong_way_round_are_turned_and_the_others_stay(tmp_path):
    file = lines(tmp_path / "a.jsonl", {"question": "q", "answer": "a"})
    with pytest.raises(SourceError, match=r"e\.g\. columns: \{prompt: question, completion: answer\}$"):
        plan_units([SourceConfig(path=str(file), columns={"question": "prompt", "completion": "answer"})])


def test_a_list_of_whole_rows_is_no_conversation(tmp_path):
    rows = [{"prompt": "Who?", "completion": "Me."}, {"prompt": "And?", "completion": "You."}]
    sentence = error(lines(tmp_path / "a.jsonl", {"data": rows}, {"data": rows[:1]}))
    assert sentence.endswith("; data holds whole rows; write each of them as a row of its own")


def test_rows_that_are_lists_of_turns_are_named_so(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text(f"{json.dumps(TURNS)}\n{json.dumps(TURNS)}\n")
    assert error(file).endswith("; its rows are lists of turns; write each as an object that has the list under "
                                'messages: {"messages": [...]}')  # fmt: skip
