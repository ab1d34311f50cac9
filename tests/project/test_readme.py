"""What README.md and docs/ say of settings, files and targets is complete, and the README is short."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
import yaml
from documents import PAGES, ROOT, Page
from hypothesis import settings
from pydantic import BaseModel

IN_TABLES = ("filters", "privacy", "dedup.semantic", "evaluate.checks")  # groups with tables of their own


def settings_of(model: type[BaseModel]) -> Iterator[str]:
    """The name of every setting, those of groups dotted."""
    for name, field in model.model_fields.items():
        groups = [group for group in _classes(field.annotation) if issubclass(group, BaseModel)]
        yield from (f"{name}.{inner}" for group in groups for inner in settings_of(group))
        if not groups:
            yield name


def _classes(annotation: object) -> Iterator[type]:
    """Every class in an annotation."""
    if isinstance(annotation, type):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _classes(inner)


def keys_of(value: object, prefix: str = "") -> set[str]:
    """Every key of nested settings, dotted; entries of lists share theirs."""
    if isinstance(value, list) and value:
        return set().union(*(keys_of(item, prefix) for item in value))
    if not isinstance(value, dict):
        return {prefix.rstrip(".")}
    named = {"on" if key is True else key: item for key, item in value.items()}  # YAML reads a bare `on` as true
    return {prefix.rstrip(".")} | set().union(*(keys_of(item, f"{prefix}{key}.") for key, item in named.items()))


@pytest.mark.parametrize("name", ["prepare.yaml", "train.yaml"])
def test_every_setting_is_in_the_example(name: str) -> None:
    from sftdata.config import Config
    from sfttrain.config import TrainConfig

    blocks = [block for page in PAGES.values() for block in page.blocks if block.name == name]
    block = max(blocks, key=lambda block: len(block.text))
    every = set(settings_of(Config if name == "prepare.yaml" else TrainConfig))
    every = {next((group for group in IN_TABLES if key.startswith(f"{group}.")), key) for key in every}
    assert every - keys_of(yaml.safe_load(block.text)) == set()


def test_the_readme_is_a_front_door() -> None:
    assert len(PAGES["README"].text.splitlines()) <= 145


def test_every_path_in_the_tree_exists_and_every_part_of_sftdata_is_in_it() -> None:
    tree = PAGES["architecture"].named("tree")
    folder, paths = "", []
    for line in tree.text.splitlines():
        name = line.split()[0]
        folder = folder if line.startswith(" ") else ""
        paths.append(folder + name)
        folder = folder if line.startswith(" ") else name
    assert [path for path in paths if not (ROOT / path).exists()] == []
    parts = {path.parent.name for path in (ROOT / "sftdata").glob("*/__init__.py")}
    assert {f"sftdata/{part}/" for part in parts} - set(paths) == set()


def make_targets(page: Page) -> set[str]:
    """The targets of the Makefile that a page names."""
    lines = [line for block in page.blocks if block.language == "bash" for line in block.text.splitlines()]
    return set(re.findall(r"`make (\w+)`", page.prose)) | {
        line.split()[1] for line in lines if line.startswith("make ")
    }


def test_every_make_target_that_is_named_exists_and_demo_runs_the_whole_line() -> None:
    targets = set().union(*map(make_targets, PAGES.values()))
    assert {"demo", "test", "bench"} <= targets
    environment = {**os.environ, "MAKEFLAGS": "", "MAKELEVEL": ""}
    for target in sorted(targets | set(STEPS)):
        command = ["make", "--dry-run", target, f"PYTHON={sys.executable}"]
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        steps = re.findall(r"^\.venv/bin/(?!python -m pip|python -c)(.*)$", run.stdout, flags=re.MULTILINE)
        assert steps == STEPS.get(target, steps)


def test_examples_are_new_each_time_where_that_is_asked_for_alone() -> None:
    assert settings.get_profile("sftdata").derandomize
    assert not settings.get_profile("random").derandomize


STEPS = {
    "bench": ["python tests/bench/bench.py"],
    "demo": [
        "python examples/demo/fetch_model.py .cache/demo/model",
        "sftdata prepare examples/demo/prepare.yaml --overwrite",
        "sftdata prepare examples/demo/heldout.yaml --overwrite",
        "sftdata verify .cache/demo/shards",
        "sfttrain check examples/demo/train.yaml",
        "sfttrain run examples/demo/train.yaml",
        "sfttrain eval .cache/demo/run --against .cache/demo/model --config examples/demo/eval.yaml --split train \\",
        "sfttrain export .cache/demo/run --out .cache/demo/export --merge --overwrite",
    ],
    "fuzz": ["python tests/fuzz/fuzz.py --minutes 10"],
    "test": [
        "ruff check .",
        "ruff format --check .",
        "mypy",
        'python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder -m "not ray"',
        "python -m pytest -m ray tests/engines tests/pipeline tests/remote",
    ],
}
