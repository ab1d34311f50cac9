"""Whatever is in the output folder, links and a stranger's notes too: `prepare` changes nothing outside of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_rows import chat, write_lines

import sftdata
from sftdata.errors import OutputError, SftDataError
from sftdata.pipeline.workspace import Workspace

Snapshot = dict[str, tuple[int, str]]


class Room:
    """A dataset in OUT, and things of other people beside it that nothing may change."""

    def __init__(self, folder: Path, tokenizer: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.theirs = folder / "theirs"
        for name in (
            "thesis.tex",
            "train/00000-of-00001.arrow",
            "ledger/00000.parquet",
            "new/a",
            "pieces/read/a.arrow",
        ):
            (self.theirs / name).parent.mkdir(parents=True, exist_ok=True)
            (self.theirs / name).write_text(f"theirs: {name}")
        (self.theirs / "empty").mkdir()
        data = write_lines(folder / "a.jsonl", [chat(f"Question {n}", "Yes.") for n in range(8)])
        self.config = sftdata.parse_config({"tokenizer": str(tokenizer), "sources": [str(data)], "out": str(self.out)})

    def prepare(self, **options: bool) -> None:
        sftdata.prepare(self.config, workers=1, **options)

    def outside(self) -> Snapshot:
        """What is not in OUT: the number of names and the content of every file, with every folder."""
        found: Snapshot = {}
        for path in sorted(self.folder.rglob("*")):
            if self.out not in (path, *path.parents):
                found[str(path)] = (path.stat().st_nlink, path.read_text()) if path.is_file() else (0, "")
        return found


@pytest.fixture(scope="module")
def made(tiny_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Room:
    """A room with a dataset. Tests work on copies."""
    room = Room(tmp_path_factory.mktemp("made"), tiny_tokenizer)
    room.prepare()
    return room


@pytest.fixture
def room(made: Room, tmp_path: Path) -> Room:
    return copied(made, tmp_path)


def copied(made: Room, folder: Path) -> Room:
    room = Room(folder, Path(made.config.tokenizer))
    shutil.copytree(made.out, room.out)
    return room


def work_folder(out: Path) -> Path:
    """A work folder as a run leaves it."""
    work = out / ".work"
    for name in ("pieces/read", "shards", "new"):
        (work / name).mkdir(parents=True, exist_ok=True)
    (work / "lock").touch()
    return work


def linked(path: Path, to: Path) -> None:
    """A link in place of whatever is there."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(to)


LAYOUTS: dict[str, Callable[[Room], None]] = {
    "train": lambda room: linked(room.out / "train", room.theirs / "train"),
    "validation": lambda room: linked(room.out / "validation", room.theirs / "empty"),
    "ledger": lambda room: linked(room.out / "ledger", room.theirs / "ledger"),
    "tokenizer": lambda room: linked(room.out / "tokenizer", room.theirs / "absent"),
    "templates": lambda room: linked(room.out / "tokenizer" / "additional_chat_templates", room.theirs / "train"),
    "manifest": lambda room: linked(room.out / "manifest.json", shutil.copy(room.out / "manifest.json", room.theirs)),
    "no manifest": lambda room: linked(room.out / "manifest.json", room.theirs / "absent"),
    "shard": lambda room: linked(room.out / "train/00000-of-00001.arrow", room.theirs / "train/00000-of-00001.arrow"),
    ".work": lambda room: linked(room.out / ".work", room.theirs),
    ".work, a file": lambda room: linked(room.out / ".work", room.theirs / "thesis.tex"),
    "pieces": lambda room: linked(work_folder(room.out) / "pieces", room.theirs / "pieces"),
    "pieces/read": lambda room: linked(work_folder(room.out) / "pieces/read", room.theirs / "pieces/read"),
    "piece": lambda room: linked(work_folder(room.out) / "pieces/read/a.arrow", room.theirs / "pieces/read/a.arrow"),
    "shards": lambda room: linked(work_folder(room.out) / "shards", room.theirs / "train"),
    "new": lambda room: linked(work_folder(room.out) / "new", room.theirs / "new"),
    "new/ledger": lambda room: linked(work_folder(room.out) / "new/ledger", room.theirs / "ledger"),
    "lock": lambda room: linked(work_folder(room.out) / "lock", room.theirs / "thesis.tex"),
    "publishing.json": lambda room: linked(work_folder(room.out) / "publishing.json", room.theirs / "thesis.tex"),
}


