"""Limits that are put into templates while they are compiled: steps of loops and macros, and measuring what grows.

A rendering is tried in a light way first, and measured in full if that does not do. Both give the same text.

light   Values, and the conversation, are small, and so are the numbers of operations that passes of loops take, which
        are counted when a template is compiled. So no operation can take long, and only what may grow is measured:
        values where they get a name or an expression is long, and what is not in LIGHT_FILTERS and LIGHT_METHODS.
full    Every operation is measured before it begins, and takes steps by the size of what it is given: see measured.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jinja2.nodes as nodes
from jinja2.visitor import NodeTransformer

from sftdata.encode.template.limits.budget import LIGHT, Limits, too_big

STEP, LOOP, HOLD = "_step", "_loop", "_hold"  # filters that are put into templates
_STEPS_OF_MACRO = 10
_FEW = 8  # operands that an expression may have before it is measured
_OPERATIONS: dict[type[nodes.Node], int] = {
    nodes.Filter: 16,
    nodes.Call: 16,
    nodes.Test: 4,
    nodes.Compare: 4,
    nodes.Concat: 4,
    nodes.Slice: 4,
}
_GROWTH = {"list": 1, "safe": 4, "string": 4, "tojson": 4}
_GROWING = (nodes.Add, nodes.Concat, nodes.List, nodes.Dict, nodes.Tuple, nodes.Mul)


# What is light too if all its arguments are short constants, and steps are taken for the items of its value. It goes by
# another name then, since `map('join', …)` has other arguments.
QUICK_FILTERS = ("join", "replace", "map", "reject", "rejectattr", "select", "selectattr")
QUICK = "_quick_"
_SHORT = 64
_NO_MORE = frozenset((*QUICK_FILTERS[2:], "items", "list", "reverse"))  # items than in its value


def names(text: str) -> frozenset[str]:
    """The names in a text."""
    return frozenset(text.split())


# What takes no longer than one pass over its value, and gives at most some times as much.
LIGHT_FILTERS = names("capitalize count d default first last length list lower safe string tojson trim upper")
LIGHT_METHODS = names(
    "capitalize count endswith find get index isalnum isalpha isdigit isspace items keys lower lstrip partition "
    "removeprefix removesuffix rfind rpartition rsplit rstrip split splitlines startswith strip title upper "
    "values"
)


class Limited(NodeTransformer):
    """Puts steps into loops and macros, and measures where values get a name and where expressions are long."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.light = limits is LIGHT

    def visit(self, node: nodes.Node, *args: Any, **named: Any) -> Any:
        """A node with limits. What an expression gives is about as large as its weight times what is in it."""
        made = super().visit(node, *args, **named)
        if not isinstance(made, nodes.Expr) or getattr(made, "ctx", "load") != "load":
            return made
        weight = sum(
            vars(child).get("_weight", int(isinstance(child, nodes.Expr))) for child in made.iter_child_nodes()
        )
        if isinstance(made, (nodes.Const, nodes.Compare, nodes.Test, nodes.Not)):
            weight = 0  # all constants together are no larger than the template
        elif isinstance(made, nodes.Filter):
            weight += _GROWTH.get(made.name, 0)
        if weight > _FEW and not isinstance(made, (nodes.Slice, nodes.NSRef)):
            made, weight = filtered(made, HOLD), 1
        vars(made)["_weight"] = weight
        return made

    def visit_Template(self, node: nodes.Template) -> nodes.Node:  # noqa: N802
        """All that is in no loop, macro or block."""
        return self._stepped(node, 0)

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        """Each pass and each test of an item takes steps."""
        steps = 1 + self._operations([*node.body, node.test])
        node.iter = _held(node.iter)
        self.generic_visit(node)
        if self.light and not node.recursive:
            at: Any = node
            name = "iter"
            while (
                isinstance(getattr(at, name), nodes.Filter) and getattr(at, name).name.removeprefix(QUICK) in _NO_MORE
            ):
                at, name = getattr(at, name), "node"
            setattr(at, name, filtered(getattr(at, name), LOOP, nodes.Const(steps).set_lineno(node.lineno)))
            return node
        node.body.insert(0, _step(node, steps))
        if node.test is not None:
            node.test = nodes.And(_step(node, steps).node, node.test).set_lineno(node.lineno)
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802
        """Each call takes steps."""
        node.defaults = [_held(each) for each in node.defaults]
        return self._stepped(node, _STEPS_OF_MACRO)

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:  # noqa: N802
        """Each call of the block takes steps."""
        node.defaults = [_held(each) for each in node.defaults]
        return self._stepped(node, _STEPS_OF_MACRO)

    def visit_Block(self, node: nodes.Block) -> nodes.Node:  # noqa: N802
        """Each time that the block is written takes steps."""
        return self._stepped(node, _STEPS_OF_MACRO)

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

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:  # noqa: N802
        """A filter with short constants as arguments."""
        self.generic_visit(node)
        given = [*node.args, *(pair.value for pair in node.kwargs), *filter(None, (node.dyn_args, node.dyn_kwargs))]
        if self.light and node.name in QUICK_FILTERS and node.node is not None and all(map(_is_short, given)):
            node.name = QUICK + node.name
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        """A long concatenation is several."""
        while len(node.nodes) > _FEW:
            groups: list[list[nodes.Expr]] = [node.nodes[at : at + _FEW] for at in range(0, len(node.nodes), _FEW)]
            node.nodes = [_concat(group, node.lineno) for group in groups]
        return self.generic_visit(node)

    def visit_Const(self, node: nodes.Const) -> nodes.Node:  # noqa: N802
        """A text or number of the template has the limits of every other."""
        big = isinstance(node.value, str) and len(node.value) > self.limits.chars
        if big or (isinstance(node.value, int) and node.value.bit_length() > self.limits.bits):
            raise too_big("has a constant")
        return node

    def _stepped(self, node: Any, steps: int) -> nodes.Node:
        steps += self._operations(node.body)
        self.generic_visit(node)
        if steps:
            node.body.insert(0, _step(node, steps))
        return node  # type: ignore[no-any-return]

    def _operations(self, body: Iterable[nodes.Node | None]) -> int:
        """The operations of a body, without those of loops and macros in it. In full, they take steps when they run."""
        if not self.light:
            return 0
        waiting, operations = [node for node in body if node is not None], 0
        while waiting:
            node = waiting.pop()
            operations += _OPERATIONS.get(type(node), 1)
            if isinstance(node, nodes.For):
                waiting += [node.iter, *node.else_]
            elif not isinstance(node, (nodes.Macro, nodes.Block)):
                waiting += node.iter_child_nodes()
        return operations


