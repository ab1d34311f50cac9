"""Where a report is written, what it replaces, and that the same dataset gives the same bytes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import call
from raw_rows import chat

import sftdata
from sftdata.errors import DatasetError, OutputError
from sftdata.store.verify import verify

ROWS = [chat(f"Question {n}?", f"Answer {n}.") for n in range(60)] + [chat("Question 1?", "Answer 1.")]
Prepared = Callable[..., sftdata.Dataset]


def test_the_report_is_beside_the_manifest_and_the_dataset_stays_valid(prepared: Prepared) -> None:
    ds = prepared(ROWS)
    path = ds.report()
    assert path == ds.path / "report.html"
    assert path.read_bytes().startswith(b"<!doctype html>\n<!-- sftdata report of ")
    assert path.read_text(encoding="utf-8").count('<div class="one"') == 50
    assert verify(ds.path).packed == 60
    assert sftdata.open(ds.path).diff(ds).is_same


def test_the_same_dataset_in_another_folder_gives_the_same_bytes(prepared: Prepared) -> None:
    first = prepared(ROWS, "a", workers=1)
    second = prepared(ROWS, "another-name", workers=2)
    assert first.report().read_bytes() == second.report().read_bytes() == second.report().read_bytes()


def test_no_folder_of_the_machine_is_in_it(prepared: Prepared, tmp_path: Path) -> None:
    text = prepared(ROWS).report().read_text(encoding="utf-8")
    assert str(tmp_path) not in text and tmp_path.name not in text
    assert "chats.jsonl" in text


def test_a_file_that_is_no_report_is_kept(prepared: Prepared, tmp_path: Path) -> None:
    ds = prepared(ROWS)
    (ds.path / "report.html").write_text("mine")
    with pytest.raises(OutputError, match="was not written by `sftdata report`, so it is kept"):
        ds.report()
    assert (ds.path / "report.html").read_text() == "mine"
    with pytest.raises(DatasetError, match=r"report\.html: is not in the manifest"):
        verify(ds.path)
    ds.report(overwrite=True)
    assert verify(ds.path).packed == 60


def test_a_report_that_was_changed_is_kept_and_no_part_of_a_valid_dataset(prepared: Prepared) -> None:
    ds = prepared(ROWS)
    path = ds.report()
    path.write_bytes(path.read_bytes() + b"<p>my notes</p>")
    with pytest.raises(OutputError, match="was changed since `sftdata report` wrote it"):
        ds.report()
    with pytest.raises(DatasetError, match="was changed since `sftdata report` wrote it"):
        verify(ds.path)
    assert path.read_bytes().endswith(b"<p>my notes</p>")


def test_the_report_of_another_dataset_is_named_by_verify(prepared: Prepared, tmp_path: Path) -> None:
    ds = prepared(ROWS)
    ds.report(tmp_path / "elsewhere.html")
    other = prepared(ROWS[:9], "other")
    shutil.copy(tmp_path / "elsewhere.html", other.path / "report.html")
    with pytest.raises(DatasetError, match="is the report of another dataset"):
        verify(other.path)
    other.report()  # it is a report, which is written anew
    assert verify(other.path).packed == 9


@pytest.mark.parametrize("name", ["manifest.json", "summary.html", "train/report.html", "ledger/00000.parquet", "."])
def test_nothing_else_in_the_folder_is_written(prepared: Prepared, name: str) -> None:
    ds = prepared(ROWS)
    before = {path: path.read_bytes() for path in ds.path.rglob("*") if path.is_file()}
    with pytest.raises(OutputError, match="holds only what its manifest lists"):
        ds.report(ds.path / name, overwrite=True)
    assert {path: path.read_bytes() for path in ds.path.rglob("*") if path.is_file()} == before


def test_the_command_says_where_the_report_is(prepared: Prepared, tmp_path: Path) -> None:
    ds = prepared(ROWS)
    out = tmp_path / "page.html"
    code, said, _ = call("report", ds.path, "-o", out)
    assert (code, said.startswith(f"{out}: 0.")) == (0, True)
    assert call("report", ds.path, "-q") == (0, "", "")
    facts: dict[str, Any] = json.loads(call("report", ds.path, "--json")[1])
    assert facts["report"] == str(ds.path / "report.html")
    assert facts["size_bytes"] == (ds.path / "report.html").stat().st_size
    out.write_text("mine")
    code, _, error = call("report", ds.path, "-o", out)
    assert code == 1 and error.count("\n") == 1 and "so it is kept" in error
    assert out.read_text() == "mine"
    code, _, error = call("report", tmp_path / "nothing")
    assert code == 1 and error.startswith("sftdata: ") and not (tmp_path / "nothing").exists()


def test_a_damaged_ledger_is_one_sentence(prepared: Prepared) -> None:
    ds = prepared(ROWS)
    ledger = ds.path / "ledger" / "00000.parquet"
    ledger.write_bytes(ledger.read_bytes()[:-40] + b"\0" * 40)
    code, said, error = call("report", ds.path)
    assert (code, said, error.count("\n")) == (1, "", 1) and "00000.parquet" in error
    assert not (ds.path / "report.html").exists()
