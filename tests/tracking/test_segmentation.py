"""Mattes, labels and backgrounds, on pictures whose truth is known."""

import pickle
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from jaxtyping import Float, Float32, UInt8

from tracking.background import BackgroundPlate
from tracking.face_regions import FACE_OVAL, LEFT_EYE, HeadFrame, inside, paint_face
from tracking.guided_filter import GuidedFilter
from tracking.hair_shape import stray_hair
from tracking.head_model import HeadModel
from tracking.label_map import label_pixels
from tracking.labeling import LabelingConfig, LabelSample, learn_parts
from tracking.matting import MatteConfig, agreed, refine_matte
from tracking.mediapipe_detector import MediaPipeDetector
from tracking.motion_blend import MotionBlend, blend
from tracking.part_colors import local_likelihoods
from tracking.part_places import CLOTHES, HAIR, SKIN
from tracking.part_texture import FEATURE_MARGIN, roughness
from tracking.regions import Label
from tracking.segmentation import PortraitFrame, PortraitSegmenter
from tracking.spread_evenly import spread_evenly
from tracking.video import VideoReader

WIDTH, HEIGHT = 160, 192
SKIN_COLOR, HAIR_COLOR, SHIRT, WALL = (215, 165, 140), (70, 40, 25), (40, 70, 150), (150, 190, 150)


def drawn_landmarks(
    x: float = 80, y: float = 75, scale: float = 3.4, jaw_open: float = 0
) -> Float[np.ndarray, "478 3"]:
    """The mean head, seen from the front: `scale` pixels a centimetre."""
    model = HeadModel.load()
    points = model.mean + jaw_open * model.expression_deltas[model.expression_index("jawOpen")]
    middle = np.array([*((points[10] + points[152]) / 2)[:2], 0.0])
    return (points - middle) * [scale, -scale, -scale] + [x, y, 0.0]


def drawn_portrait(
    x: float = 80,
) -> tuple[UInt8[np.ndarray, "h w 3"], Float32[np.ndarray, "h w"], Float[np.ndarray, "478 3"]]:
    """A person of four flat colours before a wall, with a little noise."""
    landmarks = drawn_landmarks(x)
    image = np.full((HEIGHT, WIDTH, 3), WALL, np.uint8)
    center = (round(x), 70)
    cv2.ellipse(image, center, (42, 54), 0, 0, 360, HAIR_COLOR, -1)
    cv2.rectangle(image, (center[0] - 15, 100), (center[0] + 15, 140), SKIN_COLOR, -1)
    cv2.ellipse(image, (center[0], 195), (65, 62), 0, 0, 360, SHIRT, -1)
    image[inside(landmarks, FACE_OVAL, WIDTH, HEIGHT)] = SKIN_COLOR
    matte = (image != np.array(WALL, np.uint8)).any(axis=-1).astype(np.float32)
    noise = np.random.default_rng(round(x)).normal(0, 3, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8), matte, landmarks


def sampled(
    image: UInt8[np.ndarray, "h w 3"], matte: Float32[np.ndarray, "h w"], landmarks: Float[np.ndarray, "478 3"]
) -> LabelSample:
    """A picture to tell parts apart in, at its own size."""
    return LabelSample(image, matte, landmarks, roughness(image, landmarks, image.shape[1::-1]))


def test_landmarks_label_what_they_outline() -> None:
    landmarks = drawn_landmarks(jaw_open=1.0)
    labels = paint_face(landmarks, WIDTH, HEIGHT)

    def label_at(*points: int) -> Label:
        x, y = np.floor(landmarks[list(points), :2].mean(axis=0)).astype(int)
        return Label(labels[y, x])

    assert label_at(13, 14) == Label.MOUTH_INTERIOR
    assert label_at(0, 13) == Label.LIPS
    assert label_at(159, 145) == Label.EYES
    assert label_at(386, 374) == Label.EYES
    assert label_at(52, 105) == Label.BROWS
    assert label_at(4) == Label.FACE_SKIN
    assert label_at(50) == Label.FACE_SKIN
    assert labels[0, 0] == Label.BACKGROUND


