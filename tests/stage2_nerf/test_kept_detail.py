"""How much of the film's fine brightness a look shows: as much as its edits do. The avatar is untrained on purpose."""

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from stage1_edit.prompts import EditPrompt
from tracking.clip import TrackedClip
from tracking.video import VideoReader

if TYPE_CHECKING:
    from stage2_nerf.frame_renderer import FrameRenderer

HAIR = EditPrompt("make it silver", "hair")
PAINTING = EditPrompt("make it an oil painting")
FRAMES = (3, 9)


@pytest.fixture(scope="module")
def pipeline(tiny_preset, tiny_clip: TrackedClip):
    """An avatar with two styles that change every colour, each in its own way."""
    torch.manual_seed(0)
    config = deepcopy(tiny_preset.pipeline)
    config.datamanager.data = tiny_clip.root
    config.prompts = (HAIR, PAINTING)
    pipeline = config.setup(device="cpu", test_mode="inference")
    for style in pipeline.model.styles.values():
        for part in (style.head, style.torso):
            nn.init.normal_(part.network[-1].weight, std=0.5)
    return pipeline


@pytest.fixture
def renderer(pipeline, tiny_clip: TrackedClip) -> "FrameRenderer":
    from stage2_nerf.frame_renderer import FrameRenderer

    return FrameRenderer(pipeline.model, tiny_clip)


def edits_that_keep(share: float, renderer: "FrameRenderer", prompt: EditPrompt) -> list[tuple[int, np.ndarray]]:
    """The styled avatar with so much of the film's fine brightness put back by hand."""
    from stage2_nerf.paste_back import brightness

    edits = []
    for number in FRAMES:
        scene = renderer.scene(number, [{prompt: 1.0}])
        behind = (1 - scene.alpha[..., None]) * scene.surroundings.background
        unedited, styled = scene.original + behind, scene.foregrounds[0] + behind
        film = scene.surroundings.image.astype(np.float32) / 255
        fading = np.clip((brightness(styled) + 0.05) / (brightness(unedited) + 0.05), 0.4, 1)
        missing = (brightness(film) - brightness(unedited)) * fading
        shown = np.minimum(scene.surroundings.matte, scene.alpha)
        edits.append((number, styled + share * (missing * shown)[..., None]))
    return edits


@pytest.mark.parametrize("prompt", [HAIR, PAINTING])
@pytest.mark.parametrize("share", [0.0, 0.35, 1.0])
def test_the_share_that_edits_keep_is_found(renderer, prompt: EditPrompt, share: float) -> None:
    from stage2_nerf.kept_detail import measure_kept_detail

    edits = edits_that_keep(share, renderer, prompt)
    assert measure_kept_detail(renderer, prompt, edits) == pytest.approx(share, abs=1e-3)


def test_what_edits_differ_by_from_frame_to_frame_counts_for_nothing(renderer) -> None:
    from stage2_nerf.kept_detail import measure_kept_detail

    random = np.random.default_rng(0)
    edits = [
        (number, picture + random.normal(0, 0.05, picture.shape).astype(np.float32))
        for number, picture in edits_that_keep(0.5, renderer, PAINTING)
    ]
    assert measure_kept_detail(renderer, PAINTING, edits) == pytest.approx(0.5, abs=0.05)


def test_a_look_shows_fine_brightness_in_proportion_to_what_its_edits_keep(pipeline, renderer, tiny_clip) -> None:
    from stage2_nerf.frame_renderer import look_of
    from stage2_nerf.style_mix import style_name

    frame = list(VideoReader(Path(tiny_clip.source.path)))[FRAMES[0]].image
    style = pipeline.model.styles[style_name(PAINTING)]
    pictures = []
    for share in (0.0, 0.5, 1.0):
        style.kept_detail.fill_(share)
        pictures.append(renderer.render(FRAMES[0], frame, [look_of(PAINTING)])[0].astype(float))
    none, half, whole = pictures
    assert np.abs(whole - none).max() > 20
    inside = (np.minimum(none, whole) > 0) & (np.maximum(none, whole) < 255)
    assert np.abs(half - (none + whole) / 2)[inside].max() <= 1.5


def test_a_mix_keeps_its_styles_shares_by_their_weights_and_all_of_the_original(pipeline) -> None:
    from stage2_nerf.style_mix import style_name
    from stage2_nerf.styles import kept_detail_of

    styles = pipeline.model.styles
    styles[style_name(HAIR)].kept_detail.fill_(0.5)
    styles[style_name(PAINTING)].kept_detail.fill_(0.2)
    assert kept_detail_of(styles, {}) == 1
    assert kept_detail_of(styles, {style_name(PAINTING): 1.0}) == pytest.approx(0.2)
    mix = {style_name(HAIR): 0.5, style_name(PAINTING): 0.25}
    assert kept_detail_of(styles, mix) == pytest.approx(0.5 * 0.5 + 0.25 * 0.2 + 0.25)


def test_a_checkpoint_of_an_earlier_version_keeps_everything(pipeline) -> None:
    """They did not say how much their edits keep."""
    state = {key: value for key, value in pipeline.state_dict().items() if not key.endswith("kept_detail")}
    assert len(state) == len(pipeline.state_dict()) - 2
    for style in pipeline.model.styles.values():
        style.kept_detail.fill_(1.0)
    pipeline.load_pipeline(state, 0)
    assert all(float(style.kept_detail) == 1 for style in pipeline.model.styles.values())
