"""The skin tells of motion that the landmarks do not, and is not asked where it has nothing to tell."""

from dataclasses import replace

import numpy as np
import pytest

from tracking.cameras import project, rigid, rigid_inverse, rotation_from_vector, transform, vector_from_rotation
from tracking.clip import Intrinsics
from tracking.face_fit import FaceFitConfig, fit_face, frames_to_do
from tracking.face_linking import FaceTrack
from tracking.face_regions import FACE_OVAL
from tracking.fitting import FitConfig, HeadFit, KnownHead, fit_head
from tracking.head_model import HeadModel
from tracking.rasterize import rasterize
from tracking.skin_motion import (
    FEATURES,
    FollowedPoints,
    PosedFaces,
    SkinMotionConfig,
    fit_with_skin,
    follow_skin,
    texture_of,
)
from tracking.skin_pictures import skin_picture, to_skin_picture
from tracking.skin_texture import SIZE, SkinLayout, SkinTexture, lay_out
from tracking.surface_samples import MESH_POINTS

CAMERA = Intrinsics(focal_length=400.0, center_x=120.0, center_y=120.0, width=240, height=240)
FRAMES = 24
TOLD = 0.7
"""What the detector tells of a nod."""


ALONE = FaceFitConfig(skin=SkinMotionConfig(rounds=0))


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return HeadModel.load()


@pytest.fixture(scope="module")
def pitch() -> np.ndarray:
    """Degrees by which the head nods."""
    return 8 * np.sin(2 * np.pi * np.arange(FRAMES) / 12)


def poses(pitch: np.ndarray) -> np.ndarray:
    """Head to camera."""
    yaw = np.linspace(-10, 10, len(pitch))
    rotation = rotation_from_vector(np.radians(np.stack([pitch, yaw, 0 * yaw], 1)))
    return rigid(rotation, np.tile([0.0, 0.0, -45.0], (len(pitch), 1)))


def picture(model: HeadModel, pose: np.ndarray, spotted: bool) -> np.ndarray:
    """The posed mean face, with or without spots, on grey."""
    face = transform(pose, model.mean.astype(np.float64))
    visible = rasterize(face, model.triangles, CAMERA)
    place = visible.interpolate(model.mean.astype(np.float32), model.triangles)
    waves = np.sin(3.1 * place[..., 0] + 1.3 * place[..., 1]) * np.sin(2.3 * place[..., 1] - place[..., 0] + 1)
    grey = np.where(visible.covered, 130 + 60 * waves * spotted, 130)
    return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=2)


def detected(model: HeadModel, pitch: np.ndarray, spotted: bool = True) -> FaceTrack:
    """A face that nods so, as seen by a detector that tells a part of it."""
    told = transform(poses(TOLD * pitch), np.broadcast_to(model.mean, (len(pitch), *model.mean.shape)).astype(float))
    depth = (told[..., 2].mean(1, keepdims=True) - told[..., 2]) * CAMERA.focal_length / 45
    landmarks = np.concatenate([project(told, CAMERA), depth[..., None]], axis=-1)
    pictures = [picture(model, pose, spotted) for pose in poses(pitch)]
    skin = np.stack([skin_picture(image, face) for image, face in zip(pictures, landmarks, strict=True)])
    return FaceTrack(landmarks, np.ones(len(pitch), bool), skin=skin)


@pytest.fixture(scope="module")
def face(model: HeadModel, pitch: np.ndarray) -> FaceTrack:
    return detected(model, pitch)


def told_share(fit: HeadFit, pitch: np.ndarray) -> float:
    """Of the nod, by least squares."""
    rotation = rigid_inverse(fit.camera_to_head)[:, :3, :3]
    fitted = np.degrees(vector_from_rotation(rotation))[:, 0]
    return float(np.polyfit(pitch, fitted, 1)[0])


def test_a_nod_is_followed_by_the_skin_where_the_landmarks_tell_a_part_of_it(
    face: FaceTrack, pitch: np.ndarray
) -> None:
    alone = told_share(fit_face(face, 240, 240, ALONE), pitch)
    followed = told_share(fit_face(face, 240, 240), pitch)
    assert alone == pytest.approx(TOLD, abs=0.08)
    assert 0.9 < followed < 1.08


def test_bare_skin_leaves_everything_to_the_landmarks(model: HeadModel, pitch: np.ndarray) -> None:
    bare = detected(model, pitch, spotted=False)
    followed, alone = fit_face(bare, 240, 240), fit_face(bare, 240, 240, ALONE)
    np.testing.assert_allclose(followed.camera_to_head, alone.camera_to_head, atol=0.02)


def test_without_pictures_or_rounds_the_landmarks_alone_decide(face: FaceTrack) -> None:
    no_pictures = fit_face(replace(face, skin=None), 240, 240)
    no_rounds = fit_face(face, 240, 240, ALONE)
    np.testing.assert_array_equal(no_pictures.camera_to_head, no_rounds.camera_to_head)


