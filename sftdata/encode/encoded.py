"""The results of encoding: one sample, and the concatenated samples of a batch of records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sftdata.encode.tokenizer.encoder import Ids, Offsets
from sftdata.records.record import Drop


class EncodedSample(NamedTuple):
    """input_ids and labels, int32 of the same length, and the trained turns, 0-based."""

    input_ids: Ids
    labels: Ids
    turns: tuple[int, ...]


class EncodedBatch(NamedTuple):
    """The samples of a batch of records, in the order of the records.

    input_ids  5 17 6 23 | 5 9 6      concatenated; labels likewise, of the same length
    offsets    0           4     7    where each sample starts, and the end
    owners     0           2          the record of each sample, from 0
    turns      (1,)        (1,)       the trained turns of each sample, 0-based
    drops      {1: Drop(...)}         the records without a sample
    """

    input_ids: Ids
    labels: Ids
    offsets: Offsets
    owners: npt.NDArray[np.int64]
    turns: Sequence[tuple[int, ...]]
    drops: Mapping[int, Drop]

    @staticmethod
    def of(results: Mapping[int, list[EncodedSample] | Drop]) -> EncodedBatch:
        """The batch made from the result of each record, by record number."""
        encoded = {number: result for number, result in sorted(results.items()) if not isinstance(result, Drop)}
        samples = [sample for result in encoded.values() for sample in result]
        empty = np.empty(0, np.int32)
        return EncodedBatch(
            input_ids=np.concatenate([empty, *(sample.input_ids for sample in samples)]),
            labels=np.concatenate([empty, *(sample.labels for sample in samples)]),
            offsets=np.cumsum([0, *(len(sample.input_ids) for sample in samples)]),
            owners=np.repeat(np.array(list(encoded), np.int64), [len(result) for result in encoded.values()]),
            turns=[sample.turns for sample in samples],
            drops={number: result for number, result in results.items() if isinstance(result, Drop)},
        )

    def by_record(self) -> dict[int, list[EncodedSample] | Drop]:
        """The samples or drop of each record, by record number."""
        results: dict[int, list[EncodedSample] | Drop] = dict(self.drops)
        offsets = self.offsets.tolist()
        for owner, start, end, turns in zip(self.owners.tolist(), offsets, offsets[1:], self.turns):
            samples = results.setdefault(owner, [])
            assert not isinstance(samples, Drop)
            samples.append(EncodedSample(self.input_ids[start:end], self.labels[start:end], turns))
        return results

    def results(self) -> list[list[EncodedSample] | Drop]:
        """The samples or drop of each record, in order. Every record must have one or the other."""
        results = self.by_record()
        return [results[number] for number in range(len(results))]
