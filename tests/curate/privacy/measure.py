"""How many findings on the labelled set are right, and how many answers are found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from labelled import KINDS, PARTS, Answer, Case, cases

from sftdata.curate.privacy.redact import find_private

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "privacy.md"

Finder = Callable[[str], Iterable[Answer]]


@dataclass
class Measure:
    """What a finder does on some cases, by kind."""

    positives: Counter[str] = field(default_factory=Counter)
    look_alikes: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)  # findings that are answers
    wrong: Counter[str] = field(default_factory=Counter)  # findings that are none
    found: Counter[str] = field(default_factory=Counter)  # answers that are found
    misses: list[str] = field(default_factory=list)

    def precision(self, kind: str) -> float:
        return self.right[kind] / max(1, self.right[kind] + self.wrong[kind])

    def recall(self, kind: str) -> float:
        return self.found[kind] / self.positives[kind]


def measure(find: Finder, parts: Iterable[str] = PARTS, exactly: bool = True) -> Measure:
    """Compare what is found with the answers: the same place, or with `exactly` false places that overlap."""
    result = Measure()
    for part in parts:
        for case in cases(part):
            _compare(case, list(find(case.text)), exactly, result)
    return result


def _compare(case: Case, found: list[Answer], exactly: bool, result: Measure) -> None:
    def same(one: Answer, other: Answer) -> bool:
        overlap = one[0] == other[0] and one[1] < other[2] and other[1] < one[2]
        return one == other if exactly else overlap

    result.look_alikes[case.about] += not case.answers
    result.positives.update(kind for kind, *_ in case.answers)
    for finding in found:
        is_right = any(same(finding, answer) for answer in case.answers)
        (result.right if is_right else result.wrong)[finding[0]] += 1
        if not is_right:
            result.misses.append(_miss("found", finding, case))
    for answer in case.answers:
        is_found = any(same(finding, answer) for finding in found)
        result.found[answer[0]] += is_found
        if not is_found:
            result.misses.append(_miss("not found", answer, case))


def _miss(what: str, answer: Answer, case: Case) -> str:
    kind, start, end = answer
    return f"{what}: {kind} `{case.text[start:end]}` in `{case.text}`"


def rows(result: Measure) -> dict[str, tuple[int, int, str, str]]:
    """By kind: positives, look-alikes, precision, recall, as the documentation writes them."""
    return {
        kind: (
            result.positives[kind],
            result.look_alikes[kind],
            f"{result.precision(kind):.3f}",
            f"{result.recall(kind):.3f}",
        )
        for kind in KINDS
    }


def ours(text: str) -> list[Answer]:
    """What the product finds."""
    return [(finding.kind, finding.start, finding.end) for finding in find_private(text)]


def table(heading: str) -> dict[str, list[str]]:
    """The rows of the table under a heading of docs/privacy.md, by their first cell."""
    _, _, text = DOCUMENT.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    assert text, heading
    lines = [line.strip("|").split("|") for line in text.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return {cells[0].strip(" `"): [cell.strip() for cell in cells[1:]] for cells in lines[2:]}
