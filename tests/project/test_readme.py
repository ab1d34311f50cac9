"""What the README says of settings, reasons, columns, files and targets is complete."""

from __future__ import annotations

import json
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

README = PAGES["README"]
IN_TABLES = ("filters", "privacy", "dedup.semantic")  # groups of settings that have tables of their own


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
    if isinstance(value, list):
        return set().union(*(keys_of(item, prefix) for item in value))
    if not isinstance(value, dict):
        return {prefix.rstrip(".")}
    named = {"on" if key is True else key: item for key, item in value.items()}  # YAML reads a bare `on` as true
    return {prefix.rstrip(".")} | set().union(*(keys_of(item, f"{prefix}{key}.") for key, item in named.items()))


def test_the_table_of_reasons_is_the_list_in_reasons_py() -> None:
    from sftdata.reasons import REASONS

    assert README.table("## Reasons") == [[name, stage, meaning] for name, (stage, meaning) in REASONS.items()]


def test_the_columns_of_a_shard_are_those_of_the_contract() -> None:
    from sftdata.store.shards import SHARD_SCHEMA

    types = {"list<int32>": "list<item: int32>", "list<string>": "list<item: string>"}
    shown = [(name, types[kind]) for name, kind, _ in README.table("A row of a shard")]
    assert shown == [(field.name, str(field.type)) for field in SHARD_SCHEMA]


def test_the_columns_of_the_ledger_are_those_of_the_contract() -> None:
    from sftdata.store.ledger import LEDGER_SCHEMA

    sentence = re.search(r"The ledger has the columns (.*?), and those", README.text, flags=re.DOTALL)
    assert sentence is not None
    assert re.findall(r"`(\w+)`", sentence.group(1)) == LEDGER_SCHEMA.names


def test_the_table_of_formats_is_the_list_in_the_settings() -> None:
    from sftdata.config import SourceConfig

    formats = SourceConfig.model_fields["format"].annotation.__args__  # type: ignore[union-attr]
    assert [name for name, _ in README.table("`.jsonl .json .csv")] == [
        name
        for name in ("messages", "sharegpt", "prompt_completion", "xlam", "alpaca", "rendered", "text")
        if name in formats
    ]
    assert set(formats) == {"auto", *(name for name, _ in README.table("`.jsonl .json .csv"))}


@pytest.mark.parametrize("name", ["prepare.yaml", "train.yaml"])
def test_every_setting_is_in_the_example(name: str) -> None:
    from sftdata.config import Config
    from sfttrain.config import TrainConfig

    blocks = [block for page in PAGES.values() for block in page.blocks if block.name == name]
    block = max(blocks, key=lambda block: len(block.text))
    every = set(settings_of(Config if name == "prepare.yaml" else TrainConfig))
    every = {next((group for group in IN_TABLES if key.startswith(f"{group}.")), key) for key in every}
    assert every - keys_of(yaml.safe_load(block.text)) == set()


def test_the_tables_of_filters_privacy_and_semantic_duplicates_are_their_settings() -> None:
    from sftdata.curate.duplicates.settings import SemanticConfig
    from sftdata.curate.privacy.settings import PrivacyConfig
    from sftdata.curate.quality.settings import FilterConfig

    presets = [FilterConfig.model_validate(preset).model_dump(mode="json") for preset in ("default", "strict")]
    cases = [
        ("| filters", FilterConfig, presets),
        ("| privacy", PrivacyConfig, [PrivacyConfig().model_dump()]),
        ("| dedup.semantic", SemanticConfig, [SemanticConfig(model="models/all-MiniLM-L6-v2").model_dump()]),
    ]
    for heading, model, given in cases:
        shown = {name: [json.loads(cell) for cell in cells[:-1]] for name, *cells in README.table(heading)}
        assert set(shown) == set(settings_of(model))
        for name, values in shown.items():
            for value, found in zip(values, given, strict=True):
                for key in name.split("."):
                    found = found[key]
                assert value == json.loads(json.dumps(found)), name


def test_every_path_in_the_tree_exists_and_every_part_of_sftdata_is_in_it() -> None:
    tree = README.named("tree")
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
    assert set(STEPS) <= targets
    environment = {**os.environ, "MAKEFLAGS": "", "MAKELEVEL": ""}
    for target in sorted(targets):
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
        "sftdata verify .cache/demo/shards",
        "sfttrain run examples/demo/train.yaml",
        "python examples/demo/evaluate.py",
    ],
    "fuzz": ["python tests/fuzz/fuzz.py --minutes 10"],
    "test": [
        "ruff check .",
        "ruff format --check .",
        "mypy",
        "python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile",
    ],
}
