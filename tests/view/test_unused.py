"""What the summary says of columns that nothing uses."""

from __future__ import annotations

import pytest

from sftdata.view.unused import is_bookkeeping, unused_lines


def test_a_column_with_content_has_its_line_and_bookkeeping_shares_one() -> None:
    entries = [
        ("a.jsonl", "id", 1300),
        ("a.jsonl", "thinking", 1200),
        ("b.jsonl", "thinking", 4),
        ("b.jsonl", "messages[].refusal", 1),
        ("b.jsonl", "created_at", 12),
    ]
    assert unused_lines(entries) == [
        "1,204 rows have a column `thinking` that is not used",
        "1 row has a key `refusal` in `messages` that is not used",
        "also not used: `id` (1,300), `created_at` (12)",
    ]


def test_nothing_is_said_where_everything_is_used() -> None:
    assert unused_lines([]) == []


def test_after_eight_columns_the_others_share_a_line() -> None:
    lines = unused_lines([("a", f"note {letter}", 2) for letter in "abcdefghij"])
    assert len(lines) == 9
    assert lines[-1] == "also not used: `note i` (2), `note j` (2)"


@pytest.mark.parametrize(
    ("column", "answer"),
    [("id", True), ("prompt_id", True), ("messages[].timestamp", True), ("num_turns", True), ("note", False)],
)
def test_ids_dates_and_counts_are_bookkeeping(column: str, answer: bool) -> None:
    assert is_bookkeeping(column) == answer
