"""The work of a run on a store: the same bytes, continued from another machine, and nothing half read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import sftdata
from sftdata.errors import OutputError
from sftdata.files import copies
from sftdata.pipeline.on_store.work_copy import WorkCopy
from sftdata.progress import NoProgress

ROWS = [{"prompt": f"What is {n}?", "completion": f"It is {n}, of course."} for n in range(12)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def make(data: Any, tokenizer: Path, out: object, work: str | None = None, **keywords: Any) -> Recorded:
    """Make a dataset in some shards; what the run said."""
    said = Recorded()
    places = {"path": str(out), "shard_tokens": 200} | ({} if work is None else {"work": work})
    given = {"workers": 1, "pack": {"seq_len": 64}, **keywords}
    sftdata.prepare(data, tokenizer=tokenizer, out=places, progress=said, **given)
    return said


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Recorded(NoProgress):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class StoppedError(Exception):
    """In place of a process that is killed."""


def stop(*_: Any) -> None:
    raise StoppedError


@pytest.fixture
def stopped(store: Any, data: Path, tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A store with the work of a run that was stopped before it packed. What runs next has another cache."""
    with monkeypatch.context() as patch:
        patch.setattr("sftdata.pipeline.prepare.pack_samples", stop)
        with pytest.raises(StoppedError):
            make(data, tiny_tokenizer, store.at("out"), store.at("work"))
    monkeypatch.setenv("SFTDATA_CACHE", str(tmp_path / "cache of another machine"))
    return store


@pytest.fixture
def plain(data: Path, tiny_tokenizer: Path, tmp_path: Path) -> dict[str, bytes]:
    """The files of the dataset, made in a folder."""
    make(data, tiny_tokenizer, tmp_path / "plain")
    return files_of(tmp_path / "plain")


def test_another_machine_goes_on_with_the_work_and_leaves_none(
    stopped: Any, plain: dict[str, bytes], data: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    assert {name.split("/")[3] for name in stopped.names()} >= {"read", "encode"}
    assert [path for path in (tmp_path / "cache").rglob("*.arrow") if not path.is_file()] == []
    said = make(data, tiny_tokenizer, stopped.at("out"), stopped.at("work"))
    assert {"read: done by an earlier run", "encode: done by an earlier run"} <= {*said.notes}
    assert {name: stopped.read(f"out/{name}") for name in plain} == plain
    assert stopped.names() == sorted(f"out/{name}" for name in plain)
    assert [*(tmp_path / "cache of another machine" / "work").iterdir()] == []
    assert copies.listed(tmp_path) is None


def test_a_half_written_object_is_made_again(
    stopped: Any, plain: dict[str, bytes], data: Path, tiny_tokenizer: Path
) -> None:
    [half] = [name for name in stopped.names() if "/pieces/encode/" in name]
    stopped.put(half, stopped.read(half)[:-100])
    said = make(data, tiny_tokenizer, stopped.at("out"), stopped.at("work"))
    assert "read: done by an earlier run" in said.notes
    assert "encode: done by an earlier run" not in said.notes
    assert {name: stopped.read(f"out/{name}") for name in plain} == plain


def test_a_machine_that_worked_for_a_run_that_was_stopped_may_go_on_with_it(
    stopped: Any, data: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    [pieces] = (tmp_path / "cache").rglob("pieces")
    there = tmp_path / "cache of another machine" / pieces.relative_to(tmp_path / "cache")
    shutil.copytree(pieces, there)  # what a node has: it holds no lock, and makes no dataset
    make(data, tiny_tokenizer, stopped.at("out"), stopped.at("work"))
    assert "out/manifest.json" in stopped.names()
    assert [*(tmp_path / "cache of another machine" / "work").iterdir()] == []


def test_fresh_uses_no_earlier_work_and_keep_work_keeps_what_was_used(
    stopped: Any, data: Path, tiny_tokenizer: Path
) -> None:
    said = make(data, tiny_tokenizer, stopped.at("out"), stopped.at("work"), fresh=True, keep_work=True)
    assert [note for note in said.notes if "earlier run" in note] == []
    before = [name for name in stopped.names() if name.startswith("work/")]
    said = make(data, tiny_tokenizer, stopped.at("out"), stopped.at("work"), overwrite=True, keep_work=True, seed=1)
    assert "encode: done by an earlier run" in said.notes
    after = [name for name in stopped.names() if name.startswith("work/")]
    assert len(after) == len(before)
    assert after != before


@pytest.mark.parametrize("to_store", [True, False])
def test_a_run_to_a_folder_or_a_store_with_rows_from_python(
    store: Any, plain: dict[str, bytes], tiny_tokenizer: Path, tmp_path: Path, to_store: bool
) -> None:
    out = store.at("out") if to_store else str(tmp_path / "out")
    make(ROWS, tiny_tokenizer, out, store.at("work"))
    assert [name for name in store.names() if name.startswith("work/")] == []
    found = sftdata.open(out)
    assert found.manifest.dataset_hash == json.loads(plain["manifest.json"])["dataset_hash"]
    assert [*(tmp_path / "cache" / "work").iterdir()] == []


def test_a_result_that_is_removed_while_it_is_needed_is_an_error(
    store: Any, data: Path, tiny_tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(self: WorkCopy, name: str) -> None:
        (self.root / name).unlink()

    monkeypatch.setattr(WorkCopy, "send", lose)
    with pytest.raises(OutputError, match=r"data/work/out-\w+/pieces/\w+/\w+\.arrow: is not on the store any more, th"):
        make(data, tiny_tokenizer, store.at("out"), store.at("work"))
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (
            "memory://bucket/out/work",
            r"lies in the output folder memory://bucket/out; name another folder on th",
        ),
        ("memory://bucket/out", "lies in the output folder"),
        ("s3://KEYID:hidden-word@bucket/work", "has a password, a token or a signature in its address"),
    ],
)
def test_places_that_the_work_cannot_have(
    data: Path, tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: str, message: str
) -> None:
    monkeypatch.setenv("SFTDATA_CACHE", str(tmp_path / "cache"))
    with pytest.raises(OutputError, match=message) as refused:
        make(data, tiny_tokenizer, "memory://bucket/out", work)
    assert "hidden-word" not in str(refused.value)
    assert [*tmp_path.rglob("*.arrow")] == []
