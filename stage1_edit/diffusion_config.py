"""What the editors that need weights can be set to."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Precision: TypeAlias = Literal["auto", "fp16", "bf16", "fp32"]
MemorySaving: TypeAlias = Literal["none", "slicing", "offload", "sequential-offload"]


@dataclass
class WeightsConfig:
    """Which weights, and how much memory they may take."""

    model: str = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    """Weights: a repository on the Hugging Face hub, or a local folder in diffusers' layout."""
    guidance_scale: float = 7.5
    """How strongly the edit follows the text (s_T); at 1, as distilled models want, the network is asked less often."""
    sampling_steps: int = 20
    """Denoising steps of an edit, whatever its noise level."""
    lora: str = ""
    """Low-rank weights on top, such as few-step ones: a repository on the hub, a folder, or a .safetensors file."""
    lora_scale: float = 1.0
    """How strongly they act."""
    longer_side: int = 512
    """Pixels along the longer side of what the diffusion model sees."""
    precision: Precision = "auto"
    """Numbers that the networks compute with; auto is 16 bits on CUDA and 32 elsewhere. What overflows in fp16 turns to
    32 bits by itself."""
    memory_saving: MemorySaving = "none"
    """slicing decodes frame by frame and in tiles; offload also keeps in the GPU's memory only the network that is at
    work, and sequential-offload only the layer, which is slow."""
    local_files_only: bool = False
    """Never download: fail if the weights are not on this machine."""


@dataclass
class DiffusionConfig(WeightsConfig):
    """Which Stable Diffusion, and how it is sampled."""

    negative_prompt: str = ""
    """What to move away from."""
    scheduler: str = "DDIM"
    """How noise is removed: any of diffusers' schedulers for this kind of model, such as DDIM, EulerDiscrete,
    EulerAncestralDiscrete, DPMSolverMultistep, UniPCMultistep, or for few steps LCM and TCD."""
    frames_at_once: int = 4
    """Frames sampled together at most. Consistency strategies tie those together that are sampled together."""
