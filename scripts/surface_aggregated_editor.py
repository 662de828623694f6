"""Frames edited by themselves, gathered on the tracked surface, and edited again, more weakly, from what they agree on.

The product does this between rounds of fitting (`stage1_edit.surface_aggregation`); here it is done without an avatar,
so that it can be compared with what else makes a diffusion editor consistent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stage1_edit.compositing import region_mask
from stage1_edit.editor import EditRequest, FrameEditor, Image
from stage1_edit.prompts import EditPrompt
from stage1_edit.surface_aggregation import gathered, texels_for, view_of
from tracking.spread_evenly import spread_evenly

MOST_VIEWS = 24
"""Frames that are gathered from, spread over those that are given."""


@dataclass(frozen=True)
class SurfaceAggregatedEditor:
    """Another editor, asked several times (a `FrameEditor`). All frames are given together, with their geometry."""

    editor: FrameEditor
    noise_levels: tuple[float, ...] = (0.5,)
    """Of the edits after the first."""

    def edit(self, requests: Sequence[EditRequest]) -> list[Image]:
        """Edit; and for every further noise level gather, and edit again."""
        edits = list(self.editor.edit(requests))
        shapes = [request.geometry for request in requests if request.geometry is not None]
        assert len(shapes) == len(requests), "frames without geometry cannot be gathered"
        chosen = spread_evenly(len(requests), min(MOST_VIEWS, len(requests)))
        texels = texels_for([shapes[row] for row in chosen])
        for level in self.noise_levels:
            views = []
            for row in chosen:
                request = requests[row]
                share = region_mask(request.labels, request.matte, request.prompt.region)[..., 0]
                change = (edits[row] - request.original).float().cpu().numpy()
                views.append(view_of(texels, change, share.float().cpu().numpy(), shapes[row]))
            agreed = gathered(texels, views)
            again = [
                replace(
                    request,
                    render=agreed.start(request.original, edit, request.matte, shape),
                    noise_level=level,
                    steps_by_level=True,
                )
                for request, edit, shape in zip(requests, edits, shapes, strict=True)
            ]
            edits = list(self.editor.edit(again))
        return edits

    def check(self, prompt: EditPrompt) -> None:
        """As the editor itself."""
        self.editor.check(prompt)
