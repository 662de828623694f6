"""A head of known pose, expression, shape and camera is found again from its noisy landmarks."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tracking.cameras import mean_rotation, rigid, transform, vector_from_rotation
from tracking.errors import UserError
from tracking.fit_stages import CameraStage
from tracking.fitting import FitConfig, HeadFit, fit_head
from tracking.head_model import HeadModel
from tracking.smoothing import whittaker
from tracking.torso_motion import TorsoConfig, torso_poses

WIDTH, HEIGHT, FRAME_RATE = 640, 480, 25.0
FRAMES = 100


@dataclass(frozen=True)
class Truth:
    focal_length: float
    head_to_camera: np.ndarray
    expression: np.ndarray
    identity: np.ndarray
    landmarks: np.ndarray


def make_clip(noise: float = 0.7, focal_length: float = 1.7 * WIDTH, nod_frequency: float = 0.6) -> Truth:
    """A talking, blinking, nodding head; landmarks with MediaPipe's relative depth; noise in pixels."""
    random = np.random.default_rng(0)
    model = HeadModel.load()
    time = np.arange(FRAMES) / FRAME_RATE
    angles = np.stack(
        [8 * np.sin(2 * np.pi * nod_frequency * time), 20 * np.sin(1.3 * time), 5 * np.sin(0.9 * time + 1)], 1
    )
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    translation = np.stack([2 * np.sin(time), 1 + np.cos(time), -65 + 4 * np.sin(0.7 * time)], 1)
    expression = np.zeros((FRAMES, len(model.expression_names)))
    expression[:, model.expression_index("jawOpen")] = 0.35 * np.maximum(np.sin(9 * time), 0)
    for side in ("Left", "Right"):
        expression[:, model.expression_index(f"mouthSmile{side}")] = 0.5 * (time > 2)
        expression[[20, 21, 70, 71], model.expression_index(f"eyeBlink{side}")] = 0.95
    identity = np.zeros(len(model.identity_basis))
    identity[:20] = random.normal(size=20) * 0.3
    head_to_camera = rigid(rotation, translation)
    points = transform(head_to_camera, model.vertices(identity, expression).astype(float))
    depth = -points[..., 2:]
    pixels = points[..., :2] * [1, -1] * focal_length / depth + [WIDTH / 2, HEIGHT / 2]
    scale = focal_length / -translation[:, 2, None]
    relative_depth = -(points[..., 2] - translation[:, 2, None]) * scale + 5.0
    landmarks = np.concatenate([pixels, relative_depth[..., None]], -1)
    landmarks += random.normal(size=landmarks.shape) * [noise, noise, 3 * noise]
    return Truth(focal_length, head_to_camera, expression, identity, landmarks)


def fit(truth: Truth, config: FitConfig | None = None, tracked: np.ndarray | None = None) -> HeadFit:
    tracked = np.ones(FRAMES, bool) if tracked is None else tracked
    return fit_head(truth.landmarks, tracked, WIDTH, HEIGHT, config or FitConfig())


@pytest.fixture(scope="module")
def truth() -> Truth:
    return make_clip()


@pytest.fixture(scope="module")
def found(truth) -> HeadFit:
    return fit(truth)


def rotation_errors(truth: Truth, found: HeadFit) -> np.ndarray:
    """Degrees between true and found head rotation in every tracked frame."""
    product = (found.camera_to_head @ truth.head_to_camera)[found.tracked, :3, :3]
    return np.degrees(Rotation.from_matrix(product).magnitude())


def coefficient(values: np.ndarray, name: str) -> np.ndarray:
    return values[:, HeadModel.load().expression_index(name)]


def test_pose_is_found(truth, found):
    errors = rotation_errors(truth, found)
    assert np.median(errors) < 1.0
    assert errors.max() < 3.0


def test_expressions_are_found(truth, found):
    for name, correlation in (("jawOpen", 0.97), ("eyeBlinkLeft", 0.95), ("mouthSmileRight", 0.9)):
        pair = coefficient(truth.expression, name), coefficient(found.expression, name)
        assert np.corrcoef(*pair)[0, 1] > correlation, name
    assert (found.expression >= 0).all() and (found.expression <= 1).all()


