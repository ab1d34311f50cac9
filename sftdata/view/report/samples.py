"""The samples that a report shows: from each source short and long ones, with much and with little that is trained.

Which ones they are follows from the hash of the dataset alone. Samples that hold personal data which was found and left
in the texts are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sftdata.store.ledger import PACKED
from sftdata.view.dataset import Dataset
from sftdata.view.find.origins import Origins
from sftdata.view.find.turns import SampleMessage
from sftdata.view.report.gather import Ints, Ledger, rows_at
from sftdata.view.report.texts import Masked, Names
from sftdata.view.sample import Sample
from sftdata.view.why import sequence_number

NUM_SAMPLES, SPARE = 50, 150  # shown; chosen, in case some hold personal data
SEARCHED = 1_500  # for examples of personal data
MAX_SHARDS = 8  # that are opened: a shard is checked as a whole before it is read
THIRDS = 3
GROUPS = THIRDS * THIRDS * 2  # of a source: by length, trained share, and whether several turns are trained

UInts = npt.NDArray[np.uint64]


class Shown(NamedTuple):
    """A sample of the report, its source as it is named there, which is empty where no ledger says it, and how many of
    its turns are trained.
    """

    sample: Sample
    source: str
    turns: int


class Rows(Dataset):
    """A dataset in which only the rows that a report shows are known by name: none of the others is in memory."""

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset.path, dataset.manifest)
        self._rows: list[Mapping[str, Any]] = []
        self._row_of: dict[int, int] = {}

    def sample_of(self, row: Mapping[str, Any]) -> Sample | None:
        """The first sample of a row of the ledger; None if it has none. Raises DatasetError if its shard is damaged."""
        if row["fate"] != PACKED or not row["places"]:
            return None
        place = row["places"][0]
        number = sequence_number(self.manifest, place)
        samples = () if number is None else self[number].samples
        if not 0 <= place["index"] < len(samples):
            return None
        sample: Sample = samples[place["index"]]
        self._row_of[sample.number] = len(self._rows)
        self._rows.append(row)
        self.__dict__.pop("origins", None)
        return sample

    def messages_of(self, row: Mapping[str, Any]) -> tuple[SampleMessage, ...]:
        """What the sample of a row says."""
        sample = self.sample_of(row)
        return () if sample is None else sample.messages

    @cached_property
    def origins(self) -> Origins | None:
        """Where the samples that were asked for come from; None without a ledger."""
        if not self.manifest.ledger:
            return None
        row_of = np.zeros(self.num_samples, np.int64)
        for sample, row in self._row_of.items():
            row_of[sample] = row
        columns = {
            name: pa.array([row[name] for row in self._rows], pa.string()) for name in ("where", "source", "record_id")
        }
        return Origins(columns["where"], columns["source"].dictionary_encode(), columns["record_id"], row_of)

    @property
    def can_name_rows(self) -> bool:
        """Whether rows are known: those of the ledger that were asked for."""
        return bool(self._rows)


def choose(ledger: Ledger, dataset_hash: str, num_shards: int, number: int = SEARCHED) -> list[int]:
    """The numbers of packed rows, the most different ones first: a row of each source, then of each group of its
    lengths, trained shares and turns; and again, until there are enough.
    """
    packed = _of_few_shards(ledger.packed, num_shards)
    rows, sources, tokens, trained, _, turns = packed
    if not len(rows):
        return []
    lengths, shares = _third(tokens.astype(np.float64)), _third(trained / np.maximum(tokens, 1))
    cells = ((sources * THIRDS + lengths) * THIRDS + shares) * 2 + (turns > 1)
    key = _scattered(rows, dataset_hash)
    order = np.lexsort((key, cells))
    sizes = np.bincount(cells)
    starts = np.cumsum(sizes) - sizes
    rank = np.arange(len(order)) - starts[cells[order]]  # of a row in its cell
    # Cells with many rows come first within a source, sources in turn.
    used = np.flatnonzero(sizes)
    ranked = used[np.lexsort((used, -sizes[used], used // GROUPS))]
    first = {int(source): at for at, source in reversed(list(enumerate(ranked // GROUPS)))}
    turn = np.zeros(len(sizes), np.int64)
    for at, cell in enumerate(ranked.tolist()):
        turn[cell] = at - first[cell // GROUPS]
    by_turn = np.lexsort((sources[order], turn[cells[order]], rank))
    return [int(one) for one in rows[order[by_turn[:number]]]]


def _of_few_shards(packed: Ints, num_shards: int) -> Ints:
    """The rows whose samples are in some of the shards, from the first to the last."""
    if num_shards <= MAX_SHARDS:
        return packed[:, packed[4] >= 0]
    some = [at * (num_shards - 1) // (MAX_SHARDS - 1) for at in range(MAX_SHARDS)]
    return packed[:, np.isin(packed[4], some)]


def _third(values: npt.NDArray[np.float64]) -> Ints:
    """In which third of all values each is: 0, 1, 2."""
    ordered = np.sort(values)
    limits = [ordered[len(ordered) * part // THIRDS] for part in range(1, THIRDS)]
    return np.searchsorted(np.array(limits), values, side="right").astype(np.int64)


def _scattered(rows: Ints, dataset_hash: str) -> UInts:
    """A number for each row, which looks random and is always the same for a dataset (splitmix64)."""
    with np.errstate(over="ignore"):
        mixed = rows.astype(np.uint64) + np.uint64(int(dataset_hash[:16], 16))
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))


def shown_samples(rows: Rows, chosen: Sequence[int], names: Names, masked: Masked) -> tuple[list[Shown], int]:
    """The samples to show of those that were chosen, and how many were passed over. Raises DatasetError if a shard is
    damaged.
    """
    numbers = chosen[:SPARE]
    of_ledger = rows_at(rows.path, rows.manifest, numbers)
    shown: list[Shown] = []
    passed = 0
    for number in numbers:
        if len(shown) == NUM_SAMPLES:
            break
        sample = rows.sample_of(of_ledger[number])
        if sample is None:
            continue
        if is_private(sample, masked):
            passed += 1
            continue
        row = of_ledger[number]
        shown.append(Shown(sample, names.name(row["source"]), len(row["turns"][0] or ())))
    return shown, passed


def shown_without_ledger(rows: Dataset, masked: Masked) -> tuple[list[Shown], int]:
    """Samples of a dataset that has no ledger, from the first to the last."""
    total = rows.num_samples
    numbers = range(total) if total <= NUM_SAMPLES else [at * total // NUM_SAMPLES for at in range(NUM_SAMPLES)]
    samples = [sample for sample in map(rows.sample, numbers) if not is_private(sample, masked)]
    shown = [Shown(one, "", sum(message.is_trained for message in one.messages)) for one in samples]
    return shown, len(numbers) - len(shown)


def texts_to_search(rows: Rows, chosen: Sequence[int]) -> dict[str, str]:
    """Texts in which examples of personal data are looked for, by the names of their rows, without control tokens."""
    of_ledger = rows_at(rows.path, rows.manifest, chosen)
    found = ((str(row["where"]), rows.sample_of(row)) for row in of_ledger.values())
    return {where: _without_marks(sample) for where, sample in found if sample is not None}


def _without_marks(sample: Sample) -> str:
    return sample.decoder.decode([id_ for id_ in sample.input_ids if id_ not in sample.control_ids])


def text_of(messages: Iterable[SampleMessage]) -> str:
    """What messages say, below each other."""
    return "\n".join(message.content for message in messages)


def is_private(sample: Sample, masked: Masked) -> bool:
    """Whether a sample holds secrets or personal data."""
    return masked.mask(sample.text) != sample.text
