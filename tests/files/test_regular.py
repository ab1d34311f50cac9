"""sftdata.files.regular: which files are opened, and how what they say is shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sftdata.errors import DatasetError
from sftdata.files.regular import regular_file, shorten


def test_a_regular_file_in_the_folder_passes_also_through_a_link_in_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("five!")
    (tmp_path / "link").symlink_to("file")
    for name in ("file", "link"):
        assert regular_file(tmp_path / name, tmp_path, 5).st_size == 5


def test_the_folder_itself_may_be_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("x")
    (tmp_path / "link").symlink_to("real")
    assert regular_file(tmp_path / "link" / "file", tmp_path / "link").st_size == 1


@pytest.mark.skipif(os.name != "posix", reason="needs pipes and devices")
def test_what_is_no_file_is_named_and_not_opened(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    for name, sentence in {
        "empty": "is empty",
        "folder": "is a folder, not a file",
        "pipe": "is a pipe, not a file",
        "loop": "cannot be read: ",
        "zeros": "is a device, not a file",
        "absent": "does not exist",
        "empty/file": "does not exist",
        "n" * 5000: "cannot be read: ",
        "a\0b": "cannot be read: ",
    }.items():
        with pytest.raises(DatasetError, match=sentence) as caught:
            regular_file(tmp_path / name)
        assert len(str(caught.value)) < 500


def test_a_link_out_of_the_folder_and_another_size_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "in" / "link").symlink_to("../secret")
    (tmp_path / "in" / "up").symlink_to("..")
    for name in ("link", "up/secret"):
        with pytest.raises(DatasetError, match="a link that leads out of the folder"):
            regular_file(tmp_path / "in" / name, tmp_path / "in")
    with pytest.raises(DatasetError, match="has 1 byte instead of 2"):
        regular_file(tmp_path / "secret", tmp_path, 2)


def test_links_of_a_snapshot_lead_to_the_blobs_beside_it_and_nowhere_else(tmp_path: Path) -> None:
    snapshot = tmp_path / "repo" / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    for name in ("repo/blobs", "other/blobs"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "b").write_text("x")
    (snapshot / "good").symlink_to("../../blobs/b")
    (snapshot / "bad").symlink_to("../../../other/blobs/b")
    assert regular_file(snapshot / "good", snapshot).st_size == 1
    with pytest.raises(DatasetError, match="a link that leads out of the folder"):
        regular_file(snapshot / "bad", snapshot)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("naïve 你好", "naïve 你好"),
        ("a\x1b[2Jb\nc", "a\\x1b[2Jb\\nc"),
        ("x" * 1000, "x" * 200 + "... (1,000 characters)"),
    ],
)
def test_a_text_is_shown_in_one_line(text: str, shown: str) -> None:
    assert shorten(text) == shown
