"""What CLIP says of an edit: does it show what was asked, and do its frames look alike?

With C(f) the direction of a frame's picture, o the source, e the edit, and T(text) that of a caption:

    text similarity        100 cos(C(e_i), T(edited caption)), mean over frames (TGVE 2023; CLIP score)
    direction similarity   cos(C(e_i) - C(o_i), T(edited caption) - T(source caption)), mean over frames (StyleGAN-NADA;
                           Instruct-NeRF2NeRF)
    frame consistency      cos(C(e_i), C(e_j)), mean over all pairs of frames (TGVE 2023)
    neighbour consistency  cos(C(e_i), C(e_(i+1))), mean (Gen-1's "Tem-Con")
    direction consistency  cos(C(e_i) - C(o_i), C(e_(i+1)) - C(o_(i+1))), mean (Instruct-NeRF2NeRF)
    frame accuracy         share of frames nearer to the edited caption than to the source's (FateZero)

The consistencies are highest for an edit that does nothing: read them beside the first two. Numbers of different CLIPs
and captions do not compare.
"""

from typing import Literal

from evaluation.clip_model import Direction, ImageTextModel
from evaluation.curves import Curves, mean_measure
from evaluation.directions import AllPairs, cosine
from evaluation.measurement import FramePair, Measure

NO_CAPTION = "No caption of the edit was given, or none of the source, so there is nothing to compare the frames with."
TOO_SHORT = "There are fewer than two frames."
NO_DIRECTION = "Edit and source are identical, so the edit has no direction."

MEANINGS = {
    "clip_text_similarity": "100 times the cosine of edited frame and edited caption in CLIP's space (TGVE 2023).",
    "clip_text_similarity_of_source": "The same of the unedited frames: what the edit started from.",
    "clip_direction_similarity": "Cosine of the step from source frame to edited frame and the step from the source's "
    "caption to the edit's, in CLIP's space (as Instruct-NeRF2NeRF measures it).",
    "clip_frame_accuracy": "Share of the edited frames that are nearer to the edit's caption than to the source's.",
    "clip_frame_consistency": "Mean cosine of all pairs of edited frames in CLIP's space (TGVE 2023).",
    "clip_frame_consistency_of_source": "The same of the source's frames: what its own motion leaves possible.",
    "clip_neighbor_consistency": "Mean cosine of neighbouring edited frames in CLIP's space.",
    "clip_direction_consistency": "Cosine of the steps from source to edit of neighbouring frames, in CLIP's space.",
}


class ClipSimilarity:
    """All that CLIP's directions of the frames say."""

    def __init__(
        self, model: ImageTextModel, source_caption: str = "", edited_caption: str = "", interval: int = 1
    ) -> None:
        """Look at every so many-th pair; neighbours are then the ones looked at.

        Args:
            source_caption: what the source shows, such as "a photo of a man"; the measures that need it are missing
                without.
            edited_caption: what the edit should show, such as "a bronze statue of a man".
        """
        self._model = model
        self._interval = interval
        self._source_text = model.text(source_caption) if source_caption else None
        self._edited_text = model.text(edited_caption) if edited_caption else None
        self._seen = 0
        self._last: tuple[Direction, Direction] | None = None
        self._all_source, self._all_edited = AllPairs(), AllPairs()
        self._curves = Curves(MEANINGS)

    def update(self, pair: FramePair) -> None:
        """Look at both pictures, if this pair's turn has come."""
        due = self._seen % self._interval == 0
        self._seen += 1
        if not due:
            self._curves.add({})
            return
        source, edited = self._model.picture(pair.source), self._model.picture(pair.edited)
        self._all_source.add(source)
        self._all_edited.add(edited)
        numbers = self._against_captions(source, edited)
        if self._last is not None:
            last_source, last_edited = self._last
            numbers["clip_neighbor_consistency"] = cosine(last_edited, edited)
            numbers["clip_direction_consistency"] = cosine(last_edited - last_source, edited - source)
        self._last = source, edited
        self._curves.add(numbers)

    def _against_captions(self, source: Direction, edited: Direction) -> dict[str, float]:
        wanted, given = self._edited_text, self._source_text
        if wanted is None:
            return {}
        numbers = {
            "clip_text_similarity": 100 * cosine(edited, wanted),
            "clip_text_similarity_of_source": 100 * cosine(source, wanted),
        }
        if given is not None:
            numbers["clip_direction_similarity"] = cosine(edited - source, wanted - given)
            numbers["clip_frame_accuracy"] = float(cosine(edited, wanted) > cosine(edited, given))
        return numbers

    def measures(self) -> list[Measure]:
        """All of them."""
        all_pairs = {
            "clip_frame_consistency": self._all_edited.mean(),
            "clip_frame_consistency_of_source": self._all_source.mean(),
        }
        return [
            _measure_of_all(name, meaning, all_pairs[name])
            if name in all_pairs
            else mean_measure(
                name,
                self._curves[name],
                meaning,
                better=better_of(name),
                missing=self._why_not(name),
            )
            for name, meaning in MEANINGS.items()
        ]

    def _why_not(self, name: str) -> str:
        needs_source_caption = name in ("clip_direction_similarity", "clip_frame_accuracy")
        needs_caption = needs_source_caption or "text" in name
        if needs_caption and (self._edited_text is None or (needs_source_caption and self._source_text is None)):
            return NO_CAPTION
        return TOO_SHORT if "consistency" in name and self._all_edited.count < 2 else NO_DIRECTION


def better_of(name: str) -> Literal["higher", "neither"]:
    """What is said of the source only describes."""
    return "neither" if name.endswith("_of_source") else "higher"


def _measure_of_all(name: str, meaning: str, value: float | None) -> Measure:
    return Measure(name, value, meaning, better=better_of(name), missing=TOO_SHORT if value is None else "")
