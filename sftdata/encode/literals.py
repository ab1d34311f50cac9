"""What a chat template can learn from message text, read off its syntax tree.

Most templates write the text out and look no further. Where one compares it (`'</think>' in content`), the strings it
compares with are its needles; a conversation that holds none of them is rendered the same way whatever else it says.
That is what lets one proof serve every conversation of a shape (see shapes.py). The analysis is about conversations
whose messages have a role and a text, and errs towards saying that a template may look.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jinja2 import Environment, nodes

NOTHING, MESSAGE, TEXT = 0, 1, 2  # what an expression may hold: neither, messages, or (parts of) their text

# Filters, tests and methods that tell nothing about a non-empty text beyond their constants.
COPY_FILTERS = {"string", "safe"}
CHANGE_FILTERS = {"trim", "tojson", "default", "d", "indent", "upper", "lower", "title", "capitalize", "replace"}
MESSAGE_FILTERS = {"list": MESSAGE, "first": MESSAGE, "last": MESSAGE, "reverse": MESSAGE, "length": NOTHING}
MESSAGE_FILTERS["count"] = NOTHING
SAFE_TESTS = {"string", "defined", "undefined", "none", "mapping", "iterable", "sequence", "boolean", "number"}
NEEDLE_METHODS = {"startswith", "endswith", "split", "rsplit", "partition", "rpartition", "strip", "lstrip", "rstrip"}
NEEDLE_METHODS |= {"replace", "find", "removeprefix", "removesuffix", "count", "index"}
TRUTHS = (nodes.Compare, nodes.Test, nodes.Not)  # what they learnt is looked at by itself


@dataclass(frozen=True, slots=True)
class Reads:
    """What a template reads of message text.

    `opaque`: nothing but whether it holds one of the `needles`. `verbatim`: opaque, and the text is written exactly as
    it is, so that a rendering is constant text with the contents between.
    """

    opaque: bool
    verbatim: bool
    needles: tuple[str, ...]

    def may_branch_on(self, text: str) -> bool:
        """Whether the template could treat this text unlike another non-empty text."""
        return not self.opaque or any(needle in text for needle in self.needles)


def reads_of(sources: Iterable[str], environment: Environment) -> Reads:
    """What a template's sources read of message text."""
    needles: set[str] = set()
    opaque = verbatim = True
    for source in sources:
        walk = _Walk(environment.parse(source))
        opaque &= walk.opaque
        verbatim &= walk.verbatim
        needles |= walk.needles
    return Reads(opaque, opaque and verbatim, tuple(sorted(needle for needle in needles if needle.strip())))


