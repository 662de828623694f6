"""The frames of a rendered video, one after another: those beside each are at hand, so that edits can be steadied."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from stage2_nerf.frame_renderer import AS_FILMED, FrameRenderer, Look, Moment, Picture, Scene
from stage2_nerf.side_by_side import at_rest, side_by_side
from stage2_nerf.steady_edits import steadied
from tracking.video import VideoFrame


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

    def finish(three: tuple[Shot | None, Shot, Shot | None]) -> tuple[FrameTask, list[Picture]]:
        before, shot, after = three
        task, scene = shot.task, shot.scene
        if scene is not None:
            beside = [one.scene for one in (before, after) if one is not None and is_beside(one, shot)]
            scene = steadied(scene, [one for one in beside if one is not None])
        return task, renderer.pasted(task.frame.index, task.frame.image, task.looks, task.moment, scene)

    with at_rest(renderer.model), closing(side_by_side(shoot, tasks, workers)) as shots:
        yield from side_by_side(finish, in_threes(shots), workers)


def is_beside(one: Shot, other: Shot) -> bool:
    """Whether the source's frames of two shots follow each other."""
    return abs(one.task.frame.index - other.task.frame.index) == 1


def in_threes(shots: Iterable[Shot]) -> Iterator[tuple[Shot | None, Shot, Shot | None]]:
    """Every shot between the one before and the one after."""
    before: Shot | None = None
    shot: Shot | None = None
    for after in shots:
        if shot is not None:
            yield before, shot, after
        before, shot = shot, after
    if shot is not None:
        yield before, shot, None
