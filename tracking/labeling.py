"""Which part of the person each pixel shows.

Landmarks outline the face; colour and place tell hair, neck and clothes apart.

Colours are learned per clip: a histogram for each part, and a map of where, relative to the head, that part is found.
Both start from a rough anatomy and are refined by expectation maximisation over frames spread over the clip.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

from tracking.face_regions import FACE_OVAL, HeadFrame, inside, paint_face
from tracking.guided_filter import GuidedFilter
from tracking.regions import Label

PARTS = ("skin", "hair", "neck", "clothes")
"""What colour and place tell apart. Ears are skin beside the face."""
SKIN, HAIR, NECK, CLOTHES = range(len(PARTS))

BIN_SHIFT = (3, 2, 2)
"""Bits dropped from the lightness and the two chroma channels to get a colour's bin."""
BINS = tuple(256 >> shift for shift in BIN_SHIFT)

MAP_LEFT, MAP_TOP, MAP_RIGHT, MAP_BOTTOM = -2.5, -1.5, 2.5, 3.0
MAP_CELL = 0.05
"""The place maps' extent and cell, in face heights around the point between the ears."""

EAR_TOP, EARLOBE = -0.2, 0.3
"""How far down, in face heights from the point between the ears, an ear reaches."""
JAW = 0.45
"""How far down the sides of the face reach before the neck begins, in face heights."""
CHEEK_WIDTH = 0.04
"""How far the cheeks reach beyond the landmarks' outline, in face heights."""
RIM_WIDTH = 0.12
"""How far into the face's outline hair may fall beside the cheeks, in face heights."""
SURELY_PERSON = 0.9
"""A matte above this shows the person alone."""

Posterior = Float32[np.ndarray, "height width parts"]


@dataclass
class LabelingConfig:
    """How parts are told apart."""

    rounds: int = 3
    """Passes of expectation maximisation over the sampled frames."""
    color_trust: float = 0.7
    """Exponent of the colour likelihood: neighbouring pixels are not independent witnesses."""
    learned_place: float = 0.5
    """How much the learned place maps, rather than the rough anatomy, count in the end."""


@dataclass(frozen=True)
class LabelSample:
    """A frame to learn from."""

    image: UInt8[np.ndarray, "height width 3"]
    matte: Float32[np.ndarray, "height width"]
    landmarks: Float[np.ndarray, "478 3"]


@dataclass(frozen=True)
class PartModel:
    """The colours and the places of one clip's parts."""

    histograms: Float32[np.ndarray, "parts bins"]
    """Likelihood of every colour bin."""
    places: Float32[np.ndarray, "rows columns parts"]
    """How likely a pixel of the person shows each part, by its place relative to the head."""
    color_trust: float

    def posterior(self, image: UInt8[np.ndarray, "height width 3"], landmarks: Float[np.ndarray, "478 3"]) -> Posterior:
        """How likely each pixel, if it shows the person, shows each part."""
        head = HeadFrame.of(landmarks)
        places = _sample_map(self.places, head, image.shape[1], image.shape[0])
        colors = np.moveaxis(self.histograms[:, _color_bins(image)], 0, -1)
        posterior = places * colors**self.color_trust
        posterior = np.maximum(posterior, 1e-9)
        posterior /= posterior.sum(axis=-1, keepdims=True)
        edges = GuidedFilter(image.astype(np.float32) / 255, max(1, round(0.02 * head.face_height)), 1e-3)
        smooth = [edges.smooth(posterior[..., part]) for part in range(len(PARTS))]
        return np.clip(np.dstack(smooth), 0, 1).astype(np.float32)


