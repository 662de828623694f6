"""Make `tracking/data/head_model.npz`: a linear head in MediaPipe's mesh, from measurements of talking clips.

    python scripts/make_head_model.py --clips a.mp4 b.mp4 --landmarker face_landmarker.task

MediaPipe's FaceLandmarker gives 478 points and the scores of ARKit's expressions for frames of every clip. The frames
are brought into one pose; expressions are the ridge regression of points on scores, drawn toward the handwritten
displacements of `authored_expressions.py` as strongly as the clips say little about them; the neutral face is what is
left, averaged over the clips and made symmetric. The identity basis knows no person: it is the mesh's own smooth modes.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import tyro
from authored_expressions import EXPRESSION_NAMES, Face, author, lips_meeting, mirror_name, mirrored
from face_mesh import MESH_POINTS, OPENINGS, find_mirror, graph_laplacian, open_mesh, resting_modes, smooth_modes, strip
from head_alignment import align_frames, to_head_space, undo_perspective
from jaxtyping import Float, Int

logger = logging.getLogger(__name__)

LIPS_CLOSED = 0.98
"""How much of the gap between the resting lips is closed; a hair's breadth keeps their points apart."""

HANDWRITTEN = ("eyeSquintLeft", "eyeSquintRight")
"""Expressions that clips do not measure, however high they score: the landmarker's squint also tells of blinks and
smiles, and regression would take their lids and cheeks for its own."""


@dataclass
class Arguments:
    """Make the head model from talking clips."""

    clips: tuple[Path, ...]
    """Videos of different people talking, one face each."""
    landmarker: Path
    """MediaPipe's face_landmarker.task."""
    output: Path = Path("tracking/data/head_model.npz")
    """The model to write."""
    frames_per_clip: int = 240
    """Frames measured in each clip, evenly spread."""
    viewing_distance: float = 70.0
    """Centimetres from camera to face, assumed to undo the landmarks' perspective: of none, 50, 70 and 100, it leaves
    the least distance between the mean face and MediaPipe's canonical one."""
    smooth_modes: int = 36
    """Number of ways in which a person may differ from the mean."""
    least_excitation: float = 0.15
    """Range of an expression's score within a clip from which the expression counts as measured."""
    ridge: float = 12.0
    """Pull of a displacement toward the handwritten one, in units of frames at score 1."""


@dataclass(frozen=True)
class Measurements:
    """What the landmarker said, in image axes turned to OpenGL's (x right, y up, z toward the camera), in pixels."""

    points: Float[np.ndarray, "frames 478 3"]
    scores: Float[np.ndarray, "frames expressions"]
    clip: Int[np.ndarray, "frames"]


def measure(arguments: Arguments) -> Measurements:
    """Landmarks and expression scores of the clips' frames."""
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(arguments.landmarker)), output_face_blendshapes=True
    )
    points, scores, clip = [], [], []
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        for number, path in enumerate(arguments.clips):
            for frame in _spread_frames(path, arguments.frames_per_clip):
                result = landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=frame))
                if not result.face_landmarks:
                    continue
                height, width = frame.shape[:2]
                points.append([[p.x * width, -p.y * height, -p.z * width] for p in result.face_landmarks[0]])
                named = {category.category_name: category.score for category in result.face_blendshapes[0]}
                scores.append([named.get(name, 0.0) for name in EXPRESSION_NAMES])
                clip.append(number)
            logger.info("%s: %d frames so far", path.name, len(clip))
    return Measurements(np.array(points), np.array(scores), np.array(clip))


def _spread_frames(path: Path, count: int) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    length = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    wanted = set(np.linspace(0, length - 1, count).astype(int).tolist())
    frames = []
    for number in range(length):
        if not capture.grab():
            break
        if number in wanted:
            frame = cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
            frames.append(cv2.resize(frame, None, fx=2, fy=2) if min(frame.shape[:2]) < 300 else frame)
    capture.release()
    return frames


def regress_expressions(
    aligned: np.ndarray, scores: np.ndarray, clip: np.ndarray, prior: np.ndarray, ridge: float
) -> Float[np.ndarray, "expressions vertices 3"]:
    """Displacements that best explain each clip's points by its scores, drawn toward the prior.

    Minimises |Y - X D|^2 + sum_k ridge_k |D_k - P_k|^2, for every vertex on its own; the pull is fifty times as strong
    where the prior does not move.
    """
    points, drivers = aligned.copy(), scores.copy()
    for number in np.unique(clip):
        points[clip == number] -= points[clip == number].mean(0)
        drivers[clip == number] -= drivers[clip == number].mean(0)
    size = np.linalg.norm(prior, axis=-1)
    support = size / np.maximum(size.max(1, keepdims=True), 1e-9)
    pull = ridge / (0.02 + 0.98 * np.minimum(1, 3 * support))
    gram = drivers.T @ drivers
    moments = np.einsum("nk,nvi->vki", drivers, points)
    systems = gram[None] + np.einsum("kv,kl->vkl", pull, np.eye(len(prior)))
    right = moments + pull.T[..., None] * prior.transpose(1, 0, 2)
    return np.linalg.solve(systems, right).transpose(1, 0, 2)


