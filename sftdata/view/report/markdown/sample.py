"""A masked sample as lines of text: those that are trained begin with a plus, as in a diff, which many pages colour.

  <|im_start|>assistant
+ Paris.<|im_end|>
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc

from sftdata.records.labels import IGNORE
from sftdata.view.dataset import Dataset
from sftdata.view.report.samples import is_private
from sftdata.view.report.texts import Masked
from sftdata.view.sample import Sample

GOOD_LENGTH = 200  # tokens of a sample that is looked for: it fits on a screen
MAX_TRIED = 50
MAX_COMPARED = 20  # of these by how much of them is trained
MAX_CHARS, MAX_LINES = 600, 12  # of a part of a sample, trained or not
MAX_PARTS = 12
WIDTH = 100  # characters of a line


class MaskedText(NamedTuple):
    """A sample as lines, whether a line had to be broken for that, and the sample."""

    text: str
    is_broken: bool
    sample: Sample


def masked_text(dataset: Dataset, masked: Masked) -> MaskedText | None:
    """A sample of the first shard, of a usual length and trained share; None if all that were tried hold personal data.

    Raises DatasetError if the shard is damaged.
    """
    numbers = _candidates(dataset)
    if not numbers:
        return None
    usual = sum(one.trained_tokens for one in dataset.shards) / sum(one.tokens for one in dataset.shards)
    near = [dataset.sample(number) for number in numbers[:MAX_COMPARED]]
    near.sort(key=lambda one: abs(one.num_trained_tokens / one.num_tokens - usual))
    others = (dataset.sample(number) for number in numbers[MAX_COMPARED:MAX_TRIED])
    for sample in chain(near, others):
        if sample.num_trained_tokens and not is_private(sample, masked):
            return MaskedText(*_lines(_parts(sample)), sample)
    return None


def _candidates(dataset: Dataset) -> list[int]:
    """The numbers of the samples to try: those of the first shard whose length is nearest to a good one."""
    if not dataset.shards:
        return []
    lengths = pc.list_flatten(dataset.shard_table(0)["seq_lengths"]).to_numpy()
    if not len(lengths):
        return []
    distance = np.abs(lengths - min(GOOD_LENGTH, int(np.median(lengths))))
    return [int(number) for number in np.argsort(distance, kind="stable")[:MAX_TRIED]]


def _parts(sample: Sample) -> list[tuple[str, bool]]:
    """The text of a sample in parts that are trained, or not."""
    parts: list[tuple[str, bool]] = []
    for span in sample.spans():
        is_trained = any(label != IGNORE for label in sample.labels[span.start : span.end])
        if parts and parts[-1][1] == is_trained:
            parts[-1] = (parts[-1][0] + span.text, is_trained)
        else:
            parts.append((span.text, is_trained))
    return parts


def _lines(parts: Sequence[tuple[str, bool]]) -> tuple[str, bool]:
    """The parts below each other, and whether a line goes on below."""
    lines: list[str] = []
    is_broken = is_inside = False
    for number, (text, is_trained) in enumerate(parts):
        if number == MAX_PARTS:
            lines.append(f"@@ {len(parts) - number:,} more parts @@")
            break
        if is_inside and text.startswith("\n"):  # the end of the line above
            text, is_inside = text[1:], False
        if not text:
            continue
        mark = "+" if is_trained else " "
        for at, line in enumerate(_shortened(text.removesuffix("\n"))):
            if line is None:
                lines.append("@@ some of it is left out here @@")
                continue
            for place, piece in enumerate(_folded(line)):
                goes_on = place > 0 or (is_inside and at == 0)
                is_broken |= goes_on
                lines.append(f"{mark}{'>' if goes_on else ' '}{piece}" if piece else mark.rstrip())
        is_inside = not text.endswith("\n")
    return "\n".join(lines), is_broken


def _folded(line: str) -> Iterator[str]:
    """A line in pieces of at most WIDTH characters, which end behind a space where they can."""
    while len(line) > WIDTH:
        end = line.rfind(" ", 0, WIDTH) + 1 or WIDTH
        yield line[:end]
        line = line[end:]
    yield line


def _shortened(text: str) -> Iterator[str | None]:
    """The lines of a text; of a long one its first and last ones, with None between them."""
    lines = text.split("\n")
    if len(text) <= MAX_CHARS and len(lines) <= MAX_LINES:
        yield from lines
        return
    half = MAX_CHARS // 2
    first, last = text[:half].split("\n"), text[-half:].split("\n")
    if len(text) <= MAX_CHARS:
        first, last = lines[: MAX_LINES // 2], lines[-MAX_LINES // 2 :]
    yield from first[: MAX_LINES // 2]
    yield None
    yield from last[-MAX_LINES // 2 :]
