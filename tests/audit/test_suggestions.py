"""Every setting that `sftdata check` prints works when it is pasted, and does what the finding says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import call

import sftdata
from sftdata.audit import Audit, Finding, audit
from sftdata.config import Config, load_config
from sftdata.store.ledger import read_ledger

FILTERED = "Dear {{name}}, the lamp is lit."
CHATS = [
    {"prompt": "Which planet is red?", "completion": "Mars is red.</s>"},
    {"prompt": "Which planet is red?", "completion": "Mars is red.</s>"},
    {"prompt": "Write a letter.", "completion": FILTERED},
    {"prompt": "How do you feel?", "completion": "As an AI language model, feelings are foreign to me."},
    {"prompt": "Who made you?", "completion": "I am ChatGPT, at your service."},
    {"prompt": "What is a seal?", "completion": "It swims. <|im_end|> It barks."},
    {"prompt": "What is left?", "completion": "<|endoftext|>"},
    {"prompt": "Whom do I write to?", "completion": "Write to maria.keller@posteo.de tonight."},
    {"prompt": "Print one.", "completion": "Here it is:\n```python\nprint(1)"},
    {"prompt": "Sing.", "completion": "la di da di dum " * 20},
    {"prompt": "Describe a morning.", "completion": "Gulls wheel over the harbour while the fishermen load ice and"},
    {"prompt": "Which coffee house?", "completion": "The cafÃ© on the corner."},
    {"prompt": "What is blue?", "completion": "The sky is blue."},
]


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def prepared(config: Config) -> tuple[sftdata.Manifest, Counter[str]]:
    """The manifest of a real run, and the number of rows for each reason."""
    manifest = sftdata.prepare(config, overwrite=True).manifest
    reasons = read_ledger(Path(config.resolve_path(config.out.path))).column("reason").to_pylist()
    return manifest, Counter(reason or "packed" for reason in reasons)


def with_line(folder: Path, tokenizer: Path, line: str, data: Path) -> Config:
    """A settings file with one pasted line, as prepare reads it."""
    settings = folder / "line.yaml"
    sources = "" if line.startswith("sources") else f"sources: [{data}]\n"
    settings.write_text(f"tokenizer: {tokenizer}\nout: {folder / 'out'}\n{sources}{line}\n", encoding="utf-8")
    return load_config(settings)


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Audit]:
    data = write(tmp_path_factory.mktemp("checked") / "data.jsonl", CHATS)
    return data, audit(data)


def finding(found: Audit, kind: str) -> Finding:
    return next(one for one in found.findings if one.kind == kind)


def test_every_printed_line_drops_the_rows_that_it_names_and_no_others(
    checked: tuple[Path, Audit], tmp_path: Path, tiny_tokenizer: Path
) -> None:
    data, found = checked
    _, before = prepared(with_line(tmp_path, tiny_tokenizer, "", data))
    assert before == {"packed": 12, "duplicate": 1}
    assert {one.kind: one.rows for one in found.findings} == {
        "answer_too_short": 1,
        "template_residue": 1,
        "unfilled_placeholder": 1,
        "mojibake": 1,
        "open_code_fence": 1,
        "cut_off": 1,
        "boilerplate": 1,
        "foreign_identity": 1,
        "repetitive": 1,
        "duplicate": 1,
        "trailing_control": 2,
        "email": 1,
    }
    said = "; with the setting, rows with nothing else in an answer are empty_answer: 1"
    assert finding(found, "trailing_control").meaning.endswith(said)
    for one in found.findings:
        assert one.setting is not None
        _, after = prepared(with_line(tmp_path, tiny_tokenizer, one.setting, data))
        if one.kind == "trailing_control":
            assert after == {"packed": 11, "duplicate": 1, "empty_answer": 1}  # <|endoftext|> alone is no answer
        elif one.kind in ("email", "duplicate"):
            assert after == before
        else:
            assert after == {"packed": 11, "duplicate": 1, one.kind: 1}


def test_the_printed_settings_file_loads_as_it_is_and_fixes_all(
    checked: tuple[Path, Audit], tmp_path: Path, tiny_tokenizer: Path
) -> None:
    data, _ = checked
    code, output, _ = call("check", data)
    assert code == 0
    pasted = tmp_path / "pasted.yaml"
    pasted.write_text(output[output.index("# The settings that were given") :], encoding="utf-8")
    config = load_config(pasted, [], options={"tokenizer": str(tiny_tokenizer), "out": str(tmp_path / "out")})
    manifest, after = prepared(config)
    assert after == {
        "packed": 3,
        "duplicate": 1,
        "empty_answer": 1,
        **dict.fromkeys(("template_residue", "unfilled_placeholder", "mojibake", "open_code_fence", "cut_off"), 1),
        **dict.fromkeys(("boilerplate", "foreign_identity", "repetitive"), 1),
    }
    assert manifest.privacy == {"email": 1}
    assert manifest.encoding is not None and manifest.encoding.stripped_answers == 1


def test_settings_that_a_config_has_stay_in_the_lines_and_in_the_file(tmp_path: Path, tiny_tokenizer: Path) -> None:
    write(tmp_path / "data.jsonl", CHATS)
    write(tmp_path / "über #1.jsonl", [{"frage": "Wer?", "antwort": "Ich."}])
    (tmp_path / "c.yaml").write_text(
        f"tokenizer: {tiny_tokenizer}\nout: {tmp_path / 'out'}\nseed: 7\n"
        "sources:\n- {path: data.jsonl, keep: [prompt]}\n- {path: 'über #1.jsonl', max_records: 5}\n"
        "filters: {preset: strict, refusals: false, mojibake: false}\ndedup: {prefix: {chars: 300}}\n",
        encoding="utf-8",
    )
    found = audit(load_config(tmp_path / "c.yaml"))
    shapes = finding(found, "unknown_shape")
    assert shapes.setting == (
        "sources: [{path: data.jsonl, keep: [prompt]}, "
        "{path: 'über #1.jsonl', max_records: 5, columns: {prompt: frage, completion: antwort}}]"
    )
    assert shapes.meaning.endswith("; the setting fixes 1 of 1")
    assert finding(found, "duplicate").setting == "dedup: {prefix: {chars: 300}, exact: true}"
    assert finding(found, "mojibake").setting == "filters: {preset: strict, mojibake: true, refusals: false}"
    (tmp_path / "d.yaml").write_text(found.settings, encoding="utf-8")
    config = load_config(tmp_path / "d.yaml")
    assert (config.seed, config.tokenizer, config.filters.refusals) == (7, str(tiny_tokenizer), False)
    assert (config.filters.mojibake, config.filters.residue) == (True, "anywhere")
    assert prepared(config)[1]["unknown_shape"] == 0


def test_a_mapping_that_would_break_other_rows_of_the_source_is_no_setting(tmp_path: Path) -> None:
    rows: list[Any] = [{"messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hi."}]}]
    rows += [{"question": f"{number} + 1?", "answer": "More."} for number in range(5)]
    found = audit(write(tmp_path / "data.jsonl", rows))
    shapes = finding(found, "unknown_shape")
    assert (shapes.rows, shapes.setting) == (5, None)
    assert "put these into a file of their own, and read it with columns: {prompt: question, completion: answer}" in (
        shapes.meaning
    )
    assert "columns" not in found.settings


def test_rows_far_down_the_file_are_tried_too(tmp_path: Path) -> None:
    rows: list[Any] = [{"question": f"{number} + 1?", "answer": "More."} for number in range(2000)]
    rows += [{"prompt": "Who?", "completion": "Me."}]
    rows += [{"prompt": "Where?", "completion": "Here.", "question": "Why?", "answer": "Because."}]
    assert finding(audit(write(tmp_path / "data.jsonl", rows)), "unknown_shape").setting is None


def test_a_mapping_that_makes_another_conversation_of_a_row_is_no_setting(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Who?", "completion": "Me.", "question": "Why?", "answer": "Because."},
        {"question": "What?", "answer": "That."},
    ]
    assert finding(audit(write(tmp_path / "data.jsonl", rows)), "unknown_shape").setting is None


@pytest.mark.parametrize(
    "lines",
    [
        [{"Frage, kurz": "Wer?", "Antwort #1": "Ich."}],
        [{"qa": {"question": "Who?", "answer": "Me."}}],
        [{"prompt": {"text": "Who?"}, "completion": {"text": "Me."}}],
        [{"chat": [{"speaker": "user", "text": "Who goes there?"}, {"speaker": "assistant", "text": "Me."}]}],
        [{"prompt": "You are a bear.", "question": "Who?", "answer": "Me."}],
        [{"inhalt: alles": "Es war einmal ein Fuchs."}],
    ],
)
def test_shapes_beside_another_file_are_fixed_by_the_line(
    tmp_path: Path, tiny_tokenizer: Path, lines: list[Any]
) -> None:
    data, odd = write(tmp_path / "data.jsonl", CHATS[-1:]), write(tmp_path / "odd, really.jsonl", lines)
    found = audit([data, odd])
    (one,) = found.findings
    assert one.setting is not None and one.rows == 1
    _, after = prepared(with_line(tmp_path, tiny_tokenizer, one.setting, data))
    assert after == {"packed": 2}
    assert yaml.safe_load(found.settings) == yaml.safe_load(one.setting)


def test_lists_of_prompts_get_no_setting_and_a_word_on_what_to_do(tmp_path: Path) -> None:
    data = write(tmp_path / "data.jsonl", [CHATS[-1], {"prompt": ["Who?", "Where?"], "completion": ["Me.", "Here."]}])
    one = finding(audit(data), "wrong_type")
    assert one.setting is None and "prompt holds several items; write one row for each" in one.meaning


def test_the_counts_of_the_shared_data_are_those_of_a_run_with_the_setting(shared: Path, tmp_path: Path) -> None:
    tokenizer, data = shared / "tokenizers" / "llama3", shared / "data" / "alpaca_en.json"
    exam = write(
        tmp_path / "exam.jsonl",
        [
            {"prompt": row["instruction"], "completion": row["output"]}
            for row in json.loads(data.read_text(encoding="utf-8"))[:50]
        ],
    )
    found = audit(data, against=[exam])
    assert found.findings
    for one in found.findings:
        if one.setting is None or one.stage == "privacy" or one.kind == "trailing_control":
            continue
        _, after = prepared(with_line(tmp_path, tokenizer, one.setting, data))
        assert (one.kind, after[one.kind]) == (one.kind, one.rows)


def test_ends_of_answers_in_the_shared_data_are_those_that_a_run_strips(shared: Path, tmp_path: Path) -> None:
    tokenizer, data = shared / "tokenizers" / "llama3", shared / "data" / "mix20k.jsonl"
    found = audit(data)
    one = finding(found, "trailing_control")
    assert one.setting == "clean: {strip_trailing_control: true}"
    manifest, after = prepared(with_line(tmp_path, tokenizer, f"{one.setting}\ndedup: {{exact: false}}", data))
    assert manifest.encoding is not None
    assert one.rows == manifest.encoding.stripped_answers == 12_364
    assert after["empty_answer"] == finding(found, "answer_too_short").rows == 289  # nothing but <|endoftext|>