def learn_parts(samples: Sequence[LabelSample], config: LabelingConfig) -> PartModel:
    """Learn what a clip's hair, skin, neck and clothes look like and where they are."""
    anatomy = rough_anatomy()
    seeds = [_seed_weights(sample) for sample in samples]
    histograms = _histograms(samples, seeds)
    model = PartModel(histograms, anatomy, config.color_trust)
    for _ in range(config.rounds):
        posteriors = [
            model.posterior(sample.image, sample.landmarks) * (sample.matte > 0.9)[..., None] for sample in samples
        ]
        learned = _average_map(samples, posteriors)
        places = (1 - config.learned_place) * anatomy + config.learned_place * anatomy**0.3 * learned
        places /= places.sum(axis=-1, keepdims=True)
        mixed = [0.5 * seed + posterior**2 for seed, posterior in zip(seeds, posteriors, strict=True)]
        model = PartModel(_histograms(samples, mixed), places.astype(np.float32), config.color_trust)
    return model


def label_pixels(
    posterior: Posterior, matte: Float32[np.ndarray, "height width"], landmarks: Float[np.ndarray, "478 3"]
) -> UInt8[np.ndarray, "height width"]:
    """The region of every pixel: background exactly where the matte is 0.

    Args:
        landmarks: pixels.
    """
    height, width = matte.shape
    head = HeadFrame.of(landmarks)
    _, down = head.coordinates(width, height)
    face = paint_face(landmarks, width, height)
    part = _connect_hair(posterior, matte, (face > 0) & (down < EARLOBE), head.face_height)
    # A soft edge shows a mixture of person and background: it belongs to the nearest pixel that shows the person alone.
    part = _nearest(part, (matte > SURELY_PERSON) | (face > 0))
    is_skin = (part == SKIN) | (part == NECK)
    labels = np.full((height, width), Label.CLOTHES, dtype=np.uint8)
    labels[part == HAIR] = Label.HAIR
    labels[is_skin] = Label.NECK
    labels[is_skin & (down < EARLOBE)] = Label.EARS
    labels[is_skin & (down < EAR_TOP)] = Label.FACE_SKIN
    beside_oval = cv2.distanceTransform((face == 0).astype(np.uint8), cv2.DIST_L2, 3) < CHEEK_WIDTH * head.face_height
    labels[is_skin & beside_oval & (down < JAW)] = Label.FACE_SKIN
    # Inside the oval everything is face, but for hair that falls over the forehead and along the cheeks.
    rim = cv2.distanceTransform((face > 0).astype(np.uint8), cv2.DIST_L2, 3) < RIM_WIDTH * head.face_height
    fringe = (part == HAIR) & (face == Label.FACE_SKIN) & ((down < EAR_TOP) | (rim & (down < EARLOBE)))
    painted = (face > 0) & ~fringe
    labels[painted] = face[painted]
    labels[matte == 0] = Label.BACKGROUND
    return labels


