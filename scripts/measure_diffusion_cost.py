"""Time and memory of an edit by InstructPix2Pix at its true size: Stable Diffusion 1.5's shape with random weights.

Random weights cost what real ones do, and nothing is downloaded.

    python scripts/measure_diffusion_cost.py --sampling-steps 2                 one frame on the CPU
    python scripts/measure_diffusion_cost.py --device cuda --frames 1 4 8 --precision fp16 bf16

All steps ask the network alike, so that few of them tell what more would take: what an edit of the usual 20 steps takes
is added up from the time of one evaluation and that of all else (text, encoding, decoding), both measured.
Every measurement is kept as soon as it is made, and not made again by the next call with the same `--output`.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from measuring import circumstances, peak_memory_bytes, use_threads, write_measurements
from rich.console import Console

from stage1_edit.choose_editor import EditorConfig, make_editor
from stage1_edit.consistency import ConsistencyName
from stage1_edit.diffusion_config import Precision
from stage1_edit.diffusion_memory import GIGABYTE, estimate_memory
from stage1_edit.diffusion_weights import DiffusionModel, diffusers_library, precision
from stage1_edit.editor import EditRequest
from stage1_edit.instruct_pix2pix import InstructPix2Pix, InstructPix2PixConfig
from stage1_edit.prompts import EditPrompt

CONSOLE = Console()
LETTERS = "abcdefghijklmnopqrstuvwxyz"
USUAL_STEPS = 20
"""Denoising steps of an edit, by the editor's default."""


@dataclass
class Measure:
    """What to measure."""

    output: Path = Path("scripts/measurements/diffusion_cost.json")
    """Where to write the measurements."""
    device: Literal["cpu", "cuda"] = "cpu"
    """What computes."""
    frames: tuple[int, ...] = (1,)
    """Frames edited at once."""
    precision: tuple[Precision, ...] = ("auto",)
    """Numbers that the networks compute with."""
    consistency: tuple[ConsistencyName, ...] = ("none",)
    """What ties the frames together."""
    longer_side: int = 512
    """Pixels along a side."""
    sampling_steps: int = USUAL_STEPS
    """Denoising steps of the edits that are measured."""
    threads: int = 1
    """That torch computes on, on a CPU."""


def main(settings: Measure) -> None:
    """Measure what is not measured yet."""
    use_threads(settings.threads)
    device = torch.device(settings.device)
    known: dict[str, Any] = json.loads(settings.output.read_text())["edits"] if settings.output.exists() else {}
    for number in settings.precision:
        chosen = InstructPix2PixConfig(
            precision=number, longer_side=settings.longer_side, sampling_steps=settings.sampling_steps
        )
        model: DiffusionModel | None = None
        for frames in settings.frames:
            for consistency in settings.consistency:
                name = f"{settings.device} {number} {settings.longer_side} px, {frames} frames, {consistency}"
                if name in known:
                    continue
                model = model or random_model(chosen, device)
                known[name] = measure(chosen, model, frames, consistency)
                CONSOLE.print(name, known[name])
                write_measurements(settings.output, {**circumstances(), "edits": known})


