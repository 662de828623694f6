"""Pasting back is exact: untouched pixels keep their bits, opaque ones take the avatar's, bare ones the scene's."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from stage2_nerf.backdrop import Backdrop
from stage2_nerf.paste_back import (
    FADE,
    LEAST_OPACITY,
    LUMINANCE,
    REACH,
    CropSurroundings,
    RenderedCrop,
    paste_back,
    seen_background,
)

HEIGHT, WIDTH = 40, 48
WHOLE = (0, 0, WIDTH, HEIGHT)
PERSON = (slice(10, 40), slice(14, 34))


def random_picture(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)


def random_frame(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def plane(value: float = 0.0) -> np.ndarray:
    """One where the person is, and `value` elsewhere."""
    values = np.full((HEIGHT, WIDTH), value, np.float32)
    values[PERSON] = 1
    return values


def opaque_avatar(colour: np.ndarray, unedited: np.ndarray | None = None) -> RenderedCrop:
    """An avatar that covers exactly the person."""
    alpha = plane()
    original = colour if unedited is None else unedited
    return RenderedCrop(colour * alpha[..., None], original * alpha[..., None], alpha)


def surroundings(background: np.ndarray | None = None) -> CropSurroundings:
    """A hard matte around the person, all of which may be edited."""
    shown = np.zeros((HEIGHT, WIDTH, 3), np.float32) if background is None else background
    return CropSurroundings(plane(), shown, np.ones((HEIGHT, WIDTH), np.float32), random_frame(9))


def to_levels(picture: np.ndarray) -> np.ndarray:
    return np.rint(picture * 255).astype(np.uint8)


@pytest.mark.parametrize("detail", [0.0, 1.0])
def test_pixels_without_person_and_avatar_keep_their_bits(detail: float) -> None:
    frame = random_frame()
    before = frame.copy()
    result = paste_back(frame, WHOLE, opaque_avatar(random_picture(1)), surroundings(random_picture(2)), detail)
    np.testing.assert_array_equal(result[plane() == 0], frame[plane() == 0])
    assert (result[PERSON] != frame[PERSON]).mean() > 0.5
    np.testing.assert_array_equal(frame, before)


@pytest.mark.parametrize("detail", [0.0, 1.0])
def test_pixels_outside_of_the_region_keep_their_bits(detail: float) -> None:
    frame = random_frame()
    region = np.zeros((HEIGHT, WIDTH), np.float32)
    region[12:20, 18:30] = 1
    around = replace(surroundings(), region=region)
    result = paste_back(frame, WHOLE, opaque_avatar(random_picture(1)), around, detail)
    np.testing.assert_array_equal(result[region == 0], frame[region == 0])
    assert (result[region == 1] != frame[region == 1]).mean() > 0.5


def test_fog_does_not_touch_the_background() -> None:
    """Neither where it is thin, nor where it is dense but far from the person."""
    frame = random_frame()
    fog = plane(0.9 * LEAST_OPACITY)
    fog[:, : PERSON[1].start - round(REACH * HEIGHT) - 1] = 0.8
    rendered = RenderedCrop(random_picture(1) * fog[..., None], random_picture(2) * fog[..., None], fog)
    result = paste_back(frame, WHOLE, rendered, surroundings(), 1.0)
    np.testing.assert_array_equal(result[plane() == 0], frame[plane() == 0])


def test_an_avatar_that_stands_out_fades_into_the_background() -> None:
    """Beyond the person's outline, within reach of it: the farther out, the less of it shows."""
    height, width = 200, 100
    person = np.zeros((height, width), np.float32)
    person[100:] = 1
    alpha = np.ones_like(person)
    colour = np.full((height, width, 3), 0.5, np.float32)
    frame = np.zeros((height, width, 3), np.uint8)
    around = CropSurroundings(person, np.zeros_like(colour), np.ones_like(person), frame)
    result = paste_back(frame, (0, 0, width, height), RenderedCrop(colour, colour, alpha), around, 0.0)
    outside = np.arange(100, 0, -1)
    shown = 0.5 * np.clip(1 - outside / (REACH * height), 0, 1)
    np.testing.assert_allclose(result[:100, 50, 0], 255 * shown, atol=0.51 + 255 * 0.5 * 0.02)
    np.testing.assert_array_equal(result[100:], 128)


