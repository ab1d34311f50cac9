"""Very many small files: neither the tasks nor the files mapped at a time grow with their number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from runs import RecordedProgress, ledger, prepare, tree

import sftdata
from sftdata.pipeline import read

NUM_FILES = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of one row each; some have a broken line or only blank ones, and one is larger than a task may read."""
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(NUM_FILES):
        lines = [json.dumps({"prompt": f"What is {number}?", "completion": f"It is {number}."})]
        if number % 7 == 3:
            lines = ["", "", "{broken", *lines]
        if number % 11 == 5:
            lines = [" " * number]
        if number == 30:
            lines = [json.dumps({"prompt": f"Where is {n}?", "completion": f"At {n}."}) for n in range(100)]
        (folder / f"{number:02}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def made(out: Path, tokenizer: Path, folder: Path, workers: int) -> tuple[dict[str, str], dict[str, int]]:
    """The files of a dataset made from a folder, and how many pieces each stage worked on."""
    progress = RecordedProgress()
    prepare(out, tokenizer, [str(folder)], workers, progress=progress)
    sftdata.verify(out)
    return tree(out), progress.done


@pytest.mark.usefixtures("worker_pids")
def test_several_small_files_are_one_task_and_no_byte_depends_on_that(
    folder: Path, tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "UNIT_BYTES", 4000)
    alone, done_alone = made(tmp_path / "alone", tiny_tokenizer, folder, 1)
    assert done_alone["read"] == NUM_FILES + 1  # file 30 has two parts
    monkeypatch.setattr(read, "MAX_SMALL_TASKS", 6)
    for workers in (1, 2):
        together, done = made(tmp_path / f"together-{workers}", tiny_tokenizer, folder, workers)
        assert done["read"] <= 10
        assert done["encode"] <= 10
        assert together == alone
    where = [row["where"] for row in ledger(tmp_path / "together-1") if row["reason"] == "bad_json"]
    assert where == [f"{number:02}.jsonl:3" for number in range(3, NUM_FILES, 7) if number % 11 != 5 and number != 30]


def test_four_times_as_many_small_files_are_no_more_tasks(
    tmp_path: Path, tiny_tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "MAX_SMALL_TASKS", 20)
    counts = {}
    for size in (100, 400):
        folder = tmp_path / f"data-{size}"
        folder.mkdir()
        for number in range(size):
            row = {"prompt": f"What is {number}?", "completion": f"It is {number}."}
            (folder / f"{number:04}.jsonl").write_text(json.dumps(row) + "\n")
        counts[size] = made(tmp_path / f"out-{size}", tiny_tokenizer, folder, 1)[1]
    assert counts[100] == counts[400] == {"read": 20, "encode": 20, "pack": 1, "write": 1}


def test_a_changed_small_file_costs_only_the_files_that_are_read_with_it(
    folder: Path, tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "MAX_SMALL_TASKS", 6)
    out = tmp_path / "out"
    prepare(out, tiny_tokenizer, [str(folder)], keep_work=True)
    (folder / "02.jsonl").write_text(json.dumps({"prompt": "What now?", "completion": "Something else."}) + "\n")
    progress = RecordedProgress()
    prepare(out, tiny_tokenizer, [str(folder)], keep_work=True, overwrite=True, progress=progress)
    assert (progress.done["read"], progress.done["encode"]) == (1, 1)
    rows = {row["where"]: row["reason"] for row in ledger(out)}
    assert rows["02.jsonl:1"] is None
