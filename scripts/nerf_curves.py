"""Curves of quality against training time: drawn, and read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FuncFormatter, NullLocator

Curve = Sequence[dict[str, Any]]
"""Points with `seconds`, growing, and `psnr_in_matte`."""

COLOURS = ("#0072b2", "#d55e00", "#e69f00", "#009e73", "#cc79a7", "#56b4e9")
"""Okabe and Ito's, told apart by the colour-blind too."""
TICKS = (1, 2, 5, 10, 20, 60, 120, 240, 600, 1200)
"""In seconds."""


def seconds_to_reach(curve: Curve, quality: float) -> float | None:
    """When a curve first reaches a quality, between two points on a logarithmic clock; none where it never does.

    A curve that begins above it is said to reach it at its first point: sooner was not looked.
    """
    seconds, values = (np.array([point[name] for point in curve]) for name in ("seconds", "psnr_in_matte"))
    reached = np.flatnonzero(values >= quality)
    if len(reached) == 0:
        return None
    after = int(reached[0])
    if after == 0:
        return float(seconds[0])
    share = (quality - values[after - 1]) / (values[after] - values[after - 1])
    logarithm = np.log(seconds[after - 1]) + share * np.log(seconds[after] / seconds[after - 1])
    return round(float(np.exp(logarithm)), 2)


def draw_curves(curves: dict[str, Curve], title: str, path: Path) -> None:
    """PSNR against time on a logarithmic clock, every line with its name at its end."""
    figure, axes = plt.subplots(figsize=(7.5, 4.5), dpi=120)
    ends = []
    for (name, curve), colour in zip(curves.items(), COLOURS, strict=False):
        seconds, values = ([point[key] for point in curve] for key in ("seconds", "psnr_in_matte"))
        axes.plot(seconds, values, color=colour, linewidth=2.5 if name == next(iter(curves)) else 1.8)
        axes.plot(seconds[-1], values[-1], "o", color=colour, markersize=5)
        ends.append((values[-1], seconds[-1], f"{name}  {values[-1]:.1f} dB", colour))
    low, high = axes.get_ylim()
    for place, (_, second, label, colour) in zip(spread(sorted(ends), 0.055 * (high - low)), sorted(ends), strict=True):
        axes.annotate(
            label, (second, place), xytext=(8, 0), textcoords="offset points", color=colour, va="center", fontsize=9
        )
    axes.set_xscale("log")
    axes.set_xticks([tick for tick in TICKS if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g} s"))
    axes.set_xlabel("training time, evaluation not counted")
    axes.set_ylabel("PSNR inside the matte, dB")
    axes.set_title(title, loc="left", fontsize=10)
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)


def spread(ends: Sequence[tuple[float, float, str, str]], least: float) -> list[float]:
    """Heights of the lines' names, lowest first: at their lines' ends, but no two closer than `least`."""
    heights: list[float] = []
    for height, *_ in ends:
        heights.append(height if not heights else max(height, heights[-1] + least))
    return heights