def test_an_opaque_avatar_without_detail_is_its_own_colour() -> None:
    colour = random_picture(1)
    result = paste_back(random_frame(), WHOLE, opaque_avatar(colour), surroundings(), 0.0)
    np.testing.assert_array_equal(result[PERSON], to_levels(colour)[PERSON])


@pytest.mark.parametrize("detail", [0.0, 1.0])
def test_where_the_silhouette_shrank_the_background_shows(detail: float) -> None:
    background = random_picture(2)
    rendered = opaque_avatar(random_picture(1))
    gone = (slice(10, 20), slice(14, 34))
    for picture in (rendered.foreground, rendered.original_foreground, rendered.alpha):
        picture[gone] = 0
    result = paste_back(random_frame(), WHOLE, rendered, surroundings(background), detail)
    np.testing.assert_array_equal(result[gone], to_levels(background)[gone])


def test_half_opaque_pixels_are_mixed_by_their_opacity() -> None:
    """Premultiplied colour over the background; LEAST_OPACITY is cut off at either end, so 0.5 stays 0.5."""
    colour, background = random_picture(1), random_picture(2)
    alpha = 0.5 * plane()
    rendered = RenderedCrop(colour * alpha[..., None], colour * alpha[..., None], alpha)
    result = paste_back(random_frame(), WHOLE, rendered, surroundings(background), 0.0)
    expected = 255 * (0.5 * colour + 0.5 * background)
    assert np.abs(result[PERSON] - expected[PERSON]).max() <= 0.51


def test_full_detail_in_the_unchanged_style_returns_the_filmed_brightness() -> None:
    """Detail is a difference in brightness: what the avatar got wrong in that alone comes back exactly."""
    filmed = 0.3 + 0.4 * random_picture(0)
    too_bright = filmed + 0.2 * np.random.default_rng(1).random((HEIGHT, WIDTH, 1), dtype=np.float32)
    frame = to_levels(filmed)
    result = paste_back(frame, WHOLE, opaque_avatar(too_bright), surroundings(), 1.0)
    assert np.abs(result[PERSON].astype(int) - frame[PERSON]).max() <= 1


def test_full_detail_keeps_the_avatars_colour() -> None:
    """An edit to another hue of the same brightness keeps hue, and takes over the filmed fine brightness."""
    unedited = np.full((HEIGHT, WIDTH, 3), 0.5, np.float32)
    tint = np.array([0.1, 0.0, 0.0], np.float32)
    tint = tint - tint @ LUMINANCE
    fine = 0.1 * (np.random.default_rng(1).random((HEIGHT, WIDTH, 1), dtype=np.float32) - 0.5)
    frame = to_levels(unedited + fine)
    result = paste_back(frame, WHOLE, opaque_avatar(unedited + tint, unedited), surroundings(), 1.0)
    expected = 255 * (unedited + tint + fine)
    assert np.abs(result[PERSON] - expected[PERSON]).max() <= 1.01


def test_detail_is_put_back_in_proportion() -> None:
    frame = random_frame()
    rendered = opaque_avatar(np.full((HEIGHT, WIDTH, 3), 0.5, np.float32))
    none, half, full = (
        paste_back(frame, WHOLE, rendered, surroundings(), detail)[PERSON].astype(int) for detail in (0.0, 0.5, 1.0)
    )
    unclipped = (full > 0) & (full < 255)
    assert np.abs(2 * half - none - full)[unclipped].max() <= 2


def test_on_what_was_made_brighter_detail_is_no_stronger_than_filmed() -> None:
    """The film's noise is part of it: four times as bright a look must not show four times the noise."""
    ripple = 0.1 + 0.05 * (np.indices((HEIGHT, WIDTH)).sum(axis=0) % 2)
    frame = to_levels(np.repeat(ripple[..., None], 3, axis=-1))
    avatar = opaque_avatar(np.full((HEIGHT, WIDTH, 3), 0.6, np.float32), np.full((HEIGHT, WIDTH, 3), 0.125, np.float32))
    result = paste_back(frame, WHOLE, avatar, surroundings(), 1.0).astype(int)
    assert np.ptp(result[PERSON]) == np.ptp(frame[PERSON].astype(int)) == 12
    assert abs(result[PERSON].mean() - 0.6 * 255) < 1


