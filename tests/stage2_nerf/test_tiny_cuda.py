"""Hash grids and fused networks: laid out as tiny-cuda-nn lays them out, and read alike by torch."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from stage2_nerf import tiny_cuda
from stage2_nerf.canonical_field import CanonicalField, CanonicalFieldConfig
from stage2_nerf.encodings import BlendedEncodingConfig, BlendedHashGrids
from stage2_nerf.tiny_cuda import FusedNetwork, HashGrid, has_tiny_cuda
from tracking.errors import UserError

needs_tiny_cuda = pytest.mark.skipif(not has_tiny_cuda(), reason="needs a CUDA device and tinycudann")


def grid(levels=2, coarsest=4, finest=40, log2_entries=10, features=2, implementation="torch"):
    torch.manual_seed(0)
    made = HashGrid(levels, coarsest, finest, log2_entries, features, implementation)
    torch.nn.init.normal_(made.params)
    return made


def test_levels_have_the_published_sizes():
    """Instant-NGP's own: 16 levels, 16 to 2048 vertices a side, at most 2^19 entries; the first have 16^3, 23^3."""
    made = HashGrid(16, 16, 2048, 19, 1, "torch")
    assert made.resolutions[0] == 16 and made.resolutions[-1] in (2048, 2049)
    assert made.entries[0] == 16**3
    assert made.entries[1] == -(-(made.resolutions[1] ** 3) // 8) * 8
    assert made.entries[-1] == 2**19
    assert len(made.params) == sum(made.entries)


def test_a_dense_level_counts_x_then_y_then_z_and_is_shifted_by_half_a_cell():
    made = grid(levels=1, coarsest=4, features=1)
    with torch.no_grad():
        x, y, z = np.meshgrid(np.arange(4), np.arange(4), np.arange(4), indexing="ij")
        made.params[torch.from_numpy((x + 4 * y + 16 * z).ravel())] = torch.from_numpy(
            (x + 10.0 * y + 100 * z).ravel()
        ).float()
    unit = torch.tensor([[0.2, 0.5, 0.7], [0.0, 0.0, 0.0]])
    steps = unit * 3 + 0.5
    expected = steps @ torch.tensor([[1.0], [10], [100]])
    assert_close(made(unit), expected, atol=1e-4, rtol=1e-5)


def test_a_level_too_fine_for_its_table_is_hashed_in_32_bits():
    made = grid(levels=2, coarsest=4, finest=40, log2_entries=10)
    scale, side = made.scales[1], made.resolutions[1]
    assert side**3 > 1024 == made.entries[1]
    vertex = np.array([[3, 17, 29], [38, 1, 0], [11, 38, 38]], dtype=np.uint32)
    unit = torch.from_numpy((vertex - 0.5) / scale).float()
    with np.errstate(over="ignore"):
        index = vertex[:, 0] ^ (vertex[:, 1] * np.uint32(2654435761)) ^ (vertex[:, 2] * np.uint32(805459861))
    table = made.params[made.entries[0] * 2 :].view(-1, 2)
    assert_close(made(unit)[:, 2:], table[torch.from_numpy((index % 1024).astype(np.int64))], atol=1e-3, rtol=1e-3)


def test_ones_are_appended_to_a_networks_inputs():
    torch.manual_seed(0)
    network = FusedNetwork(20, 16, 5, "torch")
    assert len(network.params) == 16 * 32 + 16 * 16
    values = torch.randn(9, 20)
    first = network.params[: 16 * 32].view(16, 32)
    second = network.params[16 * 32 :].view(16, 16)
    padded = torch.cat([values, torch.ones(9, 12)], dim=1)
    assert_close(network(values), (torch.relu(padded @ first.T) @ second.T)[:, :5])


def test_hash_grids_notice_that_they_are_read_in_another_order():
    config = BlendedEncodingConfig(hash_levels=3, log2_hashmap_size=8, hash_max_resolution=32)
    trained, read = BlendedHashGrids(config, 3), BlendedHashGrids(config, 3)
    torch.nn.init.normal_(trained.tables[0].params)
    state = {key: value.clone() for key, value in trained.state_dict().items()}
    read.load_state_dict(state)
    assert read.is_read_rightly()
    state["tables.0.params"] = state["tables.0.params"].roll(8)
    read.load_state_dict(state)
    assert not read.is_read_rightly()


def test_without_tiny_cuda_nn_the_message_names_the_cure(monkeypatch):
    tiny_cuda.load_tinycudann.cache_clear()
    if torch.cuda.is_available():
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="hash_implementation at auto"):
        grid(implementation="tcnn")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setitem(__import__("sys").modules, "tinycudann", None)
    with pytest.raises(UserError, match="pip install"):
        grid(implementation="tcnn")


@needs_tiny_cuda
def test_tiny_cuda_nn_looks_up_what_torch_does():
    ours = HashGrid(16, 16, 1024, 16, 8, "torch").cuda()
    theirs = HashGrid(16, 16, 1024, 16, 8, "tcnn").cuda()
    torch.nn.init.uniform_(ours.params, -1, 1)
    theirs.load_state_dict(ours.state_dict())
    found = []
    for made in (ours, theirs):
        unit = torch.rand(1000, 3, device="cuda", generator=torch.Generator("cuda").manual_seed(0)).requires_grad_()
        values = made(unit)
        (values * torch.linspace(-1, 1, values.shape[1], device="cuda")).sum().backward()
        found.append((values.detach(), made.params.grad, unit.grad))
    for mine, other, tolerance in zip(*found, (5e-3, 2e-2, 1.0), strict=True):
        assert_close(mine, other, atol=tolerance, rtol=2e-2)


@needs_tiny_cuda
def test_tiny_cuda_nns_network_gives_what_torchs_does():
    ours = FusedNetwork(32, 64, 33, "torch").cuda()
    theirs = FusedNetwork(32, 64, 33, "tcnn").cuda()
    theirs.load_state_dict(ours.state_dict())
    values = torch.randn(1000, 32, device="cuda")
    assert_close(theirs(values), ours(values), atol=2e-2, rtol=2e-2)


@needs_tiny_cuda
def test_a_field_of_tiny_cuda_nns_learns():
    torch.manual_seed(0)
    box = torch.tensor([[-1.0, -1, -1], [1, 1, 1]])
    field = CanonicalField(CanonicalFieldConfig(code_size=3), box, torch.rand(10, 4), None).cuda()
    assert isinstance(field.encoding, BlendedHashGrids)
    optimizer = torch.optim.Adam(field.parameters(), lr=1e-2, eps=1e-15)
    losses = []
    for _ in range(50):
        positions = torch.rand(4096, 3, device="cuda") * 2 - 1
        frame = torch.randint(2, (4096,), device="cuda")
        blended = field.blend(torch.rand(2, 4, device="cuda"))
        density, _ = field(field.to_canonical(positions, frame, blended), frame, blended)
        loss = ((1 - torch.exp(-density)) - (positions.norm(dim=1) < 0.5).float()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < 0.5 * losses[0]
