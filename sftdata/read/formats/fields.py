"""The columns of one row: which of them a format uses, and which it leaves unused although they hold something."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sftdata.read.formats.media import describe_media, is_media
from sftdata.read.formats.values import ConversionError, is_given


class Fields:
    """A row, the columns that a source maps, and what was looked up in it so far.

    `columns` maps a field of the format to the column that holds it, as a dotted path if it is nested.
    """

    def __init__(self, row: Mapping[str, Any], columns: Mapping[str, str]) -> None:
        self.row = row
        self.columns = columns
        self.used: dict[str, Any] = {}  # column or path -> the value that was found there

    def lookup(self, names: Sequence[str]) -> Any:
        """The value of the first of these names that says something: see found_at."""
        path = found_at(self.row, names, self.columns)
        if path is None:
            return None
        value = at_path(self.row, path)
        self.used[path] = value
        return value

    def required(self, names: Sequence[str]) -> Any:
        """The value of a required field. Raises ConversionError if it is absent or null."""
        value = self.lookup(names)
        if value is None:
            column = next((self.columns[name] for name in names if name in self.columns), None)
            label = names[0] if column is None else f"{names[0]} (column {column})"
            raise ConversionError(
                "missing_field", f"{label} is absent or null; the row's keys are {key_list(self.row)}"
            )
        return value

    def name_of(self, names: Sequence[str]) -> str:
        """The column in which a field was found, for messages."""
        return found_at(self.row, names, self.columns) or names[0]

    def reject_media(self, keep: Sequence[str]) -> None:
        """Raise ConversionError if a column that neither the format nor `keep` uses holds pictures, sound or video."""
        for name, value in self.row.items():
            if name not in self.used and name not in keep and is_media(name, value):
                raise ConversionError(
                    "untrainable_content",
                    f"its column {name[:60]!r} holds {describe_media(value)}, which cannot be trained on; "
                    "name the column in keep to train on the text alone",
                )

    def unused(self, keep: Iterable[str], texts: Sequence[str]) -> list[str]:
        """The columns, or paths in them, that hold something and that nothing uses. `keep` are used too.

        A value that the record has anyway, because another used column or a turn says the same, is not lost.
        """
        paths = [*self.used, *keep]
        whole = [path for path in paths if path in self.row]
        found: Iterable[tuple[str, Any]] = [(name, value) for name, value in self.row.items() if name not in whole]
        if len(whole) < len(paths):
            nested = [tuple(path.split(".")) for path in paths if path not in self.row]
            found = [pair for name, value in found for pair in _rest(name, name, value, nested)]
        values = list(self.used.values())
        names = [name for name, value in found if is_given(value) and value not in values and value not in texts]
        return list(dict.fromkeys(names))


def _rest(name: str, key: str, value: Any, paths: Sequence[tuple[str, ...]]) -> Iterator[tuple[str, Any]]:
    """What is in a value besides these paths in it, each of which begins with the value's own key or index."""
    inner = [path[1:] for path in paths if path and path[0] == key]
    if not inner:
        yield name, value
    elif () in inner:
        return
    elif isinstance(value, Mapping):
        for one, item in value.items():
            yield from _rest(f"{name}.{one}", str(one), item, inner)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _rest(f"{name}[]", str(at), item, inner)


def found_at(row: Mapping[str, Any], names: Sequence[str], columns: Mapping[str, str]) -> str | None:
    """The column or path of the first of these fields that says something, or else that is not null; the path of a
    mapped one in any case.
    """
    if columns:
        for name in names:
            if name in columns:
                return columns[name]
    found = [name for name in names if row.get(name) is not None]
    if len(found) > 1:  # an empty one hides no other
        return next((name for name in found if is_given(row[name])), found[0])
    return found[0] if found else None


def lookup(row: Mapping[str, Any], names: Sequence[str], columns: Mapping[str, str]) -> Any:
    """The value of the first of these names that says something: see found_at."""
    path = found_at(row, names, columns)
    return None if path is None else at_path(row, path)


def at_path(row: Mapping[str, Any], path: str) -> Any:
    """The value of a column, or at a dotted path such as "instances.0.output"; None if there is none."""
    if path in row:
        return row[path]
    node: Any = row
    for part in path.split("."):
        if isinstance(node, dict):
            node = node.get(part)
        elif isinstance(node, list) and part.isdecimal() and len(part) < 10 and int(part) < len(node):
            node = node[int(part)]
        else:
            return None
    return node


def key_list(row: Mapping[Any, Any]) -> str:
    """The first twelve keys of a row, for messages."""
    keys = [str(key)[:40] if str(key).isprintable() else repr(key)[:40] for key in list(row)[:12]]
    return (", ".join(keys) + (", ..." if len(row) > 12 else "")) or "none"
