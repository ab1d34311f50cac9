"""Files of a folder or a pattern: each once, and everything that is not read is named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sftdata.config import SourceConfig
from sftdata.errors import SourceError
from sftdata.read import plan_units


def write(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"prompt": path.name, "completion": "a"}) + "\n")


def found(path: Path | str) -> tuple[list[str], list[str]]:
    """The names of a source's files, and what is said of others."""
    notes: list[str] = []
    units = plan_units([SourceConfig(path=str(path))], note=lambda source, text: notes.append(text))
    return [unit.name for unit in units], notes


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.mark.parametrize("pattern", ["", "**", "**/*.jsonl"])
def test_a_loop_of_links_is_read_once_and_said(data, pattern):
    write(data / "a.jsonl", data / "sub" / "b.jsonl")
    (data / "sub" / "again").symlink_to(data)
    names, notes = found(f"{data}/{pattern}" if pattern else data)
    assert names == ["a.jsonl", "sub/b.jsonl"]
    assert notes == ["skipped sub/again/ (links to a folder that is read already)"]


@pytest.mark.parametrize("pattern", ["", "**", "**/*.jsonl", "*/*.jsonl"])
def test_a_linked_folder_is_read(data, pattern, tmp_path):
    write(tmp_path / "elsewhere" / "b.jsonl")
    data.mkdir()
    (data / "linked").symlink_to(tmp_path / "elsewhere")
    assert found(f"{data}/{pattern}" if pattern else data) == (["linked/b.jsonl"], [])


@pytest.mark.parametrize("pattern", ["", "*.jsonl"])
def test_a_file_that_is_linked_beside_itself_is_read_once(data, pattern):
    write(data / "b.jsonl")
    (data / "a.jsonl").symlink_to(data / "b.jsonl")
    assert found(f"{data}/{pattern}" if pattern else data) == (
        ["b.jsonl"],
        ["skipped a.jsonl (is the same file as b.jsonl)"],
    )


def test_links_into_a_store_of_files_without_suffix_are_the_data(data):
    """As the cache of the hub has them."""
    write(data / "blobs" / "abc")
    (data / "snapshots").mkdir()
    (data / "snapshots" / "chats.jsonl").symlink_to("../blobs/abc")
    assert found(data)[0] == ["snapshots/chats.jsonl"]


@pytest.mark.parametrize("pattern", ["", "*", "**"])
def test_what_is_no_file_is_named(data, pattern):
    write(data / "a.jsonl")
    os.mkfifo(data / "pipe.jsonl")
    (data / "gone.jsonl").symlink_to(data / "nothing")
    names, notes = found(f"{data}/{pattern}" if pattern else data)
    assert names == ["a.jsonl"]
    assert notes == ["skipped gone.jsonl (is a link to nothing), pipe.jsonl (is a named pipe)"]


def test_a_pipe_alone_is_an_error(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(SourceError, match="is a named pipe, and a source must be a file that can be read again"):
        found(tmp_path / "pipe.jsonl")


def test_a_link_to_nothing_is_an_error(tmp_path):
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "nothing")
    with pytest.raises(SourceError, match="is a link to nothing"):
        found(tmp_path / "a.jsonl")


@pytest.mark.parametrize("pattern", ["", "*/*.jsonl", "**", "**/*.jsonl"])
def test_a_folder_that_cannot_be_listed_is_an_error(data, pattern, monkeypatch):
    write(data / "a" / "a.jsonl", data / "closed" / "b.jsonl")
    listed = os.scandir

    def refuse(path: Path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(SourceError, match=r"closed.*cannot be read \(Permission denied\)"):
        found(f"{data}/{pattern}" if pattern else data)


def test_a_folder_that_a_pattern_matches_is_named(data):
    write(data / "a.jsonl", data / "more" / "b.jsonl")
    assert found(f"{data}/*") == (["a.jsonl"], ["skipped more/ (is a folder, and the pattern names files)"])


def test_hidden_files_are_read_only_where_the_pattern_names_them(data):
    write(data / ".a" / "x.jsonl", data / "b" / "x.jsonl")
    assert found(f"{data}/*/x.jsonl")[0] == ["b/x.jsonl"]
    assert found(f"{data}/.*/x.jsonl")[0] == [".a/x.jsonl"]


def test_an_escaped_wildcard_is_a_plain_character(data):
    write(data / "a[1].jsonl", data / "a1.jsonl", data / "b1.jsonl")
    assert found(f"{data}/a[[]1].jsonl")[0] == ["a[1].jsonl"]
    assert found(f"{data}/[ab]?.jsonl")[0] == ["a1.jsonl", "b1.jsonl"]