def test_a_closed_mouth_has_no_interior() -> None:
    landmarks = drawn_landmarks()
    landmarks[[14, 87, 317]] = landmarks[[13, 82, 312]]
    assert not (paint_face(landmarks, WIDTH, HEIGHT) == Label.MOUTH_INTERIOR).any()


def test_outlines_keep_their_area_at_any_subpixel_place() -> None:
    areas = [inside(drawn_landmarks(80 + shift), LEFT_EYE, WIDTH, HEIGHT).sum() for shift in np.linspace(0, 1, 11)]
    assert max(areas) - min(areas) <= 0.35 * np.mean(areas)


def test_head_coordinates_move_turn_and_grow_with_the_head() -> None:
    landmarks = drawn_landmarks()
    angle, grow, shift = 0.3, 1.2, np.array([12.0, -7.0])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = landmarks * grow
    moved[:, :2] = grow * (landmarks[:, :2] @ turn.T) + shift

    def nose(points: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "2"]:
        head = HeadFrame.of(points)
        offset = points[4, :2] - head.origin
        return np.array([offset @ head.across, offset @ head.down]) / head.face_height

    np.testing.assert_allclose(nose(moved), nose(landmarks), atol=1e-9)


def test_drawn_parts_are_told_apart() -> None:
    portraits = [drawn_portrait(x) for x in (70, 76, 82, 88)]
    model = learn_parts([sampled(*portrait) for portrait in portraits], LabelingConfig())
    for image, matte, landmarks in portraits:
        labels = label_pixels(model.posterior(sampled(image, matte, landmarks)), matte, landmarks)
        np.testing.assert_array_equal(labels == Label.BACKGROUND, matte == 0)
        nearest = np.argmin(
            [np.abs(image - np.array(color, float)).sum(-1) for color in (SKIN_COLOR, HAIR_COLOR, SHIRT)], axis=0
        )
        outside = (matte > 0) & ~inside(landmarks, FACE_OVAL, WIDTH, HEIGHT)
        for index, label in ((1, Label.HAIR), (2, Label.CLOTHES)):
            here = outside & (nearest == index)
            assert (labels[here] == label).mean() > 0.95, label
        neck = outside & (nearest == 0) & (np.arange(HEIGHT)[:, None] > 112)
        assert (labels[neck] == Label.NECK).mean() > 0.9


def test_what_is_rougher_than_skin_is_less_likely_skin_whatever_its_color() -> None:
    sample = sampled(*drawn_portrait())

    def odds(config: LabelingConfig, rougher: float) -> float:
        model = learn_parts([sample], config)
        posterior = model.rough_posterior(replace(sample, roughness=sample.roughness + np.float32(rougher)))
        fringe = inside(sample.landmarks, FACE_OVAL, WIDTH, HEIGHT) & (np.arange(HEIGHT)[:, None] < 58)
        return float(np.median(np.log(posterior[fringe, HAIR] / posterior[fringe, SKIN])))

    trusting, deaf = LabelingConfig(neighbor_rounds=0), LabelingConfig(neighbor_rounds=0, texture_trust=0)
    assert odds(trusting, 1.0) > odds(trusting, 0.0) + 0.8
    assert odds(deaf, 1.0) == odds(deaf, 0.0)


def test_roughness_is_the_logarithm_of_contrast_and_leaves_features_out() -> None:
    landmarks = drawn_landmarks()
    noise = np.random.default_rng(8).normal(0, 1, (HEIGHT, WIDTH, 1)).repeat(3, axis=2)

    def rough(contrast: float) -> Float32[np.ndarray, "h w"]:
        return roughness((128 + contrast * noise).astype(np.uint8), landmarks, (WIDTH, HEIGHT))

    np.testing.assert_allclose(np.median(rough(32) - rough(8)), np.log(4), atol=0.05)
    lined = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    lined[paint_face(landmarks, WIDTH, HEIGHT) == Label.BROWS] = 0
    flat = roughness(np.full_like(lined, 128), landmarks, (WIDTH, HEIGHT))
    np.testing.assert_allclose(roughness(lined, landmarks, (WIDTH, HEIGHT)), flat, atol=1e-3)
    assert FEATURE_MARGIN * HeadFrame.of(landmarks).face_height > 1, "else there was nothing to leave out"


