"""The validation split: how many rows, and which ones stay together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from raw_rows import chat, write_lines
from runs import ledger, prepare, prepare_rows, shingle_similarity

import sftdata
from sftdata.errors import ConfigError


@pytest.mark.parametrize(("validation", "held"), [(0, 0), (1, 1), (7, 7), (0.25, None)])
def test_validation_takes_a_number_or_a_share_by_content(
    tiny_tokenizer: Path, tmp_path: Path, validation: float, held: int | None
) -> None:
    rows = [chat(f"Question {n}", "Yes.") for n in range(200)]
    forth, back = write_lines(tmp_path / "a.jsonl", rows), write_lines(tmp_path / "b.jsonl", rows[::-1])
    for data in (forth, back):
        prepare(tmp_path / data.stem, tiny_tokenizer, [str(data)], split={"validation": validation})
    sides = [{row["record_id"]: row["split"] for row in ledger(tmp_path / stem)} for stem in "ab"]
    assert sides[0] == sides[1]
    count = Counter(sides[0].values())
    assert count["train"] + count["validation"] == 200
    # 4 standard deviations of a share of 200 that is drawn by chance: 24
    assert count["validation"] == held if held is not None else abs(count["validation"] - 50) < 25
    assert (tmp_path / "a" / "validation").is_dir() == bool(validation)
    sftdata.verify(tmp_path / "a")


def test_a_cluster_of_near_duplicates_stays_on_one_side(tiny_tokenizer: Path, tmp_path: Path) -> None:
    """Rows 2k and 2k + 1 are unlike, but both like a row between them that is dropped: one cluster, two kept rows."""
    rows = []
    for number in range(60):
        words = [f"w{number}x{at}" for at in range(60)]
        left, right = [*words], [*words]
        left[10] = left[30] = "left"
        right[20] = right[50] = "right"
        rows += [chat("Go on.", " ".join(text)) for text in (words, left, right)]
    order = [*range(1, 180, 3), *range(0, 180, 3), *range(2, 180, 3)]  # the middle one comes second
    rows = [rows[at] for at in order]
    assert shingle_similarity(rows[0], rows[120]) < 0.75
    assert min(shingle_similarity(rows[0], rows[60]), shingle_similarity(rows[60], rows[120])) >= 0.75
    near = {"near": {"threshold": 0.75}}
    found = prepare_rows(tmp_path / "out", tiny_tokenizer, rows, dedup=near, split={"validation": 0.4})
    assert [row["reason"] for row in found] == [None] * 60 + ["near_duplicate"] * 60 + [None] * 60
    sides = [(found[at]["split"], found[at + 120]["split"]) for at in range(60)]
    assert all(one == other for one, other in sides)
    held = sum(one == "validation" for one, _ in sides)
    assert 9 <= held <= 39  # four standard deviations around 24


@pytest.mark.parametrize("validation", [0.3, 20])
def test_the_rows_of_one_value_of_a_column_stay_on_one_side(
    tiny_tokenizer: Path, tmp_path: Path, validation: float
) -> None:
    rows = [{**chat(f"Question {n}?", f"Answer {n}."), "user": {"id": n % 50}} for n in range(200)]
    rows += [chat(f"Nobody's question {n}?", f"Answer {n}.") for n in range(20)]
    split = {"validation": validation, "by": "user.id"}
    found = prepare_rows(tmp_path / "out", tiny_tokenizer, rows, split=split)
    assert "user.id" not in found[0]
    sides = {number: {row["split"] for row in found[number:200:50]} for number in range(50)}
    assert all(len(side) == 1 for side in sides.values())
    held = sum(row["split"] == "validation" for row in found)
    assert (20 <= held < 24) if validation == 20 else 0 < held < 150


def test_a_split_by_a_column_that_no_row_has_is_refused(tiny_tokenizer: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"split\.by: names the column usr, which no row has"):
        prepare_rows(
            tmp_path / "out",
            tiny_tokenizer,
            [chat("Hi", "Paris is the capital of France.")],
            split={"validation": 0.5, "by": "usr"},
        )
