"""Loading a diffusion pipeline: the one file that imports diffusers. Everything else is handed what is loaded here."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch

from stage1_edit.diffusion_config import DiffusionConfig, WeightsConfig
from stage1_edit.diffusion_memory import GIGABYTE, estimate_memory, pipeline_parameters
from stage1_edit.diffusion_pictures import diffusion_size
from tracking.errors import UserError

_logger = logging.getLogger(__name__)

PipelineKind: TypeAlias = Literal["instruction", "text", "kontext"]
"""Edits as told by a sentence (InstructPix2Pix), paints what a sentence describes, or FLUX.1 Kontext."""

LATENT_CHANNELS = 4
"""Of Stable Diffusion's latents; an instruction model's U-Net takes twice as many: noisy latents and the original's."""
INSTALL = "pip install 'portrait-edit[diffusion]'"
WHAT_TO_GIVE = "give one in diffusers' layout, or an id on the Hugging Face hub"


@dataclass
class DiffusionModel:
    """A loaded pipeline and where it computes."""

    pipeline: Any
    """One of diffusers', of which the parts are used."""
    device: torch.device
    controlnets: tuple[Any, ...] = ()
    """diffusers' `ControlNetModel`s."""


def diffusers_library() -> Any:
    """The diffusers package, with transformers, without which it has no text encoders.

    Raises:
        UserError: one of them is not installed.
    """
    try:
        import diffusers
        import transformers
    except ImportError as error:
        raise UserError(f"Editing by diffusion needs packages that are missing: {INSTALL}.") from error
    for package in (diffusers, transformers):
        package.logging.set_verbosity_error()
        package.logging.disable_progress_bar()
    return diffusers


def load_model(
    config: WeightsConfig, kind: PipelineKind, device: torch.device, controlnets: Sequence[str] = ()
) -> DiffusionModel:
    """Load a pipeline, from the hub if need be, ready to edit.

    Args:
        controlnets: repositories on the hub or local folders; after a colon a folder inside.

    Raises:
        UserError: diffusers is not installed, the weights cannot be had or are of another kind, or there is no room.
    """
    library = diffusers_library()
    folder = find_folder(library, config)
    index = read_json(folder / "model_index.json", config.model)
    name = pipeline_name(index, folder, config, kind)
    dtype = precision(config, kind, device)
    check_memory(folder, index, config, kind, device, dtype)
    absent = {part: None for part in ("safety_checker", "image_encoder") if part in index}
    if "requires_safety_checker" in index:
        absent["requires_safety_checker"] = False  # pyright: ignore[reportArgumentType]
    with told_by_user_errors(config.model):
        pipeline = getattr(library, name).from_pretrained(folder, torch_dtype=dtype, **absent)
        nets = tuple(load_controlnet(library, entry, config, dtype) for entry in controlnets)
    pipeline.set_progress_bar_config(disable=True)
    if isinstance(config, DiffusionConfig):
        pipeline.scheduler = make_scheduler(library, config.scheduler, pipeline.scheduler)
    if config.lora:
        load_lora(pipeline, config)
    place(pipeline, nets, config, device, dtype)
    return DiffusionModel(pipeline, device, nets)


def check_weights(config: WeightsConfig, kind: PipelineKind) -> None:
    """See, from what is on this machine and without loading anything, whether weights can be used.

    Raises:
        UserError: they are of another kind, or neither here nor to be downloaded; or a package is missing.
    """
    if find_spec("diffusers") is None or find_spec("transformers") is None:
        raise UserError(f"Editing by diffusion needs packages that are missing: {INSTALL}.")
    folder = Path(config.model)
    if folder.is_dir():
        pipeline_name(read_json(folder / "model_index.json", config.model), folder, config, kind)
    elif is_path(config.model):
        raise UserError(f"There is no folder {config.model}: {WHAT_TO_GIVE}.")
    elif config.local_files_only and not has_weights(config.model):
        raise UserError(
            f"The weights of {config.model} are not on this machine, and local_files_only forbids to download them: go "
            "online once without it, or give the model as a local folder."
        )


def is_path(model: str) -> bool:
    """Whether a model is named by a path, and not by an id on the hub."""
    return model.startswith(("/", ".", "~")) or model.count("/") > 1


