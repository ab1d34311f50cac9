"""What the ledger calls the files of the sources, wherever they and the project lie."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from raw_rows import chat, write_lines
from runs import ledger, prepare, tree

import sftdata


def test_the_dataset_depends_neither_on_the_current_folder_nor_on_where_the_project_lies(
    tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees = []
    for name, current in (("one", "."), ("two/deeper", "data")):
        project = tmp_path / name
        shutil.copytree(tiny_tokenizer, project / "tokenizer")
        write_lines(project / "data" / "a.jsonl", [chat("Hi", "Hello"), {"x": 1}])
        (project / "prepare.yaml").write_text("tokenizer: tokenizer\nsources: data\nout: shards\npack: {seq_len: 64}\n")
        monkeypatch.chdir(project / current)
        path = Path("prepare.yaml") if current == "." else Path("..", "prepare.yaml")
        sftdata.prepare(sftdata.load_config(path), workers=1)
        trees.append(tree(project / "shards"))
        assert str(tmp_path) not in (project / "shards" / "manifest.json").read_text()
        assert ledger(project / "shards")[0]["source"] == "data"
    assert trees[0] == trees[1]


def test_files_with_the_same_name_in_two_sources_get_different_names(
    tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lines(tmp_path / "a" / "chat.jsonl", [chat("One", "1"), chat("Two", "2")])
    write_lines(tmp_path / "b" / "chat.jsonl", [chat("Two", "2"), chat("Three", "3")])
    write_lines(tmp_path / "b" / "other.jsonl", [chat("Four", "4")])
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path / "out", tiny_tokenizer, ["a/chat.jsonl", "b/*.jsonl"])
    rows = ledger(tmp_path / "out")
    assert [row["where"] for row in rows] == [
        "a/chat.jsonl:1",
        "a/chat.jsonl:2",
        "b/chat.jsonl:1",
        "b/chat.jsonl:2",
        "other.jsonl:1",
    ]
    assert rows[2]["duplicate_of"] == "a/chat.jsonl:2"
    sftdata.verify(tmp_path / "out")


def test_names_of_files_below_a_folder_are_relative_to_it(tiny_tokenizer: Path, tmp_path: Path) -> None:
    write_lines(tmp_path / "data" / "x" / "a.jsonl", [chat("One", "1")])
    write_lines(tmp_path / "data" / "y" / "a.jsonl", [{"zzz": 1}, chat("Two", "2")])
    prepare(tmp_path / "out", tiny_tokenizer, [str(tmp_path / "data")])
    assert [row["where"] for row in ledger(tmp_path / "out")] == ["x/a.jsonl:1", "y/a.jsonl:1", "y/a.jsonl:2"]
