"""What nerfstudio's viewer offers beside its own panels: a prompt to edit with, looks to choose, expressions to pull.

nerfstudio finds these elements by walking through the pipeline's modules, and shows them in the order of their names;
so they are attributes of modules, named in the order in which they are to be read. Callbacks run between two training
steps (nerfstudio holds its lock meanwhile), and only note what is wanted: training looks at the notes when it is ready.
"""

import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import viser
import viser.transforms as vtf
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.utils.rich_utils import CONSOLE
from nerfstudio.viewer.viewer import VISER_NERFSTUDIO_SCALE_RATIO
from nerfstudio.viewer.viewer_elements import (
    ViewerButton,
    ViewerCheckbox,
    ViewerControl,
    ViewerDropdown,
    ViewerSlider,
    ViewerText,
)
from torch import Tensor, nn

from stage1_edit.prompts import EditPrompt
from tracking.console import say
from tracking.errors import UserError
from tracking.regions import REGIONS

UNEDITED = "as filmed"
PULLED_EXPRESSIONS = (
    *("jawOpen", "mouthSmileLeft", "mouthSmileRight", "mouthPucker", "mouthFunnel", "mouthFrownLeft"),
    *("mouthFrownRight", "eyeBlinkLeft", "eyeBlinkRight", "browInnerUp", "browDownLeft", "browDownRight"),
)
"""Those that get a slider of their own; every other can be named."""
NOTICE_MILLISECONDS = 10_000
NOTICE_LENGTH = 280
"""Letters that a notice has room for."""


@dataclass
class ShownLook:
    """What the viewer shows, whatever is being trained."""

    prompt: EditPrompt | None = None
    """Whose style; none is the original."""
    amount: float = 1.0
    """How much of it, in [0, 1]."""
    expression_offsets: dict[str, float] = field(default_factory=dict)
    """Added to the expressions of the moment that is shown, by ARKit's name."""

    def offsets(self, names: Sequence[str]) -> Float[Tensor, "expressions"]:
        """The offsets in the order of the names."""
        return torch.tensor([self.expression_offsets.get(name, 0.0) for name in names])


class Notices(ViewerControl):
    """Tells everybody who looks something: a line of the panel would cut it off."""

    viser_server: viser.ViserServer | None = None

    def show(self, title: str, words: str, is_trouble: bool = False) -> None:
        """Show a few words over every viewer's picture; they go by themselves, trouble when it is closed."""
        if self.viser_server is None:
            return
        words = textwrap.shorten(words, NOTICE_LENGTH, placeholder=" ... (the rest is on the console)")
        close, color = (False, "red") if is_trouble else (NOTICE_MILLISECONDS, None)
        for client in self.viser_server.get_clients().values():
            client.add_notification(title, words, auto_close=close, color=color)


class EditControls(nn.Module):
    """Asks for an edit."""

    def __init__(
        self,
        request: Callable[[EditPrompt], None],
        restore: Callable[[], None],
        guidance: Callable[[float, float], None],
        scales: tuple[float, float],
    ) -> None:
        """
        Args:
            request: takes a prompt to be trained next.
            restore: gives up the edit that is being trained, and shows the original.
            guidance: takes new text and image guidance scales for diffusion editors.
            scales: the scales at first.
        """
        super().__init__()
        self._request, self._guidance = request, guidance
        self.a_prompt = ViewerText("Prompt", "", hint="What to change, such as: turn him into a bronze statue")
        self.b_region = ViewerDropdown("Region", "person", list(REGIONS), hint="The part that the edit is kept to")
        self.c_text_guidance = ViewerSlider(
            "Text guidance", scales[0], 1.0, 20.0, 0.5, cb_hook=self._scales, hint="Diffusion editors: obey the prompt"
        )
        self.d_image_guidance = ViewerSlider(
            "Image guidance",
            scales[1],
            1.0,
            5.0,
            0.1,
            cb_hook=self._scales,
            hint="Diffusion editors: stay like the film",
        )
        self.e_edit = ViewerButton("Edit now", self._edit)
        self.f_restore = ViewerButton("Restore the original", lambda button: restore())
        self.notices = Notices()

    def _edit(self, button: ViewerButton) -> None:
        prompt = EditPrompt(" ".join(self.a_prompt.value.split()), self.b_region.value)
        try:
            prompt.check()
            self._request(prompt)
        except UserError as error:
            say(CONSOLE, f"In the viewer: {error}")
            self.notices.show("That cannot be", str(error), is_trouble=True)
        else:
            self.notices.show("Next", f"'{prompt}'")

    def _scales(self, slider: Any) -> None:
        self._guidance(self.c_text_guidance.value, self.d_image_guidance.value)


