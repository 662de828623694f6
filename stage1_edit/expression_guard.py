"""The expression guard: an edit that moves the mouth, the eyes or the head is made again, more faithfully, or left out.

InstructPix2Pix alone moves facial landmarks by about 8 pixels, and a talking portrait whose mouth is somebody else's is
lost. So every edited frame is tracked again, and its landmarks are compared with those that the same detector finds in
the filmed frame (`face_deviation`). It needs no gradients, and serves any editor.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Literal, TypeAlias

import numpy as np
import tyro
from jaxtyping import UInt8

from stage1_edit.compositing import composite, region_mask
from stage1_edit.consistency import forget_anchors
from stage1_edit.editor import EditRequest, FrameEditor, Image, behind
from stage1_edit.face_deviation import FaceDeviation, face_deviation
from stage1_edit.prompts import EditPrompt
from tracking.choose_detector import DetectorConfig, make_detector
from tracking.face_completion import completed
from tracking.landmarks import DetectedFace, Face, LandmarkDetector
from tracking.regions import REGIONS

_logger = logging.getLogger(__name__)

GuardMode: TypeAlias = Literal["auto", "on", "off"]

LEAST_READING = {"lips": 0.6, "mouth": 0.6, "eyes": 0.4, "rotation": 0.7, "shift": 0.65, "growth": 0.65}
"""What a detector reads at least of how far a stylised face has truly moved, in 19 of 20 cases: it draws every face
towards an ordinary one. Tuned on one clip and checked on three others by `scripts/benchmark_guard.py`."""
ENOUGH_EDITS = 8
"""Edits of a prompt after which the guard judges itself."""
FARTHEST = 0.5
"""A face of the edit is the filmed one where it lies so near to it, in widths of that face."""
NOWHERE = float("inf")
"""How far a face has moved that is not found any more."""


@dataclass
class ExpressionGuardConfig:
    """How far an edit may move the face. Lengths are shares of the distance between the irises (about 63 mm)."""

    # The flag is that of the whole: --pipeline.editor.guard on.
    mode: Annotated[GuardMode, tyro.conf.arg(name="")] = "auto"
    """Whether edits are tracked again, made again if they moved the face, and left out if they still do; auto does so
    for every editor but the offline one, which moves nothing."""
    lips: float = 0.1
    """How far the lips' points may have gone, root mean square."""
    mouth: float = 0.18
    """By how much the gap between the lips may have changed."""
    eyes: float = 0.1
    """By how much the gap between an eye's lids may have changed: from open to nearly shut."""
    rotation: float = 8.0
    """Degrees by which the head may have turned."""
    shift: float = 0.08
    """How far the head may have gone in the picture."""
    growth: float = 0.07
    """By how much the head's size in the picture may have changed, as a share of it."""
    retries: int = 2
    """How often an edit that moved the face is made again before it is left out."""
    fidelity_step: float = 1.4
    """How many times more faithful to the frame each retry is: more image guidance, less text guidance and noise."""
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    """What finds the landmarks."""

    def shares(self, deviation: FaceDeviation) -> dict[str, float]:
        """Each measured deviation over what a detector reads of one that is just beyond tolerance: above 1 it broke."""
        measured = asdict(deviation)
        return {name: measured[name] / (reading * getattr(self, name)) for name, reading in LEAST_READING.items()}


@dataclass(frozen=True)
class GuardCounts:
    """What a guard has done."""

    edits: int = 0
    """Frames that were edited, however often each was tried."""
    retried: int = 0
    """How many of these were made again."""
    dropped: int = 0
    """How many of these were left out in the end."""

    def __sub__(self, earlier: "GuardCounts") -> "GuardCounts":
        return GuardCounts(self.edits - earlier.edits, self.retried - earlier.retried, self.dropped - earlier.dropped)

    def __str__(self) -> str:
        return f"{self.retried} of {self.edits} edits retried, {self.dropped} dropped"


@dataclass(frozen=True)
class _Tried:
    """An edit, and how far it moved the face."""

    edit: Image | None
    severity: float = 0.0
    """The worst of the deviations' shares of their tolerances: above 1 it is too far."""
    worst: str = ""
    """What moved most."""