def measure(
    settings: InstructPix2PixConfig, model: DiffusionModel, frames: int, consistency: ConsistencyName
) -> dict[str, Any]:
    """One edit of random pictures from noise level 1."""
    settings.frames_at_once = frames
    config = EditorConfig("instruct-pix2pix", consistency=consistency, anchors=1)
    editor = make_editor(config, settings, model, InstructPix2Pix(settings, model))
    generator = torch.Generator().manual_seed(0)
    side = settings.longer_side
    pictures = torch.rand(frames, side, side, 3, generator=generator)
    matte, labels = torch.ones(side, side, 1), torch.ones(side, side, dtype=torch.uint8)
    prompt = EditPrompt("make it bronze")
    requests = [EditRequest(prompt, picture, picture, matte, labels, 1.0, generator) for picture in pictures]
    on_gpu = model.device.type == "cuda"
    if on_gpu:
        editor.edit(requests)
        torch.cuda.reset_peak_memory_stats()
    now = gpu_clock if on_gpu else time.process_time
    evaluations, started = editor.network_evaluations, now()
    with timed(model.pipeline.unet, now) as network_seconds:
        editor.edit(requests)
    seconds, evaluations = now() - started, editor.network_evaluations - evaluations
    besides, each = seconds - sum(network_seconds), sum(network_seconds) / evaluations
    usual = evaluations * USUAL_STEPS / settings.sampling_steps
    parts = {part: count(getattr(model.pipeline, part)) for part in ("unet", "vae", "text_encoder")}
    dtype = precision(settings, "instruction", model.device)
    need = estimate_memory(
        parts, model.pipeline.unet.config, model.pipeline.vae.config, (side, side), frames, 3, dtype.itemsize
    )
    return {
        "clock": "the wall's" if on_gpu else f"the processor's, over {torch.get_num_threads()} threads",
        "sampling_steps": settings.sampling_steps,
        "seconds_a_frame": round(seconds / frames, 2),
        "network_evaluations": evaluations,
        "seconds_a_network_evaluation": round(each, 3),
        "seconds_a_frame_besides_the_network": round(besides / frames, 2),
        f"seconds_a_frame_of_{USUAL_STEPS}_steps": round((besides + usual * each) / frames, 1),
        f"of_{USUAL_STEPS}_steps_is": "measured" if settings.sampling_steps == USUAL_STEPS else "added up",
        "peak_gigabytes": round(peak_memory_bytes() / GIGABYTE, 2),
        "peak_is_of": "the GPU's tensors" if on_gpu else "the whole process, ever",
        "estimated_gigabytes": round(need.total / GIGABYTE, 2),
        "parameters": parts,
    }


def gpu_clock() -> float:
    """Seconds, when all that was asked of the GPU is done."""
    torch.cuda.synchronize()
    return time.perf_counter()


@contextmanager
def timed(network: torch.nn.Module, now: Callable[[], float]) -> Iterator[list[float]]:
    """Take the time of every pass through a network."""
    begun: list[float] = []
    seconds: list[float] = []
    hooks = [
        network.register_forward_pre_hook(lambda *_: begun.append(now())),
        network.register_forward_hook(lambda *_: seconds.append(now() - begun[-1])),
    ]
    try:
        yield seconds
    finally:
        for hook in hooks:
            hook.remove()


def random_model(settings: InstructPix2PixConfig, device: torch.device) -> DiffusionModel:
    """Stable Diffusion 1.5's InstructPix2Pix by its published configuration, without its training."""
    library = diffusers_library()
    import transformers

    dtype = precision(settings, "instruction", device)
    with torch.device(device):
        unet = library.UNet2DConditionModel(sample_size=64, in_channels=8, cross_attention_dim=768)
        vae = library.AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=4,
        )
        text = transformers.CLIPTextConfig(
            hidden_size=768,
            intermediate_size=3072,
            num_attention_heads=12,
            num_hidden_layers=12,
            max_position_embeddings=77,
            bos_token_id=52,
            eos_token_id=53,
        )
        encoder = transformers.CLIPTextModel(text)
    pipeline = library.StableDiffusionInstructPix2PixPipeline(
        vae=vae.eval(),
        text_encoder=encoder.eval(),
        tokenizer=letter_tokenizer(transformers),
        unet=unet.eval(),
        scheduler=library.DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, clip_sample=False
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return DiffusionModel(pipeline.to(device, dtype), device)


def letter_tokenizer(transformers: Any) -> Any:
    """CLIP's tokenizer with letters for a vocabulary."""
    pieces: Sequence[str] = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "vocab.json").write_text(json.dumps({piece: index for index, piece in enumerate(pieces)}))
        Path(folder, "merges.txt").write_text("#version: 0.2\n")
        return transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=77)


def count(network: torch.nn.Module) -> int:
    """The numbers that a network has."""
    return sum(parameter.numel() for parameter in network.parameters())


if __name__ == "__main__":
    main(tyro.cli(Measure))