def test_a_blink_of_two_frames_survives_smoothing(found):
    blink = coefficient(found.expression, "eyeBlinkLeft")
    assert blink[[20, 21, 70, 71]].min() > 0.6
    assert blink[[17, 24, 67, 74]].max() < 0.2


def test_reprojection_error_is_the_noise(found):
    # The median length of a 2D Gaussian error of deviation 0.7 px is 0.7 sqrt(2 ln 2) = 0.82 px.
    assert np.median(found.reprojection_error) == pytest.approx(0.82, rel=0.15)


def test_resting_face_is_identity_not_expression(found):
    silent = [name for name in found.expression_names if name.startswith(("brow", "cheek", "nose", "jawL", "jawR"))]
    resting = np.median([coefficient(found.expression, name) for name in silent], axis=1)
    assert resting.max() < 0.1


def test_focal_length_is_found_within_what_a_face_can_tell(truth, found):
    assert abs(np.log(found.intrinsics.focal_length / truth.focal_length)) < 0.3


def test_a_known_focal_length_gives_the_distance(truth):
    known = fit(truth, FitConfig(camera=CameraStage(focal_length=1.7)))
    assert known.intrinsics.focal_length == 1.7 * WIDTH
    distance = -np.linalg.inv(known.camera_to_head)[:, 2, 3]
    assert np.median(distance / -truth.head_to_camera[:, 2, 3]) == pytest.approx(1, abs=0.05)


def test_transforms_are_rigid(found):
    matrices = found.camera_to_head
    rotation = matrices[:, :3, :3]
    np.testing.assert_allclose(
        rotation @ rotation.swapaxes(1, 2), np.broadcast_to(np.eye(3), rotation.shape), atol=1e-9
    )
    np.testing.assert_allclose(matrices[:, 3], np.broadcast_to([0, 0, 0, 1], (FRAMES, 4)))


def test_the_same_clip_gives_the_same_fit(truth, found):
    again = fit(truth)
    np.testing.assert_array_equal(again.expression, found.expression)
    np.testing.assert_array_equal(again.camera_to_head, found.camera_to_head)


def test_frames_not_tracked_stay_unknown(truth, found):
    tracked = np.ones(FRAMES, bool)
    tracked[40:46] = False
    landmarks = truth.landmarks.copy()
    landmarks[40:43] = np.nan
    landmarks[43:46] = 1e6
    gap = fit(replace(truth, landmarks=landmarks), tracked=tracked)
    assert not gap.tracked[40:46].any() and gap.tracked.sum() == FRAMES - 6
    for values in (gap.camera_to_head, gap.expression, gap.reprojection_error):
        assert np.isnan(values[40:46]).all() and np.isfinite(values[~np.isin(np.arange(FRAMES), range(40, 46))]).all()
    assert np.median(rotation_errors(truth, gap)) < 1.0


def test_a_frame_of_nonsense_is_flagged_and_spoils_no_other(truth):
    landmarks = truth.landmarks.copy()
    landmarks[50, :, :2] = np.random.default_rng(3).uniform(0, 400, (478, 2))
    spoiled = fit(replace(truth, landmarks=landmarks))
    assert np.flatnonzero(~spoiled.tracked).tolist() == [50]
    assert np.median(rotation_errors(truth, spoiled)) < 1.0


def test_principal_point_of_a_crop_is_respected(truth, found):
    shift = np.array([-170.0, 60.0, 0.0])
    moved = fit_head(
        truth.landmarks + shift, np.ones(FRAMES, bool), WIDTH, HEIGHT, FitConfig(),
        center=(WIDTH / 2 + shift[0], HEIGHT / 2 + shift[1]),
    )  # fmt: skip
    np.testing.assert_allclose(moved.camera_to_head, found.camera_to_head, atol=1e-2)