def test_hair_hangs_together() -> None:
    head = HeadFrame.of(drawn_landmarks())
    columns, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    crown = (rows > 15) & (rows < 50) & (np.abs(columns - 80) < 40)
    lock = (rows >= 50) & (rows < 120) & (np.abs(columns - 42) < 8)
    coat = (rows > 150) & (np.abs(columns - 80) < 60)
    thread = (rows >= 120) & (rows <= 150) & (columns == 42)
    posterior = np.zeros((HEIGHT, WIDTH, 4), np.float32)
    posterior[..., CLOTHES] = 0.4
    posterior[crown | lock | coat | thread, HAIR] = 0.6
    stray = stray_hair(posterior, np.ones((HEIGHT, WIDTH), bool), head)
    assert stray[coat].mean() > 0.98, (
        "a coat of the hair's colour is no hair, however large, though a thread leads to it"
    )
    assert not stray[crown | lock].any()
    assert not stray_hair(posterior * 0, np.ones((HEIGHT, WIDTH), bool), head).any()


def test_colors_nearby_tell_parts_apart_that_share_a_color_over_the_clip() -> None:
    lab = np.full((60, 120, 3), 128, np.uint8)
    # Hair is dark on the left and light on the right; skin the other way round.
    lab[:30, :60, 0], lab[30:, :60, 0], lab[:30, 60:, 0], lab[30:, 60:, 0] = 60, 160, 160, 60
    weights = np.zeros((60, 120, 4), np.float32)
    weights[:20, :, HAIR], weights[40:, :, SKIN] = 1, 1
    likelihood, support = local_likelihoods(lab, weights, reach=14)
    middle = likelihood[20:40, np.r_[10:40, 80:110]]
    hair, skin = middle[..., HAIR], middle[..., SKIN]
    assert (hair[:8] > 10 * skin[:8]).all()
    assert (skin[12:] > 10 * hair[12:]).all()
    assert support[..., CLOTHES].max() == 0


def test_soft_edge_belongs_to_what_it_is_the_edge_of() -> None:
    image, matte, landmarks = drawn_portrait()
    soft = cv2.GaussianBlur(matte, (7, 7), 0)
    blurred = cv2.GaussianBlur(image, (7, 7), 0)
    model = learn_parts([sampled(image, matte, landmarks)], LabelingConfig())
    labels = label_pixels(model.posterior(sampled(blurred, soft, landmarks)), soft, landmarks)
    crown = (soft > 0) & (soft < 0.9) & (np.arange(HEIGHT)[:, None] < 60)
    assert crown.sum() > 100
    assert (labels[crown] == Label.HAIR).mean() > 0.98


def test_guided_filter_keeps_what_depends_linearly_on_the_guide() -> None:
    guide = np.random.default_rng(5).random((48, 64, 3), dtype=np.float32)
    picture = guide @ np.array([0.5, -0.2, 0.3], np.float32) + 0.1
    np.testing.assert_allclose(GuidedFilter(guide, 4, 1e-7).smooth(picture), picture, atol=2e-3)


def test_guided_filter_moves_an_edge_to_the_guides_edge() -> None:
    guide = np.zeros((40, 80, 3), np.float32)
    guide[:, 40:] = 1
    misplaced = np.zeros((40, 80), np.float32)
    misplaced[:, 43:] = 1
    smooth = GuidedFilter(guide, 6, 1e-4).smooth(misplaced)
    assert np.diff(smooth[20]).argmax() == 39
    assert smooth[20, 39] < 0.15


