"""What two datasets made of their rows: which came, went, or have another fate, and what else differs.

Rows are the same if their record ids are, which depend on their content alone: it does not matter in which line they
are. Rows that could not be parsed have none, and are the same if they were dropped for the same reason with the same
detail. What is left is compared by file and line: a row of other content in the same place. Of each row of a ledger
some fifty bytes are in memory; names are read again for the rows that differ.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sftdata.errors import with_known_names
from sftdata.store.checked import check_file
from sftdata.view.find.compare.keys import Ints, NarrowLedger, joined, row_names

if TYPE_CHECKING:
    from sftdata.view.dataset import Dataset

TEMPLATE = "tokenizer/chat_template.jinja"
EXAMPLES = 3  # rows that are named of each change
_TEMPLATE_LINES = 20  # of the difference between two templates
WHATS = ("fate", "content", "tokens", "came", "went")


class Change(NamedTuple):
    """Rows that changed in one way. `what` is `fate`, `came`, `went`, `content` (another row in the same place), or
    `tokens` (the same row, packed with other numbers of tokens).
    """

    what: str
    before: str | None  # `packed in train`, `dropped: duplicate`, ...; None where the row was not there
    after: str | None
    rows: int
    examples: tuple[str, ...]  # file and line, in the later dataset if the row is there


class SourceChange(NamedTuple):
    """A source before and after."""

    source: str
    rows: tuple[int, int]
    packed: tuple[int, int]
    tokens: tuple[int, int]  # of its packed rows, as are the next
    trained_tokens: tuple[int, int]


class ValueChange(NamedTuple):
    """A setting, or the version of a program, before and after; None where it is not there."""

    key: str
    before: Any
    after: Any


@dataclass(frozen=True, eq=False)
class Diff:
    """What differs between two datasets. It is shown as text; `to_dict` is what `--json` prints."""

    names: tuple[str, str]
    same_shards: bool  # the shards have the same bytes
    same_rows: int  # rows with the same content, fate and lengths
    changes: tuple[Change, ...]  # of each kind, most rows first
    sources: tuple[SourceChange, ...]
    settings: tuple[ValueChange, ...]
    tokenizers: tuple[str, str] | None  # their names, if they differ
    template: tuple[str, ...] | None  # the lines that differ, as `diff -u` shows them, if the templates differ
    versions: tuple[ValueChange, ...]  # of the programs, which are no difference by themselves
    pairs: RowPairs

    @property
    def is_same(self) -> bool:
        """Whether shards, rows, settings, tokenizer and template are the same."""
        differs = self.changes or self.settings or self.tokenizers is not None or self.template is not None
        return self.same_shards and not differs

    def to_arrow(self) -> pa.Table:
        """A row for each row that changed: what, where it was and is, and its fates."""
        return self.pairs.table()

    def to_pandas(self) -> Any:
        """The same as a pandas.DataFrame."""
        return self.to_arrow().to_pandas()

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON has it, with every row that changed."""
        found: dict[str, Any] = {"same": self.is_same}
        for name in ("names", "same_shards", "same_rows", "tokenizers", "template"):
            found[name] = getattr(self, name)
        for name in ("changes", "sources", "settings", "versions"):
            found[name] = [one._asdict() for one in getattr(self, name)]
        return {**found, "rows": self.to_arrow().to_pylist()}

    def __str__(self) -> str:
        from sftdata.view.find.compare.lines import diff_lines
        from sftdata.view.layout import PLAIN_WIDTH, plain

        return "\n".join(plain(diff_lines(self, PLAIN_WIDTH)))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from sftdata.view.html.rows import diff_html

        return diff_html(self)


def compare(before: Dataset, after: Dataset) -> Diff:
    """What differs. Raises DatasetError if one has no ledger, or it is damaged."""
    old, new = (NarrowLedger.load(one.path, one.manifest) for one in (before, after))
    pairs = RowPairs(before, after, old, new)
    ours, theirs = before.manifest, after.manifest
    is_other = ours.tokenizer.sha256 != theirs.tokenizer.sha256
    return Diff(
        names=(with_known_names(str(before.path)), with_known_names(str(after.path))),
        same_shards=ours.dataset_hash == theirs.dataset_hash,
        same_rows=pairs.num_same,
        changes=tuple(pairs.changes()),
        sources=tuple(_sources(old, new)),
        settings=tuple(_differing(_flat(ours.config), _flat(theirs.config))),
        tokenizers=(ours.tokenizer.source, theirs.tokenizer.source) if is_other else None,
        template=_template_lines(before, after),
        versions=tuple(_differing(ours.versions, theirs.versions)),
        pairs=pairs,
    )


