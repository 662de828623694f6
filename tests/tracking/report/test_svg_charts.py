"""Charts keep peaks and gaps, and put values where their axes say."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from tracking.svg_charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Curve,
    TimeAxis,
    drawn_indices,
    line_chart,
    nice_ticks,
    range_chart,
    scatter_chart,
    span_chart,
    spans_of,
    value_range,
)


def axis_of(frames: int, rate: float = 30.0) -> TimeAxis:
    return TimeAxis(np.arange(frames) / rate, np.arange(frames), 1 / rate)


def paths(svg: str) -> list[str]:
    return [path.get("d", "") for path in ET.fromstring(svg).iter("path") if "curve" in path.get("class", "")]


def points(path: str) -> np.ndarray:
    return np.array([[float(x), float(y)] for x, y in re.findall(r"[ML]([-\d.]+) ([-\d.]+)", path)])


def test_a_blink_of_one_frame_survives_in_ten_thousand() -> None:
    values = np.random.default_rng(0).uniform(0, 0.05, 10_000)
    values[[0, 1234, 7777, 9999]] = [0.9, 0.9, -0.4, 0.8]
    (run,) = drawn_indices(values, 400)
    assert {0, 1234, 7777, 9999} <= set(run)
    assert len(run) <= 800
    assert run == sorted(run)
    for part in np.array_split(np.arange(10_000), 400):
        drawn = values[[i for i in run if part[0] <= i <= part[-1]]]
        assert drawn.min() == values[part].min()
        assert drawn.max() == values[part].max()


def test_short_curves_are_drawn_whole_and_break_at_every_gap() -> None:
    values = np.array([1.0, 2.0, np.nan, 3.0, np.nan, np.nan, 4.0, 5.0])
    assert drawn_indices(values, 400) == [[0, 1], [3], [6, 7]]
    assert drawn_indices(np.full(5, np.nan), 400) == []
    assert drawn_indices(np.zeros(0), 400) == []


def test_long_curves_break_where_nothing_is_known() -> None:
    values = np.ones(10_000)
    values[4000:6000] = np.nan
    first, second = drawn_indices(values, 400)
    assert first[-1] < 4000
    assert second[0] >= 6000


def test_points_lie_where_the_axes_say() -> None:
    values = np.linspace(0.0, 1.0, 31)
    svg = line_chart("rise", "of 1", axis_of(31), (Curve("a", values),), [], limits=(0.0, 1.0))
    (path,) = paths(svg)
    drawn = points(path)
    assert drawn[0] == pytest.approx([LEFT, HEIGHT - BOTTOM])
    assert drawn[-1] == pytest.approx([LEFT + (WIDTH - LEFT - RIGHT) * 30 / 31, TOP], abs=0.06)
    texts = [text.text for text in ET.fromstring(svg).iter("text")]
    assert {"of 1", "seconds", "0", "1"} <= set(texts)


def test_a_lone_value_is_drawn_as_a_dot() -> None:
    svg = line_chart("dot", "cm", axis_of(3), (Curve("a", np.array([np.nan, 2.0, np.nan])),), [])
    (path,) = paths(svg)
    assert re.fullmatch(r"M[\d.]+ [\d.]+h0", path)


def test_unknown_curves_are_empty_and_said_to_be_unknown() -> None:
    svg = line_chart("nothing", "cm", axis_of(20), (Curve("a", np.full(20, np.nan)),), [])
    assert paths(svg) == [""]
    titles = [title.text or "" for title in ET.fromstring(svg).iter("title")]
    assert "a: not known" in titles[1]
    assert "nan" not in svg


def test_hovering_tells_time_frame_and_values() -> None:
    values = np.arange(640.0)
    svg = line_chart("count", "cm", axis_of(640), (Curve("height", values),), [])
    titles = [title.text for title in ET.fromstring(svg).iter("title")]
    assert titles[1] == "0.00 s, frame 0 to 9\nheight: 0 to 9 cm"
    assert titles[-1] == "21.00 s, frame 630 to 639\nheight: 630 to 639 cm"


def test_names_are_escaped() -> None:
    svg = line_chart("<a> & b", "<u>", axis_of(3), (Curve("<c>", np.ones(3)),), [])
    assert next(iter(ET.fromstring(svg))).text == "<a> & b"


def test_spans_cover_their_frames_and_say_which() -> None:
    marked = np.zeros(100, bool)
    marked[[10, 11, 12, 50]] = True
    first, second = spans_of(axis_of(100), marked, "out", "left out")
    assert (first.first, first.last) == pytest.approx((10 / 30, 13 / 30))
    assert first.title == "left out: frames 10 to 12, 0.33 to 0.43 s"
    assert second.title == "left out: frame 50, 1.67 to 1.70 s"
    svg = span_chart("flags", axis_of(100), [("lost", [first, second])])
    assert len([rect for rect in ET.fromstring(svg).iter("rect") if rect.get("class") == "span-out"]) == 2


def test_spans_are_bounded_in_number() -> None:
    marked = np.arange(100_000) % 2 == 0
    assert len(spans_of(axis_of(100_000), marked, "out", "left out")) <= WIDTH
    assert spans_of(axis_of(10), np.zeros(10, bool), "out", "left out") == []


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-40, 33), (0.2, 0.23), (86, 97), (0, 1e4), (-0.03, 1.03)])
def test_ticks_are_few_round_and_inside(low: float, high: float) -> None:
    ticks = nice_ticks(low, high, 5)
    assert 2 <= len(ticks) <= 11
    assert low - 1e-9 <= ticks[0] <= ticks[-1] <= high + 1e-9
    step = ticks[1] - ticks[0]
    assert step / 10 ** np.floor(np.log10(step) + 1e-9) == pytest.approx(
        round(step / 10 ** np.floor(np.log10(step) + 1e-9))
    )


def test_axes_hold_all_values_and_are_no_magnifying_glass() -> None:
    low, high = value_range([np.array([3.0, np.nan]), np.array([5.0])], 0.0)
    assert low < 3 < 5 < high < 5.5
    low, high = value_range([np.array([3.0, 3.001])], 10.0)
    assert high - low >= 10
    assert (low + high) / 2 == pytest.approx(3, abs=0.01)
    assert value_range([np.full(3, np.nan)], 0.0)[0] < value_range([], 0.0)[1]


def test_scattered_points_are_bounded_and_finite() -> None:
    random = np.random.default_rng(0)
    x, y = random.uniform(-30, 30, (2, 50_000))
    svg = scatter_chart("views", "yaw", "pitch", np.r_[x, np.nan, 400.0], np.r_[y, 0.0, 0.0], 30.0)
    (dots,) = [path.get("d", "") for path in ET.fromstring(svg).iter("path")]
    assert 500 < dots.count("h0") <= 1000
    assert "nan" not in svg
    none = scatter_chart("views", "yaw", "pitch", np.full(3, np.nan), np.full(3, np.nan), 30.0)
    assert [path.get("d") for path in ET.fromstring(none).iter("path")] == [""]


def test_bars_run_from_lowest_to_highest() -> None:
    svg = range_chart("seen", [("mouth", 0.1, 0.6, 0.4)])
    (bar,) = [rect for rect in ET.fromstring(svg).iter("rect") if rect.get("class") == "bar"]
    grid = [float(line.get("x1", "")) for line in ET.fromstring(svg).iter("line") if line.get("class") == "grid"]
    unit = grid[-1] - grid[0]
    assert float(bar.get("x", "")) == pytest.approx(grid[0] + 0.1 * unit, abs=0.1)
    assert float(bar.get("width", "")) == pytest.approx(0.5 * unit, abs=0.1)
