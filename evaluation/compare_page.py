"""The page of a comparison."""

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from evaluation.bootstrap import CONFIDENCE
from evaluation.comparison import ComparedMeasure, Comparison, Difference
from evaluation.measurement import Measure
from evaluation.report import HEADLINES
from evaluation.report_parts import named, number_table, page
from evaluation.wording import ABSENT, is_better, number, with_unit


def comparison_page(comparisons: Sequence[Comparison]) -> str:
    """All tables on one page."""
    names = comparisons[0].names
    introduction = (
        f"<p>Edits of the same film, measured frame by frame. {escape(names[0])} is what the others are compared with. "
        f"Where a number is known of every frame, the difference is the mean over the frames that all have, with the "
        f"interval in which it lies with {CONFIDENCE:.0%} confidence: the frames of both were drawn together, in "
        "blocks of neighbours as long as neighbours are alike (circular block bootstrap). It speaks of this film "
        "alone. "
        '<span class="good">Green</span> is surely better and red surely worse: the interval does not hold zero.</p>'
    )
    return page("Evaluations compared", [introduction, *map(_section, comparisons)])


def _section(comparison: Comparison) -> str:
    headings = [comparison.names[0]]
    for name in comparison.names[1:]:
        headings += [name, "difference"]
    rows = [row for row in comparison.measures if np.isfinite(row.values).any()]
    first = sorted(
        (row for row in rows if row.measure.name in HEADLINES), key=lambda row: HEADLINES.index(row.measure.name)
    )
    rest = [row for row in rows if row.measure.name not in HEADLINES]
    folded = number_table(headings, map(_row, rest))
    more = f"<details><summary>{len(rest)} more numbers</summary>{folded}</details>" if rest else ""
    return (
        f"<h2>{escape(comparison.subject)}</h2><p>{comparison.frames} frames.</p>"
        f"{number_table(headings, map(_row, first))}{more}"
    )


def _row(row: ComparedMeasure) -> str:
    cells = [f'<td class="value">{escape(with_unit(row.values[0], row.measure.unit))}</td>']
    for value, difference in zip(row.values[1:], row.differences, strict=True):
        cells.append(f'<td class="value">{escape(with_unit(value, row.measure.unit))}</td>')
        cells.append(f'<td class="value">{_told(difference, row.measure)}</td>')
    return f"<tr>{named(row.measure)}{''.join(cells)}</tr>"


def _told(difference: Difference, measure: Measure) -> str:
    interval = difference.interval
    if interval is None:
        return escape(number(difference.change)) if math.isfinite(difference.change) else ABSENT
    text = f"{number(interval.mean)} [{number(interval.low)}, {number(interval.high)}]"
    better = is_better(interval.mean, measure) if interval.excludes_zero else None
    if better is None:
        return escape(text)
    return f'<span class="{"good" if better else "bad"}">{escape(text)}</span>'