def _nearest(
    values: Int[np.ndarray, "height width"], sure: Bool[np.ndarray, "height width"]
) -> Int[np.ndarray, "height width"]:
    """Every pixel takes the value of the nearest sure one."""
    if not sure.any():
        return values
    _, nearest = cv2.distanceTransformWithLabels(
        (~sure).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # OpenCV numbers the sure pixels from 1, row by row.
    return values[sure][np.asarray(nearest, dtype=np.int64) - 1]


def rough_anatomy() -> Float32[np.ndarray, "rows columns parts"]:
    """Where the parts of any person are, before a pixel has been looked at."""
    columns = np.arange(MAP_LEFT, MAP_RIGHT, MAP_CELL, dtype=np.float32)[None] + MAP_CELL / 2
    rows = np.arange(MAP_TOP, MAP_BOTTOM, MAP_CELL, dtype=np.float32)[:, None] + MAP_CELL / 2
    beside = np.abs(columns) + 0 * rows
    down = rows + 0 * columns

    def fade(value: np.ndarray, edge: float, width: float) -> np.ndarray:
        """From 1 below the edge to 0 above it."""
        return 1 / (1 + np.exp(np.clip((value - edge) / width, -30, 30)))

    face = fade((beside / 0.42) ** 2 + ((down - 0.05) / 0.58) ** 2, 1.0, 0.15)
    skin = 0.9 * face + 0.25 * fade((beside / 0.6) ** 2 + (down / 0.75) ** 2, 1.0, 0.1)
    crown = fade((beside / 0.95) ** 2 + (down / 1.1) ** 2, 1.0, 0.15) * fade(down, 0.25, 0.08)
    falling = fade(beside, 0.8, 0.08) * fade(down, 1.3, 0.15)
    hair = 0.9 * crown * (1 - 0.85 * face) + 0.25 * falling * (1 - face)
    neck = (
        fade(beside, 0.36, 0.05) * fade(-down, -0.45, 0.04) * (0.8 * fade(down, 0.8, 0.06) + 0.2 * fade(down, 1.6, 0.1))
    )
    clothes = 0.9 * fade(-down, -0.75, 0.08) + 0.2 * fade(-down, -0.5, 0.05)
    # Anything may be anywhere, but clothes are hardly ever above the chin.
    anatomy = np.stack([skin + 0.003, hair + 0.003, neck + 0.003, clothes + 0.0003], axis=-1)
    return (anatomy / anatomy.sum(axis=-1, keepdims=True)).astype(np.float32)


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
    features = cv2.dilate((paint_face(sample.landmarks, width, height) > Label.FACE_SKIN).astype(np.uint8), margin)
    # Cheeks and nose: below the brows, above what may be beard.
    skin = inner & (features == 0) & (down > -0.15) & (down < 0.2)
    hair = sure & ~outer & (down < -0.2) & (across < 0.9)
    clothes = sure & ~outer & ((down > 1.0) | ((down > 0.7) & (across > 0.45)))
    return np.stack([skin, hair, np.zeros_like(skin), clothes], axis=-1).astype(np.float32)


def _histograms(samples: Sequence[LabelSample], weights: Sequence[Posterior]) -> Float32[np.ndarray, "parts bins"]:
    """Smoothed colour histograms of weighted pixels."""
    counts = np.zeros((len(PARTS), int(np.prod(BINS))), dtype=np.float64)
    counts_below = np.zeros(counts.shape[1], dtype=np.float64)
    for sample, weight in zip(samples, weights, strict=True):
        bins = _color_bins(sample.image).ravel()
        for part in range(len(PARTS)):
            counts[part] += np.bincount(bins, weights=weight[..., part].ravel(), minlength=counts.shape[1])
        below = (HeadFrame.of(sample.landmarks).coordinates(*sample.matte.shape[::-1])[1] > 0.5) & (sample.matte > 0.9)
        counts_below += np.bincount(bins[below.ravel()], minlength=counts.shape[1])
    smooth = np.stack([_smooth_histogram(count) for count in counts])
    below_chin = _smooth_histogram(counts_below)
    below_chin /= max(below_chin.sum(), 1e-9)
    total = smooth.sum(axis=1, keepdims=True)
    smooth /= np.maximum(total, 1e-9)
    # What was taken for hair may be forehead; for clothes, a bare chest or hair that hangs low; for neck, a collar.
    for part, other in ((HAIR, SKIN), (CLOTHES, SKIN), (CLOTHES, HAIR), (NECK, CLOTHES)):
        own_share = smooth[part] / np.maximum(smooth[part] + smooth[other], 1e-12)
        smooth[part] *= np.clip(1.5 * own_share - 0.25, 0, 1)
    # The neck is skin in another light.
    smooth[NECK] = 0.3 * smooth[NECK] + 0.7 * smooth[SKIN]
    # Ties, collars and jewellery have any colour that is found below the chin and is nothing else.
    unexplained = below_chin / np.maximum(below_chin + smooth.sum(axis=0), 1e-12)
    smooth[CLOTHES] += 0.3 * below_chin * unexplained * smooth[CLOTHES].sum()
    smooth /= np.maximum(smooth.sum(axis=1, keepdims=True), 1e-9)
    return (smooth + 1e-7).astype(np.float32)


def _smooth_histogram(counts: Float[np.ndarray, "bins"]) -> Float[np.ndarray, "bins"]:
    cube = counts.reshape(BINS).astype(np.float32)
    for axis, sigma in enumerate((1.2, 1.0, 1.0)):
        moved = np.moveaxis(cube, axis, 0).reshape(BINS[axis], -1)
        blurred = cv2.GaussianBlur(moved, (1, 7), sigmaX=1, sigmaY=sigma, borderType=cv2.BORDER_CONSTANT)
        shape = (BINS[axis], *[size for other, size in enumerate(BINS) if other != axis])
        cube = np.ascontiguousarray(np.moveaxis(blurred.reshape(shape), 0, axis))
    return cube.ravel().astype(np.float64)


def _color_bins(image: UInt8[np.ndarray, "height width 3"]) -> Int[np.ndarray, "height width"]:
    lab = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2LAB)).astype(np.int32) >> np.array(BIN_SHIFT)
    return lab @ np.array([BINS[1] * BINS[2], BINS[2], 1])


