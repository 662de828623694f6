"""A finished run's video, as `portrait-render` is asked for it."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from nerfstudio.utils.rich_utils import CONSOLE

from stage2_nerf.backdrop import parse_backdrop
from stage2_nerf.camera_path import CameraPath, read_camera_path
from stage2_nerf.expression_transfer import parse_expression
from stage2_nerf.finished_run import find_config, load_run
from stage2_nerf.frame_renderer import FrameRenderer
from stage2_nerf.orbit import Swing
from stage2_nerf.path_motion import PathMotion
from stage2_nerf.render_config import RenderConfig
from stage2_nerf.render_looks import choose_looks
from stage2_nerf.render_motion import DrivenMotion, ExpressionChange, Motion, OwnMotion
from stage2_nerf.render_output import Layout, write_video
from stage2_nerf.trainer import told_what_to_lower
from tracking.clip import TrackedClip
from tracking.console import say
from tracking.errors import UserError
from tracking.track import find_or_track
from tracking.video import VideoReader

LOWER_WHEN_RENDERING = "eval_num_rays_per_chunk (the rays rendered at once) in the run's config.yml"


@told_what_to_lower(LOWER_WHEN_RENDERING)
def render_video(config: RenderConfig) -> Path:
    """Render a run's video.

    Raises:
        UserError: there is no such run or prompt, the source has gone, or the output cannot be written.
    """
    config.check()
    config_path = find_config(config.load_config)
    change = ExpressionChange(config.expression_scale, dict(parse_expression(typed) for typed in config.expression))
    path = None if config.camera_path is None else chosen_path(config.camera_path, config.path_times)
    driver = None if config.drive is None else find_or_track(config.drive)
    run = load_run(config_path)
    pipeline = run.pipeline
    prompts = list(pipeline.styles.values())
    asked = (
        "all" if config.grid and not (config.prompt or config.blend or config.timeline or config.mix) else config.prompt
    )
    looks = choose_looks(asked, config.blend, config.timeline, config.fade, config.mix, prompts)
    if len(looks.names) > 1 and not (config.side_by_side or config.grid):
        raise UserError("--prompt all needs --side-by-side or --grid: one picture holds one edit.")
    clip = pipeline.clip
    reader = VideoReader(Path(clip.source.path))
    motion: Motion
    if driver is not None:
        motion = DrivenMotion(clip, driver, config.driven, change)
        if motion.limited is not None and motion.limited.share > 0:
            say(CONSOLE, motion.limited.in_words)
    elif path is not None:
        motion = PathMotion(clip, reader, change, path)
    else:
        motion = OwnMotion(clip, reader, change, chosen_swing(config, clip))
    backdrop = parse_backdrop(config.background, reader.properties.width, reader.properties.height)
    renderer = FrameRenderer(pipeline.model, clip, config.detail, backdrop)
    layout = Layout(config.side_by_side or config.grid, config.grid)
    write_video(config.output, config.codec, renderer, reader, motion, looks, layout)
    say(CONSOLE, f"Wrote {config.output} ({' | '.join(looks.names)}), from {run.checkpoint}.")
    return config.output


def chosen_swing(config: RenderConfig, clip: TrackedClip) -> Swing | None:
    """The camera's swing that is asked for."""
    if config.orbit is None:
        return None
    return Swing(config.orbit, config.orbit_seconds or max(float(clip.seconds[-1]), 1e-3))


def chosen_path(file: Path, times: Literal["path", "clip"]) -> CameraPath:
    """The camera path of a file; says which moments it will show, and through which lens if the file does not.

    Raises:
        UserError: the file is no camera path.
    """
    path = read_camera_path(file)
    if path.focal_lengths is None:
        say(
            CONSOLE,
            f"{file} has the viewer's own field of view, which nobody chose: it is seen through the film's lens. To "
            "have another, change Default FOV in the viewer's render tab.",
        )
    if path.times is None:
        say(CONSOLE, f"{file} names no times: the path is spread over the whole clip, which plays as it was filmed.")
        return path
    if times == "clip":
        return replace(path, times=None)
    if path.is_still:
        say(
            CONSOLE,
            f"All cameras of {file} show the moment {path.times[0]:.2f} of the clip, whose whole is 1: add "
            "--path-times clip to let the clip play meanwhile.",
        )
    return path
