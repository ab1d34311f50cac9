"""Settings of a source, tried on its rows before they are suggested.

A suggestion is good if rows become conversations that are none with the present settings, and every row that is one
stays the same conversation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from sftdata.errors import SourceError
from sftdata.read.column_names import guessed_settings, likely_settings, more_settings
from sftdata.read.columns.explain import explain, shown
from sftdata.read.columns.words import is_about
from sftdata.read.formats.convert import RowFormat, convert
from sftdata.read.formats.fields import at_path, key_list, lookup
from sftdata.read.formats.roles import is_same_name, likely_roles
from sftdata.read.formats.shapes.known import COMPLETION, CONVERSATION, HISTORY, PROMPT, check_columns, with_plain_names
from sftdata.read.formats.structure import check_structure
from sftdata.read.formats.values import ConversionError, parse_if_text
from sftdata.records.record import Drop, Record
from sftdata.settings.yaml_line import settings_line

# Reasons that other settings may help against.
FIXABLE = frozenset({"unknown_shape", "missing_field", "wrong_type", "rendered_chat", "unknown_role"})
MAX_ROWS = 500  # of each kind to keep for trying
_ROWS_OF_SHAPE, _SHAPES = 50, 8
_MAX_NAMES = 4  # of unused columns to list
_MAX_ROLES = 6  # to name in a setting: more are names of people
_SHORT = re.compile(r"\(?[A-Za-z][).]?|[-+$]?[\d.,/]{1,6}%?|true|false|yes|no", re.IGNORECASE)  # answers
_MIN_SHORT = 2  # rows to judge answers by
_SAME = 3  # a question that is the same in all of this many rows or more is not one


@dataclass
class TriedRows:
    """Rows of a source to try settings on: some that are conversations, and some that fail for a reason in FIXABLE."""

    how: RowFormat  # the present settings
    kept: list[Mapping[str, Any]] = field(default_factory=list)
    failing: list[Mapping[str, Any]] = field(default_factory=list)
    shapes: dict[tuple[bool, tuple[str, ...]], int] = field(default_factory=dict)

    def add(self, value: object, reason: str | None) -> None:
        """Keep a row if it tells more than those that are kept already. `reason` is why it is dropped, or None."""
        if not isinstance(value, dict) or (reason is not None and reason not in FIXABLE):
            return
        rows = self.kept if reason is None else self.failing
        shape = reason is None, tuple(map(str, value))
        if len(rows) < MAX_ROWS and self.shapes.get(shape, 0) < _ROWS_OF_SHAPE:
            self.shapes[shape] = self.shapes.get(shape, 0) + 1
            rows.append(value)


@dataclass(frozen=True)
class Advice:
    """Settings for a source that were tried on its rows."""

    settings: Mapping[str, Any]  # format, columns, roles
    fixed: int  # failing rows that become conversations with them
    failing: int  # rows that they were tried on
    unused: tuple[str, ...] = ()  # columns of the fixed rows that these settings do not use
    lost: int = 0  # rows that are conversations now, and would be none or others with them
    is_guess: bool = False  # whether only the owner of the data can say that the columns mean this

    @property
    def is_safe(self) -> bool:
        """Whether no row is lost or changed."""
        return not self.lost

    @property
    def share_fixed(self) -> str:
        """` (fixes 3 of 4 such rows tried)`, for a sentence; empty if all are fixed."""
        return "" if self.fixed == self.failing else f" (fixes {self.fixed} of {self.failing} such rows tried)"

    @property
    def lines(self) -> str:
        """The settings as YAML, each to be pasted into the source."""
        return " and ".join(settings_line({name: value}) for name, value in self.settings.items())


def find_advice(rows: TriedRows) -> Advice | None:
    """The settings that fix most rows: the best of those that lose none, or else the best; None if none fixes any."""
    roles, is_guess = role_settings(rows)
    candidates = [*([roles] if roles and not is_guess else []), *_candidates(rows)]
    tried = [advice for settings in candidates if (advice := try_settings(rows, settings)).fixed]
    for found in ([one for one in tried if one.is_safe], tried):
        if found:
            return _with_more(rows, max(found, key=lambda advice: advice.fixed))
    if roles and is_guess and (advice := try_settings(rows, roles)).fixed and advice.is_safe:
        return replace(advice, is_guess=True)
    for row in rows.failing[:1]:
        if (guess := guessed_settings(row)) is not None:
            advice = try_settings(rows, guess)
            if advice.fixed and advice.is_safe:
                return replace(advice, is_guess=True)
    return None


def _with_more(rows: TriedRows, advice: Advice) -> Advice:
    """The advice with columns for the system prompt and the tools that it leaves unused, where they can be read."""
    columns = advice.settings.get("columns")
    row = next((row for row in rows.failing if _num_given(row)), None)
    for more in more_settings(columns, advice.unused, row) if columns and row is not None else ():
        tried = try_settings(rows, {**advice.settings, "columns": more})
        if tried.fixed >= advice.fixed and tried.lost <= advice.lost and len(tried.unused) < len(advice.unused):
            return _with_more(rows, tried)
    return advice


def role_settings(rows: TriedRows) -> tuple[Mapping[str, Any], bool]:
    """The setting `roles` for the unknown names of roles in the failing rows, and whether it is only a guess; empty if
    nothing says what they mean, or if they are too many to be names of roles.
    """
    found: dict[str, str] = {}
    any_guess = False
    for row in rows.failing:
        likely = likely_roles(speakers(row, rows.how), rows.how.roles)
        for name, role in likely[0].items() if likely is not None else ():
            own = next((known for known in found if is_same_name(known, name)), name)
            if found.setdefault(own, role) != role:
                return {}, False
        any_guess = any_guess or (likely is not None and likely[1])
    if not found or len(found) > _MAX_ROLES:
        return {}, False
    return {"roles": {**rows.how.roles, **found}}, any_guess


def speakers(row: Mapping[str, Any], how: RowFormat) -> list[str]:
    """The names of the roles of a row's turns, or the keys of its exchanges, in their order, each once."""
    row = with_plain_names(row, how.columns)
    key_of_role = how.columns.get("role") or how.columns.get("from")
    names: dict[str, None] = {}
    for name in (*CONVERSATION, *PROMPT, *COMPLETION, *HISTORY):
        value = lookup(row, (name,), how.columns)
        with suppress(ConversionError):
            value = parse_if_text(value, name)
        for turn in value if isinstance(value, list) else ():
            if isinstance(turn, dict):
                own = next((turn[key] for key in (key_of_role, "role", "from") if key in turn), None)
                given = [own] if own is not None else list(turn)
            else:
                given = turn[:1] if isinstance(turn, list) and len(turn) == 2 else []
            names.update(dict.fromkeys(one for one in given if isinstance(one, str)))
    return list(names)


