"""Clips tracked elsewhere: every format's conventions are undone, and the poses keep their motion.

A stretch of the demo clip with poses of our own is written as each format would hold it, in another head space, unit
and camera convention, and must come back.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tracking.cameras import opengl_to_opencv, rigid, rigid_inverse, rotation_from_vector, vector_from_rotation
from tracking.choose_detector import make_detector
from tracking.clip import Intrinsics, TrackedClip
from tracking.errors import UserError
from tracking.face_linking import link_longest_face
from tracking.fit_stages import CameraStage
from tracking.fitting import FitConfig, fit_head
from tracking.foreign_clip import ForeignClip, nearest_rigid
from tracking.import_clip import ImportConfig, import_clip, import_expressions, read_foreign, recognize
from tracking.import_pictures import with_given_matte
from tracking.pose_alignment import Alignment, align_poses
from tracking.regions import Label
from tracking.segmentation import SegmentationConfig
from tracking.video import VideoReader

SCALE, TURN, SHIFT = 0.011, rotation_from_vector(np.array([0.12, -0.2, 0.05])), np.array([0.013, -0.02, 0.04])
"""Of the other programs' head space, in ours: FLAME's metres, and axes of their own."""
CENTER = (90.5, 70.25)
FIRST_NUMBER = 3


@dataclass(frozen=True)
class Filmed:
    """Frames with poses that are known."""

    images: list[np.ndarray]
    landmarks: np.ndarray
    tracked: np.ndarray
    camera_to_head: np.ndarray
    intrinsics: Intrinsics

    @property
    def foreign_camera_to_head(self) -> np.ndarray:
        """In the other programs' head space, OpenGL's axes: x' = SCALE TURN x + SHIFT."""
        rotation, translation = self.camera_to_head[:, :3, :3], self.camera_to_head[:, :3, 3]
        return rigid(TURN @ rotation, SCALE * translation @ TURN.T + SHIFT)

    def matte(self, position: int) -> np.ndarray:
        """A disc, wherever the face is, with a soft rim."""
        height, width = self.images[0].shape[:2]
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        distance = np.hypot(x - self.landmarks[position, 4, 0], y - self.landmarks[position, 4, 1])
        return np.rint(np.clip((60 - distance) / 10, 0, 1) * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def filmed(carphone: Path) -> Filmed:
    images = [frame.image for frame in VideoReader(carphone)][:96:4]
    height, width = images[0].shape[:2]
    detector = make_detector()
    face = link_longest_face([detector.detect(image) for image in images])
    assert face.tracked.all()
    config = FitConfig(camera=CameraStage(focal_length=1.6))
    fit = fit_head(face.landmarks, face.tracked, width, height, config, center=CENTER)
    assert fit.tracked.all()
    return Filmed(images, face.landmarks, face.tracked, fit.camera_to_head, fit.intrinsics)


def write_picture(path: Path, image: np.ndarray, alpha: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = image[..., ::-1] if image.ndim == 3 else image
    cv2.imwrite(str(path), stored if alpha is None else np.dstack([stored, alpha]))


def write_insta(root: Path, filmed: Filmed) -> None:
    camera = filmed.intrinsics
    frames = []
    for position, pose in enumerate(opengl_to_opencv(filmed.foreign_camera_to_head)):
        name = f"{position + FIRST_NUMBER:05d}"
        write_picture(root / f"images/{name}.png", filmed.images[position], filmed.matte(position))
        frames.append(
            {"transform_matrix": pose.tolist(), "file_path": f"images/{name}.png", "exp_path": f"flame/exp/{name}.txt"}
        )
    keys = {"fl_x": camera.focal_length, "fl_y": camera.focal_length, "cx": camera.center_x, "cy": camera.center_y}
    # Its export lists frames in the order in which processes finish.
    (root / "transforms.json").write_text(json.dumps({**keys, "w": 176.0, "h": 144.0, "frames": frames[::-1]}))


def write_nerfblendshape(root: Path, filmed: Filmed) -> None:
    camera = filmed.intrinsics
    frames = []
    for position, pose in enumerate(filmed.foreign_camera_to_head):
        number = position + FIRST_NUMBER
        write_picture(root / f"ori_imgs/{number}.png", filmed.images[position])
        parsing = np.full((144, 176, 3), 255, np.uint8)
        parsing[filmed.matte(position) > 127] = (0, 0, 255)
        write_picture(root / f"parsing/{number}.png", parsing)
        frames.append({"img_id": number, "transform_matrix": pose.tolist(), "exp_ori": [0.0] * 46})
    keys = {"fx": camera.focal_length, "fy": camera.focal_length, "cx": CENTER[0] - 0.5, "cy": CENTER[1] - 0.5}
    (root / "transforms.json").write_text(json.dumps({**keys, "w": 176, "h": 144, "frames": frames}))


def write_nerface(root: Path, filmed: Filmed) -> None:
    frames = []
    # An axis that the intrinsics turn over is turned over in the pose too.
    poses = filmed.foreign_camera_to_head @ np.diag([-1.0, 1.0, 1.0, 1.0])
    for position, pose in enumerate(poses):
        split, number = ("train", position) if position < 16 else ("test", position - 16)
        write_picture(root / f"{split}/f_{number:04d}.png", filmed.images[position])
        frames.append(
            {"file_path": f"./{split}/f_{number:04d}", "transform_matrix": pose.tolist(), "expression": [0.0] * 76}
        )
    focal, center = filmed.intrinsics.focal_length, (np.array(CENTER) - 0.5) / [176, 144]
    for split, part in (("train", frames[:16]), ("val", frames[16:16]), ("test", frames[16:])):
        description = {"camera_angle_x": 0.5, "intrinsics": [-focal, focal, *center], "frames": part}
        (root / f"transforms_{split}.json").write_text(json.dumps(description))


CAMERA_TO_WORLD = rigid(rotation_from_vector(np.array([0.1, 0.3, 0.0])), np.array([0.2, 0.1, 1.2]))
JOINTS = np.array([[0.0, -0.16, -0.03], [0.005, -0.09, -0.04]])
"""Of FLAME's root and neck, in its head space."""


def flame_parameters(filmed: Filmed, camera_to_world: np.ndarray) -> dict[str, np.ndarray]:
    """FLAME's poses that put the head where it is: world = R_g (R_n (x - j1) + j1 - j0) + j0 + t."""
    head_to_camera = rigid_inverse(filmed.foreign_camera_to_head)
    head_to_world = camera_to_world @ head_to_camera
    count = len(head_to_world)
    neck = rotation_from_vector(
        0.1 * np.stack([np.sin(np.arange(count)), np.cos(np.arange(count)), np.zeros(count)], 1)
    )
    whole = head_to_world[:, :3, :3] @ neck.swapaxes(1, 2)
    root, top = JOINTS
    translation = head_to_world[:, :3, 3] - root - np.einsum("fij,fj->fi", whole, top - root - neck @ top)
    arrays = {
        "rotation": vector_from_rotation(whole),
        "neck_pose": vector_from_rotation(neck),
        "translation": translation,
        "jaw_pose": np.zeros((count, 3)),
        "eyes_pose": np.zeros((count, 6)),
        "expr": np.zeros((count, 100)),
    }
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def write_vhap(root: Path, filmed: Filmed) -> None:
    camera = filmed.intrinsics
    parameters = flame_parameters(filmed, CAMERA_TO_WORLD)
    (root / "flame_param").mkdir(parents=True)
    frames = []
    for position, image in enumerate(filmed.images):
        number = position + FIRST_NUMBER
        name = f"{number:05d}_00.png"
        write_picture(root / "images" / name, image)
        write_picture(root / "fg_masks" / name, filmed.matte(position))
        path = f"flame_param/{number:05d}.npz"
        np.savez(root / path, shape=np.zeros(300), **{k: v[[position]] for k, v in parameters.items()})
        frames.append(
            {
                **{"timestep_index": number, "camera_index": 0, "cx": camera.center_x, "cy": camera.center_y},
                **{"fl_x": camera.focal_length, "fl_y": camera.focal_length, "w": 176, "h": 144},
                **{"transform_matrix": CAMERA_TO_WORLD.tolist(), "file_path": f"images/{name}"},
                **{"fg_mask_path": f"fg_masks/{name}", "flame_param_path": path},
            }
        )
    (root / "transforms.json").write_text(json.dumps({"frames": frames}))


def write_flame(root: Path, filmed: Filmed) -> None:
    camera_to_world = rigid(np.eye(3), np.array([0.0, 0.0, 1.0]))
    for position, image in enumerate(filmed.images):
        write_picture(root / f"images/{position + FIRST_NUMBER:05d}.png", image)
    focal = np.array([filmed.intrinsics.focal_length / 176])
    np.savez(root / "tracked_flame_params_30.npz", focal_length=focal, **flame_parameters(filmed, camera_to_world))


WRITERS: dict[str, Callable[[Path, Filmed], None]] = {
    "insta": write_insta,
    "nerfblendshape": write_nerfblendshape,
    "nerface": write_nerface,
    "vhap": write_vhap,
    "flame": write_flame,
}
HAS_MATTES = {"insta", "nerfblendshape", "vhap"}
HAS_JOINTS = {"vhap", "flame"}


def read(root: Path, kind: str) -> ForeignClip:
    assert recognize(root) == kind
    return read_foreign(root, recognize(root), ImportConfig())


def true_alignment(kind: str) -> Alignment:
    """What takes the format's poses to ours: e = d / s, k = 1 / s, and its joints in our head space."""
    joints = (JOINTS - SHIFT) / SCALE @ TURN if kind in HAS_JOINTS else np.zeros((0, 3))
    return Alignment(TURN, SHIFT / SCALE, 1 / SCALE, joints)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_formats_conventions_are_undone(kind: str, filmed: Filmed, tmp_path: Path) -> None:
    WRITERS[kind](tmp_path, filmed)
    foreign = read(tmp_path, kind)
    assert (np.diff(foreign.numbers) == 1).all()
    assert foreign.intrinsics.focal_length == pytest.approx(filmed.intrinsics.focal_length, rel=1e-6)
    center = (88, 72) if kind == "flame" else CENTER
    assert (foreign.intrinsics.center_x, foreign.intrinsics.center_y) == pytest.approx(center)
    for position in (0, 7, 23):
        np.testing.assert_array_equal(foreign.image(position), filmed.images[position])
        matte = foreign.matte(position)
        assert (matte is not None) == (kind in HAS_MATTES)
        if matte is not None:
            truth = filmed.matte(position) / 255
            np.testing.assert_allclose(matte, truth > 0.5 if kind == "nerfblendshape" else truth, atol=1e-6)
    poses = true_alignment(kind).head_to_camera(foreign.poses)
    expected = rigid_inverse(filmed.camera_to_head)
    np.testing.assert_allclose(poses, expected, atol=2e-4)


@pytest.mark.parametrize("kind", WRITERS)
def test_poses_come_back_in_our_head_space_with_their_motion(kind: str, filmed: Filmed, tmp_path: Path) -> None:
    WRITERS[kind](tmp_path, filmed)
    foreign = read(tmp_path, kind)
    foreign = replace(foreign, intrinsics=filmed.intrinsics)
    head = align_poses(foreign.poses, filmed.landmarks, filmed.tracked, foreign.intrinsics)
    # The law: seen from one frame, the head turns to any other exactly as the other program says.
    turned = head.camera_to_head[0, :3, :3].T @ head.camera_to_head[:, :3, :3]
    given = foreign.poses.rotation
    np.testing.assert_allclose(turned, given[0] @ given.swapaxes(1, 2), atol=1e-9)
    difference = vector_from_rotation(head.camera_to_head[:, :3, :3] @ filmed.camera_to_head[:, :3, :3].swapaxes(1, 2))
    assert np.degrees(np.linalg.norm(difference, axis=1)).max() < 1.0
    place, truth = (rigid_inverse(poses)[:, :3, 3] for poses in (head.camera_to_head, filmed.camera_to_head))
    assert np.linalg.norm((place - truth)[:, :2], axis=1).max() < 0.5
    assert np.abs(place[:, 2] / truth[:, 2] - 1).max() < 0.05
    assert np.median(head.reprojection_error) < 0.8


def test_a_mirrored_world_is_mirrored_back(filmed: Filmed) -> None:
    mirrored = np.diag([-1.0, 1.0, 1.0, 1.0]) @ filmed.camera_to_head
    np.testing.assert_allclose(nearest_rigid(mirrored), filmed.camera_to_head, atol=1e-6)
    with pytest.raises(UserError, match="not rotations"):
        nearest_rigid(filmed.camera_to_head @ np.diag([2.0, 2.0, 2.0, 1.0]))


def test_poses_of_another_clip_are_refused(filmed: Filmed, tmp_path: Path) -> None:
    write_insta(tmp_path, filmed)
    foreign = read(tmp_path, "insta")
    tumbling = rotation_from_vector(np.linspace([0, 0, 0], [0, 6, 3], len(filmed.images)))
    poses = replace(foreign.poses, rotation=tumbling)
    with pytest.raises(UserError, match=r"do not fit the pictures|behind the camera"):
        align_poses(poses, filmed.landmarks, filmed.tracked, filmed.intrinsics)


QUICK = SegmentationConfig(plate_samples=6, label_samples=6)


@pytest.fixture(scope="module")
def imported(filmed: Filmed, tmp_path_factory: pytest.TempPathFactory) -> TrackedClip:
    root = tmp_path_factory.mktemp("import")
    write_vhap(root / "data", filmed)
    return import_clip(root / "data", root / "clip", ImportConfig(frame_rate=7.5, segmentation=QUICK))


def test_an_imported_clip_is_whole_and_holds_the_other_programs_pictures(imported: TrackedClip, filmed: Filmed) -> None:
    assert imported.frames.tolist() == list(range(len(filmed.images)))
    np.testing.assert_allclose(imported.seconds, np.arange(len(filmed.images)) / 7.5)
    for frame in (0, 11, 23):
        np.testing.assert_array_equal(imported.image(frame), filmed.images[frame])
        np.testing.assert_allclose(imported.matte(frame), filmed.matte(frame) / 255, atol=1e-6)
        np.testing.assert_array_equal(imported.labels(frame) == Label.BACKGROUND, imported.matte(frame) == 0)
    names = sorted(path.name for path in imported.root.parent.iterdir())
    assert names == ["clip", "data"]


def test_an_imported_clips_video_has_its_frames_and_time_stamps(imported: TrackedClip, filmed: Filmed) -> None:
    frames = list(VideoReader(Path(imported.source.path)))
    assert [frame.timestamp for frame in frames] == imported.track.presentation_timestamps.tolist()
    for frame, image in zip(frames, filmed.images, strict=True):
        np.testing.assert_array_equal(frame.image, image)


def test_missing_frames_leave_a_gap_in_time(filmed: Filmed, tmp_path: Path) -> None:
    filmed = replace(filmed, images=filmed.images[:13], camera_to_head=filmed.camera_to_head[:13])
    write_insta(tmp_path / "data", filmed)
    path = tmp_path / "data" / "transforms.json"
    description = json.loads(path.read_text())
    description["frames"] = [f for f in description["frames"] if f["file_path"] != "images/00008.png"]
    path.write_text(json.dumps(description))
    clip = import_clip(tmp_path / "data", tmp_path / "clip", ImportConfig(frame_rate=10, segmentation=QUICK))
    np.testing.assert_allclose(np.diff(clip.seconds), [0.1] * 4 + [0.2] + [0.1] * 6)
    np.testing.assert_array_equal(clip.image(5), filmed.images[6])


def test_expressions_of_a_live_link_recording_replace_the_fitted_ones(imported: TrackedClip, tmp_path: Path) -> None:
    from tracking.arkit_csv import EXPRESSION_COLUMNS

    clip = replace(imported, root=tmp_path / "clip")
    clip.root.mkdir()
    for path in imported.root.iterdir():
        if path.suffix not in (".json", ".npz"):
            (clip.root / path.name).symlink_to(path)
    clip.save_description()
    times = np.arange(0, 1.5, 1 / 30)
    rows = [",".join(["Time", *EXPRESSION_COLUMNS])]
    rows += [",".join([f"{t:.6f}", *[f"{t / 2:.6f}"] * 52]) for t in times]
    (tmp_path / "face.csv").write_text("\n".join(rows))
    changed = import_expressions(tmp_path / "face.csv", clip.root, offset=1.0)
    covered = (clip.seconds >= 1.0) & (clip.seconds <= 1.0 + times[-1])
    expected = np.where(covered[:, None], (clip.seconds[:, None] - 1) / 2, imported.track.expression)
    assert 5 < covered.sum() < len(covered)
    np.testing.assert_allclose(changed.track.expression, expected, atol=1e-5)
    with pytest.raises(UserError, match=r"covers no tracked frame .* --offset"):
        import_expressions(tmp_path / "face.csv", clip.root, offset=100.0)


def test_labels_follow_a_given_matte() -> None:
    labels = np.full((4, 6), Label.BACKGROUND, np.uint8)
    labels[:, 2], labels[:, 3] = Label.HAIR, Label.FACE_SKIN
    matte = np.tile(np.array([0, 0.5, 1, 1, 1, 0.1], np.float32), (4, 1))
    row = [Label.BACKGROUND, Label.HAIR, Label.HAIR, Label.FACE_SKIN, Label.FACE_SKIN, Label.FACE_SKIN]
    np.testing.assert_array_equal(with_given_matte(labels, matte), np.tile(np.array(row, np.uint8), (4, 1)))


def edit_json(path: Path, edit: Callable[[dict], object]) -> None:
    description = json.loads(path.read_text())
    edit(description)
    path.write_text(json.dumps(description))


@pytest.mark.parametrize(
    ("kind", "damage", "message"),
    [
        ("insta", lambda d: d.pop("fl_x") and d.pop("fl_y"), "gives no focal length"),
        ("insta", lambda d: d.update(fl_y=2 * d["fl_y"]), "pixels are square"),
        ("insta", lambda d: d["frames"][3].pop("transform_matrix"), "without a sound transform_matrix"),
        ("insta", lambda d: d["frames"][3].update(file_path="images/77777.png"), "77777.png is missing"),
        ("insta", lambda d: d["frames"].clear(), "lists no frames"),
        ("insta", lambda d: [f.pop("exp_path") for f in d["frames"]], "of no format that is known"),
        ("vhap", lambda d: d["frames"][3].update(fl_x=500.0, fl_y=500.0), "changes its focal length"),
        ("vhap", lambda d: d["frames"][3].update(camera_index=4), "has the cameras 0, 4: choose one with --camera"),
        ("vhap", lambda d: d["frames"][3].update(flame_param_path="none.npz"), "none.npz is missing"),
        ("vhap", lambda d: [f.pop("flame_param_path") for f in d["frames"]], "without FLAME parameters"),
        ("nerfblendshape", lambda d: d.pop("cx"), "lacks cx"),
    ],
)
def test_damaged_data_sets_are_told_in_a_sentence(
    kind: str, damage: Callable[[dict], object], message: str, filmed: Filmed, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    WRITERS[kind](root, replace(filmed, images=filmed.images[:5], camera_to_head=filmed.camera_to_head[:5]))
    edit_json(root / "transforms.json", damage)
    with pytest.raises(UserError, match=message):
        import_clip(root, tmp_path / "clip")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    for source, message in ((tmp_path / "none", "does not exist"), (tmp_path, "neither transforms.json nor")):
        with pytest.raises(UserError, match=message):
            import_clip(source, tmp_path / "clip")
    (tmp_path / "transforms.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        import_clip(tmp_path, tmp_path / "clip")


def test_pictures_without_a_face_are_refused_and_leave_nothing(filmed: Filmed, tmp_path: Path) -> None:
    grey = [np.full_like(image, 128) for image in filmed.images[:12]]
    write_insta(tmp_path / "data", replace(filmed, images=grey, camera_to_head=filmed.camera_to_head[:12]))
    with pytest.raises(UserError, match="A face was found in 0 of the 12 pictures"):
        import_clip(tmp_path / "data", tmp_path / "clip")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_published_nerfblendshape_set_is_read_from_its_video(filmed: Filmed, carphone: Path, tmp_path: Path) -> None:
    write_nerfblendshape(tmp_path, filmed)
    for path in (tmp_path / "ori_imgs").iterdir():
        path.unlink()
    (tmp_path / "id1.mp4").symlink_to(carphone)
    foreign = read(tmp_path, "nerfblendshape")
    frames = [frame.image for frame in VideoReader(carphone)]
    for position in (5, 6, 2):
        np.testing.assert_array_equal(foreign.image(position), frames[position + FIRST_NUMBER])
