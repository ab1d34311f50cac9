"""What a template may do: limits of steps, sizes and time, put into it while it is compiled.

A step is one pass of a loop or one call of a macro. Values are measured where they get a name (`set`, `with`, loops,
arguments), because an expression alone grows no faster than it is written; what may grow at once, such as
`'a' * 10**10`, is measured before it is computed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from itertools import islice
from typing import Any, TypeVar

import jinja2
import jinja2.nodes as nodes
from jinja2.runtime import Context
from jinja2.visitor import NodeTransformer

MAX_STEPS = 1_000_000
MAX_CHARS = 1 << 25  # of a text, and of the whole rendering
MAX_ITEMS = 1 << 18  # of a list or an object, with all that is in it
MAX_BITS = 100_000  # of a number
MAX_DIGITS = 1000  # that a number is rounded to
MAX_SECONDS = 20  # a last resort: every other limit is the same on all machines
STEP, HOLD = "_step", "_hold"  # filters that are put into templates
_STEPS_PER_LOOK = 256
_STEPS_OF_MACRO = 10
_ITEMS_PER_STEP = 16
_CHUNK = 64
_FEW = 8
_NUMBER = re.compile(r"\d+")
_GROWING = (nodes.Add, nodes.Concat, nodes.List, nodes.Dict, nodes.Tuple)
_CONTAINERS = (list, tuple, dict, jinja2.utils.Namespace)
T = TypeVar("T")


class LimitError(jinja2.exceptions.TemplateRuntimeError):
    """A template does more than a template may do."""


def too_big(what: str = "builds a text") -> LimitError:
    """The error for a value that is too big."""
    return LimitError(f"it {what} of more than {MAX_CHARS:,} characters or {MAX_ITEMS:,} items, which is the limit")


def need(size: int, limit: int = MAX_CHARS) -> None:
    """Raise LimitError if a value of this size is too big."""
    if size > limit:
        raise too_big()


class Steps:
    """What a rendering may still do."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin a rendering."""
        self.left = MAX_STEPS
        self._look_at = MAX_STEPS - _STEPS_PER_LOOK
        self._ends: float | None = None

    def step(self, _context: object, steps: int) -> bool:
        """One pass of a loop or call of a macro. Always true. Raises LimitError."""
        self.left -= steps
        if self.left < self._look_at:
            self._look()
        return True

    def _look(self) -> None:
        self._look_at = self.left - _STEPS_PER_LOOK
        if self.left <= 0:
            raise LimitError(f"it takes more than {MAX_STEPS:,} steps, which is the limit")
        now = time.process_time()
        if self._ends is None:
            self._ends = now + MAX_SECONDS
        if now > self._ends:
            raise LimitError(f"it takes more than {MAX_SECONDS} seconds, which is the limit")

    step.jinja_pass_arg = jinja2.utils._PassArg.context  # type: ignore[attr-defined] # never computed when compiled


def hold(value: T) -> T:
    """A value that is not too big. Raises LimitError."""
    if isinstance(value, str):
        need(len(value))
    elif isinstance(value, _CONTAINERS):
        _measure(value)
    elif isinstance(value, int):
        need(value.bit_length(), MAX_BITS)
    return value


