"""A source without usable rows -> an error that says what its rows look like and how to fix the settings."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice

from sftdata.errors import SourceError, pluralize
from sftdata.read.advice import Advice, TriedRows, describe, find_advice, other_shapes, speakers, try_settings
from sftdata.read.column_names import QUESTIONS, is_cell, list_of_texts, named
from sftdata.read.columns.explain import explain
from sftdata.read.columns.snippets import as_lines
from sftdata.read.formats.convert import RowFormat
from sftdata.read.formats.fields import key_list
from sftdata.read.formats.roles import is_plain_word, is_same_name, role_of
from sftdata.read.sources import read_raw
from sftdata.read.stage import row_format, row_of
from sftdata.read.units import Source, Unit
from sftdata.records.record import Drop
from sftdata.settings.yaml_line import override

# If all rows of a source have these reasons, its settings or its format are wrong, not its rows.
NOT_DATA = {"bad_json", "not_an_object", "unknown_shape", "missing_field", "rendered_chat", "unknown_role"}

_AS_LISTS = (
    "its rows are lists of values without the names of their columns (pandas: orient='values'); write them with names: "
    "df.to_json(PATH, orient='records', lines=True)"
)
_AS_TURNS = 'its rows are lists of turns; write each as an object that has the list under messages: {"messages": [...]}'
_MAX_READ = 5000  # rows to read for an error
_MAX_UNITS, _MAX_NOTED = 8, 100_000  # units and rows to read for a note
_MAX_NAMES = 6  # of roles to list


def no_rows_error(units: Sequence[Unit], source: Source) -> SourceError:
    """The error for a source none of whose rows became a record. `units` are the units of this source; its first rows
    are read again, and what the error suggests is tried on them.
    """
    rows = TriedRows(row_format(source))
    first: tuple[Unit, int, Drop] | None = None
    for unit, raw in islice(((one, raw) for one in units for raw in read_raw(one)), _MAX_READ):
        row = row_of(raw, source)
        rows.add(raw.value, None if row.drop is None else row.drop.reason)
        if row.drop is not None and first is None:
            first = unit, raw.line, row.drop
    if first is None:
        return SourceError(source.path, "holds no rows", "check the path, or remove it from the sources")
    unit, line, problem = first
    if unit.kind in ("csv", "tsv") and rows.failing and any(map(is_cell, rows.failing[0])):
        named = f"the first line is taken for the names of its columns ({key_list(rows.failing[0])})"
        hint = "if it is a row, put a line with names above it, such as prompt,completion"
        hint += f"; if not, {_fix(rows, unit.source)}"
        return SourceError(source.path, "none of its rows is a conversation", f"{named}; {hint}")
    if not rows.failing and isinstance(raw.value, list):
        are_turns = all(isinstance(one, dict) and {"role", "from"} & one.keys() for one in raw.value)
        hint = _AS_TURNS if are_turns else _AS_LISTS
        return SourceError(source.path, "none of its rows is a conversation", hint)
    if problem.reason == "unknown_role":
        return SourceError(source.path, "none of its rows is a conversation", _roles_sentence(rows, unit.source))
    if rows.failing or problem.reason == "not_an_object":
        hint = _fix(rows, unit.source) + _snippet(rows, units)
        return SourceError(source.path, "none of its rows is a conversation", hint)
    hint = f"the first, {unit.name}:{line}, is {problem.reason} ({problem.detail})"
    if problem.reason == "bad_json" and unit.kind == "jsonl" and _is_json(unit, source):
        hint += "; the file is one JSON document: rename it to end in .json"
    return SourceError(source.path, "none of its rows can be used", hint)


def _is_json(unit: Unit, source: Source) -> bool:
    """Whether a file of JSON lines can be read as one JSON document that has a conversation."""
    whole = unit._replace(kind="json", start=0, end=None)
    with contextlib.suppress(SourceError):
        return any(row_of(raw, source).drop is None for raw in islice(read_raw(whole), _MAX_READ))
    return False


def evaluation_advice(units: Sequence[Unit], source: Source) -> Advice | None:
    """Settings for an evaluation file some of whose rows are no conversations, tried on its first rows; None if none
    helps. Where no column is plainly the answer, the question is read alone, as a text.
    """
    rows = TriedRows(row_format(source))
    for raw in islice((raw for one in units for raw in read_raw(one)), _MAX_READ):
        row = row_of(raw, source)
        rows.add(raw.value, None if row.drop is None else row.drop.reason)
    found = find_advice(rows)
    if found is not None and found.is_safe and not found.is_guess:
        return found
    names = [str(key) for key, value in rows.failing[0].items() if isinstance(value, str)] if rows.failing else []
    for name in named(names, QUESTIONS)[:1]:
        alone = try_settings(rows, {"format": "text", "columns": {"text": name}})
        return alone if alone.fixed and alone.is_safe else None
    return None


def loss_notes(units: Sequence[Unit], source: Source, dropped: Mapping[str, int]) -> list[str]:
    """What to say of the rows of a source that were dropped for reasons in FIXABLE while others were kept: what is
    wrong with most of them, and settings that were tried on them. `dropped` counts them by reason; `units` have such
    rows, and are read again.
    """
    by_role, others = TriedRows(row_format(source)), TriedRows(row_format(source))
    for raw in islice((raw for one in units[:_MAX_UNITS] for raw in read_raw(one)), _MAX_NOTED):
        drop = row_of(raw, source).drop
        reason = None if drop is None else drop.reason
        for rows in (by_role, others):
            if reason is None or (reason == "unknown_role") == (rows is by_role):
                rows.add(raw.value, reason)
    notes = []
    number = units[0].source
    if by_role.failing:
        what = f"{pluralize(dropped['unknown_role'], 'row')} dropped as unknown_role"
        notes.append(f"{source.path}: {what}: {_roles_sentence(by_role, number)}")
    advice = find_advice(others) if others.failing else None
    are_texts = any(list_of_texts(row) is not None for row in others.failing)
    if advice is not None or "unknown_shape" in dropped or are_texts:
        counts = ", ".join(f"{count:,} as {name}" for name, count in sorted(dropped.items()) if name != "unknown_role")
        notes.append(f"{source.path}: rows dropped, {counts}: {_fix(others, number)}{_snippet(others, units)}")
    return notes


def _roles_sentence(rows: TriedRows, source: int) -> str:
    """The unknown roles in the failing rows, the commonest first, and the setting that was tried on these."""
    counts: Counter[str] = Counter()
    for row in rows.failing:
        unknown = [name for name in speakers(row, rows.how) if role_of(name, rows.how.roles) is None]
        named = [next((known for known in counts if is_same_name(known, name)), name) for name in unknown]
        counts.update(dict.fromkeys(named, 1))
    common = [pair for pair in counts.most_common() if is_plain_word(pair[0])][:_MAX_NAMES]
    shown = ", ".join(f"{key_list({name: 0})} ({pluralize(count, 'row')})" for name, count in common)
    others = len(counts) - len(common)
    more = f" and {others:,} more" if others else ""
    what = f"turns have unknown roles: {shown}{more}" if shown else f"turns have {pluralize(others, 'unknown role')}"
    advice = find_advice(rows)
    if advice is None or not advice.is_safe or "roles" not in advice.settings:
        return f"{what}; say in roles of this source which of them is the user and which the assistant"
    return f"{what}; {describe(advice, rows, _place(advice, source))}"


def _place(advice: Advice, source: int) -> str:
    """The settings of the advice as they are written on the command line."""
    settings = (override(f"sources.{source}.{name}", setting) for name, setting in advice.settings.items())
    return f" (on the command line: {' '.join(settings)})"


def suggest_fix(value: object) -> str:
    """What to do about a row that fits no format: its keys, and settings that were tried on it."""
    rows = TriedRows(RowFormat())
    rows.add(value, "unknown_shape")
    return _fix(rows, None)


def _snippet(rows: TriedRows, units: Sequence[Unit]) -> str:
    """Python that converts the rows, where no settings read them and it was tried on them; else nothing."""
    if not rows.failing or find_advice(rows) is not None:
        return ""
    snippet = explain(rows.failing)[1]
    code = "" if snippet is None else as_lines(snippet, units)
    condition = f", {snippet.condition}" if snippet is not None and snippet.condition else ""
    return f"; in Python{condition}:{code}" if code else ""


def _fix(rows: TriedRows, source: int | None) -> str:
    """What to do about a source with these rows. `source` is its number, for settings on the command line."""
    if not rows.failing:
        return 'write every row as an object such as {"messages": [{"role": "user", "content": "..."}, ...]}'
    value = rows.failing[0]
    keys = f"its rows have the keys {key_list(value)}"
    if value and all(isinstance(item, dict) and "0" in item for item in value.values()):
        return f"{keys}, each a whole column; write one object per row (pandas: to_json(orient='records', lines=True))"
    advice = find_advice(rows)
    place = _place(advice, source) if advice is not None and source is not None else ""
    others = other_shapes(advice, rows)
    return f"{keys}; {describe(advice, rows, place)}" + (f"; other rows have the keys {others}" if others else "")
