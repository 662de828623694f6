from dataclasses import replace

import numpy as np
import pytest
import torch

from stage1_edit.effects_color import COLORS, MAKEUP, TONES
from stage1_edit.effects_light import LIGHTS
from stage1_edit.effects_material import CHARACTERS, MATERIALS
from stage1_edit.effects_style import STYLES
from stage1_edit.instructions import parse_instruction
from stage1_edit.offline_editor import OfflineEditor, OfflineEditorConfig
from stage1_edit.portrait import Portrait, hex_to_lab, to_lab
from stage1_edit.prompts import EditPrompt
from tracking.errors import UserError
from tracking.regions import Label

EVERYTHING = [
    *(f"hair: {name}" for name in COLORS),
    *(f"{region}: {tone}" for region in ("person", "clothes") for tone in TONES),
    *(f"very blue {part}" for part in ("eyes", "lips", "skin", "brows", "clothes")),
    *MAKEUP,
    "makeup",
    *MATERIALS,
    *CHARACTERS,
    *STYLES,
    *LIGHTS,
    "hair: marble",
    "face: pencil sketch",
    "slightly bronze statue with green eyes and red lipstick",
]


def edit(request) -> torch.Tensor:
    return OfflineEditor().edit([request])[0]


def hue(lab: np.ndarray) -> float:
    return float(np.degrees(np.arctan2(lab[..., 2].mean(), lab[..., 1].mean())))


@pytest.mark.parametrize("typed", EVERYTHING)
def test_an_effect_changes_its_region_and_nothing_else(typed: str, make_request, portrait: Portrait) -> None:
    request = make_request(typed)
    result = edit(request)
    assert result.shape == request.original.shape and result.dtype == request.original.dtype
    assert torch.isfinite(result).all() and result.min() >= 0 and result.max() <= 1
    allowed = np.zeros_like(portrait.matte)
    for effect in parse_instruction(request.prompt):
        allowed = np.maximum(allowed, portrait.weights(effect.region))
    changed = (result - request.original).abs().amax(dim=-1).numpy()
    assert (changed[allowed == 0] == 0).all()
    assert changed[allowed > 0.9].max() > 0.02


@pytest.mark.parametrize("color", ["blue", "ginger", "green", "pink", "purple", "teal"])
def test_hair_takes_on_the_hue_that_was_asked_for(color: str, make_request, portrait: Portrait) -> None:
    result = edit(make_request(f"make her hair {color}")).numpy()
    hair = portrait.weights("hair") > 0.95
    away = hue(to_lab(result)[hair]) - hue(hex_to_lab(COLORS[color]))
    assert abs((away + 180) % 360 - 180) < 15
    skin = (portrait.labels == Label.FACE_SKIN) & (portrait.weights("hair") == 0)
    np.testing.assert_array_equal(result[skin], portrait.image[skin])


def test_silver_hair_is_light_and_grey_and_keeps_its_strands(make_request, portrait: Portrait) -> None:
    hair = portrait.weights("hair") > 0.999
    before = portrait.lab[hair]
    after = to_lab(edit(make_request("hair: make it silver")).numpy())[hair]
    assert before[:, 0].mean() < 20 and after[:, 0].mean() > 60
    assert np.hypot(after[:, 1], after[:, 2]).mean() < 10
    assert np.corrcoef(before[:, 0], after[:, 0])[0, 1] > 0.9
    assert after[:, 0].std() > before[:, 0].std()


def test_eyes_are_dyed_in_the_iris_only(make_request, portrait: Portrait) -> None:
    result = edit(make_request("blue eyes")).numpy()
    eyes = portrait.labels == Label.EYES
    white = eyes & (portrait.lightness > 0.7)
    iris = eyes & (portrait.lightness < 0.3)
    moved = np.abs(to_lab(result) - portrait.lab)[..., 1:].max(axis=-1)
    assert moved[iris].mean() > 10 * moved[white].mean()


