"""What the documents for maintainers say is true: pictures, paths, links, commands and the hooks of git."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
FENCE = re.compile(r"^```.*\n(?:.*\n)*?```$", flags=re.MULTILINE)
PATH = re.compile(r"\.?[\w-]+(?:[/.][\w.-]+)*/?")
SUFFIXES = {".py", ".md", ".toml", ".txt", ".yaml"}
STEPS = {"read", "drop", "encode", "choose", "mix", "pack", "write", "make"}  # of prepare, by how their names begin

Edges = set[tuple[str, str]]


def pictures() -> list[str]:
    """The Mermaid blocks of docs/architecture.md."""
    return re.findall(r"^```mermaid\n((?:.*\n)*?)```$", ARCHITECTURE.read_text(encoding="utf-8"), flags=re.MULTILINE)


def edges_of(picture: str) -> Edges:
    """The arrows of a picture: `a --> b & c` is two."""
    found = set()
    for line in re.sub(r'\["[^"]*"\]', "", picture).splitlines():
        parts = [part.split("&") for part in line.split("-->")]
        found |= {(a.strip(), b.strip()) for left, right in zip(parts, parts[1:]) for a in left for b in right}
    return found


def room_of(module: str) -> str:
    """`sftdata.read.stage` -> read. The library is the package itself, and `python -m sftdata` is the command line."""
    package, _, rest = module.partition(".")
    if package == "sfttrain":
        return package
    return {"": "library", "__init__": "library", "__main__": "cli"}.get(rest, rest.partition(".")[0])


def imports() -> Iterator[tuple[str, str]]:
    """Every import of one room by another; where it is made does not matter."""
    for path in (path for package in ("sftdata", "sfttrain") for path in (ROOT / package).rglob("*.py")):
        inside = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names if alias.name != "__version__"]
            for name in names:
                if name.partition(".")[0] in ("sftdata", "sfttrain") and room_of(name) != room_of(inside):
                    yield room_of(inside), room_of(name)


def test_the_picture_of_the_house_shows_the_imports_between_rooms() -> None:
    house = pictures()[0]
    ground = set(re.findall(r"(\w+)\[", house.partition("subgraph ground")[2].partition("\n    end")[0])) - {"ground"}
    assert len(ground) > 3
    assert {edge for edge in imports() if edge[1] not in ground} == edges_of(house)


def test_the_picture_of_the_house_shows_every_room() -> None:
    packages = {path.parent.name for path in (ROOT / "sftdata").glob("*/__init__.py")}
    modules = {path.stem for path in (ROOT / "sftdata").glob("*.py")} - {"__init__", "__main__"}
    shown = set(re.findall(r"(\w+)\[", pictures()[0])) - {"ground"}
    assert shown == packages | modules | {"library", "sfttrain"}


def test_the_picture_of_a_rows_way_shows_the_steps_of_prepare_in_their_order() -> None:
    tree = ast.parse((ROOT / "sftdata/pipeline/prepare.py").read_text(encoding="utf-8"))
    (function,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "prepare")
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    names = [call.func.id for call in sorted(calls, key=lambda call: call.lineno) if isinstance(call.func, ast.Name)]
    after = dict(edges_of(pictures()[1]))
    (shown,) = after.keys() - set(after.values())
    steps = [shown]
    while steps[-1] in after:
        steps.append(after[steps[-1]])
    assert steps == [name for name in names if name.partition("_")[0] in STEPS]


@pytest.mark.parametrize("document", [CONTRIBUTING, ARCHITECTURE], ids=lambda path: path.name)
def test_every_path_that_is_named_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = [word for span in re.findall(r"`([^`\n]+)`", FENCE.sub("", text)) for word in span.split()]
    named += re.findall(r"^```diff (\S+)$", text, flags=re.MULTILINE)
    top = {path.name for path in ROOT.iterdir()} - {".venv"}
    files = {path.name for package in ("sftdata", "sfttrain") for path in (ROOT / package).rglob("*.py")}
    paths = [
        word
        for word in named
        if PATH.fullmatch(word)
        and word not in files | {".venv/bin/python"}
        and (Path(word).suffix in SUFFIXES or ("/" in word and word.partition("/")[0] in top))
    ]
    assert len(paths) > 15
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "CONTRIBUTING.md",
        "docs/architecture.md",
        "docs/privacy.md",
        "docs/reasons.md",
        "docs/settings.md",
        "templates/README.md",
    ],
)
def test_every_relative_link_leads_to_a_file(document: str) -> None:
    text = FENCE.sub("", (ROOT / document).read_text(encoding="utf-8"))
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if not (ROOT / document).parent.joinpath(link).exists()] == []


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, flags=re.MULTILINE))
    assert (
        set(re.findall(r"\bmake ([a-z]+)\b", "\n".join(re.findall(r"`make [^`]+`", CONTRIBUTING.read_text()))))
        <= targets
    )
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, flags=re.MULTILINE)
    assert set(phony.split()) == targets


def recipe(target: str) -> list[str]:
    """The commands of a target of the Makefile."""
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, flags=re.MULTILINE)
    assert found is not None
    return [line.replace("$(BIN)", ".venv/bin") for line in found[1].replace("\t", "").splitlines()]


def test_the_hooks_run_what_make_runs_for_lint_and_types_and_nothing_from_the_network() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert repository["repo"] == "local"
    assert [hook["entry"] for hook in repository["hooks"]] == [*recipe("lint"), *recipe("types")]
    assert {(hook["language"], hook["pass_filenames"]) for hook in repository["hooks"]} == {("system", False)}
    assert recipe("hooks") == [".venv/bin/pre-commit install"]
