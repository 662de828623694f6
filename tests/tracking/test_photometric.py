"""Frames pull a displaced head back to where its texture fits; light does not."""

from dataclasses import replace

import numpy as np
import pytest

from tracking.cameras import project, rigid, rigid_inverse, rotation_from_vector, transform, vector_from_rotation
from tracking.clip import Intrinsics
from tracking.fitting import HeadFit
from tracking.head_model import HeadModel
from tracking.photometric import PhotometricConfig, PhotometricRefiner, Texture, refine_fit
from tracking.rasterize import rasterize
from tracking.surface_samples import (
    SurfaceSamples,
    cut_window,
    look_up,
    normalize_locally,
    seen_samples,
    with_slopes,
)

CAMERA = Intrinsics(focal_length=300.0, center_x=88.0, center_y=84.0, width=176, height=168)
CONFIG = PhotometricConfig(
    samples=800,
    face_size=100,
    landmark_trust=1e-5,
    expression_trust=1e-4,
    smoothing=0.0,
)
DISPLACED = 3
"""The frame that the fit has wrong."""


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return HeadModel.load()


@pytest.fixture(scope="module")
def truth(model: HeadModel) -> HeadFit:
    """Seven frames in which the head turns; nothing is wrong."""
    count = 7
    degrees = np.stack([np.linspace(-6, 6, count), np.linspace(-12, 12, count)[::-1], np.zeros(count)], 1)
    rotation = rotation_from_vector(np.radians(degrees))
    translation = np.column_stack([np.linspace(-1, 1, count), np.zeros(count), np.full(count, -42.0)])
    camera_to_head = rigid_inverse(rigid(rotation, translation))
    expression = np.zeros((count, len(model.expression_names)))
    expression[:, model.expression_index("jawOpen")] = np.linspace(0, 0.3, count)
    identity = np.zeros(len(model.identity_basis))
    return HeadFit(
        intrinsics=CAMERA,
        camera_to_head=camera_to_head,
        expression=expression,
        identity=identity,
        reprojection_error=np.zeros(count),
        expression_names=model.expression_names,
        tracked=np.ones(count, bool),
    )


