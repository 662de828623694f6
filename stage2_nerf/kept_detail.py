"""How much of the film's fine brightness an edit keeps: an oil painting shows no pores.

What the avatar cannot resolve is put back from the film when it is pasted into it (`paste_back`). An editor that
smooths skin has taken some of that away, and with all of it put back the look is rougher than its own edits, and
flickers with the film's noise. The edited training frames tell how much is to be put back. With their brightness E, the
styled avatar's S over the same background, and d what would be put back of the film, the share g that brings S + g d
nearest to E in the least squares over the region that is edited is

    g = <E - S, d> / <d, d>

kept in [0, 1]. Where the editor's frames differ from each other, they differ by what is in no relation to the film, and
cancel out.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float32

from stage1_edit.compositing import region_weights
from stage1_edit.prompts import EditPrompt
from stage2_nerf.frame_renderer import FrameRenderer
from stage2_nerf.paste_back import brightness, fine_brightness

MEASURED_FRAMES = 8
"""Edited frames that are looked at; each is rendered once."""


def measure_kept_detail(
    renderer: FrameRenderer, prompt: EditPrompt, edited: Iterable[tuple[int, Float32[np.ndarray, "height width 3"]]]
) -> float:
    """The share g that is said above.

    Args:
        renderer: of the avatar that has learned the prompt's style.
        prompt: whose style it is.
        edited: numbers of some frames, and their edits, in [0, 1], as the style was trained on them.

    Returns:
        In [0, 1]; 1 where the film shows nothing that the avatar lacks.
    """
    along = length = 0.0
    for number, picture in edited:
        scene = renderer.scene(number, [{prompt: 1.0}])
        around, behind = scene.surroundings, (1 - scene.alpha[..., None]) * scene.surroundings.background
        styled = scene.foregrounds[0] + behind
        film = around.image.astype(np.float32) / 255
        put_back = fine_brightness(film, scene.original + behind, styled) * np.minimum(around.matte, scene.alpha)
        edited_here = region_weights(renderer.clip.labels(number), around.matte, prompt.region)
        along += float((edited_here * (brightness(picture) - brightness(styled)) * put_back).sum())
        length += float((edited_here * put_back**2).sum())
    return float(np.clip(along / length, 0, 1)) if length > 0 else 1.0
