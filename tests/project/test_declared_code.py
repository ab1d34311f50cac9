"""Code that comes with a tokenizer or a model is run only where the user turned it on."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from package_files import module_name, package_files

# What of other libraries can run code from a folder or the hub. `load_dataset_builder` of datasets no longer can.
LOADERS = {"from_pretrained", "SentenceTransformer", "pipeline"}
SETTINGS = {"False", "trust_remote_code", "config.trust_remote_code"}


def loading_calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Every call of a loader."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
            if name in LOADERS:
                yield node


def trust(call: ast.Call) -> str | None:
    """What is passed for trust_remote_code, as source; None where nothing is."""
    return next((ast.unparse(word.value) for word in call.keywords if word.arg == "trust_remote_code"), None)


@pytest.mark.parametrize(
    ("source", "passed"),
    [
        ("AutoTokenizer.from_pretrained(x)", None),
        ("AutoTokenizer.from_pretrained(x, **options)", None),
        ("AutoTokenizer.from_pretrained(x, trust_remote_code=False)", "False"),
        ("from_pretrained(x, trust_remote_code=config.trust_remote_code)", "config.trust_remote_code"),
    ],
)
def test_what_a_call_passes_is_seen(source: str, passed: str | None) -> None:
    (call,) = loading_calls(ast.parse(source))
    assert trust(call) == passed


def test_every_call_that_loads_passes_trust_remote_code() -> None:
    calls = {
        f"{module_name(path)}:{call.lineno}": trust(call)
        for path, text in package_files().items()
        for call in loading_calls(ast.parse(text))
    }
    assert len(calls) >= 5
    assert {where: passed for where, passed in calls.items() if passed not in SETTINGS} == {}


def test_a_loader_is_only_called_and_has_no_other_name() -> None:
    """So that the test above sees every use."""
    for path, text in package_files().items():
        tree = ast.parse(text)
        called = {id(call.func) for call in loading_calls(tree)}
        uses = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "from_pretrained"]
        assert all(id(node) in called for node in uses), path
