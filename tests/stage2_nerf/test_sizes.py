"""The three presets differ in what they say they differ in; auto takes the machine's size, and never what is stated."""

from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from configs.portrait_edit import BASE, portrait_edit, portrait_edit_small, portrait_head
from stage1_edit.prompts import EditPrompt
from stage2_nerf.finished_run import find_config
from stage2_nerf.sizes import GPU_SIZE, apply_size, resolve_size
from stage2_nerf.trainer import PortraitEditTrainerConfig
from tracking.clip import TrackedClip
from tracking.errors import UserError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def settings(config: PortraitEditTrainerConfig) -> dict[str, Any]:
    """Every setting under its dotted name."""

    def walk(prefix: str, value: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            return {name: found for key in value for name, found in walk(f"{prefix}.{key}", value[key]).items()}
        return {prefix.removeprefix("."): value}

    return walk("", asdict(config))


def differences(config: PortraitEditTrainerConfig, other: PortraitEditTrainerConfig) -> dict[str, Any]:
    ours, theirs = settings(config), settings(other)
    assert ours.keys() == theirs.keys()
    return {name: theirs[name] for name in ours if ours[name] != theirs[name]}


def test_the_presets_differ_from_the_base_in_one_thing_each() -> None:
    assert portrait_edit.config is BASE
    small, head = portrait_edit_small.config, portrait_head.config
    assert differences(BASE, small) == {"method_name": "portrait-edit-small", "size": "cpu"}
    assert differences(BASE, head) == {"method_name": "portrait-head", "takes_prompts": False}
    assert BASE.size == head.size == "auto"


def test_the_gpus_size_differs_in_what_is_written_down_and_is_larger() -> None:
    config = deepcopy(BASE)
    apply_size(config, "gpu")
    found = differences(BASE, config)
    assert found == GPU_SIZE
    assert all(found[name] > settings(BASE)[name] for name in found)


def test_an_avatar_of_either_size_loads_as_one_of_the_other(tiny_clip: TrackedClip) -> None:
    shapes = []
    for size in ("cpu", "gpu"):
        config = deepcopy(BASE)
        apply_size(config, size)
        config.pipeline.datamanager.data = tiny_clip.root
        config.pipeline.model.style_names = ("style",)
        scene = config.pipeline.datamanager.setup(device="cpu", test_mode="inference").train_dataset
        model = config.pipeline.model.setup(scene_box=scene.scene_box, num_train_data=16, metadata=scene.metadata)
        shapes.append({name: value.shape for name, value in model.state_dict().items()})
    assert shapes[0] == shapes[1]


def test_the_cpus_size_is_as_settings_come() -> None:
    config = deepcopy(BASE)
    apply_size(config, "cpu")
    assert differences(BASE, config) == {}


def test_what_is_stated_is_kept() -> None:
    config = deepcopy(BASE)
    config.pipeline.datamanager.train_num_rays_per_batch = 512
    apply_size(config, "gpu")
    assert config.pipeline.datamanager.train_num_rays_per_batch == 512
    assert config.pipeline.model.sampler.samples == GPU_SIZE["pipeline.model.sampler.samples"]


def test_auto_is_the_devices_and_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert resolve_size("auto", CPU) == "cpu"
    assert "no CUDA device is used" in capsys.readouterr().out
    assert resolve_size("auto", CUDA) == "gpu"
    assert capsys.readouterr().out.count("\n") == 1
    assert resolve_size("gpu", CPU) == "gpu"
    assert resolve_size("cpu", CUDA) == "cpu"
    assert capsys.readouterr().out == ""


def test_only_reconstructing_refuses_prompts() -> None:
    config = deepcopy(portrait_head.config)
    config.pipeline.prompts = (EditPrompt("make it silver", "hair"),)
    with pytest.raises(
        UserError, match="portrait-head only reconstructs: give the prompts to `ns-train portrait-edit`"
    ):
        config.check()


@pytest.mark.parametrize("method", ["portrait-edit", "portrait-edit-small", "portrait-head"])
def test_the_newest_run_of_any_of_the_methods_is_found(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="There is no run below outputs/"):
        find_config(None)
    own = tmp_path / "outputs" / "clip" / method / "today" / "config.yml"
    foreign = tmp_path / "outputs" / "clip" / "nerfacto" / "today" / "config.yml"
    for path, text in ((own, "!!python/object:stage2_nerf.pipeline.PortraitEditPipelineConfig"), (foreign, "nerfacto")):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert find_config(None) == own.relative_to(tmp_path)