@pytest.mark.parametrize("keep_work", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_behind_a_link_is_changed(room: Room, layout: str, keep_work: bool) -> None:
    LAYOUTS[layout](room)
    before = room.outside()
    try:
        room.prepare(overwrite=True, fresh=not keep_work, keep_work=keep_work)
    except OutputError as error:
        assert "is a link" in str(error) or "was not written by a run" in str(error)
        assert layout != "shard"
    else:
        assert layout in ("shard", "templates")  # the link itself is replaced, or where nothing is written
        if layout == "shard":
            sftdata.verify(room.out)
    assert room.outside() == before


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(layouts=st.lists(st.sampled_from(sorted(LAYOUTS)), min_size=2, max_size=4), fresh=st.booleans())
def test_nothing_behind_several_links_is_changed(
    made: Room, tmp_path_factory: pytest.TempPathFactory, layouts: list[str], fresh: bool
) -> None:
    room = copied(made, tmp_path_factory.mktemp("room"))
    for layout in layouts:
        with suppress(OSError):  # where an earlier link is in the way
            LAYOUTS[layout](room)
    before = room.outside()
    with suppress(OutputError):
        room.prepare(overwrite=True, fresh=fresh)
    assert room.outside() == before
    shutil.rmtree(room.folder)


def test_files_with_several_names_keep_their_content_under_the_others(room: Room) -> None:
    work = work_folder(room.out)
    names = [
        *(path for path in room.out.rglob("*") if path.is_file()),
        work / "new" / "a",
        work / "shards" / ".a.arrow",
    ]
    for number, path in enumerate(names):
        other = room.theirs / f"{number}"
        other.write_text(f"theirs {number}")
        if path.name == "manifest.json":
            continue
        path.unlink(missing_ok=True)
        path.hardlink_to(other)
    before = {path.name: path.read_text() for path in room.theirs.iterdir() if path.is_file()}
    room.prepare(overwrite=True)
    assert {path.name: path.read_text() for path in room.theirs.iterdir() if path.is_file()} == before
    sftdata.verify(room.out)


NAMES = st.one_of(
    st.sampled_from(["../theirs/thesis.tex", "train/../../theirs/thesis.tex", "notes.txt", ".git/config", "."]),
    st.sampled_from(
        ["train/00000-of-00001.arrow", "train/00007-of-00009.arrow", "tokenizer/tokenizer.json", "a.jsonl"]
    ),
    st.sampled_from(["{theirs}/thesis.tex", "//{theirs}/thesis.tex", "train//../..", "tokenizer/..", "tokenizer/a/b"]),
    st.sampled_from(["manifest.json", ".work/lock", ".work", "ledger/00000.parquet/../../../theirs/thesis.tex", ""]),
    st.text(max_size=20),
)
PLACES = st.one_of(
    st.none(),
    st.sampled_from(["shards/" + "a" * 64 + ".arrow", "shards/../../../theirs/thesis.tex", "new/../../../theirs/x"]),
    st.sampled_from(["shards/{theirs}/x", "/{theirs}/thesis.tex", "shards/", 7, ["new/a"]]),
)
NOTES = st.one_of(
    st.fixed_dictionaries({"config": st.text(max_size=5), "files": st.dictionaries(NAMES, PLACES, max_size=4)}),
    st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner), max_leaves=5),
    st.sampled_from([{"config": 3, "files": {}}, {"files": ["train/a"]}, {"config": "", "files": None}, {}]),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(notes=NOTES, has_manifest=st.booleans(), has_config=st.booleans())
def test_notes_made_up_by_a_stranger_move_and_remove_nothing_outside(
    made: Room, tmp_path_factory: pytest.TempPathFactory, notes: Any, has_manifest: bool, has_config: bool
) -> None:
    room = copied(made, tmp_path_factory.mktemp("room"))
    room.out.joinpath("notes.txt").write_text("mine")
    if not has_manifest:
        (room.out / "manifest.json").unlink()
    if isinstance(notes, dict) and has_config:
        notes = {**notes, "config": Workspace(room.config)._config}
    text = json.dumps(notes).replace("{theirs}", str(room.theirs))
    (work_folder(room.out) / "publishing.json").write_text(text)
    before = room.outside()
    try:
        with Workspace(room.config, overwrite=has_manifest) as work:
            work._interrupted()
            (work.new / "a").write_text("new")
    except OutputError:
        pass
    assert room.outside() == before
    assert room.out.joinpath("notes.txt").read_text() == "mine"
    shutil.rmtree(room.folder)


