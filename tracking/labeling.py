"""Which part of the person each pixel shows.

Landmarks outline the face; colour and place tell hair, neck and clothes apart.

Colours are learned per clip: a histogram for each part, and a map of where, relative to the head, that part is found.
Both start from a rough anatomy and are refined by expectation maximisation over frames spread over the clip. In each
frame they are then met by the colours that the parts have nearby, for light differs from one side of a face to the
other, by how rough the picture is, and by what the surrounding pixels seem to show: a strand as light as skin is hair
among hair.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from tracking.face_regions import FACE_OVAL, HeadFrame, inside, paint_face
from tracking.guided_filter import GuidedFilter
from tracking.hair_shape import stray_hair
from tracking.part_colors import color_bins, local_likelihoods, part_histograms
from tracking.part_places import (
    CLOTHES,
    HAIR,
    NECK,
    PARTS,
    SKIN,
    PlaceMap,
    Posterior,
    average_places,
    rough_anatomy,
    sample_places,
)
from tracking.part_texture import evidence_against_skin

COMMON_COLOR = 0.001
"""What may be clothes and has a colour that hair has this often counts half as clothes: long hair lies on them."""
STRAY_HAIR = 0.01
"""How much is left of the likelihood that hair is hair which does not hang together with the head's."""


SEED_CAUTION = 4.0
"""How much more than its evidence says texture decides whether what is above the face is hair to learn from."""


@dataclass
class LabelingConfig:
    """How parts are told apart."""

    rounds: int = 3
    """Passes of expectation maximisation over the sampled frames."""
    color_trust: float = 0.7
    """Exponent of the colour likelihood: neighbouring pixels are not independent witnesses."""
    learned_place: float = 0.5
    """How much the learned place maps, rather than the rough anatomy, count in the end."""
    texture_trust: float = 0.8
    """How much the evidence of texture counts, which says what is no skin."""
    local_rounds: int = 1
    """Passes in which a frame's own colours around each pixel are heard."""
    local_share: float = 0.5
    """How much these count beside the clip's colours."""
    local_reach: float = 0.2
    """How far around a pixel they are gathered, in face heights."""
    neighbor_rounds: int = 2
    """Passes in which a pixel hears what the pixels around it seem to show."""
    neighbor_trust: float = 1.2
    """Logarithm of how much likelier a part becomes where all around shows it."""
    neighbor_reach: float = 0.05
    """How far around a pixel it listens, in face heights."""


@dataclass(frozen=True)
class LabelSample:
    """A frame to learn from."""

    image: UInt8[np.ndarray, "height width 3"]
    matte: Float32[np.ndarray, "height width"]
    landmarks: Float[np.ndarray, "478 3"]
    roughness: Float32[np.ndarray, "height width"]
    """`tracking.part_texture.roughness`."""


@dataclass(frozen=True)
class PartModel:
    """The colours, texture and places of one clip's parts."""

    histograms: Float32[np.ndarray, "parts bins"]
    """Likelihood of every colour bin."""
    skin_roughness: float
    """Of the cheeks, in the median."""
    places: PlaceMap
    """How likely a pixel of the person shows each part, by its place relative to the head."""
    config: LabelingConfig

    @cached_property
    def _likelihood_of_bin(self) -> Float32[np.ndarray, "bins parts"]:
        return np.ascontiguousarray(self.histograms.T)

    def posterior(self, sample: LabelSample) -> Posterior:
        """How likely each pixel, if it shows the person, shows each part; along the picture's edges."""
        rough = self.rough_posterior(sample)
        radius = max(1, round(0.02 * HeadFrame.of(sample.landmarks).face_height))
        edges = GuidedFilter(sample.image.astype(np.float32) / 255, radius, 1e-3)
        smooth = [edges.smooth(rough[..., part]) for part in range(len(PARTS))]
        return np.clip(np.dstack(smooth), 0, 1).astype(np.float32)

    def rough_posterior(self, sample: LabelSample) -> Posterior:
        """The same without looking for edges, at half the cost."""
        head = HeadFrame.of(sample.landmarks)
        lab = np.asarray(cv2.cvtColor(sample.image, cv2.COLOR_RGB2LAB))
        prior = sample_places(self.places, head, sample.image.shape[1], sample.image.shape[0])
        evidence = evidence_against_skin(sample.roughness - self.skin_roughness)
        prior[..., [SKIN, NECK]] *= cv2.exp(-self.config.texture_trust * evidence)[..., None]
        over_clip = np.take(self._likelihood_of_bin, color_bins(lab), axis=0)
        posterior = _normalized(prior * cv2.pow(over_clip, self.config.color_trust))
        sure = (sample.matte > 0.9).astype(np.float32)[..., None]
        reach = max(2, round(self.config.local_reach * head.face_height))
        for _ in range(self.config.local_rounds):
            nearby, support = local_likelihoods(lab, posterior * posterior * sure, reach)
            share = self.config.local_share * np.minimum(support / 0.02, 1)
            likelihood = (1 - share) * over_clip + share * nearby
            posterior = _normalized(prior * cv2.pow(likelihood, self.config.color_trust))
            posterior[stray_hair(posterior, sample.matte > 0.3, head), HAIR] *= STRAY_HAIR
            posterior = _normalized(posterior)
        return self._agreed(posterior, sure, head.face_height)

    def _agreed(
        self, posterior: Posterior, sure: Float32[np.ndarray, "height width 1"], face_height: float
    ) -> Posterior:
        """Mean field inference of a random field whose pixels like to show what their surroundings show.

        The kernel is a box; with Gaussians this is equation 3 of Kraehenbuehl & Koltun (NeurIPS 2011).
        """
        reach = max(1, round(self.config.neighbor_reach * face_height))
        spread = np.repeat(sure, len(PARTS), axis=-1)
        for _ in range(self.config.neighbor_rounds):
            around = _normalized(cv2.blur(cv2.multiply(posterior, spread), (2 * reach + 1, 2 * reach + 1)))
            posterior = _normalized(posterior * cv2.exp(self.config.neighbor_trust * around))
        return posterior


