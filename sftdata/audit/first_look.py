"""`sftdata init`: the first rows of data files -> a settings file that reads them, with comments on what was found."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from sftdata.audit.excerpts import printable
from sftdata.audit.settings_file import head_of, relocated, settings_text
from sftdata.config import Config, SourceConfig
from sftdata.errors import pluralize
from sftdata.pipeline.read import UNIT_BYTES, plan_config
from sftdata.read.advice import TriedRows, find_advice, with_settings
from sftdata.read.diagnose import no_rows_error
from sftdata.read.formats.convert import RowFormat, convert
from sftdata.read.formats.shapes.known import detect_format
from sftdata.read.sources import read_raw
from sftdata.read.stage import row_format, row_of
from sftdata.read.units import Unit
from sftdata.settings.yaml_line import settings_line

MAX_ROWS = 10_000  # of each source to look at
_MAX_NAMES = 6  # unused columns to name
_MORE = """\

# More, each off unless it is turned on. `sftdata check` says what of it these
# rows need, and `sftdata settings NAME` explains one.
# filters: default               # low-quality answers
# privacy: redact                # personal data, keys and passwords
# dedup: {near: on}              # near-duplicates, besides equal rows
# decontaminate: {against: []}   # evaluation files, to keep out of training
# split: {validation: 0.01}      # a share to hold out
pack: {seq_len: 2048}            # maximum tokens of a sequence
"""


@dataclass
class Look:
    """What was found in the first rows of a source."""

    settings: Mapping[str, Any]  # to add to the source
    rows: int = 0
    is_all: bool = True  # whether these are all of its rows
    formats: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    unused: Counter[str] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        """What was found, as comments."""
        few = "" if self.is_all else "the first "
        formats = ", ".join(name if len(self.formats) == 1 else f"{name} {n:,}" for name, n in self.formats.items())
        lines = [f"{few}{pluralize(self.rows, 'row')}: {formats}"]
        if self.dropped:
            reasons = ", ".join(f"{name} {rows:,}" for name, rows in self.dropped.most_common())
            lines.append(f"would be dropped: {reasons}")
        if self.unused:
            names = list(self.unused)[:_MAX_NAMES]
            more = len(self.unused) - len(names)
            listed = ", ".join(names) + (f" and {more} more" if more > 0 else "")
            lines.append(f"not used: {listed}; {settings_line({'keep': names})} copies them into the ledger")
        return [printable(line) for line in lines]


def first_look(config: Config, folder: Path, head: str) -> str:
    """A settings file for `folder` with the sources of a config, and what reads their rows. `head` says where it is
    from. Raises SourceError for a source without usable rows, with what its rows look like.
    """
    head = head_of(config, head)
    looks = {}
    entries = []
    notes: dict[int, list[str]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        said: list[str] = []
        config, sources, units = plan_config(config, Path(temporary), UNIT_BYTES, said.append)
        for number, source in enumerate(sources):
            own = [unit for unit in units if unit.source == number]
            looks[number] = _look(source, own)
            given = config.sources[number].model_dump(exclude_defaults=True, exclude={"rows"})
            entries.append({**given, **looks[number].settings})
            path = f"{config.sources[number].path}: "
            notes[number] = [printable(note.removeprefix(path)) for note in said if note.startswith(path)]
    settings = {**_present(config), "sources": entries}
    comments = {number: [*look.lines(), *notes[number]] for number, look in looks.items()}
    text = settings_text(relocated(settings, Path(config.resolve_path("")), folder), {"": head}, comments)
    return text + _MORE


def _present(config: Config) -> dict[str, Any]:
    """The tokenizer and the output folder, where they are given."""
    given = {"tokenizer": config.tokenizer, "out": config.out.path}
    return {name: value for name, value in given.items() if value}


def _look(source: SourceConfig, units: Sequence[Unit]) -> Look:
    """Look at the first rows of a source, and find settings for those that fit no format."""
    rows = TriedRows(row_format(source))
    has_record = False
    for raw in _first_rows(units):
        row = row_of(raw, source)
        rows.add(raw.value, None if row.drop is None else row.drop.reason)
        has_record = has_record or row.drop is None
    settings: Mapping[str, Any] = {}
    if rows.failing:
        advice = find_advice(rows)
        if advice is not None and advice.is_safe and not advice.is_guess:
            settings = advice.settings
    if not has_record and not settings:
        raise no_rows_error(units, source)
    how = with_settings(rows.how, settings) or rows.how
    look = Look(settings)
    for raw in _first_rows(units):
        look.rows += 1
        row = row_of(raw, source, how)
        look.formats[_format_of(raw.value, how)] += 1
        look.unused.update(row.unused)
        if row.drop is not None:
            look.dropped[row.drop.reason] += 1
    look.is_all = look.rows < MAX_ROWS
    if look.is_all and how.format == "auto" and len(look.formats) == 1:
        (only,) = look.formats
        fixed = with_settings(how, {"format": only})
        if fixed is not None and _are_alike(units, how, fixed):
            look.settings = {"format": only, **look.settings}
    return look


def _first_rows(units: Sequence[Unit]) -> Any:
    return islice((raw for unit in units for raw in read_raw(unit)), MAX_ROWS)


def _format_of(value: object, how: RowFormat) -> str:
    if not isinstance(value, dict):
        return "unreadable"
    return (detect_format(value, how.columns) or "unknown") if how.format == "auto" else how.format


def _are_alike(units: Sequence[Unit], one: RowFormat, other: RowFormat) -> bool:
    """Whether two ways to read them make the same of all rows."""
    values = (raw.value for raw in _first_rows(units) if raw.drop is None)
    return all(convert(value, one) == convert(value, other) for value in values)
