"""One frame of the output: the avatar rendered in the looks asked for, and put into the source's picture.

All panels of a frame are rendered together: looks differ in colour alone, so the avatar is traced once for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from nerfstudio.cameras.cameras import Cameras
from torch import Tensor

from stage1_edit.compositing import region_weights
from stage1_edit.prompts import EditPrompt
from stage2_nerf.backdrop import ORIGINAL, Backdrop
from stage2_nerf.camera_path import PathView, degrees_aside, seen_along
from stage2_nerf.clip_dataparser import SCENE_UNITS_PER_CENTIMETRE, clip_cameras, scaled_transforms
from stage2_nerf.film_registration import shift_to_film, shifted
from stage2_nerf.near_side import near_side_margin
from stage2_nerf.orbit import orbited
from stage2_nerf.paste_back import CropSurroundings, RenderedCrop, paste_back
from stage2_nerf.portrait_model import PortraitModel
from stage2_nerf.style_mix import StyleWeights, named
from tracking.background import local_background
from tracking.cameras import rigid_inverse
from tracking.clip import TrackedClip

UNMOVED = ("hair", "clothes")
"""Regions that no expression moves."""

Picture = UInt8[np.ndarray, "height width channels"]


@dataclass(frozen=True)
class Look:
    """What one panel shows."""

    weights: StyleWeights = field(default_factory=dict)
    """The mix on the whole person; the original's avatar where it is empty."""
    regions: Mapping[str, StyleWeights] = field(default_factory=dict)
    """Mixes of single regions. Where there are any, `weights` is not heeded: what no region holds stays as filmed."""

    @property
    def mixes(self) -> list[StyleWeights]:
        return list(self.regions.values()) or [self.weights]


def look_of(prompt: EditPrompt | None) -> Look:
    """One prompt's look alone; none is the original."""
    return Look({} if prompt is None else {prompt: 1.0})


@dataclass(frozen=True)
class Moment:
    """What the avatar does in a frame, as far as it does not do what the clip's person does."""

    expression: Float[np.ndarray, "expressions"] | None = None
    """Instead of the clip's own, in the order of the clip's expression names."""
    head_to_camera: Float[np.ndarray, "4 4"] | None = None
    """Where the head is, in centimetres, instead of where the clip's is; the torso stays."""
    yaw: float = 0.0
    """Degrees by which the camera is swung around the head."""
    view: PathView | None = None
    """The camera that looks, instead of the film's."""

    @property
    def is_filmed_view(self) -> bool:
        """Whether the person covers about what was filmed of them."""
        return self.head_to_camera is None and self.yaw == 0 and self.view is None

    @property
    def is_filmed(self) -> bool:
        """Whether nothing differs from the clip."""
        return self.is_filmed_view and self.expression is None


AS_FILMED = Moment()


@dataclass(frozen=True)
class Scene:
    """What is known of a frame at the clip's size: the avatar in some mixes of styles, and what it is put into."""

    foregrounds: Sequence[Float32[np.ndarray, "height width 3"]]
    """Premultiplied colour in every mix, in [0, 1]."""
    original: Float32[np.ndarray, "height width 3"]
    """The same without any style."""
    alpha: Float32[np.ndarray, "height width"]
    surroundings: CropSurroundings
    is_on_film: bool
    """Whether the avatar is laid onto the film, doing what was filmed."""


