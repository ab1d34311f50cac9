"""The proof of packed rows: what must be true of their ids and labels for every model, template and dataset."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sftdata.errors import DatasetError
from sftdata.files.regular import shorten
from sftdata.records.labels import IGNORE
from sftdata.store.ledger import PREPARE_AGAIN
from sftdata.store.manifest import TokenizerEntry
from sftdata.store.shards import BATCH_TOKENS

Bools = NDArray[np.bool_]
Ints32 = NDArray[np.int32]
Ints64 = NDArray[np.int64]


@dataclass(frozen=True)
class PackedRows:
    """Some packed rows of a shard as flat arrays. Made by `flatten_batch`, which checks that the arrays fit together.

    ids            all tokens, row by row
    labels         aligned with ids
    sample_starts  where each sample starts in ids; one more entry than samples
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
        """Which tokens are trained."""
        return np.asarray(self.labels != IGNORE)

    @cached_property
    def trained_counts(self) -> Ints64:
        """The number of trained tokens of each sample."""
        counts: Ints64 = np.add.reduceat(self.trained, self.sample_starts[:-1], dtype=np.int64)
        return counts

    @cached_property
    def runs(self) -> tuple[Ints64, Ints64]:
        """First and last token of each run of trained tokens. A run never extends over two samples."""
        before = np.concatenate([np.zeros(1, np.bool_), self.trained[:-1]])
        before[self.sample_starts[:-1]] = False
        after = np.concatenate([self.trained[1:], np.zeros(1, np.bool_)])
        after[self.sample_starts[1:] - 1] = False
        return np.flatnonzero(self.trained & ~before), np.flatnonzero(self.trained & ~after)

    @cached_property
    def run_counts(self) -> Ints64:
        """The number of trained runs of each sample."""
        return np.bincount(self.sample_at(self.runs[0]), minlength=self.num_samples)

    @cached_property
    def row_of_sample(self) -> Ints64:
        """The row of each sample within the shard."""
        return np.repeat(np.arange(len(self.row_starts) - 1), np.diff(self.row_starts)) + self.first_row

    @cached_property
    def index_of_sample(self) -> Ints64:
        """The index of each sample within its row."""
        return np.arange(self.num_samples) - self.row_starts[self.row_of_sample - self.first_row]

    def sample_at(self, tokens: Ints64) -> Ints64:
        """The sample that each of these tokens belongs to."""
        return np.searchsorted(self.sample_starts, tokens, side="right") - 1

    def error_in(self, sample: int, what: str) -> DatasetError:
        """An error that names a sample and what is wrong with it."""
        row, index = int(self.row_of_sample[sample]), int(self.index_of_sample[sample])
        place = f"row {row}, sample {index} (record {shorten(self.record_ids[sample].as_py())})"
        return DatasetError(self.where, f"{place}: {what}", PREPARE_AGAIN)

    def error_at(self, token: int, what: str) -> DatasetError:
        """An error that names a token and what is wrong with it."""
        sample = int(self.sample_at(np.array([token]))[0])
        return self.error_in(sample, f"token {token - int(self.sample_starts[sample])} {what}")


