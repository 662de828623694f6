"""Plain SVG charts of curves over time, for a page without scripts.

Colours, dashes and font come from the page's style sheet: the classes `curve-0`, `curve-1`, ... in the order of a
chart's curves, and `span-KIND` for what is shaded.
"""

from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

import numpy as np
from jaxtyping import Bool, Float, Int

from tracking.spread_evenly import spread_evenly

WIDTH, HEIGHT = 520, 220
LEFT, RIGHT, TOP, BOTTOM = 48, 8, 10, 38
"""Margins of the plot inside its picture, in the picture's units, of which a page shows about one a pixel."""
BINS = 400
"""Longer curves are drawn through the lowest and the highest value of so many stretches."""
HOVER_BANDS = 64
ROW_HEIGHT = 22


@dataclass(frozen=True)
class Curve:
    """A quantity over time; NaN where it is not known."""

    name: str
    values: Float[np.ndarray, "frames"]


@dataclass(frozen=True)
class TimeAxis:
    """The frames that curves are drawn over."""

    seconds: Float[np.ndarray, "frames"]
    """When they are shown, increasing."""
    frames: Int[np.ndarray, "frames"]
    """Their numbers."""
    frame_duration: float
    """Seconds for which the last one is shown."""
    counted: str = "frame"
    """What the numbers count."""

    @property
    def end(self) -> float:
        """When the last frame ceases to be shown."""
        return float(self.seconds[-1]) + self.frame_duration

    def place(self, seconds: float) -> float:
        """Where a moment lies across a chart."""
        begin = float(self.seconds[0])
        return LEFT + (WIDTH - LEFT - RIGHT) * (seconds - begin) / max(self.end - begin, 1e-9)


@dataclass(frozen=True)
class Span:
    """A stretch of time to be shaded."""

    first: float
    last: float
    """Seconds."""
    kind: str
    """Names its class in the style sheet."""
    title: str
    """Told when the pointer rests on it."""


def line_chart(
    title: str,
    unit: str,
    axis: TimeAxis,
    curves: tuple[Curve, ...],
    spans: list[Span],
    least_range: float = 0.0,
    limits: tuple[float, float] | None = None,
) -> str:
    """Curves over time.

    Args:
        least_range: the value axis spans at least this much, so that noise does not fill the picture.
        limits: of the value axis, where they are to be the same in every clip.
    """
    low, high = limits or value_range([curve.values for curve in curves], least_range)
    ticks = nice_ticks(low, high, 5)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    parts = [_open(title, HEIGHT), *_shades(spans, axis, TOP, HEIGHT - BOTTOM)]
    for tick in ticks:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y(tick) + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text transform="translate(12 {middle}) rotate(-90)" text-anchor="middle">{escape(unit)}</text>')
    parts += _time_axis(axis, HEIGHT - BOTTOM)
    for number, curve in enumerate(curves):
        path = []
        for run in drawn_indices(curve.values, BINS):
            points = [f"{axis.place(axis.seconds[i]):.1f} {y(curve.values[i]):.1f}" for i in run]
            # A path of no length is drawn as a dot by its round caps.
            path.append(f"M{points[0]}h0" if len(points) == 1 else "M" + "L".join(points))
        parts.append(f'<path class="curve curve-{number}" d="{"".join(path)}"/>')
    parts += _hover(axis, curves, unit)
    return "".join([*parts, "</svg>"])


def span_chart(title: str, axis: TimeAxis, rows: list[tuple[str, list[Span]]]) -> str:
    """Named rows of stretches of time, one under the other."""
    bottom = TOP + ROW_HEIGHT * len(rows)
    parts = [_open(title, bottom + BOTTOM)]
    for number, (name, spans) in enumerate(rows):
        top = TOP + ROW_HEIGHT * number
        parts.append(
            f'<rect class="row" x="{LEFT}" y="{top + 2}" width="{WIDTH - LEFT - RIGHT}" height="{ROW_HEIGHT - 4}"/>'
        )
        parts += _shades(spans, axis, top + 2, top + ROW_HEIGHT - 2)
        parts.append(f'<text class="rim" x="{LEFT + 5}" y="{top + ROW_HEIGHT - 7}">{escape(name)}</text>')
    parts += _time_axis(axis, bottom)
    parts.append("</svg>")
    return "".join(parts)


