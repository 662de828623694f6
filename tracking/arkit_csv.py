"""Expressions over time as the CSV that Epic's Live Link Face app records and Unreal, Blender and Maya read.

A row is `Timecode,BlendShapeCount` and 61 values: ARKit's 52 expressions in the app's order, then yaw, pitch and roll
of the head, of the left and of the right eye. A time code is `hh:mm:ss:ff.mmm`: frames within the second, counted 30 or
60 to a second, and their thousandths. The file does not say which; Unreal's importer takes 60 if a frame number passes
30, and so does this reader.

Angles are radians, as importers take them (Faceit's for Blender), about axes that Unreal's AppleARKitFaceSupport
plugin fixes: R = R_y(yaw) R_x(pitch) R_z(roll) by the right-hand rule in ARKit's face space, which is our head space,
relative to the camera. So the head turned to the person's left has positive yaw, bowed positive pitch. (The plugin
itself, over the network, sends degrees / 180.)

Rows of untracked frames are left out, and the time codes show the gap. Unreal's importer stops at a row with empty
values, and repeated values would be made-up ones.
"""

import csv
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tracking.clip import TrackedClip
from tracking.errors import UserError

EXPRESSION_COLUMNS = (
    *("EyeBlinkLeft", "EyeLookDownLeft", "EyeLookInLeft", "EyeLookOutLeft", "EyeLookUpLeft", "EyeSquintLeft"),
    *("EyeWideLeft", "EyeBlinkRight", "EyeLookDownRight", "EyeLookInRight", "EyeLookOutRight", "EyeLookUpRight"),
    *("EyeSquintRight", "EyeWideRight", "JawForward", "JawRight", "JawLeft", "JawOpen", "MouthClose", "MouthFunnel"),
    *("MouthPucker", "MouthRight", "MouthLeft", "MouthSmileLeft", "MouthSmileRight", "MouthFrownLeft"),
    *("MouthFrownRight", "MouthDimpleLeft", "MouthDimpleRight", "MouthStretchLeft", "MouthStretchRight"),
    *("MouthRollLower", "MouthRollUpper", "MouthShrugLower", "MouthShrugUpper", "MouthPressLeft", "MouthPressRight"),
    *("MouthLowerDownLeft", "MouthLowerDownRight", "MouthUpperUpLeft", "MouthUpperUpRight", "BrowDownLeft"),
    *("BrowDownRight", "BrowInnerUp", "BrowOuterUpLeft", "BrowOuterUpRight", "CheekPuff", "CheekSquintLeft"),
    *("CheekSquintRight", "NoseSneerLeft", "NoseSneerRight", "TongueOut"),
)
"""ARKit's expressions, capitalised and in the app's order."""
ROTATION_COLUMNS = (
    *("HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll"),
    *("RightEyeYaw", "RightEyePitch", "RightEyeRoll"),
)
TIMECODE, COUNT = "Timecode", "BlendShapeCount"
HEADER = (TIMECODE, COUNT, *EXPRESSION_COLUMNS, *ROTATION_COLUMNS)
GAZE_RADIANS = {"In": np.radians(30), "Out": np.radians(30), "Up": np.radians(24), "Down": np.radians(26)}
"""How far the head model's eyes turn at coefficient 1; see `tracking/data/README.md`."""
LONGEST_GAP = 2.5
"""Usual steps between two rows from which what lies between them is unknown, rather than on the line between them."""
ROUNDING = 1e-3 / 30
"""Seconds that the coarsest time codes can tell apart; a row counts for times as near as this."""


