"""The same face is the same person; files of ncnn's give the same numbers as torch."""

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from evaluation.face_alignment import moved, similarity_onto
from evaluation.face_embedding import FACE_SIZE, FIVE_PLACES, FIVE_POINTS, MobileFaceNet, upright_face
from evaluation.identity import IdentityKept
from evaluation.ncnn_network import FLAG_HALF, NcnnNetwork
from tracking.errors import UserError
from tracking.mediapipe_detector import MediaPipeDetector
from tracking.video import VideoReader


class MeanColors:
    """Takes faces for the same whose colours have the same proportions."""

    def embed(self, face):
        color = face.reshape(-1, 3).mean(axis=0).astype(np.float64)
        return color / np.linalg.norm(color)


def test_an_upright_face_has_its_points_in_their_places(scene):
    """White dots at the five points of a small, tilted face come to lie where ArcFace wants them."""
    landmarks = scene.face().landmarks
    tilted = moved(landmarks, np.array([[6.0, 2.0, -150.0], [-2.0, 6.0, 100.0]]))
    picture = np.zeros((700, 700, 3), np.uint8)
    for x, y in tilted[list(FIVE_POINTS)]:
        picture[int(y) - 7 : int(y) + 8, int(x) - 7 : int(x) + 8] = 255
    face = upright_face(picture, tilted)
    assert face.shape == (FACE_SIZE, FACE_SIZE, 3)
    fitted = moved(tilted[list(FIVE_POINTS)], similarity_onto(tilted[list(FIVE_POINTS)], FIVE_PLACES))
    for x, y in fitted:
        assert face[round(y), round(x), 0] > 150
    # A head seen from the front is about what ArcFace's places were made from.
    assert np.abs(fitted - FIVE_PLACES).max() < 6


def test_a_face_is_cut_out_alike_wherever_it_is(scene):
    """A large face far from the picture's corner gives what the same face gives near to it."""
    picture = scene.canvas
    landmarks = 200 + 8 * (scene.face().landmarks - scene.side / 2)
    wide = cv2.copyMakeBorder(picture, 300, 0, 500, 0, cv2.BORDER_REPLICATE)
    near, far = upright_face(picture, landmarks), upright_face(wide, landmarks + np.array([500, 300]))
    assert near.std() > 10
    assert np.abs(near.astype(int) - far)[8:-8, 8:-8].max() <= 1


def test_an_unedited_face_is_the_same_person(scene, measured):
    found = measured(IdentityKept(MeanColors()), [scene.pair(number) for number in range(4)])
    assert found["identity"].value == pytest.approx(1)
    assert found["identity_neighbors"].value == pytest.approx(1)
    assert found["identity_all"].value == pytest.approx(1)


def test_identity_falls_as_the_face_changes(scene, measured):
    red = np.array([255.0, 0, 0])
    values = []
    for share in (0, 0.3, 0.6, 1):
        pairs = [
            scene.pair(number, (scene.picture(number) * (1 - share) + share * red).astype(np.uint8))
            for number in range(2)
        ]
        values.append(measured(IdentityKept(MeanColors()), pairs)["identity"].value)
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(1 / np.sqrt(3), abs=0.02)  # Red against grey.


def test_a_flickering_identity_is_told_from_a_changed_one(scene, measured):
    colors = [np.array([200, 0, 0]), np.array([0, 200, 0])]
    steady = [scene.pair(number, np.full_like(scene.picture(0), colors[0])) for number in range(6)]
    flickering = [scene.pair(number, np.full_like(scene.picture(0), colors[number % 2])) for number in range(6)]
    assert measured(IdentityKept(MeanColors()), steady)["identity_neighbors"].value == pytest.approx(1, abs=0.01)
    found = measured(IdentityKept(MeanColors()), flickering)
    assert found["identity_neighbors"].value == pytest.approx(0, abs=1e-6)
    # Of 15 pairs of frames, 6 show the same colour; the source is its own colour in all.
    assert found["identity_all"].value == pytest.approx(6 / 15, abs=0.01)


def test_faces_that_were_not_found_are_left_out(scene, measured):
    pairs = [scene.pair(0), scene.pair(1, edited_face=None), scene.pair(2)]
    found = measured(IdentityKept(MeanColors()), pairs)
    assert np.isnan(found["identity"].curve).tolist() == [False, True, False]
    assert found["identity_neighbors"].value is None