class FrameRenderer:
    """Renders frames of a clip with an avatar of it."""

    def __init__(
        self, model: PortraitModel, clip: TrackedClip, detail: float = 1.0, backdrop: Backdrop = ORIGINAL
    ) -> None:
        """
        Args:
            detail: how much of the source's fine brightness to put back on the avatar, in [0, 1]. It belongs to what
                was filmed: where expressions differ from the clip's it goes to hair and clothes alone, and to nothing
                where the person is seen from elsewhere. With any of it, and nothing differing from the clip, the avatar
                is laid onto the film too (`film_registration`); with none it is shown as it is.
            backdrop: what is behind the person.
        """
        self.model = model
        self.clip = clip
        self.detail = detail
        self.backdrop = backdrop
        self.cameras = clip_cameras(clip, clip.frames).to(model.device)
        self.row_of_frame = {int(frame): row for row, frame in enumerate(clip.frames)}
        self.plate = clip.plate()

    def render(
        self,
        number: int,
        frame: UInt8[np.ndarray, "height width 3"],
        looks: Sequence[Look],
        moment: Moment = AS_FILMED,
    ) -> list[Picture]:
        """A source frame with the person edited, once for every look.

        A frame that did not track stays as it is; with a backdrop there is nobody in it.

        Args:
            number: the frame's number in the source.
            frame: the source's RGB picture.
            looks: what to show.
            moment: what the avatar does there.
        """
        return self.pasted(number, frame, looks, moment, self.scene_of_looks(number, looks, moment))

    def scene_of_looks(self, number: int, looks: Sequence[Look], moment: Moment = AS_FILMED) -> Scene | None:
        """The avatar in a frame, in every mix of some looks; none if the frame did not track."""
        if number not in self.row_of_frame:
            return None
        return self.scene(number, [mix for look in looks for mix in look.mixes], moment)

    def pasted(
        self,
        number: int,
        frame: UInt8[np.ndarray, "height width 3"],
        looks: Sequence[Look],
        moment: Moment,
        scene: Scene | None,
    ) -> list[Picture]:
        """As `render`, with the avatar as `scene_of_looks` gives it for the same frame, looks and moment."""
        if scene is None:
            return [self._without_person(frame)] * len(looks)
        around, matte, labels = scene.surroundings, scene.surroundings.matte, self.clip.labels(number)
        detail = self.detail if moment.is_filmed_view else 0.0
        if detail > 0 and not moment.is_filmed:
            # Another expression moves the face; hair and clothes look as they were filmed.
            lasting = [region_weights(labels, matte, region) for region in UNMOVED]
            around = replace(around, lasting=np.sum(lasting, axis=0).clip(0, 1))
        pictures, start = [], 0
        for look in looks:
            stop = start + len(look.mixes)
            parts = scene.foregrounds[start:stop]
            start = stop
            shares = [region_share(mix, region, labels, matte) for region, mix in regions_of(look)]
            foreground, editable = mixed_by_region(parts, shares)
            if not moment.is_filmed_view:
                # Labels and matte belong to the filmed view.
                editable = np.ones_like(matte)
            rendered = RenderedCrop(foreground, scene.original, scene.alpha)
            here = replace(around, region=editable)
            pictures.append(paste_back(frame, self.clip.source.crop, rendered, here, detail, self.backdrop))
        return pictures

    def scene(self, number: int, mixes: Sequence[StyleWeights], moment: Moment = AS_FILMED) -> Scene:
        """The avatar in a tracked frame, laid onto the film where it is to show the film's detail and does as filmed.

        Args:
            number: the frame's number in the source.
            mixes: mixes of styles to show; the original alone where there is none in a mix.
            moment: what the avatar does there.
        """
        outputs = self._outputs(self.row_of_frame[number], mixes, moment)
        foregrounds = outputs["foregrounds"].cpu().numpy().astype(np.float32)
        original, alpha = (
            outputs[name].cpu().numpy().astype(np.float32) for name in ("original_foreground", "accumulation")
        )
        matte, image = self.clip.matte(number), self.clip.image(number)
        background = local_background(image.astype(np.float32) / 255, matte, self.plate)
        is_on_film = self.detail > 0 and moment.is_filmed
        if is_on_film:
            unedited = original + (1 - alpha) * background
            shift = shift_to_film(unedited, image, np.maximum(matte, alpha[..., 0]))
            foregrounds, original, alpha = (
                shifted(picture, shift).clip(0, 1) for picture in (foregrounds, original, alpha)
            )
        around = CropSurroundings(
            matte, background, np.ones_like(matte), image, self.plate, is_filmed_view=moment.is_filmed_view
        )
        parts = [foregrounds[..., 3 * index : 3 * index + 3] for index in range(len(mixes))]
        return Scene(parts, original, alpha[..., 0], around, is_on_film)

    def _outputs(self, row: int, mixes: Sequence[StyleWeights], moment: Moment) -> dict[str, Tensor]:
        camera = self.cameras[row : row + 1]
        expression = None if moment.expression is None else torch.from_numpy(moment.expression).float()
        head_to_torso = None
        if moment.head_to_camera is not None:
            camera, head_to_torso = self._posed(row, camera, moment.head_to_camera)
        if moment.yaw:
            camera = orbited(camera, self.model.head_field.box.mean(0), moment.yaw)
        aside = moment.yaw
        if moment.view is not None:
            aside = degrees_aside(camera, moment.view, self.model.head_field.box.mean(0))
            camera = seen_along(camera, moment.view)
        looks = [named(mix) for mix in mixes]
        return self.model.render_frame(camera, expression, head_to_torso, looks, near_side_margin(aside))

    def _posed(
        self, row: int, camera: Cameras, head_to_camera: Float[np.ndarray, "4 4"]
    ) -> tuple[Cameras, Float[Tensor, "4 4"]]:
        """The camera as a head elsewhere sees it, and how that head sits on the clip's torso."""
        scale = SCENE_UNITS_PER_CENTIMETRE
        camera_to_head = scaled_transforms(rigid_inverse(head_to_camera)[None], scale)[:, :3]
        torso = self.clip.track.camera_to_torso[self.clip.frames[row]] @ head_to_camera
        posed = replace(camera, camera_to_worlds=camera_to_head.to(camera.device))
        return posed, scaled_transforms(torso[None], scale)[0].to(camera.device)

    def _without_person(self, frame: UInt8[np.ndarray, "height width 3"]) -> Picture:
        if self.backdrop.kind == "alpha":
            return np.zeros((*frame.shape[:2], 4), np.uint8)
        return frame if self.backdrop.picture is None else np.array(self.backdrop.picture)