def test_the_crop_lies_where_it_was_cut() -> None:
    left, top = 7, 5
    frame = random_frame(3, HEIGHT + 20, WIDTH + 30)
    colour = random_picture(1)
    result = paste_back(frame, (left, top, WIDTH, HEIGHT), opaque_avatar(colour), surroundings(), 0.0)
    person = np.zeros(frame.shape[:2], bool)
    person[top : top + HEIGHT, left : left + WIDTH] = plane() == 1
    np.testing.assert_array_equal(result[~person], frame[~person])
    # The person is cut by the crop's lower edge.
    inside = np.s_[PERSON[0].start : PERSON[0].stop - 2, PERSON[1]]
    moved = result[top : top + HEIGHT, left : left + WIDTH]
    np.testing.assert_array_equal(moved[inside], to_levels(colour)[inside])


@pytest.mark.parametrize("side", range(4))
def test_the_avatar_fades_toward_an_edge_amid_the_person_and_not_toward_the_frames(side: int) -> None:
    """A white avatar all over the crop, in a black frame that goes on beyond one edge."""
    size, more = 100, 20
    frame = np.zeros((size + more * (side < 2), size + more * (side >= 2), 3), np.uint8)
    crop = (more if side == 2 else 0, more if side == 0 else 0, size, size)
    everywhere = np.ones((size, size), np.float32)
    white = np.ones((size, size, 3), np.float32)
    around = CropSurroundings(everywhere, 0 * white, everywhere, np.zeros((size, size, 3), np.uint8))
    result = paste_back(frame, crop, RenderedCrop(white, white, everywhere), around, 0.0)
    toward = np.rot90(result[crop[1] : crop[1] + size, crop[0] : crop[0] + size, 0], (2, 0, 1, 3)[side])
    margin = round(FADE * size)
    assert (toward[:-margin] == 255).all()
    assert (toward == toward[:, :1]).all()
    falling = toward[-margin:, 0].astype(int)
    assert (np.diff(falling) < 0).all() and falling[-1] < 30


@pytest.mark.parametrize("scale", [2.0, 1.75])
def test_an_enlarged_crop_keeps_what_is_far_from_the_person_and_fills_the_person(scale: float) -> None:
    """Enlarging blurs the silhouette by one pixel of the clip, and no further."""
    width, height = round(scale * WIDTH), round(scale * HEIGHT)
    frame = random_frame(3, height + 10, width + 10)
    colour = np.full((HEIGHT, WIDTH, 3), 0.25, np.float32)
    result = paste_back(frame, (4, 6, width, height), opaque_avatar(colour), surroundings(), 0.0)
    near, deep = (
        cv2.resize(grow(plane(), np.ones((3, 3))), (width, height), interpolation=cv2.INTER_NEAREST) > 0
        for grow in (cv2.dilate, cv2.erode)
    )
    touched = np.zeros(frame.shape[:2], bool)
    touched[6 : 6 + height, 4 : 4 + width] = near
    np.testing.assert_array_equal(result[~touched], frame[~touched])
    # The crop's lower edge lies amid the person.
    deep[-round(0.05 * height) :] = False
    np.testing.assert_array_equal(result[6 : 6 + height, 4 : 4 + width][deep], 64)


def coloured(colour: tuple[int, int, int]) -> Backdrop:
    return Backdrop("picture", np.broadcast_to(np.array(colour, np.uint8), (HEIGHT, WIDTH, 3)))


def test_a_backdrop_is_all_there_is_outside_of_the_person() -> None:
    colour = random_picture(1)
    result = paste_back(random_frame(), WHOLE, opaque_avatar(colour), surroundings(), 0.0, coloured((10, 200, 30)))
    np.testing.assert_array_equal(result[plane() == 0], np.broadcast_to([10, 200, 30], (int((plane() == 0).sum()), 3)))
    np.testing.assert_array_equal(result[PERSON], to_levels(colour)[PERSON])


def test_what_an_edit_leaves_alone_is_cut_out_of_the_source() -> None:
    """A half clear pixel of the person over black, seen in front of white."""
    person = random_picture(1)
    frame = to_levels(0.5 * person)
    region = np.zeros((HEIGHT, WIDTH), np.float32)
    around = replace(surroundings(), region=region, matte=0.5 * plane())
    result = paste_back(frame, WHOLE, opaque_avatar(person), around, 0.0, coloured((255, 255, 255)))
    own = np.minimum(frame[PERSON] / 255, 0.5)
    assert np.abs(result[PERSON] - 255 * (own + 0.5)).max() <= 0.51


