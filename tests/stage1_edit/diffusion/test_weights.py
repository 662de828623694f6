"""Loading weights, and what is told when they cannot be had, used or held."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stage1_edit import diffusion_weights
from stage1_edit.choose_editor import EditorConfig, check_editor, choose_editor, make_editor
from stage1_edit.diffusion_config import DiffusionConfig
from stage1_edit.diffusion_memory import count_parameters, pipeline_parameters
from stage1_edit.diffusion_weights import check_memory, has_weights, load_model, make_scheduler
from stage1_edit.instruct_pix2pix import InstructPix2Pix, InstructPix2PixConfig
from stage1_edit.prompts import EditPrompt
from stage1_edit.sdedit import SDEditConfig
from tracking.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def saved(tiny, instruct, describe, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pipelines on disk."""
    root = tmp_path_factory.mktemp("weights")
    instruct.pipeline.scheduler = tiny.scheduler("EulerAncestralDiscreteScheduler")
    instruct.pipeline.save_pretrained(root / "instruct")
    describe.pipeline.save_pretrained(root / "describe")
    describe.controlnets[0].save_pretrained(root / "nets" / "canny")
    tiny.pipeline_xl("StableDiffusionXLInstructPix2PixPipeline", 8).save_pretrained(root / "xl")
    return {path.name: path for path in root.iterdir()}


def settings(model: Path, **more) -> dict:
    return {"model": str(model), "longer_side": 32, "sampling_steps": 2, "local_files_only": True, **more}


def test_a_saved_pipeline_is_found_and_edits_as_before(saved, instruct, ask) -> None:
    assert has_weights(str(saved["instruct"]))
    config = EditorConfig("instruct-pix2pix", instruct_pix2pix=InstructPix2PixConfig(**settings(saved["instruct"])))
    editor = choose_editor(config, CPU)
    assert type(editor.editor.model.pipeline.scheduler).__name__ == "DDIMScheduler"
    instruct.pipeline.scheduler = editor.editor.model.pipeline.scheduler
    own = InstructPix2Pix(config.instruct_pix2pix, instruct)
    reference = make_editor(config, config.instruct_pix2pix, instruct, own)
    torch.testing.assert_close(editor.edit([ask()]), reference.edit([ask()]), atol=1e-4, rtol=0)


def test_sdxl_is_recognised_by_its_second_text_encoder(saved, ask) -> None:
    config = EditorConfig("instruct-pix2pix", instruct_pix2pix=InstructPix2PixConfig(**settings(saved["xl"])))
    editor = choose_editor(config, CPU)
    assert type(editor.editor.model.pipeline).__name__ == "StableDiffusionXLInstructPix2PixPipeline"
    assert editor.edit([ask()])[0].isfinite().all()


def test_controlnet_weights_may_lie_in_a_folder_of_a_model(saved, ask) -> None:
    config = EditorConfig("controlnet")
    config.controlnet = replace(
        config.controlnet, **settings(saved["describe"], controls=("canny",), weights=(str(saved["nets"] / "canny"),))
    )
    assert choose_editor(config, CPU).edit([ask()])[0].isfinite().all()


@pytest.mark.parametrize("name", ["LCM", "lcmscheduler", "EulerDiscrete", "DPMSolverMultistepScheduler"])
def test_schedulers_are_chosen_by_name(tiny, name: str) -> None:
    chosen = make_scheduler(tiny.diffusers, name, tiny.ddim())
    assert type(chosen).__name__.lower().removesuffix("scheduler") == name.lower().removesuffix("scheduler")
    assert chosen.config.beta_end == 0.012


def test_a_scheduler_that_does_not_exist_is_told_with_those_that_do(tiny) -> None:
    with pytest.raises(UserError, match=r"no scheduler 'Eulr'.*DDIM, .*EulerDiscrete"):
        make_scheduler(tiny.diffusers, "Eulr", tiny.ddim())


def test_a_text_to_image_model_is_no_instruction_editor(saved) -> None:
    with pytest.raises(UserError, match=r"cannot follow instructions: its U-Net takes 4 channels"):
        load_model(InstructPix2PixConfig(**settings(saved["describe"])), "instruction", CPU)


def test_an_instruction_model_does_not_paint_from_a_description(saved) -> None:
    with pytest.raises(UserError, match=r"takes 8 channels, and not 4.*instruct-pix2pix"):
        load_model(SDEditConfig(**settings(saved["instruct"])), "text", CPU)


def test_a_stable_diffusion_is_not_flux(saved) -> None:
    with pytest.raises(UserError, match=r"not FLUX\.1 Kontext"):
        load_model(SDEditConfig(**settings(saved["describe"])), "kontext", CPU)


def test_a_folder_that_is_no_pipeline_is_told(tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    assert not has_weights(str(tmp_path))
    with pytest.raises(UserError, match=r"no diffusion pipeline, for it lacks .*model_index.json"):
        load_model(SDEditConfig(**settings(tmp_path)), "text", CPU)
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        load_model(SDEditConfig(**settings(tmp_path)), "text", CPU)
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "WanPipeline"}))
    with pytest.raises(UserError, match=r"WanPipeline without the U-Net"):
        load_model(SDEditConfig(**settings(tmp_path)), "text", CPU)


