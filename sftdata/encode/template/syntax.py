"""What a chat template can learn from message text, read off its syntax tree.

Most templates write the text out and look no further. Where one compares it (`'</think>' in content`), the strings it
compares with are its needles; a conversation that holds none of them is rendered the same way whatever else it says.
That is what lets one proof serve every conversation of a shape (see shapes.py).

The analysis is about conversations whose messages have a role and a text that is not blank. It lists what is known to
be harmless; whatever else is done with text means that the template may look.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from jinja2 import Environment, nodes

# What an expression may hold: nothing of the kind; messages; their text as it is where no needle is in it; anything
# else that was made from text.
NOTHING, MESSAGE, TEXT, DERIVED = range(4)

SAME_FILTERS = {"string", "safe", "default", "d"}  # leave a text as it is
MESSAGE_FILTERS = {"list": MESSAGE, "first": MESSAGE, "last": MESSAGE, "reverse": MESSAGE, "length": NOTHING}
MESSAGE_FILTERS["count"] = NOTHING
SAFE_TESTS = {"string", "defined", "undefined", "none", "mapping", "iterable", "sequence", "boolean", "number"}
TRIMS = {"strip", "lstrip", "rstrip"}
PREDICATES = {"startswith", "endswith"}
SAME_WITHOUT_NEEDLE = {"split", "rsplit", "replace", "removeprefix", "removesuffix"}
TRUTHS = (nodes.Compare, nodes.Test, nodes.Not)  # what they learnt is looked at by itself
UNKNOWN = (
    nodes.CallBlock,
    nodes.FilterBlock,
    nodes.Include,
    nodes.Import,
    nodes.FromImport,
    nodes.Extends,
    nodes.Block,
)


class Reads(NamedTuple):
    """What a template reads of message text.

    `opaque`: nothing but whether it holds one of the `needles`. `verbatim`: opaque, and the text is written exactly as
    it is, so that a rendering is constant text with the contents between. `trims`: white space around it is cut off.
    """

    opaque: bool
    verbatim: bool
    trims: bool
    needles: tuple[str, ...]

    def may_branch_on(self, text: str) -> bool:
        """Whether the template could treat this text unlike another text that is not blank."""
        if not self.opaque or (self.trims and (text[:1].isspace() or text[-1:].isspace())):
            return True
        return any(needle in text for needle in self.needles)


def reads_of(sources: Iterable[str], environment: Environment) -> Reads:
    """What a template's sources read of message text."""
    walks = [_Walk(environment.parse(source)) for source in sources]
    opaque = all(walk.opaque for walk in walks)
    return Reads(
        opaque=opaque,
        verbatim=opaque and all(walk.verbatim for walk in walks),
        trims=any(walk.trims for walk in walks),
        needles=tuple(sorted({needle for walk in walks for needle in walk.needles} - {""})),
    )


