"""The encode stage: Arrow tables with records in, Arrow tables with samples out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property, lru_cache
from heapq import nsmallest
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from xxhash import xxh3_64_hexdigest

from sftdata.encode.control_strings import (
    count_control_strings,
    count_control_strings_of,
    count_trailing_control,
    trailing_control,
)
from sftdata.encode.encoded import EncodedBatch
from sftdata.encode.record_encoder import EncodeSettings, RecordEncoder
from sftdata.encode.stats import FOREIGN_END, KEPT, NO_SYSTEM, NUM_EXAMPLES, EncodingStats, Example
from sftdata.encode.text_notes import note_texts
from sftdata.encode.tokenizer.encoder import Ids
from sftdata.encode.tokenizer.stops import stop_tokens
from sftdata.records.column import RecordColumn
from sftdata.records.faults import INTERNAL_ERROR, by_halves, detail_of
from sftdata.records.labels import TrainedRuns, trained_runs
from sftdata.records.record import NOT_TRAINED, Drop, PlainRecord, Record, sample_digest

ENCODED_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),  # of the piece, from 0; null in the only entry of a piece without samples and drops
        ("sample", pa.int32()),  # of the record, from 0
        ("input_ids", pa.list_(pa.int32())),
        ("trained", pa.list_(pa.int32())),  # start and end of each trained run; the other labels are IGNORE
        ("num_tokens", pa.int32()),
        ("num_trained", pa.int32()),
        ("marks", pa.uint8()),  # of the record: NO_SYSTEM, FOREIGN_END
        ("turns", pa.list_(pa.int32())),  # the turns trained in this sample, from 1
        ("digest", pa.binary(16)),  # sample_digest
        ("reason", pa.string()),  # set if the record has no sample; the lists are then empty
        ("detail", pa.string()),  # of a reason; or in the first sample, of turns that are not trained
        ("rows", pa.int64()),  # number of rows of the piece; only in its first entry
        ("stats", pa.string()),  # EncodingStats of the piece; only in its first entry
        ("fault", pa.string()),  # of this program, for which the record is dropped: see faults.py; nearly always null
    ]
)
LeftOut = Mapping[int, Sequence[Drop]]  # see RecordEncoder.left_out
SOURCE = "source"  # beside the rows, if sources differ in it: the place of a row's source in EncodeSettings.sources
# Both libraries encode this many texts of each piece, and this many characters of each text, to compare the ids.
TRIED_TEXTS, TRIED_CHARS = 8, 400


class Encode:
    """Rows -> samples. Skips rows that are marked in the column `dropped`.

    It is pickled as settings, from which a worker creates its own encoder.
    """

    name = "encode"
    columns = ("record",)

    def __init__(self, encoder: RecordEncoder) -> None:
        self.encoder = encoder

    def __reduce__(self) -> tuple[Callable[[EncodeSettings], Encode], tuple[EncodeSettings]]:
        return _encode_with, (self.encoder.worker_settings(),)

    @cached_property
    def key(self) -> str:
        """A hash of everything that decides how a record is encoded, including the backend if one is requested."""
        settings, template = self.encoder.settings, self.encoder.template
        files = settings.files
        parts = [
            files.sha256,
            dict(files.special_tokens),
            stop_tokens(files),
            template.source,
            template.tool_source,
            settings.date,
            settings.train_on,
            settings.overlong,
            settings.seq_len,
            settings.lost_context,
            settings.max_turns,
            settings.tool_call_ids,
            settings.reasoning,
            settings.tool_calls,
            settings.thinking,
            settings.train_empty_thinking,
            dict(settings.chat_template_kwargs),
            [asdict(source) for source in settings.sources],
            self.encoder.end_tokens.key,
            settings.backend,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @cached_property
    def _prefixes(self) -> list[bytes]:
        """The first bytes of every control string and end token, all of the same length."""
        prefixes = [*self.encoder.probes.control.prefixes, *self.encoder.end_tokens.prefixes]
        size = min(map(len, prefixes))
        return sorted({prefix[:size] for prefix in prefixes})

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """The samples of every record, and one entry with a reason for each record without samples.

        A piece in which a record meets a fault of sftdata becomes several tables, each with its own `rows` and `stats`.
        """
        self.encoder.load()  # what fails here is no record's
        yield from by_halves(self._encoded, table, _fault_table)

    def _encoded(self, table: pa.Table) -> pa.Table:
        column = RecordColumn(table["record"])
        dropped = table["dropped"].to_pylist()
        rows, records = column.live(dropped)
        stats = EncodingStats()
        control = self.encoder.probes.control
        texts = [hit for hit in column.texts_containing(self._prefixes) if not dropped[hit[0]]]
        count_control_strings(((role, text) for _, role, text in texts), control, stats)
        not_plain = [(row, record) for row, record in zip(rows, records) if not isinstance(record, PlainRecord)]
        others = [record for _, record in not_plain]
        for record in others:
            count_control_strings_of(record, control, stats)
        leaves_reasoning = self.encoder.leaves_reasoning
        note_texts(column, dropped, others, stats, leaves_reasoning=leaves_reasoning)
        marks = _without_system(table["record"], not_plain)
        ends = trailing_control(texts, zip(rows, records), not_plain, self.encoder.end_tokens)
        marks[count_trailing_control(ends, stats)] |= FOREIGN_END
        self.encoder.notes.clear()
        numbers = table[SOURCE].to_pylist() if SOURCE in table.column_names else None
        sources = None if numbers is None else [numbers[row] for row in rows]
        encoded = self.encoder.encode_batch(records, sources)
        stats.add_notes(self.encoder.notes)
        stats.backends.add(self.encoder.backend)
        stats.backends_disagree = not self.encoder.encoder.agrees(some_texts(records))
        runs = trained_runs(encoded.labels, encoded.offsets)
        is_text = np.array([record.text is not None for record in records], np.bool_)
        self._collect_ids(encoded, runs, is_text, stats)
        digests = list(_digests(encoded))
        left_out = self.encoder.left_out
        _collect_examples(encoded, left_out, digests, records, sources, stats)
        return _table(encoded, left_out, digests, runs, np.array(rows, np.int64), marks, stats, table.num_rows)

    def _collect_ids(
        self, encoded: EncodedBatch, runs: TrainedRuns, is_text: npt.NDArray[np.bool_], stats: EncodingStats
    ) -> None:
        """Collect for `verify` the ids before the trained runs of chats, and the control ids inside these runs."""
        ids, edges = encoded.input_ids, runs.edges
        sample = np.repeat(np.arange(len(encoded.owners)), np.diff(runs.offsets) // 2)  # of each run
        begins = encoded.offsets[sample]
        starts, ends = begins + edges[::2], begins + edges[1::2]
        of_chat = ~is_text[encoded.owners[sample]]
        prompted = of_chat & (starts > begins)
        if not prompted.any():
            return
        stats.generation_prompts |= self.encoder.prompts_before(ids, starts[prompted], begins[prompted])
        controls = self.encoder.control_positions(ids)
        run = np.searchsorted(starts, controls, side="right") - 1  # the last run that starts before it, or -1
        inside = (run >= 0) & of_chat[run] & (controls < ends[run] - 1)
        stats.answer_control_ids.update(np.unique(ids[controls[inside]]).tolist())


def _collect_examples(
    encoded: EncodedBatch,
    left_out: LeftOut,
    digests: Sequence[bytes],
    records: Sequence[Record],
    sources: Sequence[int] | None,
    stats: EncodingStats,
) -> None:
    """Collect some records that were refused, and some that were not, chosen by hashes: see ways_out.py."""
    of = sources or [0] * len(records)
    refused = [*encoded.drops.items(), *((number, drop) for number, drops in left_out.items() for drop in drops)]
    if refused:
        reasons: dict[str, list[Example]] = {}
        for number, drop in refused:
            data = records[number].to_json()
            reasons.setdefault(drop.reason, []).append((xxh3_64_hexdigest(data), data.decode(), of[number]))
        for reason, examples in reasons.items():
            stats.add_examples(reason, examples)
    chosen = nsmallest(NUM_EXAMPLES[KEPT], zip(digests, encoded.owners.tolist()))
    stats.add_examples(KEPT, [(digest.hex(), records[owner].to_json().decode(), of[owner]) for digest, owner in chosen])


def some_texts(records: Sequence[Record]) -> list[str]:
    """The beginnings of a few texts, spread over a batch, to compare the ids of both libraries."""
    chosen = records[:: max(1, len(records) // TRIED_TEXTS)][:TRIED_TEXTS]
    texts = [record.messages[-1].content if record.text is None else record.text for record in chosen]
    return [(text or "")[:TRIED_CHARS] for text in texts]


def _details(encoded: EncodedBatch, numbers: npt.NDArray[np.int64], left_out: LeftOut) -> list[str | None]:
    """The detail of each sample: in the first of a record, why turns of it are not trained."""
    details: list[str | None] = [None] * len(numbers)
    if left_out:
        for at, (owner, number) in enumerate(zip(encoded.owners.tolist(), numbers.tolist())):
            if not number and owner in left_out:
                why = (f"{drop.reason}: {drop.detail}" for drop in left_out[owner])
                details[at] = NOT_TRAINED + "; ".join(why)
    return details


def _table(
    encoded: EncodedBatch,
    left_out: LeftOut,
    digests: Sequence[bytes],
    runs: TrainedRuns,
    rows: npt.NDArray[np.int64],
    marks: npt.NDArray[np.uint8],
    stats: EncodingStats,
    num_rows: int,
) -> pa.Table:
    """The samples and drops of a batch, in the order of its records. `rows` are the row numbers of the records, `marks`
    those of each row.
    """
    drops = sorted(encoded.drops.items())
    no_sample = np.zeros(len(drops), np.int64)
    owners = np.concatenate([encoded.owners, np.array([number for number, _ in drops], np.int64)])
    lengths = np.concatenate([np.diff(encoded.offsets), no_sample])
    number = np.arange(len(encoded.owners)) - np.searchsorted(encoded.owners, encoded.owners)
    edges, offsets = runs
    num_edges = np.concatenate([np.diff(offsets), no_sample])
    trained_before = np.concatenate([[0], np.cumsum(edges[1::2] - edges[::2])])  # trained tokens before each run
    null_of_samples, null_of_drops = [None] * len(encoded.owners), [None] * len(drops)
    columns: dict[str, Any] = {
        "row": rows[owners],
        "sample": np.concatenate([number, no_sample]),
        "num_tokens": lengths,
        "num_trained": np.concatenate([np.diff(trained_before[offsets // 2]), no_sample]),
        "marks": marks[rows[owners]],
        "turns": [*map(_turn_numbers, encoded.turns), *null_of_drops],
        "digest": [*digests, *null_of_drops],
        "reason": [*null_of_samples, *(drop.reason for _, drop in drops)],
        "detail": [*_details(encoded, number, left_out), *(drop.detail for _, drop in drops)],
    }
    if not len(owners):
        columns = {name: [0 if name in ("sample", "num_tokens", "num_trained", "marks") else None] for name in columns}
        lengths = num_edges = np.zeros(1, np.int64)
    if drops:
        order = np.argsort(owners, kind="stable")
        lengths, num_edges = lengths[order], num_edges[order]
        columns = {name: _in_order(values, order) for name, values in columns.items()}
    table = pa.table(columns, pa.schema([ENCODED_SCHEMA.field(name) for name in columns]))
    after_first = [None] * (table.num_rows - 1)
    more = {
        "input_ids": _lists(encoded.input_ids, lengths),
        "trained": _lists(edges, num_edges),
        "rows": pa.array([num_rows, *after_first], pa.int64()),
        "stats": pa.array([stats.to_json(), *after_first], pa.string()),
        "fault": pa.nulls(table.num_rows, pa.string()),
    }
    for name, column in more.items():
        table = table.append_column(name, column)
    return table.select(ENCODED_SCHEMA.names).cast(ENCODED_SCHEMA)


def _fault_table(table: pa.Table, fault: str) -> pa.Table:
    """The entry of a row that meets a fault of sftdata."""
    entry = {"row": 0, "sample": 0, "num_tokens": 0, "num_trained": 0, "input_ids": [], "trained": [], "rows": 1}
    entry |= {"marks": 0}
    entry |= {"reason": INTERNAL_ERROR, "detail": detail_of(fault), "stats": EncodingStats().to_json(), "fault": fault}
    return pa.Table.from_pylist([entry], ENCODED_SCHEMA)


def _without_system(column: pa.ChunkedArray, not_plain: Sequence[tuple[int, Record]]) -> npt.NDArray[np.uint8]:
    """NO_SYSTEM for the rows of a column whose record is a conversation that does not begin with a system message.
    `not_plain` are the rows and records that have more than roles and texts.
    """
    roles = pc.struct_field(column, "roles")
    begins = pc.or_(pc.starts_with(roles, "system"), pc.starts_with(roles, "developer"))
    marks: npt.NDArray[np.uint8] = pc.invert(begins).fill_null(False).to_numpy().astype(np.uint8) * np.uint8(NO_SYSTEM)
    for row, record in not_plain:
        if record.messages and record.messages[0].role not in ("system", "developer"):
            marks[row] = NO_SYSTEM
    return marks


def _in_order(values: Any, order: npt.NDArray[np.int64]) -> Any:
    """An array or a list in another order."""
    return values[order] if isinstance(values, np.ndarray) else [values[at] for at in order.tolist()]


@lru_cache(maxsize=1 << 12)
def _turn_numbers(turns: tuple[int, ...]) -> list[int]:
    """Turns counted from 1. Do not modify the list: it is cached."""
    return [turn + 1 for turn in turns]


def _lists(values: Ids, lengths: npt.NDArray[np.int64]) -> pa.ListArray:
    """Split values into lists of these lengths."""
    return pa.ListArray.from_arrays(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32), values)


def _digests(encoded: EncodedBatch) -> Iterator[bytes]:
    """The sample_digest of each sample."""
    ids, labels = encoded.input_ids.view(np.uint8).data, encoded.labels.view(np.uint8).data
    offsets = (4 * encoded.offsets).tolist()  # in bytes
    return (sample_digest(ids[start:end], labels[start:end]) for start, end in zip(offsets, offsets[1:]))


def _encode_with(settings: EncodeSettings) -> Encode:
    return Encode(RecordEncoder(settings))
