"""A fault of sftdata costs the row that it meets: reason, log, count, exit code; the bytes do not depend on workers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from command_line import call
from planted_faults import PLACES, planted
from raw_rows import chat, write_lines
from runs import ledger, prepare, tree

import sftdata
from sftdata.audit import audit
from sftdata.errors import SourceError
from sftdata.pipeline import read
from sftdata.read import stage
from sftdata.records.faults import fault_text, is_fault
from sftdata.store.manifest import Manifest

STAGES: dict[str, Any] = {
    "dedup": {"near": {"threshold": 0.9}, "prefix": {"chars": 40}},
    "decontaminate": {"against": []},
}


def some_rows(number: int, words: tuple[str, ...] = tuple(PLACES)) -> list[dict[str, Any]]:
    """Rows with a word each that a fault waits for, every third one, among others."""
    rows = [
        chat(f"Tell me about the number {at * 7919} and nothing else", f"It is {at * 104729}.") for at in range(number)
    ]
    for at, word in enumerate(words):
        rows.insert(
            3 * at, chat(f"Number {at * 31337} of the {word} is wanted here, please", f"Then take {at * 271828}.")
        )
    return rows


@pytest.fixture
def exam(tmp_path: Path) -> Path:
    return write_lines(
        tmp_path / "exam.jsonl", [chat("How many legs does a spider have in the long winter?", "Eight.")]
    )


def run(folder: Path, tokenizer: Path, exam: Path, rows: list[Any], workers: int = 1) -> Manifest:
    """A dataset with every stage that looks at single rows."""
    data = write_lines(exam.parent / "data.jsonl", rows)
    against = {"decontaminate": {"against": [{"path": str(exam)}]}}
    return prepare(folder, tokenizer, [str(data)], workers, **STAGES | against)


def test_a_fault_in_any_stage_costs_the_row_that_it_meets(
    tmp_path: Path, tiny_tokenizer: Path, exam: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(monkeypatch)
    manifest = run(tmp_path / "out", tiny_tokenizer, exam, some_rows(20))
    sftdata.verify(tmp_path / "out")
    lost = {one["where"]: one["detail"] for one in ledger(tmp_path / "out") if one["reason"] is not None}
    assert manifest.counts.dropped == {"internal": {"internal_error": 6}}
    assert {where: re.sub(r"\d+$", "N", detail) for where, detail in lost.items()} == {
        "data.jsonl:1": "AssertionError at planted_faults.py:N",
        "data.jsonl:4": "KeyError at planted_faults.py:N",
        "data.jsonl:7": "ZeroDivisionError at planted_faults.py:N",
        "data.jsonl:10": "RuntimeError at planted_faults.py:N",
        "data.jsonl:13": "IndexError at planted_faults.py:N",
        "data.jsonl:16": "TypeError at planted_faults.py:N",
    }


def test_the_log_has_every_traceback_and_nothing_of_the_machine_or_of_people(
    tmp_path: Path, tiny_tokenizer: Path, exam: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(monkeypatch)
    manifest = run(tmp_path / "out", tiny_tokenizer, exam, some_rows(20))
    text = (tmp_path / "out" / "errors.log").read_text(encoding="utf-8")
    assert "errors.log" in [entry.path for entry in manifest.files]
    assert text.startswith("Rows that faults of sftdata cost: 6. Please report them.\n\ndata.jsonl:1: AssertionError")
    assert re.findall(r"^data\.jsonl:(\d+): (\w+)", text, re.MULTILINE) == [
        ("1", "AssertionError"),
        ("4", "KeyError"),
        ("7", "ZeroDivisionError"),
        ("10", "RuntimeError"),
        ("13", "IndexError"),
        ("16", "TypeError"),
    ]
    assert re.search(r"^  sftdata/read/stage\.py:\d+ in _entries$", text, re.MULTILINE)
    assert not re.search(r"0x7f|deadbeef|acme|/home|" + re.escape(str(tmp_path)), text)


def test_one_and_two_workers_give_the_same_bytes(
    tmp_path: Path, tiny_tokenizer: Path, exam: Path, monkeypatch: pytest.MonkeyPatch, worker_pids: set[int]
) -> None:
    planted(monkeypatch)
    monkeypatch.setattr(read, "UNIT_BYTES", 1000)
    rows = some_rows(40)
    trees = []
    for workers in (1, 2):
        run(tmp_path / str(workers) / "out", tiny_tokenizer, exam, rows, workers)
        trees.append(tree(tmp_path / str(workers) / "out"))
    assert worker_pids
    assert "errors.log" in trees[0]
    assert trees[0] == trees[1]


@pytest.mark.parametrize(("num_rows", "code"), [(5, 1), (150, 0)])
def test_prepare_fails_above_a_small_share_and_its_dataset_is_there(
    num_rows: int, code: int, tmp_path: Path, tiny_tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(monkeypatch)
    data = write_lines(tmp_path / "data.jsonl", some_rows(num_rows, ("readingzebra",)))
    out = tmp_path / "out"
    found, shown, errors = call("prepare", data, "--tokenizer", tiny_tokenizer, "--out", out)
    assert found == code
    assert ("lost to faults of sftdata" in errors) == bool(code)
    assert re.search(r"warning: 1 row \(.*%\) is lost to faults of sftdata: errors\.log has its traceback", shown)
    assert sftdata.verify(out).packed == num_rows
    found, shown, errors = call("check", data, "--json")
    assert found == code
    assert {one["kind"]: one["rows"] for one in json.loads(shown)["findings"]}["internal_error"] == 1


def test_a_dataset_that_replaces_one_with_a_log_has_none(
    tmp_path: Path, tiny_tokenizer: Path, exam: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        planted(patched)
        run(tmp_path / "out", tiny_tokenizer, exam, some_rows(5))
    assert (tmp_path / "out" / "errors.log").exists()
    data = write_lines(tmp_path / "data.jsonl", some_rows(5))
    prepare(tmp_path / "out", tiny_tokenizer, [str(data)], overwrite=True, fresh=True)
    sftdata.verify(tmp_path / "out")
    assert not (tmp_path / "out" / "errors.log").exists()


def test_check_counts_a_fault_while_texts_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sftdata.audit import texts

    def fails(batch: list[str], words: int) -> Any:
        if any("nearzebra" in text for text in batch):
            raise ZeroDivisionError
        return signed(batch, words)

    signed = texts.sign_texts
    monkeypatch.setattr(texts, "sign_texts", fails)
    found = audit([write_lines(tmp_path / "data.jsonl", [*some_rows(5, ("nearzebra",)), some_rows(5)[1]])])
    assert {one.kind: one.rows for one in found.findings} == {"internal_error": 1, "duplicate": 1}


def test_an_error_of_the_reader_still_ends_the_run(
    tmp_path: Path, tiny_tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(unit: Any) -> Any:
        yield from read_raw(unit)
        raise LookupError("the reader is wrong")

    read_raw = stage.read_raw
    monkeypatch.setattr(stage, "read_raw", breaks)
    data = write_lines(tmp_path / "data.jsonl", some_rows(5))
    with pytest.raises(LookupError, match="the reader is wrong"):
        prepare(tmp_path / "out", tiny_tokenizer, [str(data)])


class PanicException(BaseException):
    """As a library in Rust raises it."""


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (KeyError("x"), True),
        (RecursionError(), True),
        (AssertionError(), True),
        (PanicException(), True),
        (OSError(36, "File name too long"), True),
        (OSError(28, "No space left on device"), False),
        (MemoryError(), False),
        (KeyboardInterrupt(), False),
        (ImportError(), False),
        (SourceError("a", "b"), False),
    ],
)
def test_what_is_a_fault_of_ours(error: BaseException, answer: bool) -> None:
    assert is_fault(error) == answer


def test_a_fault_as_text_is_the_same_however_deep_a_recursion_went() -> None:
    def deeper(levels: int) -> None:
        deeper(levels + 1)

    def below(levels: int) -> str:
        if levels:
            return below(levels - 1)
        try:
            deeper(0)
        except RecursionError as error:
            return fault_text(error)
        return ""

    assert below(0) == below(37)
    assert below(0).startswith("RecursionError\n  test_internal_errors.py:")