def learn_parts(samples: Sequence[LabelSample], config: LabelingConfig) -> PartModel:
    """Learn what a clip's hair, skin, neck and clothes look like and where they are."""
    anatomy = rough_anatomy()
    heads = [HeadFrame.of(sample.landmarks) for sample in samples]
    seeds = [_seed_weights(sample) for sample in samples]
    skin_roughness = _skin_roughness(samples, seeds)
    for sample, seed in zip(samples, seeds, strict=True):
        evidence = evidence_against_skin(sample.roughness - skin_roughness)
        seed[..., HAIR] *= 1 / (1 + np.exp(-SEED_CAUTION * evidence))
    below = [_below_chin(sample) for sample in samples]
    colors = [np.asarray(cv2.cvtColor(sample.image, cv2.COLOR_RGB2LAB)) for sample in samples]
    histograms = part_histograms(colors, seeds, below)
    for lab, seed in zip(colors, seeds, strict=True):
        seed[..., CLOTHES] *= 1 / (1 + histograms[HAIR][color_bins(lab)] / COMMON_COLOR)
    model = PartModel(part_histograms(colors, seeds, below), skin_roughness, anatomy, config)
    for _ in range(config.rounds):
        posteriors = [model.rough_posterior(sample) * (sample.matte > 0.9)[..., None] for sample in samples]
        learned = average_places(heads, posteriors)
        places = (1 - config.learned_place) * anatomy + config.learned_place * anatomy**0.3 * learned
        places /= places.sum(axis=-1, keepdims=True)
        mixed = [0.5 * seed + posterior**2 for seed, posterior in zip(seeds, posteriors, strict=True)]
        model = PartModel(part_histograms(colors, mixed, below), skin_roughness, places.astype(np.float32), config)
    return model


def _normalized(posterior: Posterior) -> Posterior:
    posterior = np.maximum(posterior, np.float32(1e-9))
    # The sum in every channel: OpenCV divides pictures of one shape by each other much faster than numpy these.
    return np.asarray(cv2.divide(posterior, cv2.transform(posterior, np.ones((len(PARTS),) * 2, np.float32))))


def _skin_roughness(samples: Sequence[LabelSample], seeds: Sequence[Posterior]) -> float:
    """The median over the cheeks of all frames."""
    cheeks = [sample.roughness[seed[..., SKIN] > 0] for sample, seed in zip(samples, seeds, strict=True)]
    return float(np.median(np.concatenate(cheeks))) if any(len(pixels) for pixels in cheeks) else 0.0


def _below_chin(sample: LabelSample) -> Float32[np.ndarray, "height width"]:
    height, width = sample.matte.shape
    _, down = HeadFrame.of(sample.landmarks).coordinates(width, height)
    return ((down > 0.5) & (sample.matte > 0.9)).astype(np.float32)


def _seed_weights(sample: LabelSample) -> Posterior:
    """Pixels whose part is clear from landmarks and matte alone. The neck has none, and starts from the face's skin."""
    height, width = sample.matte.shape
    head = HeadFrame.of(sample.landmarks)
    across, down = head.coordinates(width, height)
    across = np.abs(across)
    sure = sample.matte > 0.95
    oval = inside(sample.landmarks, FACE_OVAL, width, height).astype(np.uint8)
    margin = np.ones((3, 3), np.uint8)
    steps = max(1, round(0.03 * head.face_height))
    inner, outer = cv2.erode(oval, margin, iterations=steps) > 0, cv2.dilate(oval, margin, iterations=steps) > 0
    features = cv2.dilate((paint_face(sample.landmarks, width, height) > 1).astype(np.uint8), margin)
    # Cheeks and nose: below the brows, above what may be beard.
    skin = inner & (features == 0) & (down > -0.15) & (down < 0.2)
    hair = sure & ~outer & (down < -0.2) & (across < 0.9)
    clothes = sure & ~outer & ((down > 1.0) | ((down > 0.7) & (across > 0.45)))
    return np.stack([skin, hair, np.zeros_like(skin), clothes], axis=-1).astype(np.float32)
