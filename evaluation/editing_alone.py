"""A frame edited by itself: what an editor makes of it without any avatar."""

from collections.abc import Callable

import numpy as np
import torch

from evaluation.measurement import Picture
from stage1_edit.compositing import composite, region_mask
from stage1_edit.editor import EditRequest, FrameEditor
from stage1_edit.frame_geometry import frame_geometry
from stage1_edit.prompts import EditPrompt
from tracking.clip import TrackedClip


def edit_alone(editor: FrameEditor, prompt: EditPrompt, clip: TrackedClip, frames: list[int]) -> list[Picture]:
    """Tracked frames, edited together from pure noise and laid over themselves through the mask of the prompt's region.

    The editor's randomness differs from frame to frame, and is the same every time.

    Returns:
        Pictures of the size of the clip's images.
    """
    requests = []
    for frame in frames:
        original = torch.from_numpy(clip.image(frame)).float() / 255
        matte, labels = torch.from_numpy(clip.matte(frame))[..., None], torch.from_numpy(clip.labels(frame))
        generator = torch.Generator().manual_seed(frame)
        geometry = frame_geometry(clip, frame)
        requests.append(
            EditRequest(prompt, original, original, matte, labels, 1.0, generator, frame=frame, geometry=geometry)
        )
    pictures = []
    for request, edited in zip(requests, editor.edit(requests), strict=True):
        mask = region_mask(request.labels, request.matte, prompt.region)
        # What the editor leaves out stays as it was filmed.
        edited = request.original if edited is None else edited
        image = composite(edited.to(request.original), request.original, mask)
        pictures.append(np.ascontiguousarray((image.clamp(0, 1) * 255).round().to(torch.uint8).numpy()))
    return pictures


def editor_target(editor: FrameEditor, prompt: EditPrompt, clip: TrackedClip) -> Callable[[int], Picture]:
    """What an editor alone makes of a tracked frame: what an edited video is to look like."""
    return lambda frame: edit_alone(editor, prompt, clip, [frame])[0]
