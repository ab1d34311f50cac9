"""Texts of rows, read again from their files: only if they are still the rows of the ledger."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from found_rows import LAMP, ROWS, prepare, write_rows

import sftdata
from sftdata.view.dataset import open_dataset
from sftdata.view.find.texts import InputTexts, RowText
from sftdata.view.find.turns import SampleMessage


def texts(folder: Path, reason: str | None = None, data: Path | None = None) -> dict[str, RowText]:
    ds = open_dataset(folder)
    rows = ds.ledger.where(reason=reason).to_arrow().to_pylist()
    return dict(zip((row["where"] for row in rows), InputTexts(folder, ds.manifest, data).texts(rows)))


def contents(text: RowText) -> list[tuple[str | None, str]]:
    assert text.missing is None, text.missing
    return [(message.role, message.content) for message in text.messages]


def test_packed_and_dropped_rows_are_read_again(prepared: Path) -> None:
    found = texts(prepared)
    assert len(found) == 10
    assert contents(found["chats.jsonl:2"]) == [("user", "What is HTTP?"), ("assistant", "A protocol.")]
    assert contents(found["chats.jsonl:4"]) == [("user", "Describe the lamp."), ("assistant", LAMP + " It is new.")]
    assert contents(found["chats.jsonl:5"]) == [(None, '{"nothing": "of use"}')]
    assert contents(found["more.jsonl:3"]) == [("user", "Count to 6."), ("assistant", "1 2 3 4 5 6")]


def test_a_line_that_is_no_json_is_shown_as_it_is(tmp_path: Path, tiny_tokenizer: Path) -> None:
    folder = prepare(tmp_path, tiny_tokenizer)
    path = tmp_path / "data/chats.jsonl"
    path.write_text(path.read_text(encoding="utf-8") + '\n{"messages": [\n', encoding="utf-8")
    folder = tmp_path / "again"
    sftdata.prepare(sftdata.load_config(tmp_path / "prepare.yaml", ["out=again"]), workers=1)
    assert contents(texts(folder, "bad_json")["chats.jsonl:9"]) == [(None, '{"messages": [')]


def test_rows_that_have_changed_are_not_shown(tmp_path: Path, tiny_tokenizer: Path) -> None:
    folder = prepare(tmp_path, tiny_tokenizer)
    rows = list(ROWS["data/chats.jsonl"])
    rows[1] = {"messages": [{"role": "user", "content": "Other?"}, {"role": "assistant", "content": "Yes."}]}
    rows[4] = {"something": "else"}
    write_rows(tmp_path, {"data/chats.jsonl": rows})
    found = texts(folder)
    what = "chats.jsonl has changed since: the row that is there now is not the one that was read"
    assert [found[f"chats.jsonl:{line}"].missing for line in (2, 5)] == [what, what]
    assert contents(found["chats.jsonl:4"])[0] == ("user", "Describe the lamp.")


def test_rows_whose_file_is_gone_say_where_it_is_looked_for(tmp_path: Path, tiny_tokenizer: Path) -> None:
    folder = prepare(tmp_path / "here", tiny_tokenizer)
    shutil.move(tmp_path / "here/data", tmp_path / "moved")
    (found,) = texts(folder, "duplicate").values()
    assert found.missing == "data/chats.jsonl is not found on this machine; give its folder with --data"
    shutil.move(tmp_path / "moved", tmp_path / "there/data") if (tmp_path / "there").mkdir() is None else None
    (found,) = texts(folder, "duplicate", tmp_path / "there").values()
    assert contents(found)[0] == ("user", "What is HTTP?")


@pytest.mark.parametrize("kind", ["json", "jsonl.gz", "csv", "parquet"])
def test_rows_of_every_kind_of_file_are_read_again(tmp_path: Path, tiny_tokenizer: Path, kind: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"prompt": f"Say {n}", "completion": f"It is {n}."} for n in (1, 2, 1, 3, 2)]
    path = tmp_path / f"rows.{kind}"
    if kind == "json":
        path.write_text(json.dumps(rows))
    elif kind == "jsonl.gz":
        path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    elif kind == "csv":
        path.write_text("prompt,completion\n" + "".join(f"{row['prompt']},{row['completion']}\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    settings = {"tokenizer": str(tiny_tokenizer), "sources": [str(path)], "out": str(tmp_path / "out")}
    sftdata.prepare(sftdata.parse_config(settings), workers=1)
    found = [contents(text)[1] for text in texts(tmp_path / "out", "duplicate").values()]
    assert found == [("assistant", "It is 1."), ("assistant", "It is 2.")]


def test_secrets_are_masked_and_redacted_rows_are_recognized(tmp_path: Path, tiny_tokenizer: Path) -> None:
    key = "sk-" + "a1B2c3D4e5F6g7H8" * 2
    turns = ("Who?", f"Write to a.person@mail-host.org with {key}")
    row: dict[str, Any] = {"messages": [{"role": r, "content": t} for r, t in zip(("user", "assistant"), turns)]}
    for privacy, shown in (
        ("redact", "Write to [EMAIL] with [API_KEY]"),
        ("off", "Write to a.person@mail-host.org with "),
    ):
        folder = prepare(
            tmp_path / privacy, tiny_tokenizer, {"data/chats.jsonl": [row, row], "more.jsonl": ROWS["more.jsonl"]},
            privacy=privacy,
        )  # fmt: skip
        (found,) = texts(folder, "duplicate").values()
        assert contents(found)[1][1].startswith(shown)
        assert key not in contents(found)[1][1]


def test_end_tokens_that_were_stripped_do_not_hide_a_row(tmp_path: Path, tiny_tokenizer: Path) -> None:
    row = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo.<|endoftext|>"}]}
    rows = {"data/chats.jsonl": [row, row], "more.jsonl": ROWS["more.jsonl"]}
    folder = prepare(tmp_path, tiny_tokenizer, rows, clean={"strip_trailing_control": True})
    (found,) = texts(folder, "duplicate").values()
    assert contents(found) == [("user", "Hi"), ("assistant", "Yo.")]


def test_what_is_on_no_disk_says_so(tmp_path: Path, tiny_tokenizer: Path) -> None:
    rows = [{"prompt": "1 + 1?", "completion": "2"}] * 2
    settings = {"tokenizer": str(tiny_tokenizer), "sources": [{"rows": rows}], "out": str(tmp_path / "out")}
    sftdata.prepare(sftdata.parse_config(settings), workers=1)
    (found,) = texts(tmp_path / "out", "duplicate").values()
    assert found.missing == "it was given as a Python object, which is in no file"


def test_a_stranger_s_dataset_does_not_make_this_machine_call_another(prepared: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(prepared, tmp_path / "copy")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["config"]["sources"][0]["path"] = "https://example.com/data/chats.jsonl"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    ds = open_dataset(folder)
    row = {**ds.dropped.to_arrow().to_pylist()[0], "source": "https://example.com/data/chats.jsonl"}
    (found,) = InputTexts(folder, ds.manifest).texts([row])
    assert found == RowText(
        missing="https://example.com/data/chats.jsonl is on another machine, where only prepare reads"
    )


def test_an_evaluation_item_is_read_from_its_file(tmp_path: Path, tiny_tokenizer: Path) -> None:
    question = "How many kilometres are there in a nautical mile, to three decimal places?"
    (tmp_path / "exam.jsonl").write_text(json.dumps({"prompt": question, "completion": "1.852"}) + "\n")
    rows = {"data/chats.jsonl": [{"prompt": question, "completion": "Two"}], "more.jsonl": ROWS["more.jsonl"]}
    folder = prepare(tmp_path, tiny_tokenizer, rows, decontaminate={"against": ["exam.jsonl"]})
    ds = open_dataset(folder)
    item = InputTexts(folder, ds.manifest).evaluation_item("exam.jsonl:1")
    assert item.messages == (SampleMessage("user", question, False), SampleMessage("assistant", "1.852", False))
    (one,) = ds.why("chats.jsonl:1")
    assert (one.other, one.text.missing) == ("exam.jsonl:1", None)
    assert "[-Two-]" in str(one) and "{+1.852+}" in str(one)
