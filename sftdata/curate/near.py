"""Near-duplicates: records whose texts share most of their word shingles, and which of them survives.

Two steps. In workers, each text becomes a MinHash signature. Then, over the signatures of all records, rows that share
a bucket are compared by the true Jaccard similarity of their shingles, so that no row is dropped on an estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from sftdata.curate.buckets import Buckets, Ints, choose_banding, pairs_in_buckets, sort_into_buckets
from sftdata.curate.jaccard import Fetch, Jaccard
from sftdata.curate.words import On, message_text, shingles
from sftdata.records import Record

Signatures = npt.NDArray[np.uint16]
Similar = Callable[[Ints, Ints], npt.NDArray[np.float64]]  # of pairs of rows; 0 where it cannot reach the threshold

NUM_HASHES = 256
SIGNATURE_BYTES = 2 * NUM_HASHES
_SEED = 42
_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class NearSettings:
    """When two records are near-duplicates, and which of them is kept."""

    threshold: float = 0.8  # Jaccard similarity of the shingle sets, above 0 and at most 1
    on: On = "conversation"
    shingle_words: int = 3
    keep: Literal["first", "longest_answer"] = "first"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of every row."""

    duplicate_of: Ints  # the kept row that it repeats, -1 where it is kept itself
    similarity: npt.NDArray[np.float64]  # to that row, NaN where it is kept
    cluster: Ints  # a row that stands for all that are linked by pairs at the threshold; its own where there are none


def sign(texts: Sequence[str], shingle_words: int) -> tuple[Signatures, npt.NDArray[np.bool_]]:
    """The MinHash signatures of texts, [texts, NUM_HASHES], and which texts have one: all that are not blank.

    Only the low 16 bits of each hash are kept: two different minima agree in them once in 65,536 times.
    """
    from rensa import RMinHash  # algorithm version 2: a test holds its numbers

    sets = [shingles(text, shingle_words) for text in texts]
    sizes = np.array([len(one) for one in sets], np.uint64)
    offsets = np.concatenate([np.zeros(1, np.uint64), np.cumsum(sizes, dtype=np.uint64)])
    hashes = np.concatenate([*sets, np.empty(0, np.uint64)])
    digests = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, NUM_HASHES, _SEED).to_rows()
    signatures = np.array(digests, np.uint32).reshape(len(texts), NUM_HASHES).astype(np.uint16)
    return signatures, sizes > 0


def answer_chars(record: Record) -> int:
    """How long a record's answers are together, for `keep: longest_answer`."""
    return sum(len(message_text(message)) for message in record.messages if message.role == "assistant")


def ranks(keep: Literal["first", "longest_answer"], answer_lengths: Ints) -> Ints:
    """Rows in the order in which they are preferred: as they stand, or by the length of their answers."""
    if keep == "first":
        return np.arange(len(answer_lengths))
    return np.argsort(-answer_lengths, kind="stable")


def find_near_duplicates(
    signatures: Signatures, signed: npt.NDArray[np.bool_], preference: Ints, fetch: Fetch, settings: NearSettings
) -> Verdict:
    """Which rows are dropped as near-duplicates, and of which kept row.

    Rows are taken in the order of `preference`: a row is kept where its similarity to every row kept before it is
    below the threshold, else it is dropped for the kept row it is most similar to among those found first. So a
    dropped row is always itself similar to a kept one. Of all pairs at or above the threshold, 99 % or more are
    compared. Rows that are not signed, or not in `preference`, are kept and compared with nothing.

    Memory: besides the signatures, which may be mapped from a file, about 200 bytes a row, and 200 MB.
    """
    nodes = preference[signed[preference]]
    buckets = sort_into_buckets(signatures, nodes, choose_banding(settings.threshold, NUM_HASHES))
    crowded = np.flatnonzero((buckets >= 0).any(axis=0))
    nodes, buckets = nodes[crowded], np.ascontiguousarray(buckets[:, crowded])
    similar = screened(signatures, nodes, Jaccard(fetch, settings.shingle_words), settings.threshold)
    survivor, similarity = _choose(buckets, similar, settings.threshold)
    root = _clusters(buckets, survivor, similar, settings.threshold)

    rows = np.arange(len(signatures))
    verdict = Verdict(np.full(len(rows), -1, np.int64), np.full(len(rows), np.nan), rows)
    verdict.similarity[nodes] = similarity
    verdict.duplicate_of[nodes] = np.where(survivor >= 0, nodes[survivor], -1)
    verdict.cluster[nodes] = nodes[root]
    return verdict


