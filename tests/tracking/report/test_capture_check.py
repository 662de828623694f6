"""The capture check says of good material that it is good, and names each thing that is not."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from tracking.capture_check import SEEN_ACTION, Verdict, check_capture
from tracking.capture_measures import ACTIONS, CaptureMeasures, action_range, measure_capture
from tracking.capture_statistics import (
    BURST_LENGTH,
    BURSTS,
    CaptureStatistics,
    blur_effect,
    brightness_drift,
    choose_bursts,
    flicker,
    sample_statistics,
    scene_motion,
)
from tracking.clip import TrackedClip
from tracking.frame_flags import FrameFlag
from tracking.head_angles import HeadAngles

MakeClip = Callable[..., TrackedClip]
GOOD = CaptureMeasures(
    seconds=20.0,
    tracked_seconds=20.0,
    tracked_share=1.0,
    flag_shares=dict.fromkeys(FrameFlag, 0.0),
    angles=HeadAngles(*np.zeros((4, 1))),
    yaw_range=(-20.0, 20.0),
    pitch_range=(-8.0, 8.0),
    roll_range=(-3.0, 3.0),
    action_ranges=dict.fromkeys(ACTIONS, (0.0, 0.8)),
    face_pixels=250.0,
    source_face_pixels=250.0,
    reprojection_error=1.0,
    reprojection_share=0.01,
    brightness=0.5,
    clipped=0.01,
    brightness_drift=0.1,
    flicker=0.003,
    blur=0.35,
    scene_shake=0.001,
    scene_wander=0.001,
)


def flagged(flag: FrameFlag, share: float) -> CaptureMeasures:
    return replace(GOOD, flag_shares={**GOOD.flag_shares, flag: share})


def without(*actions: str) -> CaptureMeasures:
    return replace(GOOD, action_ranges={**GOOD.action_ranges, **dict.fromkeys(actions, (0.1, 0.2))})


def test_good_material_is_found_good() -> None:
    findings = check_capture(GOOD)
    assert len({finding.subject for finding in findings}) == len(findings) == 11
    assert all(finding.verdict == Verdict.GOOD and not finding.advice for finding in findings)


@pytest.mark.parametrize(
    ("measures", "subject", "verdict", "advice"),
    [
        (replace(GOOD, tracked_seconds=6.0), "Length", Verdict.COULD_BE_BETTER, "10 seconds"),
        (replace(GOOD, tracked_seconds=2.0), "Length", Verdict.PROBLEM, "10 seconds"),
        (
            replace(flagged(FrameFlag.NO_FACE, 0.05), tracked_share=0.95),
            "Frames tracked",
            Verdict.COULD_BE_BETTER,
            "whole face in the picture",
        ),
        (
            replace(flagged(FrameFlag.LOST, 0.2), tracked_share=0.8),
            "Frames tracked",
            Verdict.PROBLEM,
            "more slowly",
        ),
        (
            replace(GOOD, face_pixels=100.0, source_face_pixels=100.0),
            "Size of the face",
            Verdict.COULD_BE_BETTER,
            "closer",
        ),
        (replace(GOOD, face_pixels=50.0, source_face_pixels=50.0), "Size of the face", Verdict.PROBLEM, "closer"),
        (replace(GOOD, face_pixels=100.0), "Size of the face", Verdict.COULD_BE_BETTER, "larger --size"),
        (replace(GOOD, yaw_range=(-3.0, 3.0)), "Views of the head", Verdict.PROBLEM, "both sides"),
        (replace(GOOD, yaw_range=(-2.0, 40.0)), "Views of the head", Verdict.COULD_BE_BETTER, "picture's left"),
        (replace(GOOD, yaw_range=(-40.0, 2.0)), "Views of the head", Verdict.COULD_BE_BETTER, "picture's right"),
        (replace(GOOD, pitch_range=(0.0, 3.0)), "Views of the head", Verdict.COULD_BE_BETTER, "up and down"),
        (without("smiling"), "Expressions", Verdict.COULD_BE_BETTER, "weakly: smiling"),
        (without("opening the mouth"), "Expressions", Verdict.PROBLEM, "opening the mouth"),
        (without("smiling", "blinking", "raising the brows"), "Expressions", Verdict.PROBLEM, "blinking, smiling and"),
        (flagged(FrameFlag.BLURRED, 0.1), "Sharpness", Verdict.COULD_BE_BETTER, "shorter exposure"),
        (flagged(FrameFlag.BLURRED, 0.3), "Sharpness", Verdict.PROBLEM, "shorter exposure"),
        (replace(GOOD, blur=0.6), "Sharpness", Verdict.COULD_BE_BETTER, "Focus"),
        (replace(GOOD, blur=0.8), "Sharpness", Verdict.PROBLEM, "Focus"),
        (replace(GOOD, brightness=0.1), "Exposure", Verdict.PROBLEM, "Light the face"),
        (replace(GOOD, brightness=0.95), "Exposure", Verdict.PROBLEM, "too bright"),
        (replace(GOOD, clipped=0.2, brightness=0.8), "Exposure", Verdict.COULD_BE_BETTER, "too bright"),
        (flagged(FrameFlag.DARK, 0.2), "Exposure", Verdict.COULD_BE_BETTER, "too bright"),
        (replace(GOOD, brightness_drift=0.4), "Steadiness of the light", Verdict.COULD_BE_BETTER, "exposure"),
        (replace(GOOD, flicker=0.05), "Steadiness of the light", Verdict.PROBLEM, "Lamps flicker"),
        (replace(GOOD, scene_shake=0.01), "Stillness of the camera", Verdict.COULD_BE_BETTER, "stand"),
        (replace(GOOD, scene_wander=0.2), "Stillness of the camera", Verdict.PROBLEM, "stand"),
        (flagged(FrameFlag.OCCLUDED, 0.05), "Free view of the face", Verdict.COULD_BE_BETTER, "hands"),
        (flagged(FrameFlag.OCCLUDED, 0.5), "Free view of the face", Verdict.PROBLEM, "hands"),
        (flagged(FrameFlag.PROFILE, 0.3), "Profiles", Verdict.COULD_BE_BETTER, "Face the camera"),
        (flagged(FrameFlag.PROFILE, 0.6), "Profiles", Verdict.PROBLEM, "Face the camera"),
        (replace(GOOD, reprojection_share=0.02), "Fit of the head", Verdict.COULD_BE_BETTER, "worst frames"),
        (replace(GOOD, reprojection_share=0.05), "Fit of the head", Verdict.PROBLEM, "worst frames"),
    ],
)
def test_each_fault_is_named_and_nothing_else(
    measures: CaptureMeasures, subject: str, verdict: Verdict, advice: str
) -> None:
    faults = [finding for finding in check_capture(measures) if finding.verdict != Verdict.GOOD]
    assert [(finding.subject, finding.verdict) for finding in faults] == [(subject, verdict)]
    assert advice in faults[0].advice


def test_what_is_unknown_is_held_against_nobody() -> None:
    unknown = replace(
        GOOD,
        action_ranges={},
        brightness=np.nan,
        brightness_drift=np.nan,
        flicker=np.nan,
        blur=np.nan,
        scene_shake=np.nan,
        scene_wander=np.nan,
        reprojection_share=np.nan,
        clipped=np.nan,
    )
    findings = check_capture(unknown)
    assert all(finding.verdict == Verdict.GOOD for finding in findings)
    assert "nan" not in " ".join(finding.measured for finding in findings)
    assert "Expressions" not in {finding.subject for finding in findings}


def test_every_action_has_its_bound() -> None:
    assert SEEN_ACTION.keys() == ACTIONS.keys()


def measured(clip: TrackedClip) -> CaptureMeasures:
    return measure_capture(clip, sample_statistics(clip))


def test_poses_and_expressions_are_measured_as_they_were_made(make_clip: MakeClip) -> None:
    waves = np.sin(np.linspace(0, 2 * np.pi, 61))
    blink = np.zeros(61)
    blink[20:23] = [0.4, 0.8, 0.4]
    clip = make_clip(
        frames=61,
        yaw=25 * waves,
        pitch=5.0 + 3 * waves,
        expressions={"jawOpen": 0.3 + 0.3 * waves, "eyeBlinkLeft": blink, "eyeBlinkRight": blink},
        untracked=(40,),
        flags={40: FrameFlag.NO_FACE, 41: FrameFlag.BLURRED, 42: FrameFlag.BLURRED},
    )
    measures = measured(clip)
    np.testing.assert_allclose(measures.yaw_range, [-25, 25], atol=0.3)
    np.testing.assert_allclose(measures.pitch_range, [2, 8], atol=0.1)
    np.testing.assert_allclose(measures.angles.yaw[30:35], 25 * waves[30:35], atol=1e-6)
    np.testing.assert_allclose(measures.angles.roll[10], 0, atol=1e-6)
    assert np.isnan(measures.angles.yaw[40])
    assert measures.action_ranges["opening the mouth"][1] == pytest.approx(0.6, abs=0.01)
    assert measures.action_ranges["blinking"] == pytest.approx((0, 0.6))
    assert measures.action_ranges["smiling"] == (0, 0)
    assert measures.tracked_share == pytest.approx(60 / 61)
    assert measures.flag_shares[FrameFlag.BLURRED] == pytest.approx(2 / 61)
    assert measures.seconds == pytest.approx(61 / 30)


def test_size_is_that_of_the_face_turned_to_the_camera(make_clip: MakeClip) -> None:
    frontal, turned = make_clip("a", frames=10), make_clip("b", frames=10, yaw=50.0)
    landmarks = frontal.track.landmarks[0]
    expected = np.linalg.norm(landmarks[10] - landmarks[152])
    assert measured(frontal).face_pixels == pytest.approx(expected, rel=0.01)
    assert measured(turned).face_pixels == pytest.approx(measured(frontal).face_pixels)
    irises = np.linalg.norm(landmarks[468] - landmarks[473])
    assert measured(turned).reprojection_share == pytest.approx(0.25 / irises, rel=0.01)


def test_frames_outside_of_the_chosen_part_do_not_count(make_clip: MakeClip) -> None:
    outside = tuple(range(30, 60))
    clip = make_clip(frames=60, untracked=outside, flags=dict.fromkeys(outside, int(FrameFlag.OUTSIDE)))
    assert measured(clip).tracked_share == 1
    assert measured(clip).seconds == pytest.approx(1)


def test_light_is_measured_as_it_was_made(make_clip: MakeClip) -> None:
    steady = measured(make_clip("steady", frames=60))
    assert steady.brightness == pytest.approx(120 / 255, abs=0.01)
    assert steady.brightness_drift < 0.02
    assert steady.flicker < 0.002
    rising = measured(make_clip("rising", frames=60, brightness=np.linspace(80, 160, 60)))
    assert rising.brightness_drift == pytest.approx(0.6, abs=0.1)
    assert rising.flicker < 0.01
    lamps = measured(make_clip("lamps", frames=60, brightness=120 + 6 * (-1.0) ** np.arange(60)))
    assert lamps.flicker > 0.05
    assert lamps.brightness_drift < 0.15


def test_camera_motion_is_measured_as_it_was_made(make_clip: MakeClip) -> None:
    still = measured(make_clip("still", frames=60, yaw=np.linspace(-20, 20, 60)))
    assert still.scene_shake < 0.001
    assert still.scene_wander < 0.001
    panning = measured(make_clip("panning", frames=60, scene_shift=0.5 * np.arange(60)))
    assert panning.scene_shake * panning.face_pixels == pytest.approx(0.5, abs=0.05)
    assert panning.scene_wander * panning.face_pixels == pytest.approx(0.5 * 56 / 13, abs=0.3)


def test_a_blurred_clip_is_less_sharp(make_clip: MakeClip) -> None:
    blurs = [measured(make_clip(str(blur), frames=10, blur=blur)).blur for blur in (0.0, 1.0, 2.0)]
    assert blurs[0] + 0.1 < blurs[1] < blurs[2] - 0.05


def test_blur_effect_is_one_where_nothing_is_left() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    assert blur_effect(np.full((64, 64), 90, np.uint8)) == 1
    assert blur_effect(noise) < 0.2 < blur_effect(cv2.GaussianBlur(noise, (0, 0), 2)) < 1


def test_things_that_move_each_their_own_way_are_no_camera() -> None:
    random = np.random.default_rng(1)
    first, last = random.integers(0, 255, (2, 120, 120), dtype=np.uint8)
    assert np.isnan(scene_motion(first, last, np.ones((120, 120), bool)))
    assert np.isnan(scene_motion(first, first, np.zeros((120, 120), bool)))
    assert np.isnan(scene_motion(np.zeros_like(first), first, np.ones((120, 120), bool)))


def test_flicker_knows_no_slow_change_and_no_gap() -> None:
    frames = np.arange(40)
    assert flicker(frames, np.linspace(0.3, 0.6, 40)) < 1e-12
    # Two bursts of different brightness: the step between them is no flicker.
    assert flicker(np.r_[0:4, 30:34], np.repeat([0.2, 0.8], 4)) == 0
    assert np.isnan(flicker(np.array([0, 5, 9]), np.array([0.2, 0.5, 0.3])))
    noise = np.random.default_rng(0).normal(0.5, 0.01, 4000)
    assert flicker(np.arange(4000), noise) == pytest.approx(0.02, rel=0.1)


def test_brightness_drift_is_relative_and_ignores_what_is_unknown() -> None:
    ramp = np.linspace(0.4, 0.6, 101)
    assert brightness_drift(ramp) == pytest.approx(0.36)
    assert brightness_drift(np.r_[ramp, np.full(50, np.nan)]) == pytest.approx(0.36)
    assert np.isnan(brightness_drift(np.full(3, np.nan)))


@pytest.mark.parametrize("count", [0, 1, 3, 10, 57, 10_000])
def test_few_frames_are_read_however_long_the_clip(count: int) -> None:
    bursts = choose_bursts(np.arange(100, 100 + count), BURSTS)
    frames = [int(frame) for burst in bursts for frame in burst]
    wanted = count if count < BURST_LENGTH else BURST_LENGTH * min(BURSTS, count // BURST_LENGTH)
    assert len(frames) == wanted
    assert frames == sorted(set(frames))
    assert frames[:1] == [100][:count]
    assert frames[-1:] == [99 + count][:count]


def test_bursts_end_at_gaps() -> None:
    (first, *_) = choose_bursts(np.array([0, 1, 5, 6, 7, 8, 9, 10]), 2)
    assert first.tolist() == [0, 1]


def test_a_lone_frame_is_half_a_moment() -> None:
    strength = np.array([0.0, 0.0, 1.0, 0.0, 0.0])
    assert action_range(strength, np.ones(5, bool)) == (0, 0.5)
    assert action_range(strength, np.array([1, 1, 1, 0, 0], bool)) == (0, 0.5)
    assert action_range(strength, np.array([1, 0, 1, 0, 1], bool)) == (0, 0)
    assert np.isnan(action_range(strength, np.zeros(5, bool))).all()


def test_an_empty_sample_makes_no_numbers() -> None:
    empty = CaptureStatistics(np.zeros(0, np.int64), *(np.zeros(0) for _ in range(5)))
    assert np.isnan(brightness_drift(empty.brightness))
    assert np.isnan(flicker(empty.frames, empty.brightness))
