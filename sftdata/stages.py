"""The stages of `prepare` as Arrow tables in, Arrow tables out: glue between the phases and the engines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from sftdata.config import SourceConfig
from sftdata.curate.exact import KEY_BYTES, content_key
from sftdata.encode.masks import IGNORE, EncodedSample
from sftdata.encode.records import EncodeSettings, RecordEncoder
from sftdata.read.sources import lines_in
from sftdata.read.stage import rows_of
from sftdata.read.units import Unit
from sftdata.records import Drop, Record
from sftdata.store.ledger import as_text
from sftdata.store.pack import Strategy
from sftdata.store.shards import ShardFacts, build_shard, write_shard

UNIT_SCHEMA = pa.schema([("unit", pa.int32())])
ROW_SCHEMA = pa.schema(
    [
        ("unit", pa.int32()),
        ("line", pa.int64()),  # 1-based within the unit
        ("record", pa.large_binary()),  # Record.to_json; null where no record could be made
        ("key", pa.binary(KEY_BYTES)),  # content_key; null where there is no record
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("keep", pa.string()),  # the kept columns, as one JSON object
        ("skip", pa.int64()),  # line numbers that the unit takes up; only in a unit's first row
    ]
)
SAMPLE_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),  # of the input, counted over all sources
        ("sample", pa.int32()),  # of the record
        ("input_ids", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.int32())),
        ("num_tokens", pa.int32()),
        ("num_trained", pa.int32()),
        ("reason", pa.string()),  # set where the record has no sample; the lists are then empty
        ("detail", pa.string()),
        ("facts", pa.string()),  # what the batch saw, as JSON; only in its first row
    ]
)
PLACED_SCHEMA = pa.schema(
    [
        ("position", pa.int64()),  # of the sample in the table of samples
        ("row", pa.int32()),  # of the shard
        ("index", pa.int32()),  # within the row
        ("facts", pa.string()),  # of the shard, as JSON; only in the first row
    ]
)


@dataclass(frozen=True)
class Read:
    """Units -> rows: parsed, brought into one form, checked, with the key of their content."""

    units: tuple[Unit, ...]
    sources: tuple[SourceConfig, ...]
    name: str = "read"

    def __call__(self, table: pa.Table) -> pa.Table:
        """One row for each row of each unit. A unit without rows gives one row with `line` 0, which `prepare` drops."""
        columns: dict[str, list[Any]] = {name: [] for name in ROW_SCHEMA.names}
        for number in table["unit"].to_pylist():
            self._read_unit(number, columns)
        return pa.table(columns, schema=ROW_SCHEMA)

    def _read_unit(self, number: int, columns: dict[str, list[Any]]) -> None:
        unit = self.units[number]
        skip: int | None = lines_in(unit)
        append = [columns[name].append for name in ROW_SCHEMA.names]
        count = 0
        for row in rows_of(unit, self.sources[unit.source]):
            record, drop = row.record, row.drop
            values = (
                number,
                row.line,
                None if record is None else record.to_json(),
                None if record is None else content_key(record),
                None if drop is None else drop.reason,
                None if drop is None else drop.detail,
                None if row.keep is None else _kept_json(row.keep),
                skip,
            )
            for add, value in zip(append, values):
                add(value)
            skip = None
            count += 1
        if count == 0:
            for add, value in zip(append, (number, 0, None, None, None, None, None, skip)):
                add(value)


def _kept_json(keep: Any) -> str:
    return orjson.dumps({name: as_text(value) for name, value in keep.items()}).decode()


@dataclass
class BatchFacts:
    """What encoding saw besides the samples: joined over all batches, it goes into the manifest."""

    prompts: set[tuple[int, ...]] = field(default_factory=set)  # ids that stood directly before a trained run
    answer_controls: set[int] = field(default_factory=set)  # control ids inside trained runs, their ends aside
    hits: Counter[tuple[str, str]] = field(default_factory=Counter)  # control strings in text, by (string, role)

    def to_json(self) -> str:
        """The facts as JSON, in a fixed order."""
        return json.dumps(
            {
                "prompts": sorted(self.prompts),
                "answer_controls": sorted(self.answer_controls),
                "hits": sorted([*key, count] for key, count in self.hits.items()),
            }
        )

    def add_json(self, text: str) -> None:
        """Join the facts that `to_json` wrote."""
        payload = json.loads(text)
        self.prompts.update(tuple(prompt) for prompt in payload["prompts"])
        self.answer_controls.update(payload["answer_controls"])
        for string, role, count in payload["hits"]:
            self.hits[string, role] += count


@dataclass(frozen=True)
class Encode:
    """Rows -> samples. Rows that are dropped already (column `dropped`) are passed by."""

    settings: EncodeSettings
    name: str = "encode"

    @cached_property
    def encoder(self) -> RecordEncoder:
        """The worker's encoder."""
        return RecordEncoder(self.settings)

    def __getstate__(self) -> dict[str, Any]:
        return {"settings": self.settings, "name": self.name}

    def __call__(self, table: pa.Table) -> pa.Table:
        """The samples of every record, and one row with a reason for each record that has none."""
        live = np.flatnonzero(~table["dropped"].to_numpy(zero_copy_only=False))
        first_row = table["row"][0].as_py() if table.num_rows else 0
        payloads = table["record"].take(pa.array(live)).to_pylist()
        records = [Record.from_json(payload) for payload in payloads]
        results = self.encoder.encode(records)
        facts = BatchFacts()
        for record in records:
            facts.hits.update(self.encoder.control_hits(record))
        return self._table(zip((live + first_row).tolist(), results, strict=True), facts)

    def _table(self, results: Any, facts: BatchFacts) -> pa.Table:
        rows: list[int] = []
        numbers: list[int] = []
        reasons: list[str | None] = []
        details: list[str | None] = []
        samples: list[EncodedSample | None] = []
        for row, outcome in results:
            if isinstance(outcome, Drop):
                rows.append(row)
                numbers.append(0)
                reasons.append(outcome.reason)
                details.append(outcome.detail)
                samples.append(None)
                continue
            for number, sample in enumerate(outcome):
                rows.append(row)
                numbers.append(number)
                reasons.append(None)
                details.append(None)
                samples.append(sample)
        lengths = [0 if sample is None else len(sample.input_ids) for sample in samples]
        offsets = np.zeros(len(samples) + 1, np.int32)
        np.cumsum(lengths, out=offsets[1:])
        ids = _joined([sample.input_ids for sample in samples if sample is not None])
        labels = _joined([sample.labels for sample in samples if sample is not None])
        self._collect(ids, labels, offsets, facts)
        trained = np.concatenate([[0], np.cumsum(labels != IGNORE)])
        num_trained = trained[offsets[1:]] - trained[offsets[:-1]]
        notes: list[str | None] = [None] * len(samples)
        if notes:
            notes[0] = facts.to_json()
        return pa.table(
            {
                "row": rows,
                "sample": numbers,
                "input_ids": pa.ListArray.from_arrays(offsets, ids),
                "labels": pa.ListArray.from_arrays(offsets, labels),
                "num_tokens": lengths,
                "num_trained": num_trained,
                "reason": reasons,
                "detail": details,
                "facts": notes,
            },
            schema=SAMPLE_SCHEMA,
        )

    def _collect(
        self,
        ids: npt.NDArray[np.int32],
        labels: npt.NDArray[np.int32],
        offsets: npt.NDArray[np.int32],
        facts: BatchFacts,
    ) -> None:
        """Which ids stand before and inside trained runs: what `verify` later holds the shards against."""
        trained = labels != IGNORE
        is_first = np.zeros(len(ids) + 1, bool)
        is_first[offsets] = True
        starts = np.flatnonzero(trained & ~np.concatenate([[False], trained[:-1]]) & ~is_first[:-1])
        if not len(starts):
            return
        is_control = np.zeros(self.encoder.vocabulary.size, bool)
        is_control[[id_ for id_ in self.encoder.facts.control.ids if id_ < len(is_control)]] = True
        sample_start = offsets[np.searchsorted(offsets, starts, side="right") - 1]
        facts.prompts |= self.encoder.prompts_before(ids, starts, sample_start)
        ends = np.concatenate([trained[1:] & ~is_first[1:-1], [False]])
        facts.answer_controls.update(np.unique(ids[trained & is_control[ids] & ends]).tolist())


def _joined(arrays: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.int32]:
    return np.concatenate(arrays) if arrays else np.empty(0, np.int32)


@dataclass(frozen=True)
class WriteShards:
    """The samples of one shard -> the shard's file, and the place of each sample in it."""

    folder: str
    paths: tuple[str, ...]  # by shard number, within the folder
    seq_len: int
    strategy: Strategy
    seed: int
    name: str = "pack"

    def __call__(self, table: pa.Table) -> pa.Table:
        """Pack and write; one row for each sample. Raises OutputError where the folder cannot be written."""
        path = self.paths[table["shard"][0].as_py()]
        samples = table.select(["record_id", "sample", "input_ids", "labels"])
        shard = build_shard(samples, self.seq_len, self.strategy, self.seed)
        written = write_shard(Path(self.folder, path), shard)
        notes: list[str | None] = [None] * table.num_rows
        notes[0] = json.dumps({"path": path, **_facts_dict(written)})
        return pa.table(
            {"position": table["position"], "row": shard.row, "index": shard.index, "facts": notes},
            schema=PLACED_SCHEMA,
        )


def _facts_dict(facts: ShardFacts) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in ShardFacts.__slots__}
