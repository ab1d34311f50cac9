"""What a chat template can learn from message text, read off its syntax tree.

Most templates write the text out and look no further. Where one compares it (`'</think>' in content`), the strings it
compares with are its needles; a conversation that holds none of them is rendered the same way whatever else it says.
That is what lets one proof serve every conversation of a shape (see shapes.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jinja2 import Environment, nodes

# Filters and tests whose result on a non-empty string does not depend on what the string says, or whose result is
# only written out (a change of the text itself is noticed, because the rendering then differs from what was expected).
SAFE_FILTERS = {
    "trim",
    "tojson",
    "string",
    "safe",
    "default",
    "d",
    "indent",
    "upper",
    "lower",
    "title",
    "capitalize",
    "replace",
}
SAFE_TESTS = {"string", "defined", "undefined", "none", "mapping", "iterable", "sequence", "boolean", "number"}
NEEDLE_METHODS = {
    "startswith",
    "endswith",
    "split",
    "rsplit",
    "partition",
    "rpartition",
    "strip",
    "lstrip",
    "rstrip",
    "replace",
    "find",
    "removeprefix",
    "removesuffix",
    "count",
    "index",
}
TEXT_FIELDS = {"content"}


@dataclass(frozen=True, slots=True)
class Reads:
    """What a template reads of message text: nothing but `needles` where `opaque`, else anything."""

    opaque: bool
    needles: tuple[str, ...]

    def may_branch_on(self, text: str) -> bool:
        """Whether the template could treat this text unlike another non-empty text."""
        return not self.opaque or any(needle in text for needle in self.needles)


def reads_of(sources: Iterable[str], environment: Environment) -> Reads:
    """What a template's sources read of message text. Errs towards `opaque=False`."""
    needles: set[str] = set()
    opaque = True
    for source in sources:
        walk = _Walk(environment.parse(source))
        opaque &= walk.opaque
        needles |= walk.needles
    return Reads(opaque, tuple(sorted(needle for needle in needles if needle.strip())))


class _Walk:
    """One pass over a template: which names may hold message text, and what is asked of them."""

    def __init__(self, tree: nodes.Template) -> None:
        self.opaque = True
        self.needles: set[str] = set()
        self._tainted: set[str] = set()
        self._spread(tree)
        for compare in tree.find_all(nodes.Compare):
            self._compare(compare)
        for filter_ in tree.find_all(nodes.Filter):
            if self._is_text(filter_.node) and filter_.name not in SAFE_FILTERS:
                self.opaque = False
        for test in tree.find_all(nodes.Test):
            if self._is_text(test.node) and test.name not in SAFE_TESTS:
                self.opaque = False
        for item in tree.find_all(nodes.Getitem):
            if self._is_text(item.node) and not _is_constant_key(item.arg):
                self.opaque = False
        for call in tree.find_all(nodes.Call):
            self._call(call)

    def _spread(self, tree: nodes.Template) -> None:
        """Names that may hold message text: assigned, looped or passed to a macro from an expression that may."""
        for macro in tree.find_all(nodes.Macro):
            self._tainted |= {argument.name for argument in macro.args}
        before = -1
        while before != len(self._tainted):
            before = len(self._tainted)
            for assign in tree.find_all(nodes.Assign):
                if self._is_text(assign.node):
                    self._taint(assign.target)
            for block in tree.find_all(nodes.AssignBlock):
                self._taint(block.target)
            for loop in tree.find_all(nodes.For):
                if self._is_text(loop.iter):
                    self._taint(loop.target)

    def _taint(self, target: nodes.Node) -> None:
        if isinstance(target, nodes.Name):
            self._tainted.add(target.name)
        elif isinstance(target, nodes.NSRef):
            self._tainted.add(f"{target.name}.{target.attr}")
        for name in target.find_all(nodes.Name):
            self._tainted.add(name.name)

    def _is_text(self, node: nodes.Node | None) -> bool:
        """Whether an expression may give message text, or something made of it."""
        if node is None:
            return False
        if isinstance(node, nodes.Compare | nodes.Test | nodes.Not):
            return False  # a truth value: what it was learnt from is looked at by itself
        if isinstance(node, nodes.Name):
            return node.name in self._tainted
        if isinstance(node, nodes.Getattr):
            if isinstance(node.node, nodes.Name) and f"{node.node.name}.{node.attr}" in self._tainted:
                return True
            return node.attr in TEXT_FIELDS or self._is_text(node.node)
        if isinstance(node, nodes.Getitem):
            key = node.arg.value if isinstance(node.arg, nodes.Const) else None
            return key in TEXT_FIELDS or self._is_text(node.node)
        return any(self._is_text(child) for child in node.iter_child_nodes())

    def _compare(self, compare: nodes.Compare) -> None:
        operands = [compare.expr, *(operand.expr for operand in compare.ops)]
        if not any(self._is_text(operand) for operand in operands):
            return
        if any(operand.op not in ("eq", "ne", "in", "notin") for operand in compare.ops):
            self.opaque = False
        for operand in operands:
            if not self._is_text(operand) and not self._take_needles(operand):
                self.opaque = False
        if all(self._is_text(operand) for operand in operands):
            self.opaque = False

    def _call(self, call: nodes.Call) -> None:
        method = call.node
        if not isinstance(method, nodes.Getattr) or not self._is_text(method.node):
            return
        if method.attr not in NEEDLE_METHODS or call.kwargs or call.dyn_args or call.dyn_kwargs:
            if method.attr not in ("get", "items", "append"):
                self.opaque = False
            return
        for argument in call.args:
            if not self._take_needles(argument):
                self.opaque = False

    def _take_needles(self, node: nodes.Node) -> bool:
        """Collect the constants of an expression; False where it is not made of constants."""
        if isinstance(node, nodes.Const):
            if isinstance(node.value, str):
                self.needles.add(node.value)
            return True
        if isinstance(node, nodes.List | nodes.Tuple | nodes.Add | nodes.Concat):
            taken = [self._take_needles(child) for child in node.iter_child_nodes()]
            return all(taken)  # of a list: every constant is collected
        return False


def _is_constant_key(node: nodes.Node) -> bool:
    """`content['text']`, `parts[-1]`: a part by a fixed name or place; what it is compared with is a needle."""
    return isinstance(node.node if isinstance(node, nodes.Neg) else node, nodes.Const)
