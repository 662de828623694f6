"""Measure reenactment: do an avatar's expressions follow another person's, and does it stay the person that it was?

    python scripts/benchmark_reenactment.py --drive P01=RUN_OF_P05 P06=RUN_OF_P01 --weights-dir WEIGHTS

Every pair is a driving clip and the run of the avatar that it drives, rendered as `portrait-render --drive` does,
without a style. The result's frames are then looked at as a film of unknown make: the tracker's detector finds the
face, and its joint fit gives the expressions (lens and shape of the head are the avatar's, as `evaluation/faces.py`
does it).

    correlation   Pearson's, over time, of the result's expressions with the driver's; blink and smile are the mean of
                  left and right. `deviation` is the driver's own standard deviation: what hardly moves is noise.
    handed        what is told to the avatar of the driver's expressions: its correlation with the driver's, its
                  deviation, and the result's correlation with it. Where these differ tells who loses what
    own           with --own, what the whole way loses of the avatar's own expressions: it is rendered as it was filmed,
                  and again with these expressions given as a driver's are; correlations with the clip's
    unmoved       PSNR of the avatar alone, without the film's fine brightness, where neither mouth nor eyes nor brows
                  move anything (hair, ears, and what is just outside of them): driven, and as it was filmed
    identity      mean cosine of the result's face embeddings to the avatar's own mean; beside it the driver's mean to
                  the avatar's (another person), and the avatar's filmed frames to their own mean (the same person)

A contact sheet, driver above result, goes beside the measurements of each pair, and all expressions of both as .npz; it
shows people, so see whether it may be kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
import tyro
from jaxtyping import Bool, Float, UInt8
from kept_results import measure_each
from measuring import circumstances, write_measurements
from nerfstudio.utils.eval_utils import eval_setup
from nerfstudio.utils.rich_utils import CONSOLE
from rich.table import Table

from evaluation.face_embedding import FaceEmbedder, MobileFaceNet, upright_face
from evaluation.weights import FACE_EMBEDDING, find_weights
from stage2_nerf.frame_renderer import AS_FILMED, FrameRenderer, Moment, look_of
from stage2_nerf.part_exchange import EYES_AND_BROWS, MOUTH, PartExchange
from stage2_nerf.pipeline import PortraitEditPipeline
from stage2_nerf.render_motion import DrivenMotion, ExpressionChange
from tracking.choose_detector import DetectorConfig, make_detector
from tracking.clip import TrackedClip, write_png
from tracking.errors import UserError, one_sentence_for_user_errors
from tracking.face_fit import fit_face
from tracking.face_linking import link_longest_face
from tracking.face_pictures import pictured
from tracking.fitting import KnownHead
from tracking.spread_evenly import spread_evenly
from tracking.video import VideoReader

SIGNALS = {
    "jawOpen": ("jawOpen",),
    "blink": ("eyeBlinkLeft", "eyeBlinkRight"),
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
}
"""What is compared, and the expressions that each is the mean of."""
SHEET_FRAMES, SHEET_SIDE = 8, 192
BESIDE = 0.03
"""How far beside the person an outline is looked for that should not be there, as a share of the picture's height."""
COMPARED_FRAMES = 20
"""Driven frames that are compared with the film where nothing moves."""
EMBEDDED_FRAMES = 25
"""Frames of a film whose faces are embedded."""

Picture = UInt8[np.ndarray, "height width 3"]


@dataclass
class Arguments:
    """Measure reenactment."""

    drive: tuple[str, ...]
    """Pairs of a tracked clip that drives and the run that it drives, such as clips/P01=outputs/P05/portrait-edit/TIME;
    the run is its folder or its config.yml."""
    frames: int = 250
    """How many of the driver's first frames are rendered at most."""
    own: bool = False
    """Also measure what is left of the avatar's own expressions; takes three times as long."""
    weights_dir: Path | None = None
    """The folder with the face embedding's weights; identity is left out where they are not found."""
    work: Path = Path("measurements/reenactment")
    """Keeps what was measured, one file a pair, and a contact sheet of each."""
    again: bool = False
    """Measure all pairs, whatever is kept."""
    output: Path = Path("measurements/reenactment.json")
    """Where to write the measurements."""