@dataclass(frozen=True)
class ExpressionTable:
    """Named expressions at points in time."""

    times: Float[np.ndarray, "rows"]
    """Seconds from the first row, increasing."""
    expression: Float[np.ndarray, "rows expressions"]
    """How far each expression is on; 0 to 1, save what an app's calibration makes of it."""
    expression_names: tuple[str, ...]
    """ARKit's names as in `HeadModel`: not capitalised."""

    def resampled(
        self, times: Float[np.ndarray, "frames"], names: tuple[str, ...], offset: float = 0.0
    ) -> Float[np.ndarray, "frames expressions"]:
        """The coefficients of the named expressions at other times, on the line between the rows around, in [0, 1].

        NaN where the table says nothing: before it, after it, and in its gaps.

        Args:
            times: seconds.
            offset: of those times, where the table begins, in seconds.
        """
        wanted = np.asarray(times, dtype=np.float64) - offset
        column = {name: index for index, name in enumerate(self.expression_names)}
        values = np.stack([np.interp(wanted, self.times, self.expression[:, column[name]]) for name in names], 1)
        after = np.searchsorted(self.times, wanted, side="left").clip(0, len(self.times) - 1)
        before = (np.searchsorted(self.times, wanted, side="right") - 1).clip(0)
        between = (self.times[before] <= wanted) & (wanted <= self.times[after])
        usual = np.median(np.diff(self.times)) if len(self.times) > 1 else 0.0
        between &= self.times[after] - self.times[before] <= LONGEST_GAP * usual
        nearest = np.minimum(np.abs(wanted - self.times[before]), np.abs(self.times[after] - wanted))
        values[~between & (nearest > ROUNDING)] = np.nan
        return np.clip(values, 0, 1)


def write_arkit_csv(clip: TrackedClip, path: Path) -> None:
    """Write a clip's expressions, head rotation and gaze, whole or not at all.

    Raises:
        UserError: the clip's expressions are not ARKit's, or the file cannot be written.
    """
    names = clip.track.expression_names
    index = {name: number for number, name in enumerate(names)}
    missing = [column for column in EXPRESSION_COLUMNS if _own_name(column) not in index]
    if missing:
        raise UserError(
            f"{clip.root} has no expression {_own_name(missing[0])!r}: only a clip tracked with the default head "
            "model, whose expressions are ARKit's, becomes a Live Link Face CSV."
        )
    frames = clip.frames
    expression = clip.track.expression[frames]
    rotations = np.concatenate(
        [
            head_angles(clip.track.camera_to_head[frames, :3, :3].swapaxes(-1, -2)),
            *(_gaze(expression, index, side) for side in ("Left", "Right")),
        ],
        axis=1,
    )
    order = [index[_own_name(column)] for column in EXPRESSION_COLUMNS]
    values = np.concatenate([expression[:, order], rotations], 1)
    codes = timecodes(clip.seconds[frames], clip.source.frames_per_second)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            for code, row in zip(codes, values, strict=True):
                writer.writerow([code, len(row), *(f"{value:.8f}" for value in row)])
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"Cannot write {path} ({error.strerror}): choose another place.") from error


def read_arkit_csv(path: Path, frames_per_second: float | None = None) -> ExpressionTable:
    """Read the expressions of a Live Link Face recording, or of any table of that kind.

    Columns may stand in any order and be written with a small first letter; the rotations may be missing. Instead of
    `Timecode` there may be a column `Time` in seconds. Rows whose `BlendShapeCount` is 0 saw no face and are left out.

    Args:
        frames_per_second: how many frames the time codes count to a second; 30 or 60 by their values if not given.

    Raises:
        UserError: the file is not such a table; the message names the column or the row.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: give the path of a Live Link Face CSV.") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a CSV ({error}): give a Live Link Face CSV.") from error
    if len(rows) < 2:
        raise UserError(f"{path} holds no rows of values: record it again.")
    columns = _columns(rows[0], path)
    body = [(line, row) for line, row in enumerate(rows[1:], start=2) if not _saw_no_face(row, columns)]
    for line, row in body:
        if len(row) != len(rows[0]):
            raise UserError(f"Row {line} of {path} has {len(row)} values for {len(rows[0])} columns: export it again.")
    if not body:
        raise UserError(f"No row of {path} saw a face (BlendShapeCount is 0 in all): record it again.")
    times = _times(body, columns, path, frames_per_second)
    late = np.flatnonzero(np.diff(times) <= 0)
    if len(late):
        line, row = body[late[0] + 1]
        raise UserError(
            f"Row {line} of {path} ({row[columns.get(TIMECODE, columns.get('Time', 0))]}) is not later than the row "
            "before it: sort the rows by time, and leave no two at the same time."
        )
    expression = np.array(
        [[_number(row[columns[name]], line, path) for name in EXPRESSION_COLUMNS] for line, row in body]
    )
    return ExpressionTable(times - times[0], expression, tuple(_own_name(name) for name in EXPRESSION_COLUMNS))


def timecodes(seconds: Float[np.ndarray, "frames"], frames_per_second: float) -> list[str]:
    """The time codes of times from 0, counted so that Unreal's importer takes them as meant.

    It takes a file for one of 60 frames a second only if a frame number in it passes 30.
    """
    rate = 60 if frames_per_second > 31 and np.any(np.mod(seconds, 1) > 0.51) else 30
    codes = []
    for thousandths in np.rint(np.asarray(seconds) * rate * 1000).astype(np.int64).tolist():
        whole, fraction = divmod(thousandths, rate * 1000)
        hours, minutes, whole = whole // 3600, whole // 60 % 60, whole % 60
        codes.append(f"{hours:02d}:{minutes:02d}:{whole:02d}:{fraction // 1000:02d}.{fraction % 1000:03d}")
    return codes


def head_angles(rotation: Float[np.ndarray, "frames 3 3"]) -> Float[np.ndarray, "frames 3"]:
    """Yaw, pitch and roll of R = R_y(yaw) R_x(pitch) R_z(roll), in radians; pitch within a quarter turn."""
    yaw = np.arctan2(rotation[:, 0, 2], rotation[:, 2, 2])
    pitch = np.arcsin(np.clip(-rotation[:, 1, 2], -1, 1))
    roll = np.arctan2(rotation[:, 1, 0], rotation[:, 1, 1])
    return np.stack([yaw, pitch, roll], 1)


def _gaze(expression: np.ndarray, index: dict[str, int], side: str) -> Float[np.ndarray, "frames 3"]:
    """Yaw, pitch and roll of an eye in the head, from its four `eyeLook` expressions."""
    turned = {
        direction: angle * expression[:, index[f"eyeLook{direction}{side}"]]
        for direction, angle in GAZE_RADIANS.items()
    }
    outward = turned["Out"] - turned["In"]
    yaw = outward if side == "Left" else -outward
    return np.stack([yaw, turned["Down"] - turned["Up"], np.zeros_like(yaw)], 1)


def _own_name(column: str) -> str:
    """ARKit's name of a column: its first letter small."""
    return column[0].lower() + column[1:]