@dataclass
class _Fortunes:
    """How a prompt's edits have fared so far."""

    edits: int = 0
    kept: int = 0
    faceless: int = 0
    told: bool = False
    standing_aside: bool = False

    @property
    def mostly_faceless(self) -> bool:
        """Whether the edits show no faces that the detector knows, as strong styles may."""
        return 2 * self.faceless > self.edits


class NoFaceError(Exception):
    """A filmed frame shows no face, so that no edit of it can have moved one."""


class ExpressionGuard:
    """Another editor, whose edits keep the face's expression and pose (a `FrameEditor`)."""

    def __init__(
        self, config: ExpressionGuardConfig, editor: FrameEditor, detector: LandmarkDetector | None = None
    ) -> None:
        """
        Args:
            editor: makes the edits; on a retry it is asked with a higher `EditRequest.fidelity` and less noise.
            detector: finds the landmarks; the config's if not given.
        """
        self.config = config
        self.editor = editor
        self.counts = GuardCounts()
        self._detector = detector
        self._fortunes: dict[EditPrompt, _Fortunes] = defaultdict(_Fortunes)

    def check(self, prompt: EditPrompt) -> None:
        """As the editor itself."""
        self.editor.check(prompt)

    def edit(self, requests: Sequence[EditRequest]) -> list[Image | None]:
        """Edit frames; in place of one whose every edit moved the face stands none."""
        tried = [
            self._looked_at(request, edit) for request, edit in zip(requests, self.editor.edit(requests), strict=True)
        ]
        made = [row for row, attempt in enumerate(tried) if attempt.edit is not None]
        for row in made:
            fortunes = self._fortunes[requests[row].prompt]
            fortunes.edits += 1
            fortunes.faceless += tried[row].severity == NOWHERE
        retried = self._retry(requests, tried)
        dropped = self._to_drop(requests, tried)
        forget_anchors(self.editor, [requests[row] for row in dropped])
        for row in made:
            self._fortunes[requests[row].prompt].kept += row not in dropped
        done = self.counts
        self.counts = GuardCounts(done.edits + len(made), done.retried + len(retried), done.dropped + len(dropped))
        for row in sorted(dropped):
            _logger.info("The edit of frame %s was dropped: it moved the %s.", requests[row].frame, tried[row].worst)
        for prompt in {request.prompt for request in requests}:
            self._judge_itself(prompt)
        return [None if row in dropped else attempt.edit for row, attempt in enumerate(tried)]

    def more_faithful(self, request: EditRequest, attempt: int) -> EditRequest:
        """The request for a retry, the first or a later one."""
        fidelity = self.config.fidelity_step**attempt
        return replace(
            request, fidelity=request.fidelity * fidelity, noise_level=request.noise_level / np.sqrt(fidelity)
        )

    def deviation(self, request: EditRequest, edit: Image) -> FaceDeviation | None:
        """How far an edit moved the face, looked at as it will be shown: laid over the frame within the region.

        Returns:
            None where the edit shows no face, though the frame does.

        Raises:
            NoFaceError: the frame itself shows no face.
        """
        mask = region_mask(request.labels, request.matte, request.prompt.region)
        shown = composite(edit.to(request.original), request.original, mask)
        if self._detector is None:
            self._detector = make_detector(self.config.detector)
        # The detector follows faces: it looks at the edit where it has just seen the filmed face. To look at that once
        # for all tries would save 12 ms a try, and lose the place.
        filmed = self._detector.detect(to_levels(request.original))
        edited = self._detector.detect(to_levels(shown))
        if not filmed:
            raise NoFaceError
        source = whole(nearest(filmed, None if request.geometry is None else request.geometry.landmarks))
        width = float(np.ptp(source[:, 0]))
        if not edited:
            return None
        target = whole(nearest(edited, source[:, :2]))
        if np.linalg.norm(target[:, :2].mean(0) - source[:, :2].mean(0)) > FARTHEST * width:
            return None
        return face_deviation(source, target)

    def in_words(self, request: EditRequest, edit: Image) -> str:
        """What an edit moved, if it is too far; else nothing."""
        looked_at = self._looked_at(request, edit)
        if looked_at.severity <= 1:
            return ""
        return "face lost" if looked_at.severity == NOWHERE else f"moved: {looked_at.worst}"

    def _looked_at(self, request: EditRequest, edit: Image | None) -> _Tried:
        shows_face = bool(REGIONS[request.prompt.region] & REGIONS["face"])
        if edit is None or not shows_face or self._fortunes[request.prompt].standing_aside:
            return _Tried(edit)
        try:
            deviation = self.deviation(request, edit)
        except NoFaceError:
            return _Tried(edit)
        if deviation is None:
            return _Tried(edit, NOWHERE, "whole face, which is not found any more")
        shares = self.config.shares(deviation)
        worst = max(shares, key=lambda name: shares[name])
        return _Tried(edit, shares[worst], worst)

    def _retry(self, requests: Sequence[EditRequest], tried: list[_Tried]) -> set[int]:
        """Put better edits in place of bad ones; the rows that were tried again."""
        retried: set[int] = set()
        for attempt in range(1, self.config.retries + 1):
            rows = [row for row in range(len(requests)) if self._rejects(requests[row], tried[row])]
            if not rows:
                break
            retried.update(rows)
            # Nothing must follow a moved face: neither these frames when they are tried again, nor later ones.
            forget_anchors(self.editor, [requests[row] for row in rows])
            again = self.editor.edit([self.more_faithful(requests[row], attempt) for row in rows])
            for row, edit in zip(rows, again, strict=True):
                other = self._looked_at(requests[row], edit)
                if other.edit is not None and other.severity < tried[row].severity:
                    tried[row] = other
        return retried

    def _to_drop(self, requests: Sequence[EditRequest], tried: Sequence[_Tried]) -> set[int]:
        """The rows to leave out; of a prompt without any edit the least moved stays: something must be trained on."""
        dropped = {row for row in range(len(requests)) if self._rejects(requests[row], tried[row])}
        for prompt in {request.prompt for request in requests}:
            asked = [row for row, request in enumerate(requests) if request.prompt == prompt]
            rows = [row for row in asked if tried[row].edit is not None]
            if rows and self._fortunes[prompt].kept == 0 and dropped.issuperset(rows):
                dropped.discard(min(rows, key=lambda row: tried[row].severity))
        return dropped

    def _rejects(self, request: EditRequest, tried: _Tried) -> bool:
        fortunes = self._fortunes[request.prompt]
        if fortunes.standing_aside or (tried.severity == NOWHERE and fortunes.mostly_faceless):
            return False
        return tried.severity > 1

    def _judge_itself(self, prompt: EditPrompt) -> None:
        """Stand aside where the guard would leave hardly anything, and say so once."""
        fortunes = self._fortunes[prompt]
        if fortunes.mostly_faceless and not fortunes.told:
            fortunes.told = True
            _logger.warning(
                "No face is found any more in most edits of '%s': the expression guard lets those pass.", prompt
            )
        elif fortunes.edits >= ENOUGH_EDITS and 2 * fortunes.kept < fortunes.edits and not fortunes.standing_aside:
            fortunes.standing_aside = True
            _logger.warning(
                "Most edits of '%s' move the face, even when tried again: the expression guard stands aside for this "
                "prompt. Give the editor more image guidance, ask for less, or widen --pipeline.editor.guard.",
                prompt,
            )


def guard_counts(editor: FrameEditor) -> GuardCounts:
    """What the guard in an editor has done, behind any that wrap it; nothing if there is none."""
    guard = behind(editor, ExpressionGuard)
    return GuardCounts() if guard is None else guard.counts


def nearest(faces: Sequence[DetectedFace], place: np.ndarray | None) -> Face:
    """The face nearest to landmarks; the largest where none are known."""
    if place is None:
        return max(faces, key=lambda face: np.nanmax(face.landmarks[:, 1]) - np.nanmin(face.landmarks[:, 1])).landmarks
    middle = np.nanmean(place, axis=0)
    return min(faces, key=lambda face: np.linalg.norm(np.nanmean(face.landmarks[:, :2], axis=0) - middle)).landmarks


def whole(face: Face) -> Face:
    """The face with the points put in that its detector does not have."""
    return completed(face[None].astype(np.float64))[0]


def to_levels(image: Image) -> UInt8[np.ndarray, "height width 3"]:
    """The picture as detectors take it."""
    return np.ascontiguousarray((image.detach().clamp(0, 1) * 255).round().byte().cpu().numpy())
