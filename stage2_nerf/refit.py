"""A field trained in one form of encoding, fitted again in another: a run trained on a GPU, taken to a laptop.

Hash grids that tiny-cuda-nn trained can be read without it, but slowly. So a checkpoint whose fields are described in
another form than this run's is not only read: this run's encoding and decoder are fitted to what the checkpoint's say,
at points and expressions like those that they were trained with (distillation, Hinton et al. 2015). Motion, sampling,
colours and styles are taken over as they are. The same goes from planes to hash grids.
"""

from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import track
from torch import Tensor, nn

from stage2_nerf.canonical_field import CanonicalField
from stage2_nerf.encodings import BlendedEncodingConfig, BlendedHashGrids
from stage2_nerf.expression_track import pose_vectors
from stage2_nerf.portrait_model import PortraitModel
from tracking.console import say
from tracking.errors import UserError

REFIT_STEPS = 1500
"""Steps of fitting, of each field."""
REFIT_POINTS = 4096
"""Points that a step looks at."""
REFIT_MOMENTS = 4
"""Expressions that a step looks at."""
STRETCHES = (0.02, 0.2)
"""Lengths in scene units over which opacity has to agree: what is thin shows in the long one, what is dense in the
short one."""


def fit_other_encodings(
    model: PortraitModel, state: dict[str, Any], prefix: str = "_model.", steps: int = REFIT_STEPS
) -> dict[str, Any]:
    """A checkpoint, its fields described in the form that the model's are; itself where they already are.

    Args:
        model: as the run builds it.
        state: the checkpoint's.
        prefix: what the model's keys begin with there.
        steps: of fitting, of each field whose form is another.

    Raises:
        UserError: the checkpoint's hash grids cannot be read here, or do not fit this run.
    """
    head_poses = pose_vectors(model.track.head_to_torso, model.track.mean_head_to_torso)
    for part, conditions in (("head", model.track.expression_codes), ("torso", head_poses)):
        field: CanonicalField = getattr(model, f"{part}_field")
        key = f"{prefix}{part}_field."
        own = {name.removeprefix(key): value for name, value in state.items() if name.startswith(key)}
        theirs, ours = form_of(own), form_of(field.state_dict())
        if theirs is None or ours is None or theirs == ours == "planes":
            continue
        teacher = read_field(field, theirs, own)
        if theirs == ours:
            continue
        say(CONSOLE, f"The checkpoint describes the {part} by {NAMES[theirs]}, this run by {NAMES[ours]}: fitted anew.")
        student = deepcopy(field)
        kept = {name: value for name, value in own.items() if not name.startswith(("encoding.", "decoder."))}
        student.load_state_dict(kept, strict=False)
        colour: nn.Linear = deepcopy(getattr(model, f"{part}_colour"))
        colour.load_state_dict({name: state[f"{prefix}{part}_colour.{name}"] for name in ("weight", "bias")})
        density = state[f"{prefix}{part}_sampler.density"].to(model.device)
        distil(teacher, student, conditions, density, colour, steps, part)
        state = {name: value for name, value in state.items() if not name.startswith(key)}
        state.update({key + name: value for name, value in student.state_dict().items()})
    return state


NAMES = {"planes": "feature planes", "hash": "hash grids"}


def form_of(state: dict[str, Any]) -> str | None:
    """The form of a field's encoding, by its state; none where it is neither."""
    if "encoding.blended_basis" in state:
        return "planes"
    return "hash" if "encoding.sizes" in state else None


