"""Charts: small, the same bytes each time, valid XML, and with the numbers that were given."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.view.html.charts import Mark, histogram, line_chart

EVIL = "</title><script>alert(1)</script>\"'&\x1b\u202e"


def titles(svg: str) -> list[str]:
    return [one.text or "" for one in ET.fromstring(svg).iter("title")]


def numbers(svg: str) -> list[float]:
    """All numbers of paths and places."""
    drawn = " ".join(re.findall(r' (?:d|x|y|cx|cy)="([^"]*)"', svg))
    return [float(one) for one in re.findall(r"-?\d+(?:\.\d+)?", drawn)]


def test_each_bin_says_its_range_and_its_count_when_hovered() -> None:
    svg = histogram((0, 50, 100, 150), (3, 0, 1200), title="Tokens", is_open=True)
    assert titles(svg) == ["0 to 49: 3", "50 to 99: 0", "100 and more: 1,200"]
    assert titles(histogram((0, 5, 10), (1, 2), title="Share", unit="%")) == ["0% to 5%: 1", "5% to 10%: 2"]
    assert titles(histogram((0, 1, 2), (1, 2), title="Few")) == ["0: 1", "1: 2"]


def test_the_highest_bar_is_as_high_as_the_plot_and_half_of_it_half() -> None:
    svg = histogram((0, 1, 2), (10, 5), title="x")
    heights = [
        float(one) for one in re.findall(r"v-([\d.]+)h", svg.partition('<path fill="#4c82ee"')[2].partition("/>")[0])
    ]
    assert heights == [110, 55]


def test_two_kinds_are_on_top_of_each_other_and_both_named() -> None:
    svg = histogram((0, 10, 20), (4, 2), others=(0, 2), names=("packed", "overlong"), title="x")
    assert titles(svg) == ["0 to 9: packed 4, overlong 0", "10 to 19: packed 2, overlong 2"]


def test_marks_are_named_and_those_outside_left_out() -> None:
    svg = histogram((0, 10, 20), (1, 2), marks=[Mark(7, "median 7"), Mark(99, "limit 99")], title="x")
    assert "median 7" in svg and "limit" not in svg


def test_a_chart_is_described_has_no_ids_and_the_colour_of_the_page() -> None:
    svg = histogram((0, 10, 20), (1, 2), title="Tokens per conversation")
    root = ET.fromstring(svg)
    assert (root.get("role"), root.get("aria-label")) == ("img", "Tokens per conversation")
    assert root.findtext("desc") == "2 bins of 10, 3 in all"
    assert " id=" not in svg and "currentColor" in svg and "http" not in svg


def test_text_stays_text() -> None:
    for svg in (
        histogram((0, 1), (1,), title=EVIL, marks=[Mark(0.5, EVIL)], names=(EVIL, EVIL), others=(1,)),
        line_chart({EVIL: [(0, 1), (1, 2)], "b": [(0, 1)]}, title=EVIL, x_name=EVIL, y_name=EVIL),
    ):
        tags = {one.tag for one in ET.fromstring(svg).iter()}
        assert "script" not in tags and "\x1b" not in svg and "\u202e" not in svg


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=31), st.sampled_from([1, 50, 100, 20_000]), st.booleans())
def test_a_histogram_is_small_valid_and_stays_in_its_frame(counts: list[int], width: int, is_open: bool) -> None:
    edges = tuple(range(0, width * (len(counts) + 1), width))
    svg = histogram(
        edges, counts, title="Tokens per conversation", marks=[Mark(width / 2, "median 1")], is_open=is_open
    )
    assert len(svg.encode()) < 4_000
    assert len(titles(svg)) == len(counts)
    assert svg == histogram(
        edges, counts, title="Tokens per conversation", marks=[Mark(width / 2, "median 1")], is_open=is_open
    )
    assert all(-2 <= one <= 402 for one in numbers(svg) if one >= 0)


def test_lines_have_a_legend_if_there_are_several_and_each_point_its_values() -> None:
    svg = line_chart({"train": [(1, 2.5), (2, 2.25)], "validation": [(2, 3)]}, title="Loss", x_name="step")
    assert titles(svg) == ["train: 1, 2.5", "train: 2, 2.25", "validation: 2, 3"]
    assert [one.text for one in ET.fromstring(svg).iter("text")][-2:] == ["train", "validation"]
    assert ET.fromstring(svg).findtext("desc") == "2 series; step from 1 to 2, y from 2.25 to 3"
    alone = line_chart({"train": [(1, 2.5), (2, 2.25)]}, title="Loss")
    assert titles(alone) == ["1, 2.5", "2, 2.25"]
    assert "train" not in alone


def test_a_value_that_is_not_finite_interrupts_its_line() -> None:
    svg = line_chart({"a": [(1, 1), (2, math.nan), (3, 2), (4, math.inf), (5, 3)]}, title="x")
    (path,) = re.findall(r'd="(M[^"]*)" fill="none" stroke="#', svg)
    assert path.count("M") == 3
    assert "nan" not in svg and "inf" not in svg
    assert "no values" in line_chart({"a": [(1, math.nan)]}, title="x")
    assert "no values" in line_chart({}, title="x")


def test_logarithmic_axes_have_powers_of_ten_and_leave_out_what_is_not_above_zero() -> None:
    svg = line_chart({"a": [(0, 9), (1e-5, 4), (1e-4, 3), (1e-3, 2), (1e-2, 5)]}, title="sweep", log_x=True)
    texts = [one.text for one in ET.fromstring(svg).iter("text")]
    assert {"1e-05", "0.0001", "0.001", "0.01"} <= set(texts)
    assert len(titles(svg)) == 4
    places = [float(one) for one in re.findall(r'cx="([\d.]+)"', svg)]
    gaps = [round(b - a) for a, b in zip(places, places[1:])]
    assert max(gaps) - min(gaps) <= 1  # powers of ten are equally far apart


def test_a_long_series_keeps_its_ends_and_its_peak_and_stays_small() -> None:
    points = [(float(n), 1.0) for n in range(50_000)]
    points[31_234] = (31_234.0, 9.0)
    svg = line_chart({"loss": points}, title="x")
    assert len(svg.encode()) < 10_000
    top = min(
        float(one)
        for one in re.findall(r"[ML][\d.]+ ([\d.]+)", svg.partition('" fill="none" stroke="#')[0].rpartition('d="')[2])
    )
    assert top <= 30


@pytest.mark.parametrize("log", [False, True])
@given(points=st.lists(st.tuples(st.floats(), st.floats()), max_size=30))
def test_any_points_give_a_chart(log: bool, points: list[tuple[float, float]]) -> None:
    bounded = [one for one in points if all(not math.isfinite(v) or 1e-30 < abs(v) < 1e30 or v == 0 for v in one)]
    svg = line_chart({"a": bounded, "b": [(1, 1)]}, title="x", log_x=log, log_y=log)
    ET.fromstring(svg)
    assert len(svg) < 12_000


def test_a_logarithmic_axis_of_less_than_a_decade_has_round_numbers() -> None:
    svg = line_chart({"a": [(1, 2.1), (2, 3.8)]}, title="x", log_y=True)
    texts = [one.text for one in ET.fromstring(svg).iter("text")]
    assert texts[:3] == ["2.5", "3", "3.5"]


def test_points_and_marks_of_a_line_chart():
    series = {"8 steps": [(1e-3, 2.5), (1e-2, 2.0)], "32 steps": [(1e-2, 1.5)]}
    svg = line_chart(series, title="sweep", log_x=True, dots=True, marks=[Mark(5e-3, "<5>"), Mark(1, "beyond")])
    assert svg.count(' r="3"') == 3
    assert "&lt;5&gt;" in svg and "beyond" not in svg
    assert ' r="3"' not in line_chart(series, title="sweep")


def test_the_axis_of_x_names_nothing_below_the_first_point():
    svg = line_chart({"loss": [(1, 3), (2, 2), (8, 1)]}, title="x")
    assert ">0<" not in svg.partition("<circle")[0]