@pytest.mark.parametrize("offset", [-3, 3])
def test_matte_snaps_to_the_persons_edge_and_leaves_others_out(offset: int) -> None:
    image, truth, landmarks = drawn_portrait()
    cv2.circle(image, (12, 30), 9, SHIRT, -1)
    guess = cv2.GaussianBlur(np.roll(truth, offset, axis=1), (9, 9), 0)
    guess[20:40, 2:22] = 1
    face = inside(landmarks, FACE_OVAL, WIDTH, HEIGHT)
    matte = refine_matte(image, guess, face, HeadFrame.of(landmarks).face_height, MatteConfig())
    assert matte[15:45, :24].max() == 0
    assert np.abs(matte - truth).mean() < 0.4 * np.abs(np.roll(truth, offset, axis=1) - truth).mean()


def test_who_is_in_doubt_leaves_it_to_the_others() -> None:
    sure, doubtful = np.array([[0.99, 0.01]], np.float32), np.full((1, 2), 0.5, np.float32)
    assert (np.abs(agreed([sure, doubtful], (0.5, 0.5)) - 0.5) > 0.4).all()
    np.testing.assert_allclose(agreed([sure, 1 - sure], (0.5, 0.5)), 0.5, atol=1e-6)
    np.testing.assert_allclose(agreed([sure], (1.0,)), sure, atol=1e-6)


def test_what_the_scene_shows_without_the_person_is_not_the_persons() -> None:
    image, truth, landmarks = drawn_portrait()
    guess = cv2.GaussianBlur(truth, (5, 5), 0)
    # A post of the shirt's own colour above the shoulder, which the guess more or less takes for the person.
    post = np.zeros(truth.shape, bool)
    post[104:142, 112:120] = True
    post &= truth == 0
    image[post] = SHIRT
    guess[post] = 0.8
    face = inside(landmarks, FACE_OVAL, WIDTH, HEIGHT)
    scene = np.full_like(image, WALL)
    scene[post] = SHIRT

    def matte(spread: float) -> float:
        plate = BackgroundPlate(scene, np.full(truth.shape, spread, np.float32))
        refined = refine_matte(image, guess, face, HeadFrame.of(landmarks).face_height, MatteConfig(), plate)
        return float(refined[post].mean())

    assert matte(0.01) < matte(0.3) - 0.3


def steadied(
    image: UInt8[np.ndarray, "h w 3"],
    maps: Float32[np.ndarray, "h w *channels"],
    other_image: UInt8[np.ndarray, "h w 3"],
    other_maps: Float32[np.ndarray, "h w *channels"],
) -> Float32[np.ndarray, "h w *channels"]:
    """The maps of a picture, averaged with those of the picture after it."""
    motion = MotionBlend()
    forward, _ = motion.both_ways(motion.shrink(image), motion.shrink(other_image))
    return blend(maps, [(forward, other_maps)])


def test_blending_with_the_same_picture_changes_nothing_and_with_another_ignores_it() -> None:
    image, matte, _ = drawn_portrait()
    maps = np.dstack([matte, 1 - matte])
    np.testing.assert_allclose(steadied(image, maps, image, maps), maps, atol=0.02)
    np.testing.assert_allclose(steadied(image, maps, np.zeros_like(image), np.zeros_like(maps)), maps, atol=0.02)
    np.testing.assert_array_equal(blend(maps, []), maps)


def test_blending_averages_flicker_along_the_motion() -> None:
    (image, matte, _), (moved, moved_matte, _) = drawn_portrait(80), drawn_portrait(84)
    blended = steadied(image, 0.8 * matte, moved, moved_matte)
    inner = cv2.erode(matte, np.ones((9, 9))) > 0
    np.testing.assert_allclose(np.median(blended[inner]), 0.9, atol=0.02)


