"""Videos whose defects are known, because they are made here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
from jaxtyping import Float

from evaluation.measurement import FaceMeasurement, FramePair, Measure, Metric, Picture
from tracking.head_model import HeadModel
from tracking.regions import Label

SHARED_WEIGHTS = Path(__file__).resolve().parents[3] / "shared" / "models" / "weights"
SIDE = 96


def texture(height: int, width: int, seed: int = 0, roughness: float = 2.0) -> Picture:
    """Smooth random colours that fill the range from about 60 to 200."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), roughness)
    return np.clip(130 + 30 * smooth / smooth.std(), 60, 200).astype(np.uint8)


def frontal_landmarks(centre: tuple[float, float], iris_distance: float) -> Float[np.ndarray, "478 2"]:
    """The mean head's landmarks seen from the front."""
    points = HeadModel.load().mean[:478, :2] * [1.0, -1.0]
    middle = (points[468] + points[473]) / 2
    scale = iris_distance / np.linalg.norm(points[468] - points[473])
    return (points - middle) * scale + np.array(centre)


@dataclass
class Scene:
    """A textured scene that moves past the camera by whole pixels, with a square person in it."""

    shift: tuple[int, int] = (2, 1)
    """Pixels to the right and down from frame to frame."""
    side: int = SIDE
    canvas: Picture = field(default_factory=lambda: texture(400, 400))

    def picture(self, number: int) -> Picture:
        """The frame as filmed."""
        left, top = 150 - self.shift[0] * number, 150 - self.shift[1] * number
        return self.canvas[top : top + self.side, left : left + self.side].copy()

    def matte(self) -> Float[np.ndarray, "side side"]:
        """The middle half of the picture is the person."""
        matte = np.zeros((self.side, self.side), np.float32)
        quarter = self.side // 4
        matte[quarter:-quarter, quarter:-quarter] = 1
        return matte

    def labels(self) -> np.ndarray:
        """The person's upper third is hair."""
        labels = np.where(self.matte() > 0, np.uint8(Label.FACE_SKIN), np.uint8(Label.BACKGROUND))
        quarter = self.side // 4
        labels[quarter : quarter + self.side // 6, quarter:-quarter] = Label.HAIR
        return labels

    def face(self) -> FaceMeasurement:
        """A face in the middle, at rest."""
        landmarks = frontal_landmarks((self.side / 2, self.side / 2), self.side / 6)
        return FaceMeasurement(landmarks, np.zeros(len(HeadModel.load().expression_names)), np.eye(3))

    def pair(self, number: int, edited: Picture | None = None, **more: object) -> FramePair:
        """A moment of the scene and of an edit of it; the edit is the scene itself if none is given."""
        source = self.picture(number)
        known = {"matte": self.matte(), "labels": self.labels(), "source_face": self.face(), "edited_face": self.face()}
        return FramePair(number, number / 25, source, source.copy() if edited is None else edited, **{**known, **more})


def result(metric: Metric, pairs: Sequence[FramePair]) -> dict[str, Measure]:
    """A metric's measures of some pairs, by name; every measure has a value or says why not."""
    for pair in pairs:
        metric.update(pair)
    measures = {measure.name: measure for measure in metric.measures()}
    for measure in measures.values():
        assert (measure.value is None) == bool(measure.missing), measure
        assert measure.value is None or np.isfinite(measure.value), measure
        assert measure.meaning
        if measure.curve is not None:
            assert len(measure.curve) == len(pairs), measure
            assert measure.value is None or np.nanmean(measure.curve) == pytest.approx(measure.value), measure
    return measures


@pytest.fixture(scope="session")
def scene() -> Scene:
    return Scene()


@pytest.fixture(scope="session")
def measured() -> Callable[[Metric, Sequence[FramePair]], dict[str, Measure]]:
    return result


@pytest.fixture
def shared_weights() -> Path:
    if not SHARED_WEIGHTS.is_dir():
        pytest.skip("the weights that are for measuring only are not on this machine")
    return SHARED_WEIGHTS