def find_folder(library: Any, config: WeightsConfig) -> Path:
    """The folder with a pipeline's weights: the model itself, or where it was or is now downloaded to.

    Raises:
        UserError: there is no such model here, and it cannot be downloaded.
    """
    model = config.model
    if Path(model).is_dir():
        return Path(model)
    if is_path(model):
        raise UserError(f"There is no folder {model}: {WHAT_TO_GIVE}.")
    try:
        return Path(
            library.DiffusionPipeline.download(
                model, local_files_only=config.local_files_only, safety_checker=None, image_encoder=None
            )
        )
    except (OSError, ValueError) as error:
        why = "local_files_only forbids to download them" if config.local_files_only else "the hub does not give them"
        raise UserError(
            f"The weights of {model} are not on this machine, and {why}: go online once, see whether the name is right "
            "(and, for gated models, that you are logged in), or give the model as a local folder."
        ) from error


def pipeline_name(index: dict[str, Any], folder: Path, config: WeightsConfig, kind: PipelineKind) -> str:
    """The class of diffusers' that holds weights of this kind.

    Raises:
        UserError: the weights are of another kind.
    """
    found = str(index.get("_class_name", ""))
    if kind == "kontext":
        if "Kontext" in found:
            return "FluxKontextPipeline"
        raise UserError(
            f"{config.model} is a {found or 'model without a name'}, and not FLUX.1 Kontext: give its folder or id."
        )
    if "unet" not in index:
        raise UserError(
            f"{config.model} is a {found or 'model'} without the U-Net of Stable Diffusion, which this editor needs: "
            "give the folder or id of one that has it."
        )
    channels = read_json(folder / "unet" / "config.json", config.model).get("in_channels", LATENT_CHANNELS)
    if kind == "instruction" and channels != 2 * LATENT_CHANNELS:
        raise UserError(
            f"{config.model} cannot follow instructions: its U-Net takes {channels} channels, and not the original's "
            f"{LATENT_CHANNELS} beside the noisy {LATENT_CHANNELS}. Give a model trained as InstructPix2Pix, or use it "
            "with the editors sdedit or controlnet."
        )
    if kind == "text" and channels != LATENT_CHANNELS:
        raise UserError(
            f"{config.model} does not paint from a description alone: its U-Net takes {channels} channels, and not "
            f"{LATENT_CHANNELS}. Give a text-to-image model"
            + (", or use it with the editor instruct-pix2pix." if channels == 2 * LATENT_CHANNELS else ".")
        )
    family = "StableDiffusionXL" if "tokenizer_2" in index else "StableDiffusion"
    return family + ("InstructPix2PixPipeline" if kind == "instruction" else "Pipeline")


def precision(config: WeightsConfig, kind: PipelineKind, device: torch.device) -> torch.dtype:
    """What the networks compute with."""
    named = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
    if config.precision == "auto":
        # FLUX was trained in bf16, and overflows in fp16.
        half = torch.bfloat16 if kind == "kontext" else torch.float16
        return half if device.type == "cuda" else torch.float32
    return named[config.precision]


def make_scheduler(library: Any, name: str, current: Any) -> Any:
    """A scheduler by its class name, with or without `Scheduler`, configured as the weights' own.

    Raises:
        UserError: diffusers has no such scheduler for these weights; the message lists those there are.
    """
    plain = {entry.__name__.removesuffix("Scheduler"): entry for entry in (*current.compatibles, type(current))}
    # Distilled few-step samplers; diffusers does not list all of them among the compatible ones.
    plain |= {extra: getattr(library, f"{extra}Scheduler") for extra in ("LCM", "TCD")}
    known = {entry.lower(): scheduler for entry, scheduler in plain.items()}
    wanted = name.lower().removesuffix("scheduler")
    if wanted not in known:
        raise UserError(f"There is no scheduler '{name}' for this model: choose one of {', '.join(sorted(plain))}.")
    return known[wanted].from_config(current.config)


def load_controlnet(library: Any, entry: str, config: WeightsConfig, dtype: torch.dtype) -> Any:
    """One ControlNet's weights."""
    model, _, inside = entry.partition(":") if not Path(entry).is_dir() else (entry, "", "")
    options = {"subfolder": inside} if inside else {}
    with told_by_user_errors(entry):
        return library.ControlNetModel.from_pretrained(
            model, torch_dtype=dtype, local_files_only=config.local_files_only, **options
        )


