"""A field trained in one form of encoding, fitted again in another."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from stage2_nerf.canonical_field import CanonicalField, CanonicalFieldConfig
from stage2_nerf.encodings import BlendedEncodingConfig
from stage2_nerf.expression_track import pose_vectors
from stage2_nerf.refit import fit_other_encodings, form_of
from tracking.errors import UserError

BOX = torch.tensor([[-1.0, -1, -1], [1, 1, 1]])
EXPRESSIONS = torch.rand(12, 4, generator=torch.Generator().manual_seed(0))
SIZES = {"static_resolutions": (8, 16), "blended_resolution": 8, "hash_levels": 3, "hash_max_resolution": 20}


def model(kind):
    """What the re-fit sees of an avatar: two fields, their samplers' grids and colours, and the clip's motion."""
    torch.manual_seed(1)
    poses = torch.eye(4).expand(12, 4, 4).clone()
    poses[:, :3, 3] = 0.1 * torch.randn(12, 3)
    track = SimpleNamespace(expression_codes=EXPRESSIONS, head_to_torso=poses, mean_head_to_torso=torch.eye(4))
    avatar = nn.Module()
    conditions = {"head": EXPRESSIONS, "torso": pose_vectors(poses, torch.eye(4))}
    for part, condition in conditions.items():
        encoding = BlendedEncodingConfig(kind=kind, log2_hashmap_size=12, **SIZES)
        config = CanonicalFieldConfig(encoding=encoding, code_size=2, hidden_width=16, feature_size=8)
        avatar.add_module(f"{part}_field", CanonicalField(config, BOX, condition, None))
        avatar.add_module(f"{part}_colour", nn.Linear(8, 3))
        sampler = nn.Module()
        sampler.register_buffer("density", torch.ones(8, 8, 8))
        avatar.add_module(f"{part}_sampler", sampler)
    avatar.track, avatar.device = track, torch.device("cpu")
    return avatar


def opacities(field, conditions):
    positions = torch.rand(2000, 3, generator=torch.Generator().manual_seed(3)) * 2 - 1
    frame = torch.arange(2000) % len(conditions)
    with torch.no_grad():
        return 1 - torch.exp(-0.2 * field(positions, frame, field.blend(conditions))[0])


def trained(kind):
    """An avatar whose head is denser on one side, the more so with an expression."""
    avatar = model(kind)
    field = avatar.head_field
    with torch.no_grad():
        for parameter in field.encoding.parameters():
            parameter.mul_(0).add_(0.5 * torch.randn(parameter.shape))
    return avatar


@pytest.mark.parametrize(("source", "target"), [("hash", "planes"), ("planes", "hash")])
def test_a_checkpoint_of_one_form_becomes_one_of_the_other_that_looks_alike(source, target):
    teacher, student = trained(source), model(target)
    # What is taken over as it is: the codes' meaning.
    with torch.no_grad():
        teacher.head_field.condition_to_code.mul_(1.5)
    before = {f"_model.{key}": value.clone() for key, value in teacher.state_dict().items()}
    expected = opacities(teacher.head_field, EXPRESSIONS)
    untrained = (opacities(student.head_field, EXPRESSIONS) - expected).square().mean()
    after = fit_other_encodings(student, before, steps=80)
    student.load_state_dict({key.removeprefix("_model."): value for key, value in after.items()})
    assert form_of(student.head_field.state_dict()) == target
    assert torch.equal(student.head_field.condition_to_code, teacher.head_field.condition_to_code)
    assert (opacities(student.head_field, EXPRESSIONS) - expected).square().mean() < 0.25 * untrained


def test_a_checkpoint_of_the_same_form_is_left_alone():
    avatar = trained("planes")
    state = {f"_model.{key}": value for key, value in avatar.state_dict().items()}
    assert fit_other_encodings(model("planes"), state) is state


def test_hash_grids_read_in_a_wrong_order_are_refused():
    state = {f"_model.{key}": value.clone() for key, value in trained("hash").state_dict().items()}
    name = "_model.head_field.encoding.tables.0.params"
    state[name] = state[name].roll(8)
    with pytest.raises(UserError, match="laid out"):
        fit_other_encodings(model("planes"), state, steps=1)


def test_a_checkpoint_of_another_code_is_refused():
    state = {f"_model.{key}": value.clone() for key, value in trained("hash").state_dict().items()}
    state["_model.head_field.condition_to_code"] = torch.zeros(5, 4)
    with pytest.raises(UserError, match="does not fit"):
        fit_other_encodings(model("planes"), state, steps=1)
