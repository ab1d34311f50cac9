"""Whether values are valid under JSON schemas that a stranger wrote, within bounds of size and time.

jsonschema judges. Around each of its keywords is one that counts steps and depth, and those that may take longer than
their size (patterns, comparisons of lists) are written here. References lead to places in the schema itself, and
nowhere else. What is not certain within these bounds is not judged: see Judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from sftdata.read.schemas.patterns import search
from sftdata.records.faults import is_fault

MAX_SCHEMA_BYTES = 1 << 18  # as JSON
MAX_OBJECTS = 2_000  # objects and lists in a schema
MAX_LIST = 500  # values in a list of a schema that are not all texts: older drafts compare each with each
MAX_SCHEMA_DEPTH = 32  # of its objects and lists
MAX_DEPTH = 64  # of keywords within keywords, references included
MAX_STEPS, STEPS_PER_CALL = 30_000, 500  # for the calls of one record: below a second, and some for each call
SMALL_BYTES = 1 << 14  # of a schema, up to which many are kept
# What takes longer than others: to check an object of a schema itself, to follow a reference, to word an error.
_STEPS_PER_OBJECT, _STEPS_PER_REFERENCE, _STEPS_PER_ERROR = 10, 10, 5
_REFERENCES = frozenset(("$ref", "$dynamicRef", "$recursiveRef"))
# Where a part that passes may make the whole fail, so that nothing may pass that is not certain.
_STRICT = frozenset(("oneOf", "not", "if", "contains", "disallow", "extends"))

Keyword = Callable[[Any, Any, Any, Any], Iterable[Any] | None]


class Judged(NamedTuple):
    """The first error of a value, or None; and where there is none, what could not be judged, or None."""

    error: str | None
    unjudged: str | None = None


class Unjudged(Exception):
    """A schema or a value that is not judged, and why in a word or two."""


class Budget:
    """The steps that are left for a record; and of the value that is judged, how deep, and what was passed unjudged."""

    def __init__(self, num_calls: int = 1) -> None:
        self.steps = MAX_STEPS + STEPS_PER_CALL * num_calls
        self.schemas: set[bytes] = set()  # that were checked for this record
        self.depth = 0
        self.strict = 0  # keywords around this one in which nothing may pass that is not certain
        self.unjudged: str | None = None

    def spend(self, steps: int) -> None:
        """Take steps. Raises Unjudged where none are left."""
        self.steps -= steps
        if self.steps < 0:
            raise Unjudged("size")

    def let_pass(self, why: str) -> None:
        """Let something pass that is not judged. Raises Unjudged where that may make the whole fail."""
        if self.strict:
            raise Unjudged(why)
        self.unjudged = self.unjudged or why


_BUDGET: ContextVar[Budget] = ContextVar("_BUDGET")


def judge(schema: Mapping[str, Any], value: Any, budget: Budget) -> Judged:
    """Whether a value is valid under a schema (2020-12 unless `$schema` says otherwise).

    What could not be judged is invalid schemas, references, patterns, keywords or size. Never raises for what a schema
    or a value says; takes at most the steps of the budget, which the calls of a record share.
    """
    token = _BUDGET.set(budget)
    budget.depth = budget.strict = 0
    budget.unjudged = None
    try:
        data = orjson.dumps(schema)
        found = (_small if len(data) <= SMALL_BYTES else _large)(data)
        if isinstance(found, str):
            return Judged(None, found)
        validator, num_objects = found
        if data not in budget.schemas:
            budget.spend(num_objects * _STEPS_PER_OBJECT)
            budget.schemas.add(data)
        error = next(iter(validator.iter_errors(value)), None)
    except Unjudged as why:
        return Judged(None, str(why))
    except BaseException as fault:  # of the library, for which no schema is too odd
        if not is_fault(fault):
            raise
        return Judged(None, "references" if "ref" in type(fault).__name__.lower() else "invalid schemas")
    finally:
        _BUDGET.reset(token)
    if error is None:
        return Judged(None, budget.unjudged)
    place = ".".join(str(part) for part in error.absolute_path)
    return Judged(f"{place + ': ' if place else ''}{error.message}")


def _compiled(data: bytes) -> tuple[Any, int] | str:
    """The validator of a schema, and its objects and lists; or why it is not judged."""
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing import Registry

    if len(data) > MAX_SCHEMA_BYTES:
        return "size"
    schema = orjson.loads(data)
    num_objects = _count_objects(schema)
    if num_objects is None:
        return "size"
    try:
        kind: Any = validator_for(schema, default=Draft202012Validator)
        kind.check_schema(schema, format_checker=None)
        return _bounded(kind)(schema, registry=Registry()), num_objects
    except SchemaError:
        return "invalid schemas"
    except BaseException as fault:  # of the library: an id that is no address, a `$schema` that is no text
        if not is_fault(fault):
            raise
        return "invalid schemas"


_small = lru_cache(maxsize=4096)(_compiled)
_large = lru_cache(maxsize=16)(_compiled)


def _count_objects(schema: Any) -> int | None:
    """The objects and lists in a schema; None if they are too many, too deep or too long, or if a part of it names a
    draft of its own, which would be judged without these bounds.
    """
    level, total = [schema], 0
    for depth in range(MAX_SCHEMA_DEPTH + 1):
        total += len(level)
        if not level:
            return total
        if total > MAX_OBJECTS:
            return None
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                if depth and isinstance(item.get("$schema"), str):
                    return None
                values: Iterable[Any] = item.values()
            else:
                values = item
                if len(item) > MAX_LIST and not all(type(one) is str for one in item):
                    return None
            below += [one for one in values if isinstance(one, (dict, list))]
        level = below
    return None


@lru_cache(maxsize=16)
def _bounded(kind: Any) -> Any:
    """A draft of JSON Schema with bounds around its keywords."""
    from jsonschema.validators import extend

    own = {name: keyword for name, keyword in _OWN.items() if name in kind.VALIDATORS}
    keywords = {name: _within_bounds(name, keyword) for name, keyword in {**kind.VALIDATORS, **own}.items()}
    make: Any = extend
    return make(kind, keywords)


def _within_bounds(name: str, keyword: Keyword) -> Keyword:
    """A keyword that gives its first error alone, and takes steps for what it looks at."""
    is_strict, is_reference = name in _STRICT, name in _REFERENCES

    def bounded(validator: Any, value: Any, instance: Any, schema: Any) -> Iterable[Any]:
        budget = _BUDGET.get()
        many = sum(len(one) for one in (value, instance) if isinstance(one, (list, dict)))
        budget.spend((_STEPS_PER_REFERENCE if is_reference else 1) + many // 16)
        if is_reference and not str(value).startswith("#"):
            raise Unjudged("references")
        if budget.depth >= MAX_DEPTH:
            raise Unjudged("references" if is_reference else "size")
        budget.depth += 1
        budget.strict += is_strict
        try:
            error = next(iter(keyword(validator, value, instance, schema) or ()), None)
        finally:
            budget.depth -= 1
            budget.strict -= is_strict
        if error is None:
            return ()
        budget.spend(_STEPS_PER_ERROR + len(error.message) // 64)  # which holds the value that is wrong
        return (error,)

    return bounded


def _error(message: str) -> Any:
    from jsonschema.exceptions import ValidationError

    return ValidationError(message)


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    if not isinstance(instance, str):
        return
    found = search(pattern, [instance])[0]
    if found is None:
        _BUDGET.get().let_pass("patterns")
    elif not found:
        yield _error(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    names = list(instance)
    for pattern, below in patterns.items():
        _BUDGET.get().spend(len(names) // 16)
        for name, found in zip(names, search(pattern, names), strict=True):
            if found is None:
                _BUDGET.get().let_pass("patterns")
            elif found:
                yield from validator.descend(instance[name], below, path=name, schema_path=pattern)


def _additional_properties(validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    known = schema.get("properties", {})
    extra = [name for name in instance if name not in known]
    for pattern in schema.get("patternProperties", {}):
        found = search(pattern, extra) if extra else []
        if None in found:
            _BUDGET.get().let_pass("patterns")
        extra = [name for name, hit in zip(extra, found, strict=True) if hit is False]
    if isinstance(allowed, dict):
        for name in extra:
            yield from validator.descend(instance[name], allowed, path=name)
    elif not allowed and extra:
        verb = "was" if len(extra) == 1 else "were"
        named = ", ".join(map(repr, sorted(extra)))
        yield _error(f"Additional properties are not allowed ({named} {verb} unexpected)")


def _multiple_of(validator: Any, factor: Any, instance: Any, schema: Any) -> Iterator[Any]:
    """As decimal numbers, which JSON has: 19.99 is a multiple of 0.01, though not as floats."""
    if _is_number(instance) and (Fraction(str(instance)) / Fraction(str(factor))).denominator != 1:
        yield _error(f"{instance!r} is not a multiple of {factor}")


def _unique_items(validator: Any, is_wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not is_wanted or not isinstance(instance, list):
        return
    if len(set(map(_canonical_bytes, instance))) < len(instance):
        yield _error(f"{instance!r} has non-unique elements")


def _enum(validator: Any, values: Sequence[Any], instance: Any, schema: Any) -> Iterator[Any]:
    own = _canonical_bytes(instance)
    alike = (value for value in values if type(value) is type(instance) or _is_number(value))
    if not any(_canonical_bytes(value) == own for value in alike):
        yield _error(f"{instance!r} is not one of {values!r}")


def _const(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if _canonical_bytes(value) != _canonical_bytes(instance):
        yield _error(f"{value!r} was expected")


def _unevaluated(validator: Any, value: Any, instance: Any, schema: Any) -> tuple[()]:
    """Which parts other keywords have looked at is not judged: finding out takes no bounded time."""
    if isinstance(instance, (dict, list)) and instance:
        _BUDGET.get().let_pass("unevaluatedProperties")
    return ()


_OWN: Mapping[str, Keyword] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "multipleOf": _multiple_of,
    "uniqueItems": _unique_items,
    "enum": _enum,
    "const": _const,
    "unevaluatedProperties": _unevaluated,
    "unevaluatedItems": _unevaluated,
}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _canonical_bytes(value: Any) -> bytes:
    """Bytes that are equal for values that JSON Schema calls equal: 1 is 1.0, true is not 1, keys have no order."""
    return orjson.dumps(_canonical(value), option=orjson.OPT_SORT_KEYS)


def _canonical(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 1 << 53 else value
    if isinstance(value, dict):
        _BUDGET.get().spend(1 + len(value) // 16)
        return {name: _canonical(item) for name, item in value.items()}
    if isinstance(value, list):
        _BUDGET.get().spend(1 + len(value) // 16)
        return [_canonical(item) for item in value]
    return value