def test_a_statue_has_one_colour(make_request, portrait: Portrait) -> None:
    """Of what was brown, pink and blue-grey only lightness still differs: the hue spans a few degrees of bronze."""
    lab = to_lab(edit(make_request("turn him into a bronze statue")).numpy())[portrait.matte == 1]
    colored = lab[(lab[:, 0] > 20) & (lab[:, 0] < 85)]
    hues = np.degrees(np.arctan2(colored[:, 2], colored[:, 1]))
    assert np.percentile(hues, 95) - np.percentile(hues, 5) < 40
    assert 40 < np.median(hues) < 90


@pytest.mark.parametrize("material", MATERIALS)
def test_a_statues_face_keeps_its_lines(material: str, make_request, portrait: Portrait) -> None:
    """Brows, lips and open mouth stay darker than the skin, by which a face's expression is read."""
    lightness = to_lab(edit(make_request(material)).numpy())[..., 0] / 100

    def below_skin(plane: np.ndarray, label: Label) -> float:
        return float(np.median(plane[portrait.labels == Label.FACE_SKIN]) - np.median(plane[portrait.labels == label]))

    for label in (Label.BROWS, Label.LIPS, Label.MOUTH_INTERIOR):
        filmed = below_skin(portrait.lightness, label)
        assert below_skin(lightness, label) > 0.25 * filmed > 0, label.name
    face = portrait.weights("face") > 0.99
    assert np.corrcoef(lightness[face], portrait.lightness[face])[0, 1] > 0.85


def test_darker_and_lighter_are_so_and_slightly_is_less(make_request) -> None:
    original = make_request("darker").original
    levels = [edit(make_request(t)).mean() for t in ("very dark", "darker", "slightly darker", "slightly lighter")]
    assert levels[0] < levels[1] < levels[2] < original.mean() < levels[3] < edit(make_request("lighter")).mean()


def test_a_small_change_of_the_frame_makes_a_small_change_of_the_edit(make_request, portrait: Portrait) -> None:
    """Noise of one grey level must not be blown up, or the edited video would flicker."""
    noise = np.random.RandomState(0).uniform(-1, 1, portrait.image.shape).astype(np.float32) / 255
    noisy = np.clip(portrait.image + noise, 0, 1)
    for typed in ("hair: silver", "bronze statue", "marble", "cartoon", "oil painting", "pencil sketch", "old film"):
        request = make_request(typed)
        other = replace(request, original=torch.from_numpy(noisy))
        assert (edit(other) - edit(request)).abs().mean() < 0.02, typed


def test_noise_level_0_returns_the_render_and_1_ignores_it(make_request) -> None:
    still = make_request("bronze statue", noise_level=0.0)
    torch.testing.assert_close(edit(still), still.render, rtol=0, atol=0)
    one, other = (make_request("bronze statue", noise_level=1.0, render=render) for render in (0.1, 0.9))
    torch.testing.assert_close(edit(one), edit(other), rtol=0, atol=0)
    half = edit(make_request("bronze statue", noise_level=0.5))
    torch.testing.assert_close(half, (edit(one) + still.render) / 2)


def test_strength_0_leaves_the_original(make_request) -> None:
    request = make_request("bronze statue")
    (result,) = OfflineEditor(OfflineEditorConfig(strength=0.0)).edit([request])
    torch.testing.assert_close(result, request.original, rtol=0, atol=0)


def test_the_same_request_gives_the_same_picture(make_request) -> None:
    torch.testing.assert_close(edit(make_request("zombie")), edit(make_request("zombie")), rtol=0, atol=0)


def test_double_precision_stays_so(make_request) -> None:
    request = make_request("hair: blue")
    assert edit(replace(request, original=request.original.double())).dtype == torch.float64


def test_a_frame_without_hair_or_face_is_left_as_it_is(make_request) -> None:
    request = make_request("hair: blue")
    empty = replace(request, matte=torch.zeros_like(request.matte), labels=torch.zeros_like(request.labels))
    for typed in ("hair: blue", "bronze statue", "makeup", "zombie", "neon light"):
        blank = replace(empty, prompt=EditPrompt.parse(typed))
        torch.testing.assert_close(edit(blank), request.original, rtol=0, atol=0)


def test_a_prompt_is_checked_before_any_work() -> None:
    OfflineEditor().check(EditPrompt.parse("hair: make it silver"))
    with pytest.raises(UserError):
        OfflineEditor().check(EditPrompt.parse("make him sparkly"))
