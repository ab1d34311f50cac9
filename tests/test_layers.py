"""Which way imports run. The rules stand here; the test walks every import statement of both packages."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PHASES = {"read", "curate", "encode", "store"}
SHARED = {"errors", "light", "reasons", "records", "record_column", "threads", "progress"}
# What each part of sftdata may import of sftdata besides itself. Parts not named here are glue.
RULES: dict[str, set[str]] = {
    "errors": set(),
    "light": set(),
    "reasons": set(),
    "records": set(),
    "record_column": {"records"},
    "labels": set(),
    "threads": set(),
    "progress": {"errors"},
    "machine": {"errors"},
    "settings": {"errors"},
    # The settings that stand there.
    "config": {"errors", "settings", "curate.dedup_settings", "curate.filter_settings", "curate.privacy_settings"},
    **{phase: {*SHARED, "labels"} for phase in PHASES},
    "curate": {*SHARED, "settings"},  # its settings stand beside its stages
    "engines": {"errors", "light", "progress", "store.files", "threads"},
    "view": {"errors", "reasons", "labels", "store.manifest", "store.shards", "store.ledger"},
    "pipeline": {"*", "!cli", "!view"},
    # The parts of the pipeline: what comes after reading, and what looks at all rows.
    "assembly": {"*", "!pipeline", "!cli", "!view"},
    "comparing": {"*", "!pipeline", "!cli", "!view"},
    "repeats": {"*", "!pipeline", "!cli", "!view"},
    "audit": {"*", "!engines", "!cli"},  # shows rows as the views do
    "cli": {"*"},
    "encoding": {"*", "!pipeline", "!cli", "!view"},
    "encoding_here": {"*", "!pipeline", "!cli", "!view"},
    "__main__": {"cli", "engines.aside", "light", "machine"},
    "__init__": {"config", "pipeline", "store.manifest", "store.verify", "view.dataset"},
}
GLUE = {"*", "!engines", "!pipeline", "!cli", "!view"}
TRAIN = {"errors", "settings", "store.files", "store.manifest", "store.shards"}
# Slow to import: loaded by the function that uses them, or by a module that is itself loaded late.
HEAVY = {"torch", "transformers", "trl", "datasets", "ray", "peft", "accelerate", "huggingface_hub", "fsspec"}
LATE = {"sfttrain.callbacks", "sfttrain.preflight", "sfttrain.trainer", "sfttrain.watch", "sftdata.engines.ray"}


@dataclass(frozen=True)
class Import:
    """One import statement: the module it stands in, the module it names, and whether it runs with the module."""

    inside: str
    named: str
    runs_at_once: bool


def imports_of(tree: ast.AST, inside: str, at_once: bool = True) -> Iterator[Import]:
    """Every import in a module, those for type checkers alone marked as not running."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(inside, alias.name, at_once) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{inside} imports relatively"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield Import(inside, inner if is_module(inner) else node.module or "", at_once)
        else:
            is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            is_for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
            yield from imports_of(node, inside, at_once and not is_function and not is_for_types)


def is_module(name: str) -> bool:
    """Whether this is a module or package of ours."""
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def module_name(path: Path) -> str:
    """sftdata/read/lines.py -> sftdata.read.readers.json_lines"""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def all_imports() -> list[Import]:
    """Every import of both packages."""
    paths = [path for package in ("sftdata", "sfttrain") for path in sorted((ROOT / package).rglob("*.py"))]
    assert len(paths) > 40
    return [item for path in paths for item in imports_of(ast.parse(path.read_text("utf-8")), module_name(path))]


def is_allowed(named: str, allowed: set[str]) -> bool:
    """Whether `store.files` may be imported where `allowed` may."""
    part = named.partition(".")[0]
    if f"!{part}" in allowed:
        return False
    return bool({"*", part, named} & allowed)


def rule_for(part: str) -> set[str]:
    """What this part of sftdata may import of it."""
    return RULES.get("cli" if part.startswith("cli_") else part, GLUE)


@pytest.mark.parametrize(
    ("named", "allowed", "answer"),
    [
        ("errors", {"errors"}, True),
        ("store.files", {"errors", "store.files"}, True),
        ("store.pack", {"errors", "store.files"}, False),
        ("read.lines", {"*", "!cli"}, True),
        ("cli", {"*", "!cli"}, False),
    ],
)
def test_a_rule_says_what_it_seems_to_say(named: str, allowed: set[str], answer: bool) -> None:
    assert is_allowed(named, allowed) == answer


