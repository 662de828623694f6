"""A data manager of the tiny clip, as tests of what it holds and draws need it."""

from copy import deepcopy

import pytest
import torch

from stage2_nerf.datamanager import PortraitDataManager
from tracking.clip import TrackedClip


@pytest.fixture
def datamanager(tiny_clip: TrackedClip, tiny_preset) -> PortraitDataManager:
    torch.manual_seed(0)
    config = deepcopy(tiny_preset.pipeline.datamanager)
    config.data = tiny_clip.root
    return config.setup(device="cpu", test_mode="val")
