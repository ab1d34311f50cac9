"""Settings for sources that have rows of unknown shapes: found on some of their rows, then tried on all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sftdata.config import SourceConfig
from sftdata.read.advice import (
    FIXABLE,
    Advice,
    TriedRows,
    describe,
    find_advice,
    other_shapes,
    record_of,
    with_settings,
)
from sftdata.read.formats.convert import RowFormat, convert
from sftdata.read.formats.structure import check_structure
from sftdata.read.sources import read_raw
from sftdata.read.stage import row_format
from sftdata.read.units import Unit
from sftdata.records.record import Drop


class SourceAdvice:
    """What to do about the rows of each source that fit no format."""

    def __init__(self, sources: Sequence[SourceConfig]) -> None:
        self._tried = [TriedRows(row_format(source)) for source in sources]
        self._found: dict[int, Advice | None] = {}
        self._fixed: dict[str, Counter[int]] = {}  # reason -> source -> rows that its settings fix

    def add(self, source: int, value: object, reason: str | None) -> None:
        """Take note of a row, and of why it is dropped, if it is."""
        self._tried[source].add(value, reason)

    def find(self, units: Sequence[Unit]) -> None:
        """Find settings for the sources with such rows, and try them on all rows, which are read again."""
        for number, rows in enumerate(self._tried):
            if not rows.failing:
                continue
            found = find_advice(rows)
            if found is not None and found.is_safe:
                own = [unit for unit in units if unit.source == number]
                found = self._try_on_all(own, rows.how, found)
            self._found[number] = found

    @property
    def settings(self) -> Mapping[int, Mapping[str, Any]]:
        """The settings that lose no row, by the number of their source. One that is a guess is not among them."""
        found = ((number, advice) for number, advice in self._found.items() if advice is not None)
        return {number: advice.settings for number, advice in found if advice.is_safe and not advice.is_guess}

    def fixed(self, kind: str) -> int:
        """How many rows with a finding of this kind the settings make conversations of."""
        return sum(rows for source, rows in self._fixed.get(kind, {}).items() if source in self.settings)

    def sentence(self, names: Sequence[str]) -> str:
        """What to do about the rows that no setting fixes, by source; an empty string if there are none. `names` are
        those of the sources.
        """
        said = []
        for number, advice in self._found.items():
            rows = self._tried[number]
            if number not in self.settings:
                said.append(f"{names[number]}: {describe(advice, rows, '')}")
            elif others := other_shapes(advice, rows):
                said.append(f"{names[number]}: rows with the keys {others} stay as they are")
        return "; ".join(said)

    def _try_on_all(self, units: Sequence[Unit], how: RowFormat, advice: Advice) -> Advice:
        """The advice with what it does to all rows of a source."""
        changed = with_settings(how, advice.settings)
        fixed: Counter[str] = Counter()
        failing = lost = 0
        for raw in (raw for unit in units for raw in read_raw(unit)):
            if changed is None or raw.drop is not None:
                continue
            before, after = convert(raw.value, how).found, record_of(raw.value, changed)
            problem = before if isinstance(before, Drop) else check_structure(before)
            if problem is None:
                lost += before != after
            elif problem.reason in FIXABLE:
                failing += 1
                fixed[problem.reason] += after is not None
        for reason, rows in fixed.items():
            self._fixed.setdefault(reason, Counter())[units[0].source] = rows
        return replace(advice, fixed=fixed.total(), failing=failing, lost=lost)
