"""Refine poses, expressions and gaze of a fitted head by what the frames show, not only by where the landmarks are.

The clip's own mean texture is the reference. Samples of the surface (`surface_samples.py`) are looked up in frames
spread over the clip, under the poses so far, wherever the head's rasterised surface says that they are seen; the
median over frames is their texture. Every frame's pose and expression are then moved, by Gauss-Newton steps, so that
the frame shows that texture:

    sum_i w_i rho(f(u_i) - T_i) + trust * sum_v |p_v - p0_v|^2

f is the frame's locally normalised brightness, which knows little of light, u_i a sample's place in the picture, T_i
its texture, rho Geman and McClure's robust kernel. The second sum holds the model's points near where the landmark fit
projects them, so that what the texture does not tell stays as it was. In the end the poses are smoothed.

After the skin has been followed (`skin_motion.py`) little is left for it. On the rendered heads of
`scripts/benchmark_tracking.py` (2026-11-30) browInnerUp's correlation rises from 0.71 to 0.78, the still head's
rotation deviates by 0.021 degrees instead of 0.033 and the nod has 1.05 of its amplitude in place of 0.91; the rotation
error is 2.2 degrees either way. Without the skin it took that error from 2.7 to 2.4. It does not mend what all frames
share: identity, focal length, and the constant part of the rotation error. It takes 25 to 30 ms of one core for a
frame.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, UInt8

from tracking.adaptive_smoothing import smooth_quiet_parts
from tracking.cameras import (
    mean_rotation,
    project,
    rigid,
    rigid_inverse,
    rotation_from_vector,
    transform,
    vector_from_rotation,
)
from tracking.clip import Intrinsics
from tracking.fitting import HeadFit
from tracking.head_model import HeadModel
from tracking.head_problem import POSE_SIZE
from tracking.spread_evenly import spread_evenly
from tracking.surface_samples import (
    FaceWindow,
    SurfaceSamples,
    cut_window,
    look_up,
    normalize_locally,
    seen_samples,
    with_slopes,
)

LEAST_SPREAD = 0.15
"""Deviation of normalised brightness that is expected anyway."""

ReadImage = Callable[[int], UInt8[np.ndarray, "height width 3"]]


@dataclass
class PhotometricConfig:
    """How the frames' brightness refines the fit."""

    enabled: bool = False
    """Refine the fit of the landmarks by the frames themselves."""
    face_size: int = 130
    """Width of the face at which frames are compared, in pixels; larger faces are reduced."""
    samples: int = 1200
    """Points of the skin that are compared."""
    texture_frames: int = 60
    """Frames, spread over the clip, whose median is the texture."""
    rounds: int = 1
    """How often the texture is gathered and all frames are moved."""
    blurs: tuple[float, ...] = (2.0, 0.8)
    """Standard deviations in pixels by which frames are smoothed, from coarse to fine."""
    steps: int = 2
    """Gauss-Newton steps at each of them."""
    neighborhood: float = 0.1
    """Standard deviation of the neighbourhood that brightness is normalised in, in face widths."""
    residual_scale: float = 0.4
    """Differences of normalised brightness larger than this count less and less."""
    landmark_trust: float = 0.001
    """Cost of moving all of the model's points in the picture by one hundredth of the face's width; a mean squared
    difference of 1 in normalised brightness costs 1."""
    smoothing: float = 20.0
    """Stiffness in time of the refined poses where the head hardly moves; 0 leaves every frame by itself."""
    expression_trust: float = 0.01
    """Cost of changing an expression coefficient by 1, in the same unit."""


@dataclass
class _State:
    """One frame's unknowns."""

    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]
    expression: Float[np.ndarray, "expressions"]

    def moved(self, step: Float[np.ndarray, "unknowns"]) -> "_State":
        return _State(
            rotation_from_vector(step[:3]) @ self.rotation,
            self.translation + step[3:POSE_SIZE],
            np.clip(self.expression + step[POSE_SIZE:], 0, 1),
        )

    def since(self, start: "_State") -> Float[np.ndarray, "unknowns"]:
        """The step that leads here."""
        turn = vector_from_rotation(self.rotation @ start.rotation.T)
        return np.concatenate([turn, self.translation - start.translation, self.expression - start.expression])