def load_lora(pipeline: Any, config: WeightsConfig) -> None:
    """Put low-rank weights onto the pipeline, by its own public methods.

    Raises:
        UserError: peft is not installed, or the weights cannot be had or do not fit.
    """
    path = Path(config.lora)
    where, options = (str(path.parent), {"weight_name": path.name}) if path.is_file() else (config.lora, {})
    try:
        pipeline.load_lora_weights(where, adapter_name="edit", local_files_only=config.local_files_only, **options)
        pipeline.set_adapters(["edit"], [config.lora_scale])
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        if "PEFT" in str(error):
            raise UserError(f"Low-rank weights need a package that is missing: {INSTALL} peft.") from error
        raise UserError(
            f"The low-rank weights {config.lora} cannot be put onto {config.model} ({first_line(error)}): give the id, "
            "folder or file of ones made for this kind of model."
        ) from error


def place(
    pipeline: Any, controlnets: Sequence[Any], config: WeightsConfig, device: torch.device, dtype: torch.dtype
) -> None:
    """Bring the networks to the device, or let them come there one at a time."""
    vae = pipeline.vae
    if config.memory_saving != "none":
        vae.enable_slicing()
        vae.enable_tiling()
    if dtype == torch.float16 and (vae.config.get("force_upcast") or config.memory_saving == "sequential-offload"):
        # SDXL's autoencoder overflows in 16 bits; and one that comes layer by layer cannot turn to 32 bits later.
        vae.to(dtype=torch.float32)
    for net in controlnets:
        net.to(device)
    if config.memory_saving in ("none", "slicing"):
        pipeline.to(device)
        return
    if device.type != "cuda":
        raise UserError("Offloading moves networks to a GPU, and this run has none: set memory_saving to slicing.")
    if config.memory_saving == "offload":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.enable_sequential_cpu_offload(device=device)


def check_memory(
    folder: Path,
    index: dict[str, Any],
    config: WeightsConfig,
    kind: PipelineKind,
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    """Compare what the edit will need with what the GPU has, before loading.

    Raises:
        UserError: it does not fit.
    """
    if not isinstance(config, DiffusionConfig) or not (folder / "vae" / "config.json").is_file():
        return
    parts = {name: entry for name, entry in index.items() if isinstance(entry, list) and entry[0] is not None}
    need = estimate_memory(
        pipeline_parameters(folder, parts),
        read_json(folder / "unet" / "config.json", config.model),
        read_json(folder / "vae" / "config.json", config.model),
        diffusion_size(1, 1, config.longer_side),
        config.frames_at_once,
        3 if kind == "instruction" else 2,
        torch.finfo(dtype).bits // 8,
        config.memory_saving,
    )
    _logger.info("Editing with %s will take about %.1f GB of memory.", config.model, need.total / GIGABYTE)
    if device.type != "cuda" or not torch.cuda.is_available():
        return
    free, _ = torch.cuda.mem_get_info(device)
    if need.total > free:
        raise UserError(
            f"Editing with {config.model} would take about {need.total / GIGABYTE:.1f} GB, and the GPU has "
            f"{free / GIGABYTE:.1f} GB free: {HOW_TO_SAVE_MEMORY}."
        )


HOW_TO_SAVE_MEMORY = (
    "set the editor's memory_saving to slicing or offload, or lower its frames_at_once or its longer_side"
)


@contextmanager
def told_by_user_errors(model: str) -> Iterator[None]:
    """Tell in a sentence why weights cannot be had."""
    try:
        yield
    except UserError:
        raise
    except torch.OutOfMemoryError as error:
        raise UserError(f"There is no room for {model} in the GPU's memory: {HOW_TO_SAVE_MEMORY}.") from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"The weights of {model} cannot be loaded ({first_line(error)}): go online once, or give the model as a "
            "local folder."
        ) from error


def read_json(path: Path, model: str) -> dict[str, Any]:
    """One of a pipeline's descriptions.

    Raises:
        UserError: it is missing or damaged.
    """
    if not path.is_file():
        raise UserError(
            f"{model} is no diffusion pipeline, for it lacks {path.parent.name}/{path.name}: give a folder in "
            "diffusers' layout, or an id on the Hugging Face hub."
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is damaged ({error}): download {model} again.") from error


def has_weights(model: str) -> bool:
    """Whether a model's weights are on this machine, as a local folder or in the hub's cache."""
    if Path(model).is_dir():
        return (Path(model) / "model_index.json").is_file()
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return False
    weights = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
    # Anything but a path says that the file is not there.
    return isinstance(try_to_load_from_cache(model, "model_index.json"), str) and any(
        isinstance(try_to_load_from_cache(model, f"{part}/{name}"), str)
        for part in ("unet", "transformer")
        for name in weights
    )


def first_line(error: BaseException) -> str:
    """The beginning of a message that may be a page long."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".:")