def screened(signatures: Signatures, nodes: Ints, jaccard: Jaccard, threshold: float) -> Similar:
    """The true similarity of pairs of nodes; 0 without a look at the texts where the signatures' agreement is more
    than three standard deviations of its error below the threshold, which befalls one pair in 700 at the threshold.
    """
    least = (threshold - 3 * (threshold * (1 - threshold) / NUM_HASHES) ** 0.5) * NUM_HASHES

    def similar(left: Ints, right: Ints) -> npt.NDArray[np.float64]:
        found = np.zeros(len(left))
        likely = np.empty(len(left), bool)
        for start in range(0, len(left), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            agree = signatures[nodes[left[part]]] == signatures[nodes[right[part]]]
            likely[part] = np.count_nonzero(agree, axis=1) >= least
        found[likely] = jaccard(nodes[left[likely]], nodes[right[likely]])
        return found

    return similar


def _choose(buckets: Buckets, similar: Similar, threshold: float) -> tuple[Ints, npt.NDArray[np.float64]]:
    """The kept node that each node is dropped for (-1: it is kept) and their similarity. Nodes come in order of
    preference.

    In rounds, so that no bucket is compared all with all: an open node that comes first in each of its buckets is
    kept, for whatever could have dropped it was compared with it before; it is compared with the rest of its buckets,
    which are dropped or stay open.
    """
    count = buckets.shape[1]
    survivor, similarity = np.full(count, -1, np.int64), np.full(count, np.nan)
    first = np.zeros(int(buckets.max(initial=-1)) + 2, np.int64)  # the last place is that of -1: of no bucket
    undecided = np.arange(count)
    while len(undecided):
        for bucket in buckets:
            first[bucket[undecided[::-1]]] = undecided[::-1]  # where a place is written twice, the last one stays
        first[-1] = count
        kept = np.ones(len(undecided), bool)
        for bucket in buckets:
            kept &= first[bucket[undecided]] >= undecided
        leads = np.zeros(count + 1, bool)
        leads[undecided[kept]] = True
        undecided = undecided[~kept]
        for start in range(0, len(undecided), _ROWS_AT_ONCE):
            nodes = undecided[start : start + _ROWS_AT_ONCE]
            leader = first[buckets[:, nodes]]
            codes = np.unique((leader * count + nodes)[leads[leader]])
            left, right = codes // count, codes % count
            found = similar(left, right)
            enough = found >= threshold
            left, right, found = left[enough], right[enough], found[enough]
            order = np.lexsort((left, -found, right))
            dropped, best = np.unique(right[order], return_index=True)
            survivor[dropped], similarity[dropped] = left[order][best], found[order][best]
        undecided = undecided[survivor[undecided] < 0]
    return survivor, similarity


def _clusters(buckets: Buckets, survivor: Ints, similar: Similar, threshold: float) -> Ints:
    """For every node the first node of its cluster: of all that a chain of pairs at the threshold reaches."""
    root = np.where(survivor >= 0, survivor, np.arange(len(survivor)))
    for left, right in pairs_in_buckets(buckets, root):
        linked = similar(left, right) >= threshold
        for one, other in zip(left[linked].tolist(), right[linked].tolist()):
            one, other = _top(root, one), _top(root, other)
            root[max(one, other)] = min(one, other)
        while True:
            above = root[root]
            if np.array_equal(above, root):
                break
            root[:] = above
    return root


def _top(root: Ints, node: int) -> int:
    """The node that stands for a node's cluster."""
    while root[node] != node:
        node = int(root[node])
    return node