def test_opacity_is_the_avatars_and_colours_are_not_multiplied_by_it() -> None:
    colour = np.full((HEIGHT, WIDTH, 3), 0.5, np.float32)
    alpha = 0.5 * plane()
    rendered = RenderedCrop(colour * alpha[..., None], colour * alpha[..., None], alpha)
    result = paste_back(random_frame(), WHOLE, rendered, surroundings(), 0.0, Backdrop("alpha"))
    assert (result[PERSON] == [128, 128, 128, 128]).all()
    assert (result[plane() == 0] == 0).all()


def test_the_plate_stands_in_for_the_filmed_scene() -> None:
    plate = random_picture(5)
    around = replace(surroundings(), plate=plate)
    result = paste_back(random_frame(), WHOLE, opaque_avatar(random_picture(1)), around, 0.0, Backdrop("plate"))
    np.testing.assert_array_equal(result[plane() == 0], to_levels(plate)[plane() == 0])


def test_the_whole_layer_over_the_filmed_scene_is_what_is_pasted_back() -> None:
    """Laid over the frame's own background, the cut-out person is the ordinary result."""
    background = random_picture(2)
    alpha = 0.7 * plane()
    colour = random_picture(1)
    rendered = RenderedCrop(colour * alpha[..., None], colour * alpha[..., None], alpha)
    frame = to_levels(np.where(plane()[..., None] == 1, random_picture(3), background))
    ordinary = paste_back(frame, WHOLE, rendered, surroundings(background), 0.3)
    over = paste_back(frame, WHOLE, rendered, surroundings(background), 0.3, Backdrop("picture", to_levels(background)))
    assert np.abs(ordinary.astype(int) - over).max() <= 1


def partly_covered(seed: int) -> tuple[np.ndarray, ...]:
    """Pixels of a film made of a known person and background, with the matte and the person's colour."""
    generator = np.random.default_rng(seed)
    matte = generator.random((500, 1), dtype=np.float32)
    matte[:50], matte[50:100] = 0, 1
    person, background = generator.random((2, 500, 3), dtype=np.float32)
    return matte * person + (1 - matte) * background, matte, person, background


def test_a_background_guessed_rightly_is_kept() -> None:
    filmed, matte, person, background = partly_covered(20)
    seen, clear = seen_background(filmed, matte, person, background), matte[:, 0] < 0.9
    np.testing.assert_allclose(seen[clear], background[clear], atol=1e-5)


def test_a_background_guessed_wrongly_is_seen_where_the_matte_is_thin() -> None:
    filmed, matte, person, background = partly_covered(30)
    guess = np.random.default_rng(99).random(filmed.shape, dtype=np.float32)
    seen = seen_background(filmed, matte, person, guess)
    np.testing.assert_array_equal(seen[matte[:, 0] == 0], filmed[matte[:, 0] == 0])
    np.testing.assert_allclose(seen[matte[:, 0] == 1], guess[matte[:, 0] == 1], atol=1e-6)
    thin = (matte[:, 0] > 0) & (matte[:, 0] < 0.1)
    assert np.abs(seen - background)[thin].mean() < 0.4 * np.abs(guess - background)[thin].mean()
    assert (seen >= np.minimum(filmed, guess) - 1e-6).all() and (seen <= np.maximum(filmed, guess) + 1e-6).all()


def test_a_moved_avatar_leaves_nothing_of_the_person_behind() -> None:
    """Where somebody was filmed and the avatar is not, the guess shows, though the film shows half a person."""
    around = surroundings(np.full((HEIGHT, WIDTH, 3), 0.25, np.float32))
    around = replace(around, matte=0.5 * plane(), is_filmed_view=False)
    empty = np.zeros((HEIGHT, WIDTH), np.float32)
    nobody = RenderedCrop(np.repeat(empty[..., None], 3, -1), np.repeat(empty[..., None], 3, -1), empty)
    result = paste_back(random_frame(), WHOLE, nobody, around, 0.0)
    np.testing.assert_array_equal(result[PERSON], 64)
