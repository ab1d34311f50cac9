"""Versions as folders' names say them, held against what the distributions themselves say."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from sftdata import versions


def test_the_tools_have_the_versions_that_they_say_of_themselves() -> None:
    said = versions.describe_versions(semantic=False)
    assert set(said) == {"sftdata", *versions.TOOLS}
    assert all(said[name] == metadata.version(name) for name in versions.TOOLS)


def test_the_first_on_the_path_counts_and_odd_names_are_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, folder in (
        ("a", "Some_tool-1.2"),
        ("b", "some_tool-1.3"),
        ("b", "other-2.0+cpu"),
        ("b", "third-3.post1"),
    ):
        info = tmp_path / place / f"{folder}.dist-info"
        info.mkdir(parents=True)
        name, version = folder.split("-")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (tmp_path / "b" / "some_tool-9.dist-info.txt").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "absent"), str(tmp_path / "a"), str(tmp_path / "b")])
    monkeypatch.setattr(versions, "TOOLS", ("some-tool", "other", "third"))
    said = versions.describe_versions.__wrapped__(semantic=False)
    assert {name: said[name] for name in versions.TOOLS} == {
        "some-tool": "1.2",
        "other": "2.0+cpu",
        "third": "3.post1",
    }