def main(arguments: Arguments) -> None:
    """Measure every pair in a process of its own, write and print."""
    wanted = {}
    with one_sentence_for_user_errors():
        for pair in arguments.drive:
            driver, equals, run = pair.partition("=")
            if not equals:
                raise UserError(f"'{pair}' is no pair: write DRIVING_CLIP=RUN.")
            config = Path(run) / "config.yml" if Path(run).is_dir() else Path(run)
            name = f"{Path(driver).resolve().name}-drives-{config.resolve().parents[2].name}"
            sheet = arguments.work / f"{name}.png"
            wanted[name] = {
                "driver": str(Path(driver).resolve()),
                "run": str(config.resolve()),
                "frames": arguments.frames,
                "own": arguments.own,
                "weights": None if arguments.weights_dir is None else str(arguments.weights_dir.resolve()),
                "sheet": str(sheet.resolve()),
            }
    results = measure_each(measure, wanted, arguments.work, processes=1, threads=1, again=arguments.again)
    write_measurements(
        arguments.output, {"what": "reenactment", **circumstances(), "frames": arguments.frames, "results": results}
    )
    CONSOLE.print(summary(results))
    CONSOLE.print(f"Wrote {arguments.output}; contact sheets are in {arguments.work}.", soft_wrap=True)


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Render a pair, track the result, and compare."""
    driver = TrackedClip.load(Path(settings["driver"]))
    _, pipeline, _, _ = eval_setup(Path(settings["run"]), test_mode="inference")
    pipeline = cast(PortraitEditPipeline, pipeline)
    clip = pipeline.clip
    embedder = embedder_of(settings["weights"])
    film = Film(clip, embedder)
    chosen = spread_evenly(min(settings["frames"], len(driver.track.tracked)), SHEET_FRAMES)
    shown, handed = [], []
    motion = DrivenMotion(clip, driver, "expression", ExpressionChange())
    asked: list[tuple[int, Moment]] = []
    for index, (number, picture, moment) in enumerate(reenacted(pipeline, motion, settings["frames"])):
        film.add(picture)
        asked.append((number, moment))
        handed.append(moment.expression)
        if index in chosen:
            shown.append(square(picture, clip))
    result, found = film.expressions()
    filmed = driver.track.expression[: len(found)]
    shared = found & driver.track.tracked[: len(found)]
    np.savez_compressed(Path(settings["sheet"]).with_suffix(".npz"), driver=filmed, handed=handed, result=result)
    write_png(Path(settings["sheet"]), sheet([driver_picture(driver, index) for index in chosen], shown))
    told = np.array(handed)
    return {
        "frames": len(found),
        "faces_found": int(found.sum()),
        "correlation": correlations(driver, filmed[shared], result[shared]),
        "deviation": deviations(driver, filmed[shared]),
        "deviation_of_result": deviations(driver, result[shared]),
        "handed": {
            "correlation_with_driver": correlations(driver, filmed[shared], told[shared]),
            "deviation": deviations(driver, told[shared]),
            "correlation_of_result": correlations(driver, told[shared], result[shared]),
        },
        "unmoved": unmoved(pipeline, [asked[index] for index in spread_evenly(len(asked), COMPARED_FRAMES)]),
        "own": own_expressions(pipeline, settings["frames"]) if settings["own"] else None,
        "identity": None if embedder is None else identities(film, clip, driver, embedder),
    }


def own_expressions(pipeline: PortraitEditPipeline, most: int) -> dict[str, dict[str, float | None]]:
    """How the avatar's own expressions come out: rendered as they were filmed, and given as a driver's are."""
    clip = pipeline.clip
    frames = clip.frames[:most]
    filmed = clip.track.expression[frames]
    pictures = {frame.index: frame.image for frame in VideoReader(Path(clip.source.path)) if frame.index <= frames[-1]}
    renderer = FrameRenderer(pipeline.model, clip)
    told = {}
    for name, moments in (
        ("as_filmed", [Moment()] * len(frames)),
        ("given", [Moment(expression) for expression in filmed]),
    ):
        film = Film(clip, None)
        for number, moment in zip(frames, moments, strict=True):
            film.add(renderer.render(int(number), pictures[int(number)], [look_of(None)], moment)[0])
        result, found = film.expressions()
        told[name] = correlations(clip, filmed[found], result[found])
    return told


def correlations(
    clip: TrackedClip, one: Float[np.ndarray, "frames expressions"], other: Float[np.ndarray, "frames expressions"]
) -> dict[str, float | None]:
    """Pearson's of every signal; none of one that does not move at all."""
    names = clip.track.expression_names
    found = {}
    for name, parts in SIGNALS.items():
        first, second = signal(one, names, parts), signal(other, names, parts)
        moves = min(first.std(), second.std()) > 1e-6
        found[name] = round(float(np.corrcoef(first, second)[0, 1]), 3) if moves else None
    return found