@pytest.mark.parametrize("text", ["", "[", "\x00", "[" * 100_000, '{"config": "\\ud800", "files": {"\\ud800": null}}'])
def test_notes_that_are_none_are_one_sentence(room: Room, text: str) -> None:
    (work_folder(room.out) / "publishing.json").write_text(text)
    with pytest.raises(
        OutputError, match=r"publishing\.json: was not written by a run; name another folder, or remove"
    ):
        room.prepare(overwrite=True)
    sftdata.verify(room.out)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES, kind=st.sampled_from(["shards", "ledger", "files"]))
def test_a_manifest_made_up_by_a_stranger_removes_nothing_but_files_of_a_dataset(
    made: Room, tmp_path_factory: pytest.TempPathFactory, name: str, kind: str
) -> None:
    room = copied(made, tmp_path_factory.mktemp("room"))
    manifest = json.loads((room.out / "manifest.json").read_text())
    manifest[kind] += [{**manifest[kind][0], "path": name.replace("{theirs}", str(room.theirs))}]
    (room.out / "manifest.json").write_text(json.dumps(manifest))
    mine = [room.out / "notes.txt", room.out / ".git" / "config", room.out / "tokenizer" / "a" / "b"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    before = room.outside()
    try:
        with Workspace(room.config, overwrite=True) as work:
            work._old_files()
    except SftDataError:
        assert not room.out.joinpath(".work").exists()
    assert room.outside() == before
    assert [path.read_text() for path in mine] == ["mine"] * 3
    shutil.rmtree(room.folder)


def test_a_file_that_the_manifest_lists_and_no_dataset_has_is_named(room: Room) -> None:
    manifest = json.loads((room.out / "manifest.json").read_text())
    manifest["files"] += [{**manifest["files"][0], "path": "notes.txt"}]
    (room.out / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(OutputError, match=r"out: its manifest\.json lists 'notes\.txt', which no dataset has"):
        room.prepare(overwrite=True)


@pytest.mark.parametrize("name", ["publishing.json", "pieces/read/a.arrow", "new/a"])
def test_a_pipe_is_one_sentence_and_nobody_waits_for_it(room: Room, name: str) -> None:
    os.mkfifo(work_folder(room.out) / name)
    with pytest.raises(OutputError, match=rf"{name}: (was not written by a run|is neither a file nor a folder)"):
        room.prepare(overwrite=True)


def test_a_file_that_no_manifest_lists_is_not_written_over(room: Room, tmp_path: Path) -> None:
    name = "tokenizer/special_tokens_map.json"
    source = tmp_path / "with a map"
    shutil.copytree(room.config.tokenizer, source)
    (source / "special_tokens_map.json").write_text('{"eos_token": "<|im_end|>"}')
    (room.out / name).write_text("mine")
    config = room.config.model_copy(update={"tokenizer": str(source)})
    with pytest.raises(OutputError, match=rf"{name}: was not written by sftdata, and the new dataset has a file of"):
        sftdata.prepare(config, workers=1, overwrite=True)
    assert (room.out / name).read_text() == "mine"
    assert (room.out / "manifest.json").exists()
    (room.out / name).unlink()
    sftdata.prepare(config, workers=1, overwrite=True)
    sftdata.verify(room.out)


def test_a_work_folder_of_somebody_else_is_left_alone(room: Room) -> None:
    theirs = room.out / ".work" / "new" / "thesis.tex"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    with pytest.raises(OutputError, match=r"\.work: was not made by a run: it has no file named lock"):
        room.prepare(overwrite=True)
    assert theirs.read_text() == "mine"
    assert [path.name for path in (room.out / ".work").iterdir()] == ["new"]


def test_the_output_folder_may_itself_be_reached_by_a_link(room: Room) -> None:
    real = room.folder / "elsewhere"
    room.out.rename(real)
    room.out.symlink_to(real)
    room.prepare(overwrite=True)
    assert room.out.is_symlink()
    sftdata.verify(real)
