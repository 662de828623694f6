"""`--fast` and `--quality` change what they say, on either size, and never what is stated."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import tyro
from nerfstudio.configs.method_configs import AnnotatedBaseConfigUnion

import stage2_nerf.trainer
from configs.portrait_edit import BASE
from stage2_nerf.effort import EFFORTS, apply_effort, chosen_effort, unstated
from stage2_nerf.sizes import GPU_SIZE, apply_size
from tracking.clip import TrackedClip
from tracking.errors import UserError


def typed(*words: str) -> Any:
    """The configuration that `ns-train` makes of a command line."""
    return tyro.cli(AnnotatedBaseConfigUnion, args=["portrait-edit", *words])


def checked(config: Any, clip: TrackedClip, folder: Path) -> Any:
    """The configuration as a run starts with it."""
    config.data = None
    config.pipeline.datamanager.data = clip.root
    config.output_dir, config.machine.device_type = folder, "cpu"
    config.check()
    return config


def steps(config: Any) -> tuple[int, int]:
    return config.pipeline.reconstruction_steps, config.pipeline.style_training.steps


def test_the_flags_change_the_steps_that_are_trained(
    tiny_clip: TrackedClip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = steps(checked(typed(), tiny_clip, tmp_path))
    capsys.readouterr()
    fast = steps(checked(typed("--fast"), tiny_clip, tmp_path))
    assert f"--fast: {fast[0]} steps of reconstruction, {fast[1]} of each style." in " ".join(
        capsys.readouterr().out.split()
    )
    quality = steps(checked(typed("--quality"), tiny_clip, tmp_path))
    assert fast == (round(0.4 * usual[0]), round(0.4 * usual[1]))
    assert quality == (3 * usual[0], 2 * usual[1])
    stated = checked(typed("--fast", "--pipeline.reconstruction-steps", "1234"), tiny_clip, tmp_path)
    assert steps(stated) == (1234, fast[1])


def test_a_gpus_steps_are_multiplied_too() -> None:
    config: Any = deepcopy(BASE)
    names = unstated(config, "fast")
    apply_size(config, "gpu")
    apply_effort(config, "fast", names)
    assert config.pipeline.reconstruction_steps == round(0.4 * GPU_SIZE["pipeline.reconstruction_steps"])


def test_a_video_is_tracked_small_in_a_hurry_and_refined_in_none(
    tmp_path: Path, tiny_clip: TrackedClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def find_or_track(data: Path, config: Any) -> TrackedClip:
        asked.append(config)
        return tiny_clip

    monkeypatch.setattr(stage2_nerf.trainer, "find_or_track", find_or_track)
    for words in ((), ("--fast",), ("--quality",)):
        checked(typed(*words), tiny_clip, tmp_path)
    assert [config.size for config in asked] == [512, 256, 512]
    assert [config.photometric.enabled for config in asked] == [False, False, True]


def test_a_run_that_goes_on_keeps_what_was_decided(tiny_clip: TrackedClip, tmp_path: Path) -> None:
    """Its config.yml holds the flag and the steps that followed from it."""
    config = checked(typed("--fast"), tiny_clip, tmp_path)
    before = steps(config)
    assert steps(checked(config, tiny_clip, tmp_path)) == before


def test_both_flags_are_refused() -> None:
    assert [chosen_effort(*given) for given in ((0, 0), (2, 0), (0, 1))] == ["usual", "fast", "quality"]
    with pytest.raises(UserError, match="--fast and --quality ask for opposite things: give one"):
        chosen_effort(1, 1)


def test_no_effort_changes_the_shape_of_an_avatar() -> None:
    for effort in EFFORTS.values():
        assert not [name for name in effort.factors if name.startswith(("model", "datamanager"))]
