"""Encoding as Arrow tables: rows with records in, samples out."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sftdata.encode.clean import endings
from sftdata.encode.masks import IGNORE, EncodedSample
from sftdata.encode.records import EncodeSettings, RecordEncoder
from sftdata.records import Drop, Record, live_records, sample_digest

ENCODED_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),  # of the piece, from 0; null in the one entry of a piece without samples
        ("sample", pa.int32()),  # of the record, from 0
        ("input_ids", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.int32())),
        ("num_tokens", pa.int32()),
        ("num_trained", pa.int32()),
        ("turns", pa.list_(pa.int32())),  # trained in this sample, from 1
        ("digest", pa.binary(16)),  # sample_digest
        ("reason", pa.string()),  # set where the record has no sample; the lists are then empty
        ("detail", pa.string()),
        ("rows", pa.int64()),  # rows of the piece, samples or not; only in a piece's first entry
        ("facts", pa.string()),  # BatchFacts of the piece; only in its first entry
    ]
)
# Of each batch, so many texts are encoded by both encoders, up to so many characters of each.
CHECKED_TEXTS, CHECKED_CHARS = 8, 1000


@dataclass
class BatchFacts:
    """What encoding saw besides the samples: joined over all batches, it goes into the manifest."""

    prompts: set[tuple[int, ...]] = field(default_factory=set)  # ids that stood directly before a trained run
    answer_controls: set[int] = field(default_factory=set)  # control ids inside trained runs, their ends aside
    hits: Counter[tuple[str, str]] = field(default_factory=Counter)  # control strings in text, by (string, role)
    trailing: Counter[str] = field(default_factory=Counter)  # answers that end in a control string, none stripped yet
    tally: Counter[str] = field(default_factory=Counter)  # what was done to records: see RecordEncoder.encode
    backends: set[str] = field(default_factory=set)  # what encoded
    disagreed: bool = False  # the fast encoder gave other ids than tokenizers for some of the run's own text

    def to_json(self) -> str:
        """The facts as JSON, in a fixed order."""
        return json.dumps(
            {
                "prompts": sorted(self.prompts),
                "answer_controls": sorted(self.answer_controls),
                "hits": sorted([*key, count] for key, count in self.hits.items()),
                "trailing": dict(sorted(self.trailing.items())),
                "tally": dict(sorted(self.tally.items())),
                "backends": sorted(self.backends),
                "disagreed": self.disagreed,
            }
        )

    def add_json(self, text: str) -> None:
        """Join the facts that `to_json` wrote."""
        payload = json.loads(text)
        self.prompts.update(tuple(prompt) for prompt in payload["prompts"])
        self.answer_controls.update(payload["answer_controls"])
        for string, role, count in payload["hits"]:
            self.hits[string, role] += count
        self.trailing.update(payload["trailing"])
        self.tally.update(payload["tally"])
        self.backends.update(payload["backends"])
        self.disagreed |= payload["disagreed"]

    @staticmethod
    def joined(texts: Sequence[str]) -> BatchFacts:
        """The facts of several batches."""
        facts = BatchFacts()
        for text in texts:
            facts.add_json(text)
        return facts


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

    def is_there(self, result: pa.Table) -> bool:
        """Yes: the samples are all there is."""
        return True

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """The samples of every record, and one entry with a reason for each record that has none."""
        live = list(live_records(table))
        records = [record for _, record in live]
        facts = BatchFacts()
        for record in records:
            if self.encoder.count_control(record, facts.hits):
                facts.trailing.update(endings(record, self.encoder.facts.control))
        self.encoder.tally.clear()
        entries: list[tuple[int | None, int, EncodedSample | Drop | None, bool]] = []
        for (row, record), outcome in zip(live, self.encoder.encode(records), strict=True):
            is_text = record.text is not None
            if isinstance(outcome, Drop):
                entries.append((row, 0, outcome, is_text))
            else:
                entries += [(row, number, sample, is_text) for number, sample in enumerate(outcome)]
        facts.tally.update(self.encoder.tally)
        facts.backends.add(self.encoder.backend)
        facts.disagreed = not self.encoder.encoder.agrees(_some_texts(records))
        yield self._table(entries or [(None, 0, None, False)], facts, table.num_rows)

    def _table(
        self,
        entries: Sequence[tuple[int | None, int, EncodedSample | Drop | None, bool]],
        facts: BatchFacts,
        num_rows: int,
    ) -> pa.Table:
        outcomes = [outcome for _, _, outcome, _ in entries]
        samples = [outcome for outcome in outcomes if isinstance(outcome, EncodedSample)]
        drops = [outcome if isinstance(outcome, Drop) else None for outcome in outcomes]
        lengths = [len(outcome.input_ids) if isinstance(outcome, EncodedSample) else 0 for outcome in outcomes]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        ids = _joined([sample.input_ids for sample in samples])
        labels = _joined([sample.labels for sample in samples])
        self._see(ids, labels, offsets, np.array([is_text for *_, is_text in entries]), facts)
        trained = np.concatenate([[0], np.cumsum(labels != IGNORE)])
        only_first = [None] * (len(entries) - 1)
        return pa.table(
            {
                "row": [row for row, *_ in entries],
                "sample": [number for _, number, *_ in entries],
                "input_ids": pa.ListArray.from_arrays(offsets, ids),
                "labels": pa.ListArray.from_arrays(offsets, labels),
                "num_tokens": lengths,
                "num_trained": trained[offsets[1:]] - trained[offsets[:-1]],
                "turns": [_turns(outcome) for outcome in outcomes],
                "digest": [_digest(outcome) for outcome in outcomes],
                "reason": [None if drop is None else drop.reason for drop in drops],
                "detail": [None if drop is None else drop.detail for drop in drops],
                "rows": [num_rows, *only_first],
                "facts": [facts.to_json(), *only_first],
            },
            schema=ENCODED_SCHEMA,
        )

    def _see(
        self,
        ids: npt.NDArray[np.int32],
        labels: npt.NDArray[np.int32],
        offsets: npt.NDArray[np.int32],
        is_text: npt.NDArray[np.bool_],
        facts: BatchFacts,
    ) -> None:
        """Which ids stand before and inside trained runs of chats: what `verify` later holds the shards against."""
        trained = (labels != IGNORE) & ~np.repeat(is_text, np.diff(offsets))
        is_first = np.zeros(len(ids) + 1, bool)
        is_first[offsets] = True
        starts = np.flatnonzero(trained & ~np.concatenate([[False], trained[:-1]]) & ~is_first[:-1])
        if not len(starts):
            return
        sample_starts = offsets[np.searchsorted(offsets, starts, side="right") - 1].astype(np.int64)
        facts.prompts |= self.encoder.prompts_before(ids, starts, sample_starts)
        goes_on = np.concatenate([trained[1:] & ~is_first[1:-1], [False]])
        facts.answer_controls.update(np.unique(ids[trained & self.encoder.is_control[ids] & goes_on]).tolist())


def _some_texts(records: Sequence[Record]) -> list[str]:
    """A few texts of a batch, spread over it, to try the encoder on."""
    some = records[:: max(1, len(records) // CHECKED_TEXTS)][:CHECKED_TEXTS]
    return [(record.text or record.messages[-1].content or "")[:CHECKED_CHARS] for record in some]


def _turns(outcome: EncodedSample | Drop | None) -> list[int] | None:
    return [turn + 1 for turn in outcome.turns] if isinstance(outcome, EncodedSample) else None


def _digest(outcome: EncodedSample | Drop | None) -> bytes | None:
    if not isinstance(outcome, EncodedSample):
        return None
    return sample_digest(outcome.input_ids.data, outcome.labels.data)


def _joined(arrays: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.int32]:
    return np.concatenate(arrays) if arrays else np.empty(0, np.int32)


def _encode_with(settings: EncodeSettings) -> Encode:
    return Encode(RecordEncoder(settings))
