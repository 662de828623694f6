"""Loading a finished run again, to render or to measure it.

Stock `eval_setup` does the same, after importing every method that any plugin has registered and writing lines of its
own to the console; here a run's own configuration says all that is needed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import yaml
from nerfstudio.engine.trainer import TrainerConfig

from stage2_nerf.pipeline import PortraitEditPipeline, PortraitEditPipelineConfig
from tracking.errors import UserError


@dataclass(frozen=True)
class LoadedRun:
    """A finished run, ready to be used."""

    config: TrainerConfig
    pipeline: PortraitEditPipeline
    checkpoint: Path
    """What the avatar and its styles were loaded from."""


def load_run(
    config_path: Path,
    test_mode: Literal["test", "val", "inference"] = "inference",
    change: Callable[[PortraitEditPipelineConfig], None] | None = None,
) -> LoadedRun:
    """Load a run's pipeline from its newest checkpoint, onto the GPU if there is one.

    Args:
        config_path: the run's config.yml.
        test_mode: whether frames are loaded too, as nerfstudio's pipelines understand it.
        change: changes the configuration before anything is built from it.

    Raises:
        UserError: it is no run of ours, or was stopped before its first checkpoint.
    """
    config = run_config(config_path)
    if change is not None:
        assert isinstance(config.pipeline, PortraitEditPipelineConfig)
        change(config.pipeline)
    checkpoint = newest_checkpoint(config_path)
    config.load_dir = checkpoint.parent
    pipeline = config.pipeline.setup(device="cuda" if torch.cuda.is_available() else "cpu", test_mode=test_mode)
    assert isinstance(pipeline, PortraitEditPipeline)
    pipeline.eval()
    # As in stock nerfstudio a run's files are trusted: its configuration too can name any class.
    state = torch.load(checkpoint, map_location="cpu", weights_only=False)
    pipeline.load_pipeline(state["pipeline"], state["step"])
    return LoadedRun(config, pipeline, checkpoint)


def run_config(config_path: Path) -> TrainerConfig:
    """A run's configuration.

    Raises:
        UserError: it is no run of ours, or damaged.
    """
    if not is_own_run(config_path):
        raise UserError(f"{config_path} is no run of portrait-edit: give the config.yml of one.")
    try:
        # nerfstudio's own format: the configuration's objects.
        config = yaml.load(config_path.read_text(), Loader=yaml.Loader)
    except yaml.YAMLError as error:
        raise UserError(f"{config_path} is damaged: train the run again.") from error
    assert isinstance(config, TrainerConfig)
    return config


def newest_checkpoint(config_path: Path) -> Path:
    """The checkpoint of a run's last saved step.

    Raises:
        UserError: the run saved none.
    """
    checkpoints = checkpoints_of(config_path)
    if not checkpoints:
        raise UserError(f"{config_path.parent} holds no checkpoint: train the run first.")
    return checkpoints[-1]


def checkpoints_of(config_path: Path) -> list[Path]:
    """A run's checkpoints, oldest first. Steps are written with leading zeros, so names sort as steps do."""
    return sorted((config_path.parent / "nerfstudio_models").glob("step-*.ckpt"))


def find_config(given: Path | None) -> Path:
    """The run's config.yml.

    Raises:
        UserError: there is none.
    """
    if given is None:
        found = sorted(Path("outputs").glob("*/*/*/config.yml"), key=lambda path: path.stat().st_mtime, reverse=True)
        for config in found:
            if is_own_run(config):
                return config
        raise UserError("There is no run below outputs/: train one, or name its config.yml with --load-config.")
    config = given / "config.yml" if given.is_dir() else given
    if not config.is_file():
        raise UserError(f"{config} does not exist: give the config.yml of a finished run.")
    return config


def is_own_run(config: Path) -> bool:
    """Whether a config.yml is one of our methods', whatever its name."""
    return PortraitEditPipelineConfig.__name__ in config.read_text(errors="replace")
