"""The proof of packed rows: what must hold of their numbers whatever model, template or data they were made for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sftdata.errors import DatasetError
from sftdata.records.labels import IGNORE
from sftdata.store.manifest import TokenizerEntry
from sftdata.store.shards import BATCH_TOKENS

PREPARE_AGAIN = "prepare the dataset again"

Bools = NDArray[np.bool_]
Ints32 = NDArray[np.int32]
Ints64 = NDArray[np.int64]


@dataclass(frozen=True)
class PackedRows:
    """Some packed rows of a shard as flat arrays. Made by `flatten_batch`, which has checked that they fit together.

    ids            all tokens, row after row
    labels         aligned with ids
    sample_starts  where each sample begins in ids; one more entry than samples
    row_starts     the number of samples before each row; one more entry than rows
    record_ids     one per sample
    """

    where: str  # the shard's path, for messages
    first_row: int  # the number of the first row within the shard
    ids: Ints32
    labels: Ints32
    sample_starts: Ints64
    row_starts: Ints64
    record_ids: Any

    @property
    def num_samples(self) -> int:
        """The number of samples."""
        return len(self.sample_starts) - 1

    @cached_property
    def trained(self) -> Bools:
        """Which tokens have a label."""
        return np.asarray(self.labels != IGNORE)

    @cached_property
    def trained_counts(self) -> Ints64:
        """The trained tokens of each sample."""
        counts: Ints64 = np.add.reduceat(self.trained, self.sample_starts[:-1], dtype=np.int64)
        return counts

    @cached_property
    def runs(self) -> tuple[Ints64, Ints64]:
        """First and last token of each stretch of trained tokens; a run ends where its sample ends."""
        before = np.concatenate([np.zeros(1, np.bool_), self.trained[:-1]])
        before[self.sample_starts[:-1]] = False
        after = np.concatenate([self.trained[1:], np.zeros(1, np.bool_)])
        after[self.sample_starts[1:] - 1] = False
        return np.flatnonzero(self.trained & ~before), np.flatnonzero(self.trained & ~after)

    @cached_property
    def run_counts(self) -> Ints64:
        """The trained runs of each sample."""
        return np.bincount(self.sample_at(self.runs[0]), minlength=self.num_samples)

    @cached_property
    def row_of_sample(self) -> Ints64:
        """The row of each sample, counted within the shard."""
        return np.repeat(np.arange(len(self.row_starts) - 1), np.diff(self.row_starts)) + self.first_row

    @cached_property
    def index_of_sample(self) -> Ints64:
        """The place of each sample within its row."""
        return np.arange(self.num_samples) - self.row_starts[self.row_of_sample - self.first_row]

    def sample_at(self, tokens: Ints64) -> Ints64:
        """The sample that each of these tokens belongs to."""
        return np.searchsorted(self.sample_starts, tokens, side="right") - 1

    def error_in(self, sample: int, what: str) -> DatasetError:
        """What is wrong with a sample, and where it is."""
        row, index = int(self.row_of_sample[sample]), int(self.index_of_sample[sample])
        place = f"row {row}, sample {index} (record {self.record_ids[sample].as_py()})"
        return DatasetError(self.where, f"{place}: {what}", PREPARE_AGAIN)

    def error_at(self, token: int, what: str) -> DatasetError:
        """What is wrong with a token, and where it is."""
        sample = int(self.sample_at(np.array([token]))[0])
        return self.error_in(sample, f"token {token - int(self.sample_starts[sample])} {what}")


def split_batches(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
    """The same rows in batches of about BATCH_TOKENS at most, so that memory is bounded whoever wrote them."""
    for batch in batches:
        ends = np.cumsum(pc.list_value_length(batch.column("input_ids")).fill_null(0).to_numpy(zero_copy_only=False))
        start = 0
        while start < batch.num_rows:
            before = int(ends[start - 1]) if start else 0
            end = max(start + 1, int(np.searchsorted(ends, before + BATCH_TOKENS, side="right")))
            yield batch.slice(start, end - start)
            start = end


def flatten_batch(batch: pa.RecordBatch, where: str, first_row: int, seq_len: int) -> PackedRows:
    """The rows of a record batch as flat arrays.

    Raises DatasetError where a list is null, lengths within a row do not agree, or a row is longer than seq_len.
    """
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if column.null_count or column.flatten().null_count:
            raise DatasetError(where, f"holds a null in the column {name}", PREPARE_AGAIN)
    tokens, labels, samples, records = (
        pc.list_value_length(column).to_numpy().astype(np.int64) for column in batch.columns
    )
    lengths = batch.column("seq_lengths").flatten().to_numpy().astype(np.int64)
    sample_starts = _starts(lengths)
    row_starts = _starts(samples)
    sums = sample_starts[row_starts[1:]] - sample_starts[row_starts[:-1]]

    def check(bad: Bools, what: str, *values: NDArray[Any]) -> None:
        if bad.any():
            row = int(np.argmax(bad))
            numbers = [int(value[row]) for value in values]
            raise DatasetError(where, f"row {first_row + row}: {what.format(*numbers)}", PREPARE_AGAIN)

    check(samples == 0, "holds no sample")
    check(np.minimum.reduceat(lengths, row_starts[:-1]) < 1, "holds an empty sample")
    check(tokens != labels, "holds {} input_ids but {} labels", tokens, labels)
    check(tokens != sums, "holds {} input_ids, but its seq_lengths sum to {}", tokens, sums)
    check(tokens > seq_len, f"holds {{}} tokens, more than the {seq_len} of seq_len", tokens)
    check(samples != records, "holds {} seq_lengths but {} record_ids", samples, records)
    return PackedRows(
        where=where,
        first_row=first_row,
        ids=batch.column("input_ids").flatten().to_numpy(),
        labels=batch.column("labels").flatten().to_numpy(),
        sample_starts=sample_starts,
        row_starts=row_starts,
        record_ids=batch.column("record_ids").flatten(),
    )


@dataclass(frozen=True)
class Proof:
    """Checks rows against what the manifest says of the tokenizer and the template.

    `cut_len`, where samples were cut to that many tokens (`overlong: truncate`): one of just that length may end in
    the middle of an answer or a text.
    """

    tokenizer: TokenizerEntry
    cut_len: int | None = None

    def check(self, rows: PackedRows, is_text: Bools) -> None:
        """Raise DatasetError with the first thing that does not hold. `is_text` has one entry per sample.

        Every sample: ids are in the vocabulary, each label is the id or -100, the first token is not trained, at least
        one other is.
        A text sample: everything else is trained, and it ends in EOS.
        A chat sample: each trained run ends in an end-of-turn token, holds no other one and no foreign control token,
        and stands directly behind a generation prompt; BOS stands at the start only.
        """
        self._check_tokens(rows)
        chat = ~is_text
        if (wrong := rows.trained[rows.sample_starts[:-1]]).any():
            raise rows.error_in(
                int(np.argmax(wrong)), "its first token is trained, with nothing before it to predict it"
            )
        starts, ends = rows.runs
        run_is_text = is_text[rows.sample_at(starts)]
        self._check_text(rows, starts[run_is_text], ends[run_is_text])
        chat_token = np.repeat(chat, np.diff(rows.sample_starts))
        self._check_ends(rows, ends[~run_is_text], chat_token)
        self._check_prompts(rows, starts[~run_is_text])
        self._check_bos(rows, chat_token)

    def _check_tokens(self, rows: PackedRows) -> None:
        vocab_size = self.tokenizer.vocab_size
        if (wrong := (rows.ids < 0) | (rows.ids >= vocab_size)).any():
            at = int(np.argmax(wrong))
            raise rows.error_at(at, f"has the id {rows.ids[at]}, outside the vocabulary of {vocab_size}")
        if (wrong := rows.trained & (rows.labels != rows.ids)).any():
            at = int(np.argmax(wrong))
            raise rows.error_at(at, f"has the id {rows.ids[at]} but the label {rows.labels[at]}")
        if (wrong := rows.trained_counts == 0).any():
            raise rows.error_in(int(np.argmax(wrong)), "no token is trained")

    def _check_text(self, rows: PackedRows, starts: Ints64, ends: Ints64) -> None:
        """Text is one run from the second token to the last: nothing predicts the first, be it BOS or text."""
        samples = rows.sample_at(starts)
        first, last = rows.sample_starts[samples], rows.sample_starts[samples + 1] - 1
        if (wrong := (starts != first + 1) | (ends != last)).any():
            raise rows.error_in(int(samples[np.argmax(wrong)]), "it is plain text, but not trained on whole")
        if (wrong := (rows.ids[ends] != self.tokenizer.eos_id) & ~self._is_cut(rows, ends)).any():
            at = int(ends[np.argmax(wrong)])
            raise rows.error_at(at, f"ends a plain text, but its id {rows.ids[at]} is not EOS")

    def _check_ends(self, rows: PackedRows, ends: Ints64, chat_token: Bools) -> None:
        """Each trained run of a chat holds one end-of-turn token, the last, and no control token of another role."""
        is_end = self._table(self.tokenizer.end_of_turn_ids)
        if (wrong := ~is_end[rows.ids[ends]] & ~self._is_cut(rows, ends)).any():
            at = int(ends[np.argmax(wrong)])
            raise rows.error_at(at, f"ends a trained run, but its id {rows.ids[at]} is no end-of-turn token")
        inside = rows.trained & chat_token
        inside[ends[is_end[rows.ids[ends]]]] = False
        if (wrong := inside & is_end[rows.ids]).any():
            at = int(np.argmax(wrong))
            raise rows.error_at(at, f"is an end-of-turn token ({rows.ids[at]}) in the middle of a trained run")
        if self.tokenizer.answer_control_ids is None:
            return
        foreign = self._table(self.tokenizer.control_ids) & ~self._table(self.tokenizer.answer_control_ids)
        if (wrong := inside & foreign[rows.ids]).any():
            at = int(np.argmax(wrong))
            raise rows.error_at(at, f"is a control token ({rows.ids[at]}) that the template writes in no answer")

    def _is_cut(self, rows: PackedRows, ends: Ints64) -> Bools:
        """Which of these ends of runs are where a sample was cut."""
        samples = rows.sample_at(ends)
        first, behind = rows.sample_starts[samples], rows.sample_starts[samples + 1]
        return np.asarray((behind - first == self.cut_len) & (ends == behind - 1))

    def _check_prompts(self, rows: PackedRows, starts: Ints64) -> None:
        """A generation prompt stands directly before each trained run of a chat, within the sample."""
        prompts = self.tokenizer.generation_prompts
        if not prompts:
            return
        room = starts - rows.sample_starts[rows.sample_at(starts)]
        proven = np.zeros(len(starts), np.bool_)
        for length in sorted({len(prompt) for prompt in prompts}):
            known = {np.array(prompt, np.int32).tobytes() for prompt in prompts if len(prompt) == length}
            open_ = np.flatnonzero(~proven & (room >= length))
            before = rows.ids[starts[open_, np.newaxis] + np.arange(-length, 0)]
            proven[open_] = [window in known for window in before.view(f"V{4 * length}").ravel().tolist()]
        if not proven.all():
            at = int(starts[np.argmin(proven)])
            raise rows.error_at(at, "begins a trained run, but no generation prompt stands directly before it")

    def _check_bos(self, rows: PackedRows, chat_token: Bools) -> None:
        """BOS stands at the start of a chat or nowhere; where it is also a turn marker, this says nothing."""
        bos = self.tokenizer.bos_id
        marker = (*self.tokenizer.end_of_turn_ids, *(id_ for ids in self.tokenizer.generation_prompts for id_ in ids))
        if bos is None or bos in marker or not self.tokenizer.generation_prompts:
            return
        wrong = (rows.ids == bos) & chat_token
        wrong[rows.sample_starts[:-1]] = False
        if wrong.any():
            raise rows.error_at(int(np.argmax(wrong)), f"is BOS ({bos}) in the middle of a sample")

    def _table(self, ids: Iterable[int]) -> Bools:
        """Which ids of the vocabulary are among `ids`."""
        table = np.zeros(self.tokenizer.vocab_size, np.bool_)
        table[list(ids)] = True
        return table


def _starts(lengths: Ints64) -> Ints64:
    """Where each of these begins, and where the last one ends."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
