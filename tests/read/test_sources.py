from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from sftdata.config import SourceConfig
from sftdata.errors import SourceError
from sftdata.read import plan_units

ROW = b'{"a": 1}\n'


def names(path: str | Path, **settings: object) -> list[str]:
    return [unit.name for unit in plan_units([SourceConfig(path=str(path), **settings)])]


def write(folder: Path, *names: str) -> None:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(ROW)


def test_a_single_file_has_its_own_name(tmp_path):
    write(tmp_path, "deep/down/a.jsonl")
    assert names(tmp_path / "deep/down/a.jsonl") == ["a.jsonl"]


def test_a_folder_gives_its_data_files_sorted_and_skips_the_rest(tmp_path):
    write(tmp_path, "b.jsonl", "a/z.JSON", "a/y.csv.gz", "README.md", "_SUCCESS", ".hidden.jsonl", ".git/x.json")
    write(tmp_path, "dataset_info.json", "state.json")
    assert names(tmp_path) == ["a/y.csv.gz", "a/z.JSON", "b.jsonl"]


def test_a_glob_names_files_from_before_its_first_wildcard(tmp_path):
    write(tmp_path, "x/1/a.jsonl", "x/2/b.jsonl", "x/2/notes.txt", "y/3/c.jsonl")
    assert names(tmp_path / "x/*/*") == ["1/a.jsonl", "2/b.jsonl"]
    assert names(tmp_path / "**/*.jsonl") == ["x/1/a.jsonl", "x/2/b.jsonl", "y/3/c.jsonl"]
    assert names(tmp_path / "x/2/b*.jsonl") == ["b.jsonl"]


def test_a_file_whose_name_looks_like_a_glob_is_a_file(tmp_path):
    write(tmp_path, "chats[1].jsonl", "chats1.jsonl")
    assert names(tmp_path / "chats[1].jsonl") == ["chats[1].jsonl"]


def test_sources_keep_their_order(tmp_path):
    write(tmp_path, "a.jsonl", "b.jsonl")
    units = plan_units([SourceConfig(path=str(tmp_path / name)) for name in ("b.jsonl", "a.jsonl")])
    assert [(unit.source, unit.name) for unit in units] == [(0, "b.jsonl"), (1, "a.jsonl")]


@pytest.mark.parametrize(
    ("name", "kind", "compression"),
    [
        ("a.jsonl", "jsonl", None),
        ("a.ndjson", "jsonl", None),
        ("a.json.zst", "json", "zst"),
        ("A.CSV.GZ", "csv", "gz"),
        ("a.tsv.bz2", "tsv", "bz2"),
        ("a.arrow", "arrow", None),
        ("part-0.v1.jsonl.xz", "jsonl", "xz"),
    ],
)
def test_the_name_says_kind_and_compression(tmp_path, name, kind, compression):
    write(tmp_path, name)
    (unit,) = plan_units([SourceConfig(path=str(tmp_path / name))])
    assert (unit.kind, unit.compression) == (kind, compression)


def test_an_empty_file_is_an_error_alone_and_skipped_among_others(tmp_path):
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(SourceError, match="holds no rows"):
        names(tmp_path / "empty.jsonl")
    with pytest.raises(SourceError, match="holds no rows"):
        names(tmp_path)
    write(tmp_path, "full.jsonl")
    assert names(tmp_path) == ["full.jsonl"]


def test_a_missing_path_is_an_error_with_the_closest_name(tmp_path):
    write(tmp_path, "train.jsonl")
    with pytest.raises(SourceError, match=r"no such file or folder; did you mean .*train\.jsonl"):
        names(tmp_path / "trian.jsonl")
    with pytest.raises(SourceError, match="no such file or folder; check the path"):
        names(tmp_path / "nowhere" / "at" / "all.jsonl")


def test_an_unknown_suffix_is_an_error_that_lists_the_known_ones(tmp_path):
    write(tmp_path, "a.txt", "b.gz")
    for name in ("a.txt", "b.gz", "", "*"):
        with pytest.raises(SourceError, match=r"it reads \.jsonl \.ndjson \.json"):
            names(tmp_path / name)


def test_a_glob_or_folder_without_files_is_an_error(tmp_path):
    for path in (tmp_path, tmp_path / "*.jsonl"):
        with pytest.raises(SourceError, match="matches no file"):
            names(path)


