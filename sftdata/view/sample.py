"""Samples and sequences of a dataset, as they are accessed."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, SupportsIndex

from sftdata.errors import DatasetError, NoSuchItemError, pluralize
from sftdata.records.labels import IGNORE
from sftdata.view import html
from sftdata.view.decoder import Decoder, TokenSpan
from sftdata.view.find.turns import SampleMessage, messages_of
from sftdata.view.summary import token_counts

if TYPE_CHECKING:
    from sftdata.view.dataset import Dataset


@dataclass(frozen=True, repr=False)
class Shown:
    """What a notebook shows: HTML, and what is printed elsewhere."""

    html: str
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One sample of a sequence: its ids and labels, where it is, and which row of the input it comes from."""

    record_id: str
    input_ids: Sequence[int]
    labels: Sequence[int]  # the id if trained, else -100; not shifted
    shard: str  # as in the manifest, e.g. train/00000-of-00008.arrow
    row: int  # the sequence within the shard, as in the ledger's places
    index: int  # within the sequence
    decoder: Decoder = field(repr=False)
    control_ids: frozenset[int] = field(repr=False)
    number: int = 0  # among all samples of the dataset or split that was opened
    dataset: Dataset | None = field(default=None, repr=False)

    @property
    def num_tokens(self) -> int:
        """The number of tokens, trained or not."""
        return len(self.input_ids)

    @property
    def num_trained_tokens(self) -> int:
        """The number of tokens with loss."""
        return sum(label != IGNORE for label in self.labels)

    @property
    def text(self) -> str:
        """The whole sample decoded, including control tokens."""
        return self.decoder.decode(self.input_ids)

    @property
    def messages(self) -> tuple[SampleMessage, ...]:
        """The messages, if the marks of the template prove them: roles, texts, and what is trained.

        The roles and texts are those that the template writes. See sftdata/view/find/turns.py.
        """
        return messages_of(self)

    @property
    def where(self) -> str | None:
        """File and line of the row that the sample comes from, as in `chats.jsonl:17`; None without a ledger."""
        origins = None if self.dataset is None else self.dataset.origins
        return None if origins is None else origins.where_of(self.number)

    @property
    def place(self) -> str | None:
        """As `where`, if that is at hand: None also where the ledger is damaged, or too large to read for a name."""
        if self.dataset is None or not self.dataset.can_name_rows:
            return None
        with suppress(DatasetError):  # the tokens can be shown without it; verify says what is wrong
            return self.where
        return None

    @property
    def source(self) -> str | None:
        """The source of that row, as configured; None without a ledger."""
        origins = None if self.dataset is None else self.dataset.origins
        return None if origins is None else origins.source_of(self.number)

    @property
    def split(self) -> str:
        """The split that the sample is in."""
        return self.shard.partition("/")[0]

    @property
    def is_plain_text(self) -> bool:
        """Whether it was trained as text, without a template."""
        manifest = None if self.dataset is None else self.dataset.manifest
        if manifest is None or (manifest.template is not None and not manifest.text_sources):
            return False
        return manifest.template is None or self.source in manifest.text_sources

    @property
    def end_ids(self) -> Sequence[int]:
        """The tokens that end a turn."""
        return () if self.dataset is None else self.dataset.manifest.tokenizer.end_of_turn_ids

    @property
    def title(self) -> str:
        """Where the sample is, in one line."""
        return f"sample {self.index} of sequence {self.row} in {self.shard}"

    @property
    def counts(self) -> str:
        """Its number of tokens and the trained share, in a few words."""
        return token_counts(self.num_tokens, self.num_trained_tokens)

    def spans(self) -> list[TokenSpan]:
        """The text of each token, in order. Joined, they are `text`."""
        return self.decoder.spans(self.input_ids)

    def __repr__(self) -> str:
        return f"<{self.title}: {self.counts}, record {self.record_id}>"

    def show(self, *, tokens: bool = True) -> Shown:
        """The sample for a notebook with a switch to its tokens, however large that is; or its text alone."""
        return Shown(html.page([html.sample_chat(self, tokens)]), repr(self))

    def _repr_html_(self) -> str:
        return html.sample_html(self)


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One packed row: the samples in one sequence of training, in order."""

    samples: tuple[Sample, ...]
    shard: str
    row: int  # within the shard
    number: int  # within the dataset or split that was opened

    @property
    def num_tokens(self) -> int:
        """The number of tokens, trained or not."""
        return sum(sample.num_tokens for sample in self.samples)

    @property
    def num_trained_tokens(self) -> int:
        """The number of tokens with loss."""
        return sum(sample.num_trained_tokens for sample in self.samples)

    @property
    def title(self) -> str:
        """Where the sequence is and what it contains, in one line."""
        counts = f"{pluralize(len(self.samples), 'sample')}, {token_counts(self.num_tokens, self.num_trained_tokens)}"
        return f"sequence {self.number} ({self.row} of {self.shard}): {counts}"

    def __repr__(self) -> str:
        return f"<{self.title}>"

    def show(self, *, tokens: bool = True) -> Shown:
        """The sequence for a notebook with a switch to the tokens, however large that is; or its text alone."""
        return Shown(html.page([html.sample_chat(one, tokens) for one in self.samples]), repr(self))

    def _repr_html_(self) -> str:
        return html.row_html(self)


def resolve(number: SupportsIndex, length: int, noun: str, where: str) -> int:
    """The number as an index from 0. Raises NoSuchItemError if it is out of range."""
    at = operator.index(number)
    if not -length <= at < length:
        known = f"{noun}s are numbered 0 to {length - 1:,}" if length else f"there are no {noun}s"
        raise NoSuchItemError(where, f"has no {noun} {at:,}", known)
    return at % length