def deviations(clip: TrackedClip, expressions: Float[np.ndarray, "frames expressions"]) -> dict[str, float]:
    """Standard deviation of every signal."""
    names = clip.track.expression_names
    return {name: round(float(signal(expressions, names, parts).std()), 3) for name, parts in SIGNALS.items()}


def reenacted(pipeline: PortraitEditPipeline, motion: DrivenMotion, most: int) -> Iterator[tuple[int, Picture, Moment]]:
    """The driven avatar's frames over its own scene, with the scene's frame numbers and what the avatar was told."""
    renderer = FrameRenderer(pipeline.model, pipeline.clip)
    written = 0
    for frame in VideoReader(Path(pipeline.clip.source.path)):
        for _, _, moment in motion.at(frame):
            if written == most:
                return
            yield frame.index, renderer.render(frame.index, frame.image, [look_of(None)], moment)[0], moment
            written += 1


def unmoved(pipeline: PortraitEditPipeline, asked: list[tuple[int, Moment]]) -> dict[str, float]:
    """How well the avatar shows what no expression moves, driven and as it was filmed: PSNR in dB.

    Args:
        asked: frames of the avatar's clip, and what it was told to do in them with its head where it was filmed.
    """
    clip = pipeline.clip
    renderer = FrameRenderer(pipeline.model, clip, detail=0)
    exchange = PartExchange(clip, clip.frames.tolist())
    errors: dict[str, list[np.ndarray]] = {"driven": [], "as_filmed": []}
    for number, moment in asked:
        film, labels, matte = clip.image(number).astype(np.float32) / 255, clip.labels(number), clip.matte(number)
        near = cv2.dilate(matte, np.ones((3, 3), np.uint8), iterations=max(1, round(BESIDE * len(matte)))) > 0
        still = near & still_pixels(exchange, int(np.searchsorted(clip.frames, number)), labels, matte)
        for name, told in (("driven", moment), ("as_filmed", AS_FILMED)):
            scene = renderer.scene(number, [{}], told)
            picture = scene.original + (1 - scene.alpha[..., None]) * scene.surroundings.background
            errors[name].append(((picture - film) ** 2)[still].mean(axis=-1))
    return {name: round(float(-10 * np.log10(np.concatenate(found).mean())), 2) for name, found in errors.items()}


def still_pixels(
    exchange: PartExchange,
    row: int,
    labels: UInt8[np.ndarray, "height width"],
    matte: Float[np.ndarray, "height width"],
) -> Bool[np.ndarray, "height width"]:
    """Which pixels of a frame neither the mouth nor the eyes and brows move."""
    seen = torch.from_numpy(labels), torch.from_numpy((255 * matte).astype(np.uint8))
    still = [exchange.unchanged_in_frame(row, *seen, part) for part in (MOUTH, EYES_AND_BROWS)]
    return torch.stack(still).all(dim=0).numpy()


class Film:
    """Finds and fits the face in a film that was made of a clip."""

    def __init__(self, clip: TrackedClip, embedder: FaceEmbedder | None) -> None:
        self.clip = clip
        self._detector = make_detector(DetectorConfig())
        self._found: list[list[Any]] = []
        self._embedder = embedder
        self.directions: list[np.ndarray] = []

    def add(self, picture: Picture) -> None:
        """The next frame, as large as the clip's source; the face is looked for in what the clip shows of it."""
        left, top, width, height = self.clip.source.crop
        crop = np.ascontiguousarray(picture[top : top + height, left : left + width])
        faces = [pictured(face, crop) for face in self._detector.detect(crop)]
        self._found.append(faces)
        if self._embedder is not None and faces and len(self._found) % 8 == 1:
            self.directions.append(self._embedder.embed(upright_face(crop, faces[0].landmarks[:, :2])))

    def expressions(self) -> tuple[Float[np.ndarray, "frames expressions"], np.ndarray]:
        """The expressions in every frame, and in which frames a face was found."""
        track = link_longest_face(self._found)
        camera, (_, _, width, height) = self.clip.intrinsics, self.clip.source.crop
        scale = np.array([camera.width / width, camera.height / height, camera.width / width])
        fit = fit_face(
            replace(track, landmarks=track.landmarks * scale),
            camera.width,
            camera.height,
            center=(camera.center_x, camera.center_y),
            known=KnownHead(camera.focal_length, self.clip.track.identity),
        )
        return fit.expression, fit.tracked


