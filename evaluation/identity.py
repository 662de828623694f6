"""Whether it is still the same person: cosines of face embeddings.

    identity            cos(e_i, o_i), mean over the frames in which both faces were found
    identity_neighbors  mean cos(e_i, e_(i+1)) over mean cos(o_i, o_(i+1))   (TL-ID of STIT, Tzaban et al. 2022)
    identity_all        mean cos over all pairs of edited faces, over that of the source's   (its TG-ID)

An edit that draws or sculpts the face leaves what such networks have learned: read it beside the landmark distance.
"""

from evaluation.curves import Curves, mean_measure, ratio_measure
from evaluation.directions import AllPairs, cosine
from evaluation.face_embedding import Direction, FaceEmbedder, upright_face
from evaluation.landmark_distance import NO_FACE
from evaluation.measurement import FramePair, Measure

MEANINGS = {
    "identity": "Cosine of the face embeddings of edit and source in a frame: the same person has about 0.5 "
    "and more, two people about 0.",
    "identity_neighbors": "How alike neighbouring edited faces are, over how alike the source's are (STIT's TL-ID): 1 "
    "if the identity flickers no more than the film's.",
    "identity_all": "How alike the edited faces of all pairs of frames are, over how alike the source's are (STIT's "
    "TG-ID).",
}


class IdentityKept:
    """Face embeddings of edit and source compared."""

    def __init__(self, embedder: FaceEmbedder) -> None:
        self._embedder = embedder
        self._last: tuple[Direction, Direction] | None = None
        self._all_source, self._all_edited = AllPairs(), AllPairs()
        self._curves = Curves(("identity", "source", "edited"))

    def update(self, pair: FramePair) -> None:
        """Embed both faces."""
        if pair.source_face is None or pair.edited_face is None:
            self._last = None
            self._curves.add({})
            return
        source = self._embedder.embed(upright_face(pair.source, pair.source_face.landmarks))
        edited = self._embedder.embed(upright_face(pair.edited, pair.edited_face.landmarks))
        self._all_source.add(source)
        self._all_edited.add(edited)
        numbers = {"identity": cosine(source, edited)}
        if self._last is not None:
            numbers |= {"source": cosine(self._last[0], source), "edited": cosine(self._last[1], edited)}
        self._last = source, edited
        self._curves.add(numbers)

    def measures(self) -> list[Measure]:
        """All three."""
        neighbors = ratio_measure(
            "identity_neighbors",
            self._curves["edited"],
            self._curves["source"],
            MEANINGS["identity_neighbors"],
            better="higher",
            missing="No two neighbouring frames show a face in both source and edit.",
        )
        source, edited = self._all_source.mean(), self._all_edited.mean()
        value = None if source is None or edited is None or source <= 0 else edited / source
        missing = "" if value is not None else "Fewer than two frames show a face in both source and edit."
        return [
            mean_measure("identity", self._curves["identity"], MEANINGS["identity"], better="higher", missing=NO_FACE),
            neighbors,
            Measure("identity_all", value, MEANINGS["identity_all"], "x", "higher", missing),
        ]
