"""How measures are put into words and digits, on pages and on the console alike."""

import math

from evaluation.measurement import Measure

ARROWS = {"higher": "\N{UPWARDS ARROW}", "lower": "\N{DOWNWARDS ARROW}", "neither": ""}
ARROW_WORDS = {"higher": "higher is better", "lower": "lower is better", "neither": "only describes"}
LEAST = 1e-9
"""Smaller numbers are rounding errors, and shown as 0."""
ABSENT = "\N{EN DASH}"
SHORT_FORMS = {
    "psnr": "PSNR", "ssim": "SSIM", "lpips": "LPIPS", "clip": "CLIP", "iou": "IoU", "fps": "FPS", "id": "ID",
}  # fmt: skip


def spoken(name: str) -> str:
    """A measure's name as words: `flow_warp_ratio` is "Flow warp ratio"."""
    words = [SHORT_FORMS.get(word, word) for word in name.split("_")]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def number(value: float | None) -> str:
    """A number with three digits that tell something, and a true minus sign; a dash for none."""
    if value is None or not math.isfinite(value):
        return ABSENT
    size = abs(value)
    if size < LEAST:
        text = "0"
    elif size >= 1000:
        text = f"{value:,.0f}"
    elif size < 0.0001:
        text = f"{value:.1e}"
    else:
        text = f"{value:.{max(0, 2 - math.floor(math.log10(size)))}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def with_unit(value: float | None, unit: str) -> str:
    """A number with its unit."""
    text = number(value)
    if text == ABSENT or not unit:
        return text
    if unit == "x":
        return f"{text} \N{MULTIPLICATION SIGN}"
    return f"{text} {unit}"


def is_better(difference: float, measure: Measure) -> bool | None:
    """Whether a change by so much is for the better; none where neither direction is."""
    if measure.better == "neither" or not math.isfinite(difference) or difference == 0:
        return None
    return (difference > 0) == (measure.better == "higher")
