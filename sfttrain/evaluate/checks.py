"""Checks on what a model writes: each says of an answer whether it passes, and has a bar for the share that must."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sftdata.errors import ConfigError
from sftdata.library.prompts import Prompt, named_value

if TYPE_CHECKING:
    from sfttrain.evaluate.settings import CheckSettings

REFERENCE = "reference"  # stands for the answer in the row itself
MAX_DETAIL = 200  # characters
NO_JSON = "is not JSON"


class Outcome(NamedTuple):
    """Of one answer: whether it passes, and why not."""

    passed: bool
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """A check that is ready to run."""

    name: str
    at_least: float | None
    judge: Callable[[str, Prompt], Outcome]


class Tally(NamedTuple):
    """How many answers pass a check."""

    name: str
    passed: int
    answers: int
    at_least: float | None

    @property
    def share(self) -> float:
        """The share that passes."""
        return self.passed / self.answers if self.answers else 0.0

    @property
    def met(self) -> bool:
        """Whether the bar is met; without a bar it always is."""
        return self.at_least is None or self.share >= self.at_least

    def as_json(self) -> dict[str, Any]:
        """For run.json and `--json`."""
        return {**self._asdict(), "share": self.share, "met": self.met}

    @property
    def in_words(self) -> str:
        """`json: 12 of 40 answers pass (0.30, at least 0.60)`."""
        bar = f", at least {self.at_least:.2f}" if self.at_least is not None else ""
        return f"{self.name}: {self.passed:,} of {self.answers:,} answers pass ({self.share:.2f}{bar})"


def make_checks(settings: Sequence[CheckSettings], prompts: Sequence[Prompt]) -> list[Check]:
    """The checks, tried before a model is loaded. Raises ConfigError for one that cannot be made, or has no reference
    in some row.
    """
    made = [Check(one.shown_name, one.at_least, _judge(one)) for one in settings]
    for one in settings:
        if one.exact is None:
            continue
        for prompt in prompts:
            if _reference(one.exact, prompt) is None:
                what = f"has no {one.exact!r} to compare with" if one.exact != REFERENCE else "has no answer of its own"
                raise ConfigError(prompt.where, what, "add it to the row, or name another column in evaluate.checks")
    return made


def run_checks(
    checks: Sequence[Check], prompts: Sequence[Prompt], answers: Sequence[str]
) -> tuple[list[dict[str, Outcome]], list[Tally]]:
    """The outcome of each check for each answer, and how many pass."""
    outcomes = [
        {check.name: check.judge(answer, prompt) for check in checks}
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    tallies = [
        Tally(check.name, sum(one[check.name].passed for one in outcomes), len(outcomes), check.at_least)
        for check in checks
    ]
    return outcomes, tallies


def _judge(settings: CheckSettings) -> Callable[[str, Prompt], Outcome]:
    if settings.exact is not None:
        return partial(_exact, settings.exact)
    if settings.regex is not None:
        return partial(_regex, re.compile(settings.regex))
    if settings.json_schema is not None:
        return partial(_schema, _validator(settings.json_schema))
    assert settings.function is not None
    return partial(_function, _load_function(settings.function))


def _reference(column: str, prompt: Prompt) -> Any:
    found = named_value(prompt.row, column.split("."))
    return prompt.reference if found is None and column == REFERENCE else found


def _exact(column: str, answer: str, prompt: Prompt) -> Outcome:
    """Equal texts, but for white space around them; an object or a list is equal to the same value as JSON."""
    reference = _reference(column, prompt)
    if isinstance(reference, (Mapping, list)):
        found = _schema(_validator({"const": reference}), answer, prompt)  # in JSON, true is not 1, and 1.0 is
        expected = f"expected {_short(json.dumps(reference, ensure_ascii=False))}"
        return Outcome(False, expected) if found.detail not in (None, NO_JSON) else found
    text = reference if isinstance(reference, str) else json.dumps(reference)
    same = answer.strip() == text.strip()
    return Outcome(same, None if same else f"expected {_short(text)}")


def _regex(pattern: re.Pattern[str], answer: str, prompt: Prompt) -> Outcome:
    found = pattern.search(answer) is not None
    return Outcome(found, None if found else f"does not match {_short(pattern.pattern)}")


def _validator(schema: Mapping[str, Any] | str) -> Any:
    """A validator of jsonschema. Raises ConfigError for a file that cannot be read, or is no schema."""
    import jsonschema
    from referencing import Registry

    where, found = "evaluate.checks: json_schema", schema
    if isinstance(schema, str):
        where = schema
        try:
            found = json.loads(Path(schema).read_bytes())
        except OSError as error:
            raise ConfigError(where, f"cannot be read ({error.strerror})", "give the path of a JSON schema") from error
        except ValueError as error:
            raise ConfigError(where, f"is not JSON ({error})", "give the path of a JSON schema") from error
    if not isinstance(found, (dict, bool)):
        raise ConfigError(where, "is not a JSON schema: it is no object", "fix the schema")
    kind = jsonschema.validators.validator_for(found, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(found)
    except jsonschema.SchemaError as error:
        raise ConfigError(where, f"is not a JSON schema ({_short(error.message)})", "fix the schema") from error
    return kind(found, registry=Registry())  # references lead to places in the schema, never to the network


def _schema(validator: Any, answer: str, prompt: Prompt) -> Outcome:
    from referencing.exceptions import Unresolvable

    try:
        value = json.loads(answer, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return Outcome(False, NO_JSON)
    try:
        error = next(iter(validator.iter_errors(value)), None)
    except Unresolvable as problem:
        return Outcome(False, _short(f"the schema refers to {problem.ref}, which is not in it"))
    except RecursionError:
        return Outcome(False, "is nested too deeply to be compared with the schema")
    return Outcome(error is None, None if error is None else _short(f"{error.json_path}: {error.message}"))


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _load_function(name: str) -> Callable[..., Any]:
    """The function `module:function`, with the current folder as a place for modules. Raises ConfigError."""
    module, _, attribute = name.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # a module of the user's may raise anything, and a script may end itself
        what = f"cannot be imported ({type(error).__name__}: {error})"
        raise ConfigError(f"evaluate.checks: function: {name}", what, "write it as module:function") from error
    if not callable(found):
        raise ConfigError(f"evaluate.checks: function: {name}", "is not a function", "write it as module:function")
    return found  # type: ignore[no-any-return]


def _function(function: Callable[..., Any], answer: str, prompt: Prompt) -> Outcome:
    """What function(answer, row) says: true or false. An answer for which it raises does not pass."""
    try:
        found = function(answer, dict(prompt.row))
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a user's function may raise anything; it is in the outcome
        return Outcome(False, _short(f"{type(error).__name__}: {error}"))
    if not isinstance(found, (bool, np.bool_)):
        return Outcome(False, f"the function returned {type(found).__name__}, not true or false")
    return Outcome(bool(found), None if found else "the function says no")


def _short(text: str) -> str:
    return text if len(text) <= MAX_DETAIL else f"{text[:MAX_DETAIL]} ..."
