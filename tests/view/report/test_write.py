"""Where a report is written, what it replaces, and that the same dataset gives the same bytes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import call
from raw_rows import chat, write_lines

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


def prepare_again(tiny_tokenizer: Path, tmp_path: Path, *arguments: str) -> tuple[int, str, str]:
    data = write_lines(tmp_path / "chats.jsonl", ROWS[:9])
    return call("prepare", data, "--tokenizer", tiny_tokenizer, "--out", tmp_path / "shards", *arguments)


def test_overwriting_a_dataset_removes_its_report_or_renews_it(
    prepared: Prepared, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    ds = prepared(ROWS)
    old = ds.report().read_bytes()
    assert prepare_again(tiny_tokenizer, tmp_path, "--overwrite", "-q")[0] == 0
    assert not (ds.path / "report.html").exists() and verify(ds.path).packed == 9
    code, said, _ = prepare_again(tiny_tokenizer, tmp_path, "--overwrite", "--report")
    assert code == 0 and "sftdata report" not in said
    assert said.splitlines()[-1].startswith("report: ") and said.endswith("shards/report.html\n")
    new = (ds.path / "report.html").read_bytes()
    assert new != old and verify(ds.path).packed == 9
    assert sftdata.open(ds.path).report(tmp_path / "other.html").read_bytes() == new
    _, said, _ = prepare_again(tiny_tokenizer, tmp_path, "--overwrite", "--report", "--json")
    assert Path(json.loads(said)["report"]).resolve() == (ds.path / "report.html").resolve()


@pytest.mark.parametrize("is_changed", [True, False])
def test_overwriting_a_dataset_destroys_no_report_of_somebody_else(
    prepared: Prepared, tiny_tokenizer: Path, tmp_path: Path, is_changed: bool
) -> None:
    ds = prepared(ROWS)
    path = ds.report()
    path.write_bytes(path.read_bytes() + b"mine" if is_changed else b"mine")
    before = {one: one.read_bytes() for one in ds.path.rglob("*") if one.is_file()}
    code, _, error = prepare_again(tiny_tokenizer, tmp_path, "--overwrite")
    assert code == 1 and error.count("\n") == 1 and "so it is not removed with the old dataset" in error
    assert {one: one.read_bytes() for one in ds.path.rglob("*") if one.is_file()} == before


def test_a_run_that_was_stopped_while_it_replaced_a_dataset_with_a_report_is_continued(
    prepared: Prepared, tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = prepared(ROWS)
    ds.report()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("sftdata.pipeline.workspace.remove_inside", stop)
        assert prepare_again(tiny_tokenizer, tmp_path, "--overwrite", "--workers", "1")[0] == 130
    assert (ds.path / "report.html").exists() and not (ds.path / "manifest.json").exists()
    assert prepare_again(tiny_tokenizer, tmp_path, "--workers", "1")[0] == 0
    assert not (ds.path / "report.html").exists() and verify(ds.path).packed == 9


def test_a_report_that_cannot_be_written_is_one_sentence_behind_the_summary(
    tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> str:
        raise OutputError(
            str(path), "the disk is full", "free some space or choose another output folder, then run again"
        )

    monkeypatch.setattr("sftdata.view.report.write.write_bytes", full)
    code, said, error = prepare_again(tiny_tokenizer, tmp_path, "--report")
    assert code == 1 and "9 conversations" in " ".join(said.split()) and "report:" not in said
    assert error.endswith(
        "report.html: the disk is full; free some space or choose another output folder, then run again\n"
    )
    assert verify(tmp_path / "shards").packed == 9
