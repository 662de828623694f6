"""What `portrait-render` can be asked for. Quickly imported, so that help and mistakes come at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from tracking.errors import UserError
from tracking.picture_writer import require_writable_pictures
from tracking.video_writer import ALPHA_CODECS, Codec, require_writable_video

Driven = Literal["expression", "pose", "both"]
"""What of another clip's motion the avatar takes over."""
OutputCodec = Literal[Codec, "png"]
"""How to compress; png is a folder of pictures."""


@dataclass
class RenderConfig:
    """Render a run's edited video."""

    output: Path
    """The video to write; with the codec png, a folder."""
    load_config: Path | None = None
    """The run: its config.yml, or its folder. The newest run below outputs/ if not given."""
    prompt: str | None = None
    """Which edit: the number, the text or a telling word of one of the run's prompts, the first if nothing is said; 0
    is the unedited avatar; all, with --side-by-side or --grid, is every one of them."""
    blend: Annotated[str | None, tyro.conf.arg(metavar="MIX")] = None
    """A mix of edits instead, such as "0.7*bronze + 0.3*original"."""
    timeline: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SECONDS=MIX ...")] = ()
    """One edit after another instead, such as 0=original 2=bronze 5="0.5*bronze + 0.5*silver"."""
    fade: float = 0.5
    """Seconds of the timeline's cross-fades."""
    mix: Annotated[str | None, tyro.conf.arg(metavar="REGION=MIX,...")] = None
    """An edit for each region instead, such as "hair=2,clothes=1"; the other regions stay as filmed."""
    side_by_side: bool = False
    """Put the source to the left of the edit."""
    grid: bool = False
    """Show the source and all edits in a grid."""
    drive: Annotated[Path | None, tyro.conf.arg(metavar="CLIP")] = None
    """Let another person's clip move the avatar, for as long as that clip lasts and with its sound: a tracked clip, or
    a video, which is tracked first."""
    driven: Driven = "expression"
    """What is taken over from that clip: the expressions, the head's motion, or both. The head is turned and moved no
    farther than the avatar's own clip shows it on its shoulders, which move as they were filmed; how much is held back
    is said."""
    expression_scale: float = 1.0
    """How strong expressions are: 1 as they are, 0 none, 1.3 exaggerated."""
    expression: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...")] = ()
    """Expressions to hold, by ARKit's names, such as jawOpen=0.5 mouthSmileLeft=0.8."""
    orbit: Annotated[float | None, tyro.conf.arg(metavar="DEGREES")] = None
    """Let the camera swing around the head, this far to either side. About 12 degrees look as filmed; at 25 the
    person is whole, and outlines that the clip hardly shows from there are frayed. What would be on the person's far
    side is left out, and so are the source's fine brightness and the edit's region, which belong to the filmed
    view."""
    orbit_seconds: float | None = None
    """Seconds of one swing over both sides; the whole clip if not given."""
    camera_path: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Let the camera go the way of a nerfstudio camera path, the file that the viewer's render tab writes. As with
    --orbit the filmed scene stays where it is."""
    path_times: Literal["path", "clip"] = "path"
    """Which moments a camera path shows: those that it names, at its own frame rate and without sound; or the clip's,
    one after another, with the path spread over it. A path that names none is spread over the clip anyhow."""
    background: Annotated[str, tyro.conf.arg(metavar="original|plate|COLOUR|PICTURE|alpha")] = "original"
    """What is behind the person: the filmed scene, the clean plate, a colour such as white or #20a040, a picture's
    path, or alpha, nothing, for other programs, with the codec prores4444, vp9 or png."""
    codec: OutputCodec = "h264"
    """How to compress. With lossless, pixels that the edit leaves alone equal the source's bit for bit."""
    detail: Annotated[float, tyro.conf.arg(metavar="0..1")] = 1.0
    """How much of the source's fine brightness to put back on the avatar. With driven or changed expressions it goes to
    hair and clothes alone, for the source's face makes another; a head or camera that moves otherwise gets none. With 0
    the avatar is shown alone: it is not shifted by fractions of a pixel to where the film shows the person, either, and
    what a look changes is not averaged with the frames before and after."""
    overwrite: bool = False
    """Replace the output if it exists."""

    def check(self) -> None:
        """Find what cannot be done before anything heavy is loaded.

        Raises:
            UserError: there is something.
        """
        if self.output.exists() and not self.overwrite:
            raise UserError(f"{self.output} exists: add --overwrite to replace it, or give another name.")
        if not 0 <= self.detail <= 1:
            raise UserError(f"--detail {self.detail} is not between 0 and 1.")
        if self.orbit is not None and not abs(self.orbit) <= 90:
            raise UserError(f"--orbit {self.orbit} would show the head's back, which no clip shows: give at most 90.")
        if self.orbit_seconds is not None and not self.orbit_seconds > 0:
            raise UserError(f"--orbit-seconds {self.orbit_seconds} is no duration: give more than 0.")
        moved = {"--orbit": self.orbit, "--camera-path": self.camera_path, "--drive": self.drive}
        given = [name for name, value in moved.items() if value is not None]
        if len(given) > 1:
            raise UserError(f"{' and '.join(given)} cannot be had together yet: give one of them.")
        if not np.isfinite(self.expression_scale):
            raise UserError(f"--expression-scale {self.expression_scale} is no number: give such as 1.3.")
        if self.background == "alpha" and self.codec != "png" and self.codec not in ALPHA_CODECS:
            raise UserError(
                f"--codec {self.codec} holds no opacity: add --codec prores4444 (.mov), vp9 (.webm) or png (a folder)."
            )
        if self.codec == "png":
            require_writable_pictures(self.output)
        else:
            require_writable_video(self.output, self.codec)
