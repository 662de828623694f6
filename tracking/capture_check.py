"""The capture check: is this clip good material for an avatar, and what should be filmed better?"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from tracking.capture_measures import CaptureMeasures
from tracking.frame_flags import FrameFlag

GOOD_SECONDS, LEAST_SECONDS = 10.0, 3.0
"""Ten seconds of talk hold most mouth shapes of a language; in three there is about one sentence."""
GOOD_TRACKED, LEAST_TRACKED = 0.99, 0.9
"""What is not tracked stays unedited: one frame in a hundred passes for a flicker, one in ten cannot be overlooked."""
GOOD_FACE_PIXELS, LEAST_FACE_PIXELS = 160, 64
"""Height of the face in the video. In the picture that landmarks are found in a face is about 160 pixels high, larger
ones are shrunk to it; at 64 a closing eyelid moves by three pixels, little more than the landmarks' noise."""
GOOD_YAW_RANGE, LEAST_YAW_RANGE = 30.0, 10.0
"""Degrees. A cheek's shape shows from about 15 degrees to each side; from 10 in all, depth is hardly constrained."""
GOOD_PITCH_RANGE = 12.0
"""Degrees. What comes of itself when a talking person nods; it shows the chin and the brow's depth."""
ONE_SIDED_YAW = 10.0
"""Degrees that a head should turn to either side."""
SEEN_ACTION = {
    "opening the mouth": 0.3,
    "blinking": 0.35,
    "smiling": 0.25,
    "raising the brows": 0.25,
    "rounding the lips": 0.25,
}
"""Range from which an action counts as seen. A full blink reads 0.6 to 0.8 and lasts so shortly that a frame often
misses its end; ordinary talk opens the jaw by 0.3 to 0.6; the others are seldom stronger than 0.5 unless asked for."""
GOOD_BLURRED, MOST_BLURRED = 0.03, 0.15
"""Shares of frames much less sharp than the others: a turn of the head now and then, or most of all movement."""
GOOD_BLUR_EFFECT, MOST_BLUR_EFFECT = 0.52, 0.65
"""Of the face as a whole. A sharp portrait reads 0.3; blurred by a deviation of one pixel 0.5, of two pixels 0.65."""
GOOD_DRIFT, MOST_DRIFT = 0.25, 0.5
"""Brightness of the face over the clip, as a share. Turning in one-sided light alone makes 0.1 to 0.2."""
GOOD_FLICKER, MOST_FLICKER = 0.01, 0.03
"""From frame to frame. The eye sees one percent in a still picture; sensors and codecs make about half of that."""
DARKEST, BRIGHTEST = 0.2, 0.9
"""Mean luma of a face. Both bounds leave room for very dark and very light skin in proper light."""
MOST_CLIPPED = 0.08
"""Share of the face without detail. Pupils, nostrils and the highlights of a moist skin are about three percent."""
GOOD_DARK = 0.02
"""Share of frames flagged as too dark or too bright."""
STILL_SHAKE, MOST_SHAKE = 0.005, 0.02
"""Motion of the scene from frame to frame, in face heights: one pixel for a face of 200, and a walking camera."""
STILL_WANDER, MOST_WANDER = 0.01, 0.1
"""Motion of the scene over a while. From a tenth of a face, one picture of the background does not fit all frames."""
GOOD_OCCLUDED, MOST_OCCLUDED = 0.01, 0.1
GOOD_PROFILE, MOST_PROFILE = 0.15, 0.4
"""Profiles are useful, but half of the face is guessed in them: beyond these shares the front is what is missing."""
GOOD_ERROR, MOST_ERROR = 0.015, 0.03
"""Reprojection error over the distance of the irises: 1 mm and 2 mm on the face."""


class Verdict(Enum):
    """How a clip does in one respect."""

    GOOD = "good"
    COULD_BE_BETTER = "could be better"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One respect in which a clip was checked."""

    subject: str
    verdict: Verdict
    measured: str
    """What was measured, in words and numbers."""
    advice: str
    """What to film better; empty if nothing."""


def check_capture(measures: CaptureMeasures) -> list[Finding]:
    """Every check that the clip's data allow, in the order in which a person at a camera would think of them."""
    findings = [check(measures) for check in CHECKS]
    return [finding for finding in findings if finding is not None]


def _length(measures: CaptureMeasures) -> Finding:
    seconds = measures.tracked_seconds
    return Finding(
        "Length",
        _at_least(seconds, GOOD_SECONDS, LEAST_SECONDS),
        f"{seconds:.1f} s of the face",
        f"Film {GOOD_SECONDS:.0f} seconds or more." if seconds < GOOD_SECONDS else "",
    )


