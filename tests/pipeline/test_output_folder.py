"""The output folder: what is replaced, what is refused, and what is left in it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from raw_rows import chat, write_lines
from restart_data import settings_for, write_data
from runs import prepare, tree

import sftdata
from sftdata.errors import OutputError, SourceError
from sftdata.pipeline.workspace import Workspace
from sftdata.store.manifest import Manifest


def test_a_dataset_is_replaced_only_when_asked_and_only_by_a_whole_one(tiny_tokenizer: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    data = write_lines(tmp_path / "a.jsonl", [chat(f"Question {n}", "Yes.") for n in range(20)])
    old = {"tokenizer": str(tiny_tokenizer), "sources": [str(data)], "out": {"path": str(out), "shard_tokens": 100}}
    sftdata.prepare(sftdata.parse_config(old), workers=1)
    (out / "train" / "notes.txt").write_text("mine")
    before = tree(out)
    new = sftdata.parse_config({**old, "out": str(out)})
    with pytest.raises(OutputError, match="holds a dataset already"):
        sftdata.prepare(new, workers=1)
    broken = sftdata.parse_config({**old, "sources": [str(data), str(tmp_path / "absent.jsonl")]})
    with pytest.raises(SourceError):
        sftdata.prepare(broken, workers=1, overwrite=True)
    assert tree(out) == before
    sftdata.prepare(new, workers=1, overwrite=True)
    assert (out / "train" / "notes.txt").read_text() == "mine"
    (out / "train" / "notes.txt").unlink()
    assert [path.name for path in (out / "train").iterdir()] == ["00000-of-00001.arrow"]
    sftdata.verify(out)


def test_a_dataset_is_not_replaced_by_one_of_which_a_file_is_gone(
    tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = Workspace.publish

    def lose_a_shard(self: Workspace, manifest: Manifest) -> None:
        next(self.shards.iterdir()).unlink()
        publish(self, manifest)

    out = tmp_path / "out"
    data = write_lines(tmp_path / "a.jsonl", [chat("Hi there", "Hello"), chat("Ho", "Hello")])
    prepare(out, tiny_tokenizer, [str(data)])
    before = tree(out)
    with monkeypatch.context() as patch:
        patch.setattr(Workspace, "publish", lose_a_shard)
        with pytest.raises(
            OutputError, match=r"shards/\w+\.arrow: is gone, though this run has written it; run the same"
        ):
            prepare(out, tiny_tokenizer, [str(data)], overwrite=True, pack={"seq_len": 40})
    assert {name: sha for name, sha in tree(out).items() if not name.startswith(".work/")} == before
    sftdata.verify(out)
    prepare(out, tiny_tokenizer, [str(data)], overwrite=True, pack={"seq_len": 40})
    assert tree(out) != before
    sftdata.verify(out)


def test_a_dataset_is_not_replaced_by_one_without_a_single_sample(tiny_tokenizer: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    data = write_lines(tmp_path / "a.jsonl", [chat("Hi there", "Hello"), chat("Ho", "Hello")])
    prepare(out, tiny_tokenizer, [str(data)])
    before = tree(out)
    with pytest.raises(OutputError) as caught:
        prepare(out, tiny_tokenizer, [str(data)], overwrite=True, pack={"seq_len": 8})
    assert caught.value.what == "no row was packed, so the dataset that is there is kept"
    assert caught.value.hint == "all are dropped: 2 as overlong, the first of them a.jsonl:1"
    assert {name: sha for name, sha in tree(out).items() if not name.startswith(".work/")} == before
    sftdata.verify(out)
    empty = tmp_path / "empty"
    prepare(empty, tiny_tokenizer, [str(data)], pack={"seq_len": 8})  # its ledger says why
    prepare(empty, tiny_tokenizer, [str(data)], overwrite=True, pack={"seq_len": 9})


def test_a_folder_with_other_things_in_it_is_left_alone(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [chat("Hi", "Hello")])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match=r"is not empty and holds no dataset \(it has thesis\.tex\)"):
        prepare(tmp_path / "out", tiny_tokenizer, [str(data)])
    assert tree(tmp_path / "out") == {"thesis.tex": hashlib.sha256(b"x").hexdigest()}


def test_sources_in_the_output_folder_are_refused(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "data" / "a.jsonl", [chat("Hi", "Hello")])
    prepare(tmp_path / "data" / "out", tiny_tokenizer, [str(data)])
    with pytest.raises(OutputError, match="a file of the sources, lies in it"):
        prepare(tmp_path / "data" / "out", tiny_tokenizer, [str(tmp_path / "data" / "out" / "train")], overwrite=True)
    sftdata.verify(tmp_path / "data" / "out")


def test_a_folder_of_sources_may_hold_the_output_folder(tiny_tokenizer: Path, tmp_path: Path) -> None:
    """A dataset in it is not raw data, and is skipped."""
    write_lines(tmp_path / "data" / "a.jsonl", [chat("Hi", "Hello")])
    for overwrite in (False, True):
        out = tmp_path / "data" / "out"
        assert prepare(out, tiny_tokenizer, [str(tmp_path / "data")], overwrite=overwrite).counts.rows_read == 1
    sftdata.verify(out)


def test_work_is_kept_only_on_request(tiny_tokenizer: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    settings = settings_for(tmp_path / "out", tiny_tokenizer, data)
    sftdata.prepare(sftdata.parse_config(settings), workers=1)
    assert not (tmp_path / "out" / ".work").exists()
    sftdata.prepare(sftdata.parse_config(settings), workers=1, overwrite=True, keep_work=True)
    assert sorted(path.name for path in (tmp_path / "out" / ".work").iterdir()) == ["lock", "pieces", "shards"]
    sftdata.verify(tmp_path / "out")


def test_a_second_run_into_the_same_folder_is_refused_while_the_first_lives(
    tiny_tokenizer: Path, tmp_path: Path
) -> None:
    data = write_data(tmp_path / "data")
    (tmp_path / "out" / ".work").mkdir(parents=True)
    lock = tmp_path / "out" / ".work" / "lock"
    holder = "import filelock, sys; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); print('held'); input()"
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", holder, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    config = sftdata.parse_config(settings_for(tmp_path / "out", tiny_tokenizer, data))
    with pytest.raises(OutputError, match="another run is writing into this folder"):
        sftdata.prepare(config, workers=1)
    assert lock.exists()
    process.kill()
    process.communicate()
    sftdata.prepare(config, workers=1)
    sftdata.verify(tmp_path / "out")
