"""Curation as stages over tables: filters and privacy, what texts are compared by, near-duplicates, and overlap with
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

from sftdata.curate.contamination import (
    ContaminationSettings,
    EvaluationIndex,
    find_contamination,
    may_hold_items,
    searched_texts,
)
from sftdata.curate.duplicates.embedding import Encoder, SentenceEncoder, embed
from sftdata.curate.duplicates.jaccard import MappedLists
from sftdata.curate.duplicates.near import NUM_HASHES, answer_chars, find_near_duplicates, sign_texts
from sftdata.curate.duplicates.prefix import PREFIX_BYTES, prefix_key
from sftdata.curate.duplicates.settings import NearConfig
from sftdata.curate.privacy.settings import PrivacyConfig
from sftdata.curate.quality.settings import FilterConfig
from sftdata.curate.words import ComparedText, text_of
from sftdata.records.column import live_records
from sftdata.records.record import Drop, Record

VECTORS_SCHEMA = pa.schema(
    [
        ("vector", pa.binary()),  # null if the row is already dropped or its text is blank
        ("answer_chars", pa.int64()),
    ]
)
COMPARED_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),  # among all rows, as in the next two columns
        ("duplicate_of", pa.int64()),  # -1 if the row is kept
        ("cluster", pa.int64()),
        ("similarity", pa.float64()),  # NaN if the row is kept
        ("limited", pa.bool_()),  # see Verdict
    ]
)
HITS_SCHEMA = pa.schema([("hit", pa.string())])  # the evidence; null if the row holds no evaluation item


@dataclass(frozen=True)
class FilterAndRedact:
    """Quality filters, then privacy, on one record at a time."""

    filters: FilterConfig
    privacy: PrivacyConfig

    @cached_property
    def is_filtering(self) -> bool:
        """Whether any filter is on."""
        return not self.filters.is_off

    @cached_property
    def key(self) -> str:
        """Everything that decides the result besides the record."""
        filters = self.filters.model_dump(mode="json", exclude={"preset"}) if self.is_filtering else None
        privacy = None if self.privacy.mode == "off" else self.privacy.model_dump(mode="json")
        return json.dumps([filters, privacy], sort_keys=True)

    def __call__(self, record: Record) -> tuple[Record, Drop | None, Mapping[str, int]]:
        """The record, redacted if the mode is redact; why it is dropped, or None; counts of its personal data by kind.

        A record that the filters drop is not searched for personal data.
        """
        if self.is_filtering:
            from sftdata.curate.quality.filters import filter_record  # slow to import (ftfy)

            if drop := filter_record(record, self.filters):
                return record, drop, {}
        if self.privacy.mode == "off":
            return record, None, {}
        from sftdata.curate.privacy.redact import describe, redact_record  # compiles large patterns

        redacted, found = redact_record(record, self.privacy)
        if not found:
            return record, None, {}
        counts = Counter(finding.kind for finding in found)
        if self.privacy.mode == "drop":
            return record, Drop("private_data", describe(found)), counts
        return (redacted if self.privacy.mode == "redact" else record), None, counts


@dataclass(frozen=True)
class Sign:
    """Rows -> the MinHash signatures of their texts, one entry per row; null for rows that are already dropped."""

    settings: NearConfig
    name: str = "sign"
    columns: tuple[str, ...] = ("record",)

    @property
    def key(self) -> str:
        """Everything that decides a signature; the threshold and `keep` do not."""
        return f"{self.settings.on} {self.settings.shingle_words}"

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """One entry per row."""
        live = list(live_records(table))
        signed = sign_texts([text_of(record, self.settings.on) for _, record in live], self.settings.shingle_words)
        sizes = np.zeros(table.num_rows, np.int64)
        sizes[[row for row, _ in live]] = np.diff(signed.offsets)
        offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32))
        shingles = pa.ListArray.from_arrays(offsets, pa.array(signed.shingles))
        vectors = _vectors(table.num_rows, live, signed.signatures, signed.is_signed)
        yield vectors.append_column("shingles", shingles)


@dataclass(frozen=True)
class CompareNear:
    """The signatures of one part of the rows -> which of these rows are near-duplicates, in COMPARED_SCHEMA.

    The members have the columns `row`, the row's number among all rows, and `rank`, its place in the order of
    preference.
    """

    settings: NearConfig
    name: str = "compare"
    columns: tuple[str, ...] = ("vector", "shingles")

    @property
    def key(self) -> str:
        """The threshold, and how many are compared. What is compared, and in which order, is part of the input."""
        return f"{self.settings.threshold} {self.settings.max_comparisons}"

    def __call__(self, members: pa.Table, table: pa.Table) -> Iterator[pa.Table]:
        """One entry per member, in the order of preference."""
        members = members.sort_by("rank")
        rows, at = members["row"].to_numpy(), members["at"].to_numpy()
        vectors = table["vector"].take(pa.array(at)).combine_chunks()
        flat = np.frombuffer(vectors.buffers()[2], "<u2")[vectors.offset * NUM_HASHES :][: len(at) * NUM_HASHES]
        signatures = flat.reshape(len(at), NUM_HASHES)
        shingles = MappedLists(table["shingles"], at)
        is_signed, preference = np.ones(len(at), np.bool_), np.arange(len(at))
        verdict = find_near_duplicates(signatures, is_signed, preference, shingles, self.settings)
        duplicate_of = np.where(verdict.duplicate_of >= 0, rows[verdict.duplicate_of], -1)
        columns = [rows, duplicate_of, rows[verdict.cluster], verdict.similarity, verdict.limited]
        yield pa.table(dict(zip(COMPARED_SCHEMA.names, columns)), COMPARED_SCHEMA)


@dataclass(frozen=True)
class Embed:
    """Rows -> the embeddings of their texts, one entry per row; null for rows that are already dropped."""

    folder: str  # of the model
    model_key: str  # a checksum of everything that decides the model's vectors
    on: ComparedText
    name: str = "embed"
    columns: tuple[str, ...] = ("record",)

    @property
    def key(self) -> str:
        """Everything that decides an embedding; the threshold and `keep` do not."""
        return f"{self.on} {self.model_key}"

    @cached_property
    def encoder(self) -> Encoder:
        """The model, loaded on first use."""
        return SentenceEncoder(self.folder)

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """One entry per row."""
        live = list(live_records(table))
        texts = [text_of(record, self.on) for _, record in live]
        no_vectors = np.empty((0, 0), np.float32), np.empty(0, np.bool_)
        vectors, has_vector = embed(texts, self.encoder) if live else no_vectors  # without rows, loads no model
        yield _vectors(table.num_rows, live, vectors, has_vector)


def _vectors(
    num_rows: int,
    live: Sequence[tuple[int, Record]],
    vectors: npt.NDArray[Any],
    has_vector: npt.NDArray[np.bool_],
) -> pa.Table:
    """Vectors of the texts of some of the rows, in VECTORS_SCHEMA; numbers are little-endian."""
    rows = np.array([row for row, _ in live], np.int64)
    valid, lengths = np.zeros(num_rows, np.bool_), np.zeros(num_rows, np.int64)
    valid[rows], lengths[rows] = has_vector, [answer_chars(record) for _, record in live]
    data = np.ascontiguousarray(vectors[has_vector], vectors.dtype.newbyteorder("<"))
    offsets = np.concatenate([[0], np.cumsum(valid)]).astype(np.int32) * np.int32(vectors.itemsize * vectors.shape[1])
    buffers = [np.packbits(valid, bitorder="little"), offsets, data]
    vector = pa.Array.from_buffers(pa.binary(), num_rows, [pa.py_buffer(buffer) for buffer in buffers])
    return pa.table({"vector": vector, "answer_chars": lengths}, VECTORS_SCHEMA)


@dataclass(frozen=True)
class PrefixKeys:
    """Rows -> the key of each prompt's prefix, one entry per row; null for shorter prompts and dropped rows."""

    chars: int
    name: str = "prefix"
    columns: tuple[str, ...] = ("record",)

    @property
    def key(self) -> str:
        """Everything that decides a key."""
        return str(self.chars)

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """One entry per row."""
        keys: list[bytes | None] = [None] * table.num_rows
        for row, record in live_records(table):
            keys[row] = prefix_key(record, self.chars)
        yield pa.table({"prefix": pa.array(keys, pa.binary(PREFIX_BYTES))})


