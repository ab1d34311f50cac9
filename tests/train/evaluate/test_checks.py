"""Each kind of check, with answers that pass and answers that do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sftdata.errors import ConfigError
from sftdata.library.prompts import Prompt
from sfttrain.config import parse_config
from sfttrain.evaluate.checks import Tally, make_checks, run_checks
from sfttrain.evaluate.settings import CheckSettings

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}


def prompt(reference: str | None = None, **row: Any) -> Prompt:
    return Prompt("prompts.jsonl:1", (("user", "?"),), (1,), reference, row)


def passes(answer: str, asked: Prompt | None = None, **check: Any) -> bool:
    asked = asked or prompt()
    outcomes, _ = run_checks(make_checks([CheckSettings(**check)], [asked]), [asked], [answer])
    (found,) = outcomes[0].values()
    assert found.passed or found.detail  # what does not pass says why
    return found.passed


@pytest.mark.parametrize(
    ("answer", "row", "passed"),
    [
        ("Paris", "Paris", True),
        (" Paris\n", "Paris", True),
        ("paris", "Paris", False),
        ("42", 42, True),
        ("true", True, True),
        ('{"b": [1], "a": 2}', {"a": 2, "b": [1]}, True),
        ('{"a": 2}', {"a": 2, "b": [1]}, False),
        ("a: 2", {"a": 2}, False),
        ('{"a": true}', {"a": 1}, False),  # as JSON has it, where Python has them equal
        ('{"a": 1.0}', {"a": 1}, True),
        ("[" * 100_000, [1], False),
        ("[" * 500 + "]" * 500, [[]], False),
    ],
)
def test_an_exact_match_is_of_texts_or_of_values_as_json(answer: str, row: Any, passed: bool):
    assert passes(answer, prompt(out={"value": row}), exact="out.value") is passed


def test_reference_is_the_answer_in_the_row_unless_the_row_has_such_a_column():
    assert passes("Me", prompt("Me"), exact="reference")
    assert passes("You", prompt("Me")._replace(row={"reference": "You"}), exact="reference")


def test_a_regular_expression_is_found_anywhere():
    assert passes("it is 42.", regex=r"\b42\b")
    assert not passes("it is 420.", regex=r"\b42\b")


@pytest.mark.parametrize(
    ("answer", "passed"),
    [('{"a": 1}', True), ('{"a": "1"}', False), ('{"a": 1, "b": 2}', False), ("{a: 1}", False), ('{"a": NaN}', False)],
)
def test_a_json_schema_judges_the_answer_as_json(answer: str, passed: bool):
    assert passes(answer, json_schema=SCHEMA) is passed


@pytest.mark.parametrize("answer", ["[" * 100_000, "[" * 900 + "]" * 900])
def test_an_answer_that_is_nested_too_deeply_does_not_pass_and_ends_no_run(answer: str):
    nested = {"$defs": {"list": {"type": "array", "items": {"$ref": "#/$defs/list"}}}, "$ref": "#/$defs/list"}
    assert not passes(answer, json_schema=nested)


def test_a_reference_of_a_schema_never_leads_to_the_network():
    assert not passes("1", json_schema={"$ref": "https://example.com/schema.json"})


def test_a_function_gets_the_answer_and_the_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "my_checks.py").write_text("def same(answer, row):\n    return len(answer) == row['length']\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert passes("four", prompt(length=4), function="my_checks:same")
    assert not passes("three", prompt(length=4), function="my_checks:same")
    assert not passes("three", prompt(), function="my_checks:same")  # raises KeyError
    (tmp_path / "its_numpy.py").write_text(
        "import numpy\n\ndef long(answer, row):\n    return numpy.int64(len(answer)) > 4\n"
    )
    assert passes("three", function="its_numpy:long")
    assert not passes("four", function="its_numpy:long")


def test_a_script_that_ends_itself_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a_script.py").write_text("import sys\n\nsys.exit(2)\n")
    (tmp_path / "its_exit.py").write_text("import sys\n\ndef judge(answer, row):\n    sys.exit(2)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match=r"function: a_script:judge: cannot be imported .SystemExit: 2"):
        make_checks([CheckSettings(function="a_script:judge")], [prompt()])
    assert not passes("four", function="its_exit:judge")


@pytest.mark.parametrize(
    ("check", "problem"),
    [
        ({"json_schema": {"type": "thing"}}, "is not a JSON schema"),
        ({"json_schema": "no/such/file.json"}, "cannot be read"),
        ({"function": "no_such_module:check"}, "cannot be imported"),
        ({"exact": "label"}, "has no 'label'"),
    ],
)
def test_what_cannot_be_checked_is_refused_before_a_model_is_loaded(check: dict[str, Any], problem: str):
    with pytest.raises(ConfigError, match=problem):
        make_checks([CheckSettings(**check)], [prompt()])


@pytest.mark.parametrize(
    ("check", "problem"),
    [
        ({"regex": "("}, "is not a regular expression"),
        ({"function": "module.check"}, "write it as module:function"),
        ({"regex": "a", "exact": "b"}, "has exact and regex"),
        ({"at_least": 0.5}, "has no kind"),
        ({"regex": "a", "at_least": 60}, "at_least"),
    ],
)
def test_a_check_that_cannot_be_meant_is_refused_with_the_settings(check: dict[str, Any], problem: str):
    with pytest.raises(ConfigError, match=problem):
        parse_config({"shards": "s", "model": "m", "out": "o", "evaluate": {"prompts": "p", "checks": [check]}})


def test_two_checks_of_one_name_are_refused():
    checks = [{"regex": "a"}, {"regex": "b"}]
    with pytest.raises(ConfigError, match="two checks are called 'regex'"):
        parse_config({"shards": "s", "model": "m", "out": "o", "evaluate": {"prompts": "p", "checks": checks}})


@pytest.mark.parametrize(("passed", "bar", "met"), [(6, 0.6, True), (5, 0.6, False), (0, None, True), (10, 1.0, True)])
def test_a_bar_is_met_by_its_share(passed: int, bar: float | None, met: bool):
    assert Tally("x", passed, 10, bar).met is met
