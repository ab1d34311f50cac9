"""The ledger as a table: what happened to each row of the input, some of its rows chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex, overload

import pyarrow as pa
import pyarrow.compute as pc

from sftdata.errors import DatasetError, NoSuchNameError, pluralize
from sftdata.files.parquet_file import read_row_groups
from sftdata.files.regular import regular_file
from sftdata.reasons import REASONS
from sftdata.store.ledger import LEDGER_SCHEMA, check_fates
from sftdata.store.manifest import Manifest
from sftdata.view.find.names import chosen_by_id, chosen_by_name

_SHOWN = 5  # rows in the repr


class LedgerRow(NamedTuple):
    """What happened to one row of the input."""

    where: str  # file and line
    source: str  # as configured
    record_id: str | None  # None if it could not be parsed
    fate: str  # packed or dropped
    stage: str | None
    reason: str | None
    detail: str | None
    duplicate_of: str | None  # `where` of the row that it repeats
    similarity: float | None
    split: str | None
    num_tokens: int | None
    num_trained_tokens: int | None

    def __str__(self) -> str:
        how = self.fate if self.reason is None else f"{self.fate} as {self.reason}"
        detail = f": {self.detail}" if self.detail else f" of {self.duplicate_of}" if self.duplicate_of else ""
        return f"{self.where}: {how}{detail}"


class LedgerRows(Sequence[LedgerRow]):
    """Rows of the input, in its order, with what happened to them. The ledger is read when they are first looked at."""

    def __init__(self, path: Path, manifest: Manifest, chosen: Mapping[str, str] | None = None) -> None:
        self.path = path
        self.manifest = manifest
        self._chosen = dict(chosen or {})

    def where(
        self,
        place: str | None = None,
        *,
        fate: str | None = None,
        reason: str | None = None,
        stage: str | None = None,
        source: str | None = None,
        split: str | None = None,
        record_id: str | None = None,
    ) -> LedgerRows:
        """The rows for which all of this is so; `place` and `record_id` as in SampleTable.where.

        Raises DatasetError, a KeyError, for a reason that does not exist.
        """
        if reason is not None and reason not in REASONS and not self._has_reason(reason):
            raise no_such_reason(reason, self.manifest)
        given = {"place": place, "fate": fate, "reason": reason, "stage": stage, "source": source}
        given |= {"split": split, "record_id": record_id}
        chosen = {name: value for name, value in given.items() if value is not None}
        if any(self._chosen.get(name, value) != value for name, value in chosen.items()):
            return LedgerRows(self.path, self.manifest, {"place": "\0"})  # no row has two values
        return LedgerRows(self.path, self.manifest, {**self._chosen, **chosen})

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @overload
    def __getitem__(self, at: SupportsIndex) -> LedgerRow: ...
    @overload
    def __getitem__(self, at: slice) -> list[LedgerRow]: ...
    def __getitem__(self, at: SupportsIndex | slice) -> LedgerRow | list[LedgerRow]:
        """A row by its number among these, or a list of some. Raises DatasetError, an IndexError, if there is none."""
        from sftdata.view.sample import resolve

        if isinstance(at, slice):
            numbers = range(len(self))[at]
            return [_row(values) for values in self._table.take(pa.array(numbers, pa.int64())).to_pylist()]
        number = resolve(at, len(self), "row", str(self.path / "ledger"))
        return _row(self._table.slice(number, 1).to_pylist()[0])

    def __iter__(self) -> Iterator[LedgerRow]:
        for batch in self._table.to_batches(max_chunksize=1 << 12):
            yield from map(_row, batch.to_pylist())

    def counts(self) -> dict[str, int]:
        """How many of these rows have each reason, most first; packed rows have none."""
        found = [(pair["values"], pair["counts"]) for pair in pc.value_counts(self._table["reason"]).to_pylist()]
        return dict(sorted(((name, n) for name, n in found if name is not None), key=lambda one: (-one[1], one[0])))

    def to_arrow(self) -> pa.Table:
        """These rows with all columns of the ledger, those that `keep` asked for among them."""
        return self._table

    def to_pandas(self) -> Any:
        """The same as a pandas.DataFrame."""
        return self._table.to_pandas()

    def __repr__(self) -> str:
        lines = [f"<{pluralize(len(self), 'row')} of the ledger of {self.path.resolve().name}>"]
        lines += [f"  {row}" for row in self[:_SHOWN]]
        return "\n".join([*lines, f"  ... and {len(self) - _SHOWN:,} more"] if len(self) > _SHOWN else lines)

    def _repr_html_(self) -> str:
        from sftdata.view.html.rows import ledger_html

        return ledger_html(self)

    @cached_property
    def _table(self) -> pa.Table:
        if not self.manifest.ledger:
            raise DatasetError(str(self.path), "contains no ledger", "give a folder written by `sftdata prepare`")
        parts = []
        for entry in self.manifest.ledger:
            path = self.path / entry.path
            regular_file(path, self.path, entry.size_bytes)
            for table in read_row_groups(path, LEDGER_SCHEMA):
                check_fates(path, table)
                parts.append(_equal_to(table, self._chosen))
        table = pa.concat_tables(parts)
        if "place" in self._chosen:
            table = table.filter(chosen_by_name(table["where"], self._chosen["place"]))
        if "record_id" in self._chosen:
            table = table.filter(chosen_by_id(table["record_id"], self._chosen["record_id"]))
        return table

    def _has_reason(self, reason: str) -> bool:
        return any(reason in reasons for reasons in self.manifest.counts.dropped.values())


def _equal_to(table: pa.Table, chosen: Mapping[str, str]) -> pa.Table:
    """The rows of a table whose columns have these values."""
    for name in ("fate", "reason", "stage", "source", "split"):
        if name in chosen:
            table = table.filter(pc.fill_null(pc.equal(table[name], chosen[name]), False))
    return table


def _row(values: Mapping[str, Any]) -> LedgerRow:
    return LedgerRow(*(values[name] for name in LedgerRow._fields))


def no_such_reason(reason: str, manifest: Manifest) -> NoSuchNameError:
    """The error for a reason that does not exist, with those that rows of the dataset have."""
    import difflib

    found = list(dict.fromkeys(name for reasons in manifest.counts.dropped.values() for name in reasons))
    near = difflib.get_close_matches(reason, [*found, *REASONS], n=1)
    hint = f"did you mean {near[0]}?" if near else f"rows were dropped as {', '.join(found) or 'nothing'}"
    return NoSuchNameError(reason, "is not a reason for which rows are dropped", hint)
