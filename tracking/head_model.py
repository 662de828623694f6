"""A linear head: MediaPipe's mesh, shaped by identity modes and by ARKit's named expressions.

    vertices = neutral + sum_m identity_m basis_m + sum_k expression_k delta_k

Lengths are centimetres in head space: x to the person's left, y up, z out of the face. How the numbers were made, and
what they cannot do, is told in `tracking/data/README.md`.
"""

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class HeadModel:
    """The head's shape as a linear function of identity and expression."""

    mean: Float[np.ndarray, "vertices 3"]
    """The average neutral face, in centimetres."""
    triangles: Int[np.ndarray, "triangles 3"]
    """Faces, counterclockwise from outside; some close the eyes between the lids and the mouth between the lips."""
    mirror: Int[np.ndarray, "vertices"]
    """The vertex that each one changes places with under reflection in x = 0."""
    identity_basis: Float[np.ndarray, "modes vertices 3"]
    """Displacements in centimetres for a coefficient of 1, which is an ordinary difference between people."""
    expression_names: tuple[str, ...]
    """ARKit's names; left and right are the person's."""
    expression_deltas: Float[np.ndarray, "expressions vertices 3"]
    """Displacements in centimetres of each expression fully on."""
    measured: Bool[np.ndarray, "expressions"]
    """Whether the displacement comes from videos of people, rather than being written by hand."""

    @classmethod
    @cache
    def load(cls) -> "HeadModel":
        """The model that comes with the package."""
        with (resources.files("tracking") / "data" / "head_model.npz").open("rb") as file, np.load(file) as arrays:
            return cls(
                mean=arrays["neutral"],
                triangles=arrays["triangles"],
                mirror=arrays["mirror"],
                identity_basis=arrays["identity_basis"],
                expression_names=tuple(str(name) for name in arrays["expression_names"]),
                expression_deltas=arrays["expression_deltas"],
                measured=arrays["measured"],
            )

    def neutral(self, identity: Float[np.ndarray, "modes"]) -> Float[np.ndarray, "vertices 3"]:
        """The person's face at rest, in centimetres."""
        return self.mean + np.tensordot(identity, self.identity_basis, 1).astype(self.mean.dtype)

    def vertices(
        self, identity: Float[np.ndarray, "modes"], expression: Float[np.ndarray, "*frames expressions"]
    ) -> Float[np.ndarray, "*frames vertices 3"]:
        """The person's face with expressions, in centimetres."""
        return self.neutral(identity) + np.tensordot(expression, self.expression_deltas, 1).astype(self.mean.dtype)

    def expression_index(self, name: str) -> int:
        """Where the named expression stands among the coefficients.

        Raises:
            KeyError: the model has no such expression.
        """
        if name not in self.expression_names:
            raise KeyError(
                f"There is no expression {name!r}; the names are ARKit's: {', '.join(self.expression_names)}."
            )
        return self.expression_names.index(name)
