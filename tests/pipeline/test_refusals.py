"""Sources, tokenizers, templates and splits of which no dataset can be made: one error, and no dataset."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from raw_rows import chat, write_lines
from runs import prepare

from sftdata.errors import ConfigError, SourceError, TemplateError, TokenizerError


def holds_no_dataset(out: Path) -> bool:
    """Nothing is there, or only work that the next run may use."""
    return not out.exists() or [path.name for path in out.iterdir()] == [".work"]


def test_a_source_without_one_usable_row_is_refused_with_the_columns_to_map(
    tiny_tokenizer: Path, tmp_path: Path
) -> None:
    data = write_lines(tmp_path / "a.jsonl", [{"question": f"Who is {n}?", "answer": f"He is {n}."} for n in range(3)])
    with pytest.raises(SourceError, match=r"columns: \{prompt: question, completion: answer\}"):
        prepare(tmp_path / "out", tiny_tokenizer, [str(data)])
    assert holds_no_dataset(tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl", ""), ("a.jsonl", "\n\n  \n"), ("a.json", "[]"), ("a.csv", "a,b\n")]
)
def test_a_source_without_rows_is_refused(tiny_tokenizer: Path, tmp_path: Path, name: str, content: str) -> None:
    data = tmp_path / name
    data.write_text(content)
    with pytest.raises(SourceError, match="holds no rows"):
        prepare(tmp_path / "out", tiny_tokenizer, [str(data)])
    assert holds_no_dataset(tmp_path / "out")


def test_a_folder_without_tokenizer_is_named(tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [chat("Hi", "Hello")])
    with pytest.raises(TokenizerError, match="nowhere: there is no such folder"):
        prepare(tmp_path / "out", tmp_path / "nowhere", [str(data)])
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_that_cannot_be_read_is_named(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [chat("Hi", "Hello")])
    broken = tmp_path / "broken"
    shutil.copytree(tiny_tokenizer, broken)
    (broken / "tokenizer.json").write_text("{")
    with pytest.raises(TokenizerError, match=r"broken: cannot read tokenizer\.json"):
        prepare(tmp_path / "out", broken, [str(data)])
    assert holds_no_dataset(tmp_path / "out")


def test_a_template_that_ends_no_turn_is_refused(tiny_tokenizer: Path, tmp_path: Path) -> None:
    template = tmp_path / "open.jinja"
    template.write_text("{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}")
    data = write_lines(tmp_path / "a.jsonl", [chat("Hi", "Hello")])
    with pytest.raises(TemplateError, match=r"open\.jinja: writes no end-of-turn token"):
        prepare(tmp_path / "out", tiny_tokenizer, [str(data)], template=str(template))
    assert not (tmp_path / "out").exists()


def test_a_validation_split_that_takes_everything_is_refused(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [chat("Hi", "Hello")])
    with pytest.raises(ConfigError, match=r"split\.validation: 3 takes every conversation"):
        prepare(tmp_path / "out", tiny_tokenizer, [str(data)], split={"validation": 3})
    assert holds_no_dataset(tmp_path / "out")


@pytest.mark.parametrize(("module", "what"), [("rows", "have 3 rows"), ("samples", "give 3 samples")])
def test_more_rows_or_samples_than_a_run_can_count_are_refused(
    tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, what: str
) -> None:
    data = write_lines(tmp_path / "a.jsonl", [chat(f"Hi {n}", "Hello") for n in range(3)])
    monkeypatch.setattr(f"sftdata.pipeline.{module}.MAX_NODES", 2)
    with pytest.raises(SourceError, match=f"sources: {what}, and one run takes 2 at most; prepare some of the sources"):
        prepare(tmp_path / "out", tiny_tokenizer, [str(data)])
    assert holds_no_dataset(tmp_path / "out")
