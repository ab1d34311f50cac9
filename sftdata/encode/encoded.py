"""What encoding gives: one sample, and the samples of many records end to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sftdata.encode.tokenizer.encoder import Ids, Offsets
from sftdata.records.record import Drop


class EncodedSample(NamedTuple):
    """input_ids and labels, int32 of one length, and the 0-based turns trained."""

    input_ids: Ids
    labels: Ids
    turns: tuple[int, ...]


class Encoded(NamedTuple):
    """The samples of a batch of records, in the order of the records.

    input_ids  5 17 6 23 | 5 9 6      labels end to end as well, of the same length
    offsets    0           4     7    of samples + 1
    owners     0           2          the record of each sample, from 0
    turns      (1,)        (1,)       trained in each sample, 0-based
    drops      {1: Drop(...)}         the records without a sample
    """

    input_ids: Ids
    labels: Ids
    offsets: Offsets
    owners: npt.NDArray[np.int64]
    turns: Sequence[tuple[int, ...]]
    drops: Mapping[int, Drop]

    @staticmethod
    def of(results: Mapping[int, list[EncodedSample] | Drop]) -> Encoded:
        """The batch of what records gave, by their numbers."""
        given = {number: result for number, result in sorted(results.items()) if not isinstance(result, Drop)}
        samples = [sample for result in given.values() for sample in result]
        none = np.empty(0, np.int32)
        return Encoded(
            input_ids=np.concatenate([none, *(sample.input_ids for sample in samples)]),
            labels=np.concatenate([none, *(sample.labels for sample in samples)]),
            offsets=np.cumsum([0, *(len(sample.input_ids) for sample in samples)]),
            owners=np.repeat(np.array(list(given), np.int64), [len(result) for result in given.values()]),
            turns=[sample.turns for sample in samples],
            drops={number: result for number, result in results.items() if isinstance(result, Drop)},
        )

    def by_record(self) -> dict[int, list[EncodedSample] | Drop]:
        """What each record gave, by its number."""
        found: dict[int, list[EncodedSample] | Drop] = dict(self.drops)
        places = self.offsets.tolist()
        for owner, start, end, turns in zip(self.owners.tolist(), places, places[1:], self.turns):
            samples = found.setdefault(owner, [])
            assert not isinstance(samples, Drop)
            samples.append(EncodedSample(self.input_ids[start:end], self.labels[start:end], turns))
        return found

    def results(self) -> list[list[EncodedSample] | Drop]:
        """What each record gave. Every record has a sample or a drop."""
        found = self.by_record()
        return [found[number] for number in range(len(found))]
