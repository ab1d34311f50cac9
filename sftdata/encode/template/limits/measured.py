"""What the operations of a template cost: each is measured before it begins, since nothing can stop it later.

An operation takes steps by the size of what it is given. Where the result may be larger than that, or the time grows
faster, its size is worked out first. What is not in these tables is taken to be slow: a new filter or method is not
forgotten, but has low limits.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping
from functools import wraps
from itertools import islice
from typing import Any

import jinja2.nodes as nodes
from jinja2.runtime import BlockReference, Context, LoopContext, Macro, markup_join, str_join
from jinja2.utils import _PassArg

from sftdata.encode.template.limits.budget import (
    BYTES_PER_STEP,
    ITEMS_PER_STEP,
    LIGHT,
    MAX_DIGITS,
    Budget,
    in_templates,
    too_big,
)
from sftdata.encode.template.limits.light import Limited, filtered, names

COMPARE, CONCAT, COPY, WRITE = "_compare", "_concat", "_copy", "_write"  # filters that are put into templates
SLOW_CHARS_PER_STEP = 16
_SMALL_INDENT = 8
_COPIED_PER_STEP = 128
_NUMBER = re.compile(r"\d+")
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_ENCODINGS = frozenset(("utf-8", "utf8", "ascii", "latin-1", "utf-16", "utf-32"))

# Filters. The time of the others grows with the characters and items of their value, and slowly.
_AT_ONCE = names("attr count d default first last length")
_ONE_BY_ONE = names("batch items list map reject rejectattr reverse select selectattr slice")
_SORTING = names("dictsort groupby max min sort sum unique")
_OF_TEXTS = names(
    "abs capitalize center e escape filesizeformat float forceescape format indent int lower replace reverse round "
    "safe string striptags title tojson trim truncate upper urlencode wordcount wordwrap xmlattr"
)
_FAST = names("capitalize center e escape forceescape join lower replace safe string tojson trim upper")
_WHOLE = frozenset((*_SORTING, "join"))  # which need all items of a generator
# Methods.
_METHODS_AT_ONCE = names("get items keys values")
_FAST_METHODS = names(
    "capitalize casefold count decode encode endswith find format index isalnum isalpha isascii isdecimal isdigit "
    "islower isnumeric isspace isupper join lower lstrip partition removeprefix removesuffix replace rfind rindex "
    "rpartition rsplit rstrip split splitlines startswith strip swapcase title upper zfill"
)
_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
    "in": lambda left, right: left in right,
    "notin": lambda left, right: left not in right,
}
MEASURED_TESTS = names("!= < <= == > >= eq equalto ge greaterthan gt in le lessthan lower lt ne upper")


class Measured(Limited):
    """Measures every operation."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        """`a ~ b` is measured."""
        made = super().visit_Concat(node)
        first, *others = made.nodes  # type: ignore[attr-defined]
        return filtered(first, CONCAT, *others)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        """`a == b`, `a in b` and so on are measured; of `a < b < c`, each part by itself."""
        self.generic_visit(node)
        left, parts = node.expr, []
        for each in node.ops:
            parts.append(filtered(left, COMPARE, nodes.Const(each.op).set_lineno(node.lineno), each.expr))
            left = each.expr
        made: Any = parts[0]
        for part in parts[1:]:
            made = nodes.And(made, part).set_lineno(node.lineno)
        return made  # type: ignore[no-any-return]

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        """`a[1:2]` copies."""
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = filtered(node.node, COPY)
        return node

    def visit_Output(self, node: nodes.Output) -> nodes.Node:  # noqa: N802
        """What is written becomes text."""
        self.generic_visit(node)
        constant = (nodes.TemplateData, nodes.Const)
        node.nodes = [each if isinstance(each, constant) else filtered(each, WRITE) for each in node.nodes]
        return node


class Meter:
    """Measures what operations are given, and what they give. Raises LimitError."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget

    def whole(self, value: Any, chars_per_step: int = BYTES_PER_STEP) -> tuple[int, int]:
        """Take steps for all that is in a value; how many items and characters that is."""
        if isinstance(value, (str, bytes)):
            self.budget.take(len(value) // chars_per_step)
            return 1, len(value)
        if value is None or isinstance(value, (bool, float)):
            return 1, 0
        items, chars = self.budget.measure(value)
        self.budget.take(items // ITEMS_PER_STEP + chars // chars_per_step)
        return items, chars

    def copied(self, value: Any) -> Any:
        """Take steps for a copy of a text or list."""
        if isinstance(value, (str, bytes)):
            self.budget.take(len(value) // BYTES_PER_STEP)
        elif isinstance(value, (list, tuple, dict)):
            self.budget.take(len(value) // _COPIED_PER_STEP)
        return value

    def given(self, value: Any) -> Any:
        """What an operation gave, after a look at its size."""
        budget = self.budget
        if isinstance(value, (str, bytes)):
            budget.need(len(value))
            if len(value) >= BYTES_PER_STEP:
                budget.take(value.__sizeof__() // BYTES_PER_STEP)  # not its characters: this is what bounds memory
        elif isinstance(value, (list, tuple, dict)):
            budget.need_items(len(value))
            budget.take(len(value) // ITEMS_PER_STEP)
        elif isinstance(value, int):
            budget.need_bits(value.bit_length())
        elif hasattr(type(value), "__next__"):
            return budget.counted(value)
        return value

    def compare(self, _context: Context, left: Any, name: str, right: Any) -> Any:
        """A comparison."""
        if isinstance(left, str) and isinstance(right, (list, tuple, dict, range)):
            steps = len(left) // BYTES_PER_STEP
            self.budget.take(steps if isinstance(right, dict) else len(right) // ITEMS_PER_STEP + len(right) * steps)
        elif left is not None and right is not None:
            self.whole(left)
            self.whole(right)
        return _COMPARISONS[name](left, right)

    def concat(self, context: Context, *parts: Any) -> str:
        """`a ~ b`."""
        self.budget.need(sum([self.whole(part)[1] for part in parts]))
        made: str = (markup_join if context.eval_ctx.autoescape else str_join)(parts)
        self.given(made)
        return made

    def copy(self, _context: Context, value: Any) -> Any:
        """What a slice is taken of."""
        return self.copied(value)

    def write(self, _context: Context, value: Any) -> Any:
        """What is written."""
        if type(value) is str and len(value) < BYTES_PER_STEP:
            return value
        self.whole(value)
        return value

    def binop(self, sign: str, left: Any, right: Any) -> Any:
        """An operation of two values."""
        for value in (left, right):
            if isinstance(value, int):
                self.budget.need_bits(value.bit_length())
                self.budget.take((value.bit_length() // BYTES_PER_STEP) ** 2)
            else:
                self.copied(value)
        return self.given(self.calculate(sign, left, right))

    def calculate(self, sign: str, left: Any, right: Any) -> Any:
        """An operation of two values whose result may be far larger than they are."""
        if sign == "*":
            for number, other in ((left, right), (right, left)):
                if isinstance(number, int):
                    if isinstance(other, (str, bytes)):
                        self.budget.need(number * len(other))
                    elif isinstance(other, (list, tuple)):
                        self.budget.need_items(number * len(other))
                    elif isinstance(other, int):
                        self.budget.need_bits(number.bit_length() + other.bit_length())
        elif sign == "**" and isinstance(left, int) and isinstance(right, int):
            self.budget.need_bits(left.bit_length() * max(right, 0))
        elif sign == "%" and isinstance(left, (str, bytes)):
            self.check_percent(left, right)
        return _OPERATORS[sign](left, right)

    def check_percent(self, left: str | bytes, right: Any) -> None:
        """Before a text is formatted as in Python's `%`."""
        text = left if isinstance(left, str) else left.decode("latin-1")
        values = (
            list(right.values()) if isinstance(right, Mapping) else list(right) if isinstance(right, tuple) else [right]
        )
        self.check_format(text)
        longest = 0
        for value in values:
            items, chars = self.whole(value)
            longest = max(longest, 4 * (items + chars))
            if "*" in text and isinstance(value, int):
                self.budget.need(abs(value))
        self.whole(text, SLOW_CHARS_PER_STEP)
        self.budget.need(text.count("%") * longest + len(text))

    def check_format(self, text: str) -> None:
        """Before the widths in a format are used."""
        numbers = _NUMBER.findall(text)
        if any(len(number) > 9 for number in numbers):
            raise too_big()
        self.budget.need(sum(map(int, numbers)))

    def filter(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter that is measured."""
        passed = _PassArg.from_obj(function)

        @wraps(function)
        def measured(context: Context, value: Any, /, *args: Any, **named: Any) -> Any:
            if name in _WHOLE and hasattr(type(value), "__next__"):
                value = list(islice(value, self.budget.limits.items + 1))
            self._check_filter(name, value, args, named)
            given = _as_it_is if name in _AT_ONCE else self.given
            if passed is None:
                return given(function(value, *args, **named))
            first: Any = context if passed is _PassArg.context else context.eval_ctx
            first = context.environment if passed is _PassArg.environment else first
            return given(function(first, value, *args, **named))

        measured.jinja_pass_arg = _PassArg.context  # type: ignore[attr-defined]
        return measured

    def _check_filter(self, name: str, value: Any, args: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        if name in _AT_ONCE:
            return
        budget, more = self.budget, (*args, *named.values())
        texts = sum([self.whole(each)[1] for each in more])
        numbers = max([abs(each) for each in more if isinstance(each, int)], default=0)
        if isinstance(value, str) and name not in _OF_TEXTS:
            budget.need_items(len(value))
            items = chars = len(value)
            budget.take(items // ITEMS_PER_STEP)
        elif name in _ONE_BY_ONE and not isinstance(value, str):
            items, chars = (len(value) if hasattr(type(value), "__len__") else 1), 0
            budget.take(items // ITEMS_PER_STEP)
        else:
            items, chars = self.whole(value, BYTES_PER_STEP if name in _FAST else SLOW_CHARS_PER_STEP)
        if name in _SORTING or name in _ONE_BY_ONE:
            budget.take(items * (texts // SLOW_CHARS_PER_STEP))  # names of attributes
        if name in ("dictsort", "groupby", "sort"):
            budget.take(items.bit_length() * (items // ITEMS_PER_STEP + chars // BYTES_PER_STEP))
        if name == "sum" and any(isinstance(each, (list, tuple)) for each in more):
            budget.take(items * items // BYTES_PER_STEP)  # a sum of lists is copied for each
        self._check_growth(name, value, more, (items, texts, numbers))

    def _check_growth(self, name: str, value: Any, more: tuple[Any, ...], sizes: tuple[int, int, int]) -> None:
        """Before a filter whose result may be far larger than its value, or whose time grows faster."""
        budget, (items, texts, numbers) = self.budget, sizes
        if name == "round":
            if numbers > MAX_DIGITS:
                raise too_big("rounds to digits")
        elif name in ("batch", "slice"):
            budget.need_items(numbers)
        elif name == "format":
            values = more[0] if len(more) == 1 else more
            self.check_percent(str(value), values)
        elif name == "join":
            budget.need(texts * items)
        elif isinstance(value, str):
            chars = len(value)
            lines = {"indent": value.count("\n") + 1, "wordwrap": chars, "striptags": value.count("<")}.get(name, 1)
            if name == "replace" and more and isinstance(more[0], str):
                lines = value.count(more[0])
            budget.need(chars + lines * max(texts, numbers if name in ("center", "indent", "truncate") else 1))
            if name == "striptags":
                budget.take(lines * chars // BYTES_PER_STEP)
            elif name == "wordwrap":
                budget.take(chars // max(numbers if more else 79, 1) * chars // BYTES_PER_STEP)

    def test(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A test that is measured."""

        @wraps(function)
        def measured(_context: Context, *args: Any) -> Any:
            for value in args:
                self.whole(value)
            return function(*args)

        measured.jinja_pass_arg = _PassArg.context  # type: ignore[attr-defined]
        return measured

    def tojson(
        self,
        value: object,
        ensure_ascii: bool = False,
        indent: int | str | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        """The filter `tojson` of transformers, which does not escape HTML."""
        if indent is None and separators is None:
            return json.dumps(value, ensure_ascii=ensure_ascii, sort_keys=sort_keys)
        if separators is not None:
            self.budget.need(self.budget.measure(value)[0] * sum(map(len, separators)))
        if indent is None:
            return json.dumps(value, ensure_ascii=ensure_ascii, separators=separators, sort_keys=sort_keys)
        width = len(indent) if isinstance(indent, str) else indent
        if width > MAX_DIGITS:
            raise too_big()
        if width <= _SMALL_INDENT and self.budget.limits is LIGHT:
            return json.dumps(
                value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
            )
        encoder = json.JSONEncoder(ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
        return self.budget.joined(list(self._small(encoder.iterencode(value))))

    def _small(self, parts: Any) -> Any:
        size = 0
        for part in parts:
            size += len(part)
            self.budget.need(size)
            yield part

    def method(self, bound: Any, args: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
        """The result of a method of a text, list, object or number."""
        owner, name = bound.__self__, bound.__name__
        if name not in _METHODS_AT_ONCE:
            chars_per_step = BYTES_PER_STEP if name in _FAST_METHODS else SLOW_CHARS_PER_STEP
            for value in (owner, *args, *named.values()):
                if isinstance(value, int):
                    self.budget.take((value.bit_length() // BYTES_PER_STEP) ** 2)
                else:
                    self.whole(value, chars_per_step)
            args = self._check_method(owner, name, args, named)
        return self.given(bound(*args, **named))

    def _check_method(self, owner: Any, name: str, args: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Any, ...]:
        """The arguments of a method whose result may be far larger than what it is given."""
        budget, first = self.budget, args[0] if args else next(iter(named.values()), None)
        if name in ("ljust", "rjust", "center", "zfill", "to_bytes") and isinstance(first, int):
            budget.need(first)
        elif name == "expandtabs":
            tabs = owner.count("\t" if isinstance(owner, str) else b"\t")
            budget.need(len(owner) + tabs * (first if isinstance(first, int) else 8))
        elif name == "replace" and len(args) > 1 and isinstance(args[1], (str, bytes)):
            budget.need(len(owner) + owner.count(first) * len(args[1]))
        elif name == "join" and first is not None:
            items = list(islice(first, budget.limits.items + 1))
            budget.need_items(len(items))
            budget.need(len(owner) * len(items) + sum(len(item) for item in items if isinstance(item, (str, bytes))))
            args = (items, *args[1:])
        elif name == "translate" and isinstance(first, Mapping):
            budget.need(len(owner) * max([len(value) for value in first.values() if isinstance(value, str)], default=1))
        elif name in ("split", "rsplit") and len(owner) > budget.limits.items:
            most = args[1] if len(args) > 1 else named.get("maxsplit", -1)
            if not isinstance(most, int) or not 0 <= most <= budget.limits.items:
                sep = first if args or "sep" in named else None
                budget.need_items(len(getattr(owner, name)(sep, budget.limits.items)))
        elif name == "splitlines" and isinstance(owner, str) and len(owner) > budget.limits.items:
            budget.need_items(sum(map(owner.count, _LINE_ENDS)))
        elif name in ("maketrans", "fromkeys") and isinstance(first, (str, bytes)):
            budget.need_items(len(first))
        elif name in ("encode", "decode") and first is not None and str(first).lower() not in _ENCODINGS:
            budget.take(len(owner) ** 2 // SLOW_CHARS_PER_STEP)
        return args

    def check_call(self, function: Any, args: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        """Before a call of what is neither a method of Python's own nor of the template."""
        if not isinstance(function, (Macro, BlockReference, LoopContext)):
            for value in (*args, *named.values()):
                self.whole(value)


def _as_it_is(value: Any) -> Any:
    return value


_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "**": operator.pow,
    "%": operator.mod,
}
in_templates(Meter.compare, Meter.concat, Meter.copy, Meter.write)