class RowPairs:
    """The rows of two ledgers side by side, and in what each pair differs."""

    def __init__(self, before: Dataset, after: Dataset, old: NarrowLedger, new: NarrowLedger) -> None:
        self._before, self._after, self._old, self._new = before, after, old, new
        self._a, self._b = joined(old.keys, new.keys)
        is_content = self._pair_places()
        both = (self._a >= 0) & (self._b >= 0)
        a, b = self._a[both], self._b[both]
        what = np.full(len(self._a), -1, np.int8)
        known = {state: number for number, state in enumerate(old.states)}
        renumbered = np.array([known.get(state, -1) for state in new.states], np.int32)
        is_other_fate = old.state[a] != renumbered[new.state[b]]
        lengths = [(one.num_tokens, one.num_trained_tokens) for one in (old, new)]
        is_other_length = old.is_packed[a] & np.any([x[a] != y[b] for x, y in zip(*lengths)], axis=0)
        what[both] = np.select([is_content[both], is_other_fate, is_other_length], [1, 0, 2], -1)
        what[self._a < 0], what[self._b < 0] = WHATS.index("came"), WHATS.index("went")
        self._what = what

    def _pair_places(self) -> npt.NDArray[np.bool_]:
        """Put rows without another half beside those with the same name; which pairs are such."""
        went, came = np.flatnonzero(self._b < 0), np.flatnonzero(self._a < 0)
        is_content = np.zeros(len(self._a), np.bool_)
        if not len(went) or not len(came):
            return is_content
        ours = row_names(self._before.path, self._before.manifest, self._a[went])
        theirs = row_names(self._after.path, self._after.manifest, self._b[came])
        at = pc.fill_null(pc.index_in(ours, value_set=theirs), -1).to_numpy()
        self._b[went[at >= 0]] = self._b[came[at[at >= 0]]]
        is_content[went[at >= 0]] = True
        is_left = np.ones(len(self._a), np.bool_)
        is_left[came[at[at >= 0]]] = False
        self._a, self._b = self._a[is_left], self._b[is_left]
        return is_content[is_left]

    @property
    def num_same(self) -> int:
        """The number of rows with the same content, fate and lengths."""
        return int((self._what < 0).sum())

    @cached_property
    def _changed(self) -> Ints:
        return np.flatnonzero(self._what >= 0)

    def changes(self) -> Iterator[Change]:
        """The kinds of changes, in the order of WHATS, of each kind those with most rows first."""
        at = self._changed
        old = np.where(self._a[at] < 0, -1, self._old.state[self._a[at]])
        new = np.where(self._b[at] < 0, -1, self._new.state[self._b[at]])
        kinds, inverse, counts = np.unique(
            np.stack([self._what[at], old, new]), axis=1, return_inverse=True, return_counts=True
        )
        order = sorted(range(len(counts)), key=lambda kind: (kinds[0, kind], -counts[kind], *kinds[1:, kind].tolist()))
        for kind in order:
            rows = at[np.flatnonzero(inverse.reshape(-1) == kind)[:EXAMPLES]]
            names = self._names(rows)
            before, after = (
                None if code < 0 else ledger.fate(int(np.flatnonzero(ledger.state == code)[0]))
                for code, ledger in ((kinds[1, kind], self._old), (kinds[2, kind], self._new))
            )
            shown = tuple(str(later or earlier) for earlier, later in names)
            yield Change(WHATS[int(kinds[0, kind])], before, after, int(counts[kind]), shown)

    def table(self, most: int | None = None) -> pa.Table:
        """A row for each row that changed, or for the first ones."""
        at = self._changed[:most]
        names = list(zip(*self._names(at))) or [(), ()]
        fates = [
            pa.array([None if row < 0 else ledger.fate(row) for row in rows[at].tolist()], pa.string())
            for rows, ledger in ((self._a, self._old), (self._b, self._new))
        ]
        return pa.table(
            {
                "what": pa.array([WHATS[code] for code in self._what[at].tolist()], pa.string()),
                "where_before": pa.array(names[0], pa.string()),
                "where_after": pa.array(names[1], pa.string()),
                "before": fates[0],
                "after": fates[1],
            }
        )

    def _names(self, pairs: Ints) -> list[tuple[str | None, str | None]]:
        """File and line of these pairs, before and after."""
        sides = []
        for rows, dataset in ((self._a[pairs], self._before), (self._b[pairs], self._after)):
            found = iter(row_names(dataset.path, dataset.manifest, rows[rows >= 0]).to_pylist())
            sides.append([None if row < 0 else next(found) for row in rows.tolist()])
        return list(zip(*sides, strict=True))


def _sources(old: NarrowLedger, new: NarrowLedger) -> Iterator[SourceChange]:
    """Each source of the two, in the order of the first."""
    for name in dict.fromkeys((*old.sources, *new.sources)):
        counted = []
        for ledger in (old, new):
            is_own = ledger.source == (ledger.sources.index(name) if name in ledger.sources else -1)
            is_packed = is_own & ledger.is_packed
            tokens = (int(column[is_packed].sum()) for column in (ledger.num_tokens, ledger.num_trained_tokens))
            counted.append((int(is_own.sum()), int(is_packed.sum()), *tokens))
        yield SourceChange(name, *zip(*counted))


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Settings by their dotted names."""
    if isinstance(value, Mapping) and value:
        return {key: one for name, inner in value.items() for key, one in _flat(inner, f"{prefix}{name}.").items()}
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        return {key: one for at, inner in enumerate(value) for key, one in _flat(inner, f"{prefix}{at}.").items()}
    return {prefix.rstrip("."): value} if prefix else {}


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[ValueChange]:
    """The values that differ, by their names."""
    for key in dict.fromkeys((*before, *after)):
        if before.get(key) != after.get(key):
            yield ValueChange(key, before.get(key), after.get(key))


def _template_lines(before: Dataset, after: Dataset) -> tuple[str, ...] | None:
    """The lines in which the chat templates differ; None if they are the same. Raises DatasetError if one is damaged
    on disk.
    """
    hashes = [None if one.manifest.template is None else one.manifest.template.sha256 for one in (before, after)]
    if hashes[0] == hashes[1]:
        return None
    texts = []
    for one in (before, after):
        entry = next((file for file in one.manifest.files if file.path == TEMPLATE), None)
        text = "" if entry is None else check_file(one.path, entry).read_text(encoding="utf-8", errors="replace")
        texts.append(text.splitlines())
    lines = list(difflib.unified_diff(texts[0], texts[1], "before", "after", lineterm="", n=1))[2:]
    more = len(lines) - _TEMPLATE_LINES
    return (*lines[:_TEMPLATE_LINES], *([f"... {more:,} more lines"] if more > 0 else []))