class PhotometricRefiner:
    """Refines one clip's fit, frame by frame; it holds what all frames share."""

    def __init__(self, fit: HeadFit, config: PhotometricConfig) -> None:
        self.config = config
        self.intrinsics: Intrinsics = fit.intrinsics
        self.model = HeadModel.load()
        self.neutral = self.model.neutral(fit.identity).astype(np.float64)
        self.samples = SurfaceSamples.spread(self.model, config.samples)
        self.rest = self.samples.on(self.neutral)
        moves = np.moveaxis(self.samples.on(self.model.expression_deltas), 0, -1)
        self.deltas = np.ascontiguousarray(moves, dtype=np.float32)
        """How each sample moves with each expression: samples, 3, expressions."""
        self.frames = np.flatnonzero(fit.tracked)
        head_to_camera = rigid_inverse(fit.camera_to_head[self.frames])
        self.start = [
            _State(matrix[:3, :3], matrix[:3, 3], expression)
            for matrix, expression in zip(head_to_camera, fit.expression[self.frames], strict=True)
        ]
        width = np.ptp(self.neutral[:, 0])
        pixels = [self.intrinsics.focal_length * width / -state.translation[2] for state in self.start]
        self.scale = min(1.0, config.face_size / float(np.median(pixels)))
        self.face_width = width

    def refine(self, read_image: ReadImage, progress: Callable[[int, int], None] | None = None) -> list[_State]:
        """Poses and expressions of the tracked frames, refined."""
        states, hessians = list(self.start), [np.empty(0)] * len(self.start)
        rounds, count = self.config.rounds, len(self.frames)
        for number in range(rounds):
            textures = self.gather_texture(states, read_image)
            for row, frame in enumerate(self.frames):
                image = read_image(int(frame))
                states[row], hessians[row] = self.refine_frame(self.start[row], states[row], image, textures)
                if progress is not None:
                    progress(number * count + row + 1, rounds * count)
        return self.smooth(states, hessians)

    def smooth(self, states: list[_State], hessians: list[Float[np.ndarray, "unknowns unknowns"]]) -> list[_State]:
        """Take out the noise of the poses that frames do not share, each having been moved by itself.

        Expressions answer to the poses as each frame's Hessian says, so that the picture stays explained.
        """
        middle = mean_rotation(np.stack([state.rotation for state in states]))
        series = np.stack(
            [np.concatenate([vector_from_rotation(state.rotation @ middle.T), state.translation]) for state in states]
        )
        answers = [np.linalg.solve(h[POSE_SIZE:, POSE_SIZE:], h[POSE_SIZE:, :POSE_SIZE]) for h in hessians]
        information = np.stack(
            [
                hessian[:POSE_SIZE, :POSE_SIZE] - hessian[:POSE_SIZE, POSE_SIZE:] @ answer
                for hessian, answer in zip(hessians, answers, strict=True)
            ]
        )
        steps = smooth_quiet_parts(series, information, self.frames, self.config.smoothing) - series
        return [
            state.moved(np.concatenate([step, -answer @ step]))
            for state, step, answer in zip(states, steps, answers, strict=True)
        ]

    def gather_texture(self, states: list[_State], read_image: ReadImage) -> list["Texture"]:
        """The texture at each blur, from frames spread over the clip."""
        chosen = spread_evenly(len(states), self.config.texture_frames)
        values = np.full((len(self.config.blurs), len(chosen), len(self.rest)), np.nan, np.float32)
        for column, row in enumerate(chosen):
            window, seen = self.look_at(states[row], read_image(int(self.frames[row])))
            pixels = project(self.points_in_camera(states[row]), window.intrinsics)[seen]
            for level, blur in enumerate(self.config.blurs):
                values[level, column, seen] = look_up(self.feature(window, blur), pixels)[:, 0]
        return [Texture.of(level) for level in values]

    def refine_frame(
        self, start: _State, state: _State, image: UInt8[np.ndarray, "height width 3"], textures: list["Texture"]
    ) -> tuple[_State, Float[np.ndarray, "unknowns unknowns"]]:
        """Move one frame's pose and expression to where the frame shows the texture.

        Returns:
            The state, and the cost's Hessian: how surely each unknown is known.
        """
        window, seen = self.look_at(state, image)
        anchor = self.anchor(start)
        hessian = anchor
        for blur, texture in zip(self.config.blurs, textures, strict=True):
            feature, used = self.feature(window, blur), seen & texture.known
            if used.sum() < 2 * len(anchor):
                break
            best = self.cost(state, start, window, feature, texture, used, anchor)
            damping = 1e-3
            for _ in range(self.config.steps):
                hessian, gradient = self.normal_equations(state, window, feature, texture, used)
                hessian += anchor
                gradient += anchor @ state.since(start)
                held = np.zeros(len(gradient), bool)
                slope = gradient[POSE_SIZE:]
                held[POSE_SIZE:] = ((state.expression <= 0) & (slope > 0)) | ((state.expression >= 1) & (slope < 0))
                free = ~held
                step = np.zeros(len(gradient))
                system = hessian[np.ix_(free, free)]
                system[np.diag_indices(len(system))] *= 1 + damping
                step[free] = -np.linalg.solve(system, gradient[free])
                candidate = state.moved(step)
                value = self.cost(candidate, start, window, feature, texture, used, anchor)
                if value < best:
                    state, best, damping = candidate, value, damping / 5
                else:
                    damping *= 30
        return state, hessian

    def look_at(
        self, state: _State, image: UInt8[np.ndarray, "height width 3"]
    ) -> tuple[FaceWindow, Bool[np.ndarray, "samples"]]:
        """The face's window of a frame, and which samples it shows."""
        shape = self.neutral + np.tensordot(state.expression, self.model.expression_deltas, 1)
        vertices = transform(rigid(state.rotation, state.translation), shape)
        window = cut_window(image, self.intrinsics, vertices, self.scale)
        return window, seen_samples(self.samples, self.model, vertices, window.intrinsics)

    def feature(self, window: FaceWindow, blur: float) -> Float[np.ndarray, "height width 3"]:
        """What is compared, and its derivatives."""
        neighborhood = self.config.neighborhood * self.config.face_size
        return with_slopes(normalize_locally(window.image, blur, neighborhood))

    def points_in_camera(self, state: _State) -> Float[np.ndarray, "samples 3"]:
        """The samples, posed."""
        shape = self.rest + self.deltas @ state.expression.astype(np.float32)
        return shape @ state.rotation.T + state.translation

    def cost(
        self,
        state: _State,
        start: _State,
        window: FaceWindow,
        feature: Float[np.ndarray, "height width 3"],
        texture: "Texture",
        used: Bool[np.ndarray, "samples"],
        anchor: Float[np.ndarray, "unknowns unknowns"],
    ) -> float:
        """Half of what is minimised."""
        pixels = project(self.points_in_camera(state)[used], window.intrinsics)
        squared = (look_up(feature, pixels)[:, 0] - texture.value[used]) ** 2
        robust = squared / (1 + squared / self.config.residual_scale**2)
        moved = state.since(start)
        return float((texture.weight[used] @ robust / texture.weight[used].sum() + moved @ anchor @ moved) / 2)

    def normal_equations(
        self,
        state: _State,
        window: FaceWindow,
        feature: Float[np.ndarray, "height width 3"],
        texture: "Texture",
        used: Bool[np.ndarray, "samples"],
    ) -> tuple[Float[np.ndarray, "unknowns unknowns"], Float[np.ndarray, "unknowns"]]:
        """Gauss-Newton's Hessian and the gradient of the comparison with the texture."""
        points = self.points_in_camera(state)[used]
        shown = look_up(feature, project(points, window.intrinsics)).astype(np.float64)
        residual = shown[:, 0] - texture.value[used]
        weight = texture.weight[used] / texture.weight[used].sum()
        weight = weight / (1 + (residual / self.config.residual_scale) ** 2) ** 2
        slope = _slope_in_space(points, shown[:, 1:], window.intrinsics.focal_length)
        jacobian = np.empty((len(points), POSE_SIZE + len(state.expression)))
        jacobian[:, :3] = np.cross(points - state.translation, slope)
        jacobian[:, 3:POSE_SIZE] = slope
        in_head = (slope @ state.rotation).astype(np.float32)
        jacobian[:, POSE_SIZE:] = (in_head[:, None] @ self.deltas[used])[:, 0]
        weighted = jacobian * weight[:, None]
        return weighted.T @ jacobian, weighted.T @ residual

    def anchor(self, start: _State) -> Float[np.ndarray, "unknowns unknowns"]:
        """The Hessian of what moving away from the landmark fit costs: by the model's points, and by coefficients."""
        shape = self.neutral + np.tensordot(start.expression, self.model.expression_deltas, 1)
        points = shape @ start.rotation.T + start.translation
        # In hundredths of the face's width as it is seen.
        unit = 0.01 * self.face_width * self.intrinsics.focal_length / -start.translation[2]
        rows = []
        for axis in np.eye(2):
            slope = _slope_in_space(points, np.broadcast_to(axis, (len(points), 2)), self.intrinsics.focal_length)
            turned = np.cross(points - start.translation, slope)
            bent = np.einsum("si,esi->se", slope @ start.rotation, self.model.expression_deltas)
            rows.append(np.concatenate([turned, slope, bent], 1) / unit)
        jacobian = np.concatenate(rows)
        hessian = self.config.landmark_trust * jacobian.T @ jacobian / len(points)
        own = np.arange(POSE_SIZE, len(hessian))
        hessian[own, own] += self.config.expression_trust
        return hessian