def test_errors_are_told_from_what_was_detected(face: FaceTrack, model: HeadModel) -> None:
    fit = fit_face(face, 240, 240)
    shape = model.vertices(fit.identity, fit.expression)
    seen = project(transform(rigid_inverse(fit.camera_to_head), shape.astype(np.float64)), fit.intrinsics)
    distance = np.median(np.linalg.norm(seen - face.landmarks[..., :2], axis=-1), axis=1)
    np.testing.assert_allclose(fit.reprojection_error, distance, rtol=0.01)


def test_every_frame_is_told_of_as_often_as_it_is_fitted(face: FaceTrack) -> None:
    done: list[int] = []
    config = FaceFitConfig(skin=SkinMotionConfig(rounds=1))
    fit_face(face, 240, 240, config, advance=done.append)
    assert sum(done) == frames_to_do(face, config) == 2 * FRAMES


def test_what_the_skin_is_sure_of_counts_from_the_second_fit_on_and_the_last_keeps_lens_and_person(
    face: FaceTrack,
) -> None:
    told: list[tuple[KnownHead | None, np.ndarray]] = []

    def fit_points(
        points: np.ndarray, how: FitConfig, known: KnownHead | None = None, confidence: np.ndarray | None = None
    ) -> HeadFit:
        assert confidence is not None
        told.append((known, confidence.copy()))
        return fit_head(points, face.tracked, 240, 240, how, known=known, confidence=confidence)

    fit = fit_with_skin(face.landmarks, face.skin, fit_points, FitConfig(), SkinMotionConfig(rounds=2))
    (first, at_first), (second, on_the_way), (last, in_the_end) = told
    assert first is None
    assert second is None
    assert last is not None
    assert last.focal_length == fit.intrinsics.focal_length
    np.testing.assert_array_equal(at_first, 1)
    for weights in (on_the_way, in_the_end):
        np.testing.assert_array_equal(weights[:, FEATURES], 1)
        assert weights.min() < 0.2


@pytest.fixture(scope="module")
def posed(face: FaceTrack) -> PosedFaces:
    assert face.skin is not None
    return PosedFaces.of(fit_face(face, 240, 240, ALONE), face.landmarks, face.skin)


def test_a_frame_of_which_the_skin_tells_nothing_is_left_to_the_landmarks(face: FaceTrack, pitch: np.ndarray) -> None:
    """Its picture is blank, as behind a hand; the frames around it are followed all the same."""
    assert face.skin is not None
    blank, skin = 9, face.skin.copy()
    skin[blank] = 130
    fit = fit_face(replace(face, skin=skin), 240, 240)
    assert fit.tracked.all()
    fitted = np.degrees(vector_from_rotation(rigid_inverse(fit.camera_to_head)[:, :3, :3]))[:, 0]
    assert abs(fitted[blank]) < abs(pitch[blank]) + 1.5
    assert abs(fitted[blank]) > abs(TOLD * pitch[blank]) - 1.5
    assert 0.9 < np.polyfit(np.delete(pitch, blank), np.delete(fitted, blank), 1)[0] < 1.08


def test_frames_are_followed_alike_in_one_go_and_in_pieces(posed: PosedFaces) -> None:
    texture = texture_of(posed)
    pieces = [follow_skin(posed[part], texture) for part in (slice(0, 7), slice(7, None))]
    joined, whole = FollowedPoints.concatenate(pieces), follow_skin(posed, texture)
    np.testing.assert_array_equal(joined.points, whole.points)
    np.testing.assert_array_equal(joined.confidence, whole.confidence)


def test_outline_eyes_lips_and_depths_stay_as_they_were_detected(posed: PosedFaces) -> None:
    followed = follow_skin(posed, texture_of(posed)).points
    kept = [*FACE_OVAL, *FEATURES, *range(MESH_POINTS, 478)]
    np.testing.assert_array_equal(followed[:, kept], posed.landmarks[:, kept])
    np.testing.assert_array_equal(followed[..., 2], posed.landmarks[..., 2])
    assert np.abs(followed - posed.landmarks)[:, 4, 1].max() > 1  # the tip of the nose


def test_points_that_the_detector_lacks_stay_missing(posed: PosedFaces) -> None:
    partial = posed.landmarks.copy()
    partial[:, 4] = np.nan
    followed = follow_skin(replace(posed, landmarks=partial), texture_of(posed)).points
    assert np.isnan(followed[:, 4]).all()
    assert np.isfinite(np.delete(followed, 4, axis=1)).all()


