"""Pieces of text -> input_ids and labels, and the proof that each trained run is what it must be.

pieces     <u> hi </u><a>   yo </a>   \\n
input_ids  5 17 6 7         23 6      12
labels     .  .  . .        23 6      .        (. is -100; labels are not shifted, the model does that)
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sftdata.encode.encoded import Encoded, EncodedSample
from sftdata.encode.proof.guarded import GuardedBatch, GuardedSample
from sftdata.encode.tokenizer.control import ControlTokens, private_name
from sftdata.encode.tokenizer.encoder import Encoder, Ids
from sftdata.encode.tokenizer.vocabulary import Vocabulary
from sftdata.records.labels import IGNORE, labels_of
from sftdata.records.record import Drop


class MaskProver:
    """Encodes guarded samples of one tokenizer and checks every invariant on every sample."""

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
        self._guarded_bytes: list[bytes] | None = None  # what each id says in the text that is encoded
        if vocabulary.token_bytes is not None:
            self._guarded_bytes = [spelled or b"" for spelled in vocabulary.token_bytes]
            for id_ in control.ids:
                self._guarded_bytes[id_] = private_name(id_).encode()
            self._spelled = pa.array(self._guarded_bytes, pa.binary())

    def encode(self, batch: GuardedBatch) -> Encoded:
        """The samples of each record encoded, or why the record cannot be trained on."""
        if self._vocabulary.is_local:
            return self._encode_pieces(batch)
        return Encoded.of({owner: self._encode_exactly(batch.samples_of(owner)) for owner in set(batch.owners)})

    def controls_in(self, ids: Ids) -> npt.NDArray[np.int64]:
        """Where control tokens stand among ids. Their own ids most often stand side by side."""
        near = np.flatnonzero((ids - self._first_control).view(np.uint32) <= self._control_span)
        return near[self._is_control[ids[near]]]

    def _encode_pieces(self, batch: GuardedBatch) -> Encoded:
        """All pieces in one batch; samples of several turns also whole, because prompts span earlier answers."""
        pieces = batch.pieces
        several = [sample for sample, turns in enumerate(batch.turns) if len(turns) > 1]
        ids, offsets = self._encoder.encode([*pieces, *("".join(batch.pieces_of(sample)) for sample in several)])
        cuts = offsets[: len(pieces) + 1]
        first = np.array(batch.starts)
        trained = (np.arange(len(pieces)) - np.repeat(first[:-1], np.diff(first))) % 2 == 1
        flat = ids[: cuts[-1]]
        is_trained = np.repeat(trained, np.diff(cuts))
        labels = labels_of(flat, is_trained)
        fine = self._fine_pieces(batch, flat, cuts, trained, flat[is_trained])
        starts = cuts[first]
        encoded = Encoded(flat, labels, starts, np.array(batch.owners, np.int64), batch.turns, {})
        exact = set()
        for number, sample in enumerate(several):
            whole = ids[offsets[len(pieces) + number] : offsets[len(pieces) + number + 1]]
            if not np.array_equal(whole, flat[starts[sample] : starts[sample + 1]]):
                exact.add(batch.owners[sample])
        suspect = set(np.flatnonzero(np.add.reduceat(~fine, first[:-1])).tolist()) if batch.owners else set()
        suspect = {batch.owners[sample] for sample in suspect | self._doubled_bos(flat, starts)}
        if not exact and not suspect:
            return encoded
        results = encoded.by_record()
        for owner in sorted(exact | suspect):
            samples, result = batch.samples_of(owner), results[owner]
            assert not isinstance(result, Drop)  # none is dropped before it is looked at here
            results[owner] = self._encode_exactly(samples) if owner in exact else self._checked(samples, result)
        return Encoded.of(results)

    def _fine_pieces(
        self,
        batch: GuardedBatch,
        ids: Ids,
        cuts: npt.NDArray[np.int64],
        trained: npt.NDArray[np.bool_],
        trained_ids: Ids,
    ) -> npt.NDArray[np.bool_]:
        """Which pieces certainly satisfy the invariants that `_problem` checks: the same checks, on a whole batch."""
        pieces = batch.pieces
        fine: npt.NDArray[np.bool_] = np.diff(np.searchsorted(self.controls_in(ids), cuts)) == batch.controls
        runs = np.flatnonzero(trained)
        filled = cuts[runs + 1] > cuts[runs]
        fine[runs] &= filled
        fine[runs[filled]] &= self._is_end[ids[cuts[runs[filled] + 1] - 1]]
        if self._guarded_bytes is None:
            fine[runs] = False
            return fine
        texts = pa.array([pieces[i] for i in runs.tolist()], pa.string())
        said = self._spelled.take(pa.array(trained_ids))
        ends = np.concatenate([[0], np.cumsum(np.diff(cuts)[runs])])  # of the runs, in said
        if np.array_equal(_offsets(said)[ends], _offsets(texts)) and np.array_equal(_bytes(said), _bytes(texts)):
            return fine
        for i in runs.tolist():
            fine[i] &= pieces[i].encode() == self._says(ids[cuts[i] : cuts[i + 1]])
        return fine

    def _says(self, ids: Ids) -> bytes:
        """The bytes of ids as the guarded tokenizer's text has them. Only where the vocabulary knows its bytes."""
        assert self._guarded_bytes is not None
        return b"".join(map(self._guarded_bytes.__getitem__, ids.tolist()))

    def _doubled_bos(self, ids: Ids, starts: npt.NDArray[np.int64]) -> set[int]:
        """The samples that begin with two BOS tokens."""
        if self._bos_id is None:
            return set()
        long = np.flatnonzero(np.diff(starts) > 1)
        at = starts[long]
        return set(long[(ids[at] == self._bos_id) & (ids[at + 1] == self._bos_id)].tolist())

    def _encode_exactly(self, samples: Sequence[GuardedSample]) -> list[EncodedSample] | Drop:
        """Prompt and completion as inference has them: each prompt encoded by itself, the completion after it.

        A turn stays in its sample where the sample's ids begin with the turn's own prompt and completion ids; where a
        token straddles a boundary, the turn gets a sample of its own.
        """
        encoded: list[EncodedSample] = []
        owners: list[GuardedSample] = []
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
                members = [i for i in remaining if _begins(ids, *proven[i])]
                labels = np.full(len(ids), IGNORE, np.int32)
                for i in members:
                    start = len(proven[i][0])
                    stop = start + len(proven[i][1])
                    labels[start:stop] = ids[start:stop]
                encoded.append(EncodedSample(ids, labels, tuple(sample.turns[i] for i in members)))
                owners.append(_only(sample, members, with_tail=len(tail) > 0))
                remaining = [i for i in remaining if i not in members]
        order = sorted(range(len(encoded)), key=lambda i: encoded[i].turns)
        return self._checked([owners[i] for i in order], [encoded[i] for i in order])

    def _turn_ids(self, sample: GuardedSample, turn: int) -> tuple[Ids, Ids] | None:
        """Ids of a turn's prompt, and of its completion after it; None where the completion cannot be continued."""
        prompt_text = "".join(sample.pieces[: 2 * turn + 1])
        completion_text = sample.pieces[2 * turn + 1]
        prompt, both, alone = self._encoder.encode_each([prompt_text, prompt_text + completion_text, completion_text])
        if _begins(both, prompt):
            return prompt, both[len(prompt) :]
        for completion in (alone, *self._anchored(completion_text)):
            if self._spells(completion, completion_text, word_mark=False):
                return prompt, completion
        return None

    def _anchored(self, text: str) -> list[Ids]:
        """Encodings of a text as a continuation, for tokenizers that mark the start of a text with a space."""
        found = []
        for anchor in ("\n", "\t", "\x01", "\u3002", "\u4e00"):
            before, both = self._encoder.encode_each([anchor, anchor + text])
            if _begins(both, before):
                found.append(both[len(before) :])
        return found

    def _tail_ids(self, sample: GuardedSample, turn: int, done: int) -> Ids:
        """Ids of what the template writes after the last completion, where it can be cut off cleanly."""
        if turn != len(sample.turns) - 1 or not sample.pieces[-1] or len(sample.pieces) % 2 == 0:
            return np.empty(0, np.int32)
        before, whole = self._encoder.encode_each(["".join(sample.pieces[:-1]), "".join(sample.pieces)])
        clean = len(before) == done and _begins(whole, before)
        return whole[done:] if clean else np.empty(0, np.int32)

    def _checked(self, samples: Sequence[GuardedSample], encoded: list[EncodedSample]) -> list[EncodedSample] | Drop:
        """The samples, if every invariant holds on every one of them."""
        for sample, result in zip(samples, encoded):
            problem = self._problem(sample, result)
            if problem is not None:
                return Drop("unproven_mask", problem)
        return encoded

    def _problem(self, sample: GuardedSample, result: EncodedSample) -> str | None:
        """The first invariant that does not hold, or None."""
        ids = result.input_ids
        if len(self.controls_in(ids)) != sum(sample.controls):
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
            if not self._spells(ids[start:stop], piece):
                return f"turn {turn + 1}: its tokens do not spell its text"
        return None

    def _spells(self, ids: Ids, guarded: str, *, word_mark: bool = True) -> bool:
        """Whether ids decode to the text, modulo what the tokenizer's own normalizer changes.

        `word_mark` allows the space that SentencePiece puts before a text and behind every added token, which is right
        only where the whole conversation is encoded so.
        """
        text = self._control.reveal(guarded)
        if self._vocabulary.token_bytes is None:
            return np.array_equal(self._encoder.encode_each([guarded])[0], ids)
        said = self._vocabulary.says(ids)
        if said == text.encode():
            return True
        spelled = said.decode("utf-8", "replace").replace("\u2581", " ")
        forms = {text, text.replace("\u2581", " ")}
        forms |= {unicodedata.normalize(form, text) for form in ("NFC", "NFKC") for text in tuple(forms)}
        if not word_mark or spelled in forms:
            return spelled in forms
        bare = self._vocabulary.without_word_marks
        return bare(spelled) in {bare(form) for form in forms}


def _offsets(array: pa.Array) -> npt.NDArray[np.int32]:
    """Where each text of an array without nulls begins in its bytes, and where the last one ends."""
    return np.frombuffer(array.buffers()[1], np.int32, len(array) + 1)


def _bytes(array: pa.Array) -> npt.NDArray[np.uint8]:
    """All bytes of an array that begins where its buffer does."""
    return np.frombuffer(array.buffers()[2] or b"", np.uint8, _offsets(array)[-1])


def _begins(ids: Ids, *parts: Ids) -> bool:
    """Whether ids begin with the parts, one after the other."""
    place = 0
    for part in parts:
        if not np.array_equal(ids[place : place + len(part)], part):
            return False
        place += len(part)
    return True


def _only(sample: GuardedSample, members: list[int], *, with_tail: bool) -> GuardedSample:
    """The sample as if only some of its turns were trained, up to the last of them, and what follows it on demand."""
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
