"""Files of a folder by name: none of them is outside of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.errors import OutputError
from sftdata.files.inside import inside, is_plain_name, move_into, refuse_odd, remove_if_empty, remove_inside

PARTS = st.sampled_from(
    ["", ".", "..", "a", "b", "...", "a b", "ü", "C:", "\\", "..\\", "\0", "~", "/", "link", "\udc80"]
)


@pytest.mark.parametrize("name", ["a", "a/b.txt", "...", "a b/ü", "~", "-", "a/..b", "%2e%2e/a", "\n"])
def test_plain_names(name: str) -> None:
    assert is_plain_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "./a", "C:/a", "a\\..\\b", "a\0", "\udc80"],
        *["a" * 1001, None, 3, ["a"], {}, b"a"],
    ],
)
def test_names_that_are_not_plain(name: object) -> None:
    assert not is_plain_name(name)


@given(st.lists(PARTS, min_size=1, max_size=5).map("/".join))
def test_a_name_is_refused_or_its_path_is_below_the_folder(name: str) -> None:
    folder = Path("/folder/of/ours")
    try:
        path = inside(folder, name)
    except OutputError as error:
        assert str(error).startswith("/folder/of/ours: ")
    else:
        assert os.path.normpath(path) == str(path)
        assert folder in path.parents


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A folder with a file, and links to a folder and a file beside it."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "a").write_text("theirs")
    ours = tmp_path / "ours"
    (ours / "sub").mkdir(parents=True)
    (ours / "sub" / "a").write_text("ours")
    (ours / "folder").symlink_to(tmp_path / "theirs")
    (ours / "sub" / "file").symlink_to(tmp_path / "theirs" / "a")
    return ours


def test_nothing_behind_a_link_is_removed_or_written(linked: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="ours/folder: is a link, and nothing is written to or removed from what it"):
        remove_inside(linked, ["folder/a"])
    with pytest.raises(OutputError, match="ours/folder: is a link"):
        move_into(linked / "sub" / "a", linked, "folder/b")
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["a"]
    assert (linked / "sub" / "a").read_text() == "ours"


def test_a_link_in_place_of_a_file_is_removed_or_replaced_itself(linked: Path, tmp_path: Path) -> None:
    move_into(linked / "sub" / "a", linked, "sub/file")
    assert (linked / "sub" / "file").read_text() == "ours"
    assert not (linked / "sub" / "file").is_symlink()
    (linked / "gone").symlink_to(tmp_path / "theirs" / "a")
    remove_inside(linked, ["sub/file", "gone", "absent"])
    assert not (linked / "gone").is_symlink()
    assert not (linked / "sub").exists()  # empty without it
    assert (tmp_path / "theirs" / "a").read_text() == "theirs"


def test_a_folder_that_is_a_link_is_not_removed_with_its_files(linked: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs" / "a").unlink()
    remove_if_empty(linked / "folder")
    assert (linked / "folder").is_symlink()
    assert (tmp_path / "theirs").is_dir()


def test_links_and_pipes_below_a_folder_are_found_and_not_followed(linked: Path) -> None:
    (linked / "folder").unlink()
    with pytest.raises(OutputError, match="sub/file: is a link"):
        refuse_odd(linked)
    (linked / "sub" / "file").unlink()
    refuse_odd(linked)
    (linked / "sub" / "round").symlink_to(linked)
    with pytest.raises(OutputError, match="sub/round: is a link"):
        refuse_odd(linked)
    (linked / "sub" / "round").unlink()
    os.mkfifo(linked / "sub" / "pipe")
    with pytest.raises(OutputError, match="sub/pipe: is neither a file nor a folder; remove it"):
        refuse_odd(linked)
