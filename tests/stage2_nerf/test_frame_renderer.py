"""What a rendered frame shows: looks, regions, other people's motion, backdrops. The avatar is untrained on purpose."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from stage1_edit.compositing import region_weights
from stage1_edit.prompts import EditPrompt
from stage2_nerf.backdrop import Backdrop, parse_backdrop
from stage2_nerf.in_background import WriteBehind, read_ahead
from tracking.cameras import rigid_inverse
from tracking.clip import TrackedClip
from tracking.errors import UserError
from tracking.video import VideoReader

if TYPE_CHECKING:
    from stage2_nerf.frame_renderer import FrameRenderer

HAIR = EditPrompt("make it silver", "hair")
STATUE = EditPrompt("turn him into a bronze statue")
NUMBER = 5


@pytest.fixture(scope="module")
def model(tiny_preset, tiny_clip: TrackedClip):
    """An avatar with two styles that change every colour, each in its own way."""
    torch.manual_seed(0)
    config = deepcopy(tiny_preset.pipeline)
    config.datamanager.data = tiny_clip.root
    config.prompts = (HAIR, STATUE)
    model = config.setup(device="cpu", test_mode="inference").model
    for style in model.styles.values():
        for part in (style.head, style.torso):
            torch.nn.init.normal_(part.network[-1].weight, std=2.0)
    return model


@pytest.fixture(scope="module")
def renderer(model, tiny_clip: TrackedClip) -> "FrameRenderer":
    from stage2_nerf.frame_renderer import FrameRenderer

    return FrameRenderer(model, tiny_clip, detail=0.5)


@pytest.fixture(scope="module")
def frames(tiny_clip: TrackedClip) -> list:
    return list(VideoReader(Path(tiny_clip.source.path)))


def test_looks_shown_together_are_those_shown_alone(renderer, frames) -> None:
    from stage2_nerf.frame_renderer import Look, look_of

    looks = [look_of(None), look_of(STATUE), Look({HAIR: 0.25, STATUE: 0.5})]
    together = renderer.render(NUMBER, frames[NUMBER].image, looks)
    alone = [renderer.render(NUMBER, frames[NUMBER].image, [look])[0] for look in looks]
    np.testing.assert_array_equal(together, alone)
    assert (together[0] != together[1]).mean() > 0.05


def test_a_blend_of_one_is_the_pure_look_and_of_none_the_original(renderer, frames) -> None:
    from stage2_nerf.frame_renderer import Look, look_of

    image = frames[NUMBER].image
    whole, none, pure, original = renderer.render(
        NUMBER, image, [Look({STATUE: 1.0, HAIR: 0.0}), Look({STATUE: 0.0}), look_of(STATUE), look_of(None)]
    )
    np.testing.assert_array_equal(whole, pure)
    np.testing.assert_array_equal(none, original)


def test_a_cross_fade_has_no_jump(renderer, frames) -> None:
    """Twice as many steps are half as large, also where it begins and ends: from the original over a look for one
    region to one for the whole person."""
    from stage2_nerf.frame_renderer import Look, look_of

    image = frames[NUMBER].image

    def largest_changes(steps: int) -> tuple[float, float]:
        fractions = np.linspace(0, 1, steps + 1)[1:-1]
        begin = [look_of(HAIR) if share == 1 else Look({HAIR: float(share)}) for share in (0, *fractions, 1)]
        end = [Look({HAIR: float(1 - share), STATUE: float(share)}) for share in fractions]
        pictures = np.array(renderer.render(NUMBER, image, [*begin, *end, look_of(STATUE)])).astype(float)
        changes = np.abs(np.diff(pictures, axis=0)).mean(axis=(1, 2, 3))
        assert changes.min() > 0.2, "every step is one"
        return changes[:steps].max(), changes[steps:].max()

    for coarse, fine in zip(largest_changes(8), largest_changes(16), strict=True):
        assert fine < 0.6 * coarse


def test_each_region_takes_its_look_and_the_rest_stays_filmed(renderer, frames, tiny_clip: TrackedClip) -> None:
    from stage2_nerf.frame_renderer import Look, look_of

    image = frames[NUMBER].image
    mixed, statue = renderer.render(
        NUMBER, image, [Look(regions={"hair": {STATUE: 1.0}, "clothes": {}}), look_of(STATUE)]
    )
    labels, matte = tiny_clip.labels(NUMBER), tiny_clip.matte(NUMBER)
    shares = {name: region_weights(labels, matte, name) for name in ("hair", "clothes")}
    # The clip is smaller than its source, so pixels near a border are mixed.
    left, top, width, height = tiny_clip.source.crop
    rows = np.clip((np.arange(height) + 0.5) * labels.shape[0] / height, 0, labels.shape[0] - 1).astype(int)
    columns = np.clip((np.arange(width) + 0.5) * labels.shape[1] / width, 0, labels.shape[1] - 1).astype(int)
    import cv2

    kernel = np.ones((5, 5), np.uint8)
    place = np.s_[top : top + height, left : left + width]
    is_hair = cv2.erode(np.float32(shares["hair"] > 0.99), kernel)[rows][:, columns] > 0
    is_neither = cv2.dilate(shares["hair"] + shares["clothes"], kernel)[rows][:, columns] == 0
    assert is_hair.sum() > 100 and is_neither.sum() > 1000
    np.testing.assert_array_equal(mixed[place][is_neither], image[place][is_neither])
    assert np.abs(mixed[place][is_hair].astype(int) - statue[place][is_hair]).max() <= 1


def test_the_own_expression_and_pose_given_by_hand_change_nothing(model, renderer, tiny_clip: TrackedClip) -> None:
    from stage2_nerf.frame_renderer import Moment

    row = renderer.row_of_frame[NUMBER]
    own = Moment(tiny_clip.track.expression[NUMBER], rigid_inverse(tiny_clip.track.camera_to_head[NUMBER]))
    filmed, given = (renderer._outputs(row, [{}], moment) for moment in (Moment(), own))
    for name in ("foreground", "accumulation"):
        torch.testing.assert_close(given[name], filmed[name], atol=2e-4, rtol=0)


def test_expressions_that_the_clip_never_shows_stay_near_those_it_shows(model) -> None:
    seen = model.track.expression_codes
    field = model.head_field
    usual = field.codes(seen)
    far = field.blend(seen.mean(0, keepdim=True) + 50.0, seen=seen).codes
    span = usual.amax(0) - usual.amin(0)
    assert (far <= usual.amax(0) + 0.2 * span + 1e-5).all() and (far >= usual.amin(0) - 0.2 * span - 1e-5).all()
    # The clip's own are what they were, and mouths that it never shows come nearer to some that it does.
    torch.testing.assert_close(field.blend(seen, seen=seen).codes, usual, atol=1e-3, rtol=1e-3)
    mouth = field.parts[-1]
    of_mouths = (seen - seen.mean(0)) * mouth
    mixture = of_mouths.clone()
    mixture[:, ::2] = of_mouths.flip(0)[:, ::2]
    codes = [field.codes(values + seen.mean(0)) for values in (of_mouths, mixture)]
    drawn = field.blend(mixture + seen.mean(0), seen=seen).codes
    apart = [torch.cdist(one, codes[0]).amin(1).mean() for one in (codes[1], drawn)]
    assert apart[1] < 0.85 * apart[0]


def test_a_head_posed_as_it_never_was_leaves_the_torso_as_it_was_seen(model, renderer, monkeypatch) -> None:
    """Its codes for such poses broke the shoulders into shards."""
    from stage2_nerf.canonical_field import CanonicalField
    from stage2_nerf.expression_track import pose_vectors

    made, blend = [], CanonicalField.blend

    def noted(field, *arguments, **keywords):
        blended = blend(field, *arguments, **keywords)
        if field is model.torso_field:
            made.append(blended.codes)
        return blended

    monkeypatch.setattr(CanonicalField, "blend", noted)
    far = torch.eye(4)
    far[:3, 3] = 20.0
    model.render_frame(renderer.cameras[:1], head_to_torso=far, looks=[{}])
    seen = model.torso_field.codes(pose_vectors(model.track.head_to_torso, model.track.mean_head_to_torso))
    room = 0.16 * (seen.amax(0) - seen.amin(0)) + 1e-5
    assert ((made[0] <= seen.amax(0) + room) & (made[0] >= seen.amin(0) - room)).all()


def test_a_head_elsewhere_is_seen_elsewhere_while_the_torso_stays(renderer, tiny_clip: TrackedClip) -> None:
    from stage2_nerf.frame_renderer import Moment

    row = renderer.row_of_frame[NUMBER]
    pose = rigid_inverse(tiny_clip.track.camera_to_head[NUMBER])
    moved = pose.copy()
    moved[0, 3] += 6.0
    filmed, aside = (
        renderer._outputs(row, [{}], Moment(head_to_camera=where))["accumulation"][..., 0].numpy()
        for where in (pose, moved)
    )
    size = filmed.shape[1]
    shift = 6.0 / -pose[2, 3] * tiny_clip.intrinsics.focal_length
    columns = np.arange(size)
    top = slice(0, filmed.shape[0] // 3)
    center = [float((mask[top] * columns).sum() / mask[top].sum()) for mask in (filmed, aside)]
    assert 0.5 * shift < center[1] - center[0] < 1.5 * shift


def test_with_a_backdrop_nothing_of_the_scene_is_left(model, tiny_clip: TrackedClip, frames) -> None:
    from stage2_nerf.frame_renderer import FrameRenderer, look_of

    image = frames[NUMBER].image
    height, width = image.shape[:2]
    green = FrameRenderer(model, tiny_clip, 0.0, parse_backdrop("#00ff00", width, height))
    picture = green.render(NUMBER, image, [look_of(STATUE)])[0]
    assert (picture[0, 0] == [0, 255, 0]).all()
    cut_out = FrameRenderer(model, tiny_clip, 0.0, Backdrop("alpha")).render(NUMBER, image, [look_of(STATUE)])[0]
    assert cut_out.shape == (height, width, 4)
    over = cut_out[..., :3] * (cut_out[..., 3:] / 255) + np.array([0, 255, 0]) * (1 - cut_out[..., 3:] / 255)
    assert np.abs(over - picture).max() <= 2


def test_a_run_renders_the_video_of_every_prompt(model, tiny_clip: TrackedClip, frames, tmp_path: Path) -> None:
    from stage2_nerf.run_diary import RunDiary

    written = RunDiary(tmp_path, None).render(model, tiny_clip, (HAIR, STATUE))
    assert [path.name for path in written] == ["1-hair-make-it-silver.mp4", "2-turn-him-into-a-bronze-statue.mp4"]
    for path in written:
        assert [frame.timestamp for frame in VideoReader(path)] == [frame.timestamp for frame in frames]
    # A source that has gone costs the video alone.
    gone = replace(tiny_clip, source=replace(tiny_clip.source, path=str(tmp_path / "gone.mp4")))
    assert RunDiary(tmp_path, None).render(model, gone, (HAIR,)) == []


def test_frames_without_the_person_stay_as_they_are(model, tiny_clip: TrackedClip, frames) -> None:
    from stage2_nerf.frame_renderer import FrameRenderer, look_of

    tracked = tiny_clip.track.tracked.copy()
    tracked[NUMBER] = False
    missing = replace(tiny_clip, track=replace(tiny_clip.track, tracked=tracked))
    renderer = FrameRenderer(model, missing)
    np.testing.assert_array_equal(
        renderer.render(NUMBER, frames[NUMBER].image, [look_of(None)])[0], frames[NUMBER].image
    )


def test_a_clip_that_drives_itself_moves_as_it_does(tiny_clip: TrackedClip, frames) -> None:
    from stage2_nerf.render_motion import DrivenMotion, ExpressionChange

    motion = DrivenMotion(tiny_clip, tiny_clip, "both", ExpressionChange())
    assert motion.frame_count == len(frames)
    for frame in frames:
        ((timestamp, _, moment),) = motion.at(frame)
        assert timestamp == frame.timestamp
        np.testing.assert_allclose(moment.expression, tiny_clip.track.expression[frame.index], atol=0.35)
        own = rigid_inverse(tiny_clip.track.camera_to_head[frame.index])
        np.testing.assert_allclose(moment.head_to_camera, own, atol=1e-6)


def test_a_longer_driver_slows_the_scene_down_and_every_frame_is_written(tiny_clip: TrackedClip, frames) -> None:
    from stage2_nerf.render_motion import DrivenMotion, ExpressionChange

    few = tiny_clip.track.tracked.copy()
    few[8:] = False
    short = replace(tiny_clip, track=replace(tiny_clip.track, tracked=few))
    motion = DrivenMotion(short, tiny_clip, "expression", ExpressionChange())
    planned = [entry for frame in frames for entry in motion.at(frame)]
    assert [timestamp for timestamp, _, _ in planned] == [frame.timestamp for frame in frames]
    assert all(moment.head_to_camera is None for _, _, moment in planned)


def test_held_and_scaled_expressions_arrive(tiny_clip: TrackedClip, frames) -> None:
    from stage2_nerf.render_motion import ExpressionChange, OwnMotion

    reader = VideoReader(Path(tiny_clip.source.path))
    jaw = tiny_clip.track.expression_names.index("jawOpen")
    ((_, _, moment),) = OwnMotion(tiny_clip, reader, ExpressionChange(held={"jawOpen": 0.7})).at(frames[3])
    assert moment.expression[jaw] == 0.7
    ((_, _, moment),) = OwnMotion(tiny_clip, reader, ExpressionChange()).at(frames[3])
    assert moment.expression is None
    with pytest.raises(UserError, match="no expression 'jaw'"):
        OwnMotion(tiny_clip, reader, ExpressionChange(held={"jaw": 0.7}))


def test_reading_ahead_keeps_the_order_and_tells_of_failures() -> None:
    assert list(read_ahead(range(50))) == list(range(50))

    def failing():
        yield 1
        raise UserError("the file ends here")

    read = []
    with pytest.raises(UserError, match="ends here"):
        read += read_ahead(failing())
    # Whoever stops early does not leave a thread waiting.
    for number in read_ahead(range(10**9)):
        if number == 3:
            break


def test_work_behind_is_done_in_order_and_its_failure_is_told() -> None:
    done: list[int] = []
    with WriteBehind() as behind:
        for number in range(20):
            behind.do(done.append, number)
    assert done == list(range(20))

    def fail() -> None:
        raise UserError("the disk is full")

    with pytest.raises(UserError, match="disk is full"), WriteBehind() as behind:
        for _ in range(20):
            behind.do(fail)


def test_another_expression_keeps_the_detail_of_hair_and_clothes_alone(model, tiny_clip: TrackedClip, frames) -> None:
    from stage2_nerf.frame_renderer import FrameRenderer, Moment, look_of

    other = Moment(tiny_clip.track.expression[NUMBER] + 0.2)
    full, none = (
        FrameRenderer(model, tiny_clip, detail).render(NUMBER, frames[NUMBER].image, [look_of(None)], other)[0]
        for detail in (1.0, 0.0)
    )
    left, top, width, height = tiny_clip.source.crop
    labels, matte = tiny_clip.labels(NUMBER), tiny_clip.matte(NUMBER)
    import cv2

    def at_source(mask: np.ndarray) -> np.ndarray:
        return cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST) > 0

    kernel = np.ones((5, 5), np.uint8)
    shares = region_weights(labels, matte, "hair") + region_weights(labels, matte, "clothes")
    place = np.s_[top : top + height, left : left + width]
    changed = (full[place] != none[place]).any(axis=-1)
    assert changed[at_source(cv2.erode((shares > 0.99).astype(np.float32), kernel))].mean() > 0.5
    assert not changed[~at_source(cv2.dilate(shares, kernel))].any()


def test_a_timelines_cross_fade_has_no_flash(renderer, frames) -> None:
    """From frame to frame of a still picture no pixel changes by more than its share of the way between the looks."""
    from stage2_nerf.render_looks import choose_looks

    fade, rate = 0.4, 25
    looks = choose_looks(None, None, ("0=original", "1=statue", "2=silver"), fade, None, [HAIR, STATUE])
    moments = np.arange(0, 3, 1 / rate)
    pictures = np.array(renderer.render(NUMBER, frames[NUMBER].image, [looks.at(moment)[0] for moment in moments]), int)
    changes = np.abs(np.diff(pictures, axis=0)).max(axis=(1, 2, 3))
    shown = pictures[[0, round(1.5 * rate), -1]]
    whole = np.abs(np.diff(shown, axis=0)).max(axis=(1, 2, 3))
    assert whole.min() > 30
    # A look of one region is mixed in colour and in reach, so a fade to it is up to twice as fast at its other end, and
    # some more where the two looks lie on either side of the original. A jump would be all of the way, or half.
    even = 1 / (fade * rate)
    assert changes.max() <= 3 * even * whole.max()
    means, ways = (np.abs(np.diff(some, axis=0)).mean(axis=(1, 2, 3)) for some in (pictures, shown))
    assert means.max() <= 2 * even * ways.max()
    still = np.abs(moments[:-1] + 0.5 / rate - np.array([[1.0], [2.0]])).min(axis=0) > fade / 2 + 1 / rate
    assert changes[still].max() == 0 and (changes[~still] > 0).sum() >= 2 * (fade * rate - 2)


def test_a_swung_camera_shows_no_far_side_and_the_filmed_view_all(model, renderer) -> None:
    from stage2_nerf.frame_renderer import Moment
    from stage2_nerf.orbit import orbited

    row = renderer.row_of_frame[NUMBER]
    camera = renderer.cameras[row : row + 1]
    filmed = renderer._outputs(row, [{}], Moment(yaw=0.0))["accumulation"]
    assert torch.equal(filmed, model.render_frame(camera)["accumulation"])
    everything = model.render_frame(orbited(camera, model.head_field.box.mean(0), 25.0))["accumulation"]
    shown = renderer._outputs(row, [{}], Moment(yaw=25.0))["accumulation"]
    # An untrained avatar is fog, of which the far half is missing.
    assert (shown - everything).max() < 0.05
    assert shown.mean() < 0.95 * everything.mean()