def try_settings(rows: TriedRows, settings: Mapping[str, Any]) -> Advice:
    """What these settings of the source do to the rows."""
    how = with_settings(rows.how, settings)
    failing = len(rows.failing)
    if how is None or _leaves_items(rows.failing, settings) or _asks_the_same(rows.failing, settings):
        return Advice(settings, 0, failing)
    fixed = sum(record_of(row, how) is not None for row in rows.failing)
    lost = sum(record_of(row, how) != record_of(row, rows.how) for row in rows.kept) if fixed else 0
    unused = dict.fromkeys(name for row in rows.failing for name in convert(row, how).unused if not is_about(name))
    return Advice(settings, fixed, failing, tuple(unused), lost)


def with_settings(how: RowFormat, settings: Mapping[str, Any]) -> RowFormat | None:
    """The present settings with others in their place; None if they are not allowed together."""
    changed = how._replace(**settings)
    try:
        check_columns(changed.format, changed.columns, "")
    except SourceError:
        return None
    return changed


def record_of(value: object, how: RowFormat) -> Record | None:
    """The record of a row if it is a valid conversation."""
    found = convert(value, how).found
    return None if isinstance(found, Drop) or check_structure(found) is not None else found


def describe(advice: Advice | None, rows: TriedRows, place: str) -> str:
    """What to do about the failing rows, as one clause. `place` is the source's setting on the command line."""
    if advice is None:
        return explain(rows.failing)[0]
    if not advice.is_safe:
        return (
            "its rows have several shapes, and settings for these would change the others; put these into a file of "
            f"their own, and read it with {advice.lines}"
        )
    if advice.unused:
        place += f", which does not use {shown(*advice.unused[:_MAX_NAMES])}"
    place += _short_answers(rows.failing, advice.settings)
    some = advice.share_fixed
    columns = advice.settings.get("columns", {})
    if "roles" in advice.settings:
        roles = {name: role for name, role in advice.settings["roles"].items() if name not in rows.how.roles}
        means = " and ".join(f"{shown(name)} is the {role}" for name, role in roles.items())
        return f"{f'if {means}, ' if advice.is_guess else ''}set {advice.lines}{some}{place}"
    if advice.is_guess:
        asks, answers = shown(columns["prompt"]), shown(columns["completion"])
        return f"if {asks} asks and {answers} answers, map them with {advice.lines}{some}{place}"
    if "format" in advice.settings:
        is_text = advice.settings["format"] == "text"
        what = "train on the text as it is" if is_text else "read the rendered chats back into turns"
        return f"set {advice.lines} to {what}{some}{place}"
    return f"map them with {advice.lines}{some}{place}"


