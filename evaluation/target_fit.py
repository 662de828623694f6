"""How near the edit is to what the editor alone makes of each frame: prompt fit without any network.

For editors whose own target of a frame is known, such as the offline one without its jitter. Colours are compared by
CIEDE2000 after shrinking, so that it is the look that counts and not where each hair lies; the difference of source and
target is the way that the edit had to go.
"""

from evaluation.areas import SURELY_PERSON, person_and_region
from evaluation.color_difference import ciede2000, to_lab
from evaluation.curves import Curves, mean_measure, mean_of
from evaluation.measurement import FramePair, Measure
from evaluation.shrinking import shrink

WORKING_SIZE = 128
"""Longer side, in pixels, of the pictures whose colours are compared."""
LEAST_WAY = 1.0
"""Targets nearer to the source than this, in CIEDE2000, leave no way to speak of."""
UNKNOWN = "The editor's own target of the frames is not known: this is measured with the offline editor only."


class TargetFit:
    """Colour difference of the edit and the editor's own target, in the region that the prompt asks for."""

    def __init__(self, region: str = "person") -> None:
        """Compare inside the named region of the source's person."""
        self._region = region
        self._curves = Curves(("to_target", "of_means", "way"))

    def update(self, pair: FramePair) -> None:
        """Compare edit and target, and source and target."""
        pair = shrink(pair, WORKING_SIZE)
        mask = person_and_region(pair, (self._region,)).get(f"_{self._region}")
        if mask is None and self._region == "person" and pair.matte is not None:
            mask = pair.matte > SURELY_PERSON
        if pair.target is None or mask is None or not mask.any():
            self._curves.add({})
            return
        source, edited, target = (to_lab(picture)[mask] for picture in (pair.source, pair.edited, pair.target))
        self._curves.add(
            {
                "to_target": float(ciede2000(edited, target).mean()),
                "of_means": float(ciede2000(edited.mean(axis=0), target.mean(axis=0))),
                "way": float(ciede2000(source, target).mean()),
            }
        )

    def measures(self) -> list[Measure]:
        """The difference, that of the mean colours, and the share of the way that was gone."""
        where = "the person" if self._region == "person" else f"the region '{self._region}'"
        missing = f"{UNKNOWN[:-1]}; or no frame shows {where}."
        return [
            mean_measure(
                "target_color_difference",
                self._curves["to_target"],
                f"Mean CIEDE2000 colour difference of the edit and the editor's own target of that frame, inside "
                f"{where}, at {WORKING_SIZE} pixels: 1 can just be seen.",
                better="lower",
                missing=missing,
            ),
            mean_measure(
                "target_mean_color_difference",
                self._curves["of_means"],
                f"CIEDE2000 difference of the mean colours of {where} in edit and target.",
                better="lower",
                missing=missing,
            ),
            self._reached(missing),
        ]

    def _reached(self, missing: str) -> Measure:
        meaning = (
            "How much of the way from the source to the editor's own target the edit has gone: 1 less the ratio of its "
            "mean colour difference from the target and the source's; 1 is all of it, 0 an unedited frame."
        )
        left, way = self._curves["to_target"], self._curves["way"]
        whole_way = mean_of(way)
        if whole_way is None or whole_way < LEAST_WAY:
            reason = missing if whole_way is None else "The target looks like the source."
            return Measure("target_reached", None, meaning, better="higher", missing=reason)
        return mean_measure("target_reached", 1 - left / whole_way, meaning, better="higher")
