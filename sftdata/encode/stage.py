"""Encoding as Arrow tables: rows with records in, samples out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sftdata.encode.clean import note_control, note_control_of_rich
from sftdata.encode.encoded import Encoded
from sftdata.encode.record_encoder import EncodeSettings, RecordEncoder
from sftdata.encode.stats import EncodingStats
from sftdata.encode.tokenizer.encoder import Ids
from sftdata.records.column import RecordColumn
from sftdata.records.labels import Runs, trained_runs
from sftdata.records.record import Record, sample_digest

ENCODED_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),  # of the piece, from 0; null in the one entry of a piece without samples
        ("sample", pa.int32()),  # of the record, from 0
        ("input_ids", pa.list_(pa.int32())),
        ("trained", pa.list_(pa.int32())),  # where each trained run begins and ends; the other labels are IGNORE
        ("num_tokens", pa.int32()),
        ("num_trained", pa.int32()),
        ("turns", pa.list_(pa.int32())),  # trained in this sample, from 1
        ("digest", pa.binary(16)),  # sample_digest
        ("reason", pa.string()),  # set where the record has no sample; the lists are then empty
        ("detail", pa.string()),
        ("rows", pa.int64()),  # rows of the piece, samples or not; only in a piece's first entry
        ("stats", pa.string()),  # EncodingStats of the piece; only in its first entry
    ]
)
# The texts of each piece that both encoders encode, and the characters of each.
TRIED_TEXTS, TRIED_CHARS = 8, 400


class Encode:
    """Rows -> samples. Rows that are dropped already (column `dropped`) are passed by.

    Travels to workers as settings that spare them what was found out here: the encoder to use, the guarded tokenizer.
    """

    name = "encode"
    columns = ("record",)

    def __init__(self, encoder: RecordEncoder) -> None:
        self.encoder = encoder

    def __reduce__(self) -> tuple[Callable[[EncodeSettings], Encode], tuple[EncodeSettings]]:
        return _encode_with, (self.encoder.shared(),)

    @cached_property
    def key(self) -> str:
        """All that decides how a record is encoded, and the backend where one is asked for by name."""
        settings, template = self.encoder.settings, self.encoder.template
        files = settings.files
        parts = [
            files.sha256,
            dict(files.special_tokens),
            template.source,
            template.tool_source,
            settings.date,
            settings.train_on,
            settings.overlong,
            settings.seq_len,
            settings.strip_trailing_control,
            settings.backend,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def is_reusable(self, result: pa.Table) -> bool:
        """Yes: the samples are all there is."""
        return True

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """The samples of every record, and one entry with a reason for each record that has none."""
        column = RecordColumn(table["record"])
        dropped = table["dropped"].to_pylist()
        live = list(column.live(dropped))
        records = [record for _, record in live]
        stats = EncodingStats()
        control = self.encoder.probes.control
        texts = ((role, text) for row, role, text in column.texts_with(control.heads) if not dropped[row])
        note_control(texts, control, stats)
        for record in records:
            if record.plain is None:
                note_control_of_rich(record, control, stats)
        self.encoder.tally.clear()
        encoded = self.encoder.encode_batch(records)
        stats.tally.update(self.encoder.tally)
        stats.backends.add(self.encoder.backend)
        stats.disagrees = not self.encoder.encoder.agrees(some_texts(records))
        runs = trained_runs(encoded.labels, encoded.offsets)
        self._see(encoded, runs, np.array([record.text is not None for record in records], np.bool_), stats)
        yield _table(encoded, runs, np.array([row for row, _ in live], np.int64), stats, table.num_rows)

    def _see(self, encoded: Encoded, runs: Runs, is_text: npt.NDArray[np.bool_], stats: EncodingStats) -> None:
        """Which ids stand before and inside trained runs of chats: what `verify` later holds the shards against."""
        ids, edges = encoded.input_ids, runs.edges
        sample = np.repeat(np.arange(len(encoded.owners)), np.diff(runs.cuts) // 2)  # of each run
        begins = encoded.offsets[sample]
        starts, ends = begins + edges[::2], begins + edges[1::2]
        of_chat = ~is_text[encoded.owners[sample]]
        prompted = of_chat & (starts > begins)
        if not prompted.any():
            return
        stats.prompts |= self.encoder.prompts_before(ids, starts[prompted], begins[prompted])
        controls = self.encoder.controls_in(ids)
        run = np.searchsorted(starts, controls, side="right") - 1  # that begins before it, -1 where none does
        inside = (run >= 0) & of_chat[run] & (controls < ends[run] - 1)
        stats.answer_controls.update(np.unique(ids[controls[inside]]).tolist())


def some_texts(records: Sequence[Record]) -> list[str]:
    """The beginnings of a few texts of a batch, spread over it: both encoders encode them, to be compared."""
    chosen = records[:: max(1, len(records) // TRIED_TEXTS)][:TRIED_TEXTS]
    texts = [record.messages[-1].content if record.text is None else record.text for record in chosen]
    return [(text or "")[:TRIED_CHARS] for text in texts]


def _table(encoded: Encoded, runs: Runs, rows: npt.NDArray[np.int64], stats: EncodingStats, num_rows: int) -> pa.Table:
    """The samples and drops of a batch, in the order of its records, which are these rows of `num_rows`."""
    drops = sorted(encoded.drops.items())
    no_sample = np.zeros(len(drops), np.int64)
    owners = np.concatenate([encoded.owners, np.array([number for number, _ in drops], np.int64)])
    lengths = np.concatenate([np.diff(encoded.offsets), no_sample])
    number = np.arange(len(encoded.owners)) - np.searchsorted(encoded.owners, encoded.owners)
    edges, cuts = runs
    num_edges = np.concatenate([np.diff(cuts), no_sample])
    trained_before = np.concatenate([[0], np.cumsum(edges[1::2] - edges[::2])])  # each run
    nothing, nothing_here = [None] * len(encoded.owners), [None] * len(drops)
    columns: dict[str, Any] = {
        "row": rows[owners],
        "sample": np.concatenate([number, no_sample]),
        "num_tokens": lengths,
        "num_trained": np.concatenate([np.diff(trained_before[cuts // 2]), no_sample]),
        "turns": [*([turn + 1 for turn in turns] for turns in encoded.turns), *nothing_here],
        "digest": [*_digests(encoded), *nothing_here],
        "reason": [*nothing, *(drop.reason for _, drop in drops)],
        "detail": [*nothing, *(drop.detail for _, drop in drops)],
    }
    if not len(owners):
        columns = {name: [0 if name in ("sample", "num_tokens", "num_trained") else None] for name in columns}
        lengths = num_edges = np.zeros(1, np.int64)
    table = pa.table(columns, pa.schema([ENCODED_SCHEMA.field(name) for name in columns]))
    if drops:
        order = np.argsort(owners, kind="stable")
        table, lengths, num_edges = table.take(pa.array(order)), lengths[order], num_edges[order]
    only_first = [None] * (table.num_rows - 1)
    more = {
        "input_ids": _lists(encoded.input_ids, lengths),
        "trained": _lists(edges, num_edges),
        "rows": pa.array([num_rows, *only_first], pa.int64()),
        "stats": pa.array([stats.to_json(), *only_first], pa.string()),
    }
    for name, column in more.items():
        table = table.append_column(name, column)
    return table.select(ENCODED_SCHEMA.names).cast(ENCODED_SCHEMA)


def _lists(values: Ids, lengths: npt.NDArray[np.int64]) -> pa.ListArray:
    """Lists of these lengths that stand end to end."""
    return pa.ListArray.from_arrays(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32), values)


def _digests(encoded: Encoded) -> Iterator[bytes]:
    """The sample_digest of each sample."""
    ids, labels = encoded.input_ids.view(np.uint8).data, encoded.labels.view(np.uint8).data
    places = (4 * encoded.offsets).tolist()
    return (sample_digest(ids[start:end], labels[start:end]) for start, end in zip(places, places[1:]))


def _encode_with(settings: EncodeSettings) -> Encode:
    return Encode(RecordEncoder(settings))
