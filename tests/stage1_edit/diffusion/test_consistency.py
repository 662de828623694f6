"""Frames that are sampled together: what each strategy must leave alone, and what it must carry over."""

from dataclasses import replace

import pytest
import torch

from stage1_edit.choose_editor import EditorConfig, bare_editor, make_editor
from stage1_edit.consistency import BatchLayout, IndependentFrames
from stage1_edit.controlnet import ControlNet, ControlNetConfig
from stage1_edit.cross_frame_attention import CrossFrameAttention, CrossFrameProcessor, attend
from stage1_edit.diffusion_editor import DiffusionEditor
from stage1_edit.diffusion_weights import DiffusionModel
from stage1_edit.frame_geometry import FrameGeometry, frame_geometry
from stage1_edit.instruct_pix2pix import InstructPix2Pix, InstructPix2PixConfig
from stage1_edit.kept_anchors import load_anchors, save_anchors
from stage1_edit.sdedit import SDEdit, SDEditConfig
from stage1_edit.starting_noise import IndependentNoise, SharedNoise
from stage1_edit.token_flow import TokenFlow, TokenFlowProcessor, most_similar, nearest_keyframes, sample_tokens
from stage1_edit.warped_noise import WarpedNoise

SETTINGS = {"longer_side": 64, "sampling_steps": 3, "precision": "fp32"}
CONFIG = InstructPix2PixConfig(**SETTINGS)


