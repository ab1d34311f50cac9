"""Guarded samples -> input_ids and labels, with checks that prove every trained run.

pieces     <u> hi </u><a>   yo </a>   \\n
input_ids  5 17 6 7         23 6      12
labels     .  .  . .        23 6      .        (. is -100; labels are not shifted, the model does that)

The checks on every sample, called invariants below:

- its control tokens are those that the template wrote, and it does not start with two BOS tokens
- every completion is one run of trained tokens
- every trained run ends with an end-of-turn token, and its tokens decode to the text of the completion
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sftdata.encode.encoded import EncodedBatch, EncodedSample
from sftdata.encode.proof.guarded_samples import GuardedBatch, GuardedSample
from sftdata.encode.tokenizer.control import ControlTokens, private_name
from sftdata.encode.tokenizer.encoder import Encoder, Ids
from sftdata.encode.tokenizer.vocabulary import Vocabulary
from sftdata.records.labels import IGNORE, labels_of
from sftdata.records.record import Drop


class MaskProver:
    """Encodes guarded samples with one tokenizer and checks every invariant on every sample."""

    def __init__(
        self,
        encoder: Encoder,
        vocabulary: Vocabulary,
        control: ControlTokens,
        end_ids: Sequence[int],
        bos_id: int | None,
    ) -> None:
        self._encoder = encoder
        self._bos_id = bos_id
        self._vocabulary = vocabulary
        self._control = control
        self._is_end = np.zeros(vocabulary.size, bool)
        self._is_end[list(end_ids)] = True
        self._is_control = np.zeros(vocabulary.size, bool)
        self._is_control[list(control.ids)] = True
        self._first_control = np.int32(min(control.ids, default=0))
        self._control_span = np.uint32(max(control.ids, default=0) - self._first_control)
        self._guarded_bytes: list[bytes] | None = None  # the bytes of each id in guarded text
        if vocabulary.token_bytes is not None:
            self._guarded_bytes = [token or b"" for token in vocabulary.token_bytes]
            for id_ in control.ids:
                self._guarded_bytes[id_] = private_name(id_).encode()
            self._guarded_bytes_array = pa.array(self._guarded_bytes, pa.binary())

    def encode(self, batch: GuardedBatch) -> EncodedBatch:
        """The encoded samples of each record, or a Drop if one of its samples cannot be proven."""
        if self._vocabulary.is_splittable:
            return self._encode_pieces(batch)
        return EncodedBatch.of({owner: self._encode_by_turn(batch.samples_of(owner)) for owner in set(batch.owners)})

    def control_positions(self, ids: Ids) -> npt.NDArray[np.int64]:
        """The positions of control tokens in ids."""
        # Control ids are usually contiguous, so a range check finds few others.
        candidates = np.flatnonzero((ids - self._first_control).view(np.uint32) <= self._control_span)
        return candidates[self._is_control[ids[candidates]]]

    def _encode_pieces(self, batch: GuardedBatch) -> EncodedBatch:
        """Encode all pieces in one call. Samples with several turns are also encoded whole: prompts span pieces."""
        pieces = batch.pieces
        several = [sample for sample, turns in enumerate(batch.turns) if len(turns) > 1]
        ids, offsets = self._encoder.encode([*pieces, *("".join(batch.pieces_of(sample)) for sample in several)])
        cuts = offsets[: len(pieces) + 1]
        first = np.array(batch.starts)
        trained = (np.arange(len(pieces)) - np.repeat(first[:-1], np.diff(first))) % 2 == 1
        flat = ids[: cuts[-1]]
        is_trained = np.repeat(trained, np.diff(cuts))
        labels = labels_of(flat, is_trained)
        valid = self._valid_pieces(batch, flat, cuts, trained, flat[is_trained])
        starts = cuts[first]
        encoded = EncodedBatch(flat, labels, starts, np.array(batch.owners, np.int64), batch.turns, {})
        differing = set()  # records whose pieces do not give the ids of the whole sample
        for number, sample in enumerate(several):
            whole = ids[offsets[len(pieces) + number] : offsets[len(pieces) + number + 1]]
            if not np.array_equal(whole, flat[starts[sample] : starts[sample + 1]]):
                differing.add(batch.owners[sample])
        suspect = set(np.flatnonzero(np.add.reduceat(~valid, first[:-1])).tolist()) if batch.owners else set()
        suspect = {batch.owners[sample] for sample in suspect | self._doubled_bos(flat, starts)}
        if not differing and not suspect:
            return encoded
        results = encoded.by_record()
        for owner in sorted(differing | suspect):
            samples, result = batch.samples_of(owner), results[owner]
            assert not isinstance(result, Drop)  # no record is dropped before this
            results[owner] = self._encode_by_turn(samples) if owner in differing else self._checked(samples, result)
        return EncodedBatch.of(results)

    def _valid_pieces(
        self,
        batch: GuardedBatch,
        ids: Ids,
        cuts: npt.NDArray[np.int64],
        trained: npt.NDArray[np.bool_],
        trained_ids: Ids,
    ) -> npt.NDArray[np.bool_]:
        """Which pieces certainly satisfy the invariants. The checks are those of `_violation`, for a whole batch."""
        pieces = batch.pieces
        valid: npt.NDArray[np.bool_] = np.diff(np.searchsorted(self.control_positions(ids), cuts)) == batch.controls
        runs = np.flatnonzero(trained)
        has_ids = cuts[runs + 1] > cuts[runs]
        valid[runs] &= has_ids
        valid[runs[has_ids]] &= self._is_end[ids[cuts[runs[has_ids] + 1] - 1]]
        if self._guarded_bytes is None:
            valid[runs] = False
            return valid
        texts = pa.array([pieces[i] for i in runs.tolist()], pa.string())
        decoded = self._guarded_bytes_array.take(pa.array(trained_ids))
        ends = np.concatenate([[0], np.cumsum(np.diff(cuts)[runs])])  # of the runs, in decoded
        if np.array_equal(_offsets(decoded)[ends], _offsets(texts)) and np.array_equal(_bytes(decoded), _bytes(texts)):
            return valid
        for i in runs.tolist():
            valid[i] &= pieces[i].encode() == self._decode_guarded(ids[cuts[i] : cuts[i + 1]])
        return valid

    def _decode_guarded(self, ids: Ids) -> bytes:
        """The bytes of ids in guarded text. Only if the bytes of tokens are known."""
        assert self._guarded_bytes is not None
        return b"".join(map(self._guarded_bytes.__getitem__, ids.tolist()))

    def _doubled_bos(self, ids: Ids, starts: npt.NDArray[np.int64]) -> set[int]:
        """The samples that start with two BOS tokens."""
        if self._bos_id is None:
            return set()
        long = np.flatnonzero(np.diff(starts) > 1)
        at = starts[long]
        return set(long[(ids[at] == self._bos_id) & (ids[at + 1] == self._bos_id)].tolist())

    def _encode_by_turn(self, samples: Sequence[GuardedSample]) -> list[EncodedSample] | Drop:
        """Encode each prompt on its own, as at inference, and each completion after its prompt.

        A turn stays in its sample if the sample's ids start with the ids of its prompt and completion. It gets a sample
        of its own if not, because a token straddles the boundary.
        """
        encoded: list[EncodedSample] = []
        guarded: list[GuardedSample] = []  # the text of each of `encoded`
        for sample in samples:
            turns = [self._turn_ids(sample, i) for i in range(len(sample.turns))]
            if any(turn is None for turn in turns):
                return Drop("unproven_mask", "its completion has no encoding of its own after the prompt")
            proven = [turn for turn in turns if turn is not None]
            remaining = list(range(len(proven)))
            while remaining:
                last = remaining[-1]
                prompt, completion = proven[last]
                tail = self._tail_ids(sample, last, len(prompt) + len(completion))
                ids = np.concatenate([prompt, completion, tail])
                members = [i for i in remaining if _starts_with(ids, *proven[i])]
                labels = np.full(len(ids), IGNORE, np.int32)
                for i in members:
                    start = len(proven[i][0])
                    stop = start + len(proven[i][1])
                    labels[start:stop] = ids[start:stop]
                encoded.append(EncodedSample(ids, labels, tuple(sample.turns[i] for i in members)))
                guarded.append(_with_turns(sample, members, with_tail=len(tail) > 0))
                remaining = [i for i in remaining if i not in members]
        order = sorted(range(len(encoded)), key=lambda i: encoded[i].turns)
        return self._checked([guarded[i] for i in order], [encoded[i] for i in order])

    def _turn_ids(self, sample: GuardedSample, turn: int) -> tuple[Ids, Ids] | None:
        """The ids of a turn's prompt and those of its completion after it; None if the latter cannot be determined."""
        prompt_text = "".join(sample.pieces[: 2 * turn + 1])
        completion_text = sample.pieces[2 * turn + 1]
        prompt, both, alone = self._encoder.encode_each([prompt_text, prompt_text + completion_text, completion_text])
        if _starts_with(both, prompt):
            return prompt, both[len(prompt) :]
        for completion in (alone, *self._encode_after_anchors(completion_text)):
            if self._decodes_to(completion, completion_text, allow_word_marks=False):
                return prompt, completion
        return None

    def _encode_after_anchors(self, text: str) -> list[Ids]:
        """The ids of a text after several other characters, for tokenizers that add a space at the start of a text."""
        found = []
        for anchor in ("\n", "\t", "\x01", "\u3002", "\u4e00"):
            before, both = self._encoder.encode_each([anchor, anchor + text])
            if _starts_with(both, before):
                found.append(both[len(before) :])
        return found

    def _tail_ids(self, sample: GuardedSample, turn: int, done: int) -> Ids:
        """The ids of the text after the last completion; empty if there is no token boundary between the two."""
        if turn != len(sample.turns) - 1 or not sample.pieces[-1] or len(sample.pieces) % 2 == 0:
            return np.empty(0, np.int32)
        before, whole = self._encoder.encode_each(["".join(sample.pieces[:-1]), "".join(sample.pieces)])
        separates = len(before) == done and _starts_with(whole, before)
        return whole[done:] if separates else np.empty(0, np.int32)

    def _checked(self, samples: Sequence[GuardedSample], encoded: list[EncodedSample]) -> list[EncodedSample] | Drop:
        """The samples if every invariant holds for each of them, else a Drop."""
        for sample, result in zip(samples, encoded):
            violation = self._violation(sample, result)
            if violation is not None:
                return Drop("unproven_mask", violation)
        return encoded

    def _violation(self, sample: GuardedSample, result: EncodedSample) -> str | None:
        """The first invariant that does not hold, or None."""
        ids = result.input_ids
        if len(self.control_positions(ids)) != sum(sample.controls):
            return "its control tokens are not those that the template wrote"
        if self._bos_id is not None and len(ids) > 1 and ids[0] == ids[1] == self._bos_id:
            return "it begins with two BOS tokens"
        trained = result.labels != IGNORE
        edges = np.flatnonzero(np.diff(trained, prepend=False, append=False))
        runs = edges.reshape(-1, 2)
        if len(runs) != len(result.turns):
            return "its trained turns run into each other"
        for (start, stop), piece, turn in zip(runs, sample.pieces[1::2], result.turns):
            if not self._is_end[ids[stop - 1]]:
                return f"turn {turn + 1}: its last trained token is not an end-of-turn token"
            if not self._decodes_to(ids[start:stop], piece):
                return f"turn {turn + 1}: its tokens do not spell its text"
        return None

    def _decodes_to(self, ids: Ids, guarded: str, *, allow_word_marks: bool = True) -> bool:
        """Whether ids decode to a guarded text, except for changes that the tokenizer's normalizer makes.

        `allow_word_marks` permits the space that SentencePiece adds at the start of a text and after added tokens. This
        is only correct for ids that come from encoding the whole conversation.
        """
        text = self._control.reveal(guarded)
        if self._vocabulary.token_bytes is None:
            return np.array_equal(self._encoder.encode_each([guarded])[0], ids)
        data = self._vocabulary.decode(ids)
        if data == text.encode():
            return True
        decoded = data.decode("utf-8", "replace").replace("\u2581", " ")
        forms = {text, text.replace("\u2581", " ")}
        forms |= {unicodedata.normalize(form, text) for form in ("NFC", "NFKC") for text in tuple(forms)}
        if not allow_word_marks or decoded in forms:
            return decoded in forms
        bare = self._vocabulary.without_word_marks
        return bare(decoded) in {bare(form) for form in forms}


