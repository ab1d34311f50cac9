"""Samples longer than a packed row: conversations split into windows of later turns, texts into pieces; or truncated.

system user A1 user A2 user A3      too long
system user A1 user A2              window 1: A1 and A2 are trained
system         user A2 user A3      window 2: A3 is trained, with as much history as fits
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sftdata.encode.encoded import EncodedSample
from sftdata.records.labels import IGNORE
from sftdata.records.record import Drop, Message, Record

EncodeRecord = Callable[[Record], "list[EncodedSample] | Drop"]


def fits(samples: Sequence[EncodedSample], seq_len: int) -> bool:
    """Whether every sample fits into a packed row."""
    return all(len(sample.input_ids) <= seq_len for sample in samples)


def split_windows(
    record: Record, trained: Sequence[int], seq_len: int, encode: EncodeRecord
) -> tuple[list[EncodedSample], list[int]]:
    """Samples of windows of the conversation that fit, and the trained turns that fit in no window.

    A window is the system prompt, followed by the turns from some user turn on. Each trained turn is trained in exactly
    one window. A window takes as much history as fits before its first trained turn, then as many further trained turns
    as fit.
    """
    samples: list[EncodedSample] = []
    too_long: list[int] = []
    remaining = list(trained)
    while remaining:
        found = _longest_window(record, remaining[0], seq_len, encode)
        if found is None:
            too_long.append(remaining.pop(0))
            continue
        start, window = found
        count = 1
        while count < len(remaining):
            longer = encode_window(record, start, remaining[: count + 1], encode)
            if isinstance(longer, Drop) or not fits(longer, seq_len):
                break
            window, count = longer, count + 1
        samples += window
        remaining = remaining[count:]
    return samples, too_long


def _longest_window(
    record: Record, turn: int, seq_len: int, encode: EncodeRecord
) -> tuple[int, list[EncodedSample]] | None:
    """The earliest start of a window that ends with `turn` and fits, with its samples; None if no window fits.

    Found by bisection: an earlier start never makes a window shorter.
    """
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


def encode_window(
    record: Record, start: int, trained: Sequence[int], encode: EncodeRecord
) -> list[EncodedSample] | Drop:
    """The samples of the system prompt and the turns from `start` to the last trained turn. Trains only `trained`, and
    all of them.
    """
    head = [i for i, message in enumerate(record.messages[:start]) if message.role in ("system", "developer")]
    kept = [*head, *range(start, trained[-1] + 1)]
    messages = tuple(_with_train(record.messages[i], i in trained) for i in kept)
    outcome = encode(record.replaced(messages=messages))
    if isinstance(outcome, Drop):
        return outcome
    if sum(len(sample.turns) for sample in outcome) < len(trained):
        return Drop("unproven_mask", "a turn of the window cannot be proven")
    return [sample._replace(turns=tuple(kept[turn] for turn in sample.turns)) for sample in outcome]


def _with_train(message: Message, is_trained: bool) -> Message:
    return message._replace(train=is_trained) if message.role == "assistant" else message


def split_text(sample: EncodedSample, seq_len: int, bos_id: int | None) -> list[EncodedSample]:
    """The sample of a plain text cut into pieces of at most seq_len tokens, each token trained as often as before.

    text    <s> a b c d e </s>
    pieces  <s> a b c | <s> d e </s>      with BOS: before each piece, not trained
    text    a b c d e </s>
    pieces  a b c d | d e </s>            without: the token before the piece, not trained, so that its first one is

    Only the last piece has EOS: the text goes on after the others. A piece is never EOS alone. Piece k trains turn k.
    """
    ids = sample.input_ids
    room = seq_len - 1
    pieces: list[EncodedSample] = []
    start = 1  # of the trained tokens; the one before it is BOS, or the first of the text
    while start < len(ids):
        stop = min(start + room, len(ids))
        if stop == len(ids) - 1 and stop - start > 1:
            stop -= 1
        before = ids[:1] if bos_id is not None and ids[0] == bos_id else ids[start - 1 : start]
        piece = np.concatenate([before, ids[start:stop]])
        labels = piece.copy()
        labels[0] = IGNORE
        pieces.append(EncodedSample(piece, labels, (len(pieces),)))
        start = stop
    return pieces


def truncate(sample: EncodedSample, seq_len: int) -> EncodedSample | None:
    """The first seq_len tokens of a sample; None if none of them is trained. May cut its last answer short."""
    labels = sample.labels[:seq_len]
    if not np.any(labels != IGNORE):
        return None
    trained = labels != IGNORE
    num_runs = int(np.count_nonzero(trained & ~np.concatenate([[False], trained[:-1]])))
    return EncodedSample(sample.input_ids[:seq_len], labels, sample.turns[:num_runs])