def _columns(header: list[str], path: Path) -> dict[str, int]:
    """Where each known column stands."""
    found: dict[str, int] = {}
    for position, written in enumerate(header):
        name = written.strip()
        name = name[:1].upper() + name[1:]
        # Older descriptions of the format spell it so.
        name = COUNT if name == "BlendshapeCount" else name
        if name not in (*HEADER, "Time"):
            raise UserError(
                f"{path} has a column {written.strip()!r} that is no expression of ARKit's: rename or remove it; known "
                f"are {', '.join(HEADER)}, and Time."
            )
        if name in found:
            raise UserError(f"{path} has the column {written.strip()!r} twice: remove one.")
        found[name] = position
    missing = [name for name in EXPRESSION_COLUMNS if name not in found]
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}: export all 52 of ARKit's expressions.")
    if TIMECODE not in found and "Time" not in found:
        raise UserError(f"{path} lacks a column Timecode (hh:mm:ss:ff.mmm) or Time (seconds): add one.")
    return found


def _saw_no_face(row: list[str], columns: dict[str, int]) -> bool:
    position = columns.get(COUNT)
    return position is not None and position < len(row) and row[position].strip() in ("0", "0.0")


def _times(
    body: list[tuple[int, list[str]]], columns: dict[str, int], path: Path, frames_per_second: float | None
) -> Float[np.ndarray, "rows"]:
    """Seconds since midnight, or as written."""
    if TIMECODE not in columns:
        return np.array([_number(row[columns["Time"]], line, path) for line, row in body])
    whole, frames = [], []
    for line, row in body:
        parsed = re.fullmatch(r"\s*(\d+):(\d\d):(\d\d)[:;](\d+(?:\.\d+)?)\s*", row[columns[TIMECODE]])
        if parsed is None:
            raise UserError(
                f"Row {line} of {path} has the time code {row[columns[TIMECODE]]!r}: write it as hh:mm:ss:ff.mmm."
            )
        hours, minutes, seconds, frame = parsed.groups()
        whole.append(3600 * int(hours) + 60 * int(minutes) + int(seconds))
        frames.append(Fraction(frame))
    rate = frames_per_second or (60 if max(frames) > 30 else 30)
    return np.array([second + float(frame) / rate for second, frame in zip(whole, frames, strict=True)])


def _number(written: str, line: int, path: Path) -> float:
    try:
        value = float(written)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise UserError(f"Row {line} of {path} holds {written!r} where a number is due: export it again.")
    return value
