"""The figures of docs/speed.md and docs/results.md are those of the last measurements."""

from __future__ import annotations

import json
from statistics import mean

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


def test_the_words_on_gsm8k_are_those_of_the_figures() -> None:
    figures = json.loads((ROOT / "docs" / "results" / "gsm8k.json").read_text(encoding="utf-8"))
    ours, theirs = ([run for run in figures["runs"] if run["side"] == side] for side in ("sfttrain", "trl"))
    assert [run["seed"] for run in ours] == [run["seed"] for run in theirs] == [0, 1, 2]
    differences = [
        mean(run["points"][at]["loss"] for run in ours) - mean(run["points"][at]["loss"] for run in theirs)
        for at in range(5)
    ]
    seconds, tokens = (
        [mean(run["points"][-1][name] for run in runs) for runs in (ours, theirs)]
        for name in ("seconds", "trained_tokens")
    )
    page = " ".join(PAGES["results"].text.split())
    assert f"the loss is {figures['before']:.3f} nats a token" in page
    assert max(map(abs, differences)) < 0.0055 and "differ by 0.005 or less at each checkpoint" in page
    assert f"TRL's is the lower one, by {differences[-1]:.3f}" in page
    assert f"Its run took {seconds[0] / seconds[1]:.2f} of the time" in page
    speeds = tokens[0] / seconds[0] / (tokens[1] / seconds[1])
    assert f"trained {speeds:.1f} times as many tokens a second" in page
