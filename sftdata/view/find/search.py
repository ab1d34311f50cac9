"""Search: which samples have a text in what their tokens decode to.

A text can be split into tokens in many ways, so ids are not compared, but decoded: one batch of sequences at a time.
Where each token stands for bytes of its own (byte-level vocabularies, which most models have), the text of a batch is
put together from them, some twenty million tokens a second; elsewhere the tokenizers library decodes sample by sample.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sftdata.errors import DatasetError
from sftdata.records.labels import IGNORE
from sftdata.view.decoder import MAX_CHARS
from sftdata.view.find.columns import flat
from sftdata.view.find.origins import Ints

if TYPE_CHECKING:
    from sftdata.view.dataset import Dataset
    from sftdata.view.sample import Sample

_AT_ONCE = 256  # samples that the library decodes at a time
_REPLACED = "\ufffd"  # in place of bytes that are no text: no token has it


class Query(NamedTuple):
    """What is searched for."""

    text: str
    regex: re.Pattern[str] | None
    trained_only: bool

    def places(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the query is in a text: begin and end of each place."""
        if self.regex is not None:
            yield from (match.span() for match in self.regex.finditer(text))
            return
        at = text.find(self.text)
        while at >= 0:
            yield at, at + len(self.text)
            at = text.find(self.text, at + 1)


def query_of(text: str, regex: bool = False, trained_only: bool = False) -> Query:
    """A query. Raises DatasetError if the text is empty, or the expression is not valid."""
    if not text:
        raise DatasetError("search", "the text to search for is empty", "give some text")
    try:
        return Query(text, re.compile(text) if regex else None, trained_only)
    except (re.error, RecursionError, OverflowError) as error:
        raise DatasetError(f"search {text!r}", f"is not a regular expression ({error})", "see re in Python") from error


def search(dataset: Dataset, numbers: Ints, text: str, regex: bool = False, trained_only: bool = False) -> Ints:
    """Those of these samples, in their order, that have the text. Raises DatasetError as `query_of`."""
    query = query_of(text, regex, trained_only)
    wanted = np.zeros(dataset.num_samples, np.bool_)
    wanted[numbers] = True
    has = np.zeros(dataset.num_samples, np.bool_)
    first = 0
    for shard, entry in enumerate(dataset.shards):
        if not wanted[first : first + entry.samples].any():
            first += entry.samples
            continue
        for batch in dataset.shard_table(shard).to_batches():
            tokens = _Tokens.of(batch)
            last = first + tokens.num_samples
            found = _search_batch(dataset, tokens, wanted[first:last], query)
            has[first + np.array(found, np.int64)] = True
            first = last
    return numbers[has[numbers]]


def first_place(sample: Sample, query: Query) -> tuple[int, int] | None:
    """The first place in the text of a sample where the query is; of trained text, if that alone is searched."""
    text = sample.text
    if not query.trained_only:
        return next(query.places(text), None)
    at = 0
    begin, run = 0, ""
    for span in [*sample.spans(), None]:
        is_trained = span is not None and all(label != IGNORE for label in sample.labels[span.start : span.end])
        if is_trained and span is not None:
            begin, run = (begin, run) if run else (at, "")
            run += span.text
        elif run:
            if (place := next(query.places(run), None)) is not None:
                return begin + place[0], begin + place[1]
            run = ""
        at += 0 if span is None else len(span.text)
    return None


class _Tokens(NamedTuple):
    """The tokens of a batch, and where its samples begin; one entry more for the end."""

    ids: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int32]
    starts: Ints

    @staticmethod
    def of(batch: pa.RecordBatch) -> _Tokens:
        ends = np.cumsum(flat(batch, "seq_lengths"), dtype=np.int64)
        return _Tokens(flat(batch, "input_ids"), flat(batch, "labels"), np.concatenate([[0], ends]))

    @property
    def num_samples(self) -> int:
        return len(self.starts) - 1

    def ids_of(self, at: int) -> list[int]:
        ids: list[int] = self.ids[self.starts[at] : self.starts[at + 1]].tolist()
        return ids