class TinyNetwork(nn.Module):
    """Every kind of layer that a MobileFaceNet has."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4, eps=1e-3)
        self.slope = nn.PReLU(4)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.last = nn.Linear(4 * 4 * 4, 5)
        for parameter in self.parameters():
            nn.init.normal_(parameter)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)
        nn.init.normal_(self.norm.running_mean)

    def forward(self, picture):
        x = self.slope(self.norm(self.first((picture - 127.5) * 0.25)))
        return self.last((x + self.depthwise(x)).flatten(1))


PARAM = """7767517
9 10
Input data 0 1 data
BinaryOp minus 1 1 data a 0=1 1=1 2=127.500000
BinaryOp times 1 1 a b 0=2 1=1 2=0.250000
Convolution first 1 1 b c 0=4 1=3 11=3 3=2 13=2 4=1 14=1 5=0 6=108
BatchNorm norm 1 1 c d 0=4 1=0.001000
PReLU slope 1 1 d e 0=4
Split split 1 2 e f g
ConvolutionDepthWise depthwise 1 1 f h 0=4 1=3 3=1 4=1 5=1 6=36 7=4
BinaryOp plus 2 1 h g i 0=0
InnerProduct last 1 1 i fc1 0=5 1=1 2=320
"""


def write_ncnn(folder, network, half=False):
    def flagged(weights):
        values = weights.detach().numpy().ravel()
        if not half:
            return np.uint32(0).tobytes() + values.astype("<f4").tobytes()
        content = values.astype("<f2").tobytes()
        return np.uint32(FLAG_HALF).tobytes() + content + bytes(-len(content) % 4)

    def plain(weights):
        return weights.detach().numpy().astype("<f4").tobytes()

    norm = network.norm
    content = [flagged(network.first.weight)]
    content += [plain(values) for values in (norm.weight, norm.running_mean, norm.running_var, norm.bias)]
    content += [plain(network.slope.weight), flagged(network.depthwise.weight), plain(network.depthwise.bias)]
    content += [flagged(network.last.weight), plain(network.last.bias)]
    paths = folder / "tiny.param", folder / "tiny.bin"
    paths[0].write_text(PARAM)
    paths[1].write_bytes(b"".join(content))
    return paths


@pytest.mark.parametrize(("half", "tolerance"), [(False, 1e-4), (True, 3.0)])
def test_a_network_of_ncnns_is_the_one_that_was_written(tmp_path, half, tolerance):
    torch.manual_seed(0)
    network = TinyNetwork().eval()
    picture = torch.randint(0, 256, (1, 3, 8, 8)).float()
    read = NcnnNetwork(*write_ncnn(tmp_path, network, half))
    expected = network(picture).detach()
    assert expected.abs().max() > 100
    torch.testing.assert_close(read(picture), expected, atol=tolerance, rtol=1e-4)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("7767517", "7767516", "not a network"),
        ("PReLU", "Softmax", "Softmax"),
        ("0=4 1=3 11=3 3=2", "0=4 9=1 1=3 11=3 3=2", "options"),
        ("6=108", "6=216", "too early|view|shape"),
        ("0=1 1=1 2=127", "0=7 1=1 2=127", "arithmetic"),
    ],
)
def test_files_that_are_not_understood_are_refused(tmp_path, old, new, complaint):
    param, weights = write_ncnn(tmp_path, TinyNetwork())
    param.write_text(PARAM.replace(old, new))
    if "=216" in new:
        weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(UserError, match=complaint):
        NcnnNetwork(param, weights)


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    param, weights = write_ncnn(tmp_path, TinyNetwork())
    whole = weights.read_bytes()
    for content, complaint in ((whole[:-4], "too early"), (whole + bytes(4), "more weights")):
        weights.write_bytes(content)
        with pytest.raises(UserError, match=complaint):
            NcnnNetwork(param, weights)


def test_a_trained_network_knows_a_face_again(carphone, shared_weights):
    """One man at two moments, and another person."""
    embedder, detector = MobileFaceNet(shared_weights), MediaPipeDetector()
    frames = [frame.image for frame in VideoReader(carphone)]
    other = next((shared_weights.parent / "faces_200px").iterdir())
    other_picture = cv2.copyMakeBorder(cv2.imread(str(other))[..., ::-1].copy(), 60, 60, 60, 60, cv2.BORDER_REPLICATE)
    first, second, stranger = (
        embedder.embed(upright_face(picture, detector.detect(picture)[0].landmarks[:, :2]))
        for picture in (frames[0], frames[80], other_picture)
    )
    assert np.linalg.norm(first) == pytest.approx(1)
    assert first @ second > 0.5
    assert first @ stranger < 0.3
