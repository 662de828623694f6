"""Work that is shared among threads is done once, in order, and fails as loudly as work that is not."""

import threading

import numpy as np
import pytest
import torch

from stage2_nerf.kernels import in_slices, on_all_threads


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_slices_cover_everything_once(two_threads: None) -> None:
    done = np.zeros(5000, int)

    def mark(start: int, stop: int) -> None:
        done[start:stop] += 1

    in_slices(mark, 5000)
    assert (done == 1).all()


def test_pieces_come_back_in_order_from_threads_that_compute_alone(two_threads: None) -> None:
    def look(piece: int) -> tuple[int, int, str, bool]:
        return piece, torch.get_num_threads(), threading.current_thread().name, torch.is_grad_enabled()

    with torch.no_grad():
        seen = on_all_threads(look, range(9))
    assert [piece for piece, *_ in seen] == list(range(9))
    assert {threads for _, threads, *_ in seen} == {1}
    assert threading.current_thread().name not in {name for _, _, name, _ in seen}
    assert not any(gradients for *_, gradients in seen)
    assert torch.get_num_threads() == 2


def test_an_error_in_a_piece_arrives(two_threads: None) -> None:
    def fail(piece: int) -> None:
        if piece == 3:
            raise FloatingPointError("piece 3")

    with pytest.raises(FloatingPointError, match="piece 3"):
        on_all_threads(fail, range(5))