@dataclass(frozen=True)
class Decontaminate:
    """Rows -> the evaluation item that each holds, one entry per row, from the index in `folder`."""

    folder: str
    settings: ContaminationSettings
    items_key: str  # of the index's items
    name: str = "decontaminate"
    columns: tuple[str, ...] = ("record",)

    @cached_property
    def key(self) -> str:
        """Everything that decides the evidence: the items and how they are matched."""
        return json.dumps([self.items_key, asdict(self.settings)])

    @cached_property
    def index(self) -> EvaluationIndex:
        """The index, memory-mapped."""
        return EvaluationIndex.read(Path(self.folder), self.settings)

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """One entry per row. Personal data in the matched text is redacted in the evidence."""
        from sftdata.curate.privacy.redact import redact  # compiles large patterns

        hits: list[str | None] = [None] * table.num_rows
        searched = [(row, searched_texts(record)) for row, record in live_records(table)]
        for number in may_hold_items([turns for _, turns in searched], self.index):
            row, turns = searched[number]
            if hit := find_contamination(turns, self.index):
                hits[row] = redact(str(hit))[0]
        yield pa.table({"hit": hits}, schema=HITS_SCHEMA)


def items_key(items: Iterator[tuple[str, str]]) -> str:
    """A checksum of evaluation items, each its place (file:line) and its text."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(json.dumps(item).encode())
    return digest.hexdigest()