class _Walk:
    """One pass over a template: which names may hold messages or their text, and what is asked of them."""

    def __init__(self, tree: nodes.Template) -> None:
        self.opaque = True
        self.verbatim = True
        self.needles: set[str] = set()
        self._names = {"messages": MESSAGE}
        self._macros = {macro.name for macro in tree.find_all(nodes.Macro)}
        self._spread(tree)
        for node in tree.find_all((nodes.Compare, nodes.Filter, nodes.Test, nodes.Getitem, nodes.Call, nodes.Output)):
            self._look(node)

    def _spread(self, tree: nodes.Template) -> None:
        """Find the names that may hold messages or text, until nothing new is found."""
        for macro in tree.find_all(nodes.Macro):
            for argument in macro.args:
                self._names[argument.name] = TEXT
        before: dict[str, int] = {}
        while before != self._names:
            before = dict(self._names)
            for assign in tree.find_all(nodes.Assign):
                self._bind(assign.target, self._level(assign.node))
                if isinstance(assign.node, nodes.Call):  # namespace(text=...)
                    for pair in assign.node.kwargs:
                        self._bind_name(f"{getattr(assign.target, 'name', '')}.{pair.key}", self._level(pair.value))
            for block in tree.find_all(nodes.AssignBlock):
                self._bind(block.target, TEXT)
                self.verbatim = False
            for loop in tree.find_all(nodes.For):
                level = self._level(loop.iter)
                self._bind(loop.target, level)
                if level == TEXT:
                    self.verbatim = False

    def _bind(self, target: nodes.Node, level: int) -> None:
        if isinstance(target, nodes.NSRef):
            self._bind_name(f"{target.name}.{target.attr}", level)
        elif isinstance(target, nodes.Name):
            self._bind_name(target.name, level)
        else:
            for name in target.find_all(nodes.Name):
                self._bind_name(name.name, level)

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
            key = node.arg.value if isinstance(node.arg, nodes.Const) else None
            return self._part(self._level(node.node), key)
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
            level = self._level(node.node.node)
            if level and node.node.attr == "get" and node.args and isinstance(node.args[0], nodes.Const):
                return self._part(level, node.args[0].value)
            return level
        if isinstance(node, nodes.Filter) and self._level(node.node) == MESSAGE:
            return MESSAGE_FILTERS.get(node.name, MESSAGE)
        if isinstance(node, nodes.CondExpr):
            return max(self._level(node.expr1), self._level(node.expr2))
        return max((self._level(child) for child in node.iter_child_nodes()), default=NOTHING)

    @staticmethod
    def _part(level: int, key: object) -> int:
        """What a part holds: a message's content is text, its other fields are not; an item of a list is a message."""
        if level == MESSAGE and isinstance(key, str):
            return TEXT if key == "content" else NOTHING
        return level

    def _look(self, node: nodes.Node) -> None:
        if isinstance(node, nodes.Compare):
            self._compare(node)
        elif isinstance(node, nodes.Filter):
            self._filter(node)
        elif isinstance(node, nodes.Test):
            if self._level(node.node) == TEXT and node.name not in SAFE_TESTS:
                self.opaque = False
        elif isinstance(node, nodes.Getitem):
            if self._level(node.node) == TEXT:
                self.verbatim = False
                self.opaque &= _is_constant_key(node.arg)
        elif isinstance(node, nodes.Call):
            self._call(node)
        elif isinstance(node, nodes.Output) and any(self._level(part) == MESSAGE for part in node.nodes):
            self.opaque = False  # a whole message is written out

    def _filter(self, node: nodes.Filter) -> None:
        level = self._level(node.node)
        if level == MESSAGE:
            self.opaque &= node.name in MESSAGE_FILTERS
        elif level == TEXT and node.name not in COPY_FILTERS:
            self.verbatim = False
            self.opaque &= node.name in CHANGE_FILTERS

    def _compare(self, compare: nodes.Compare) -> None:
        operands = [compare.expr, *(operand.expr for operand in compare.ops)]
        levels = [self._level(operand) for operand in operands]
        if not any(levels):
            return
        if MESSAGE in levels:  # `'tool_calls' in message` is about fields
            fields = isinstance(compare.expr, nodes.Const) and all(op.op in ("in", "notin") for op in compare.ops)
            self.opaque &= fields
            return
        if any(operand.op not in ("eq", "ne", "in", "notin") for operand in compare.ops) or NOTHING not in levels:
            self.opaque = False
        for operand, level in zip(operands, levels, strict=True):
            if level == NOTHING and not self._take_needles(operand):
                self.opaque = False

    def _call(self, call: nodes.Call) -> None:
        function = call.node
        given = [*call.args, *(pair.value for pair in call.kwargs)]
        if isinstance(function, nodes.Getattr) and (level := self._level(function.node)):
            if function.attr == "get":
                return
            self.verbatim = False
            if level == MESSAGE or function.attr not in NEEDLE_METHODS or call.kwargs:
                self.opaque = False
            for argument in given:
                if not self._take_needles(argument):
                    self.opaque = False
        elif any(self._level(argument) for argument in given):
            named = function.name if isinstance(function, nodes.Name) else ""
            self.opaque &= named in self._macros or named in ("namespace", "raise_exception")
            self.verbatim = False

    def _take_needles(self, node: nodes.Node) -> bool:
        """Collect the constants of an expression; False where it is not made of constants."""
        if isinstance(node, nodes.Const):
            if isinstance(node.value, str):
                self.needles.add(node.value)
            return True
        if isinstance(node, (nodes.List, nodes.Tuple, nodes.Add, nodes.Concat)):
            taken = [self._take_needles(child) for child in node.iter_child_nodes()]
            return all(taken)  # of a list: every constant is collected
        return False


def _is_constant_key(node: nodes.Node) -> bool:
    """`content['text']`, `parts[-1]`: a part by a fixed name or place; what it is compared with is a needle."""
    return isinstance(node.node if isinstance(node, nodes.Neg) else node, nodes.Const)
