"""Metrics that compare one frame with its source: each against defects of known size."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from evaluation.areas import EYES, MOUTH, face_boxes
from evaluation.background import BackgroundKept
from evaluation.image_quality import HIGHEST_PSNR, psnr, ssim_map, weighted_mean
from evaluation.matte_overlap import FrameMatting, MatteOverlap
from evaluation.measurement import FaceMeasurement, FramePair
from evaluation.reconstruction import ReconstructionQuality
from evaluation.sharpness import Sharpness
from tracking.mediapipe_detector import MediaPipeDetector
from tracking.video import VideoReader


def unit(picture):
    return picture.astype(np.float32) / 255


def noisy(picture, deviation, seed=0):
    noise = np.random.default_rng(seed).normal(0, deviation, picture.shape)
    return np.clip(picture + noise, 0, 255).round().astype(np.uint8)


def test_psnr_of_a_known_difference(scene):
    picture = unit(scene.picture(0))
    assert psnr(picture, picture) == HIGHEST_PSNR
    assert psnr(picture, picture + np.float32(0.1)) == pytest.approx(20, abs=1e-3)
    half = np.zeros(picture.shape[:2], np.float32)
    half[:48] = 1
    worse_below = picture.copy()
    worse_below[48:] += 0.1
    assert psnr(picture, worse_below, half) == HIGHEST_PSNR
    assert psnr(picture, worse_below) == pytest.approx(20 + 10 * np.log10(2), abs=1e-3)
    assert np.isnan(psnr(picture, picture, np.zeros_like(half)))


def test_psnr_of_known_noise(scene):
    picture = unit(scene.picture(0))
    noise = np.random.default_rng(0).normal(0, 0.05, picture.shape).astype(np.float32)
    assert psnr(picture, picture + noise) == pytest.approx(-20 * np.log10(0.05), abs=0.1)


def test_ssim_is_torchmetrics(scene):
    first, second = unit(scene.picture(0)), unit(noisy(scene.picture(0), 12))
    theirs = structural_similarity_index_measure(
        *(torch.from_numpy(picture).permute(2, 0, 1)[None] for picture in (first, second)), data_range=1.0
    )
    assert weighted_mean(ssim_map(first, second), None) == pytest.approx(float(theirs), abs=1e-4)


def test_reconstruction_gets_worse_with_noise(scene, measured):
    perfect = measured(ReconstructionQuality(), [scene.pair(0)])
    for name, measure in perfect.items():
        assert measure.value == pytest.approx(1 if "ssim" in name else HIGHEST_PSNR, abs=1e-6)
    found = [
        measured(ReconstructionQuality(), [scene.pair(number, noisy(scene.picture(number), d)) for number in range(2)])
        for d in (3, 9, 27)
    ]
    for name in perfect:
        values = [measures[name].value for measures in found]
        assert values == sorted(values, reverse=True) and values[0] > values[2], name
    assert found[1]["psnr"].value == pytest.approx(-20 * np.log10(9 / 255), abs=0.2)


def test_a_wrong_mouth_is_the_mouths(scene, measured):
    mouth = face_boxes(scene.face().landmarks, scene.side, scene.side)[MOUTH]
    edited = scene.picture(0)
    edited[mouth] += 51
    found = measured(ReconstructionQuality(), [scene.pair(0, edited)])
    assert found[f"psnr{MOUTH}"].value == pytest.approx(-20 * np.log10(0.2), abs=1e-3)
    assert found[f"psnr{EYES}"].value == HIGHEST_PSNR
    assert found[f"ssim{MOUTH}"].value < found["ssim"].value


def test_parts_that_are_not_known_are_missing(scene, measured):
    found = measured(ReconstructionQuality(), [scene.pair(0, matte=None, source_face=None)])
    assert {name for name, measure in found.items() if measure.value is None} == {
        f"{name}{area}" for name in ("psnr", "ssim") for area in ("_in_matte", "_mouth", "_eyes")
    }


def test_sharpness_falls_with_blur(scene, measured):
    ratios = []
    for deviation in (0, 1, 2, 4):
        blurred = [
            cv2.GaussianBlur(scene.picture(number), (0, 0), deviation) if deviation else scene.picture(number)
            for number in range(2)
        ]
        pairs = [scene.pair(number, picture) for number, picture in enumerate(blurred)]
        ratios.append(measured(Sharpness(), pairs)["sharpness_ratio"].value)
    assert ratios[0] == 1
    assert ratios == sorted(ratios, reverse=True) and ratios[-1] < 0.1


def test_twice_the_contrast_is_four_times_the_variance(measured, scene):
    grey = np.repeat(scene.picture(0)[..., :1], 3, axis=-1) // 2
    pairs = [replace(scene.pair(0), source=grey, edited=2 * grey)]
    found = measured(Sharpness(), pairs)
    assert found["sharpness_ratio"].value == pytest.approx(4)
    assert found["sharpness_ratio_in_matte"].value == pytest.approx(4)


def test_background_that_was_not_touched(scene, measured):
    edited = scene.picture(0)
    edited[scene.matte() > 0] = 0
    found = measured(BackgroundKept(), [scene.pair(0, edited)])
    assert found["background_psnr"].value == HIGHEST_PSNR
    assert found["background_identical_share"].value == 1


def test_background_that_was_changed_by_known_amounts(scene, measured):
    decibels = []
    for levels in (1, 5, 25):
        pair = scene.pair(0, scene.picture(0) + np.uint8(levels))
        found = measured(BackgroundKept(), [pair])
        decibels.append(found["background_psnr"].value)
        assert decibels[-1] == pytest.approx(20 * np.log10(255 / levels), abs=1e-3)
        assert found["background_identical_share"].value == 0
    assert decibels == sorted(decibels, reverse=True)


def test_share_of_identical_pixels(scene, measured):
    edited = scene.picture(0)
    edited[:, :48] += 1
    assert measured(BackgroundKept(), [scene.pair(0, edited)])["background_identical_share"].value == pytest.approx(0.5)


def test_background_needs_a_matte(scene, measured):
    for matte in (None, np.ones((96, 96), np.float32)):
        assert measured(BackgroundKept(), [scene.pair(0, matte=matte)])["background_psnr"].value is None


class BrightIsPerson:
    """Cuts out what is white."""

    def __init__(self) -> None:
        self.calls = 0

    def matte(self, picture, face):
        self.calls += 1
        return (picture[..., 0] > 220).astype(np.float32)


def test_overlap_of_squares_moved_apart(scene, measured):
    """Two squares of side 48 that are n pixels apart share 48 - n columns of 48 + n."""
    overlaps = []
    for apart in (0, 6, 24):
        source, edited = (np.zeros((96, 96, 3), np.uint8) for _ in range(2))
        source[24:72, 24:72] = 255
        edited[24:72, 24 + apart : 72 + apart] = 255
        pair = replace(scene.pair(0), source=source, edited=edited)
        found = measured(MatteOverlap(1, BrightIsPerson()), [pair])
        overlaps.append(found["matte_iou"].value)
        assert overlaps[-1] == pytest.approx((48 - apart) / (48 + apart))
        assert found["matte_iou_of_source"].value == 1
    assert overlaps == sorted(overlaps, reverse=True)


def test_only_every_so_many_th_frame_is_cut_out(scene, measured):
    matting = BrightIsPerson()
    source = np.full((96, 96, 3), 255, np.uint8)
    pairs = [replace(scene.pair(number), source=source, edited=source) for number in range(7)]
    curve = measured(MatteOverlap(3, matting), pairs)["matte_iou"].curve
    assert np.isfinite(curve).tolist() == [True, False, False, True, False, False, True]
    assert matting.calls == 6


def test_a_real_persons_outline(carphone, measured):
    """A person painted over keeps the outline; one that was moved aside loses it."""
    frame = next(iter(VideoReader(carphone))).image
    landmarks = MediaPipeDetector().detect(frame)[0].landmarks[:, :2].astype(np.float64)
    face = FaceMeasurement(landmarks, np.zeros(1), np.eye(3))
    matte = FrameMatting().matte(frame, face)
    person = (matte > 0.5)[..., None]
    painted = np.where(person, (frame * [1.1, 0.8, 0.5]).clip(0, 255).astype(np.uint8), frame)
    aside = np.roll(frame, 20, axis=1)

    def overlap_of(edited, edited_face):
        pair = FramePair(0, 0.0, frame, edited, matte, source_face=face, edited_face=edited_face)
        return measured(MatteOverlap(1), [pair])

    kept, moved = overlap_of(painted, face), overlap_of(aside, replace(face, landmarks=landmarks + np.array([20, 0])))
    assert kept["matte_iou_of_source"].value == 1
    assert kept["matte_iou"].value > 0.93
    assert moved["matte_iou"].value < 0.87