class IdentityCorrespondences:
    """Everything is seen where it is."""

    def places(self, frame: int, source: int, grid: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        rows, columns = (torch.arange(count).add(0.5).div(count) for count in grid)
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        return torch.stack([x, y], -1), torch.ones(grid, dtype=torch.bool)


class UnknownCorrespondences(IdentityCorrespondences):
    """Nothing is known."""

    def places(self, frame: int, source: int, grid: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        places, seen = super().places(frame, source, grid)
        return places, torch.zeros_like(seen)


STRATEGIES = {
    "cross-frame": CrossFrameAttention(),
    "anchors alone": CrossFrameAttention(keep_own=False),
    "tokenflow": TokenFlow(IdentityCorrespondences()),
    "tokenflow by features": TokenFlow(UnknownCorrespondences()),
}


def editor_with(model: DiffusionModel, strategy=None, anchors: int = 1, config=CONFIG) -> DiffusionEditor:
    return DiffusionEditor(config, model, InstructPix2Pix(config, model), strategy, anchors=anchors)


def layout(frames: int = 3, anchors: int = 1, size: tuple[int, int] = (4, 6)) -> BatchLayout:
    return BatchLayout(frames, anchors, 2, size, list(range(frames)), [None] * frames)


def attention() -> torch.nn.Module:
    from diffusers.models.attention_processor import Attention

    torch.manual_seed(4)
    return Attention(query_dim=16, heads=2, dim_head=8).eval()


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
@pytest.mark.parametrize("level", [0.6, 1.0])
def test_identical_frames_stay_identical_and_as_if_edited_alone(instruct, ask, strategy, level: float) -> None:
    alone = editor_with(instruct).edit([ask(level, side=64)])[0]
    together = editor_with(instruct, strategy, anchors=2).edit(
        [ask(level, side=64, frame=number) for number in range(4)]
    )
    for edited in together:
        torch.testing.assert_close(edited, alone, atol=1e-4, rtol=0)


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_unlike_frames_are_changed_by_what_ties_them(instruct, ask, strategy) -> None:
    asked = [ask(0.9, side=64, picture=number, frame=number) for number in range(3)]
    alone = editor_with(instruct).edit(asked)
    asked = [ask(0.9, side=64, picture=number, frame=number) for number in range(3)]
    tied = editor_with(instruct, strategy).edit(asked)
    assert all((one - other).abs().max() > 1e-3 for one, other in zip(alone[1:], tied[1:], strict=True))
    # The anchor follows nobody.
    torch.testing.assert_close(tied[0], alone[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["instruct", "sdedit", "controlnet"])
@pytest.mark.parametrize("consistency", ["none", "cross-frame", "tokenflow"])
def test_every_strategy_composes_with_every_editor(instruct, describe, ask, head, name: str, consistency: str) -> None:
    """Identical frames with shared noise are one frame, whoever edits and whatever ties them."""
    model, method, settings = {
        "instruct": (instruct, InstructPix2Pix, CONFIG),
        "sdedit": (describe, SDEdit, SDEditConfig(**SETTINGS)),
        "controlnet": (describe, ControlNet, ControlNetConfig(**SETTINGS, controls=("depth", "landmarks"))),
    }[name]

    def edit(frames: int, **chosen) -> list[torch.Tensor]:
        config = EditorConfig(noise="shared", **chosen)
        asked = [ask(0.8, seed=number, side=64, frame=number, geometry=head()) for number in range(frames)]
        return make_editor(config, settings, model, method(settings, model)).edit(asked)

    (alone,) = edit(1)
    for edited in edit(3, consistency=consistency):
        torch.testing.assert_close(edited, alone, atol=1e-4, rtol=0)


def test_noise_is_warped_where_attention_ties_frames_together(instruct) -> None:
    def noise(**chosen) -> object:
        return make_editor(EditorConfig(**chosen), CONFIG, instruct, InstructPix2Pix(CONFIG, instruct)).noise

    assert isinstance(noise(consistency="tokenflow"), WarpedNoise)
    assert isinstance(noise(consistency="tokenflow", noise="shared"), SharedNoise)
    assert isinstance(noise(), IndependentNoise)


def test_a_clips_noise_is_the_same_in_every_run(instruct, tiny_clip) -> None:
    """A run that was interrupted goes on with other frames than it began with."""
    shapes = [frame_geometry(tiny_clip, int(frame)) for frame in tiny_clip.frames[[0, -1]]]

    def drawn(*geometry: FrameGeometry) -> torch.Tensor:
        config = EditorConfig("instruct-pix2pix", "tokenflow", instruct_pix2pix=CONFIG)
        editor = bare_editor(config, "instruct-pix2pix", instruct, tiny_clip)
        assert isinstance(editor, DiffusionEditor)
        return editor.noise.draw((4, 16, 16), [torch.Generator() for _ in geometry], geometry)

    assert torch.equal(drawn(*shapes)[1], drawn(shapes[1])[0])
    assert not torch.equal(drawn(*shapes)[0], drawn(shapes[1])[0])


def test_consistency_none_touches_no_processor(instruct, ask, monkeypatch) -> None:
    def touched(*arguments) -> None:
        raise AssertionError("a processor was put in")

    expected = editor_with(instruct).edit([ask(side=64), ask(side=64, picture=7)])
    monkeypatch.setattr(type(instruct.pipeline.unet), "set_attn_processor", touched)
    config = EditorConfig(consistency="none")
    editor = make_editor(config, CONFIG, instruct, InstructPix2Pix(CONFIG, instruct))
    assert isinstance(editor.consistency, IndependentFrames)
    for edited, own in zip(editor.edit([ask(side=64), ask(side=64, picture=7)]), expected, strict=True):
        assert torch.equal(edited, own)


def test_processors_are_taken_off_again_even_after_an_interrupt(instruct, ask, monkeypatch) -> None:
    unet = instruct.pipeline.unet
    before = dict(unet.attn_processors)
    editor_with(instruct, CrossFrameAttention()).edit([ask(side=64)])
    assert unet.attn_processors == before

    def interrupted(*arguments, **options) -> None:
        assert unet.attn_processors != before
        raise KeyboardInterrupt

    monkeypatch.setattr(unet, "forward", interrupted)
    with pytest.raises(KeyboardInterrupt):
        editor_with(instruct, CrossFrameAttention()).edit([ask(side=64)])
    assert unet.attn_processors == before


def test_only_attention_from_the_picture_to_itself_is_replaced(instruct) -> None:
    unet = instruct.pipeline.unet
    before = dict(unet.attn_processors)
    with CrossFrameAttention().applied([unet], layout()):
        replaced = {name for name, processor in unet.attn_processors.items() if processor is not before[name]}
    assert replaced == {name for name in before if "attn1" in name} and replaced


@pytest.mark.parametrize("strategy", [CrossFrameAttention(), TokenFlow(IdentityCorrespondences())])
def test_anchors_are_sampled_along_in_later_batches(instruct, ask, strategy) -> None:
    """A frame that comes later is tied to the same anchor as one that came together with it."""
    frames = [{"side": 64, "picture": number, "seed": number, "frame": number} for number in range(3)]
    together = editor_with(instruct, strategy).edit([ask(**frame) for frame in frames])
    editor = editor_with(instruct, strategy)
    apart = [editor.edit([ask(**frame)])[0] for frame in frames]
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
    # The anchor alone; then twice one frame with it; three branches, three steps.
    assert editor.network_evaluations == 9 + 18 + 18


@pytest.mark.parametrize("strategy", [CrossFrameAttention(), TokenFlow(IdentityCorrespondences())])
def test_what_an_interrupted_run_followed_is_followed_again(instruct, ask, strategy, tmp_path) -> None:
    """Stopped after the first batch of the second round, whose edits the anchors' next ones start from."""
    first = [ask(side=64, picture=number, seed=number, frame=number) for number in range(3)]
    # What was asked before draws on its generators, so everybody asks anew.
    again = [lambda n=number: ask(side=64, picture=n, seed=9 + n, frame=n, noise_level=0.5) for number in range(3)]
    editor = editor_with(instruct, strategy, anchors=2)
    editor.edit(first)
    editor.edit([again[0]()])
    save_anchors(tmp_path, editor.followed(first[0].prompt))
    expected = editor.edit([again[1](), again[2]()])
    resumed = editor_with(instruct, strategy, anchors=2)
    resumed.follow(load_anchors(tmp_path))
    for one, other in zip(resumed.edit([again[1](), again[2]()]), expected, strict=True):
        assert torch.equal(one, other)
    assert not editor.followed(ask(text="a jade bust").prompt), "another prompt's edits follow nothing yet"
    alone = editor_with(instruct, strategy, anchors=2).edit([again[1](), again[2]()])
    assert not torch.equal(alone[0], expected[0])


def test_where_nothing_was_followed_there_is_nothing_to_go_on_with(tmp_path) -> None:
    assert load_anchors(tmp_path) == []


def test_other_prompts_and_sizes_have_anchors_of_their_own(instruct, ask) -> None:
    editor = editor_with(instruct, CrossFrameAttention())
    first = editor.edit([ask(side=64)])[0]
    editor.edit([ask(side=64, text="a jade bust", picture=5), ask(side=48, picture=6)])
    torch.testing.assert_close(editor.edit([ask(side=64)])[0], first, atol=1e-4, rtol=0)


def test_the_default_attention_is_ours(instruct) -> None:
    attn, tokens, text = attention(), torch.randn(2, 24, 16), torch.randn(2, 5, 16)
    with torch.no_grad():
        torch.testing.assert_close(attend(attn, tokens, tokens), attn(tokens))
        torch.testing.assert_close(attend(attn, tokens, text), attn(tokens, encoder_hidden_states=text))


def test_cross_frame_attention_by_hand(tiny) -> None:
    """Each branch's frames look at that branch's anchors, and at themselves, each once."""
    attn, tokens = attention(), torch.randn(6, 24, 16)
    with torch.no_grad():
        ours = CrossFrameProcessor(layout(), keep_own=True)(attn, tokens)
        alone = CrossFrameProcessor(layout(), keep_own=False)(attn, tokens)
        for branch in (0, 3):
            for frame in range(3):
                anchor, own = tokens[branch : branch + 1], tokens[branch + frame : branch + frame + 1]
                both = torch.cat([anchor, own], 1) if frame else anchor
                torch.testing.assert_close(ours[branch + frame], attend(attn, own, both)[0])
                torch.testing.assert_close(alone[branch + frame], attend(attn, own, anchor)[0])


def test_tokenflow_with_identity_is_its_keyframes_features(tiny) -> None:
    """Frame 1 lies a quarter of the way from keyframe 0 to keyframe 4, and takes three quarters and one quarter."""
    attn, tokens = attention(), torch.randn(6, 24, 16)
    placed = replace(layout(anchors=2), numbers=[0, 4, 1])
    with torch.no_grad():
        flowed = TokenFlowProcessor(placed, IdentityCorrespondences())(attn, tokens).unflatten(0, (2, 3))
        joint = tokens.unflatten(0, (2, 3))[:, :2].flatten(1, 2)
        for key in range(2):
            torch.testing.assert_close(flowed[:, key], attend(attn, tokens.unflatten(0, (2, 3))[:, key], joint))
        torch.testing.assert_close(flowed[:, 2], 0.75 * flowed[:, 0] + 0.25 * flowed[:, 1], atol=1e-5, rtol=0)
        alone = TokenFlowProcessor(layout(), IdentityCorrespondences())(attn, tokens).unflatten(0, (2, 3))
        for frame in range(3):
            torch.testing.assert_close(alone[:, frame], alone[:, 0], atol=1e-5, rtol=0)


def test_tokenflow_by_features_finds_tokens_that_were_moved(tiny) -> None:
    """A frame whose tokens are the keyframe's in another order gets the keyframe's answers in that order."""
    attn, key = attention(), torch.randn(2, 24, 16)
    order = torch.randperm(24)
    tokens = torch.stack([key, key[:, order]], 1).flatten(0, 1)
    with torch.no_grad():
        processor = TokenFlowProcessor(layout(frames=2), UnknownCorrespondences())
        flowed = processor(attn, tokens).unflatten(0, (2, 2))
    assert torch.equal(most_similar(key[:, order], key), order)
    torch.testing.assert_close(flowed[:, 1], flowed[:, 0][:, order])


def test_keyframes_before_and_after_share_by_their_distance() -> None:
    assert nearest_keyframes([0, 10, 30, 15], 3, 3) == [(1, 0.75), (2, 0.25)]
    assert nearest_keyframes([10, 0, 3], 2, 2) == [(1, 0.7), (0, 0.3)]
    assert nearest_keyframes([0, 10, 12], 2, 2) == [(1, 1.0)]
    assert nearest_keyframes([0, 10, 10], 2, 2) == [(1, 1.0)]
    assert nearest_keyframes([None, 10, None], 2, 2) == [(0, 1.0)]


def test_tokens_are_read_as_a_picture() -> None:
    """Half a cell to the right of the second cell's centre lies the mean of the second and the third."""
    tokens = torch.arange(12.0).view(1, 12, 1)
    place = torch.tensor([[[2 / 4, 1.5 / 3]]])
    assert sample_tokens(tokens, (3, 4), place).item() == 5.5


def test_in_16_bits_too_a_token_is_read_from_its_own_place() -> None:
    grid = (48, 64)
    tokens = torch.randn(1, 48 * 64, 2, generator=torch.Generator().manual_seed(0)).bfloat16()
    places, _ = IdentityCorrespondences().places(0, 0, grid)
    read = sample_tokens(tokens, grid, places)
    assert read.dtype == torch.bfloat16
    torch.testing.assert_close(read.float(), tokens.float(), atol=1e-5, rtol=5e-3)


def test_layers_halve_rounding_up() -> None:
    assert [layout(size=(27, 32)).grid(tokens) for tokens in (864, 224, 56, 16)] == [(27, 32), (14, 16), (7, 8), (4, 4)]
