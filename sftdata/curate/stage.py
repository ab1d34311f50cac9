"""Curation as stages, over tables: the verdict on one record by itself, what its text is compared by, and overlap with
evaluation sets.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sftdata.curate.contamination import ContaminationSettings, Index, find_contamination, turns_of
from sftdata.curate.duplicates.embedding import Encoder, SentenceEncoder, embed
from sftdata.curate.duplicates.jaccard import MappedLists
from sftdata.curate.duplicates.near import NUM_HASHES, answer_chars, find_near_duplicates, sign
from sftdata.curate.duplicates.prefix import PREFIX_BYTES, prefix_key
from sftdata.curate.duplicates.settings import NearConfig
from sftdata.curate.privacy.redact import describe, redact, redact_record
from sftdata.curate.privacy.settings import PrivacyConfig
from sftdata.curate.quality.settings import FilterConfig
from sftdata.curate.words import On, text_of
from sftdata.records.column import live_records
from sftdata.records.record import Drop, Record

VECTORS_SCHEMA = pa.schema(
    [
        ("vector", pa.binary()),  # null where the row is dropped already or its text is blank
        ("answer_chars", pa.int64()),
    ]
)
COMPARED_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),  # of all rows, as the next two
        ("duplicate_of", pa.int64()),  # -1 where the row is kept
        ("cluster", pa.int64()),
        ("similarity", pa.float64()),  # NaN where the row is kept
    ]
)
CHECKED_SCHEMA = pa.schema([("hit", pa.string())])  # the evidence; null where no evaluation item is in the row


@dataclass(frozen=True)
class Judge:
    """What becomes of a record by itself: filters, then privacy."""

    filters: FilterConfig
    privacy: PrivacyConfig

    @cached_property
    def is_filtering(self) -> bool:
        """Whether a filter is on."""
        return not self.filters.is_off

    @cached_property
    def key(self) -> str:
        """All that decides the verdict besides the record."""
        filters = self.filters.model_dump(mode="json", exclude={"preset"}) if self.is_filtering else None
        privacy = None if self.privacy.mode == "off" else self.privacy.model_dump(mode="json")
        return json.dumps([filters, privacy], sort_keys=True)

    def __call__(self, record: Record) -> tuple[Record, Drop | None, Mapping[str, int]]:
        """The record, redacted where that is asked for; why it is dropped, if it is; its personal data, by kind.

        A record that the filters drop is not searched for personal data.
        """
        if self.is_filtering:
            from sftdata.curate.quality.filters import filter_record  # imports ftfy, which takes a moment

            if drop := filter_record(record, self.filters):
                return record, drop, {}
        if self.privacy.mode == "off":
            return record, None, {}
        redacted, found = redact_record(record, self.privacy)
        if not found:
            return record, None, {}
        counts = Counter(finding.kind for finding in found)
        if self.privacy.mode == "drop":
            return record, Drop("private_data", describe(found)), counts
        return (redacted if self.privacy.mode == "redact" else record), None, counts


@dataclass(frozen=True)
class Sign:
    """Rows -> the signatures of their texts, one entry a row. Rows that are dropped already have none."""

    settings: NearConfig
    name: str = "sign"
    columns: tuple[str, ...] = ("record",)

    @property
    def key(self) -> str:
        """What decides a signature: not the threshold, nor who is kept."""
        return f"{self.settings.on} {self.settings.shingle_words}"

    def is_reusable(self, result: pa.Table) -> bool:
        """Yes: the signatures are all there is."""
        return True

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """An entry for each row."""
        live = list(live_records(table))
        signed = sign([text_of(record, self.settings.on) for _, record in live], self.settings.shingle_words)
        sizes = np.zeros(table.num_rows, np.int64)
        sizes[[row for row, _ in live]] = np.diff(signed.offsets)
        offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32))
        shingles = pa.ListArray.from_arrays(offsets, pa.array(signed.shingles))
        vectors = _vectors(table.num_rows, live, signed.signatures, signed.is_signed)
        yield vectors.append_column("shingles", shingles)


@dataclass(frozen=True)
class CompareNear:
    """The signatures of rows that may be near-duplicates of each other -> which of them are.

    Beside each row are its number (`row`) and its place in the order of preference (`rank`).
    """

    settings: NearConfig
    name: str = "compare"
    columns: tuple[str, ...] = ("vector", "shingles")

    @property
    def key(self) -> str:
        """The similarity from which rows are near-duplicates. What is compared and who is kept is in the input."""
        return str(self.settings.threshold)

    def is_reusable(self, result: pa.Table) -> bool:
        """Yes: the verdict is all there is."""
        return True

    def __call__(self, members: pa.Table, table: pa.Table) -> Iterator[pa.Table]:
        """An entry for each row, in the order of preference."""
        members = members.sort_by("rank")
        rows, at = members["row"].to_numpy(), members["at"].to_numpy()
        vectors = table["vector"].take(pa.array(at)).combine_chunks()
        flat = np.frombuffer(vectors.buffers()[2], "<u2")[vectors.offset * NUM_HASHES :][: len(at) * NUM_HASHES]
        signatures = flat.reshape(len(at), NUM_HASHES)
        shingles = MappedLists(table["shingles"], at)
        verdict = find_near_duplicates(
            signatures, np.ones(len(at), np.bool_), np.arange(len(at)), shingles, self.settings
        )
        duplicate_of = np.where(verdict.duplicate_of >= 0, rows[verdict.duplicate_of], -1)
        columns = [rows, duplicate_of, rows[verdict.cluster], verdict.similarity]
        yield pa.table(dict(zip(COMPARED_SCHEMA.names, columns)), COMPARED_SCHEMA)


@dataclass(frozen=True)
class Embed:
    """Rows -> the embeddings of their texts, one entry a row. Rows that are dropped already have none."""

    folder: str  # of the model
    model_key: str  # a checksum of all that decides what the model makes of a text
    on: On
    name: str = "embed"
    columns: tuple[str, ...] = ("record",)

    @property
    def key(self) -> str:
        """What decides an embedding: not the threshold, nor who is kept."""
        return f"{self.on} {self.model_key}"

    @cached_property
    def encoder(self) -> Encoder:
        """The model, loaded by the first row that needs it."""
        return SentenceEncoder(self.folder)

    def is_reusable(self, result: pa.Table) -> bool:
        """Yes: the embeddings are all there is."""
        return True

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """An entry for each row."""
        live = list(live_records(table))
        texts = [text_of(record, self.on) for _, record in live]
        vectors, has_one = embed(texts, self.encoder) if live else (np.empty((0, 0), np.float32), np.empty(0, np.bool_))
        yield _vectors(table.num_rows, live, vectors, has_one)


def _vectors(
    num_rows: int,
    live: Sequence[tuple[int, Record]],
    vectors: npt.NDArray[Any],
    has_one: npt.NDArray[np.bool_],
) -> pa.Table:
    """Vectors of the texts of some of the rows, in VECTORS_SCHEMA, the low byte of a number first."""
    rows = np.array([row for row, _ in live], np.int64)
    valid, lengths = np.zeros(num_rows, np.bool_), np.zeros(num_rows, np.int64)
    valid[rows], lengths[rows] = has_one, [answer_chars(record) for _, record in live]
    data = np.ascontiguousarray(vectors[has_one], vectors.dtype.newbyteorder("<"))
    offsets = np.concatenate([[0], np.cumsum(valid)]).astype(np.int32) * np.int32(vectors.itemsize * vectors.shape[1])
    buffers = [np.packbits(valid, bitorder="little"), offsets, data]
    vector = pa.Array.from_buffers(pa.binary(), num_rows, [pa.py_buffer(buffer) for buffer in buffers])
    return pa.table({"vector": vector, "answer_chars": lengths}, VECTORS_SCHEMA)


@dataclass(frozen=True)
class PrefixKeys:
    """Rows -> the key of the start of each prompt, one entry a row; null where it is shorter, or the row is dropped."""

    chars: int
    name: str = "prefix"
    columns: tuple[str, ...] = ("record",)

    @property
    def key(self) -> str:
        """What decides a key."""
        return str(self.chars)

    def is_reusable(self, result: pa.Table) -> bool:
        """Yes: the keys are all there is."""
        return True

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """An entry for each row."""
        keys: list[bytes | None] = [None] * table.num_rows
        for row, record in live_records(table):
            keys[row] = prefix_key(record, self.chars)
        yield pa.table({"prefix": pa.array(keys, pa.binary(PREFIX_BYTES))})


@dataclass(frozen=True)
class Decontaminate:
    """Rows -> the evidence for each row that holds an item of the index in `folder`, one entry a row."""

    folder: str
    settings: ContaminationSettings
    items_key: str  # of the index's items
    name: str = "decontaminate"
    columns: tuple[str, ...] = ("record",)

    @cached_property
    def key(self) -> str:
        """What decides the evidence: the items and how they are matched."""
        return json.dumps([self.items_key, asdict(self.settings)])

    @cached_property
    def index(self) -> Index:
        """The index, mapped into memory."""
        return Index.read(Path(self.folder), self.settings)

    def is_reusable(self, result: pa.Table) -> bool:
        """Yes: the evidence is all there is."""
        return True

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """An entry for each row. Personal data in the matched text is replaced in the evidence."""
        hits: list[str | None] = [None] * table.num_rows
        for row, record in live_records(table):
            if hit := find_contamination(turns_of(record), self.index):
                hits[row] = redact(str(hit))[0]
        yield pa.table({"hit": hits}, schema=CHECKED_SCHEMA)


def items_key(items: Iterator[tuple[str, str]]) -> str:
    """A checksum of evaluation items: where each stands, and its text."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(json.dumps(item).encode())
    return digest.hexdigest()