@jinja2.pass_context
def held(context: Context, value: Any) -> Any:
    """The filter that measures a value. What takes long to measure is several steps."""
    if type(value) is str and len(value) < MAX_CHARS:
        return value
    if isinstance(value, _CONTAINERS):
        context.environment.steps.step(context, _measure(value) // _ITEMS_PER_STEP)  # type: ignore[attr-defined]
        return value
    return hold(value)


def _measure(value: object) -> int:
    """The number of items in a value. Raises LimitError if it is too big; what is in it twice counts twice."""
    items = chars = 0
    waiting = [value]
    while waiting:
        each = waiting.pop()
        items += 1
        if isinstance(each, str):
            chars += len(each)
        elif isinstance(each, Mapping):
            waiting += each.values()
        elif isinstance(each, jinja2.utils.Namespace):
            waiting += object.__getattribute__(each, "_Namespace__attrs").values()
        elif isinstance(each, (list, tuple)):
            need(len(each), MAX_ITEMS)
            waiting += each
        if items > MAX_ITEMS or chars > MAX_CHARS:
            raise too_big("builds a value")
    return items


def joined(parts: Iterable[str]) -> str:
    """The parts as one text. Raises LimitError."""
    rest, size = iter(parts), 0
    kept: list[str] = []
    while chunk := list(islice(rest, _CHUNK)):
        size += sum(map(len, chunk))
        if size > MAX_CHARS:
            raise too_big("writes a text")
        if not kept and len(chunk) < _CHUNK:
            return "".join(chunk)
        kept += chunk
    return "".join(kept)


class Limited(NodeTransformer):
    """Puts steps into loops and macros, and measures where values get a name."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        """Each pass and each test of an item is a step."""
        node.iter = _held(node.iter)
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_step(node)).set_lineno(node.lineno))
        if node.test is not None:
            node.test = nodes.And(_step(node), node.test).set_lineno(node.lineno)
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802
        """Each call is a step."""
        node.defaults = [_held(each) for each in node.defaults]
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_step(node)).set_lineno(node.lineno))
        return node

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:  # noqa: N802
        """Each call of the block is a step."""
        node.defaults = [_held(each) for each in node.defaults]
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_step(node)).set_lineno(node.lineno))
        return node

    def visit_Assign(self, node: nodes.Assign) -> nodes.Node:  # noqa: N802
        """The value is measured."""
        node.node = _held(node.node)
        return self.generic_visit(node)

    def visit_With(self, node: nodes.With) -> nodes.Node:  # noqa: N802
        """The values are measured."""
        node.values = [_held(each) for each in node.values]
        return self.generic_visit(node)

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802
        """The arguments are measured."""
        node.args = [_held(each) for each in node.args]
        for keyword in node.kwargs:
            keyword.value = _held(keyword.value)
        return self.generic_visit(node)

    def visit_Add(self, node: nodes.Add) -> nodes.Node:  # noqa: N802
        """A long sum is measured in between."""
        self.generic_visit(node)
        depth, left = 0, node.left
        while isinstance(left, nodes.Add):
            depth, left = depth + 1, left.left
        return _filter(node, HOLD) if depth >= _FEW else node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        """A long concatenation is measured in between."""
        self.generic_visit(node)
        while len(node.nodes) > _FEW:
            groups = [node.nodes[at : at + _FEW] for at in range(0, len(node.nodes), _FEW)]
            node.nodes = [_filter(nodes.Concat(group).set_lineno(node.lineno), HOLD) for group in groups]
        return node


def _filter(node: nodes.Node, name: str) -> nodes.Filter:
    made = nodes.Filter(node, name, [], [], None, None)
    made.set_lineno(node.lineno)
    return made


def _step(node: nodes.Node) -> nodes.Filter:
    steps = 1 if isinstance(node, nodes.For) else _STEPS_OF_MACRO
    return _filter(nodes.Const(steps).set_lineno(node.lineno), STEP)


def _held(node: Any) -> Any:
    grows = isinstance(node, _GROWING) or next(node.find_all(_GROWING), None) is not None
    return _filter(node, HOLD) if grows else node


def product(left: Any, right: Any) -> Any:
    """`left * right`. Raises LimitError."""
    for number, other in ((left, right), (right, left)):
        if isinstance(number, int):
            if isinstance(other, (str, bytes, list, tuple)):
                need(number * len(other), MAX_CHARS if isinstance(other, (str, bytes)) else MAX_ITEMS)
            elif isinstance(other, int):
                need(number.bit_length() + other.bit_length(), MAX_BITS)
    return left * right


def power(left: Any, right: Any) -> Any:
    """`left ** right`. Raises LimitError."""
    if isinstance(left, int) and isinstance(right, int):
        need(left.bit_length() * max(right, 0), MAX_BITS)
    return left**right


def remainder(left: Any, right: Any) -> Any:
    """`left % right`. Raises LimitError."""
    return percent(left, right) if isinstance(left, (str, bytes)) else left % right


def percent(left: Any, right: Any) -> Any:
    """A text formatted as in Python's `%`. Raises LimitError."""
    text = left if isinstance(left, str) else left.decode("latin-1")
    values = (
        list(right.values()) if isinstance(right, Mapping) else list(right) if isinstance(right, tuple) else [right]
    )
    _small_numbers(text)
    for value in values:
        hold(value)
        if "*" in text and isinstance(value, int):
            need(value)
    need(text.count("%") * max([_shown(value) for value in values], default=0) + len(text))
    return left % right


def _shown(value: object) -> int:
    """About how many characters a value has as text."""
    return len(value) if isinstance(value, str) else len(repr(value))


def _small_numbers(text: str) -> None:
    """Raise LimitError if the numbers in a format are too big together, as widths of what is formatted."""
    numbers = _NUMBER.findall(text)
    if any(len(number) > 9 for number in numbers):
        raise too_big()
    need(sum(map(int, numbers)))


def check_format(spec: str) -> None:
    """Raise LimitError if a format asks for a text that is too big."""
    _small_numbers(spec)


def check_method(owner: Any, name: str, args: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Any, ...]:
    """The arguments of a method of Python's own that may give a big value. Raises LimitError."""
    first = args[0] if args else next(iter(named.values()), None)
    if name in ("ljust", "rjust", "center", "zfill", "to_bytes") and isinstance(first, int):
        need(first)
    elif name == "expandtabs":
        need(
            len(owner)
            + owner.count("\t" if isinstance(owner, str) else b"\t") * (first if isinstance(first, int) else 8)
        )
    elif name == "replace" and len(args) > 1 and isinstance(args[1], (str, bytes)):
        need(len(owner) + owner.count(first) * len(args[1]))
    elif name == "join" and first is not None:
        items = list(first)
        need(len(owner) * len(items) + sum(len(item) for item in items if isinstance(item, (str, bytes))))
        args = (items, *args[1:])
    elif name == "translate" and isinstance(first, Mapping):
        need(len(owner) * max([len(value) for value in first.values() if isinstance(value, str)], default=1))
    return args


METHODS = frozenset(("ljust", "rjust", "center", "zfill", "to_bytes", "expandtabs", "replace", "join", "translate"))


def _check_filter(name: str, value: Any, args: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    """Raise LimitError if a filter may give a big value."""
    given = [*args, *named.values()]
    numbers = [abs(each) for each in given if isinstance(each, int)]
    texts = [len(each) for each in given if isinstance(each, str)]
    if name == "round":
        need(max(numbers, default=0), MAX_DIGITS)
    elif name in ("batch", "slice"):
        need(max(numbers, default=0), MAX_ITEMS)
    elif name == "format":
        percent(str(value), named or args)
    elif isinstance(value, str):
        lines = value.count(str(given[0])) if name == "replace" and given else len(value) if name == "wordwrap" else 1
        lines = value.count("\n") + 1 if name == "indent" else lines
        need(len(value) + lines * max([*texts, *(numbers if name in ("center", "indent") else ())], default=1))
    elif name == "join" and isinstance(value, (list, tuple)):
        need(max(texts, default=0) * len(value) + sum(len(each) for each in value if isinstance(each, str)))


LIMITED_FILTERS = ("batch", "center", "format", "indent", "join", "replace", "round", "slice", "wordwrap")


def limited_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that refuses to give a big value."""
    passed = 0 if jinja2.utils._PassArg.from_obj(function) is None else 1

    @wraps(function)
    def limited(*args: Any, **named: Any) -> Any:
        if len(args) > passed:
            if name == "join" and not isinstance(args[passed], (str, list, tuple)):
                args = (*args[:passed], list(args[passed]), *args[passed + 1 :])
            _check_filter(name, args[passed], args[passed + 1 :], named)
        return hold(function(*args, **named))

    return limited
