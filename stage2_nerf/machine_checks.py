"""Whether this machine can do what a run asks of it."""

import os
from pathlib import Path

import torch
from nerfstudio.configs.base_config import MachineConfig

from tracking.errors import UserError


def require_devices(machine: MachineConfig) -> None:
    """Check that the devices that are asked for are here.

    Raises:
        UserError: they are not.
    """
    if machine.device_type != "cuda":
        if machine.num_machines > 1:
            raise UserError("Several machines train together with CUDA only: leave out --machine.num-machines.")
        return
    here = torch.cuda.device_count()
    if not here:
        raise UserError("There is no CUDA device here: add `--machine.device-type cpu`.")
    if machine.num_devices > here:
        raise UserError(f"There are {here} CUDA devices here: --machine.num-devices {machine.num_devices} is too many.")


def require_writable(folder: Path) -> None:
    """Check that a folder can be made, or written to if it is there.

    Raises:
        UserError: it cannot.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        raise UserError(f"{existing} is no folder that can be written to: choose another --output-dir.")