def _offsets(array: pa.Array) -> npt.NDArray[np.int32]:
    """The byte offsets of the values of an array without nulls, and of the end."""
    return np.frombuffer(array.buffers()[1], np.int32, len(array) + 1)


def _bytes(array: pa.Array) -> npt.NDArray[np.uint8]:
    """The bytes of all values of an array with offset 0."""
    return np.frombuffer(array.buffers()[2] or b"", np.uint8, _offsets(array)[-1])


def _starts_with(ids: Ids, *parts: Ids) -> bool:
    """Whether ids start with the concatenated parts."""
    place = 0
    for part in parts:
        if not np.array_equal(ids[place : place + len(part)], part):
            return False
        place += len(part)
    return True


def _with_turns(sample: GuardedSample, members: list[int], *, with_tail: bool) -> GuardedSample:
    """The sample up to the last of these turns, with only these trained. `with_tail` keeps the piece that follows."""
    pieces: list[str] = [sample.pieces[0]]
    last = members[-1]
    for i in range(last + 1):
        completion = sample.pieces[2 * i + 1]
        after = sample.pieces[2 * i + 2] if i < last or with_tail else ""
        if i in members:
            pieces += [completion, after]
        else:
            pieces[-1] += completion + after
    return GuardedSample(tuple(pieces), tuple(sample.turns[i] for i in members))