def calibrate(
    measured: Float[np.ndarray, "expressions vertices 3"], authored: Float[np.ndarray, "expressions vertices 3"]
) -> tuple[Float[np.ndarray, "expressions vertices 3"], Float[np.ndarray, "expressions"]]:
    """Rescale measured displacements so that coefficient 1 goes as far as the handwritten expression, and by how much.

    A score is no coefficient: the landmarker's jawOpen may read 0.6 on a mouth wide open.
    """
    overlap = (measured * authored).sum((1, 2)) / np.maximum((authored**2).sum((1, 2)), 1e-9)
    gain = np.where(overlap > 0.2, overlap, 1.0)
    return measured / gain[:, None, None], gain


def symmetrize(
    displacements: Float[np.ndarray, "expressions vertices 3"], face: Face
) -> Float[np.ndarray, "expressions vertices 3"]:
    """The mean of every expression and its mirror image's mirror image."""
    partner = [EXPRESSION_NAMES.index(mirror_name(name)) for name in EXPRESSION_NAMES]
    return (displacements + mirrored(displacements[partner], face.mirror)) / 2


def smooth(displacements: np.ndarray, face: Face, amount: float = 0.4) -> np.ndarray:
    """One step of diffusion over the open mesh, which does not cross the eyes or the mouth."""
    degree = np.maximum(face.laplacian.diagonal(), 1.0)
    change = np.stack([face.laplacian @ field for field in displacements]) / degree[:, None]
    return displacements - amount * change


def main(arguments: Arguments) -> None:
    """Measure, align, regress, and write the model."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    measurements = measure(arguments)
    clip = measurements.clip
    aligned = align_frames(undo_perspective(measurements.points, arguments.viewing_distance), clip)
    aligned = to_head_space(aligned, np.mean([aligned[clip == number].mean(0) for number in np.unique(clip)], 0))
    rest = np.stack([np.percentile(measurements.scores[clip == number], 10, axis=0) for number in np.unique(clip)])
    scores = np.maximum(measurements.scores - rest[clip], 0)
    excitation = np.sort([np.percentile(scores[clip == number], 97, axis=0) for number in np.unique(clip)], 0)[-2]
    partner = [EXPRESSION_NAMES.index(mirror_name(name)) for name in EXPRESSION_NAMES]
    measured = np.maximum(excitation, excitation[partner]) >= arguments.least_excitation
    measured &= ~np.isin(EXPRESSION_NAMES, HANDWRITTEN)

    # The handwritten displacements need the neutral face, which needs the displacements: a second pass settles both.
    displacements = np.zeros((len(EXPRESSION_NAMES), aligned.shape[1], 3))
    for _ in range(3):
        offsets = aligned - np.einsum("nk,kvi->nvi", scores, displacements)
        # People look at the camera most of the time: the irises rest where they mostly are.
        offsets[:, MESH_POINTS:] = aligned[:, MESH_POINTS:]
        neutral = np.mean([np.median(offsets[clip == number], 0) for number in np.unique(clip)], 0)
        mirror = find_mirror(neutral)
        neutral = (neutral + mirrored(neutral, mirror)) / 2
        triangles = open_mesh(neutral)
        face = Face(neutral, mirror, graph_laplacian(triangles, len(neutral)))
        neutral = neutral + LIPS_CLOSED * lips_meeting(face, neutral)
        neutral = (neutral + mirrored(neutral, mirror)) / 2
        face = replace(face, neutral=neutral)
        authored = author(face)
        displacements = regress_expressions(aligned, scores, clip, authored, arguments.ridge)
        displacements[:, MESH_POINTS:] = authored[:, MESH_POINTS:]
    full, gain = calibrate(symmetrize(smooth(displacements, face), face), authored)
    full[:, MESH_POINTS:] = authored[:, MESH_POINTS:]
    full[~measured] = authored[~measured]
    opened = full[EXPRESSION_NAMES.index("jawOpen")]
    full[EXPRESSION_NAMES.index("mouthClose")] = lips_meeting(face, neutral + opened)
    full = symmetrize(full, face)
    closed = np.concatenate([triangles, *(strip(*rows) for rows in OPENINGS)])
    basis = [smooth_modes(face, closed, arguments.smooth_modes), resting_modes(full, EXPRESSION_NAMES)]
    for name, level, factor, is_measured in zip(EXPRESSION_NAMES, excitation, gain, measured, strict=True):
        logger.info(
            "%-20s excitation %.2f  gain %.2f  %s", name, level, factor, "measured" if is_measured else "authored"
        )
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        arguments.output,
        neutral=neutral.astype(np.float32),
        triangles=closed.astype(np.int32),
        mirror=mirror.astype(np.int32),
        expression_names=np.array(EXPRESSION_NAMES),
        expression_deltas=full.astype(np.float32),
        measured=measured,
        excitation=excitation.astype(np.float32),
        identity_basis=np.concatenate(basis).astype(np.float32),
    )


if __name__ == "__main__":
    main(tyro.cli(Arguments))