def _concat(parts: list[nodes.Expr], line: int) -> nodes.Expr:
    made = nodes.Concat(parts)
    made.set_lineno(line)
    return made


def _is_short(node: nodes.Node) -> bool:
    """Whether a node is a short constant."""
    return isinstance(node, nodes.Const) and (not isinstance(node.value, str) or len(node.value) < _SHORT)


def filtered(node: nodes.Node, name: str, *args: nodes.Node) -> nodes.Filter:
    """A node with a filter of these arguments behind it."""
    made = nodes.Filter(node, name, list(args), [], None, None)
    made.set_lineno(node.lineno)
    return made


def _step(node: nodes.Node, steps: int) -> nodes.ExprStmt:
    step = filtered(nodes.Const(steps).set_lineno(node.lineno), STEP)
    made = nodes.ExprStmt(step)
    made.set_lineno(node.lineno)
    return made


def _held(node: Any) -> Any:
    """A node that is measured if it may be larger than what is in it."""
    grows = isinstance(node, _GROWING) or next(node.find_all(_GROWING), None) is not None
    filters = [node, *node.find_all(nodes.Filter)]
    grows = grows or any(isinstance(each, nodes.Filter) and each.name in _GROWTH for each in filters)
    return filtered(node, HOLD) if grows else node
