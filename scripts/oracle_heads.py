"""The head model as an oracle has it: a person's true face, and expressions that move it as they do in the renderings.

Fitted with this model and the true lens, what is still wrong with a pose is what the landmark detector and skin say.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import numpy as np
from jaxtyping import Float
from synthetic_heads import SyntheticHeads, own_names
from tracking_truth import MESH_POINTS, Correspondence, align

from tracking.head_model import HeadModel

RIGHT_IRIS, LEFT_IRIS = slice(468, 473), slice(473, 478)
RIGHT_EYE_CORNERS, LEFT_EYE_CORNERS = (33, 133), (362, 263)


@contextmanager
def oracle(
    heads: SyntheticHeads, same_points: Correspondence, neutral: Float[np.ndarray, "vertices 3"]
) -> Iterator[None]:
    """While it lasts, every fit is to the true person's face, from which nobody differs."""
    model = _true_model(HeadModel.load(), heads, same_points, neutral)
    with patch.object(HeadModel, "load", lambda: model):
        yield


def _true_model(
    ours: HeadModel, heads: SyntheticHeads, same_points: Correspondence, neutral: Float[np.ndarray, "vertices 3"]
) -> HeadModel:
    """The true face and ICT-FaceKit's displacements at our points, in our head space; irises go with their eyes."""
    scale, turn, shift = align(ours.mean[:MESH_POINTS], same_points.on(neutral))
    mean = ours.mean.copy()
    mean[:MESH_POINTS] = ((same_points.on(neutral) - shift) / scale) @ turn
    for iris, corners in ((RIGHT_IRIS, RIGHT_EYE_CORNERS), (LEFT_IRIS, LEFT_EYE_CORNERS)):
        mean[iris] += (mean[list(corners)] - ours.mean[list(corners)]).mean(0)
    deltas = ours.expression_deltas.copy()
    for row, name in enumerate(ours.expression_names):
        parts = [heads.expression_deltas[heads.expression_names.index(own)] for own in own_names(name)]
        if parts:
            deltas[row, :MESH_POINTS] = same_points.on(np.sum(parts, axis=0)) @ turn / scale
    return replace(ours, mean=mean, expression_deltas=deltas, identity_basis=np.zeros_like(ours.identity_basis))