def test_weights_that_are_neither_here_nor_to_be_downloaded_are_told(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("diffusers")
    config = SDEditConfig(**settings(Path("nobody/nothing")))
    with pytest.raises(UserError, match=r"nothing are not on this machine, and local_files_only .*go online once"):
        load_model(config, "text", CPU)
    library = diffusion_weights.diffusers_library()

    def unreachable(*arguments, **options) -> None:
        raise OSError("We couldn't connect to the hub.")

    monkeypatch.setattr(library.DiffusionPipeline, "download", unreachable)
    with pytest.raises(UserError, match=r"nothing are not on this machine, and the hub does not give them: go online"):
        load_model(replace(config, local_files_only=False), "text", CPU)
    with pytest.raises(UserError, match=r"no folder .*gone: give one"):
        load_model(SDEditConfig(**settings(tmp_path / "gone")), "text", CPU)


def test_what_can_be_seen_is_told_before_anything_is_trained(saved, tmp_path: Path) -> None:
    def check(name: str, model: Path, **more) -> None:
        config = EditorConfig(name)
        config.sdedit = SDEditConfig(**settings(model, **more))
        config.instruct_pix2pix = InstructPix2PixConfig(**settings(model, **more))
        check_editor(config, [EditPrompt("make it bronze")])

    check("sdedit", saved["describe"])
    check("instruct-pix2pix", saved["instruct"])
    check("sdedit", Path("nobody/nothing"), local_files_only=False)
    with pytest.raises(UserError, match="cannot follow instructions"):
        check("instruct-pix2pix", saved["describe"])
    with pytest.raises(UserError, match="does not paint from a description"):
        check("sdedit", saved["instruct"])
    with pytest.raises(UserError, match="local_files_only forbids"):
        check("sdedit", Path("nobody/nothing"))
    with pytest.raises(UserError, match="There is no folder"):
        check("sdedit", tmp_path / "gone")


def test_missing_files_are_told(saved, tmp_path: Path) -> None:
    broken = shutil.copytree(saved["describe"], tmp_path / "broken")
    for file in (broken / "unet").glob("*.safetensors"):
        file.unlink()
    with pytest.raises(UserError, match=r"weights of .*broken cannot be loaded"):
        load_model(SDEditConfig(**settings(broken)), "text", CPU)


def test_low_rank_weights_that_cannot_be_had_are_told(saved, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"[Ll]ow-rank weights"):
        load_model(SDEditConfig(**settings(saved["describe"], lora=str(tmp_path))), "text", CPU)


def test_low_rank_weights_are_put_on(saved, describe, tmp_path: Path, ask) -> None:
    peft = pytest.importorskip("peft")
    safetensors = pytest.importorskip("safetensors.torch")
    diffusers = pytest.importorskip("diffusers")
    unet = diffusers.UNet2DConditionModel.from_pretrained(saved["describe"] / "unet")
    unet.add_adapter(peft.LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    weights = {f"unet.{name}": value for name, value in peft.get_peft_model_state_dict(unet).items()}
    safetensors.save_file(weights, tmp_path / "edit.safetensors")
    edits = []
    for chosen in ({}, {"lora": str(tmp_path / "edit.safetensors"), "lora_scale": 0.0}, {"lora": str(tmp_path)}):
        config = EditorConfig("sdedit", sdedit=SDEditConfig(**settings(saved["describe"], **chosen)))
        edits.append(choose_editor(config, CPU).edit([ask()])[0])
    torch.testing.assert_close(edits[0], edits[1], atol=1e-5, rtol=0)
    assert (edits[0] - edits[2]).abs().max() > 1e-3


def test_offloading_needs_a_gpu(saved) -> None:
    with pytest.raises(UserError, match="memory_saving to slicing"):
        load_model(SDEditConfig(**settings(saved["describe"], memory_saving="offload")), "text", CPU)


def test_slicing_changes_no_picture(saved, ask) -> None:
    edits = []
    for saving in ("none", "slicing"):
        chosen = SDEditConfig(**settings(saved["describe"], memory_saving=saving))
        edits.append(choose_editor(EditorConfig("sdedit", sdedit=chosen), CPU).edit([ask(), ask(picture=5)]))
    torch.testing.assert_close(edits[0], edits[1], atol=1e-4, rtol=0)


def test_parameters_are_counted_without_loading_them(saved, describe) -> None:
    counts = pipeline_parameters(saved["describe"], ["unet", "vae", "text_encoder", "scheduler"])
    for part in ("unet", "vae", "text_encoder"):
        assert counts[part] == sum(p.numel() for p in getattr(describe.pipeline, part).parameters())
    assert set(counts) == {"unet", "vae", "text_encoder"}
    (file,) = (saved["describe"] / "unet").glob("*.safetensors")
    assert count_parameters(file) == counts["unet"]


def test_too_small_a_gpu_is_told_before_anything_is_loaded(saved, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2000))
    index = json.loads((saved["describe"] / "model_index.json").read_text())
    arguments = saved["describe"], index, DiffusionConfig(longer_side=512), "text", torch.device("cuda"), torch.float16
    with pytest.raises(UserError, match=r"about .* GB, and the GPU has 0.0 GB free: set the editor's memory_saving"):
        check_memory(*arguments)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**12, 10**12))
    check_memory(*arguments)


def test_16_bits_on_cuda_32_elsewhere() -> None:
    dtype = diffusion_weights.precision
    assert dtype(DiffusionConfig(), "text", CPU) == torch.float32
    assert dtype(DiffusionConfig(), "text", torch.device("cuda")) == torch.float16
    assert dtype(DiffusionConfig(), "kontext", torch.device("cuda")) == torch.bfloat16
    assert dtype(DiffusionConfig(precision="bf16"), "text", CPU) == torch.bfloat16
