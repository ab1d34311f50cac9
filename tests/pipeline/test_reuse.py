"""Runs that are repeated with changes: which work of the earlier run is used again, and that the bytes are the same."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from restart_data import chats, settings_for, write_data
from runs import RecordedProgress, tree

import sftdata
from sftdata.errors import SourceError
from sftdata.pipeline import read
from sftdata.pipeline.prepare import prepare as make_dataset
from sftdata.read import file_stamps


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data")


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "UNIT_BYTES", 4000)


def prepare(settings: dict[str, Any], **keywords: Any) -> RecordedProgress:
    """What a run that keeps its work reports, once its dataset is verified."""
    progress = RecordedProgress()
    keywords = {"workers": 1, "keep_work": True, "overwrite": True, **keywords}
    make_dataset(sftdata.parse_config(settings), progress=progress, **keywords)
    sftdata.verify(settings["out"]["path"])
    return progress


@pytest.mark.usefixtures("small_units")
def test_only_what_depends_on_a_change_is_done_again(data: Path, tiny_tokenizer: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = settings_for(out, tiny_tokenizer, data)
    first = prepare(settings)
    units = sum(-(-path.stat().st_size // 4000) for path in data.iterdir())
    assert (first.done["read"], first.done["encode"], first.notes) == (units, units, [])
    assert first.done["pack"] > 2

    again = prepare(settings)
    assert (again.done["read"], again.done["encode"], again.done["pack"]) == (0, 0, 0)
    assert again.done["write"] == first.done["write"]  # the shards have left the work folder
    assert again.notes == [f"{stage}: done by an earlier run" for stage in ("read", "encode", "pack")]

    repacked = prepare({**settings, "pack": {"seq_len": 128}})
    assert (repacked.done["read"], repacked.done["encode"]) == (0, 0)

    retrained = prepare({**settings, "template": "chatml"})
    assert (retrained.done["read"], retrained.done["encode"]) == (0, units)

    moved = tmp_path / "moved"
    shutil.copytree(data, moved)
    elsewhere = settings_for(out, tiny_tokenizer, moved, template="chatml")
    assert {stage: prepare(elsewhere).done[stage] for stage in ("read", "encode")} == {"read": 0, "encode": 0}

    started_over = prepare(elsewhere, fresh=True)
    assert (started_over.done["read"], started_over.done["encode"], started_over.notes) == (units, units, [])


@pytest.mark.usefixtures("small_units")
def test_a_changed_byte_is_noticed_though_size_and_time_are_the_same(
    data: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path / "out", tiny_tokenizer, data)
    prepare(settings)
    changed = data / "b.jsonl"
    before = changed.stat()
    text = changed.read_text()
    changed.write_text(text.replace("Question 5", "Question 9", 1))
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (changed.stat().st_size, changed.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    changed_run = prepare(settings)
    assert (changed_run.done["read"], changed_run.done["encode"]) == (1, 1)
    kept = tree(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    prepare(settings)
    assert {name: digest for name, digest in tree(tmp_path / "out").items() if ".work" not in name} == {
        name: digest for name, digest in kept.items() if ".work" not in name
    }


@pytest.mark.parametrize("how", ["rewritten", "appended to", "replaced", "gone"])
def test_a_source_that_changes_while_it_is_read_is_an_error_and_spoils_no_later_run(
    data: Path, tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    path = data / "b.jsonl"
    original = path.read_bytes()
    settings = settings_for(tmp_path / "out", tiny_tokenizer, data)
    prepare(settings)
    expected = tree(tmp_path / "out" / "train")
    shutil.rmtree(tmp_path / "out")
    checksums = file_stamps.unit_checksums

    def meddle(units: Any) -> list[str | None]:
        """After the checksums are taken and before the rows are read."""
        keys = checksums(units)
        if how == "rewritten":
            path.write_bytes(original.replace(b"Because", b"BECAUSE"))
        elif how == "appended to":
            path.write_bytes(original + b'{"prompt": "New", "completion": "New"}\n')
        elif how == "replaced":
            (tmp_path / "new").write_bytes(original.replace(b"Because", b"BECAUSE"))
            (tmp_path / "new").replace(path)
        else:
            path.unlink()
        return keys

    with monkeypatch.context() as patch:
        patch.setattr("sftdata.read.stage.unit_checksums", meddle)
        with pytest.raises(SourceError, match="cannot be read" if how == "gone" else "changed while it was being read"):
            sftdata.prepare(sftdata.parse_config(settings), workers=1)
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == [".work"]
    path.write_bytes(original)
    prepare(settings)
    assert tree(tmp_path / "out" / "train") == expected


def test_sources_on_a_remote_store_are_read_again_and_encoded_only_where_they_changed(
    tiny_tokenizer: Path, tmp_path: Path
) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    store.pipe("/restart/a.jsonl", chats(range(20)).encode())
    settings = settings_for(tmp_path / "out", tiny_tokenizer, Path("x"))
    settings["sources"] = ["memory://restart/a.jsonl"]
    assert prepare(settings).done["encode"] == 1
    again = prepare(settings).done
    assert (again["read"], again["encode"]) == (1, 0)
    store.pipe("/restart/a.jsonl", chats(range(21)).encode())
    assert prepare(settings).done["encode"] == 1
