"""Charts as SVG, written by hand: small, without scripts, and the same bytes for the same numbers.

Text has the colour of the page around it, so that a chart is right on light and dark. Widths are those of a phone; a
chart is as wide as what it is in. Hovering shows a bin or a point.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sftdata.safe.control_chars import html_safe

WIDTH = 400
_PLOT, _BAND, _TICKS = 110, 15, 18  # heights: of the bars, of a line of marks above them, of the numbers below them
_CHAR = 6.8  # the width of a digit
_COLOURS = ("#4c82ee", "#d96f0a", "#26a65b", "#a864d8", "#dd5246", "#1b98a8", "#8a8a3c", "#c4588f")
_DASHES = ("", "6 3", "2 3", "8 3 2 3")
_LINE_HEIGHT, _MAX_POINTS, _MAX_HOVERED = 180, 240, 40  # of a line chart; points of a series that are drawn, and named

CHART_CSS = """
.sftv svg.chart{display:block;width:100%;max-width:470px;height:auto;overflow:visible;font:12px/1 system-ui,sans-serif}
.sftv svg.chart text{fill:currentColor;stroke:none;opacity:.8}
.sftv svg.chart .hit :hover{fill:rgba(128,128,128,.25)}
"""


class Mark(NamedTuple):
    """A vertical line at a value, with its name above it."""

    at: float
    name: str


def histogram(
    edges: Sequence[int],
    counts: Sequence[int],
    *,
    title: str,
    unit: str = "",
    others: Sequence[int] = (),
    names: tuple[str, str] = ("", ""),
    marks: Sequence[Mark] = (),
    is_open: bool = False,
) -> str:
    """Bars for the counts between edges; `others` are drawn on top in another colour, and `names` are those of the two.
    The last bin is for all others from its lower edge on if `is_open`. Marks beyond the edges are left out.
    """
    totals = [one + other for one, other in zip(counts, others or [0] * len(counts), strict=True)]
    marks = [one for one in marks if edges[0] <= one.at <= edges[-1]]
    lines = _round_ticks(0, max([*totals, 1]), 4)
    high = max([*totals, int(lines[-1])])
    left = 8 + _CHAR * max(len(_number(one)) for one in lines)
    wide = (WIDTH - 2 - left) / (len(edges) - 1)
    bands = _bands([(left + _place(one.at, edges) * wide, one.name) for one in marks])
    top = _BAND * max([band + 1 for band in bands], default=0) + 8
    base = top + _PLOT
    parts = [_grid(lines, high, left, base)]
    first = [_PLOT * one / high for one in counts]
    drawn = [_bar(left + at * wide, base, wide, height) for at, height in enumerate(first) if counts[at]]
    parts.append(f'<path fill="{_COLOURS[0]}" d="{"".join(drawn)}"/>')
    on_top = [
        _bar(left + at * wide, base - first[at], wide, _PLOT * number / high)
        for at, number in enumerate(others)
        if number
    ]
    parts += [f'<path fill="{_COLOURS[4]}" d="{"".join(on_top)}"/>'] if on_top else []
    hits = []
    for at in range(len(totals)):
        named = _bin_text(edges, at, unit, is_open and at == len(totals) - 1)
        values = f"{counts[at]:,}" if not others else f"{names[0]} {counts[at]:,}, {names[1]} {others[at]:,}"
        d = f"M{_short(left + at * wide)} {top}h{_short(wide)}v{_PLOT}h-{_short(wide)}z"
        hits.append(f'<path d="{d}"><title>{html_safe(named)}: {html_safe(values)}</title></path>')
    parts.append(f'<g class="hit" fill="transparent">{"".join(hits)}</g>')
    for mark, band in zip(marks, bands, strict=True):
        parts.append(_mark_line(mark, left + _place(mark.at, edges) * wide, 11 + _BAND * band, base))
    parts.append(_bin_ticks(edges, left, wide, base + 14, unit, is_open))
    what = [f"{len(totals)} bins of {_number(edges[1] - edges[0])}{unit}, {sum(totals):,} in all"]
    what += [f"{one.name}" for one in marks]
    return _svg(title, "; ".join(what), base + _TICKS, parts)


def _bin_text(edges: Sequence[int], at: int, unit: str, is_last: bool) -> str:
    if is_last:
        return f"{edges[at]:,}{unit} and more"
    if unit or edges[at + 1] - edges[at] == 1:
        return f"{edges[at]:,}{unit}" + (f" to {edges[at + 1]:,}{unit}" if unit else "")
    return f"{edges[at]:,} to {edges[at + 1] - 1:,}"


def _place(value: float, edges: Sequence[int]) -> float:
    """The number of bins before a value."""
    return (value - edges[0]) / (edges[1] - edges[0])


def _bar(x: float, base: float, wide: float, height: float) -> str:
    return f"M{_short(x + 0.5)} {_short(base)}v-{_short(max(height, 1))}h{_short(wide - 1)}V{_short(base)}z"


def _grid(lines: Sequence[float], high: float, left: float, base: float) -> str:
    """Horizontal lines at round counts."""
    drawn, names = [], []
    for one in lines:
        y = base - _PLOT * one / high
        drawn.append(f"M{_short(left)} {_short(y)}H{WIDTH}")
        names.append(f'<text x="{_short(left - 5)}" y="{_short(y + 4)}">{_number(one)}</text>')
    stroke = f'<path d="{"".join(drawn)}" stroke="currentColor" stroke-opacity=".2" fill="none"/>'
    return f'{stroke}<g text-anchor="end">{"".join(names)}</g>'


def _bands(names: Sequence[tuple[float, str]]) -> list[int]:
    """The line of text for each name at its place, so that no two overlap: all in the first one if they do not."""
    taken: list[list[tuple[float, float]]] = []
    bands = []
    for x, name in names:
        half = _CHAR * len(name) / 2
        at = min(max(x, half + 2), WIDTH - half - 2)
        begin, end = at - half - 2 * _CHAR, at + half + 2 * _CHAR
        band = 0
        while band < len(taken) and any(begin < other and one < end for one, other in taken[band]):
            band += 1
        taken += [[]] if band == len(taken) else []
        taken[band].append((at - half, at + half))
        bands.append(band)
    return bands


def _mark_line(mark: Mark, x: float, y: float, base: float) -> str:
    half = _CHAR * len(mark.name) / 2
    name = html_safe(mark.name)
    at = min(max(x, half + 2), WIDTH - half - 2)
    return (
        f'<path d="M{_short(x)} {_short(y + 3)}V{_short(base)}" stroke="currentColor" stroke-dasharray="3 3"'
        f' stroke-opacity=".7"/><text x="{_short(at)}" y="{_short(y)}" text-anchor="middle">{name}</text>'
    )


def _bin_ticks(edges: Sequence[int], left: float, wide: float, y: float, unit: str, is_open: bool) -> str:
    """Numbers below some edges: every bin, or every second, fifth, ..., so that they do not touch."""
    last = len(edges) - 1 - (1 if is_open else 0)
    room = _CHAR * (len(f"{edges[-1]:,}{unit}") + 2)
    step = next(step for power in range(6) for step in (10**power, 2 * 10**power, 5 * 10**power) if step * wide >= room)
    shown = [(at, f"{edges[at]:,}{unit}") for at in range(0, last + 1, step)]
    if is_open:
        shown = [one for one in shown if (last - one[0]) * wide >= 0.9 * room]
        shown.append((last, f"{edges[last]:,}{unit}+"))
    texts = []
    for at, name in shown:
        half = _CHAR * (len(name) + len(unit)) / 2
        x = min(max(left + at * wide, half), WIDTH - half)
        texts.append(f'<text x="{_short(x)}" y="{_short(y)}">{html_safe(name)}</text>')
    return f'<g text-anchor="middle">{"".join(texts)}</g>'


class _Axis(NamedTuple):
    """Numbers to places."""

    low: float
    high: float
    is_log: bool
    begin: float
    end: float

    def at(self, value: float) -> float:
        low, high, here = (math.log(one) if self.is_log else one for one in (self.low, self.high, value))
        return self.begin + (self.end - self.begin) * ((here - low) / (high - low) if high > low else 0.5)


def line_chart(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str,
    x_name: str = "",
    y_name: str = "",
    log_x: bool = False,
    log_y: bool = False,
    marks: Sequence[Mark] = (),
    dots: bool = False,
    faint: int = 0,
) -> str:
    """A line for each series of (x, y), in the order of its points, with a legend if there are several. A value that is
    not finite, or is not above 0 on a logarithmic axis, interrupts its line. Of long series the least and the greatest
    value of each stretch are drawn. `marks` are values of x, left out beyond the lines; `dots` shows the points.
    The first `faint` series are thin and pale; the others have the colours as if those were not there.
    """
    kept = {name: [_point(one, log_x, log_y) for one in points] for name, points in series.items()}
    found = [one for points in kept.values() for one in points if one is not None]
    if not found:
        return _svg(title, "no values", 20, ['<text x="0" y="14">no values</text>'])
    xs, ys = ([one[side] for one in found] for side in (0, 1))
    x_ticks, y_ticks = _ticks(min(xs), max(xs), 5, log_x), _ticks(min(ys), max(ys), 4, log_y)
    x_ticks = [one for one in x_ticks if one >= min(xs)]  # the one below would be outside
    left = 8 + _CHAR * max(len(_number(one)) for one in y_ticks)
    x_axis = _Axis(min(xs), max(xs), log_x, left + 4, WIDTH - 8)
    marks = [one for one in marks if x_axis.low <= one.at <= x_axis.high]
    bands = _bands([(x_axis.at(one.at), one.name) for one in marks])
    above = 20 if y_name else 8
    top = above + _BAND * max([band + 1 for band in bands], default=0)
    base = top + _LINE_HEIGHT
    y_axis = _Axis(min([*ys, *y_ticks]), max([*ys, *y_ticks]), log_y, base, top)
    parts = [_frame(x_axis, y_axis, x_ticks, y_ticks, left)]
    parts += [f'<text x="0" y="11">{html_safe(y_name)}</text>'] if y_name else []
    bottom = base + 16
    if x_name:
        bottom += 14
        parts.append(f'<text x="{WIDTH}" y="{_short(bottom)}" text-anchor="end">{html_safe(x_name)}</text>')
    for number, (name, points) in enumerate(kept.items()):
        stroke = _stroke(number, faint)
        parts.append(_line(name if len(kept) > 1 else "", points, stroke, x_axis, y_axis))
        parts += [_dots(points, number, x_axis, y_axis)] if dots else []
        if len(kept) > 1:
            bottom += 16
            y = _short(bottom - 4)
            parts.append(f'<path d="M{_short(left)} {y}h24" {stroke}/>')
            parts.append(f'<text x="{_short(left + 30)}" y="{_short(bottom)}">{html_safe(name)}</text>')
    for mark, band in zip(marks, bands, strict=True):
        parts.append(_mark_line(mark, x_axis.at(mark.at), above + 4 + _BAND * band, base))
    what = f"{len(kept)} series; {x_name or 'x'} from {_number(min(xs))} to {_number(max(xs))}, "
    what += f"{y_name or 'y'} from {_number(min(ys))} to {_number(max(ys))}"
    return _svg(title, what, bottom + 6, parts)


def _point(point: tuple[float, float], log_x: bool, log_y: bool) -> tuple[float, float] | None:
    """The point, if it can be drawn."""
    x, y = map(float, point)
    is_shown = math.isfinite(x) and math.isfinite(y) and (x > 0 or not log_x) and (y > 0 or not log_y)
    return (x, y) if is_shown else None


def _line(name: str, points: Sequence[tuple[float, float] | None], stroke: str, x_axis: _Axis, y_axis: _Axis) -> str:
    runs: list[list[tuple[float, float]]] = [[]]
    for one in points:
        if one is None:
            runs += [[]] if runs[-1] else []
        else:
            runs[-1].append(one)
    runs = [run for run in runs if run]
    room = max(4, _MAX_POINTS // max(1, len(runs)))
    thin = [_thinned(run, room) for run in runs][:_MAX_POINTS]
    path = "".join(
        "M"
        + "L".join(f"{_short(x_axis.at(x))} {_short(y_axis.at(y))}" for x, y in run)
        + ("h.1" if len(run) == 1 else "")
        for run in thin
    )
    drawn = [one for run in thin for one in run]
    every = -(-len(drawn) // _MAX_HOVERED)
    dots = []
    for x, y in drawn[::every] if drawn else []:
        values = f"{name}: {_number(x)}, {_number(y)}" if name else f"{_number(x)}, {_number(y)}"
        at = f'cx="{_short(x_axis.at(x))}" cy="{_short(y_axis.at(y))}"'
        dots.append(f'<circle {at} r="5"><title>{html_safe(values)}</title></circle>')
    return f'<path d="{path}" {stroke}/><g class="hit" fill="transparent">{"".join(dots)}</g>'


def _dots(points: Sequence[tuple[float, float] | None], number: int, x_axis: _Axis, y_axis: _Axis) -> str:
    """The points of a series, in its colour."""
    places = [(_short(x_axis.at(one[0])), _short(y_axis.at(one[1]))) for one in points if one is not None]
    circles = "".join(f'<circle cx="{x}" cy="{y}" r="3"/>' for x, y in places)
    return f'<g fill="{_COLOURS[number % len(_COLOURS)]}" pointer-events="none">{circles}</g>'


def _stroke(number: int, faint: int = 0) -> str:
    """The line of a series: colours repeat, with other dashes; the first `faint` ones are thin and pale."""
    if number < faint:
        colour = _COLOURS[number % len(_COLOURS)]
        return f'fill="none" stroke="{colour}" stroke-opacity=".45" stroke-linejoin="round"'
    number -= faint
    dash = _DASHES[number % len(_DASHES)] if number else ""
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'fill="none" stroke="{_COLOURS[number % len(_COLOURS)]}" stroke-width="2" stroke-linejoin="round"{dashes}'


def _thinned(points: list[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """At most this many of the points: the least and the greatest of each stretch, and both ends."""
    if len(points) <= most:
        return points
    stretches = max(1, (most - 2) // 2)
    kept = {0, len(points) - 1}
    for number in range(stretches):
        stretch = range(len(points) * number // stretches, len(points) * (number + 1) // stretches)
        kept |= {min(stretch, key=lambda at: points[at][1]), max(stretch, key=lambda at: points[at][1])}
    return [points[at] for at in sorted(kept)]


def _frame(x_axis: _Axis, y_axis: _Axis, x_ticks: Sequence[float], y_ticks: Sequence[float], left: float) -> str:
    """Lines and numbers of both axes."""
    lines, names = [], []
    for one in y_ticks:
        y = y_axis.at(one)
        lines.append(f"M{_short(left)} {_short(y)}H{WIDTH}")
        names.append(f'<text x="{_short(left - 5)}" y="{_short(y + 4)}" text-anchor="end">{_number(one)}</text>')
    end = -math.inf
    for one in x_ticks:
        half, x = _CHAR * len(_number(one)) / 2, x_axis.at(one)
        x = min(x, WIDTH - half)
        if x - half > end + _CHAR:
            names.append(
                f'<text x="{_short(x)}" y="{_short(y_axis.begin + 15)}" text-anchor="middle">{_number(one)}</text>'
            )
            end = x + half
    return f'<path d="{"".join(lines)}" stroke="currentColor" stroke-opacity=".2" fill="none"/>{"".join(names)}'


def _ticks(low: float, high: float, most: int, is_log: bool) -> list[float]:
    if not is_log:
        return _round_ticks(low, high, most)
    for digits in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [float(f"{digit}e{power}") for power in powers for digit in digits]
        found = [one for one in found if low <= one <= high]
        if len(found) >= 3:
            return found[:: -(-len(found) // (most + 3))]
    return [one for one in _round_ticks(low, high, most) if low <= one <= high] or [low]


def _round_ticks(low: float, high: float, most: int) -> list[float]:
    """At most about `most` round numbers that a range spans, with one below it and none above it."""
    if high <= low:
        return [low]
    step = next(one for one in _steps((high - low) / most / 10) if one * most >= high - low)
    first = math.floor(low / step)
    return [round(at * step, 12) for at in range(first, math.floor(high / step) + 1)]


def _steps(least: float) -> Iterator[float]:
    power = math.floor(math.log10(least))
    while True:
        yield from (float(f"{digit}e{power}") for digit in (1, 2, 5))
        power += 1


def _svg(title: str, what: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg class="chart" role="img" viewBox="0 0 {WIDTH} {_short(height)}" aria-label="{html_safe(title)}">'
        f"<desc>{html_safe(what)}</desc>{''.join(parts)}</svg>"
    )


def _short(number: float) -> str:
    """At most one digit behind the point."""
    text = f"{number:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"


def _number(number: float) -> str:
    """`1,200`, `0.25`, `2e-05`."""
    if number == int(number) and abs(number) < 1e15:
        return f"{int(number):,}"
    return f"{number:.4g}"
