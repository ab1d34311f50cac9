"""How a duration is said: on the screen, in a report and in an estimate alike."""

from __future__ import annotations

import math

import pytest

from sfttrain.say import duration

HOUR, DAY = 3600, 86_400


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.314, "0.31 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (61, "1 min 01 s"),
        (750, "12 min 30 s"),
        (HOUR - 0.4, "1 h"),
        (HOUR + 119, "1 h 01 min"),
        (47 * HOUR + 300, "47 h 05 min"),
        (2 * DAY, "2 d"),
        (51 * HOUR + 600, "2 d 03 h"),
        (400 * DAY, "400 d"),
        (math.inf, "11,574 d 01 h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, words: str) -> None:
    assert duration(seconds) == words