def test_a_file_name_that_is_not_utf8_is_shown_with_replacement_characters(tmp_path):
    try:
        write(tmp_path, "caf\udce9.jsonl")
    except (OSError, UnicodeError):
        pytest.skip("this file system takes no such names")
    (name,) = names(tmp_path)
    assert name == "caf\ufffd.jsonl"


def test_the_home_folder_is_expanded(tmp_path, monkeypatch):
    write(tmp_path, "a.jsonl")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert names("~/a.jsonl") == names("~/*.jsonl") == ["a.jsonl"]


def test_swapped_columns_are_an_error_that_suggests_the_right_order(tmp_path):
    write(tmp_path, "a.jsonl")
    with pytest.raises(SourceError, match=r"field: column, e\.g\. columns: \{prompt: question, completion: answer\}"):
        names(tmp_path / "a.jsonl", columns={"question": "prompt", "answer": "completion"})
    with pytest.raises(SourceError, match="the fields are"):
        names(tmp_path / "a.jsonl", columns={"prompts": "question"})
    with pytest.raises(SourceError, match="no format has all of the fields"):
        names(tmp_path / "a.jsonl", columns={"messages": "a", "output": "b"})
    with pytest.raises(SourceError, match="columns maps prompt, but the format alpaca has no such field"):
        names(tmp_path / "a.jsonl", format="alpaca", columns={"prompt": "question"})


@pytest.fixture
def store():
    memory = fsspec.filesystem("memory")
    for name in ("/box/a.jsonl", "/box/in/b.jsonl.gz", "/box/notes.txt"):
        memory.makedirs(name.rpartition("/")[0], exist_ok=True)
        with memory.open(name, "wb", compression="gzip" if name.endswith(".gz") else None) as file:
            file.write(ROW * 3)
    yield memory
    memory.rm("/box", recursive=True)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("memory://box/a.jsonl", ["a.jsonl"]),
        ("memory://box", ["a.jsonl", "in/b.jsonl.gz"]),
        ("memory://box/*/*.gz", ["in/b.jsonl.gz"]),
        ("memory://box/*.jsonl", ["a.jsonl"]),
    ],
)
def test_stores_are_read_like_the_disk(store, raw_rows, url, expected):
    assert names(url) == expected
    rows = raw_rows(url, unit_bytes=4)
    assert [(name, line) for name, line, _, _ in rows] == [(name, line) for name in expected for line in (1, 2, 3)]


def test_an_unknown_or_empty_store_is_an_error(store):
    with pytest.raises(SourceError, match="cannot be read"):
        names("nosuchstore://x/a.jsonl")
    with pytest.raises(SourceError, match="matches no file"):
        names("memory://nothing/here")


@pytest.mark.parametrize("verb", ["find", "open"])
def test_any_exception_of_a_stores_client_is_an_error_with_the_url(store, raw_rows, monkeypatch, verb):
    class ClientError(Exception):
        """Clients of stores have exceptions of their own, which are no OSError."""

    def fail(*args: object, **kwargs: object) -> None:
        raise ClientError("the line is dead")

    monkeypatch.setattr(type(store), verb, fail)
    with pytest.raises(SourceError, match=r"^memory://box/a\.jsonl: cannot be read \(the line is dead\)"):
        raw_rows("memory://box/a.jsonl")


def test_a_connection_that_breaks_while_reading_is_an_error_and_never_fewer_rows(store, raw_rows, monkeypatch):
    class Dying:
        def __init__(self, data: bytes) -> None:
            self.parts = [data]

        def read(self, size: int) -> bytes:
            if not self.parts:
                raise RuntimeError("the line went dead")
            return self.parts.pop()

        def close(self) -> None: ...

    monkeypatch.setattr(type(store), "open", lambda *args, **kwargs: Dying(ROW))
    with pytest.raises(SourceError, match="the line went dead"):
        raw_rows("memory://box/a.jsonl")


def test_a_url_is_named_without_its_query(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sftdata.read.sources.stored_now", lambda url: None)
    (unit,) = plan_units([SourceConfig(path="https://example.org/data/a.jsonl.gz?token=secret")])
    assert (unit.name, unit.kind, unit.compression) == ("a.jsonl.gz", "jsonl", "gz")
