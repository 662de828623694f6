"""Pictures of the skin show what the similarity to them says, whatever the size and the turn of the face."""

import numpy as np
import pytest

from tracking.cameras import rotation_from_vector
from tracking.head_model import HeadModel
from tracking.skin_pictures import SKIN_PIXELS, skin_picture, to_skin_picture


def face_at(x: float, y: float, pixels_per_centimeter: float, degrees: float) -> np.ndarray:
    """The mean face laid into a picture, turned clockwise."""
    turn = rotation_from_vector(np.radians([0.0, 0.0, -degrees]))
    return (HeadModel.load().mean @ turn.T) * [pixels_per_centimeter, -pixels_per_centimeter, 1] + [x, y, 0]


@pytest.mark.parametrize("size", [4.0, 12.0, 30.0])
@pytest.mark.parametrize("degrees", [0.0, 25.0, -60.0])
def test_a_spot_is_where_the_similarity_takes_it(size: float, degrees: float) -> None:
    face = face_at(330, 310, size, degrees)
    spot = np.rint(face[4, :2])
    rows, columns = np.mgrid[:640, :640] + 0.5
    image = 255 * np.exp(-((columns - spot[0]) ** 2 + (rows - spot[1]) ** 2) / (2 * (0.5 * size) ** 2))
    shown = skin_picture(np.repeat(image.astype(np.uint8)[..., None], 3, axis=2), face).astype(float)
    turn, shift = np.split(to_skin_picture(face), [2], axis=1)
    rows, columns = np.mgrid[:SKIN_PIXELS, :SKIN_PIXELS] + 0.5
    center = np.array([(shown * columns).sum(), (shown * rows).sum()]) / shown.sum()
    np.testing.assert_allclose(center, turn @ spot + shift[:, 0], atol=0.15)


def test_faces_are_upright_and_of_one_size() -> None:
    for size, degrees in ((5.0, 0.0), (20.0, 40.0), (11.0, -30.0)):
        face = face_at(100, 80, size, degrees)
        turn, shift = np.split(to_skin_picture(face), [2], axis=1)
        laid = face[:, :2] @ turn.T + shift[:, 0]
        right, left = laid[[33, 263]]
        assert abs(left[1] - right[1]) < 1e-6
        assert left[0] > right[0]
        assert 0.75 * SKIN_PIXELS < np.ptp(laid[:, 1]) < 0.9 * SKIN_PIXELS


def test_a_face_outside_the_picture_is_black() -> None:
    assert not skin_picture(np.full((40, 40, 3), 200, np.uint8), face_at(-500, 20, 5.0, 0.0)).any()


def test_a_face_at_the_edge_goes_on_as_the_edge_is() -> None:
    shown = skin_picture(np.full((200, 200, 3), 90, np.uint8), face_at(190, 100, 8.0, 0.0))
    assert (shown == 90).all()
