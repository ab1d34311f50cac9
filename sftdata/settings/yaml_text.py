"""YAML -> value, with what YAML itself allows and no one means refused: a key given twice, aliases without an end."""

from __future__ import annotations

from typing import Any

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
