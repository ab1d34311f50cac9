"""The room that copies of files on stores take: files that no process holds make room, or an error says why not."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest

from sftdata.errors import DatasetError
from sftdata.files.regular import regular_file
from sftdata.remote import room
from sftdata.remote.mirror import hold, mirror
from sftdata.remote.room import make_room

FILES = {f"train/{name}": name.encode() * 10 for name in "abc"}  # ten bytes each


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The copy of a dataset of three files, of which none was fetched, in a cache of 45 bytes."""
    monkeypatch.setenv("SFTDATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(room, "limit_bytes", lambda: 45)
    store = fsspec.filesystem("memory")
    listed = [
        {"path": path, "size_bytes": 10, "sha256": hashlib.sha256(data).hexdigest()} for path, data in FILES.items()
    ]
    name = tmp_path.name
    store.pipe({f"/{name}/{path}": data for path, data in FILES.items()})
    store.pipe_file(f"/{name}/manifest.json", json.dumps({"shards": listed}).encode())
    return mirror(f"memory://{name}")


def names(copy: Path) -> list[str]:
    return sorted(path.name for path in (copy / "train").iterdir())


def test_room_is_made_of_what_nobody_asked_for_longest(copy: Path) -> None:
    for age, path in enumerate(FILES):
        regular_file(copy / path)
        for one in (copy / path, *(copy / ".locks").glob("*.used")):
            os.utime(one, ns=(10**18, 10**18 + age))
    before = (copy / "train" / "a").stat()
    regular_file(copy / "train" / "a")  # the oldest, which is asked for again
    assert (copy / "train" / "a").stat().st_ctime_ns == before.st_ctime_ns
    writing, left = copy / "train" / ".d.0a.tmp", copy / "train" / ".e.0b.tmp"
    for path in (writing, left):
        path.write_bytes(b"1234")
    os.utime(left, ns=(10**18 + 9, 10**18 + 9))
    make_room(copy.parent, 17, copy.parent / "another")  # 38 bytes are held
    assert names(copy) == [".d.0a.tmp", ".e.0b.tmp", "a", "c"]
    make_room(copy.parent, 27, copy.parent / "another")
    assert names(copy) == [".d.0a.tmp", ".e.0b.tmp", "a"]
    make_room(copy.parent, 28, copy.parent / "another")
    assert names(copy) == [".d.0a.tmp", "a"]


def test_what_is_held_stays_until_it_is_let_go(copy: Path) -> None:
    a, b = (hold(copy, f"train/{name}") for name in "ab")
    assert a is not None
    assert b is not None
    regular_file(copy / "train" / "c")
    make_room(copy.parent, 25, copy)
    assert names(copy) == ["a", "b"]
    in_use = "may hold 45 bytes, and 20 of them are in use: no room for a file of 26"
    with pytest.raises(DatasetError, match=rf"datasets: {in_use}; let it hold more, with SFTDATA_CACHE_GB=1$"):
        make_room(copy.parent, 26, copy)
    a.close()
    make_room(copy.parent, 26, copy)
    assert names(copy) == ["b"]
    b.close()


def test_nothing_is_removed_for_what_has_no_room_without_it_either(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        regular_file(copy / "train" / name)
    nothing_in_use = "may hold 45 bytes, and 0 of them are in use: no room for a file of 46"
    with pytest.raises(DatasetError, match=nothing_in_use):
        make_room(copy.parent, 46, copy)
    usage = shutil.disk_usage(copy)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=7))
    with pytest.raises(
        DatasetError, match="the disk is full: 7 bytes are free, and a copy of a file on a store has 28"
    ):
        make_room(copy.parent, 28, copy)
    assert names(copy) == ["a", "b"]
    make_room(copy.parent, 27, copy)
    assert names(copy) == []


@pytest.mark.skipif(sys.platform == "win32", reason="there, a file takes its size at once")
def test_what_another_file_is_yet_to_take_is_not_free(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    regular_file(copy / "train" / "a")
    usage = shutil.disk_usage(copy)
    monkeypatch.setattr(room, "limit_bytes", lambda: 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000_005))
    with (copy / "train" / ".b.0a.tmp").open("wb") as file:
        file.truncate(1_000_000)
    assert room.room_bytes(copy.parent) == 15
    make_room(copy.parent, 5, copy)
    assert names(copy) == [".b.0a.tmp", "a"]
    make_room(copy.parent, 6, copy)
    assert names(copy) == [".b.0a.tmp"]


@pytest.mark.skipif(sys.platform == "win32", reason="there, what is open cannot be removed")
def test_what_another_process_holds_stays_until_it_ends(copy: Path) -> None:
    for name in "ab":
        regular_file(copy / "train" / name)
    code = (
        "import sys, pathlib; from sftdata.remote import room; held = room.hold(pathlib.Path(sys.argv[1]), 'train/a')"
    )
    code += "; print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(copy)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        make_room(copy.parent, 35, copy)
        assert names(copy) == ["a"]
        other.kill()
        other.wait()
    make_room(copy.parent, 45, copy)
    assert names(copy) == []


def test_a_file_that_is_fetched_has_its_size_from_the_start(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So two processes that fetch at a time do not both take the last bytes."""
    seen: list[list[int]] = []

    def chunks(self: Any, name: str) -> Any:
        seen.append([path.stat().st_size for path in (copy / "train").iterdir()])
        yield FILES[name]

    monkeypatch.setattr("sftdata.remote.folder.RemoteFolder.chunks", chunks)
    regular_file(copy / "train" / "a")
    regular_file(copy / "train" / "b")
    assert seen == [[10], [10, 10]]


def test_a_file_larger_than_the_limit_and_a_full_disk_are_sentences(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "limit_bytes", lambda: 9)
    with pytest.raises(DatasetError, match="may hold 9 bytes, and 0 of them are in use: no room for a file of 10"):
        regular_file(copy / "train" / "a")
    monkeypatch.setattr(room, "limit_bytes", lambda: 45)
    regular_file(copy / "train" / "a")
    usage = shutil.disk_usage(copy)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=7))
    assert room.room_bytes(copy.parent) == 17
    regular_file(copy / "train" / "b")  # once a made room
    assert names(copy) == ["b"]
    held = hold(copy, "train/b")
    full = "datasets: the disk is full: 7 bytes are free, and a copy of a file on a store has 10; free some space"
    with pytest.raises(DatasetError, match=full):
        regular_file(copy / "train" / "c")
    assert held is not None
    held.close()
    monkeypatch.undo()


@pytest.mark.parametrize(("number", "what"), [(errno.ENOSPC, "the disk is full"), (errno.EDQUOT, "your disk quota")])
def test_a_disk_that_is_full_before_its_time_is_a_sentence(
    copy: Path, monkeypatch: pytest.MonkeyPatch, number: int, what: str
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("sftdata.files.atomic.os.fsync", fail)
    todo = "free some space, or name another folder in SFTDATA_CACHE"
    with pytest.raises(DatasetError, match=rf"datasets: cannot hold a copy of a file on a store: {what}.*; {todo}"):
        regular_file(copy / "train" / "a")
    assert names(copy) == []
