"""Whether this machine can do what a run asks of it."""

import os
import socket
from pathlib import Path

import torch
from nerfstudio.configs.base_config import MachineConfig, ViewerConfig

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


def require_free_port(viewer: ViewerConfig) -> None:
    """Check that the port that is named for the viewer is nobody's; nerfstudio would name it and listen at another.

    Raises:
        UserError: it is taken.
    """
    if viewer.websocket_port is None:
        return
    with socket.socket() as probe:
        # As a server binds: a port that was given up a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((viewer.websocket_host, viewer.websocket_port))
        except OSError as error:
            raise UserError(
                f"The viewer cannot listen at {viewer.websocket_host}:{viewer.websocket_port} ({error.strerror}): name "
                "another --viewer.websocket-port, or leave it out to take one that is free."
            ) from error


def require_writable(folder: Path) -> None:
    """Check that a folder can be made, or written to if it is there.

    Raises:
        UserError: it cannot.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        raise UserError(f"{existing} is no folder that can be written to: choose another --output-dir.")
