"""A dataset written to a store: the files of a local one, its manifest last, an older one whole until then."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import call

import sftdata
from sftdata.errors import OutputError, SourceError
from sftdata.files.lock import FolderLock
from sftdata.remote.folder import RemoteFolder

ROWS = [{"prompt": f"What is {n}?", "completion": f"It is {n}, of course."} for n in range(12)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*ROWS, ROWS[0]]))
    return path


def make(data: Path, tokenizer: Path, out: object, **settings: Any) -> sftdata.Manifest:
    keywords = {name: settings.pop(name) for name in ("overwrite", "fresh", "keep_work") if name in settings}
    given = {"pack": {"seq_len": 64}, **settings}
    return sftdata.prepare(
        data, tokenizer=tokenizer, out={"path": str(out), "shard_tokens": 200}, workers=1, progress=False,
        **keywords, **given,
    ).manifest  # fmt: skip


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_store_gets_the_same_files_as_a_folder_and_this_machine_keeps_no_work(
    store: Any, data: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    make(data, tiny_tokenizer, tmp_path / "out")
    make(data, tiny_tokenizer, store.at("out"))
    local = files_of(tmp_path / "out")
    assert len([name for name in local if name.startswith("train/")]) > 1
    assert {name: store.read(f"out/{name}") for name in local} == local
    assert store.names() == sorted(f"out/{name}" for name in local)
    assert [*(tmp_path / "cache" / "work").iterdir()] == []


def test_a_dataset_is_replaced_only_with_overwrite_and_nothing_of_the_old_one_is_left(
    store: Any, data: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    make(data, tiny_tokenizer, store.at("out"))
    with pytest.raises(OutputError, match=r"out: holds a dataset already; name another folder, or replace it with --o"):
        make(data, tiny_tokenizer, store.at("out"), seed=1)
    make(data, tiny_tokenizer, store.at("out"), seed=1, split={"validation": 2}, overwrite=True)
    make(data, tiny_tokenizer, tmp_path / "out", seed=1, split={"validation": 2})
    assert store.names() == sorted(f"out/{name}" for name in files_of(tmp_path / "out"))
    assert sftdata.verify(store.at("out")).packed == 12


def test_what_is_no_dataset_is_kept(store: Any, data: Path, tiny_tokenizer: Path) -> None:
    store.put("out/notes.txt", b"mine")
    with pytest.raises(OutputError, match=r"is not empty and holds no dataset \(it has notes\.txt\)"):
        make(data, tiny_tokenizer, store.at("out"), overwrite=True)
    assert store.names() == ["out/notes.txt"]


@pytest.mark.parametrize(
    "note",
    [
        {"owner": "x", "files": {"../victim.txt": "0"}, "is_direct": True},
        {"owner": "x", "files": {"notes.txt": "0"}, "is_direct": True},
        {"owner": "x", "files": {"train/../../victim.txt": "0"}, "is_direct": False},
        {"owner": "x", "files": {"/victim.txt": "0"}, "is_direct": True},
        {"owner": "x", "files": ["notes.txt"], "is_direct": True},
        "[" * 100_000,
    ],
)
def test_a_note_on_the_store_makes_nothing_removed_that_is_not_of_a_dataset(
    data: Path, tiny_tokenizer: Path, tmp_path: Path, note: Any
) -> None:
    out = tmp_path / "store" / "out"
    out.mkdir(parents=True)
    for path in (tmp_path / "store" / "victim.txt", out / "notes.txt"):
        path.write_text("mine")
    (out / ".publishing.json").write_text(note if isinstance(note, str) else json.dumps(note))
    with pytest.raises(OutputError, match=r"out/\.publishing\.json: was not written by a run; name another folder"):
        make(data, tiny_tokenizer, f"file://{out}", overwrite=True)
    assert sorted(files_of(tmp_path / "store")) == ["out/.publishing.json", "out/notes.txt", "victim.txt"]


class StoppedError(Exception):
    """In place of a process that is killed, or a store that is gone."""


@pytest.mark.parametrize("verb", ["create", "upload", "write", "remove"])
def test_a_first_run_that_stops_leaves_no_dataset_and_goes_on(
    store: Any, data: Path, tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    make(data, tiny_tokenizer, tmp_path / "out")
    with monkeypatch.context() as patch:
        stop_at(patch, verb, 1 if verb == "upload" else 0, lambda name: verb != "remove" or name == ".publishing.json")
        with pytest.raises(StoppedError):
            make(data, tiny_tokenizer, store.at("out"))
    assert ("out/manifest.json" in store.names()) == (verb == "remove")
    uploads: list[str] = []
    count_uploads(monkeypatch, uploads)
    make(data, tiny_tokenizer, store.at("out"))
    assert store.names() == sorted(f"out/{name}" for name in files_of(tmp_path / "out"))
    assert len(uploads) == {"create": 6, "upload": 5, "write": 0, "remove": 0}[verb]  # of six files
    sftdata.verify(store.at("out"))


@pytest.mark.parametrize("verb", ["upload", "copy", "write"])
def test_while_a_dataset_is_replaced_it_is_the_old_one_or_none(
    store: Any, data: Path, tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    old = make(data, tiny_tokenizer, store.at("out"))
    with monkeypatch.context() as patch:
        stop_at(patch, verb, 0, lambda name: verb != "write" or name == "manifest.json")
        with pytest.raises(StoppedError):
            make(data, tiny_tokenizer, store.at("out"), seed=1, overwrite=True)
    if verb == "upload":
        assert sftdata.open(store.at("out")).manifest.dataset_hash == old.dataset_hash
        sftdata.verify(store.at("out"))
    else:
        with pytest.raises(sftdata.DatasetError, match=r"no manifest\.json, so it is not a dataset, or one that is"):
            sftdata.open(store.at("out"))
    with monkeypatch.context() as patch:  # another machine, which does not know of the run that was stopped
        patch.setenv("SFTDATA_CACHE", str(tmp_path / "other"))
        with pytest.raises(OutputError, match="another run is writing into this folder, or was stopped while it did"):
            make(data, tiny_tokenizer, store.at("out"), seed=2)
    new = make(data, tiny_tokenizer, store.at("out"), seed=1, overwrite=True)
    assert new.dataset_hash != old.dataset_hash
    assert sftdata.open(store.at("out")).manifest.dataset_hash == new.dataset_hash
    sftdata.verify(store.at("out"))
    assert [name for name in store.names() if name.startswith("out/.")] == []


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_run_with_other_settings_than_one_that_was_stopped_replaces_no_dataset(
    store: Any, data: Path, tiny_tokenizer: Path, monkeypatch: pytest.MonkeyPatch, is_replaced: bool
) -> None:
    if is_replaced:  # while the new files are staged
        make(data, tiny_tokenizer, store.at("out"))
    with monkeypatch.context() as patch:
        if is_replaced:
            stop_at(patch, "upload", 1, lambda name: True)
        else:  # when all is done but for the note
            stop_at(patch, "remove", 0, lambda name: name == ".publishing.json")
        with pytest.raises(StoppedError):
            make(data, tiny_tokenizer, store.at("out"), seed=1, overwrite=is_replaced)
    manifest = store.read("out/manifest.json")
    with pytest.raises(OutputError, match="out: holds a dataset already"):
        make(data, tiny_tokenizer, store.at("out"), seed=7)
    assert store.read("out/manifest.json") == manifest
    sftdata.verify(store.at("out"))
    make(data, tiny_tokenizer, store.at("out"), seed=1)  # the run that was stopped goes on
    assert (store.read("out/manifest.json") == manifest) != is_replaced
    sftdata.verify(store.at("out"))
    assert [name for name in store.names() if name.startswith("out/.")] == []


@pytest.mark.parametrize("stops", ["upload", "copy", "before the note is removed"])
@pytest.mark.parametrize("goes_on_with_overwrite", [False, True])
def test_a_damaged_dataset_is_mended_by_a_run_that_was_stopped(
    store: Any, data: Path, tiny_tokenizer: Path, monkeypatch: pytest.MonkeyPatch, stops: str,
    goes_on_with_overwrite: bool,
) -> None:  # fmt: skip
    make(data, tiny_tokenizer, store.at("out"))
    shards = [name for name in store.names() if name.startswith("out/train/")]
    whole = [store.read(name) for name in shards]
    store.put(shards[0], bytes(len(whole[0])))  # of the same size
    store.put(shards[1], b"x")
    with monkeypatch.context() as patch:
        verb = "remove" if stops.startswith("before") else stops
        stop_at(patch, verb, 0, lambda name: verb != "remove" or name == ".publishing.json")
        with pytest.raises(StoppedError):
            make(data, tiny_tokenizer, store.at("out"), overwrite=True)
    make(data, tiny_tokenizer, store.at("out"), overwrite=goes_on_with_overwrite)
    assert [store.read(name) for name in shards] == whole
    assert [name for name in store.names() if name.startswith("out/.")] == []


def test_a_shard_that_was_cut_after_the_manifest_was_written_is_written_again(
    store: Any, data: Path, tiny_tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, "remove", 0, lambda name: name == ".publishing.json")
        with pytest.raises(StoppedError):
            make(data, tiny_tokenizer, store.at("out"))
    [shard, *_] = [name for name in store.names() if name.startswith("out/train/")]
    whole = store.read(shard)
    store.put(shard, b"x")
    make(data, tiny_tokenizer, store.at("out"))
    assert store.read(shard) == whole


def test_another_machine_takes_the_place_of_a_stopped_run_with_overwrite(
    store: Any, data: Path, tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, "write", 0, lambda name: name == "manifest.json")
        with pytest.raises(StoppedError):
            make(data, tiny_tokenizer, store.at("out"))
    monkeypatch.setenv("SFTDATA_CACHE", str(tmp_path / "other"))
    make(data, tiny_tokenizer, store.at("out"), seed=2, overwrite=True)
    assert sftdata.verify(store.at("out")).packed == 12
    assert [name for name in store.names() if name.startswith("out/.")] == []


def test_a_run_whose_place_was_taken_writes_no_manifest(
    store: Any, data: Path, tiny_tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = RemoteFolder.upload

    def taken(self: RemoteFolder, source: Path, name: str) -> None:
        upload(self, source, name)
        store.put("out/.publishing.json", json.dumps({"owner": "x", "files": {}, "is_direct": True}).encode())

    monkeypatch.setattr(RemoteFolder, "upload", taken)
    with pytest.raises(OutputError, match="another run took the place of this one while it wrote"):
        make(data, tiny_tokenizer, store.at("out"))
    assert "out/manifest.json" not in store.names()


def test_an_upload_that_is_cut_short_is_an_error(
    store: Any, data: Path, tiny_tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(store.system, "put_file", lambda source, target, **_: store.system.pipe_file(target, b"half"))
        with pytest.raises(OutputError, match=r"has 4 of [\d,]+ bytes after it was written; run the same"):
            make(data, tiny_tokenizer, store.at("out"))
    assert "out/manifest.json" not in store.names()
    make(data, tiny_tokenizer, store.at("out"))
    sftdata.verify(store.at("out"))


def test_a_source_in_the_output_folder_is_refused(store: Any, data: Path, tiny_tokenizer: Path) -> None:
    address = store.put("out/rows.jsonl", data.read_bytes())
    with pytest.raises(OutputError, match="is not empty and holds no dataset"):
        make(address, tiny_tokenizer, store.at("out"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "address",
    [
        "s3://KEYID:hidden-word@bucket/out",
        "memory://u:hidden-word@x/out",
        "s3://bucket/out?X-Amz-Signature=hidden-word",
    ],
)
def test_an_address_with_a_password_or_a_signature_is_refused_without_saying_it(
    address: str, data: Path, tiny_tokenizer: Path
) -> None:
    with pytest.raises(OutputError, match="has a password, a token or a signature in its address") as refused:
        make(data, tiny_tokenizer, address)
    assert "hidden-word" not in str(refused.value)
    if address.startswith("s3"):
        assert "AWS_ACCESS_KEY_ID" in str(refused.value)
        with pytest.raises(SourceError, match="take them out of the address, and put them into AWS_ACCESS_KEY_ID"):
            make(address + ".jsonl", tiny_tokenizer, data.parent / "out")  # type: ignore[arg-type]


def test_the_work_of_a_run_is_where_it_is_told_and_the_dataset_is_the_same(
    data: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    make(data, tiny_tokenizer, tmp_path / "a")
    settings = {"tokenizer": str(tiny_tokenizer), "sources": [str(data)], "pack": {"seq_len": 64}}
    out = {"path": str(tmp_path / "b"), "work": str(tmp_path / "work"), "shard_tokens": 200}
    sftdata.prepare({**settings, "out": out}, workers=1, keep_work=True, progress=False)
    assert [path.name[:2] for path in (tmp_path / "work").iterdir()] == ["b-"]
    assert sorted(path.name for path in (tmp_path / "b" / ".work").iterdir()) == ["lock"]
    sftdata.prepare({**settings, "out": out}, workers=1, overwrite=True, progress=False)
    assert files_of(tmp_path / "b") == files_of(tmp_path / "a")
    assert [*(tmp_path / "work").iterdir()] == []


@pytest.mark.parametrize("to_store", [False, True])
@pytest.mark.parametrize("place", ["", "dataset"])
def test_a_link_where_the_work_would_be_is_refused_and_nothing_behind_it_is_removed(
    data: Path, tiny_tokenizer: Path, tmp_path: Path, to_store: bool, place: str
) -> None:
    if place and not to_store:
        pytest.skip("the work for a local folder is in one folder")
    out = {"path": f"file://{tmp_path / 'b'}" if to_store else str(tmp_path / "b"), "work": str(tmp_path / "work")}
    settings = {"tokenizer": str(tiny_tokenizer), "sources": [str(data)], "pack": {"seq_len": 64}, "out": out}
    sftdata.prepare(settings, workers=1, keep_work=True, progress=False)
    [folder] = (tmp_path / "work").iterdir()
    shutil.rmtree(folder)
    for name in ("new", "rows", "shards", "pieces"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        (tmp_path / "mine" / name / "file").write_text("mine")
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).symlink_to(tmp_path / "mine", target_is_directory=True)
    with pytest.raises(OutputError, match="is a link, and nothing is written to or removed from what it leads to"):
        sftdata.prepare(settings, workers=1, overwrite=True, progress=False)
    assert sorted(files_of(tmp_path / "mine")) == ["new/file", "pieces/file", "rows/file", "shards/file"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_the_work_of_a_run_is_readable_for_its_user_alone(data: Path, tiny_tokenizer: Path, tmp_path: Path) -> None:
    settings = {"tokenizer": str(tiny_tokenizer), "sources": [str(data)], "pack": {"seq_len": 64}}
    for place in ("a", f"file://{tmp_path / 'b'}"):
        out = {"path": place if "://" in place else str(tmp_path / place), "work": str(tmp_path / "work")}
        sftdata.prepare({**settings, "out": out}, workers=1, keep_work=True, progress=False)
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "work").iterdir()] == [0o700, 0o700]


def test_a_run_that_is_refused_leaves_nothing_on_this_machine(
    store: Any, data: Path, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    store.put("out/notes.txt", b"mine")
    with pytest.raises(OutputError, match="is not empty and holds no dataset"):
        make(data, tiny_tokenizer, store.at("out"))
    assert [*(tmp_path / "cache" / "work").iterdir()] == []


def test_a_run_that_ends_keeps_the_work_of_one_that_begins(
    store: Any, data: Path, tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, begun = FolderLock.remove, []

    def released(self: FolderLock) -> None:
        release(self)
        [home] = (tmp_path / "cache" / "work").iterdir()
        begun.append(home / "dataset" / ".work" / "lock")
        begun[0].write_text("")
        (home / "run").write_text("of the next run")

    monkeypatch.setattr(FolderLock, "remove", released)
    make(data, tiny_tokenizer, store.at("out"))
    [lock] = begun
    assert lock.exists()
    assert (lock.parents[2] / "run").read_text() == "of the next run"


def test_the_commands_say_the_address(store: Any, data: Path, tiny_tokenizer: Path, tmp_path: Path) -> None:
    out = store.at("out")
    code, said, error = call("prepare", data, "--tokenizer", tiny_tokenizer, "--out", out, "--workers", 1, "--report")
    assert code == 0, error
    assert f"sftdata inspect {out}" in said
    assert f"report: {out}/report.html" in said
    assert b"sftdata report of" in store.read("out/report.html")[:200]
    for command in (["verify", out], ["inspect", out], ["why", out, "rows.jsonl:13"], ["diff", out, out]):
        code, said, error = call(*command)
        assert code == 0, error
        assert str(tmp_path / "cache") not in said
    store.put("out/train/more.arrow", b"x")
    code, said, error = call("verify", out)
    assert (code, error) == (
        1,
        f"sftdata: {out}/train/more.arrow: is not in the manifest; move it out of the dataset folder\n",
    )


def stop_at(patch: pytest.MonkeyPatch, verb: str, after: int, is_meant: Any) -> None:
    """Let a verb of the store fail once it was called so many times."""
    original, calls = getattr(RemoteFolder, verb), [0]

    def stopping(self: RemoteFolder, *arguments: Any) -> Any:
        name = arguments[-1] if verb in ("upload", "copy") else arguments[0]
        names = [name] if isinstance(name, str) else [*name]
        if any(map(is_meant, names)) and not (verb == "write" and names != ["manifest.json"]):
            calls[0] += 1
            if calls[0] > after:
                raise StoppedError
        return original(self, names if verb == "remove" else arguments[0], *arguments[1:])

    patch.setattr(RemoteFolder, verb, stopping)


def count_uploads(patch: pytest.MonkeyPatch, names: list[str]) -> None:
    original = RemoteFolder.upload

    def counting(self: RemoteFolder, source: Path, name: str) -> None:
        names.append(name)
        original(self, source, name)

    patch.setattr(RemoteFolder, "upload", counting)