class _Walk:
    """One pass over a template: which names may hold messages or their text, and what is asked of them."""

    def __init__(self, tree: nodes.Template) -> None:
        self.opaque = not any(True for _ in tree.find_all(UNKNOWN))
        self.verbatim = True
        self.trims = False
        self.needles: set[str] = set()
        self._names = {"messages": MESSAGE}
        self._macros = {macro.name for macro in tree.find_all(nodes.Macro)}
        self._all = list(_reachable(tree))
        self._spread()
        for node in self._all:
            self._look(node)

    def _spread(self) -> None:
        """Find the names that may hold messages or text, until nothing new is found."""
        for node in self._all:
            if isinstance(node, nodes.Macro):
                self._names.update({argument.name: TEXT for argument in node.args}, varargs=DERIVED, kwargs=DERIVED)
        before: dict[str, int] = {}
        while before != self._names:
            before = dict(self._names)
            for node in self._all:
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
        """What an expression may hold."""
        if node is None or isinstance(node, TRUTHS):
            return NOTHING
        if isinstance(node, nodes.Name):
            return self._names.get(node.name, NOTHING)
        if isinstance(node, nodes.Getattr):
            if isinstance(node.node, nodes.Name) and f"{node.node.name}.{node.attr}" in self._names:
                return self._names[f"{node.node.name}.{node.attr}"]
            return self._part(self._level(node.node), node.attr)
        if isinstance(node, nodes.Getitem):
            return self._item(node)
        if isinstance(node, nodes.Call):
            return self._result(node)
        if isinstance(node, nodes.Filter):
            return self._filtered(node)
        if isinstance(node, nodes.CondExpr):
            return max(self._level(node.expr1), self._level(node.expr2))
        if isinstance(node, (nodes.And, nodes.Or)):
            return max(self._level(node.left), self._level(node.right))
        level = max((self._level(child) for child in node.iter_child_nodes()), default=NOTHING)
        return DERIVED if level == TEXT else level

    @staticmethod
    def _part(level: int, key: object) -> int:
        """What a part holds: `content` of anything is text, a message's other fields are not, a list's item is one."""
        if key == "content":
            return TEXT
        if key in ("previtem", "nextitem"):
            return MESSAGE
        if level == MESSAGE:
            return NOTHING if isinstance(key, str) else MESSAGE
        return DERIVED if level else NOTHING

    def _item(self, node: nodes.Getitem) -> int:
        if self._is_split(node.node):  # without the needle there is one part, the text itself
            return TEXT if _constant(node.arg) in (0, -1) else DERIVED
        return self._part(self._level(node.node), _constant(node.arg))

    def _is_split(self, node: nodes.Node) -> bool:
        """`text.split(constant)`."""
        return (
            isinstance(node, nodes.Call)
            and isinstance(node.node, nodes.Getattr)
            and node.node.attr in ("split", "rsplit")
            and self._level(node.node.node) == TEXT
            and bool(node.args)
        )

    def _result(self, call: nodes.Call) -> int:
        function = call.node
        if isinstance(function, nodes.Getattr):
            level = self._level(function.node)
            if function.attr == "get" and call.args:
                return self._part(level, _constant(call.args[0]))
            if level == TEXT:
                if function.attr in PREDICATES:
                    return NOTHING
                same = function.attr in (TRIMS | SAME_WITHOUT_NEEDLE) and function.attr not in ("split", "rsplit")
                return TEXT if same else DERIVED
            return level
        if isinstance(function, nodes.Name) and function.name in ("raise_exception", "namespace"):
            return NOTHING
        if isinstance(function, nodes.Name) and function.name in self._macros | {"caller"}:
            return DERIVED
        return DERIVED if any(self._level(child) >= TEXT for child in call.iter_child_nodes()) else NOTHING

    def _filtered(self, node: nodes.Filter) -> int:
        level = self._level(node.node)
        if level == MESSAGE:
            return MESSAGE_FILTERS.get(node.name, MESSAGE)
        if level == TEXT:
            return TEXT if node.name in SAME_FILTERS | {"trim", "replace"} else DERIVED
        return level

    def _look(self, node: nodes.Node) -> None:
        """Note what a node learns from text, or does to it."""
        if isinstance(node, nodes.Compare):
            self._compare(node)
        elif isinstance(node, nodes.Filter):
            self._look_at_filter(node)
        elif isinstance(node, nodes.Test):
            harmless = node.name in SAFE_TESTS and self._level(node.node) != DERIVED
            self.opaque &= not self._level(node.node) or harmless
        elif isinstance(node, nodes.Getitem):
            self.opaque &= self._level(node.arg) < TEXT
            self.verbatim &= self._level(node.node) < TEXT
        elif isinstance(node, nodes.Call):
            self._look_at_call(node)
        elif isinstance(node, nodes.Output):
            self.opaque &= all(self._level(part) != MESSAGE for part in node.nodes)  # a whole message written out
        elif isinstance(node, nodes.For):
            self.opaque &= self._level(node.iter) < TEXT and self._is_harmless_truth(node.test)
        elif isinstance(node, (nodes.If, nodes.CondExpr)):
            self.opaque &= self._is_harmless_truth(node.test)
        elif isinstance(node, (nodes.And, nodes.Or)):
            self.opaque &= self._is_harmless_truth(node.left)
        elif isinstance(node, nodes.Not):
            self.opaque &= self._is_harmless_truth(node.node)
        elif isinstance(node, nodes.AssignBlock):
            self.verbatim = False
        elif isinstance(node, (nodes.BinExpr, nodes.UnaryExpr, nodes.Literal)) and not isinstance(node, nodes.Add):
            self.verbatim &= all(self._level(child) < TEXT for child in node.iter_child_nodes())

    def _is_harmless_truth(self, node: nodes.Node | None) -> bool:
        """Text that is not blank is true; of what was made from it nobody knows."""
        return self._level(node) != DERIVED

    def _look_at_filter(self, node: nodes.Filter) -> None:
        level = self._level(node.node)
        given = [*node.args, *(pair.value for pair in node.kwargs)]
        if any(self._level(argument) for argument in given):
            self.opaque = False
        if level == MESSAGE:
            self.opaque &= node.name in MESSAGE_FILTERS
        elif level >= TEXT:
            self.verbatim &= node.name in SAME_FILTERS
            if node.name == "trim":
                self.trims = True
                self.opaque &= not given
            elif node.name == "replace":
                self.opaque &= self._take_needles(given)

    def _look_at_call(self, call: nodes.Call) -> None:
        function = call.node
        if not isinstance(function, (nodes.Getattr, nodes.Name)):
            self.opaque = False  # nothing is known of a function that is computed
        spread = [argument for argument in (call.dyn_args, call.dyn_kwargs) if argument is not None]
        given = [*call.args, *(pair.value for pair in call.kwargs), *spread]
        level = self._level(function.node) if isinstance(function, nodes.Getattr) else NOTHING
        name = function.attr if isinstance(function, nodes.Getattr) else getattr(function, "name", "")
        if level == MESSAGE:
            self.opaque &= name == "get"
        elif level >= TEXT:
            self.verbatim = False
            self._look_at_method(name, given)
        elif any(self._level(argument) for argument in given):
            self.verbatim &= name == "raise_exception"
            self.opaque &= name in self._macros or name in ("namespace", "raise_exception")

    def _look_at_method(self, name: str, given: list[nodes.Expr]) -> None:
        if name in TRIMS:
            self.trims = True
            self.opaque &= all(str(_constant(argument) or "x").isspace() for argument in given)
        elif name in PREDICATES | SAME_WITHOUT_NEEDLE and given:
            self.opaque &= self._take_needles(given)
        else:
            self.opaque = False

    def _compare(self, compare: nodes.Compare) -> None:
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
                self.opaque &= self._take_needles([left])
        elif operator in ("in", "notin") and left_level == TEXT and isinstance(right, (nodes.List, nodes.Tuple)):
            self.opaque &= self._take_needles(right.items)
        elif operator in ("eq", "ne") and sorted(levels) == [NOTHING, TEXT]:
            self.opaque &= self._take_needles([left if left_level == NOTHING else right])
        else:
            self.opaque = False

    def _take_needles(self, given: Iterable[nodes.Node]) -> bool:
        """Collect constants; False where one is no constant."""
        constants = [_constant(node) for node in given]
        self.needles.update(constant for constant in constants if isinstance(constant, str))
        return None not in constants