def test_a_quick_nod_is_neither_delayed_nor_flattened():
    truth = make_clip(noise=0.5, nod_frequency=4.0)
    pitch = Rotation.from_matrix(np.linalg.inv(fit(truth).camera_to_head)[:, :3, :3]).as_euler("xyz", degrees=True)[
        :, 0
    ]
    true_pitch = Rotation.from_matrix(truth.head_to_camera[:, :3, :3]).as_euler("xyz", degrees=True)[:, 0]
    pitch, true_pitch = pitch[5:-5] - pitch.mean(), true_pitch[5:-5] - true_pitch.mean()
    lags = {lag: np.corrcoef(pitch[2:-2], np.roll(true_pitch, lag)[2:-2])[0, 1] for lag in (-1, 0, 1)}
    assert max(lags, key=lags.__getitem__) == 0
    assert np.std(pitch) == pytest.approx(np.std(true_pitch), rel=0.1)


def test_a_still_head_stays_still():
    """Landmarks of one head with independent noise: what jitter is left is the fit's."""
    truth = make_clip(noise=0.0)
    still = np.broadcast_to(truth.landmarks[:1], truth.landmarks.shape).copy()
    still += np.random.default_rng(5).normal(size=still.shape) * [1.5, 1.5, 4.5]
    rotations = np.linalg.inv(fit(replace(truth, landmarks=still)).camera_to_head)[:, :3, :3]
    deviation = np.degrees(np.std(vector_from_rotation(rotations @ mean_rotation(rotations).T), axis=0))
    assert deviation.max() < 0.1


SIXTY_EIGHT = tuple(range(0, 468, 7))


def test_a_detector_of_fewer_points_without_depth_will_do(truth):
    landmarks = np.full_like(truth.landmarks, np.nan)
    landmarks[:, SIXTY_EIGHT, :2] = truth.landmarks[:, SIXTY_EIGHT, :2]
    sparse = fit(replace(truth, landmarks=landmarks))
    assert sparse.tracked.all()
    assert np.median(rotation_errors(truth, sparse)) < 2.0


def test_scores_tell_what_landmarks_do_not(truth):
    """The mouth is hidden; the detector's own judgement of the jaw is all there is."""
    model = HeadModel.load()
    landmarks = truth.landmarks.copy()
    reach = np.linalg.norm(model.expression_deltas[model.expression_index("jawOpen")], axis=-1)
    landmarks[:, reach > 0.05] = np.nan
    scores = np.full(truth.expression.shape, np.nan)
    scores[:, model.expression_index("jawOpen")] = coefficient(truth.expression, "jawOpen")
    blind = fit(replace(truth, landmarks=landmarks))
    told = fit_head(landmarks, np.ones(FRAMES, bool), WIDTH, HEIGHT, FitConfig(), expression_scores=scores)
    true = coefficient(truth.expression, "jawOpen")
    assert np.std(coefficient(blind.expression, "jawOpen")) < 0.02
    assert np.corrcoef(coefficient(told.expression, "jawOpen"), true)[0, 1] > 0.95


def test_whittaker_keeps_straight_lines_and_fills_gaps():
    line = np.linspace(0, 5, 40)[:, None]
    weights = np.ones_like(line)
    weights[10:15] = 0
    holed = np.where(weights > 0, line, np.nan)
    np.testing.assert_allclose(whittaker(holed, np.array([100.0]), weights), line, atol=1e-5)


def test_too_few_frames_are_refused(truth):
    with pytest.raises(UserError, match="face"):
        fit(truth, tracked=np.arange(FRAMES) < 3)


def test_torso_is_guessed_calmer_than_the_head(found):
    heads = np.linalg.inv(found.camera_to_head)
    torso = -torso_poses(heads, np.arange(FRAMES), FRAMES, FRAME_RATE, TorsoConfig())[:, :3, 3]
    neck = transform(np.linalg.inv(found.camera_to_head), np.broadcast_to([0.0, -14.0, -7.0], (FRAMES, 1, 3)))[:, 0]
    assert np.diff(torso, axis=0).std() < 0.6 * np.diff(neck, axis=0).std()
    assert np.linalg.norm(torso.mean(0) - neck.mean(0)) < 1.5