def test_maps_of_any_size_are_blended() -> None:
    (image, matte, _), (moved, moved_matte, _) = drawn_portrait(80), drawn_portrait(84)
    half = cv2.resize(0.8 * matte, (WIDTH // 2, HEIGHT // 2)), cv2.resize(moved_matte, (WIDTH // 2, HEIGHT // 2))
    blended = steadied(image, half[0], moved, half[1])
    inner = cv2.erode(half[0], np.ones((5, 5))) > 0.7
    np.testing.assert_allclose(np.median(blended[inner]), 0.9, atol=0.02)


def test_spread_evenly_includes_both_ends() -> None:
    assert spread_evenly(10, 4) == [0, 3, 6, 9]
    assert spread_evenly(3, 100) == [0, 1, 2]
    assert spread_evenly(1, 5) == [0]


class DrawnPerson:
    """Stands in for the segmentation model: it knows the colours of the drawing."""

    def segment(self, image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w"]:
        return (np.abs(image.astype(int) - np.array(WALL)).sum(axis=-1) > 40).astype(np.float32)


def test_segmentation_goes_through_every_frame_once_and_in_order() -> None:
    frames = [
        PortraitFrame(7 * i, image, landmarks)
        for i, (image, _, landmarks) in enumerate(map(drawn_portrait, (76, 78, 80, 82)))
    ]
    segmenter = PortraitSegmenter(person=DrawnPerson())
    appearance = segmenter.learn(frames)
    results = list(segmenter.segment(iter(frames), appearance))
    assert [result.index for result in results] == [0, 7, 14, 21]
    for x, result in zip((76, 78, 80, 82), results, strict=True):
        truth = drawn_portrait(x)[1]
        np.testing.assert_array_equal(result.labels == Label.BACKGROUND, result.matte == 0)
        assert np.abs(result.matte - truth).mean() < 0.02
    assert len(list(segmenter.segment(iter(frames[:1]), appearance))) == 1
    assert list(segmenter.segment(iter([]), appearance)) == []


def test_parts_of_a_clip_come_out_as_they_do_with_the_whole() -> None:
    generator = np.random.default_rng(0)
    frames = []
    for i, x in enumerate((74, 76, 79, 81, 82, 85)):
        image, _, landmarks = drawn_portrait(x)
        # Light that flickers makes neighbours count.
        frames.append(
            PortraitFrame(i, np.clip(image * generator.uniform(0.9, 1.1), 0, 255).astype(np.uint8), landmarks)
        )
    segmenter = PortraitSegmenter(person=DrawnPerson())
    appearance = pickle.loads(pickle.dumps(segmenter.learn(frames)))
    whole = list(segmenter.segment(frames, appearance))
    parts = [
        *segmenter.segment(frames[:2], appearance, after=frames[2]),
        *segmenter.segment(frames[2:3], appearance, before=frames[1], after=frames[3]),
        *segmenter.segment(frames[3:], appearance, before=frames[2]),
    ]
    assert [part.index for part in parts] == [0, 1, 2, 3, 4, 5]
    for part, other in zip(parts, whole, strict=True):
        np.testing.assert_array_equal(part.matte, other.matte)
        np.testing.assert_array_equal(part.labels, other.labels)
    alone = next(iter(segmenter.segment(frames[2:3], appearance)))
    assert (alone.matte != whole[2].matte).any(), "the neighbours of this drawing must matter, or nothing is tested"


def test_carphone_hair_face_and_suit_are_found(carphone: Path) -> None:
    detector = MediaPipeDetector()
    frames = []
    for frame in VideoReader(carphone):
        if frame.index % 10 == 0:
            frames.append(PortraitFrame(frame.index, frame.image, detector.detect(frame.image)[0].landmarks))
    segmenter = PortraitSegmenter()
    for frame, result in zip(frames, segmenter.segment(frames, segmenter.learn(frames)), strict=True):
        head = HeadFrame.of(frame.landmarks)

        def at(across: float, down: float, head: HeadFrame = head) -> tuple[int, int]:
            x, y = head.origin + head.face_height * (across * head.across + down * head.down)
            return int(y), int(x)

        assert result.labels[at(0, -0.68)] == Label.HAIR
        assert result.labels[at(0, 0.0)] == Label.FACE_SKIN
        assert result.labels[at(0.3, 1.25)] == Label.CLOTHES
        assert result.matte[5, 5] == 0
        assert 0.25 < (result.matte > 0.5).mean() < 0.6
        if frame.index == 0:
            # The lit pillar beside the neck, a few pixels wide, which colour alone tells from the collar.
            assert result.matte[92:106, 44:56].mean() < 0.02