def _tracked(measures: CaptureMeasures) -> Finding:
    share, flags = measures.tracked_share, measures.flag_shares
    verdict = _at_least(share, GOOD_TRACKED, LEAST_TRACKED)
    advice = ""
    if verdict != Verdict.GOOD:
        no_face, unfitted = flags[FrameFlag.NO_FACE], flags[FrameFlag.OUTLIER] + flags[FrameFlag.LOST]
        advice = (
            "Keep the whole face in the picture, and nobody else's nearer to the camera."
            if no_face >= unfitted
            else "Move more slowly, keep hands away from the face, and use more light."
        )
    return Finding("Frames tracked", verdict, _percent(share), advice)


def _face_size(measures: CaptureMeasures) -> Finding | None:
    if np.isnan(measures.source_face_pixels):
        return None
    pixels, kept = measures.source_face_pixels, measures.face_pixels
    verdict = _at_least(pixels, GOOD_FACE_PIXELS, LEAST_FACE_PIXELS)
    measured = f"{pixels:.0f} pixels from forehead to chin"
    advice = "" if verdict == Verdict.GOOD else "Go closer, zoom in, or film at a higher resolution."
    if kept < 0.98 * pixels:
        measured += f", {kept:.0f} in the clip's pictures"
        if verdict == Verdict.GOOD and kept < GOOD_FACE_PIXELS:
            verdict, advice = (
                Verdict.COULD_BE_BETTER,
                "Track with a larger --size if time allows: the video has the pixels.",
            )
    return Finding("Size of the face", verdict, measured, advice)


def _pose(measures: CaptureMeasures) -> Finding | None:
    left, right = measures.yaw_range
    low, high = measures.pitch_range
    if np.isnan(left):
        return None
    yaw, pitch = right - left, high - low
    verdict = _at_least(yaw, GOOD_YAW_RANGE, LEAST_YAW_RANGE)
    advice = []
    if left > -ONE_SIDED_YAW and right < ONE_SIDED_YAW:
        advice.append("Turn the head slowly to both sides.")
    elif left > -ONE_SIDED_YAW or right < ONE_SIDED_YAW:
        advice.append(f"Turn the head to the picture's {'left' if left > -ONE_SIDED_YAW else 'right'} too.")
    elif yaw < GOOD_YAW_RANGE:
        advice.append("Turn the head further to both sides.")
    if pitch < GOOD_PITCH_RANGE:
        advice.append("Look up and down now and then.")
    if advice and verdict == Verdict.GOOD:
        verdict = Verdict.COULD_BE_BETTER
    roll = measures.roll_range[1] - measures.roll_range[0]
    return Finding(
        "Views of the head",
        verdict,
        f"turned {_degrees(left)} to {_degrees(right)}, raised {_degrees(low)} to {_degrees(high)}, "
        f"leaning over {roll:.0f}°",
        " ".join(advice),
    )


def _expressions(measures: CaptureMeasures) -> Finding | None:
    ranges = {name: high - low for name, (low, high) in measures.action_ranges.items() if np.isfinite(high)}
    if not ranges:
        return None
    missing = [name for name, value in ranges.items() if value < SEEN_ACTION[name]]
    verdict = Verdict.COULD_BE_BETTER if missing else Verdict.GOOD
    # What was never seen cannot be shown; a mouth that never opens leaves an avatar without teeth.
    if "opening the mouth" in missing or len(missing) > len(ranges) / 2:
        verdict = Verdict.PROBLEM
    measured = ", ".join(f"{name} {measures.action_ranges[name][1]:.2f}" for name in ranges)
    advice = ""
    if missing:
        advice = f"Not seen, or weakly: {_listing(missing)}. What a face never does on film, its avatar cannot do well."
    return Finding("Expressions", verdict, f"strongest, of 1: {measured}", advice)


def _sharpness(measures: CaptureMeasures) -> Finding:
    share, blur = measures.flag_shares[FrameFlag.BLURRED], measures.blur
    by_motion = _at_most(share, GOOD_BLURRED, MOST_BLURRED)
    overall = _at_most(blur, GOOD_BLUR_EFFECT, MOST_BLUR_EFFECT)
    advice = []
    if by_motion != Verdict.GOOD:
        advice.append("Use more light or a shorter exposure, so that movements do not blur.")
    if overall != Verdict.GOOD:
        advice.append("Focus on the eyes, clean the lens, or record with less compression.")
    measured = f"{_percent(share)} of the frames blurred by motion"
    if np.isfinite(blur):
        measured += f", blur of the face {blur:.2f} (0 sharp, 1 none left)"
    return Finding("Sharpness", _worst(by_motion, overall), measured, " ".join(advice))


def _steady_light(measures: CaptureMeasures) -> Finding | None:
    drift, flickering = measures.brightness_drift, measures.flicker
    if np.isnan(drift):
        return None
    drifts, flickers = _at_most(drift, GOOD_DRIFT, MOST_DRIFT), _at_most(flickering, GOOD_FLICKER, MOST_FLICKER)
    advice = []
    if drifts != Verdict.GOOD:
        advice.append("Lock the camera's exposure, and film in light that stays.")
    if flickers != Verdict.GOOD:
        advice.append("Lamps flicker: set the camera to 50 or 60 Hz as the mains, or use daylight.")
    measured = f"the face's brightness ranges over {_percent(drift)}"
    if np.isfinite(flickering):
        measured += f" and flickers by {100 * flickering:.1f}%"
    return Finding("Steadiness of the light", _worst(drifts, flickers), measured, " ".join(advice))


