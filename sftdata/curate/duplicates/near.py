"""Near-duplicates: records whose texts share most of their word shingles, and which of them survives.

Two steps. In workers, each text becomes a MinHash signature. Then, over the signatures of all records, rows that share
a bucket are compared by the true Jaccard similarity of their shingles, so that no row is dropped on an estimate.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sftdata.curate.duplicates.buckets import Buckets, Ints, choose_banding, component_parts, sort_into_buckets
from sftdata.curate.duplicates.candidates import Candidates
from sftdata.curate.duplicates.jaccard import Fetch, Jaccard
from sftdata.curate.duplicates.settings import Keep, NearConfig
from sftdata.curate.words import Hashes, message_text, shingles_in
from sftdata.records.record import Record

Signatures = npt.NDArray[np.uint16]

NUM_HASHES = 128
PARTS = 32  # in which rows are compared, each on its own; changes no verdict
_SEED = 42
_CHARS_AT_ONCE = 1 << 18
_ROWS_AT_ONCE = 1 << 14


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to every row."""

    duplicate_of: Ints  # the kept row that it repeats, -1 where it is kept itself
    similarity: npt.NDArray[np.float64]  # to that row, NaN where it is kept
    cluster: Ints  # one row for all that are linked by pairs at the threshold; its own number where there are none

    @staticmethod
    def of_rows(num_rows: int) -> Verdict:
        """The verdict that keeps every row."""
        return Verdict(np.full(num_rows, -1, np.int64), np.full(num_rows, np.nan), np.arange(num_rows))


class Signed(NamedTuple):
    """Texts by their MinHash signatures, [texts, NUM_HASHES], and by the shingles that these are of, with repeats:
    those of text i are shingles[offsets[i] : offsets[i + 1]].
    """

    signatures: Signatures
    shingles: Hashes
    offsets: Ints

    @property
    def is_signed(self) -> npt.NDArray[np.bool_]:
        """Which texts have a signature: all that are not blank."""
        return np.diff(self.offsets) > 0


def sign(texts: Sequence[str], shingle_words: int) -> Signed:
    """The signatures of texts.

    Only the low 16 bits of each hash are kept: two different minima agree in them once in 65,536 times.
    """
    from rensa import RMinHash  # algorithm version 2: a test holds its numbers

    digests = array("I")
    parts, sizes = [np.empty(0, np.uint64)], [np.zeros(1, np.int64)]
    for some in _grouped(texts):
        hashes, offsets = shingles_in(some, shingle_words)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets.astype(np.uint64), NUM_HASHES, _SEED)
        for row in matrix.to_rows():
            digests.fromlist(row)
        parts.append(hashes)
        sizes.append(np.diff(offsets))
    signatures = np.frombuffer(digests, np.uint32).reshape(len(texts), NUM_HASHES).astype(np.uint16)
    return Signed(signatures, np.concatenate(parts), np.cumsum(np.concatenate(sizes)))