def split_batches(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
    """Split batches into ones of at most about BATCH_TOKENS, to bound memory no matter what wrote the shard."""
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

    Raises DatasetError if a list is null, lengths within a row disagree, or a row is longer than seq_len.
    """
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if column.null_count or column.flatten().null_count:
            raise DatasetError(where, f"has a null in column {name}", PREPARE_AGAIN)
    tokens, labels, samples, records = (
        pc.list_value_length(column).to_numpy().astype(np.int64) for column in batch.columns
    )
    lengths = batch.column("seq_lengths").flatten().to_numpy().astype(np.int64)
    sample_starts = _offsets(lengths)
    row_starts = _offsets(samples)
    sums = sample_starts[row_starts[1:]] - sample_starts[row_starts[:-1]]

    def check(bad: Bools, what: str, *values: NDArray[Any]) -> None:
        if bad.any():
            row = int(np.argmax(bad))
            numbers = [int(value[row]) for value in values]
            raise DatasetError(where, f"row {first_row + row}: {what.format(*numbers)}", PREPARE_AGAIN)

    check(samples == 0, "has no samples")
    check(np.minimum.reduceat(lengths, row_starts[:-1]) < 1, "has an empty sample")
    check(tokens != labels, "has {} input_ids but {} labels", tokens, labels)
    check(tokens != sums, "has {} input_ids, but its seq_lengths sum to {}", tokens, sums)
    check(tokens > seq_len, f"has {{}} tokens, more than seq_len, which is {seq_len}", tokens)
    check(samples != records, "has {} seq_lengths but {} record_ids", samples, records)
    return PackedRows(
        where=where,
        first_row=first_row,
        ids=batch.column("input_ids").flatten().to_numpy(),
        labels=batch.column("labels").flatten().to_numpy(),
        sample_starts=sample_starts,
        row_starts=row_starts,
        record_ids=batch.column("record_ids").flatten(),
    )


def check_ids(rows: PackedRows, vocab_size: int) -> None:
    """Raise DatasetError if an id is outside the vocabulary, or a label is neither the id nor IGNORE."""
    if (wrong := (rows.ids < 0) | (rows.ids >= vocab_size)).any():
        at = int(np.argmax(wrong))
        raise rows.error_at(at, f"has the id {rows.ids[at]}, outside the vocabulary of {vocab_size}")
    if (wrong := rows.trained & (rows.labels != rows.ids)).any():
        at = int(np.argmax(wrong))
        raise rows.error_at(at, f"has the id {rows.ids[at]} but the label {rows.labels[at]}")


@dataclass(slots=True)
class Seen:
    """What the manifest lists of the tokenizer, and was found in the rows that were checked so far."""

    has_chats: bool = False
    prompts: set[tuple[int, ...]] = field(default_factory=set)  # directly before trained runs
    control_ids: set[int] = field(default_factory=set)  # within trained runs, of those that answers may contain


@dataclass(frozen=True)
class Proof:
    """Checks rows against what the manifest says about the tokenizer and the template.

    `cut_len` is set if samples were truncated to that many tokens (`overlong: truncate`): a sample of exactly that
    length may end in the middle of an answer or a text. `split_len` is set if texts were split into pieces of at most
    that many tokens (`overlong: split`): a piece of that length, or one token less, may end in the middle of a text.
    """

    tokenizer: TokenizerEntry
    cut_len: int | None = None
    split_len: int | None = None
    seen: Seen = field(default_factory=Seen)

    def check(self, rows: PackedRows, is_text: Bools) -> None:
        """Raise DatasetError for the first check that fails. `is_text` has one entry per sample.

        Every sample: ids are in the vocabulary, each label is the id or -100, the first token is not trained, and at
        least one other token is.
        A text sample: all other tokens are trained, and it ends in EOS.
        A chat sample: each trained run ends in an end-of-turn token, contains no other one and no foreign control
        token, and comes directly after a generation prompt; BOS appears only at the start.
        """
        check_ids(rows, self.tokenizer.vocab_size)
        if (wrong := rows.trained_counts == 0).any():
            raise rows.error_in(int(np.argmax(wrong)), "no token is trained")
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

    def check_seen(self, where: str) -> None:
        """After all rows: what the manifest lists was found, as it was when all of these rows were encoded.

        Raises DatasetError if not.
        """
        unseen = set(self.tokenizer.generation_prompts) - self.seen.prompts
        if unseen:
            what = f"tokenizer.generation_prompts lists {list(min(unseen))}, which comes before no trained run"
            raise DatasetError(where, what, PREPARE_AGAIN)
        if self.seen.has_chats and not self.tokenizer.generation_prompts:
            raise DatasetError(where, "tokenizer.generation_prompts is empty, but there are chats", PREPARE_AGAIN)
        if self.seen.has_chats and self.tokenizer.answer_control_ids is None:
            raise DatasetError(where, "tokenizer.answer_control_ids is null, but there are chats", PREPARE_AGAIN)
        if unused := set(self.tokenizer.answer_control_ids or ()) - self.seen.control_ids:
            what = f"tokenizer.answer_control_ids lists {min(unused)}, which is in no trained run"
            raise DatasetError(where, what, PREPARE_AGAIN)

    def _check_text(self, rows: PackedRows, starts: Ints64, ends: Ints64) -> None:
        """Text is one run from the second token to the last: nothing predicts the first, whether it is BOS or text."""
        samples = rows.sample_at(starts)
        first, last = rows.sample_starts[samples], rows.sample_starts[samples + 1] - 1
        if (wrong := (starts != first + 1) | (ends != last)).any():
            raise rows.error_in(int(samples[np.argmax(wrong)]), "it is plain text, but not all of it is trained")
        is_cut = self._is_cut(rows, ends) | self._is_piece(rows, samples)
        if (wrong := (rows.ids[ends] != self.tokenizer.eos_id) & ~is_cut).any():
            at = int(ends[np.argmax(wrong)])
            raise rows.error_at(at, f"ends a plain text, but its id {rows.ids[at]} is not EOS")

    def _check_ends(self, rows: PackedRows, ends: Ints64, chat_token: Bools) -> None:
        """Each trained run of a chat contains one end-of-turn token, its last token, and no foreign control token."""
        is_end = self._id_mask(self.tokenizer.end_of_turn_ids)
        if (wrong := ~is_end[rows.ids[ends]] & ~self._is_cut(rows, ends)).any():
            at = int(ends[np.argmax(wrong)])
            raise rows.error_at(at, f"ends a trained run, but its id {rows.ids[at]} is not an end-of-turn token")
        inside = rows.trained & chat_token
        inside[ends[is_end[rows.ids[ends]]]] = False
        if (wrong := inside & is_end[rows.ids]).any():
            at = int(np.argmax(wrong))
            raise rows.error_at(at, f"is an end-of-turn token ({rows.ids[at]}) in the middle of a trained run")
        if self.tokenizer.answer_control_ids is None:
            return
        foreign = self._id_mask(self.tokenizer.control_ids) & ~self._id_mask(self.tokenizer.answer_control_ids)
        if (wrong := inside & foreign[rows.ids]).any():
            at = int(np.argmax(wrong))
            raise rows.error_at(at, f"is a control token ({rows.ids[at]}) that the template never writes in answers")
        inside[ends] = False
        in_answers = inside & self._id_mask(self.tokenizer.answer_control_ids)[rows.ids]
        self.seen.control_ids.update(np.unique(rows.ids[in_answers]).tolist())

    def _is_cut(self, rows: PackedRows, ends: Ints64) -> Bools:
        """Which of these run ends are where a sample was truncated."""
        samples = rows.sample_at(ends)
        starts, stops = rows.sample_starts[samples], rows.sample_starts[samples + 1]
        return np.asarray((stops - starts == self.cut_len) & (ends == stops - 1))

    def _is_piece(self, rows: PackedRows, samples: Ints64) -> Bools:
        """Which of these samples may be pieces of a text with another piece after them."""
        if self.split_len is None:
            return np.zeros(len(samples), np.bool_)
        return np.diff(rows.sample_starts)[samples] >= self.split_len - 1

    def _check_prompts(self, rows: PackedRows, starts: Ints64) -> None:
        """A generation prompt comes directly before each trained run of a chat, within the sample."""
        prompts = self.tokenizer.generation_prompts
        self.seen.has_chats |= len(starts) > 0
        if not prompts:
            return
        room = starts - rows.sample_starts[rows.sample_at(starts)]
        unproven = np.ones(len(starts), np.bool_)
        for length in sorted({len(prompt) for prompt in prompts}, reverse=True):  # as when they were found
            known = {np.array(prompt, np.int32).tobytes(): prompt for prompt in prompts if len(prompt) == length}
            possible = np.flatnonzero(unproven & (room >= length))
            before = rows.ids[starts[possible, np.newaxis] + np.arange(-length, 0)]
            windows = before.view(f"V{4 * length}").ravel().tolist()
            unproven[possible] = [window not in known for window in windows]
            self.seen.prompts.update(known[window] for window in known.keys() & set(windows))
        if unproven.any():
            at = int(starts[np.argmax(unproven)])
            raise rows.error_at(at, "starts a trained run, but there is no generation prompt directly before it")

    def _check_bos(self, rows: PackedRows, chat_token: Bools) -> None:
        """BOS appears only at the start of a chat. Not checked if BOS is also a turn marker."""
        bos = self.tokenizer.bos_id
        turn_markers = (
            *self.tokenizer.end_of_turn_ids,
            *(id_ for ids in self.tokenizer.generation_prompts for id_ in ids),
        )
        if bos is None or bos in turn_markers or not self.tokenizer.generation_prompts:
            return
        wrong = (rows.ids == bos) & chat_token
        wrong[rows.sample_starts[:-1]] = False
        if wrong.any():
            raise rows.error_at(int(np.argmax(wrong)), f"is BOS ({bos}) in the middle of a sample")

    def _id_mask(self, ids: Iterable[int]) -> Bools:
        """A boolean array over the vocabulary: true for `ids`."""
        mask = np.zeros(self.tokenizer.vocab_size, np.bool_)
        mask[list(ids)] = True
        return mask


def _offsets(lengths: Ints64) -> Ints64:
    """Where each of these starts, and where the last one ends."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