def _exposure(measures: CaptureMeasures) -> Finding | None:
    brightness, clipped, dark = measures.brightness, measures.clipped, measures.flag_shares[FrameFlag.DARK]
    if np.isnan(brightness):
        return None
    advice = ""
    verdict = Verdict.GOOD
    if not DARKEST <= brightness <= BRIGHTEST:
        verdict = Verdict.PROBLEM
    elif clipped > MOST_CLIPPED or dark > GOOD_DARK:
        verdict = Verdict.COULD_BE_BETTER
    if verdict != Verdict.GOOD:
        advice = "Light the face from the front." if brightness < 0.5 else "Expose less: the face is too bright."
    measured = f"brightness of the face {_percent(brightness)}, {_percent(clipped)} of it without detail"
    if dark:
        measured += f", {_percent(dark)} of the frames too dark or too bright"
    return Finding("Exposure", verdict, measured, advice)


def _camera(measures: CaptureMeasures) -> Finding:
    shake, wander = measures.scene_shake, measures.scene_wander
    if np.isnan(shake) and np.isnan(wander):
        return Finding("Stillness of the camera", Verdict.GOOD, "the scene has too few features to tell", "")
    verdict = _worst(_at_most(shake, STILL_SHAKE, MOST_SHAKE), _at_most(wander, STILL_WANDER, MOST_WANDER))
    motions = ((shake, "from frame to frame"), (wander, "in the course of the clip"))
    known = [f"{100 * motion:.1f}% of the face's height {when}" for motion, when in motions if np.isfinite(motion)]
    return Finding(
        "Stillness of the camera",
        verdict,
        f"the scene moves by {' and '.join(known)}",
        "" if verdict == Verdict.GOOD else "Put the camera on a stand, with nothing moving behind the person.",
    )


def _occlusion(measures: CaptureMeasures) -> Finding | None:
    share = measures.flag_shares[FrameFlag.OCCLUDED]
    # Not every tracker looks for what covers a face, and one that does not must not be read as having found none.
    if share == 0:
        return None
    verdict = _at_most(share, GOOD_OCCLUDED, MOST_OCCLUDED)
    return Finding(
        "Free view of the face",
        verdict,
        f"{_percent(share)} of the frames with something before the face",
        "" if verdict == Verdict.GOOD else "Keep hands, cups and microphones away from the face.",
    )


def _profiles(measures: CaptureMeasures) -> Finding:
    share = measures.flag_shares[FrameFlag.PROFILE]
    verdict = _at_most(share, GOOD_PROFILE, MOST_PROFILE)
    return Finding(
        "Profiles",
        verdict,
        f"{_percent(share)} of the frames show half of the face only",
        "" if verdict == Verdict.GOOD else "Face the camera more of the time.",
    )


def _fit(measures: CaptureMeasures) -> Finding | None:
    if np.isnan(measures.reprojection_share):
        return None
    share = measures.reprojection_share
    verdict = _at_most(share, GOOD_ERROR, MOST_ERROR)
    return Finding(
        "Fit of the head",
        verdict,
        f"{100 * share:.2f}% of the distance between the irises",
        "" if verdict == Verdict.GOOD else "Look at the worst frames below; a larger, sharper, freer face fits better.",
    )


CHECKS: tuple[Callable[[CaptureMeasures], Finding | None], ...] = (
    _length,
    _tracked,
    _face_size,
    _pose,
    _expressions,
    _sharpness,
    _exposure,
    _steady_light,
    _camera,
    _occlusion,
    _profiles,
    _fit,
)


def _at_least(value: float, good: float, least: float) -> Verdict:
    return _at_most(-value, -good, -least)


def _at_most(value: float, good: float, most: float) -> Verdict:
    """Good up to one bound, a problem beyond the other; what is unknown is held against nobody."""
    if np.isnan(value) or value <= good:
        return Verdict.GOOD
    return Verdict.COULD_BE_BETTER if value <= most else Verdict.PROBLEM


def _worst(*verdicts: Verdict) -> Verdict:
    return max(verdicts, key=list(Verdict).index)


def _percent(share: float) -> str:
    """A share as text, never rounded up to all or down to nothing."""
    if 0 < share < 0.01 or 0.99 < share < 1:
        return f"{100 * share:.1f}%"
    return f"{100 * share:.0f}%"


def _degrees(angle: float) -> str:
    """A signed whole number of degrees."""
    return f"{round(angle):+d}°".replace("-", "\N{MINUS SIGN}")


def _listing(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
