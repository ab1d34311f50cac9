"""The part of a report with samples: as chats, with what searches and filters them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sftdata.errors import pluralize
from sftdata.safe.control_chars import html_safe
from sftdata.view.html.chat import SWITCH, fitted_chat
from sftdata.view.report.samples import Shown

MAX_BYTES = 24_000  # of the HTML of a sample
MAX_SOURCES = 200  # of the filter
# Groups of a filter, by the number from which on a sample is in each, and what they are called.
_LENGTHS = ((0, "under 100 tokens"), (100, "100 to 499 tokens"), (500, "500 to 1,999 tokens"), (2000, "2,000 or more"))
_SHARES = ((0, "under 10% trained"), (10, "10 to 49% trained"), (50, "50% or more trained"))
_TURNS = ((0, "no trained turn"), (1, "one trained turn"), (2, "2 or 3 trained turns"), (4, "4 or more trained turns"))


class _Filter(NamedTuple):
    """A choice: what it is called while nothing is chosen, the names of groups, and the group of each sample."""

    every: str
    groups: Sequence[str]
    group_of: Sequence[int]


def samples_html(shown: Sequence[Shown], passed: int, total: int, room: int) -> str:
    """Samples with what finds some of them, which the script of the page shows; in about `room` bytes."""
    if not shown:
        why = "Nothing was packed." if not total else "No sample was found that holds no personal data."
        return f"<p>{why}</p>"
    size = min(MAX_BYTES, room // max(1, len(shown)))
    filters = _filters(shown)
    boxes = []
    for number, one in enumerate(shown):
        groups = " ".join(f"{at}-{choice.group_of[number]}" for at, choice in enumerate(filters))
        boxes.append(f'<div class="one" data-in=" {groups} ">{fitted_chat(one.sample, size)}</div>')
    return (
        f"<p>{_how_chosen(shown, total)}{_passed(passed)}</p>"
        '<p class="legend"><mark>trained</mark> <span>not trained</span> <span class="g">template text</span> '
        "<kbd>control token</kbd></p>"
        f'{_tools(filters)}<div class="samples">{SWITCH}<div class="list">{"".join(boxes)}</div></div>'
    )


def _how_chosen(shown: Sequence[Shown], total: int) -> str:
    if len(shown) == total:
        return f"All {pluralize(total, 'sample')}."
    some = f"{len(shown):,} of {pluralize(total, 'sample')}"
    if not shown[0].source:
        return f"{some}, evenly from the first to the last."
    several = len({one.source for one in shown}) > 1
    return (
        f"{some}, {'from each source in turn' if several else 'chosen'}: short, medium and long ones (thirds of all "
        "lengths), with little, medium and much of them trained (thirds of all shares), with one and with several "
        "trained turns; within each of these groups by a hash, so that the same dataset shows the same ones."
    )


def _passed(number: int) -> str:
    if not number:
        return ""
    were, them = ("was", "it") if number == 1 else ("were", "them")
    return f" {number:,} more {were} passed over for the personal data in {them}."


def _filters(shown: Sequence[Shown]) -> list[_Filter]:
    """What the samples differ in."""
    samples = [one.sample for one in shown]
    sources = list(dict.fromkeys(one.source for one in shown))
    lengths = [one.num_tokens for one in samples]
    shares = [100 * one.num_trained_tokens // max(1, one.num_tokens) for one in samples]
    turns = [one.turns for one in shown]
    found = [_Filter("all sources", sources[:MAX_SOURCES], [sources.index(one.source) for one in shown])]
    for every, groups, values in (
        ("all lengths", _LENGTHS, lengths),
        ("all trained shares", _SHARES, shares),
        ("all numbers of turns", _TURNS, turns),
    ):
        of = [max(at for at, (least, _) in enumerate(groups) if value >= least) for value in values]
        found.append(_Filter(every, [name for _, name in groups], of))
    return [one for one in found if len(set(one.group_of)) > 1]


def _tools(filters: Sequence[_Filter]) -> str:
    """Search and filters, hidden until the script of the page is there."""
    selects = []
    for number, choice in enumerate(filters):
        options = "".join(
            f'<option value="{number}-{at}">{html_safe(name)} ({choice.group_of.count(at)})</option>'
            for at, name in enumerate(choice.groups)
            if at in choice.group_of
        )
        selects.append(
            f'<select aria-label="{choice.every}"><option value="">{choice.every}</option>{options}</select>'
        )
    return (
        f'<div class="tools find" hidden><input type="search" placeholder="search these samples" '
        f'aria-label="search these samples">{"".join(selects)}<span class="found" aria-live="polite"></span></div>'
    )