def range_chart(title: str, rows: list[tuple[str, float, float, float]]) -> str:
    """Named bars from a lowest to a highest value of a quantity in [0, 1]; a mark where the highest should at least be.

    Args:
        rows: name, lowest, highest and least value.
    """
    left, width = 140, 360
    bottom = TOP + ROW_HEIGHT * len(rows)
    scale = width - left - RIGHT
    parts = [f'<svg class="square" viewBox="0 0 {width} {bottom + 22}" role="img"><title>{escape(title)}</title>']
    for tick in (0, 0.5, 1):
        x = left + scale * tick
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{_number(tick)}</text>')
    for number, (name, low, high, least) in enumerate(rows):
        top = TOP + ROW_HEIGHT * number
        x, mark = left + scale * low, left + scale * least
        parts.append(f'<text x="{left - 8}" y="{top + 15}" text-anchor="end">{escape(name)}</text>')
        parts.append(
            f'<rect class="bar" x="{x:.1f}" y="{top + 5}" width="{max(2.0, scale * (high - low)):.1f}" height="12">'
            f"<title>{escape(name)}: {low:.2f} to {high:.2f}, should reach {least:.2f}</title></rect>"
        )
        parts.append(f'<line class="mark" x1="{mark:.1f}" x2="{mark:.1f}" y1="{top + 2}" y2="{top + 20}"/>')
    parts.append("</svg>")
    return "".join(parts)


def scatter_chart(
    title: str, x_label: str, y_label: str, x: Float[np.ndarray, "points"], y: Float[np.ndarray, "points"], reach: float
) -> str:
    """Points around the origin, both axes from -reach to reach; at most about a thousand are drawn.

    Points that would lie on one another are drawn once.
    """
    side = 360
    inner = side - LEFT - RIGHT
    known = np.isfinite(x) & np.isfinite(y)
    cells = np.unique(np.rint(np.stack([x[known], y[known]], 1) / reach * 60).astype(int), axis=0)
    chosen = cells[spread_evenly(len(cells), 1000)]
    parts = [f'<svg class="square" viewBox="0 0 {side} {side}" role="img"><title>{escape(title)}</title>']
    for tick in nice_ticks(-reach, reach, 5):
        place = inner * (tick + reach) / (2 * reach)
        across, down = LEFT + place, TOP + inner - place
        kind = "axis" if tick == 0 else "grid"
        parts.append(f'<line class="{kind}" x1="{across:.1f}" x2="{across:.1f}" y1="{TOP}" y2="{TOP + inner}"/>')
        parts.append(f'<line class="{kind}" x1="{LEFT}" x2="{LEFT + inner}" y1="{down:.1f}" y2="{down:.1f}"/>')
        parts.append(f'<text x="{across:.1f}" y="{TOP + inner + 15}" text-anchor="middle">{_number(tick)}</text>')
        parts.append(f'<text x="{LEFT - 5}" y="{down + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    dots = [
        f"M{LEFT + inner * (cx + 60) / 120:.1f} {TOP + inner * (60 - cy) / 120:.1f}h0"
        for cx, cy in chosen[np.abs(chosen).max(1) <= 60]
    ]
    parts.append(f'<path class="dots" d="{"".join(dots)}"/>')
    parts.append(f'<text x="{LEFT + inner / 2}" y="{side - 4}" text-anchor="middle">{escape(x_label)}</text>')
    parts.append(
        f'<text transform="translate(12 {TOP + inner / 2}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>'
    )
    parts.append("</svg>")
    return "".join(parts)


def drawn_indices(values: Float[np.ndarray, "frames"], bins: int) -> list[list[int]]:
    """Which values a curve goes through, in unbroken runs: all of a short one; of a long one the extremes of each bin.

    No peak is lost, however short. A bin without a known value breaks the curve; in a short one every gap does.
    """
    known = np.isfinite(values)
    if len(values) <= 2 * bins:
        groups = [[i] if known[i] else [] for i in range(len(values))]
    else:
        groups = []
        for indices in np.array_split(np.arange(len(values)), bins):
            inside = indices[known[indices]]
            extremes = (
                {int(inside[values[inside].argmin()]), int(inside[values[inside].argmax()])} if len(inside) else ()
            )
            groups.append(sorted(extremes))
    runs: list[list[int]] = [[]]
    for group in groups:
        if group:
            runs[-1] += group
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def spans_of(axis: TimeAxis, marked: Bool[np.ndarray, "frames"], kind: str, name: str) -> list[Span]:
    """The stretches of marked frames; those closer than a pixel are drawn as one."""
    spans: list[Span] = []
    changes = np.flatnonzero(np.diff(np.concatenate([[0], marked.astype(int), [0]])))
    smallest = (axis.seconds[-1] - axis.seconds[0]) / (WIDTH - LEFT - RIGHT) if len(axis.seconds) else 0.0
    pending: tuple[int, int] | None = None
    for first, last in zip(changes[::2], changes[1::2] - 1, strict=True):
        if pending and axis.seconds[first] - axis.seconds[pending[1]] - axis.frame_duration < smallest:
            pending = (pending[0], int(last))
            continue
        if pending:
            spans.append(_span(axis, *pending, kind, name))
        pending = (int(first), int(last))
    if pending:
        spans.append(_span(axis, *pending, kind, name))
    return spans