def _grouped(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts, some at a time: the arrays that are made of them are many times as large as they are."""
    first = chars = 0
    for number, text in enumerate(texts):
        chars += len(text)
        if chars > _CHARS_AT_ONCE:
            yield texts[first : number + 1]
            first, chars = number + 1, 0
    if first < len(texts):
        yield texts[first:]


def answer_chars(record: Record) -> int:
    """How long a record's answers are together, for `keep: longest_answer`."""
    plain = record.plain
    if plain is not None:
        return sum([len(content) for role, content in zip(plain.roles, plain.contents) if role == "assistant"])
    return sum(len(message_text(message)) for message in record.messages if message.role == "assistant")


def ranks(keep: Keep, answer_lengths: Ints) -> Ints:
    """Rows in the order in which they are preferred: as they stand, or by the length of their answers."""
    if keep == "first":
        return np.arange(len(answer_lengths))
    return np.argsort(-answer_lengths, kind="stable")


def parts_of(signatures: Signatures, nodes: Ints, threshold: float) -> npt.NDArray[np.int32]:
    """The part, from 0, in which each of these rows is to be compared; -1 where a row is like no other.

    Rows of different parts share no bucket, so that `find_near_duplicates` on each part alone finds what it finds on
    all rows. Memory: besides the signatures, which may be mapped from a file, at most 400 bytes a row.
    """
    return component_parts(np.asarray(signatures), nodes, choose_banding(threshold, NUM_HASHES), PARTS)


def find_near_duplicates(
    signatures: Signatures, signed: npt.NDArray[np.bool_], preference: Ints, fetch: Fetch, settings: NearConfig
) -> Verdict:
    """Which rows are dropped as near-duplicates, and of which kept row.

    Rows are taken in the order of `preference`. A row that is not dropped yet is kept, and those after it whose
    similarity to it reaches the threshold are dropped for it: a dropped row is always itself similar to a kept one. Of
    all pairs at or above the threshold, 99 % or more are compared. Rows that are not signed, or not in `preference`,
    are kept and compared with nothing.

    Memory: besides the signatures, which may be mapped from a file, at most 400 bytes a row and 100 MB.
    """
    nodes = preference[signed[preference]]
    plain = np.asarray(signatures)  # a plain array over the mapped file, which takes less time to index
    banding = choose_banding(settings.threshold, NUM_HASHES)
    buckets = Buckets.of(*sort_into_buckets(plain, nodes, banding), len(nodes))
    survivor, similarity, label = _walk(buckets, Similar(plain, nodes, Jaccard(fetch), settings.threshold))
    verdict = Verdict.of_rows(len(signatures))
    verdict.similarity[nodes] = similarity
    verdict.duplicate_of[nodes] = np.where(survivor >= 0, nodes[survivor], -1)
    verdict.cluster[nodes] = nodes[label]
    return verdict


class Similar:
    """Which of some nodes reach the threshold with a node, and their similarity. Node i is row nodes[i].

    Texts are compared only where the signatures agree well enough: a pair at the threshold agrees in less with a
    chance of one in 700 (three standard deviations).
    """

    def __init__(self, signatures: Signatures, nodes: Ints, jaccard: Jaccard, threshold: float) -> None:
        self._signatures = signatures
        self._nodes = nodes
        self._jaccard = jaccard
        self._threshold = threshold
        self._least = (threshold - 3 * (threshold * (1 - threshold) / NUM_HASHES) ** 0.5) * NUM_HASHES

    def likely(self, own: Ints, other: Ints) -> tuple[Ints, Ints]:
        """Of pairs of nodes, ascending, those whose signatures agree; their texts are made ready."""
        agree = np.empty(len(own), bool)
        for start in range(0, len(own), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            one, two = (self._signatures[self._nodes[nodes[part]]] for nodes in (own, other))
            agree[part] = np.count_nonzero(one == two, axis=1) >= self._least
        own, other = own[agree], other[agree]
        if len(own):
            self._jaccard.prepare(np.unique(self._nodes[np.concatenate([own, other])]))
        return own, other

    def __call__(self, node: int, others: Ints) -> tuple[Ints, npt.NDArray[np.float64]]:
        """Of others that are likely to, those that do."""
        similarity = self._jaccard(int(self._nodes[node]), self._nodes[others])
        return others[similarity >= self._threshold], similarity[similarity >= self._threshold]


def _walk(buckets: Buckets, similar: Similar) -> tuple[Ints, npt.NDArray[np.float64], Ints]:
    """For every node, in order of preference: the kept node it is dropped for (-1: it is kept), their similarity, and
    a node that stands for its cluster.

    A node is compared with the later ones of its buckets that it could still drop or bring into its cluster. What
    these are is found for some nodes at a time, and looked at again when a node's turn comes.
    """
    count = len(buckets.firsts) - 1
    survivor, similarity, label = np.full(count, -1, np.int64), np.full(count, np.nan), np.arange(count)
    clusters: dict[int, list[int]] = {}
    candidates = Candidates(buckets, survivor, label)
    node = 0
    while node < count:
        own, other, node = candidates.pairs(node)
        own, other = similar.likely(own, other)
        turns, first = np.unique(own, return_index=True)
        for turn, others in zip(turns.tolist(), np.split(other, first[1:])):
            others = candidates.left(turn, others)
            if len(others) == 0:
                continue
            others, found = similar(turn, others)
            if survivor[turn] < 0:
                open_ = survivor[others] < 0
                survivor[others[open_]], similarity[others[open_]] = turn, found[open_]
            for one in others.tolist():
                _join(clusters, label, turn, one)
    return survivor, similarity, label


def _join(clusters: dict[int, list[int]], label: Ints, one: int, other: int) -> None:
    """Make one cluster of two nodes' clusters; the smaller one takes the label of the larger."""
    keep, give = int(label[one]), int(label[other])
    if keep == give:
        return
    if len(clusters.get(keep, ())) < len(clusters.get(give, ())):
        keep, give = give, keep
    moved = clusters.pop(give, [give])
    label[moved] = keep
    clusters.setdefault(keep, [keep]).extend(moved)