class LookControls(nn.Module):
    """Chooses among the looks that there are."""

    def __init__(self, look: ShownLook) -> None:
        super().__init__()
        self._look = look
        self._prompts: dict[str, EditPrompt | None] = {UNEDITED: None}
        self.a_style = ViewerDropdown("Style", UNEDITED, [UNEDITED], cb_hook=self._choose)
        self.b_amount = ViewerSlider("Amount", 1.0, 0.0, 1.0, 0.01, cb_hook=self._choose, hint="0 is as filmed")
        self.c_original = ViewerCheckbox("Show the original", False, cb_hook=self._choose)

    def offer(self, prompts: Sequence[EditPrompt], show: EditPrompt | None) -> None:
        """Offer these prompts' styles, and show one of them, whatever was shown before; none shows the original."""
        self.c_original.value = False
        self._prompts = {UNEDITED: None, **{str(prompt): prompt for prompt in prompts}}
        self.a_style.set_options(list(self._prompts))
        self.a_style.value = UNEDITED if show is None else str(show)
        self._choose(None)

    def _choose(self, element: Any) -> None:
        hidden = self.c_original.value
        self._look.prompt = None if hidden else self._prompts.get(self.a_style.value)
        self._look.amount = self.b_amount.value


class ExpressionControls(nn.Module):
    """Pulls expressions away from what the moment shows."""

    def __init__(self, look: ShownLook, names: Sequence[str]) -> None:
        super().__init__()
        self._look = look
        pulled = [name for name in PULLED_EXPRESSIONS if name in names]
        self._sliders: dict[str, ViewerSlider] = {}
        for index, name in enumerate(pulled):
            slider = ViewerSlider(in_words(name), 0.0, -1.0, 1.0, 0.02, cb_hook=self._pull)
            setattr(self, f"a_{index:02d}_{name}", slider)
            self._sliders[name] = slider
        others = [name for name in names if name not in pulled]
        self.b_other = ViewerDropdown("Another", others[0], others)
        self.c_other_amount = ViewerSlider("Its amount", 0.0, -1.0, 1.0, 0.02, cb_hook=self._pull)
        self.d_reset = ViewerButton("Let go", self._let_go)

    def _pull(self, element: Any) -> None:
        offsets = {name: slider.value for name, slider in self._sliders.items()}
        offsets[self.b_other.value] = self.c_other_amount.value
        self._look.expression_offsets = {name: value for name, value in offsets.items() if value}

    def _let_go(self, button: ViewerButton) -> None:
        for slider in (*self._sliders.values(), self.c_other_amount):
            slider.value = 0.0
        self._look.expression_offsets = {}


def in_words(name: str) -> str:
    """An expression's name with blanks, at which the viewer breaks a label that is too long for a line."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)


class FilmedView(ViewerControl):
    """Puts a viewer's camera where the film's was, when somebody opens the page and whenever it is asked for."""

    def __init__(self, camera: Cameras, on_open: Callable[[], None]) -> None:
        """
        Args:
            camera: one of the clip's, in the head's scene.
            on_open: called when there is a viewer at all.
        """
        self._camera, self._on_open = camera, on_open

    def _setup(self, viewer: Any) -> None:
        super()._setup(viewer)
        self._on_open()
        viewer.viser_server.on_client_connect(self.place)

    def place_all(self) -> None:
        """Move every viewer's camera."""
        for client in self.viser_server.get_clients().values():
            self.place(client)

    def place(self, client: viser.ClientHandle) -> None:
        """Move one viewer's camera: the inverse of what nerfstudio's `Viewer.get_camera_state` reads."""
        pose = self._camera.camera_to_worlds[0].cpu().double().numpy()
        turned = vtf.SO3.from_matrix(pose[:, :3]) @ vtf.SO3.from_x_radians(-np.pi)
        client.camera.wxyz = turned.wxyz
        client.camera.position = pose[:, 3] * VISER_NERFSTUDIO_SCALE_RATIO
        client.camera.fov = float(2 * torch.atan(self._camera.height[0] / (2 * self._camera.fy[0])))


class ViewerControls(nn.Module):
    """All of them, as the pipeline holds them. The modules' names are the folders' in the viewer."""

    def __init__(
        self,
        edit: EditControls,
        look: ShownLook,
        names: Sequence[str],
        camera: Cameras,
        on_open: Callable[[], None],
    ) -> None:
        """
        Args:
            edit: what asks for edits.
            look: is kept up to date with what is chosen.
            names: of the expressions.
            camera: one of the clip's, where viewers begin.
            on_open: called when there is a viewer at all.
        """
        super().__init__()
        self.edit = edit
        self.look = LookControls(look)
        self.pulled_expressions = ExpressionControls(look, names)
        self.filmed_view = FilmedView(camera, on_open)
        self.camera = ViewerButton("Look from the film's camera", lambda button: self.filmed_view.place_all())
