"""Near-duplicates: records whose texts share most of their word shingles, and which of them is kept.

Two steps: each text gets a MinHash signature, on its own. Then rows whose signatures share a bucket are compared by the
true Jaccard similarity of their shingles, so that no row is dropped because of an estimate.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sftdata.curate.duplicates.buckets import (
    Buckets,
    band_keys,
    choose_banding,
    component_parts,
    sort_into_buckets,
)
from sftdata.curate.duplicates.candidates import Candidates
from sftdata.curate.duplicates.grouping import Ints
from sftdata.curate.duplicates.jaccard import FetchShingles, Jaccard
from sftdata.curate.duplicates.settings import Keep, NearConfig
from sftdata.curate.words import Hashes, message_text, shingle_hashes
from sftdata.records.record import Record

Signatures = npt.NDArray[np.uint16]

NUM_HASHES = 128
PARTS = 32  # rows are compared in this many parts, independently; changes no verdict
_SEED = 42
_CHARS_AT_ONCE = 1 << 18
_ROWS_AT_ONCE = 1 << 14


@dataclass(frozen=True, slots=True)
class Verdict:
    """For every row, whether it is kept, and otherwise which kept row it duplicates."""

    duplicate_of: Ints  # the kept row that it duplicates, -1 if it is kept itself
    similarity: npt.NDArray[np.float64]  # to that row, NaN if it is kept
    cluster: Ints  # the same row for all rows that are linked by similar pairs; its own number if there are none
    limited: npt.NDArray[np.bool_]  # rows that share much with many others, so that they were compared with some only

    @staticmethod
    def of_rows(num_rows: int) -> Verdict:
        """A verdict that keeps every row."""
        unlike = np.full(num_rows, -1, np.int64), np.full(num_rows, np.nan), np.arange(num_rows)
        return Verdict(*unlike, np.zeros(num_rows, np.bool_))


class SignedTexts(NamedTuple):
    """The MinHash signatures of texts, [texts, NUM_HASHES], and the shingles they are computed from, with repeats: text
    i has shingles[offsets[i] : offsets[i + 1]].
    """

    signatures: Signatures
    shingles: Hashes
    offsets: Ints

    @property
    def is_signed(self) -> npt.NDArray[np.bool_]:
        """Which texts have a signature: all but blank ones."""
        return np.diff(self.offsets) > 0


def sign_texts(texts: Sequence[str], shingle_words: int) -> SignedTexts:
    """The signatures of texts.

    Only the low 16 bits of each hash are kept: two different minima agree in them with a chance of 1 in 65,536.
    """
    from rensa import RMinHash  # algorithm version 2: a test pins its numbers

    digests = array("I")
    parts, sizes = [np.empty(0, np.uint64)], [np.zeros(1, np.int64)]
    for some in _grouped(texts):
        hashes, offsets = shingle_hashes(some, shingle_words)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets.astype(np.uint64), NUM_HASHES, _SEED)
        for row in matrix.to_rows():
            digests.fromlist(row)
        parts.append(hashes)
        sizes.append(np.diff(offsets))
    signatures = np.frombuffer(digests, np.uint32).reshape(len(texts), NUM_HASHES).astype(np.uint16)
    return SignedTexts(signatures, np.concatenate(parts), np.cumsum(np.concatenate(sizes)))


def _grouped(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts in batches, because the arrays made from them are many times their size."""
    first = chars = 0
    for number, text in enumerate(texts):
        chars += len(text)
        if chars > _CHARS_AT_ONCE:
            yield texts[first : number + 1]
            first, chars = number + 1, 0
    if first < len(texts):
        yield texts[first:]


def answer_chars(record: Record) -> int:
    """The total length of a record's answers, for `keep: longest_answer`."""
    plain = record.plain
    if plain is not None:
        return sum([len(content) for role, content in zip(plain.roles, plain.contents) if role == "assistant"])
    return sum(len(message_text(message)) for message in record.messages if message.role == "assistant")


def preference_order(keep: Keep, answer_lengths: Ints) -> Ints:
    """Rows in the order in which they are preferred: in input order, or the longest answers first."""
    if keep == "first":
        return np.arange(len(answer_lengths))
    return np.argsort(-answer_lengths, kind="stable")


def keys_by_band(signatures: Signatures, threshold: float) -> npt.NDArray[np.uint64]:
    """What `assign_parts` needs of each signature: [bands, signatures]."""
    return band_keys(signatures, choose_banding(threshold, NUM_HASHES))


def assign_parts(keys: npt.NDArray[np.uint64], nodes: Ints) -> npt.NDArray[np.int32]:
    """The part, from 0, in which each of these rows is compared; -1 if it shares a bucket with no other row. `keys` are
    those of all rows, by band, and may be memory-mapped.

    Rows of different parts share no bucket, so `find_near_duplicates` on each part alone gives the same verdict as on
    all rows at once. Memory as for `component_parts`.
    """
    return component_parts([partial(np.take, of_band, nodes) for of_band in keys], len(nodes), PARTS)