def test_a_hidden_half_of_the_face_is_left_to_the_landmarks(model: HeadModel) -> None:
    """Seen from the side, the far cheek says nothing."""
    far, near = 330, 101
    pose = rigid(rotation_from_vector(np.radians([0.0, 70.0, 0.0])), np.array([0.0, 0.0, -45.0]))
    frontal = transform(poses(np.zeros(1))[0], model.mean.astype(np.float64))[None, :MESH_POINTS]
    turned = transform(pose, model.mean.astype(np.float64))
    landmarks = np.column_stack([project(turned, CAMERA), np.zeros(478)])[None] + 3.0
    image = picture(model, pose, spotted=True)
    front_landmarks = np.column_stack([project(frontal[0], CAMERA), np.zeros(MESH_POINTS)])
    front = skin_picture(picture(model, poses(np.zeros(1))[0], spotted=True), front_landmarks)
    texture = SkinTexture.of([lay_out(front, to_skin_picture(front_landmarks), frontal[0], CAMERA)])
    view = PosedFaces(
        skin_picture(image, landmarks[0])[None], landmarks, turned[None, :MESH_POINTS].astype(np.float32), CAMERA
    )
    moved = np.abs(follow_skin(view, texture).points - landmarks)[0, :, :2].max(1)
    hidden, seen = (far, near) if turned[far, 2] < turned[near, 2] else (near, far)
    assert moved[hidden] == 0
    assert moved[seen] > 1


def test_texels_blend_the_points_around_them(model: HeadModel) -> None:
    """The layout is a view from far away, so that across and up are linear in the texels."""
    layout = SkinLayout.load()
    laid = layout.spread(model.mean[:MESH_POINTS, :2])
    rows, columns = np.nonzero(layout.covered)
    centimetres = 18.0 / SIZE
    np.testing.assert_allclose(laid[rows, columns, 0], (columns + 0.5 - SIZE / 2) * centimetres, atol=0.08)
    np.testing.assert_allclose(laid[rows, columns, 1], (SIZE / 2 - rows - 0.5) * centimetres, atol=0.08)


def test_a_pose_lays_out_the_same_skin_from_every_side(model: HeadModel) -> None:
    """With true poses only resampling differs."""
    shown = []
    for pose in poses(np.array([-8.0, 8.0])):
        posed = transform(pose, model.mean.astype(np.float64))
        landmarks = np.column_stack([project(posed, CAMERA), np.zeros(478)])
        image = skin_picture(picture(model, pose, spotted=True), landmarks)
        shown.append(lay_out(image, to_skin_picture(landmarks), posed[:MESH_POINTS], CAMERA))
    both = SkinLayout.load().covered & (shown[0].facing > 0.6) & (shown[1].facing > 0.6)
    both[:20] = both[-20:] = False
    first, second = (view.shown[both].astype(float) for view in shown)
    assert both.sum() > 3000
    assert np.corrcoef(first, second)[0, 1] > 0.97


def test_points_move_with_the_skin_and_are_in_the_mean_where_they_were_detected(posed: PosedFaces) -> None:
    followed = follow_skin(posed, texture_of(posed))
    anchored = followed.anchored(posed.landmarks)
    seen = followed.confidence.min(0) > 0.9
    turns = np.stack([to_skin_picture(face)[:, :2] for face in posed.landmarks])
    away = ((posed.landmarks - anchored.points)[:, seen, :2]) @ turns.swapaxes(1, 2)
    assert seen.sum() > 100
    np.testing.assert_allclose(away.mean(0), 0, atol=0.1)
    shift = ((anchored.points - followed.points)[:, seen, :2]) @ turns.swapaxes(1, 2)
    np.testing.assert_allclose(shift, np.broadcast_to(shift.mean(0), shift.shape), atol=0.15)
    assert anchored.anchored(posed.landmarks).points == pytest.approx(anchored.points, abs=0.15, nan_ok=True)


def test_a_lasting_difference_from_the_detector_is_believed_in_part_and_a_passing_one_nearly_in_full(
    posed: PosedFaces,
) -> None:
    count = 48
    detected = np.repeat(posed.landmarks[:1], count, 0)
    wave = np.where(np.arange(count) % 2 == 0, 2.0, -2.0).astype(np.float32)
    for ways, believed in ((np.full(count, 2, np.float32), 0.6), (wave, 1.0)):
        points = detected.copy()
        points[..., 0] += ways[:, None]
        turns = np.repeat(to_skin_picture(detected[0])[None, :, :2], count, 0).astype(np.float32)
        followed = FollowedPoints(points, np.ones(points.shape[:2], np.float32), turns)
        moved = (followed.doubted_where_slow(detected, 0.6).points - detected)[10:-10]
        np.testing.assert_allclose(moved[..., 0], believed * np.repeat(ways[10:-10, None], 478, 1), atol=0.02)
        np.testing.assert_allclose(moved[..., 1:], 0, atol=0.02)


def test_a_face_that_never_looks_this_way_has_no_texture_and_tells_nothing(posed: PosedFaces) -> None:
    away = replace(posed, in_camera=posed.in_camera * np.array([-1, 1, 1], np.float32))
    texture = texture_of(away)
    assert not texture.known.any()
    followed = follow_skin(away, texture)
    assert not followed.confidence.any()
    np.testing.assert_array_equal(followed.points, posed.landmarks)
    np.testing.assert_array_equal(followed.weights(), 1)
