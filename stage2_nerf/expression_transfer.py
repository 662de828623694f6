"""Expressions for the avatar from elsewhere: scaled, set by hand, or another person's.

Named expressions are person-independent only roughly: the tracker's rest and reach differ from face to face. So what is
carried over is how far a face is from its own rest, relative to its own reach, and what comes out stays near what the
avatar has shown in training: beyond that the field would be guessing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tracking.errors import UserError

REST_PERCENTILE, REACH_PERCENTILE = 10.0, 97.0
"""Of each expression over a clip: faces are at rest for much longer than a tenth of the time, and noise has the top."""

BRIEF = ("eyeBlinkLeft", "eyeBlinkRight")
"""Their reach is the clip's greatest value: a lid is shut in so few frames that no percentile finds them. By a
percentile somebody who blinks twice in four seconds was made to blink half."""

LEAST_REACH = 0.15
"""An expression that a clip moves by less says nothing of the face's reach."""

GAINS = (2 / 3, 1.5)
"""How much smaller or larger another person's expression may become on the avatar."""

BEYOND = 0.3
"""How far past its own reach the avatar is driven at most, as a share of the way from rest to reach."""

UNSEEN = 0.4
"""So far from rest it may be driven in any case, were it never seen to do so: the head model knows how every face
moves, and what the field adds to that stays near what was seen (`CanonicalField.blend`). Somebody who never smiles was
else made to smile a third as much."""


@dataclass(frozen=True)
class ExpressionRange:
    """How a face uses each expression in a clip."""

    rest: Float[np.ndarray, "expressions"]
    reach: Float[np.ndarray, "expressions"]

    @classmethod
    def of(cls, expressions: Float[np.ndarray, "frames expressions"], names: Sequence[str]) -> "ExpressionRange":
        """The range of a clip's tracked frames.

        Args:
            names: ARKit's names of the expressions.
        """
        rest, reach = np.percentile(expressions, [REST_PERCENTILE, REACH_PERCENTILE], axis=0)
        is_brief = np.array([name in BRIEF for name in names])
        return cls(rest, np.where(is_brief, expressions.max(axis=0), reach))

    @property
    def span(self) -> Float[np.ndarray, "expressions"]:
        return self.reach - self.rest


def transfer_expressions(
    driving: Float[np.ndarray, "frames expressions"],
    driver: ExpressionRange,
    own: ExpressionRange,
    names: Sequence[str],
) -> Float[np.ndarray, "frames expressions"]:
    """Another person's expressions as the avatar makes them.

    Gaze is carried over as it is, since eyeballs turn alike in all faces; so is what either clip hardly moves.

    Args:
        driving: the other's expressions, frame by frame.
        driver: how the other uses them, over the whole driving clip.
        own: how the avatar's person uses them.
        names: ARKit's names of the expressions.
    """
    known = (driver.span > LEAST_REACH) & (own.span > LEAST_REACH)
    known &= np.array([not name.startswith("eyeLook") for name in names])
    gain = np.where(known, own.span / np.maximum(driver.span, 1e-6), 1.0).clip(*GAINS)
    moved = own.rest + gain * (driving - driver.rest)
    span = np.maximum(own.span, LEAST_REACH)
    return moved.clip(own.rest - BEYOND * span, np.maximum(own.reach + BEYOND * span, own.rest + UNSEEN))


def scale_expressions(
    expressions: Float[np.ndarray, "frames expressions"], own: ExpressionRange, scale: float
) -> Float[np.ndarray, "frames expressions"]:
    """Every expression so many times as far from rest; the gaze is scaled alike."""
    return own.rest + scale * (expressions - own.rest)


def set_expressions(
    expressions: Float[np.ndarray, "frames expressions"], values: Mapping[str, float], names: Sequence[str]
) -> Float[np.ndarray, "frames expressions"]:
    """Some expressions held at a value, the others as they are.

    Raises:
        UserError: there is no expression of that name; the message lists those that there are.
    """
    held = expressions.copy()
    for name, value in values.items():
        if name not in names:
            raise UserError(f"There is no expression '{name}': choose from {', '.join(names)}.")
        held[:, list(names).index(name)] = value
    return held


def parse_expression(typed: str) -> tuple[str, float]:
    """Read `NAME=VALUE`, such as `jawOpen=0.5`.

    Raises:
        UserError: it cannot be read.
    """
    name, equals, value = typed.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not equals or not np.isfinite(number):
        raise UserError(f"'{typed}' sets no expression: write such as 'jawOpen=0.5'.")
    return name.strip(), number