@dataclass(frozen=True)
class Texture:
    """What the samples look like in the clip's frames."""

    value: Float[np.ndarray, "samples"]
    """Median over frames."""
    spread: Float[np.ndarray, "samples"]
    """Deviation over frames."""
    weight: Float[np.ndarray, "samples"]
    """Less for samples that do not look alike in all frames."""
    known: Bool[np.ndarray, "samples"]
    """Seen often enough."""

    @classmethod
    def of(cls, values: Float[np.ndarray, "frames samples"], least_frames: int = 5) -> "Texture":
        """From what each frame shows, NaN where a sample is not seen."""
        seen = np.isfinite(values).sum(0)
        known = seen >= min(least_frames, len(values))
        value, spread = np.zeros(values.shape[1]), np.ones(values.shape[1])
        value[known] = np.nanmedian(values[:, known], axis=0)
        spread[known] = 1.4826 * np.nanmedian(np.abs(values[:, known] - value[known]), axis=0)
        return cls(value, spread, 1 / (spread**2 + LEAST_SPREAD**2), known)


def refine_fit(
    fit: HeadFit,
    read_image: ReadImage,
    config: PhotometricConfig,
    progress: Callable[[int, int], None] | None = None,
) -> HeadFit:
    """Refine poses and expressions of a fit by the clip's images.

    Args:
        fit: of the landmarks. Camera, identity, torso and reprojection errors stay as they are.
        read_image: gives a frame's image, RGB, of the size that the fit's intrinsics tell. Frames are asked for in
            order, several times over.
        config: how.
        progress: told the number of frames done and of all frames to do.
    """
    states = PhotometricRefiner(fit, config).refine(read_image, progress)
    camera_to_head, expression = fit.camera_to_head.copy(), fit.expression.copy()
    for frame, state in zip(np.flatnonzero(fit.tracked), states, strict=True):
        camera_to_head[frame] = rigid_inverse(rigid(state.rotation, state.translation))
        expression[frame] = state.expression
    return replace(fit, camera_to_head=camera_to_head, expression=expression)


def _slope_in_space(
    points: Float[np.ndarray, "points 3"], slope: Float[np.ndarray, "points 2"], focal_length: float
) -> Float[np.ndarray, "points 3"]:
    """How an image's value changes as the point moves in camera space, given how it changes with x and y in pixels.

    x = c + f X / -Z, y = c - f Y / -Z.
    """
    depth = -points[:, 2]
    along_x, along_y = slope[:, 0] * focal_length / depth, -slope[:, 1] * focal_length / depth
    along_z = (along_x * points[:, 0] + along_y * points[:, 1]) / depth
    return np.stack([along_x, along_y, along_z], 1)
