"""Which way imports run. The rules are in the tables here; the test sees every import statement of both packages."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from package_files import ROOT, module_name, package_files

# The rooms of the house: folders of sftdata, and modules in its root. What each may import of the others, in functions
# and for types too; a name with a dot is one module of a room. No room imports one that is below it in this table.
ROOMS: dict[str, set[str]] = {
    "safe": set(),
    "errors": {"safe"},
    "reasons": set(),
    "progress": {"safe"},
    "records": {"errors"},
    "settings": {"errors", "safe"},
    "files": {"errors"},
    "remote": {"safe", "errors", "files"},
    # The four kinds of stages know nothing of each other.
    "read": {"safe", "errors", "records", "settings", "remote"},
    "curate": {"safe", "errors", "records", "settings"},
    "encode": {"errors", "records", "files"},
    "store": {"errors", "reasons", "records", "files", "remote"},
    # Engines know no stage.
    "engines": {"safe", "errors", "progress", "files"},
    # The settings of curation are beside its stages, and defaults that encoding has itself are in its options.
    "config": {
        "safe",
        "settings",
        "curate.duplicates.settings",
        "curate.privacy.settings",
        "curate.quality.settings",
        "encode.options",
    },
    "pipeline": {
        "safe",
        "errors",
        "reasons",
        "progress",
        "records",
        "settings",
        "files",
        "remote",
        "read",
        "curate",
        "encode",
        "store",
        "engines",
        "config",
    },
    # Texts of rows are read again as prepare read them.
    "view": {
        *("safe", "errors", "reasons", "records", "settings", "files", "remote"),
        *("store", "read", "curate", "config"),
    },
    "audit": {
        "safe",
        "errors",
        "files",
        "reasons",
        "view",
        "progress",
        "records",
        "settings",
        "read",
        "curate",
        "config",
        "pipeline",
    },
    # The functions of `import sftdata`.
    "library": {
        "errors",
        "progress",
        "safe",
        "settings",
        "config",
        "records",
        "read",
        "encode",
        "store.manifest",
        "pipeline.encoding",
        "pipeline.prepare",
        "view.dataset",
        "view.layout",
        "view.summary",
        "audit",
    },
    "cli": {
        "safe",
        "errors",
        "remote.mirror",
        "reasons",
        "progress",
        "records",
        "settings",
        "encode",
        "store",
        "config",
        "pipeline",
        "view",
        "audit",
    },
    "__main__": {"cli"},
    "__init__": {
        "audit.findings",
        "config",
        "errors",
        "library",
        "progress",
        "records.tools_as_text",
        "store.manifest",
        "store.verify",
        "view.dataset",
        "view.sample",
    },
}
ROOT_MODULES = {"__init__", "__main__", "config", "errors", "reasons", "progress"}
TRAIN = {
    "errors",
    "safe",
    "settings",
    "files",
    "remote.mirror",
    "remote.room",
    "store.manifest",
    "store.checked",
    "library.prompts",
    "view.decoder",
    "view.find.origins",
    "view.find.turns",
    "view.report.markdown.text",
    "view.terminal",
    "view.report.look",
    "view.layout",
    "view.summary",
    "view.html",
}  # what sfttrain may import of sftdata
# Slow to import: loaded by the function that uses them, or by a module that is itself loaded late.
SLOW = {"torch", "transformers", "trl", "datasets", "ray", "peft", "accelerate", "huggingface_hub", "fsspec"}
LATE = {
    "sfttrain.check.isolation",
    "sfttrain.check.steps",
    "sfttrain.find_lr.trial",
    "sfttrain.report.during",
    "sfttrain.evaluate.answers",
    "sfttrain.evaluate.beside.compare",
    "sfttrain.evaluate.during",
    "sfttrain.evaluate.generate",
    "sfttrain.evaluate.scores",
    "sfttrain.trainer.attention",
    "sfttrain.trainer.build",
    "sfttrain.trainer.finite",
    "sfttrain.trainer.metrics",
    "sfttrain.trainer.packed",
    "sfttrain.trainer.sft_config",
    "sfttrain.trainer.stop",
    "sfttrain.ways.noise",
    "sftdata.engines.ray",
}


@dataclass(frozen=True)
class Import:
    """One import statement: the module that it is in, the module it names, and whether it runs with the module."""

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
    """Whether this is one of our modules or packages."""
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def all_imports() -> list[Import]:
    """Every import of both packages."""
    return [item for path, text in package_files().items() for item in imports_of(ast.parse(text), module_name(path))]


def is_allowed(named: str, allowed: set[str]) -> bool:
    """Whether `store.shards` may be imported where `allowed` may."""
    return any(named == name or named.startswith(f"{name}.") for name in allowed)


@pytest.mark.parametrize(
    ("named", "allowed", "answer"),
    [
        ("errors", {"errors"}, True),
        ("errors_of_ours", {"errors"}, False),
        ("store.shards", {"errors", "store.shards"}, True),
        ("store.pack", {"errors", "store.shards"}, False),
        ("store", {"errors", "store.shards"}, False),
        ("read.readers.tables", {"read"}, True),
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


def test_every_import_between_rooms_is_in_the_table() -> None:
    wrong = []
    for item in all_imports():
        package, _, place = item.inside.partition(".")
        of, _, named = item.named.partition(".")
        if package != "sftdata" or of != "sftdata" or not named:
            continue
        room = place.partition(".")[0]
        if named.partition(".")[0] != room and not is_allowed(named, ROOMS[room]):
            wrong.append(f"{item.inside} imports {item.named}")
    assert wrong == []


def test_every_entry_of_the_table_is_used() -> None:
    """So that the table says how it is, and not how it might be."""
    used = set()
    for item in all_imports():
        package, _, place = item.inside.partition(".")
        of, _, named = item.named.partition(".")
        room = place.partition(".")[0]
        if package == of == "sftdata":
            used |= {(room, allowed) for allowed in ROOMS[room] if is_allowed(named, {allowed})}
    assert {(room, allowed) for room, every in ROOMS.items() for allowed in every} - used == set()


def test_the_table_has_no_circle_and_names_every_room() -> None:
    above: set[str] = set()
    for room, allowed in ROOMS.items():
        assert {name.partition(".")[0] for name in allowed} <= above, room
        above.add(room)
    paths = [path for path in (ROOT / "sftdata").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    assert {path.stem for path in paths} == set(ROOMS)


def test_the_root_holds_few_modules() -> None:
    assert {path.stem for path in (ROOT / "sftdata").glob("*.py")} == ROOT_MODULES


def test_of_the_package_itself_only_the_version_is_imported() -> None:
    """Its other names import the modules that they come from, which would be a circle."""
    wrong = [
        f"{module_name(path)} imports {alias.name}"
        for path, text in package_files().items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and node.module == "sftdata"
        for alias in node.names
        if alias.name != "__version__" and not is_module(f"sftdata.{alias.name}")
    ]
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
        if item.runs_at_once and item.named.partition(".")[0] in SLOW and item.inside not in LATE
    ]
    assert wrong == []


def test_modules_that_load_slow_libraries_are_themselves_imported_late() -> None:
    wrong = [
        f"{item.inside} imports {item.named}"
        for item in all_imports()
        if item.runs_at_once and item.named in LATE and item.inside not in LATE
    ]
    assert wrong == []


def test_only_the_engine_for_ray_imports_ray() -> None:
    users = {item.inside for item in all_imports() if item.named.partition(".")[0] == "ray"}
    assert users <= {"sftdata.engines.ray"}


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
