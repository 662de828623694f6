"""The frames of a rendered video, one after another: those beside each are at hand, so that edits can be steadied."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, repeat

from stage2_nerf.frame_renderer import AS_FILMED, FrameRenderer, Look, Moment, Picture, Scene
from stage2_nerf.side_by_side import at_rest, side_by_side
from stage2_nerf.steady_edits import steadied
from tracking.video import VideoFrame

REACH = 2
"""Frames before and as many after by which an edit is steadied."""


@dataclass(frozen=True)
class FrameTask:
    """One frame to be made."""

    frame: VideoFrame
    """The source's, whose picture it is made of."""
    timestamp: int
    """When it is shown, in the unit of the output's time stamps."""
    looks: Sequence[Look]
    moment: Moment = AS_FILMED


@dataclass(frozen=True)
class Shot:
    """A frame to be made, and the avatar in it; none where the source's frame did not track."""

    task: FrameTask
    scene: Scene | None


def rendered_sequence(
    renderer: FrameRenderer, tasks: Iterable[FrameTask], workers: int = 1
) -> Generator[tuple[FrameTask, list[Picture]], None, None]:
    """Every frame in all its looks, in order, with its edits steadied by the frames before and after.

    Args:
        tasks: the frames, in the order in which they are shown.
        workers: how many frames to render side by side.
    """

    def shoot(task: FrameTask) -> Shot:
        return Shot(task, renderer.scene_of_looks(task.frame.index, task.looks, task.moment))

    def finish(among: tuple[Shot, list[Shot]]) -> tuple[FrameTask, list[Picture]]:
        shot, beside = among
        task, scene = shot.task, shot.scene
        if scene is not None:
            scene = steadied(scene, [one.scene for one in beside if one.scene is not None])
        return task, renderer.pasted(task.frame.index, task.frame.image, task.looks, task.moment, scene)

    with at_rest(renderer.model), closing(side_by_side(shoot, tasks, workers)) as shots:
        yield from side_by_side(finish, among_neighbours(shots), workers)


def among_neighbours(shots: Iterable[Shot], reach: int = REACH) -> Iterator[tuple[Shot, list[Shot]]]:
    """Every shot, and those up to `reach` before and after it between which the source has no other frames."""
    at_hand: deque[Shot | None] = deque(maxlen=2 * reach + 1)
    for latest in chain(shots, repeat(None, reach)):
        at_hand.append(latest)
        middle = len(at_hand) - 1 - reach
        shot = at_hand[middle] if middle >= 0 else None
        if shot is not None:
            places = ((place - middle, one) for place, one in enumerate(at_hand) if one is not None and one is not shot)
            yield shot, [one for away, one in places if one.task.frame.index - shot.task.frame.index == away]