def _map_positions(
    head: HeadFrame, width: int, height: int
) -> tuple[Float32[np.ndarray, "height width"], Float32[np.ndarray, "height width"]]:
    """Column and row in the place maps, of every pixel."""
    across, down = head.coordinates(width, height)
    return (across - MAP_LEFT) / MAP_CELL - 0.5, (down - MAP_TOP) / MAP_CELL - 0.5


def _sample_map(
    places: Float32[np.ndarray, "rows columns parts"], head: HeadFrame, width: int, height: int
) -> Posterior:
    columns, rows = _map_positions(head, width, height)
    return cv2.remap(places, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _average_map(
    samples: Sequence[LabelSample], posteriors: Sequence[Posterior]
) -> Float32[np.ndarray, "rows columns parts"]:
    """The mean posterior by place relative to the head; even where no pixel of the person was seen."""
    rows, columns = rough_anatomy().shape[:2]
    total = np.full((rows * columns, len(PARTS)), 1e-3)
    for sample, posterior in zip(samples, posteriors, strict=True):
        height, width = sample.matte.shape
        column, row = _map_positions(HeadFrame.of(sample.landmarks), width, height)
        column, row = np.rint(column).astype(int), np.rint(row).astype(int)
        valid = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        cells = (row * columns + column)[valid]
        for part in range(len(PARTS)):
            total[:, part] += np.bincount(cells, weights=posterior[..., part][valid], minlength=rows * columns)
    spread = cv2.GaussianBlur(total.reshape(rows, columns, -1).astype(np.float32), (0, 0), 2)
    return spread / spread.sum(axis=-1, keepdims=True)


def _connect_hair(
    posterior: Posterior,
    matte: Float32[np.ndarray, "height width"],
    upper_face: Bool[np.ndarray, "height width"],
    face_height: float,
) -> Int[np.ndarray, "height width"]:
    """The likeliest part of every pixel, where hair must hang together with that on the head.

    What looks like hair elsewhere, or hangs by a thread, becomes what it is next most like.
    """
    part = posterior.argmax(axis=-1)
    hair = ((part == HAIR) & (matte > 0.3)).astype(np.uint8)
    width = max(1, round(0.03 * face_height))
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    thick = cv2.morphologyEx(hair, cv2.MORPH_OPEN, brush)
    _, components, stats, _ = cv2.connectedComponentsWithStats(thick, connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA]
    if len(areas) < 2:
        return part
    near_face = cv2.dilate(upper_face.astype(np.uint8), brush) > 0
    keep = np.zeros(len(areas), dtype=bool)
    keep[components[near_face]] = True
    keep &= areas > 0.05 * areas[1:].max()
    keep[1 + areas[1:].argmax()] = True
    keep[0] = False
    # Opening rounded the tips off: they come back with what they are attached to.
    kept = cv2.dilate(keep[components].astype(np.uint8), brush, iterations=2) > 0
    others = posterior.copy()
    others[..., HAIR] = -1
    return np.where((hair > 0) & ~kept, others.argmax(axis=-1), part)