def _short_answers(rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> str:
    """A warning where most answers would be a letter, a number, or yes and no alone; else nothing."""
    columns = settings.get("columns", {})
    path = columns.get("completion") or columns.get("output")
    values = [value for row in rows if path and (value := at_path(row, path)) not in (None, "")]
    short = [text for value in values if _SHORT.fullmatch(text := str(value).strip())]
    if len(values) < _MIN_SHORT or 2 * len(short) < len(values):
        return ""
    return f"; its answers are as short as {short[0]!r}, and a model trained on them learns to write no more"


def other_shapes(advice: Advice | None, rows: TriedRows) -> str:
    """The keys of the first row that the advice does not fix; an empty string if it fixes all."""
    how = None if advice is None else with_settings(rows.how, advice.settings)
    if how is None:
        return ""
    other = next((row for row in rows.failing if record_of(row, how) is None), None)
    return "" if other is None else key_list(other)


def _candidates(rows: TriedRows) -> Iterator[Mapping[str, Any]]:
    """Settings to try, made from a row of each of the first failing shapes; each once."""
    seen: list[Mapping[str, Any]] = []
    shapes: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for row in rows.failing:
        shape = tuple(map(str, row))
        if shape not in shapes or _num_given(row) > _num_given(shapes[shape]):
            shapes[shape] = row
    for row in list(shapes.values())[:_SHAPES]:
        for settings in likely_settings(row):
            options = [settings]
            if rows.how.columns and "columns" in settings:  # beside what is mapped already, and instead of it
                options.append({**settings, "columns": {**rows.how.columns, **settings["columns"]}})
            for option in options:
                if option not in seen:
                    seen.append(option)
                    yield option


def _num_given(row: Mapping[str, Any]) -> int:
    return sum(value not in (None, "", [], {}) for value in row.values())


def _leaves_items(rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> bool:
    """Whether the settings take the first item of a list that has more in some row: the others would be lost."""
    parts = [path.split(".") for path in settings.get("columns", {}).values()]
    heads = {".".join(path[:at]) for path in parts for at, part in enumerate(path) if at and part == "0"}
    lists = (at_path(row, head) for row in rows for head in heads)
    return any(isinstance(value, list) and len(value) > 1 for value in lists)


def _asks_the_same(rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> bool:
    """Whether the column of the question, or of its context, holds one and the same text in all rows, as the name of
    a source would.
    """
    columns = settings.get("columns", {})
    column = columns.get("prompt") or columns.get("input")
    if column is None or len(rows) < _SAME:
        return False
    values = [at_path(row, column) for row in rows]
    return bool(values[0]) and all(value == values[0] for value in values)