def read_field(like: CanonicalField, form: str, state: dict[str, Tensor]) -> CanonicalField:
    """The checkpoint's field, in its own form.

    Raises:
        UserError: hash grids whose values here are not those that they had where they were saved; or sizes that fit
            neither the run nor themselves.
    """
    config = deepcopy(like.config)
    encoding = BlendedEncodingConfig(kind="planes" if form == "planes" else "hash", hash_implementation="torch")
    if form == "planes":
        levels = sum(key.startswith("encoding.static_levels.") for key in state)
        statics = [state[f"encoding.static_levels.{level}"].shape for level in range(levels)]
        encoding.static_resolutions = tuple(shape[2] for shape in statics)
        encoding.static_channels = statics[0][4] if statics else encoding.static_channels
        *_, encoding.blended_resolution, encoding.blended_channels = state["encoding.blended_mean"].shape
        config.hidden_width = len(state["decoder.0.weight"])
    else:
        sizes = state["encoding.sizes"].tolist()
        encoding.hash_levels, encoding.hash_max_resolution, encoding.log2_hashmap_size = sizes
        config.hidden_width = int(state["decoder.sizes"][1])
    config.encoding = encoding
    known = like.deformation.known_basis
    conditions = torch.zeros(2, len(like.condition_mean))
    field = CanonicalField(config, like.box.cpu(), conditions, None if known is None else known.cpu())
    try:
        field.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(
            "The checkpoint does not fit this run: its fields have other sizes, so give the same settings of the "
            "model, or leave out --load-dir to start anew."
        ) from error
    if isinstance(field.encoding, BlendedHashGrids) and not field.encoding.is_read_rightly():
        raise UserError(
            "The checkpoint's hash grids were laid out by another tiny-cuda-nn than is known here: load it on a "
            "machine like the one that trained it, or train again with --pipeline.model.head.encoding.kind planes "
            "and --pipeline.model.torso.encoding.kind planes."
        )
    return field.to(like.box.device).requires_grad_(False)


def distil(
    teacher: CanonicalField,
    student: CanonicalField,
    conditions: Float[Tensor, "frames conditions"],
    density: Float[Tensor, "depth height width"],
    colour: nn.Module,
    steps: int,
    name: str,
) -> None:
    """Fit the student's encoding and decoder to the teacher.

    Args:
        teacher, student: fields of the same space and the same codes.
        conditions: what the clip's frames condition them on.
        density: the sampler's grid: it says where there is anything to agree on.
        colour: turns features into colour, before the sigmoid.
        steps: how many.
        name: of the field, to be shown.
    """
    device = teacher.box.device
    generator = torch.Generator().manual_seed(0)
    parameters = [*student.encoding.parameters(), *student.decoder.parameters()]
    for parameter in student.parameters():
        parameter.requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(parameters, lr=1e-2, eps=1e-15)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.05 ** (1 / max(steps, 1)))
    # Where the sampler expects nothing next to nothing is looked up; where it expects much, nearly everything.
    likely = (density.flatten().clamp(max=3.0) + 0.1) * (density.flatten() > 0)
    size = torch.tensor(density.shape[::-1], device=device)
    for _ in track(range(steps), description=f"Fitting the {name}", console=CONSOLE, transient=True):
        cell = torch.multinomial(likely.cpu(), REFIT_POINTS, replacement=True, generator=generator).to(device)
        places = torch.stack([cell % size[0], cell // size[0] % size[1], cell // (size[0] * size[1])], dim=1)
        jitter = torch.rand(REFIT_POINTS, 3, generator=generator).to(device) - 0.5
        positions = ((places + jitter) / (size - 1) * 2 - 1).clamp(-1, 1)
        moments = torch.randint(len(conditions), (REFIT_MOMENTS,), generator=generator).to(conditions.device)
        frame = torch.arange(REFIT_POINTS, device=device) % REFIT_MOMENTS
        with torch.no_grad():
            their_density, their_features = teacher(positions, frame, teacher.blend(conditions[moments]))
            their_colour = torch.sigmoid(colour(their_features))
        density_here, features = student(positions, frame, student.blend(conditions[moments]))
        seen = 1 - torch.exp(-STRETCHES[-1] * their_density)[:, None]
        loss = torch.stack(
            [
                F.mse_loss(torch.exp(-stretch * density_here), torch.exp(-stretch * their_density))
                for stretch in STRETCHES
            ]
        ).sum()
        loss = loss + (seen * (torch.sigmoid(colour(features)) - their_colour) ** 2).mean()
        # Styles look at the features themselves.
        loss = loss + 0.01 * (seen * (features - their_features) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
