"""Conversations longer than a packed row: windows of later turns, or, for those who insist, cut samples.

system user A1 user A2 user A3      does not fit; A3 needs A2 to fit
system user A1 user A2              A1 and A2 trained
system         user A2 user A3      A3 trained, with as much history as fits
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sftdata.encode.encoded import EncodedSample
from sftdata.records.labels import IGNORE
from sftdata.records.record import Drop, Message, Record

Encode = Callable[[Record], "list[EncodedSample] | Drop"]


def fits(samples: Sequence[EncodedSample], seq_len: int) -> bool:
    """Whether every sample has its place in a packed row."""
    return all(len(sample.input_ids) <= seq_len for sample in samples)


def split_windows(
    record: Record, trained: Sequence[int], seq_len: int, encode: Encode
) -> tuple[list[EncodedSample], list[int]]:
    """Samples of windows of the conversation that fit, each trained turn once; and the turns that fit in none.

    A window is the system prompt, then the turns from some user's turn on. Each takes as much history as fits before
    its first trained turn, then as many further trained turns as fit.
    """
    samples: list[EncodedSample] = []
    lost: list[int] = []
    left = list(trained)
    while left:
        found = _longest_window(record, left[0], seq_len, encode)
        if found is None:
            lost.append(left.pop(0))
            continue
        start, window = found
        count = 1
        while count < len(left):
            longer = encode_window(record, start, left[: count + 1], encode)
            if isinstance(longer, Drop) or not fits(longer, seq_len):
                break
            window, count = longer, count + 1
        samples += window
        left = left[count:]
    return samples, lost


def _longest_window(record: Record, turn: int, seq_len: int, encode: Encode) -> tuple[int, list[EncodedSample]] | None:
    """The earliest start from which a window that ends with `turn` fits, by bisection: a longer history is longer."""
    starts = [i for i in range(turn) if record.messages[i].role == "user"]
    best: tuple[int, list[EncodedSample]] | None = None
    low, high = 0, len(starts)
    while low < high:
        middle = (low + high) // 2
        window = encode_window(record, starts[middle], [turn], encode)
        if not isinstance(window, Drop) and fits(window, seq_len):
            best, high = (starts[middle], window), middle
        else:
            low = middle + 1
    return best


def encode_window(record: Record, start: int, trained: Sequence[int], encode: Encode) -> list[EncodedSample] | Drop:
    """The samples of the system prompt and the turns from `start` to the last trained one; only those are trained."""
    head = [i for i, message in enumerate(record.messages[:start]) if message.role in ("system", "developer")]
    kept = [*head, *range(start, trained[-1] + 1)]
    messages = tuple(_trained_or_not(record.messages[i], i in trained) for i in kept)
    outcome = encode(record.replaced(messages=messages))
    if isinstance(outcome, Drop):
        return outcome
    return [sample._replace(turns=tuple(kept[turn] for turn in sample.turns)) for sample in outcome]


def _trained_or_not(message: Message, is_trained: bool) -> Message:
    return message._replace(train=is_trained) if message.role == "assistant" else message


def truncate(sample: EncodedSample, seq_len: int) -> EncodedSample | None:
    """The sample cut at its end; None where no trained token is left. Its last answer may now lack its end."""
    labels = sample.labels[:seq_len]
    if not np.any(labels != IGNORE):
        return None
    trained = labels != IGNORE
    num_runs = int(np.count_nonzero(trained & ~np.concatenate([[False], trained[:-1]])))
    return EncodedSample(sample.input_ids[:seq_len], labels, sample.turns[:num_runs])