def _search_batch(dataset: Dataset, tokens: _Tokens, wanted: npt.NDArray[np.bool_], query: Query) -> list[int]:
    """The wanted samples of a batch that have the query, by their numbers in the batch."""
    table = dataset.decoder.byte_table
    if table is not None and table.num_bytes(tokens.ids) <= MAX_CHARS and _REPLACED not in query.text:
        data, ends = table.text(tokens.ids)
        if query.regex is None:
            return _find_bytes(data, ends, tokens, wanted, query)
        return [at for at in np.flatnonzero(wanted).tolist() if _matches_bytes(data, ends, tokens, at, query)]
    found = []
    numbers = np.flatnonzero(wanted).tolist()
    for start in range(0, len(numbers), _AT_ONCE):
        some = numbers[start : start + _AT_ONCE]
        texts = dataset.decoder.decode_many([tokens.ids_of(at) for at in some])
        hits = [at for at, text in zip(some, texts, strict=True) if next(query.places(text), None) is not None]
        found += [at for at in hits if not query.trained_only or _is_in_trained(dataset, tokens, at, query)]
    return found


def _find_bytes(data: bytes, ends: Ints, tokens: _Tokens, wanted: npt.NDArray[np.bool_], query: Query) -> list[int]:
    """As `_search_batch`, in the joined texts of all samples; `ends` are those of the tokens in it."""
    needle = query.text.encode("utf-8", "surrogatepass")
    edges = np.concatenate([[0], ends])[tokens.starts]  # of samples, in bytes
    found: list[int] = []
    at = data.find(needle)
    while at >= 0:
        sample = int(np.searchsorted(edges, at, side="right")) - 1
        is_hit = wanted[sample] and at + len(needle) <= edges[sample + 1]
        if is_hit and (not query.trained_only or _is_trained(ends, tokens, at, at + len(needle))):
            found.append(sample)
            at = data.find(needle, int(edges[sample + 1]))
        else:
            at = data.find(needle, at + 1 if wanted[sample] else int(edges[sample + 1]))
    return found


def _is_trained(ends: Ints, tokens: _Tokens, first: int, last: int) -> bool:
    """Whether all tokens are trained that have bytes in [first, last)."""
    begin, end = np.searchsorted(ends, first, side="right"), np.searchsorted(ends, last, side="left") + 1
    return bool((tokens.labels[begin:end] != IGNORE).all())


def _matches_bytes(data: bytes, ends: Ints, tokens: _Tokens, at: int, query: Query) -> bool:
    """Whether a sample, whose text is in `data`, has the query."""
    begin, end = tokens.starts[at : at + 2].tolist()
    start = int(ends[begin - 1]) if begin else 0
    raw = data[start : int(ends[end - 1])]
    text = raw.decode("utf-8", "replace")
    if not query.trained_only:
        return next(query.places(text), None) is not None
    if len(text.encode()) != len(raw):  # bytes that are no text: places in text are not those in bytes
        return False if next(query.places(text), None) is None else _any_run(text, raw, ends, tokens, at, query)
    for first, last in query.places(text):
        low = start + len(text[:first].encode())
        if last > first and _is_trained(ends, tokens, low, low + len(text[first:last].encode())):
            return True
    return False


def _any_run(text: str, raw: bytes, ends: Ints, tokens: _Tokens, at: int, query: Query) -> bool:
    """Whether a trained run of a sample, decoded by itself, has the query."""
    begin, end = tokens.starts[at : at + 2].tolist()
    start = int(ends[begin - 1]) if begin else 0
    is_trained = tokens.labels[begin:end] != IGNORE
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_trained, [False]]).astype(np.int8)))
    offsets = np.concatenate([[start], ends[begin:end]]) - start
    runs = (raw[offsets[first] : offsets[last]] for first, last in edges.reshape(-1, 2))
    return any(next(query.places(run.decode("utf-8", "replace")), None) is not None for run in runs)


def _is_in_trained(dataset: Dataset, tokens: _Tokens, at: int, query: Query) -> bool:
    """Whether the query is in trained text of a sample alone, by the spans of its tokens."""
    begin, end = tokens.starts[at : at + 2].tolist()
    labels = tokens.labels[begin:end]
    run = ""
    runs = []
    for span in dataset.decoder.spans(tokens.ids_of(at)):
        if (labels[span.start : span.end] != IGNORE).all():
            run += span.text
        elif run:
            runs.append(run)
            run = ""
    return any(next(query.places(one), None) is not None for one in (*runs, run))
