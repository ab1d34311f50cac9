"""YAML -> value, with what YAML itself allows and no one means refused: a key given twice, aliases without an end."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from sftdata.safe.addresses import mask_credentials

MAX_VALUES = 100_000  # in a settings file, with every alias written out
_MERGE = "tag:yaml.org,2002:merge"


def parse_yaml(text: str) -> Any:
    """The value of YAML text; None if it holds none.

    Raises yaml.YAMLError, which has the place in the text: besides what is not YAML, a mapping that gives a key twice,
    an alias inside what it stands for, and aliases that stand for more than MAX_VALUES values. Raises ValueError and
    RecursionError as yaml.safe_load does.
    """
    import yaml

    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def yaml_problem(error: Exception) -> str:
    """What is wrong with YAML text, as the predicate of a sentence. `error` is one that `parse_yaml` raised."""
    import yaml

    if isinstance(error, yaml.constructor.ConstructorError) and error.problem:
        return str(error.problem)
    if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark is not None:
        # Without the text around it: that may be a password, cut so that nothing shows what it is.
        return f"is not YAML: {error.problem} (column {error.problem_mark.column + 1})"
    return "is not YAML: " + " ".join(str(error).split())


def yaml_fault(error: Exception, text: str) -> tuple[int | None, str, str]:
    """The line that is wrong, counted from 1, or None; what is wrong with it, as the predicate of a sentence; and what
    to do, with the line itself and a caret below what is wrong. `error` is one that `parse_yaml` raised for `text`.
    """
    mark = getattr(error, "problem_mark", None)
    problem, context = str(getattr(error, "problem", "") or ""), str(getattr(error, "context", "") or "")
    for pattern, begins, why, hint in _CAUSES:
        if (match := re.search(pattern, f"{context}: {problem}")) is not None:
            mark = (getattr(error, "context_mark", None) if begins else None) or mark
            what, hint = f"is not YAML: {match.expand(why)}", match.expand(hint)
            break
    else:
        what, hint = yaml_problem(error), "fix the file"
    if mark is None:
        return None, what, hint
    lines = text.splitlines()
    if "': ' comes too early" in what and ": " in lines[mark.line][: mark.column]:
        what, hint = "is not YAML: the line has a second ': '", "put a value that contains ': ' in quotation marks"
    return mark.line + 1, what, f"{hint}:\n{_shown_line(text, mark.line, mark.column)}"


# What PyYAML says, as a pattern of its context and problem; whether what is wrong begins at the context; why it is
# wrong, and what to do.
_QUOTE = "put the value in quotation marks"
_CAUSES = (
    (
        r"found character '\\t'|found character '\t'",
        False,
        "a tab cannot indent a line",
        "indent with spaces",
    ),
    (
        r"cannot start any token|undefined alias|scanning an (?:anchor|alias)|scanning a directive",
        False,
        "a value cannot begin with this character",
        _QUOTE,
    ),
    (
        r"mapping values are not allowed",
        False,
        "': ' comes too early: the line is indented too far, or the one above lacks its ': '",
        "compare the two lines",
    ),
    (
        r"quoted scalar: found unexpected (?:end of stream|document)",
        True,
        "the quotation mark that opens here is never closed",
        "close it, or double one that belongs to the text",
    ),
    (
        r"unknown escape character",
        False,
        "a backslash in double quotation marks needs a second one",
        "use single quotation marks",
    ),
    (
        r"a flow sequence: expected ',' or '\]'",
        True,
        "the bracket [ that opens here is not closed, or a comma is missing",
        "close it with ]",
    ),
    (
        r"a flow mapping: expected ',' or '\}'",
        True,
        "the brace { that opens here is not closed, or a comma is missing",
        "close it with }",
    ),
    (
        r"expected <block end>, but found '<scalar>'",
        False,
        "there is text behind a quotation mark that closes",
        "double a quotation mark that belongs to the text, or put the value in the other kind",
    ),
    (r"expected <block end>, but found '([\]},])'", False, r"there is a \1 too many", "remove it"),
    (
        r"expected <block end>",
        False,
        "the line is not indented as those that it belongs to",
        "indent the entries of a list, and the keys of a mapping, all alike",
    ),
    (r"could not find expected ':'", True, "a key lacks its ': '", "write it as key: value"),
    (r"but found another document", False, "a second document begins here", "remove the line ---"),
    (r"a block scalar: expected", False, "text behind > or | must begin on the next line", "begin it there, indented"),
)
_MAX_SHOWN = 100  # characters of a line


def _shown_line(text: str, number: int, column: int) -> str:
    """A line of the text, below the one before it, with a caret under a column. Where a password has to be left out
    there is no caret.
    """
    lines = text.splitlines() or [""]
    number = min(number, len(lines) - 1)  # where a file ends too early, its last line is shown
    line = lines[number]
    label = f"  {number + 1} | "
    if (masked := mask_credentials(line)) != line:
        return label + masked
    above = ""
    if number:
        above = f"  {number:>{len(str(number + 1))}} | {mask_credentials(lines[number - 1])[:_MAX_SHOWN]}\n"
    before = line[:column].expandtabs(4)
    start = max(0, len(before) - _MAX_SHOWN // 2) if len(line) > _MAX_SHOWN else 0
    caret = sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in before[start:])
    shown = line.expandtabs(4)[start : start + _MAX_SHOWN].rstrip()
    return f"{above}{label}{shown}\n{'| '.rjust(len(label))}{' ' * caret}^"


def _check(root: Any) -> None:
    """Raise yaml.YAMLError if a node below this one is not plain."""
    import yaml

    sizes: dict[int, int] = {}  # of each node that was visited, with every alias written out; 0 while inside it

    def fail(node: Any, what: str) -> None:
        raise yaml.constructor.ConstructorError(None, None, what, node.start_mark)

    def size_of(node: Any) -> int:
        known = sizes.get(id(node))
        if known == 0:
            fail(node, "has an alias inside what it stands for")
        if known is not None:
            return known
        sizes[id(node)] = 0
        children = []
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
                if name in seen and key.tag != _MERGE:
                    fail(key, f"gives the key {key.value!r} twice")
                if name is not None:
                    seen.add(name)
                children += [key, value]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        size = 1 + sum(map(size_of, children))
        if size > MAX_VALUES:
            fail(node, f"has aliases that stand for more than {MAX_VALUES:,} values")
        sizes[id(node)] = size
        return size

    size_of(root)