def _reachable(node: nodes.Node) -> Iterator[nodes.Node]:
    """The nodes that can run where every content is a string: not those behind `content is string ... else`."""
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.If):
            yield child
            yield from _both(child.test)
            if not _denies_string(child.test):
                yield from _in_order(child.body)
            if not _asks_string(child.test):
                for branch in child.elif_:
                    yield from _reachable(nodes.Template([branch]))
                yield from _in_order(child.else_)
        else:
            yield from _both(child)


def _both(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    yield from _reachable(node)


def _in_order(body: list[nodes.Node]) -> Iterator[nodes.Node]:
    yield from _reachable(nodes.Template(body))


def _asks_string(test: nodes.Node) -> bool:
    """`message.content is string`."""
    return isinstance(test, nodes.Test) and test.name == "string" and _is_content(test.node)


def _denies_string(test: nodes.Node) -> bool:
    """`message.content is not string`, alone or among other conditions that must hold."""
    if isinstance(test, nodes.And):
        return _denies_string(test.left) or _denies_string(test.right)
    return isinstance(test, nodes.Not) and _asks_string(test.node)


def _is_content(node: nodes.Node) -> bool:
    """`x.content` or `x['content']`, written out."""
    if isinstance(node, nodes.Getattr):
        return node.attr == "content"
    return isinstance(node, nodes.Getitem) and _constant(node.arg) == "content"


def _constant(node: nodes.Node) -> object:
    """The value of a constant, a negative number included; None where it is none."""
    if isinstance(node, nodes.Neg):
        value = _constant(node.node)
        return -value if isinstance(value, int) else None
    if isinstance(node, (nodes.Add, nodes.Concat)):
        parts = [_constant(child) for child in node.iter_child_nodes()]
        return "".join(map(str, parts)) if all(isinstance(part, str) for part in parts) else None
    return node.value if isinstance(node, nodes.Const) else None
