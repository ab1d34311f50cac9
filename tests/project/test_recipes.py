"""The recipes of CONTRIBUTING.md, each carried out in a copy of the tree, whose tests then pass."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("sftdata", "sfttrain", "templates", "tests", "docs", "README.md", "pyproject.toml")
# For each recipe, by the beginning of its title, the tests to run: files, and what their names contain.
TESTS = {
    "A file format": ("", ["tests/read/readers/test_orc_files.py"]),
    "A filter": (
        "capitals or stale or every_kind or every_reason",
        ["tests/curate/quality/test_filters.py", "tests/audit/test_audit.py", "tests/project/test_generated_docs.py"],
    ),
    "A chat template": (
        "tulu or readme or promised",
        ["tests/templates/test_template_files.py", "tests/templates/test_templates_by_hand.py"],
    ),
    "An engine": (
        "(executor and (map or processes or error)) or imported",
        ["tests/engines/test_engine.py", "tests/project/test_layers.py"],
    ),
}

# What a recipe says to run besides.
GENERATED = {"A filter": [["docs.generate"]]}


def recipes() -> dict[str, list[tuple[str, str, str]]]:
    """The recipes by title, each with its blocks: language, path, text."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("\n## Recipes\n")[2]
    parts = (part.partition("\n") for part in text.split("\n### ")[1:])
    return {
        title: re.findall(r"^```(\w+) (\S+)\n((?:.*\n)*?)```$", body, flags=re.MULTILINE) for title, _, body in parts
    }


def apply_hunk(lines: list[str], hunk: list[str]) -> list[str]:
    """The lines of a file with a change in them. `…` is the rest of a line; a hunk without context goes to the end."""
    before = [line for line in hunk if line[:1] in " -"]
    if not before:
        return [*lines, *(line[1:] for line in hunk)]

    def matches(line: str, pattern: str) -> bool:
        return line.startswith(pattern[:-1]) if pattern.endswith("…") else line == pattern

    places = [
        start
        for start in range(len(lines) - len(before) + 1)
        if all(matches(line, pattern[1:]) for line, pattern in zip(lines[start:], before))
    ]
    assert len(places) == 1, f"{len(places)} places for {before}"
    kept = iter(lines[places[0] : places[0] + len(before)])
    after: list[str] = []
    for line in hunk:
        if line[:1] == "+":
            after.append(line[1:])
        else:
            old = next(kept)
            after += [old] if line[:1] == " " else []
    return [*lines[: places[0]], *after, *lines[places[0] + len(before) :]]


def carry_out(blocks: list[tuple[str, str, str]], folder: Path) -> list[str]:
    """Make the changes and the new files of a recipe in a folder; their paths."""
    for language, path, text in blocks:
        file = folder / path
        if language != "diff":
            assert not file.exists(), path
            file.write_text(text, encoding="utf-8")
            continue
        lines = file.read_text(encoding="utf-8").splitlines()
        for hunk in text.split("@@\n"):
            lines = apply_hunk(lines, hunk.splitlines())
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [path for _, path, _ in blocks]


def test_a_change_is_made_where_its_context_is() -> None:
    lines = ["a = 1", "b = 2", "a = 3"]
    assert apply_hunk(lines, [" a = 1", "-b = 2", "+c = 4"]) == ["a = 1", "c = 4", "a = 3"]
    assert apply_hunk(lines, ["+x", " b…"]) == ["a = 1", "x", "b = 2", "a = 3"]
    assert apply_hunk(lines, ["+", "+end"]) == [*lines, "", "end"]
    with pytest.raises(AssertionError, match="2 places"):
        apply_hunk(lines, [" a…", "+x"])


@pytest.mark.parametrize("title", recipes())
def test_a_recipe_works(title: str, tmp_path: Path) -> None:
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    changed = [path for path in carry_out(recipes()[title], tmp_path) if path.endswith(".py")]
    (tests,) = (tests for beginning, tests in TESTS.items() if title.startswith(beginning))
    names, files = tests
    for command in (
        *GENERATED.get(title.partition(":")[0], []),
        ["ruff", "check", "--no-cache", *changed],
        ["ruff", "format", "--no-cache", "--check", *changed],
        ["pytest", "-q", "-p", "no:cacheprovider", "-k", names, *files],
    ):
        run = subprocess.run([sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