def test_the_walk_sees_imports_in_functions_and_knows_which_run_at_once() -> None:
    source = (
        "import torch\nif TYPE_CHECKING:\n    import trl\n"
        "def f():\n    from sftdata.store import pack\n    from sftdata.errors import SftDataError\n"
    )
    assert list(imports_of(ast.parse(source), "m")) == [
        Import("m", "torch", True),
        Import("m", "trl", False),
        Import("m", "sftdata.store.pack", False),
        Import("m", "sftdata.errors", False),
    ]


def test_every_part_of_sftdata_imports_only_what_stands_before_it() -> None:
    wrong = []
    for item in all_imports():
        package, _, place = item.inside.partition(".")
        of, _, named = item.named.partition(".")
        if package != "sftdata" or of != "sftdata" or not named:
            continue
        part = place.partition(".")[0]
        if named.partition(".")[0] != part and not is_allowed(named, rule_for(part)):
            wrong.append(f"{item.inside} imports {item.named}")
    assert wrong == []


def test_sftdata_never_imports_sfttrain() -> None:
    assert [
        item for item in all_imports() if item.inside.startswith("sftdata") and item.named.startswith("sfttrain")
    ] == []


def test_sfttrain_knows_the_shards_and_nothing_of_how_they_are_made() -> None:
    wrong = [
        f"{item.inside} imports {item.named}"
        for item in all_imports()
        if item.inside.startswith("sfttrain")
        and item.named.startswith("sftdata.")
        and not is_allowed(item.named.removeprefix("sftdata."), TRAIN)
    ]
    assert wrong == []


def test_slow_libraries_are_imported_where_they_are_used() -> None:
    wrong = [
        f"{item.inside} imports {item.named}"
        for item in all_imports()
        if item.runs_at_once and item.named.partition(".")[0] in HEAVY and item.inside not in LATE
    ]
    assert wrong == []


def test_modules_that_load_slow_libraries_are_themselves_imported_late() -> None:
    wrong = [
        f"{item.inside} imports {item.named}"
        for item in all_imports()
        if item.runs_at_once and item.named in LATE and item.inside not in LATE
    ]
    assert wrong == []


def test_no_two_modules_need_each_other_to_load() -> None:
    needs: dict[str, set[str]] = {}
    for item in all_imports():
        if item.runs_at_once and is_module(item.named):
            needs.setdefault(item.inside.removesuffix(".__init__"), set()).add(item.named)
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in done:
            for other in sorted(needs.get(module, ())):
                visit(other, (*path, module))
            done.add(module)

    for module in sorted(needs):
        visit(module, ())


def test_no_module_has_the_name_of_a_standard_one() -> None:
    names = {path.stem for package in ("sftdata", "sfttrain") for path in (ROOT / package).rglob("*.py")}
    assert names & {"tokenize", "token", "inspect", "types", "copy", "code", "io", "json", "random"} == set()


def test_help_and_version_load_no_library_but_the_command_line() -> None:
    code = (
        "import sys, sftdata.cli.app\n"
        "slow = {'torch', 'transformers', 'datasets', 'pyarrow', 'numpy', 'pydantic', 'tokenizers'}\n"
        "print(*sorted(slow & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_prepare_imports_neither_torch_nor_transformers_nor_datasets(tmp_path: Path, tiny_tokenizer: Path) -> None:
    """Modules of these names stand first on the path, and leave a note where anybody, in any process, imports them."""
    notes = tmp_path / "imported"
    notes.mkdir()
    for name in ("torch", "transformers", "datasets"):
        package = tmp_path / "path" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f"import pathlib\npathlib.Path({str(notes / name)!r}).touch()\n")
    data = tmp_path / "chats.jsonl"
    data.write_text('{"prompt": "Who are you?", "completion": "A small model."}\n' * 3, encoding="utf-8")
    command = ["prepare", str(data), "--tokenizer", str(tiny_tokenizer), "--out", str(tmp_path / "shards")]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'path'}{os.pathsep}{ROOT}"}
    subprocess.run([sys.executable, "-c", "import torch"], env=environment, cwd=tmp_path, check=True)
    assert [path.name for path in notes.iterdir()] == ["torch"]
    (notes / "torch").unlink()
    run = subprocess.run(
        [sys.executable, "-m", "sftdata", *command, "--workers", "2"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert [path.name for path in notes.iterdir()] == []