@pytest.fixture(scope="module")
def images(model: HeadModel, truth: HeadFit) -> np.ndarray:
    """The frames: a grey of its own at every vertex."""
    grey = np.random.default_rng(0).uniform(40, 220, (len(model.mean), 1))
    frames = []
    shapes = model.vertices(truth.identity, truth.expression)
    for pose, shape in zip(rigid_inverse(truth.camera_to_head), shapes, strict=True):
        visible = rasterize(transform(pose, shape.astype(np.float64)), model.triangles, CAMERA)
        frames.append(np.where(visible.covered[..., None], visible.interpolate(grey, model.triangles), 90))
    return np.repeat(np.rint(frames), 3, axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def displaced(model: HeadModel, truth: HeadFit) -> HeadFit:
    """The truth, but for one frame: turned by 2.4 degrees, and with the jaw too open."""
    poses, expression = truth.camera_to_head.copy(), truth.expression.copy()
    wrong = rigid(rotation_from_vector(np.radians([1.5, 1.8, 0.5])), np.array([0.1, -0.1, 0.2]))
    poses[DISPLACED] = wrong @ poses[DISPLACED]
    expression[DISPLACED, model.expression_index("jawOpen")] += 0.15
    return replace(truth, camera_to_head=poses, expression=expression)


def degrees_apart(fit: HeadFit, truth: HeadFit) -> np.ndarray:
    turns = fit.camera_to_head[:, :3, :3] @ truth.camera_to_head[:, :3, :3].swapaxes(1, 2)
    return np.degrees(np.linalg.norm(vector_from_rotation(turns), axis=1))


def test_a_displaced_frame_is_pulled_back(model, truth, images, displaced):
    refined = refine_fit(displaced, lambda frame: images[frame], CONFIG)
    assert degrees_apart(displaced, truth)[DISPLACED] > 2
    assert degrees_apart(refined, truth).max() < 0.5
    jaw = model.expression_index("jawOpen")
    assert abs(refined.expression[DISPLACED, jaw] - truth.expression[DISPLACED, jaw]) < 0.05


def test_dimmer_light_makes_no_difference(images, displaced):
    bright = refine_fit(displaced, lambda frame: images[frame], CONFIG)
    dim = images.copy()
    dim[DISPLACED] = np.rint(0.7 * dim[DISPLACED] + 15)
    refined = refine_fit(displaced, lambda frame: dim[frame], CONFIG)
    assert degrees_apart(refined, bright).max() < 0.15


def test_trust_in_the_landmarks_holds_the_fit(images, displaced):
    firm = replace(CONFIG, landmark_trust=1e3, expression_trust=1e3)
    refined = refine_fit(displaced, lambda frame: images[frame], firm)
    np.testing.assert_allclose(refined.camera_to_head, displaced.camera_to_head, atol=1e-3)


def test_untracked_frames_are_not_looked_at(images, truth):
    tracked = truth.tracked.copy()
    tracked[2] = False
    poses = truth.camera_to_head.copy()
    poses[2] = np.nan
    asked: list[int] = []

    def read(frame: int) -> np.ndarray:
        asked.append(frame)
        return images[frame]

    refined = refine_fit(replace(truth, tracked=tracked, camera_to_head=poses), read, CONFIG)
    assert 2 not in asked and np.isnan(refined.camera_to_head[2]).all()


def test_gradient_is_the_slope_of_the_cost(images, truth, displaced):
    # Smooth pictures, of which central differences are the slope.
    refiner = PhotometricRefiner(displaced, replace(CONFIG, blurs=(4.0,)))
    textures = refiner.gather_texture(PhotometricRefiner(truth, CONFIG).start, lambda frame: images[frame])
    state, anchor = refiner.start[DISPLACED], np.zeros((6 + truth.expression.shape[1],) * 2)
    window, seen = refiner.look_at(state, images[DISPLACED])
    used = seen & textures[0].known
    feature = refiner.feature(window, 4.0)
    _, gradient = refiner.normal_equations(state, window, feature, textures[0], used)
    for unknown, reach in ((0, 2e-3), (1, 2e-3), (2, 2e-3), (3, 0.02), (4, 0.02), (5, 0.2)):
        step = np.zeros(len(gradient))
        step[unknown] = reach
        ahead, behind = (
            refiner.cost(state.moved(sign * step), state, window, feature, textures[0], used, anchor)
            for sign in (1, -1)
        )
        assert gradient[unknown] == pytest.approx((ahead - behind) / (2 * reach), rel=0.1, abs=1e-3)


def test_samples_keep_off_the_openings_and_see_only_the_near_side(model):
    samples = SurfaceSamples.spread(model, 500)
    np.testing.assert_allclose(samples.weights.sum(1), 1)
    turned = rigid(rotation_from_vector(np.radians([0.0, 50.0, 0.0])), np.array([0.0, 0.0, -42.0]))
    vertices = transform(turned, model.mean.astype(np.float64))
    seen = seen_samples(samples, model, vertices, CAMERA)
    left = samples.on(model.mean)[:, 0] > 2
    right = samples.on(model.mean)[:, 0] < -2
    skin = samples.eye < 0
    # Turned to the person's left, the right cheek faces the camera.
    assert seen[right & skin].mean() > 0.7 > 0.4 > seen[left & skin].mean()


def test_a_window_shows_the_same_places_as_its_frame(model):
    columns, rows = np.meshgrid(np.arange(CAMERA.width) + 0.5, np.arange(CAMERA.height) + 0.5)
    vertices = model.mean.astype(np.float64) + np.array([1.0, -0.5, -42.0])
    pixels = project(vertices, CAMERA)
    for values, axis in ((columns, 0), (rows, 1)):
        image = np.repeat(np.rint(values)[..., None], 3, axis=2).astype(np.uint8)
        window = cut_window(image, CAMERA, vertices, 0.6)
        places = project(vertices, window.intrinsics)
        shown = look_up(window.image[..., None], places)[:, 0]
        assert np.abs(shown - pixels[:, axis]).max() < 0.8


def test_normalised_brightness_forgets_gain_and_offset():
    image = np.random.default_rng(1).uniform(0, 200, (40, 50)).astype(np.float32)
    plain, changed = (
        with_slopes(normalize_locally(shown, 1.0, 6.0, contrast_floor=0.0)) for shown in (image, 0.5 * image + 30)
    )
    np.testing.assert_allclose(changed, plain, atol=1e-3)


def test_texture_is_the_median_of_what_was_seen():
    values = np.array([[1.0, np.nan], [2.0, np.nan], [9.0, 5.0]])
    texture = Texture.of(values, least_frames=2)
    assert texture.value[0] == 2 and texture.known.tolist() == [True, False]