def signal(
    expressions: Float[np.ndarray, "frames expressions"], names: tuple[str, ...], parts: tuple[str, ...]
) -> Float[np.ndarray, "frames"]:
    """The mean of some expressions."""
    return expressions[:, [names.index(part) for part in parts]].mean(axis=1)


def embedder_of(folder: str | None) -> FaceEmbedder | None:
    """The face embedding, if its weights are there."""
    try:
        return MobileFaceNet(find_weights(FACE_EMBEDDING, None if folder is None else Path(folder)))
    except UserError as error:
        CONSOLE.print(f"Identity is not measured: {error}", soft_wrap=True)
        return None


def identities(film: Film, clip: TrackedClip, driver: TrackedClip, embedder: FaceEmbedder) -> dict[str, float]:
    """How alike the result is to the avatar's person, beside how alike two films of one and of two people are."""
    own, other = filmed_directions(clip, embedder), filmed_directions(driver, embedder)
    usual = unit(own.mean(axis=0))
    return {
        "result_to_avatar": round(float((np.array(film.directions) @ usual).mean()), 3),
        "avatar_to_itself": round(float((own @ usual).mean()), 3),
        "driver_to_avatar": round(float((other @ usual).mean()), 3),
    }


def filmed_directions(clip: TrackedClip, embedder: FaceEmbedder) -> Float[np.ndarray, "frames directions"]:
    """Embeddings of a clip's filmed faces."""
    chosen = clip.frames[spread_evenly(len(clip.frames), EMBEDDED_FRAMES)]
    return np.array([embedder.embed(upright_face(clip.image(frame), clip.track.landmarks[frame])) for frame in chosen])


def unit(vector: np.ndarray) -> np.ndarray:
    """The same direction, of length 1."""
    return vector / np.linalg.norm(vector)


def square(picture: Picture, clip: TrackedClip) -> Picture:
    """What the clip shows of a frame, small."""
    left, top, width, height = clip.source.crop
    return small(picture[top : top + height, left : left + width])


def driver_picture(driver: TrackedClip, frame: int) -> Picture:
    """A frame of the driver's clip, small."""
    return small(driver.image(int(driver.frames[np.abs(driver.frames - frame).argmin()])))


def small(picture: Picture) -> Picture:
    """A picture at the sheet's height."""
    width = round(SHEET_SIDE * picture.shape[1] / picture.shape[0])
    return cv2.resize(picture, (width, SHEET_SIDE), interpolation=cv2.INTER_AREA)


def sheet(above: list[Picture], below: list[Picture]) -> Picture:
    """Two rows of pictures, every column as wide as its widest."""
    columns = []
    for pair in zip(above, below, strict=False):
        width = max(one.shape[1] for one in pair)
        columns.append([np.pad(one, ((0, 0), (0, width - one.shape[1]), (0, 0))) for one in pair])
    return np.concatenate([np.concatenate(column) for column in columns], axis=1)


def summary(results: dict[str, dict[str, Any]]) -> Table:
    """What was measured, as a small table."""
    table = Table("pair", *SIGNALS, "unmoved", "filmed", "identity", "same person", "other person", title="Reenactment")
    for name, result in results.items():
        told = result["identity"] or {}
        kept = [told.get(key, "missing") for key in ("result_to_avatar", "avatar_to_itself", "driver_to_avatar")]
        follows = [f"{result['correlation'][key]} (of {result['deviation'][key]})" for key in SIGNALS]
        still = [str(result["unmoved"][key]) for key in ("driven", "as_filmed")]
        table.add_row(name, *follows, *still, *(str(number) for number in kept))
    return table


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
