"""Precision and recall on the labelled set, and the figures that docs/privacy.md gives."""

from __future__ import annotations

import re
from functools import cache

import pytest
from labelled import KINDS, PARTS, cases, luhn_digit, mod97_digits
from measure import DOCUMENT, Measure, measure, ours, rows, table


@cache
def measured(*parts: str) -> Measure:
    return measure(ours, parts)


@pytest.mark.parametrize("kind", KINDS)
def test_at_least_98_in_100_findings_are_right_and_95_in_100_answers_are_found(kind: str) -> None:
    result = measured(*PARTS)
    misses = "\n".join(miss for miss in result.misses if f": {kind} " in miss)
    print(misses)
    assert result.precision(kind) >= 0.98 and result.recall(kind) >= 0.95, misses


def test_the_set_has_more_than_300_positives_and_2000_look_alikes_and_some_of_each_kind() -> None:
    result = measured(*PARTS)
    assert result.positives.total() >= 300 and result.look_alikes.total() >= 2000
    assert min(result.positives[kind] for kind in KINDS) >= 30
    assert min(result.look_alikes[kind] for kind in KINDS) >= 25
    assert (
        sum((DOCUMENT.parents[1] / "tests/curate/privacy" / f"{part}.txt").stat().st_size for part in PARTS) < 300_000
    )


def test_the_set_is_the_same_every_time() -> None:
    first = [cases(part) for part in PARTS]
    cases.cache_clear()
    assert [cases(part) for part in PARTS] == first


def test_check_digits_of_the_set_are_those_of_published_examples() -> None:
    assert luhn_digit("411111111111111") == "1" and luhn_digit("37828224631000") == "5"
    assert mod97_digits("DE", "370400440532013000") == "89" and mod97_digits("GB", "NWBK60161331926819") == "29"


def test_the_document_has_the_figures_of_all_parts_together() -> None:
    written = {kind: cells[:4] for kind, cells in table("What was measured").items()}
    assert written == {kind: [str(cell) for cell in row] for kind, row in rows(measured(*PARTS)).items()}


def test_the_page_on_cleaning_has_the_size_of_the_set() -> None:
    result = measured(*PARTS)
    size = f"{result.positives.total():,} positives and {result.look_alikes.total():,} look-alikes"
    assert size in " ".join((DOCUMENT.parent / "cleaning.md").read_text(encoding="utf-8").split())


def test_the_document_has_the_figures_of_each_part() -> None:
    for kind, cells in table("Part by part").items():
        for place, part in enumerate(PARTS):
            _, _, precision, recall = rows(measured(part))[kind]
            assert cells[place] == f"{precision} / {recall}", (kind, part)


def test_the_document_lists_every_miss() -> None:
    _, _, text = DOCUMENT.read_text(encoding="utf-8").partition("\n## Misses\n")
    written = re.findall(r"^- ((?:not )?found: .*)$", text.partition("\n## ")[0], flags=re.MULTILINE)
    assert sorted(written) == sorted(miss.replace("\n", "\\n") for miss in measured(*PARTS).misses)
