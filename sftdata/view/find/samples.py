"""The samples of a dataset as a table: choose, search, sort, and take some. Only numbers are held, no tokens."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sftdata.errors import DatasetError, NoSuchNameError, pluralize
from sftdata.view.find.names import chosen_by_id, chosen_by_name
from sftdata.view.find.origins import Ints, Origins

if TYPE_CHECKING:
    from sftdata.view.dataset import Dataset
    from sftdata.view.sample import Sample

SORT_KEYS = ("num_tokens", "num_trained_tokens", "trained_share", "where")
_SHOWN = 5  # samples in the repr
_SHOWN_AS_HTML = 10  # in a notebook, the first of them unfolded


class SampleTable(Sequence["Sample"]):
    """Samples of a dataset or split, in some order. Each is read when it is accessed.

    `where`, `search`, `sort` and `random` give tables of their own, so that they can be combined:
    `ds.samples.where(source="chats.jsonl").search("HTTP").sort("num_tokens", descending=True)[:3]`.
    """

    def __init__(self, dataset: Dataset, numbers: Ints | None = None) -> None:
        self.dataset = dataset
        self.numbers: Ints = np.arange(dataset.num_samples) if numbers is None else numbers  # in the dataset

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, at: SupportsIndex) -> Sample: ...
    @overload
    def __getitem__(self, at: slice) -> SampleTable: ...
    def __getitem__(self, at: SupportsIndex | slice) -> Sample | SampleTable:
        """A sample by its number in this table, or some by a slice. Raises DatasetError, an IndexError, if there is
        none.
        """
        from sftdata.view.sample import resolve

        if isinstance(at, slice):
            return SampleTable(self.dataset, self.numbers[at])
        return self.dataset.sample(int(self.numbers[resolve(at, len(self), "sample", str(self.dataset.path))]))

    def where(
        self,
        place: str | None = None,
        *,
        source: str | None = None,
        split: str | None = None,
        record_id: str | None = None,
        min_tokens: int | None = None,
        max_tokens: int | None = None,
        min_trained_tokens: int | None = None,
        max_trained_tokens: int | None = None,
    ) -> SampleTable:
        """The samples for which all of this is so.

        `place` is the file and line of a row of the input, `chats.jsonl:17`, with as many folders as are needed;
        `record_id` an id or the beginning of one. Raises DatasetError, a KeyError, for a source or split that the
        dataset does not have, and DatasetError for the beginning of several ids, or without a ledger.
        """
        chosen = np.ones(len(self), np.bool_)
        if place is not None:
            chosen &= self._origins.samples_of(chosen_by_name(self._origins.where, place))[self.numbers]
        if record_id is not None:
            chosen &= self._origins.samples_of(chosen_by_id(self._origins.record_id, record_id))[self.numbers]
        if source is not None:
            chosen &= self._origins.samples_of(self._chosen_source(source))[self.numbers]
        if split is not None:
            chosen &= self._in_split(split)
        for limit, values, is_least in (
            (min_tokens, "num_tokens", True),
            (max_tokens, "num_tokens", False),
            (min_trained_tokens, "num_trained_tokens", True),
            (max_trained_tokens, "num_trained_tokens", False),
        ):
            if limit is not None:
                chosen &= (self._values(values) >= limit) if is_least else (self._values(values) <= limit)
        return SampleTable(self.dataset, self.numbers[chosen])

    def search(self, text: str, regex: bool = False, trained_only: bool = False) -> SampleTable:
        """The samples that have this text, in upper and lower case as given, in what their tokens decode to.

        With `regex`, `text` is a regular expression of Python (`(?i)` ignores case). With `trained_only`, only text
        that is trained counts. Decodes shard by shard. Raises DatasetError if the text is empty, or the expression is
        not valid.
        """
        from sftdata.view.find.search import search

        return SampleTable(self.dataset, search(self.dataset, self.numbers, text, regex, trained_only))

    def sort(self, key: str, descending: bool = False) -> SampleTable:
        """The same samples sorted by `num_tokens`, `num_trained_tokens`, `trained_share`, or `where`: the order of the
        input. Equal ones keep their order. Raises DatasetError, a KeyError, for another key.
        """
        if key not in SORT_KEYS:
            raise NoSuchNameError(repr(key), "is nothing to sort by", f"sort by one of {', '.join(SORT_KEYS)}")
        values: npt.NDArray[Any]
        if key == "where":
            values = self._origins.row_of[self.numbers]
        elif key == "trained_share":
            values = self._values("num_trained_tokens") / self._values("num_tokens")
        else:
            values = self._values(key)
        order = np.argsort(-values if descending else values, kind="stable")
        return SampleTable(self.dataset, self.numbers[order])

    def random(self, n: int, seed: int = 0) -> SampleTable:
        """`n` of the samples at random, or all if there are no more; the same ones for the same seed."""
        order = random.Random(seed).sample(range(len(self)), min(max(n, 0), len(self)))
        return SampleTable(self.dataset, self.numbers[np.array(order, np.int64)])

    @property
    def num_tokens(self) -> Ints:
        """The number of tokens of each sample."""
        return self._values("num_tokens")

    @property
    def num_trained_tokens(self) -> Ints:
        """The number of trained tokens of each sample."""
        return self._values("num_trained_tokens")

    def to_arrow(self) -> pa.Table:
        """A row for each sample: where it comes from, where it is, and its lengths."""
        places = self.dataset.columns.places[:, self.numbers]
        paths = pa.array([entry.path for entry in self.dataset.shards], pa.string())
        names = pa.array([entry.split for entry in self.dataset.shards], pa.string())
        shard = pa.array(places[0])
        origins = self.dataset.origins
        rows = None if origins is None else pa.array(origins.row_of[self.numbers])
        given = {
            name: pa.nulls(len(self), pa.string()) if origins is None else getattr(origins, name).take(rows)
            for name in ("where", "source", "record_id")
        }
        given["source"] = given["source"].cast(pa.string())
        return pa.table(
            {
                **given,
                "split": names.take(shard),
                "shard": paths.take(shard),
                "row": places[1],
                "index": places[2],
                "num_tokens": self.num_tokens,
                "num_trained_tokens": self.num_trained_tokens,
            }
        )

    def to_pandas(self) -> Any:
        """The same as a pandas.DataFrame."""
        return self.to_arrow().to_pandas()

    def __repr__(self) -> str:
        lines = [f"<{pluralize(len(self), 'sample')} of {self.dataset.name}>"]
        lines += [f"  {sample!r}" for sample in self[:_SHOWN]]
        return "\n".join([*lines, f"  ... and {len(self) - _SHOWN:,} more"] if len(self) > _SHOWN else lines)

    def _repr_html_(self) -> str:
        from sftdata.view import html
        from sftdata.view.html.rows import samples_index

        title = f"{pluralize(len(self), 'sample')} of {self.dataset.name}"
        return samples_index(self) + html.samples_html(self, title, _SHOWN_AS_HTML)

    @property
    def _origins(self) -> Origins:
        origins = self.dataset.origins
        if origins is None:
            what = "contains no ledger, so it is not known which rows its samples come from"
            raise DatasetError(str(self.dataset.path), what, "give a folder written by `sftdata prepare`")
        return origins

    def _chosen_source(self, source: str) -> pa.Array:
        """Which packed rows are of a source. Raises NoSuchNameError if the dataset has no such source."""
        column = self._origins.source
        configured = [one.path for one in self.dataset.manifest.parts.sources]
        known = list(dict.fromkeys([*configured, *column.dictionary.to_pylist()]))
        named = [name for name in known if name == source] or [name for name in known if name.endswith(f"/{source}")]
        if not named:
            raise no_such_source(str(self.dataset.path), source, known)
        return pc.is_in(column.cast(pa.string()), value_set=pa.array(named, pa.string()))

    def _in_split(self, split: str) -> Any:
        self.dataset.split(split)  # raises
        ends = np.cumsum([entry.samples for entry in self.dataset.shards])
        shards = np.searchsorted(ends, self.numbers, side="right")
        return np.array([entry.split == split for entry in self.dataset.shards], np.bool_)[shards]

    def _values(self, name: str) -> Ints:
        columns = self.dataset.columns
        counted = columns.num_tokens if name == "num_tokens" else columns.num_trained_tokens
        return counted[self.numbers]


def no_such_source(where: str, source: str, known: Sequence[str]) -> NoSuchNameError:
    """The error for a source that a dataset does not have."""
    shown = ", ".join(known[:5]) + (f" and {len(known) - 5} more" if len(known) > 5 else "")
    return NoSuchNameError(where, f"has no source {source}", f"its sources are {shown}" if known else "it has none")
