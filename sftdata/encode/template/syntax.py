"""How a chat template uses message contents, found by static analysis of its syntax tree.

Most templates only write contents out. Some also compare them with constants (`'</think>' in content`). Contents
without any of those constants are all rendered the same way, whatever else they say. That is why one proof can serve
every conversation of a shape (see proof/shapes.py).

The analysis assumes conversations whose messages have a role and a content that is not blank. It is an allowlist: any
use of contents that is not known to be harmless counts as a use that may depend on what the content says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from jinja2 import Environment, nodes

# The level of an expression says what its value may contain:
#   NOTHING  nothing that depends on a content
#   MESSAGE  messages
#   TEXT     a content, unchanged unless one of the constants is in it
#   DERIVED  anything else computed from a content
NOTHING, MESSAGE, TEXT, DERIVED = range(4)

IDENTITY_FILTERS = {"string", "safe", "default", "d"}  # leave a text unchanged
MESSAGE_FILTERS = {"list": MESSAGE, "first": MESSAGE, "last": MESSAGE, "reverse": MESSAGE, "length": NOTHING}
MESSAGE_FILTERS["count"] = NOTHING
SAFE_TESTS = {"string", "defined", "undefined", "none", "mapping", "iterable", "sequence", "boolean", "number"}
STRIP_METHODS = {"strip", "lstrip", "rstrip"}
PREDICATES = {"startswith", "endswith"}
IDENTITY_WITHOUT_MATCH = {"split", "rsplit", "replace", "removeprefix", "removesuffix"}
_MAX_PASSES = 50  # over all names; templates take two or three
BOOLEANS = (nodes.Compare, nodes.Test, nodes.Not)  # their operands are checked separately
UNSUPPORTED = (
    nodes.CallBlock,
    nodes.FilterBlock,
    nodes.Include,
    nodes.Import,
    nodes.FromImport,
    nodes.Extends,
    nodes.Block,
)


class ContentUse(NamedTuple):
    """How a template uses message contents.

    opaque    it depends only on which of the `constants` a content contains
    verbatim  it is opaque and writes contents unchanged: a rendering is fixed text with the contents in between
    trims     it strips white space around contents
    """

    opaque: bool
    verbatim: bool
    trims: bool
    constants: tuple[str, ...]

    def may_branch_on(self, content: str) -> bool:
        """Whether the template may treat this content differently from other contents that are not blank."""
        if not self.opaque or (self.trims and (content[:1].isspace() or content[-1:].isspace())):
            return True
        return any(constant in content for constant in self.constants)


def find_content_use(sources: Iterable[str], environment: Environment) -> ContentUse:
    """How a template with these sources uses message contents."""
    analyses = [_Analysis(environment.parse(source)) for source in sources]
    opaque = all(analysis.opaque for analysis in analyses)
    return ContentUse(
        opaque=opaque,
        verbatim=opaque and all(analysis.verbatim for analysis in analyses),
        trims=any(analysis.trims for analysis in analyses),
        constants=tuple(sorted({constant for analysis in analyses for constant in analysis.constants} - {""})),
    )


class _Analysis:
    """The analysis of one template: finds the level of every name, then checks every node that uses contents."""

    def __init__(self, tree: nodes.Template) -> None:
        self.opaque = not any(True for _ in tree.find_all(UNSUPPORTED))
        self.verbatim = True
        self.trims = False
        self.constants: set[str] = set()
        self._names = {"messages": MESSAGE}
        self._macros = {macro.name for macro in tree.find_all(nodes.Macro)}
        self._nodes = list(_reachable(tree))
        self._find_names()
        for node in self._nodes:
            self._check(node)

    def _find_names(self) -> None:
        """Find the level of every name; repeated until no level rises any more."""
        for node in self._nodes:
            if isinstance(node, nodes.Macro):
                self._names.update({argument.name: TEXT for argument in node.args}, varargs=DERIVED, kwargs=DERIVED)
        before: dict[str, int] = {}
        passes = 0
        while before != self._names:
            passes += 1
            if passes > _MAX_PASSES:  # a chain of names, each set from the next: it may do anything
                self.opaque = False
                return
            before = dict(self._names)
            for node in self._nodes:
                if isinstance(node, nodes.Assign):
                    self._bind(node.target, self._level(node.node))
                    if isinstance(node.node, nodes.Call):  # namespace(text=...)
                        for pair in node.node.kwargs:
                            self._bind_name(f"{getattr(node.target, 'name', '')}.{pair.key}", self._level(pair.value))
                elif isinstance(node, nodes.AssignBlock):
                    self._bind(node.target, DERIVED)
                elif isinstance(node, nodes.For):
                    self._bind(node.target, self._level(node.iter))

    def _bind(self, target: nodes.Node, level: int) -> None:
        if isinstance(target, nodes.NSRef):
            self._bind_name(f"{target.name}.{target.attr}", level)
        elif isinstance(target, nodes.Name):
            self._bind_name(target.name, level)
        else:
            for name in target.find_all(nodes.Name):
                self._bind_name(name.name, max(level, DERIVED if level >= TEXT else level))

    def _bind_name(self, name: str, level: int) -> None:
        if level > self._names.get(name, NOTHING):
            self._names[name] = level

    def _level(self, node: nodes.Node | None) -> int:
        """The level of an expression."""
        if node is None or isinstance(node, BOOLEANS):
            return NOTHING
        if isinstance(node, nodes.Name):
            return self._names.get(node.name, NOTHING)
        if isinstance(node, nodes.Getattr):
            if isinstance(node.node, nodes.Name) and f"{node.node.name}.{node.attr}" in self._names:
                return self._names[f"{node.node.name}.{node.attr}"]
            return self._part_level(self._level(node.node), node.attr)
        if isinstance(node, nodes.Getitem):
            return self._item_level(node)
        if isinstance(node, nodes.Call):
            return self._call_level(node)
        if isinstance(node, nodes.Filter):
            return self._filter_level(node)
        if isinstance(node, nodes.CondExpr):
            return max(self._level(node.expr1), self._level(node.expr2))
        if isinstance(node, (nodes.And, nodes.Or)):
            return max(self._level(node.left), self._level(node.right))
        level = max((self._level(child) for child in node.iter_child_nodes()), default=NOTHING)
        return DERIVED if level == TEXT else level

    @staticmethod
    def _part_level(level: int, key: object) -> int:
        """The level of a part of a value. `content` of anything is text; other fields of a message are nothing."""
        if key == "content":
            return TEXT
        if key in ("previtem", "nextitem"):
            return MESSAGE
        if level == MESSAGE:
            return NOTHING if isinstance(key, str) else MESSAGE
        return DERIVED if level else NOTHING

    def _item_level(self, node: nodes.Getitem) -> int:
        if self._is_split(node.node):  # without the separator there is one part, the whole text
            return TEXT if _constant(node.arg) in (0, -1) else DERIVED
        return self._part_level(self._level(node.node), _constant(node.arg))

    def _is_split(self, node: nodes.Node) -> bool:
        """Whether a node is `text.split(...)`, with an argument."""
        return (
            isinstance(node, nodes.Call)
            and isinstance(node.node, nodes.Getattr)
            and node.node.attr in ("split", "rsplit")
            and self._level(node.node.node) == TEXT
            and bool(node.args)
        )

    def _call_level(self, call: nodes.Call) -> int:
        """The level of the result of a call."""
        function = call.node
        if isinstance(function, nodes.Getattr):
            level = self._level(function.node)
            if function.attr == "get" and call.args:
                return self._part_level(level, _constant(call.args[0]))
            if level == TEXT:
                if function.attr in PREDICATES:
                    return NOTHING
                unchanged = (STRIP_METHODS | IDENTITY_WITHOUT_MATCH) - {"split", "rsplit"}
                return TEXT if function.attr in unchanged else DERIVED
            return level
        if isinstance(function, nodes.Name) and function.name in ("raise_exception", "namespace"):
            return NOTHING
        if isinstance(function, nodes.Name) and function.name in self._macros | {"caller"}:
            return DERIVED
        return DERIVED if any(self._level(child) >= TEXT for child in call.iter_child_nodes()) else NOTHING

    def _filter_level(self, node: nodes.Filter) -> int:
        level = self._level(node.node)
        if level == MESSAGE:
            return MESSAGE_FILTERS.get(node.name, MESSAGE)
        if level == TEXT:
            return TEXT if node.name in IDENTITY_FILTERS | {"trim", "replace"} else DERIVED
        return level

    def _check(self, node: nodes.Node) -> None:
        """Clear `opaque` or `verbatim` if the node may depend on contents or change them."""
        if isinstance(node, nodes.Compare):
            self._check_comparison(node)
        elif isinstance(node, nodes.Filter):
            self._check_filter(node)
        elif isinstance(node, nodes.Test):
            harmless = node.name in SAFE_TESTS and self._level(node.node) != DERIVED
            self.opaque &= not self._level(node.node) or harmless
        elif isinstance(node, nodes.Getitem):
            self.opaque &= self._level(node.arg) < TEXT
            self.verbatim &= self._level(node.node) < TEXT
        elif isinstance(node, nodes.Call):
            self._check_call(node)
        elif isinstance(node, nodes.Output):
            self.opaque &= all(self._level(part) != MESSAGE for part in node.nodes)  # not a whole message
        elif isinstance(node, nodes.For):
            self.opaque &= self._level(node.iter) < TEXT and self._is_safe_condition(node.test)
        elif isinstance(node, (nodes.If, nodes.CondExpr)):
            self.opaque &= self._is_safe_condition(node.test)
        elif isinstance(node, (nodes.And, nodes.Or)):
            self.opaque &= self._is_safe_condition(node.left)
        elif isinstance(node, nodes.Not):
            self.opaque &= self._is_safe_condition(node.node)
        elif isinstance(node, nodes.AssignBlock):
            self.verbatim = False
        elif isinstance(node, (nodes.BinExpr, nodes.UnaryExpr, nodes.Literal)) and not isinstance(node, nodes.Add):
            self.verbatim &= all(self._level(child) < TEXT for child in node.iter_child_nodes())

    def _is_safe_condition(self, node: nodes.Node | None) -> bool:
        """Whether the truth of a value is the same for all contents. A content that is not blank is always true."""
        return self._level(node) != DERIVED

    def _check_filter(self, node: nodes.Filter) -> None:
        """Check a filter applied to messages or to text, or with arguments made from them."""
        level = self._level(node.node)
        arguments = [*node.args, *(pair.value for pair in node.kwargs)]
        if any(self._level(argument) for argument in arguments):
            self.opaque = False
        if level == MESSAGE:
            self.opaque &= node.name in MESSAGE_FILTERS
        elif level >= TEXT:
            self.verbatim &= node.name in IDENTITY_FILTERS
            if node.name == "trim":
                self.trims = True
                self.opaque &= not arguments
            elif node.name == "replace":
                self.opaque &= self._add_constants(arguments)

    def _check_call(self, call: nodes.Call) -> None:
        """Check a call of a method of messages or of text, or with arguments made from them."""
        function = call.node
        if not isinstance(function, (nodes.Getattr, nodes.Name)):
            self.opaque = False  # a computed function could do anything
        unpacked = [argument for argument in (call.dyn_args, call.dyn_kwargs) if argument is not None]
        arguments = [*call.args, *(pair.value for pair in call.kwargs), *unpacked]
        level = self._level(function.node) if isinstance(function, nodes.Getattr) else NOTHING
        name = function.attr if isinstance(function, nodes.Getattr) else getattr(function, "name", "")
        if level == MESSAGE:
            self.opaque &= name == "get"
        elif level >= TEXT:
            self.verbatim = False
            self._check_method(name, arguments)
        elif any(self._level(argument) for argument in arguments):
            self.verbatim &= name == "raise_exception"
            self.opaque &= name in self._macros or name in ("namespace", "raise_exception")

    def _check_method(self, name: str, arguments: list[nodes.Expr]) -> None:
        """Check the call of a method of a text."""
        if name in STRIP_METHODS:
            self.trims = True
            self.opaque &= all(str(_constant(argument) or "x").isspace() for argument in arguments)
        elif name in PREDICATES | IDENTITY_WITHOUT_MATCH and arguments:
            self.opaque &= self._add_constants(arguments)
        else:
            self.opaque = False

    def _check_comparison(self, compare: nodes.Compare) -> None:
        """A content may only be compared with constants, by == and != or by in and not in."""
        operands = [compare.expr, *(operand.expr for operand in compare.ops)]
        levels = [self._level(operand) for operand in operands]
        if not any(levels):
            return
        if len(operands) != 2:
            self.opaque = False
            return
        operator = compare.ops[0].op
        (left, right), (left_level, right_level) = operands, levels
        if operator in ("in", "notin") and isinstance(left, nodes.Const) and right_level in (MESSAGE, TEXT):
            if right_level == TEXT:
                self.opaque &= self._add_constants([left])
        elif operator in ("in", "notin") and left_level == TEXT and isinstance(right, (nodes.List, nodes.Tuple)):
            self.opaque &= self._add_constants(right.items)
        elif operator in ("eq", "ne") and sorted(levels) == [NOTHING, TEXT]:
            self.opaque &= self._add_constants([left if left_level == NOTHING else right])
        else:
            self.opaque = False

    def _add_constants(self, arguments: Iterable[nodes.Node]) -> bool:
        """Add strings that contents are compared with; False if one of them is not a constant."""
        constants = [_constant(node) for node in arguments]
        self.constants.update(constant for constant in constants if isinstance(constant, str))
        return None not in constants


def _reachable(node: nodes.Node) -> Iterator[nodes.Node]:
    """The nodes that can run if every content is a string: not those in the `else` of `{% if content is string %}`."""
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.If):
            yield child
            yield from _with_descendants(child.test)
            if not _requires_no_string(child.test):
                yield from _reachable_in(child.body)
            if not _tests_for_string(child.test):
                for branch in child.elif_:
                    yield from _reachable(nodes.Template([branch]))
                yield from _reachable_in(child.else_)
        else:
            yield from _with_descendants(child)


def _with_descendants(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    yield from _reachable(node)


def _reachable_in(body: list[nodes.Node]) -> Iterator[nodes.Node]:
    yield from _reachable(nodes.Template(body))


def _tests_for_string(test: nodes.Node) -> bool:
    """Whether a test is `message.content is string`."""
    return isinstance(test, nodes.Test) and test.name == "string" and _is_content(test.node)


def _requires_no_string(test: nodes.Node) -> bool:
    """Whether a test is `message.content is not string`, or `and`s it with other conditions."""
    if isinstance(test, nodes.And):
        return _requires_no_string(test.left) or _requires_no_string(test.right)
    return isinstance(test, nodes.Not) and _tests_for_string(test.node)


def _is_content(node: nodes.Node) -> bool:
    """Whether a node is `x.content` or `x['content']`."""
    if isinstance(node, nodes.Getattr):
        return node.attr == "content"
    return isinstance(node, nodes.Getitem) and _constant(node.arg) == "content"


def _constant(node: nodes.Node) -> object:
    """The value of a constant, a negative number or a concatenation of strings; None for any other node."""
    if isinstance(node, nodes.Neg):
        value = _constant(node.node)
        return -value if isinstance(value, int) else None
    if isinstance(node, (nodes.Add, nodes.Concat)):
        parts = [_constant(child) for child in node.iter_child_nodes()]
        return "".join(map(str, parts)) if all(isinstance(part, str) for part in parts) else None
    return node.value if isinstance(node, nodes.Const) else None