def value_range(series: list[Float[np.ndarray, "frames"]], least_range: float) -> tuple[float, float]:
    """The limits of an axis that holds all known values with a little room."""
    known = np.concatenate([values[np.isfinite(values)] for values in series]) if series else np.zeros(0)
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    missing = max(0.0, (least_range or 1e-6) - (high - low))
    low, high = low - missing / 2, high + missing / 2
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers (1, 2 or 5 times a power of ten apart) from low to high."""
    rough = (high - low) / count
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return [step * i for i in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def _open(title: str, height: float) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img"><title>{escape(title)}</title>'


def _shades(spans: list[Span], axis: TimeAxis, top: float, bottom: float) -> list[str]:
    return [
        f'<rect class="span-{span.kind}" x="{axis.place(span.first):.1f}" y="{top}" '
        f'width="{max(1.0, axis.place(span.last) - axis.place(span.first)):.1f}" height="{bottom - top}">'
        f"<title>{escape(span.title)}</title></rect>"
        for span in spans
    ]


def _time_axis(axis: TimeAxis, y: float) -> list[str]:
    parts = [f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>']
    for tick in nice_ticks(float(axis.seconds[0]), axis.end, 6):
        anchor = "end" if axis.place(tick) > WIDTH - RIGHT - 12 else "middle"
        parts.append(f'<text x="{axis.place(tick):.1f}" y="{y + 16}" text-anchor="{anchor}">{_number(tick)}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{y + 32}" text-anchor="end">seconds</text>')
    return parts


def _hover(axis: TimeAxis, curves: tuple[Curve, ...], unit: str) -> list[str]:
    """Invisible bands that tell the values under the pointer."""
    bands = []
    for indices in np.array_split(np.arange(len(axis.frames)), min(HOVER_BANDS, len(axis.frames))):
        first, last = indices[0], indices[-1]
        until = float(axis.seconds[last + 1]) if last + 1 < len(axis.seconds) else axis.end
        numbers = f"{axis.frames[first]}" if first == last else f"{axis.frames[first]} to {axis.frames[last]}"
        lines = [f"{axis.seconds[first]:.2f} s, {axis.counted} {numbers}"]
        for curve in curves:
            known = curve.values[indices][np.isfinite(curve.values[indices])]
            if not len(known):
                text = "not known"
            elif _number(known.min()) == _number(known.max()):
                text = f"{_number(known.min())} {unit}"
            else:
                text = f"{_number(known.min())} to {_number(known.max())} {unit}"
            lines.append(f"{curve.name}: {text}")
        left, right = axis.place(float(axis.seconds[first])), axis.place(until)
        bands.append(
            f'<rect class="hover" x="{left:.1f}" y="{TOP}" width="{max(right - left, 0.5):.1f}" '
            f'height="{HEIGHT - TOP - BOTTOM}"><title>{escape(chr(10).join(lines))}</title></rect>'
        )
    return bands


def _span(axis: TimeAxis, first: int, last: int, kind: str, name: str) -> Span:
    numbers = f"{axis.counted} {axis.frames[first]}"
    if last > first:
        numbers = f"{axis.counted}s {axis.frames[first]} to {axis.frames[last]}"
    begin, end = float(axis.seconds[first]), float(axis.seconds[last] + axis.frame_duration)
    return Span(begin, end, kind, f"{name}: {numbers}, {begin:.2f} to {end:.2f} s")


def _number(value: float) -> str:
    """A number with as many digits as its size deserves, and a true minus sign."""
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return "0" if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")
