"""Fixtures shared by all tests."""

import os
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tracking.clip import TrackedClip
from tracking.track import TrackConfig, track_video
from tracking.video import VideoReader
from tracking.video_writer import VideoWriter

if TYPE_CHECKING:
    from stage1_edit.editor import FrameEditor
    from stage2_nerf.trainer import PortraitEditTrainerConfig

REPOSITORY = Path(__file__).resolve().parent.parent
TINY_FRAMES = 16
"""Two of them are evaluation frames: ns-render needs more than one."""


@pytest.fixture(scope="session")
def carphone() -> Path:
    """A real talking portrait: 120 frames of 176 x 144 pixels.

    The environment variable PORTRAIT_EDIT_DEMO_CLIP may name the file; otherwise it is fetched once.
    """
    stated = os.environ.get("PORTRAIT_EDIT_DEMO_CLIP")
    path = Path(stated) if stated else REPOSITORY / "demo" / "carphone.mp4"
    if not path.is_file():
        subprocess.run([sys.executable, REPOSITORY / "scripts" / "fetch_demo_clip.py"], check=True)
    return path


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory, carphone: Path) -> TrackedClip:
    """The demo clip's first frames, tracked at about half their size, so that pasting back enlarges."""
    folder = tmp_path_factory.mktemp("tiny")
    reader = VideoReader(carphone)
    with VideoWriter(folder / "talk.mp4", reader.properties, "lossless") as writer:
        for frame in reader:
            if frame.index == TINY_FRAMES:
                break
            writer.write(frame.image, frame.timestamp)
    return track_video(folder / "talk.mp4", folder / "clip", TrackConfig(size=96))


@pytest.fixture(scope="session")
def tiny_preset() -> "PortraitEditTrainerConfig":
    """The method as registered, with fewer rays, smaller fields and a handful of steps. Copy it before changing it."""
    # Importing nerfstudio takes as long as all tests that need none of it together.
    from nerfstudio.configs.method_configs import all_methods

    from stage2_nerf.pipeline import PortraitEditPipelineConfig
    from stage2_nerf.trainer import PortraitEditTrainerConfig

    config = deepcopy(all_methods["portrait-edit"])
    assert isinstance(config, PortraitEditTrainerConfig)
    pipeline = config.pipeline
    assert isinstance(pipeline, PortraitEditPipelineConfig)
    pipeline.reconstruction_steps = 12
    pipeline.render_when_done = False
    pipeline.style_training.steps = 6
    # So that frames are edited amid training as well.
    pipeline.style_training.schedule.name = "iterative"
    pipeline.style_training.schedule.iterative.steps_between_edits = 4
    pipeline.editor.name = "offline"
    pipeline.datamanager.train_num_rays_per_batch = 256
    pipeline.datamanager.eval_num_rays_per_batch = 256
    pipeline.datamanager.dataparser.proxy_resolution = 24
    pipeline.datamanager.dataparser.displacement_resolution = 12
    pipeline.model.sampler.walk_steps = 12
    pipeline.model.sampler.samples = 4
    for field in (pipeline.model.head, pipeline.model.torso):
        field.code_size = 4
        field.hidden_width = field.feature_size = 8
        field.deformation_resolution = 8
        field.encoding.static_resolutions = (16, 32)
        field.encoding.blended_resolution = 16
    pipeline.model.style.resolutions = (16,)
    config.machine.device_type = "cpu"
    config.vis = "tensorboard"
    return config


@pytest.fixture(scope="session")
def train_with() -> "Callable[[PortraitEditTrainerConfig, FrameEditor | None], None]":
    """Trains through `ns-train`'s main, with an editor in place of the one that would be chosen, if one is given."""
    import nerfstudio.scripts.train as ns_train
    from nerfstudio.utils import profiler, writer

    import stage2_nerf.pipeline

    def train(config: "PortraitEditTrainerConfig", editor: "FrameEditor | None") -> None:
        with pytest.MonkeyPatch.context() as patch:
            if editor is not None:
                patch.setattr(stage2_nerf.pipeline, "choose_editor", lambda *arguments: editor)
            try:
                ns_train.main(config)
            finally:
                # nerfstudio appends every training's writers to lists of modules, as if a process trained but once.
                for event_writer in writer.EVENT_WRITERS:
                    if isinstance(event_writer, writer.TensorboardWriter):
                        event_writer.tb_writer.close()
                for registry in (writer.EVENT_WRITERS, writer.EVENT_STORAGE, writer.GLOBAL_BUFFER, profiler.PROFILER):
                    registry.clear()

    return train
