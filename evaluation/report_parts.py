"""What the pages of evaluations share: their frame and style, tables of measures, and lists of remarks."""

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources

from evaluation.measurement import Measure
from evaluation.wording import ABSENT, ARROW_WORDS, ARROWS, spoken, with_unit

EXTRA_STYLE = """
table.numbers { width: 100%; }
table.numbers td:first-child { white-space: normal; min-width: 16em; }
table.numbers th { vertical-align: bottom; }
table.numbers td.value, table.numbers th.value { text-align: right; }
table.numbers td.value { white-space: nowrap; font-variant-numeric: tabular-nums; }
table.numbers th.value { white-space: normal; }
table.numbers .meaning { color: var(--soft); font-size: 0.875rem; display: block; max-width: 62ch; }
table.numbers .arrow { color: var(--soft); }
td .good { color: var(--good); } td .bad { color: var(--problem); }
.scroll { overflow-x: auto; }
video { display: block; width: 100%; max-width: 960px; background: #000; border-radius: 3px; }
.sheet { display: grid; gap: 4px 8px; align-items: center; }
.sheet .name { font-size: 0.875rem; overflow-wrap: anywhere; }
.sheet .time { font-size: 0.875rem; color: var(--soft); text-align: center; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 4px; }
details { margin: 16px 0; } summary { cursor: pointer; font-weight: 600; }
.curve-3 { stroke: var(--flag-line); stroke-dasharray: 10 3 2 3; }
.curve-4 { stroke: var(--problem); stroke-dasharray: 1 3; }
.curve-5 { stroke: var(--soft); }
:root { --flag-line: #7a5195; }
@media (prefers-color-scheme: dark) { :root { --flag-line: #c39bd3; } }
@media (max-width: 700px) { .sheet .name { grid-column: 1 / -1; } }
"""
"""What these pages need beside the style of tracking's reports."""
MOST_CURVES = 6
"""A chart has styles for so many."""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page, without scripts or outside links."""
    style = (resources.files("tracking") / "data" / "report.css").read_text(encoding="utf-8")
    return "".join(
        [
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{style}{EXTRA_STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            *parts,
            "</body></html>\n",
        ]
    )


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Terms and what is to be said of them."""
    items = "".join(f"<div><dt>{escape(term)}</dt><dd>{escape(text)}</dd></div>" for term, text in pairs)
    return f'<dl class="facts">{items}</dl>'


def remark_list(heading: str, remarks: Sequence[str]) -> str:
    """Sentences, one under the other; nothing if there are none."""
    if not remarks:
        return ""
    return f"<h2>{escape(heading)}</h2><ul>{''.join(f'<li>{escape(remark)}</li>' for remark in remarks)}</ul>"


def named(measure: Measure) -> str:
    """A table's first cell: what the measure is called, which way is better, and what it means."""
    arrow = ARROWS[measure.better]
    told = f' <span class="arrow" title="{ARROW_WORDS[measure.better]}">{arrow}</span>' if arrow else ""
    return f'<td><b>{escape(spoken(measure.name))}</b>{told}<span class="meaning">{escape(measure.meaning)}</span></td>'


def value_cell(measure: Measure | None) -> str:
    """A number with its unit; a dash that tells why, where there is none."""
    if measure is None:
        return f'<td class="value" title="Not measured of this video.">{ABSENT}</td>'
    text = with_unit(measure.value, measure.unit)
    title = f' title="{escape(measure.missing)}"' if measure.value is None else ""
    return f'<td class="value"{title}>{escape(text)}</td>'


def number_table(headings: Sequence[str], rows: Iterable[str]) -> str:
    """A table whose first column names measures."""
    columns = "".join(f'<th class="value">{escape(heading)}</th>' for heading in headings)
    return (
        f'<div class="scroll"><table class="numbers"><thead><tr><th></th>{columns}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def legend(names: Sequence[str]) -> str:
    """Samples of a chart's curves."""
    items = [
        f'<li><svg viewBox="0 0 34 14" aria-hidden="true"><path class="curve curve-{number}" d="M2 7L32 7"/></svg>'
        f"{escape(name)}</li>"
        for number, name in enumerate(names)
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'
