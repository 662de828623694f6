"""An edit steadied along the film's own motion.

Poses and expressions are off by fractions of a pixel, another fraction in every frame, and an edit with more contrast
than the film shows more of that: a dark suit made of bronze flickers. What the avatar shows too much or too little of
the film itself is put right when it is pasted back; what is left is in the edit alone, the change

    R = S - A

of the styled avatar's colour S from the unedited one's A in the same frame. The change is averaged with those of the
frames before and after, carried along the film's optical flow W and counted as far as the film shows the same there,

    R'_t = (R_t + sum_n w_n W_n R_n) / (1 + sum_n w_n),     0 < |n - t| <= 2,     0 <= w_n <= 1

and S' = A + R' is shown. The film's own motion, grain and light are in A, or come from the film, and are not averaged.
That the film's flow steadies what was made of it frame by frame is how blind temporal consistency works (Bonneel et
al., "Blind Video Temporal Consistency", SIGGRAPH Asia 2015; Lai et al., ECCV 2018).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from stage2_nerf.frame_renderer import Scene
from tracking.motion_blend import MotionBlend, blend


def steadied(scene: Scene, neighbours: Sequence[Scene]) -> Scene:
    """A frame's scene with the changes of its looks averaged over the frames before and after.

    Args:
        scene: of the frame.
        neighbours: those of the frames before and after it; what is not laid onto the film, or shows another number of
            looks, is not heeded.
    """
    alike = [one for one in neighbours if one.is_on_film and len(one.foregrounds) == len(scene.foregrounds)]
    if not scene.is_on_film or not alike:
        return scene
    change, around = changes(scene), [changes(one) for one in alike]
    if not any(found.any() for found in (change, *around)):
        return scene
    motion = MotionBlend()
    seen = motion.shrink(scene.surroundings.image)
    pictures = [motion.shrink(one.surroundings.image) for one in alike]
    beside = [(motion.neighbor(seen, picture), found) for picture, found in zip(pictures, around, strict=True)]
    steady = blend(change, beside)
    parts = [steady[..., 3 * index : 3 * index + 3] for index in range(len(scene.foregrounds))]
    return replace(scene, foregrounds=[(scene.original + part).clip(0, 1) for part in parts])


def changes(scene: Scene) -> np.ndarray:
    """What every look adds to the unedited avatar's colour: height x width x three for each look."""
    return np.concatenate([foreground - scene.original for foreground in scene.foregrounds], axis=-1)
