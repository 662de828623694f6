"""Effects carried out: each where it belongs, one after the other."""

from collections.abc import Sequence

import numpy as np

from stage1_edit.effects_color import adjust, apply_makeup, recolor
from stage1_edit.effects_light import LIGHTS
from stage1_edit.effects_material import CHARACTERS, apply_material
from stage1_edit.effects_style import STYLES
from stage1_edit.instructions import Effect
from stage1_edit.portrait import Picture, Plane, Portrait, mix


def apply_effects(portrait: Portrait, effects: Sequence[Effect]) -> Picture:
    """The portrait after all effects, in [0, 1]; pixels outside their regions keep their value exactly."""
    image = portrait.image
    for effect in effects:
        shown = portrait.showing(image)
        weights = portrait.weights(effect.region)
        edited = np.nan_to_num(np.clip(_edited(shown, effect, weights), 0, 1)).astype(np.float32)
        # Colour, tone and make-up weigh themselves; the rest covers the picture and is laid in through the region.
        if effect.kind not in ("color", "tone", "makeup"):
            edited = mix(image, edited, weights * min(effect.strength, 1.0))
        image = np.where(weights[..., None] > 0, edited, image)
    return np.clip(image, 0, 1)


def _edited(portrait: Portrait, effect: Effect, weights: Plane) -> Picture:
    if effect.kind == "color":
        if effect.region in ("person", "head", "face"):
            weights = np.minimum(weights, portrait.weights("skin"))
        return recolor(portrait, weights, effect.region, effect.name, effect.shade, effect.strength)
    if effect.kind == "tone":
        return adjust(portrait, weights, effect.name, effect.strength)
    if effect.kind == "makeup":
        return apply_makeup(portrait, effect.name, effect.color, effect.shade, effect.strength)
    if effect.kind == "material":
        return apply_material(portrait, effect.name)
    tables = {"character": CHARACTERS, "style": STYLES, "light": LIGHTS}
    return tables[effect.kind][effect.name](portrait)