def find_near_duplicates(
    signatures: Signatures,
    is_signed: npt.NDArray[np.bool_],
    preference: Ints,
    fetch: FetchShingles,
    settings: NearConfig,
) -> Verdict:
    """Which rows are dropped as near-duplicates, and of which kept row.

    Rows are taken in the order of `preference`. A row that is not dropped yet is kept, and all later rows whose
    similarity to it reaches the threshold are dropped as its duplicates. So a dropped row is always similar to a kept
    row itself. Of all pairs at or above the threshold, 99 % or more are compared, but for rows that share a bucket with
    very many others: see Candidates. Rows that are not signed, or not in `preference`, are kept and not compared.

    Memory: besides the signatures, which may be memory-mapped, at most 400 bytes per row and 100 MB.
    """
    nodes = preference[is_signed[preference]]
    plain = np.asarray(signatures)  # a plain array is faster to index than a np.memmap
    banding = choose_banding(settings.threshold, NUM_HASHES)
    buckets = Buckets.of(*sort_into_buckets(plain, nodes, banding), len(nodes))
    unlike = np.full(len(nodes), -1, np.int64), np.arange(len(nodes))
    candidates = Candidates(buckets, *unlike, lambda some: plain[nodes[some]], settings.max_comparisons)
    check = SimilarityCheck(plain, nodes, Jaccard(fetch), settings.threshold)
    survivor, similarity, label = _compare_in_order(candidates, check)
    verdict = Verdict.of_rows(len(signatures))
    verdict.limited[nodes] = candidates.limited
    verdict.similarity[nodes] = similarity
    verdict.duplicate_of[nodes] = np.where(survivor >= 0, nodes[survivor], -1)
    verdict.cluster[nodes] = nodes[label]
    return verdict


class SimilarityCheck:
    """Which pairs of nodes reach the threshold. Node i is row nodes[i].

    Texts are compared only if their signatures agree well enough. A pair at the threshold fails this with a chance of
    one in 700 (three standard deviations).
    """

    def __init__(self, signatures: Signatures, nodes: Ints, jaccard: Jaccard, threshold: float) -> None:
        self._signatures = signatures
        self._nodes = nodes
        self._jaccard = jaccard
        self._threshold = threshold
        self._min_agreeing = (threshold - 3 * (threshold * (1 - threshold) / NUM_HASHES) ** 0.5) * NUM_HASHES

    def likely(self, own: Ints, other: Ints) -> tuple[Ints, Ints]:
        """Of pairs of nodes, ascending, those whose signatures agree well enough. Fetches their shingles."""
        agree = np.empty(len(own), bool)
        for start in range(0, len(own), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            one, two = (self._signatures[self._nodes[nodes[part]]] for nodes in (own, other))
            agree[part] = np.count_nonzero(one == two, axis=1) >= self._min_agreeing
        own, other = own[agree], other[agree]
        if len(own):
            self._jaccard.prepare(np.unique(self._nodes[np.concatenate([own, other])]))
        return own, other

    def __call__(self, node: int, others: Ints) -> tuple[Ints, npt.NDArray[np.float64]]:
        """Of likely pairs of a node, the other nodes that reach the threshold, and their similarity."""
        similarity = self._jaccard(int(self._nodes[node]), self._nodes[others])
        return others[similarity >= self._threshold], similarity[similarity >= self._threshold]


def _compare_in_order(candidates: Candidates, check: SimilarityCheck) -> tuple[Ints, npt.NDArray[np.float64], Ints]:
    """For every node, in order of preference: the kept node it duplicates (-1: it is kept), their similarity, and the
    node that represents its cluster.

    A node is compared with the later nodes of its buckets that it could still drop or join to its cluster. These are
    found for a batch of nodes, and filtered again when a node is processed, because earlier nodes change them.
    """
    survivor, label = candidates.survivor, candidates.label
    count = len(survivor)
    similarity = np.full(count, np.nan)
    clusters: dict[int, list[int]] = {}
    node = 0
    while node < count:
        own, other, node = candidates.pairs(node)
        own, other = check.likely(own, other)
        distinct_own, starts = np.unique(own, return_index=True)
        for current, others in zip(distinct_own.tolist(), np.split(other, starts[1:])):
            others = candidates.still_open(current, others)
            if len(others) == 0:
                continue
            others, found = check(current, others)
            if survivor[current] < 0:
                is_kept = survivor[others] < 0
                survivor[others[is_kept]], similarity[others[is_kept]] = current, found[is_kept]
            for one in others.tolist():
                _join_clusters(clusters, label, current, one)
    return survivor, similarity, label


def _join_clusters(clusters: dict[int, list[int]], label: Ints, one: int, other: int) -> None:
    """Join the clusters of two nodes; the smaller cluster takes the label of the larger."""
    keep, give = int(label[one]), int(label[other])
    if keep == give:
        return
    if len(clusters.get(keep, ())) < len(clusters.get(give, ())):
        keep, give = give, keep
    moved = clusters.pop(give, [give])
    label[moved] = keep
    clusters.setdefault(keep, [keep]).extend(moved)
