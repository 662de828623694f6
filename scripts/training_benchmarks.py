"""What the benchmarks that train on a clip share: what they say of the clip, and where their curves go."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nerf_curves import draw_curves
from nerfstudio.utils.rich_utils import CONSOLE
from reconstruction_quality import HELD_OUT_INTERVAL

from tracking.clip import TrackedClip


def clip_facts(clip: TrackedClip) -> dict[str, Any]:
    """What a measurement says of its clip: the name of its folder, and not where that is."""
    return {
        "name": clip.root.name,
        "width": clip.intrinsics.width,
        "height": clip.intrinsics.height,
        "tracked_frames": len(clip.frames),
    }


def held_out_facts(clip: TrackedClip) -> dict[str, Any]:
    """The same, of a clip of which frames are held out."""
    return {**clip_facts(clip), "held_out_interval": HELD_OUT_INTERVAL}


def draw_qualities(clip: TrackedClip, results: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draw each result's curve of PSNR over training time."""
    title = f"{clip.root.name}, {clip.intrinsics.width} x {clip.intrinsics.height}: every {HELD_OUT_INTERVAL}th frame"
    draw_curves({name: result["curve"] for name, result in results.items()}, title, path)


def tell_written(*paths: Path) -> None:
    """Say where the results are."""
    CONSOLE.print(f"Wrote {' and '.join(str(path) for path in paths)}.", soft_wrap=True)
