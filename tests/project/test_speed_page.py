"""The figures of docs/speed.md are those of the last benchmark."""

from __future__ import annotations

from documents import PAGES, ROOT

RESULTS = ROOT / "tests" / "bench" / "RESULTS.md"


def test_every_figure_is_one_of_the_results() -> None:
    lines = RESULTS.read_text(encoding="utf-8").splitlines()
    measured = {tuple(cell.strip() for cell in line.strip("|").split("|")[:2]) for line in lines if line[:1] == "|"}
    shown = [tuple(row[:2]) for row in PAGES["speed"].table("<!-- table speed -->")]
    assert len(shown) > 10
    assert [row for row in shown if row not in measured] == [], "docs/speed.md: take the figures of RESULTS.md"


def test_the_machine_is_that_of_the_results() -> None:
    (machine,) = (line for line in RESULTS.read_text(encoding="utf-8").splitlines() if line.startswith("Machine: "))
    named = machine.removeprefix("Machine: ").partition(", shared")[0]
    assert all(part in " ".join(PAGES["speed"].text.split()) for part in named.split(", "))