def regions_of(look: Look) -> list[tuple[str | None, StyleWeights]]:
    """A look's regions with their mixes; none stands for the whole person."""
    return list(look.regions.items()) or [(None, look.weights)]


def region_share(
    mix: StyleWeights,
    region: str | None,
    labels: UInt8[np.ndarray, "height width"],
    matte: Float32[np.ndarray, "height width"],
) -> Float32[np.ndarray, "height width"]:
    """How far each pixel may follow a mix: every prompt within its own region, the original everywhere.

    Args:
        region: the only one that the mix is shown in; none for the whole person.
    """
    whole = np.ones_like(matte)
    share = (1 - sum(mix.values())) * whole
    for prompt, weight in mix.items():
        # What belongs to the person as a whole need not be bounded by the matte: the avatar's own opacity does that.
        own = whole if prompt.region == "person" else region_weights(labels, matte, prompt.region)
        share = share + np.float32(weight) * own
    if region is not None and region != "person":
        share = share * region_weights(labels, matte, region)
    return share


def mixed_by_region(
    foregrounds: Sequence[Float32[np.ndarray, "height width 3"]],
    shares: Sequence[Float32[np.ndarray, "height width"]],
) -> tuple[Float32[np.ndarray, "height width 3"], Float32[np.ndarray, "height width"]]:
    """Foregrounds mixed by their shares of each pixel, and how far the pixel may be edited altogether, in [0, 1]."""
    if len(foregrounds) == 1:
        return foregrounds[0], shares[0]
    total = np.sum(shares, axis=0)
    weighted = np.sum([share[..., None] * part for share, part in zip(shares, foregrounds, strict=True)], axis=0)
    return weighted / np.maximum(total, 1e-6)[..., None], np.minimum(total, 1)
