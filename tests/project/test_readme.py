"""What the README shows is what happens: commands, settings and Python run as they stand, the tables are complete."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from hypothesis import settings
from pydantic import BaseModel

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
IN_TABLES = ("filters", "privacy", "dedup.semantic")  # groups of settings that have tables of their own
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"  # in the tests, a folder of this name holds a tiny model


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the name after it, and its text."""

    language: str
    name: str
    text: str


def blocks(language: str) -> list[Block]:
    """The README's fenced blocks in a language, in order."""
    found = re.findall(r"^```(\w+) ?(.*)\n((?:.*\n)*?)```$", README, flags=re.MULTILINE)
    return [Block(*parts) for parts in found if parts[0] == language]


def table(heading: str) -> list[list[str]]:
    """The cells of the first table after a line that starts with `heading`."""
    after = README[README.index(f"\n{heading}") :]
    lines = re.search(r"(?:^\|.*\n)+", after, flags=re.MULTILINE)
    assert lines is not None
    rows = [re.split(r"(?<!\\)\|", line.strip("|")) for line in lines.group().splitlines()]
    return [[cell.strip().strip("`") for cell in row] for row in rows[2:]]


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

    assert table("## Reasons") == [[name, stage, meaning] for name, (stage, meaning) in REASONS.items()]


def test_the_columns_of_a_shard_are_those_of_the_contract() -> None:
    from sftdata.store.shards import SHARD_SCHEMA

    types = {"list<int32>": "list<item: int32>", "list<string>": "list<item: string>"}
    shown = [(name, types[kind]) for name, kind, _ in table("A row of a shard")]
    assert shown == [(field.name, str(field.type)) for field in SHARD_SCHEMA]


def test_the_columns_of_the_ledger_are_those_of_the_contract() -> None:
    from sftdata.store.ledger import LEDGER_SCHEMA

    sentence = re.search(r"The ledger has the columns (.*?), and those", README, flags=re.DOTALL)
    assert sentence is not None
    assert re.findall(r"`(\w+)`", sentence.group(1)) == LEDGER_SCHEMA.names


def test_the_table_of_formats_is_the_list_in_the_settings() -> None:
    from sftdata.config import SourceConfig

    formats = SourceConfig.model_fields["format"].annotation.__args__  # type: ignore[union-attr]
    assert [name for name, _ in table("`.jsonl .json .csv")] == [
        name
        for name in ("messages", "sharegpt", "prompt_completion", "xlam", "alpaca", "rendered", "text")
        if name in formats
    ]
    assert set(formats) == {"auto", *(name for name, _ in table("`.jsonl .json .csv"))}


@pytest.mark.parametrize("name", ["prepare.yaml", "train.yaml"])
def test_every_setting_is_in_the_example(name: str) -> None:
    from sftdata.config import Config
    from sfttrain.config import TrainConfig

    (block,) = (block for block in blocks("yaml") if block.name == name)
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
        shown = {name: [json.loads(cell) for cell in cells[:-1]] for name, *cells in table(heading)}
        assert set(shown) == set(settings_of(model))
        for name, values in shown.items():
            for value, found in zip(values, given, strict=True):
                for key in name.split("."):
                    found = found[key]
                assert value == json.loads(json.dumps(found)), name


def test_every_path_in_the_tree_exists_and_every_part_of_sftdata_is_in_it() -> None:
    (tree,) = (block for block in blocks("text") if block.name == "tree")
    folder, paths = "", []
    for line in tree.text.splitlines():
        name = line.split()[0]
        folder = folder if line.startswith(" ") else ""
        paths.append(folder + name)
        folder = folder if line.startswith(" ") else name
    assert [path for path in paths if not (ROOT / path).exists()] == []
    parts = {path.parent.name for path in (ROOT / "sftdata").glob("*/__init__.py")}
    assert {f"sftdata/{part}/" for part in parts} - set(paths) == set()


def test_links_inside_the_readme_lead_somewhere() -> None:
    headings = {title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.*)$", README, flags=re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("https://") or target.lstrip("#") in headings or (ROOT / target).is_file(), target


def test_every_make_target_that_is_named_exists_and_demo_runs_the_whole_line() -> None:
    targets = set(re.findall(r"`make (\w+)`", README)) | {
        line.split()[1] for block in blocks("bash") for line in block.text.splitlines() if line.startswith("make ")
    }
    assert targets == set(STEPS)
    environment = {**os.environ, "MAKEFLAGS": "", "MAKELEVEL": ""}
    for target in sorted(targets):
        command = ["make", "--dry-run", target, f"PYTHON={sys.executable}"]
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        steps = re.findall(r"^\.venv/bin/(?!python -m pip|python -c)(.*)$", run.stdout, flags=re.MULTILINE)
        assert steps == STEPS[target]


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


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> Path:
    """A copy of the sources with the README's files in it, and a tiny model under the name that the README uses."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("sftdata", "sfttrain", "templates"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for language in ("json", "csv", "yaml"):
        for block in blocks(language):
            (folder / block.name).write_text(block.text, encoding="utf-8")
    shutil.copytree(tiny_tokenizer, folder / MODEL)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(
        vocab_size=600, num_key_value_heads=2, eos_token_id=2, pad_token_id=0, tie_word_embeddings=True, **sizes
    )
    LlamaForCausalLM(config).save_pretrained(folder / MODEL)
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """No network, no isolated builds: what pip would fetch is what these tests run with."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "MAKE", "VIRTUAL"))}
    return {
        **kept,
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this one the other way round: it switches isolation off
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "HF_HOME": str(tmp_path_factory.mktemp("hf")),
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }


def test_the_commands_and_then_the_python_run_as_they_stand(checkout: Path, environment: dict[str, str]) -> None:
    lines = [line for block in blocks("bash") for line in block.text.splitlines() if not line.startswith("make ")]
    assert len(lines) == 23
    script = "\n".join(["set -euxo pipefail", *lines])
    run = subprocess.run(["bash", "-c", script], cwd=checkout, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-4000:]
    assert "4 rows read = 2 packed + 2 dropped" in run.stdout  # as the README says of chats.jsonl
    code = "\n".join(block.text for block in blocks("python"))
    command = [checkout / ".venv" / "bin" / "python", "-c", code]
    run = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-4000:]
    shown = {str(path.relative_to(checkout)) for path in (checkout / "prepared").rglob("*") if path.is_file()}
    (dataset,) = (block for block in blocks("text") if block.name == "dataset")
    names = [f"prepared/{line.split()[0]}" for line in dataset.text.splitlines()[1:]]
    assert [name for name in names if not any(path.startswith(name) for path in shown)] == []
