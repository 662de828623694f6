"""A track goes out as a Live Link Face CSV and comes back the same; a bad table is refused in one sentence."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tracking.arkit_csv import (
    EXPRESSION_COLUMNS,
    HEADER,
    ExpressionTable,
    head_angles,
    read_arkit_csv,
    timecodes,
    write_arkit_csv,
)
from tracking.cameras import rotation_from_vector
from tracking.clip import TrackedClip
from tracking.errors import UserError
from tracking.head_model import HeadModel

NAMES = HeadModel.load().expression_names


def edit_rows(path: Path, edit) -> Path:
    """The file with its rows, lists of words, changed."""
    rows = [line.split(",") for line in path.read_text().splitlines()]
    path.write_text("".join(",".join(row) + "\n" for row in edit(rows)))
    return path


def test_the_columns_are_arkits_expressions_each_once() -> None:
    assert sorted(name[0].lower() + name[1:] for name in EXPRESSION_COLUMNS) == sorted(NAMES)
    assert len(HEADER) == 2 + 61


def test_a_track_comes_back_from_its_csv(known_clip: TrackedClip, tmp_path: Path) -> None:
    write_arkit_csv(known_clip, tmp_path / "face.csv")
    table = read_arkit_csv(tmp_path / "face.csv")
    frames = known_clip.frames
    np.testing.assert_allclose(table.times, known_clip.seconds[frames] - known_clip.seconds[frames[0]], atol=1e-3 / 30)
    own = table.resampled(known_clip.seconds, NAMES, offset=known_clip.seconds[frames[0]])
    np.testing.assert_allclose(own[frames], known_clip.track.expression[frames], atol=1e-3)
    assert np.isnan(own[~known_clip.track.tracked]).all()


def test_untracked_frames_are_a_gap_in_time_and_no_row_is_empty(known_clip: TrackedClip, tmp_path: Path) -> None:
    write_arkit_csv(known_clip, tmp_path / "face.csv")
    rows = [line.split(",") for line in (tmp_path / "face.csv").read_text().splitlines()]
    assert tuple(rows[0]) == HEADER
    assert len(rows) == 1 + len(known_clip.frames)
    assert all(len(row) == 63 and row[1] == "61" and all(row) for row in rows[1:])
    assert rows[1][0] == "00:00:00:02.400"


@pytest.mark.parametrize(("rate", "expected"), [(25.0, "00:00:01:01.200"), (60.0, "00:00:01:02.400")])
def test_time_codes_count_frames_within_the_second(rate: float, expected: str) -> None:
    assert timecodes(np.array([0.0, 0.9, 1.04]), rate)[2] == expected


def test_time_codes_never_reach_a_full_second_of_frames() -> None:
    assert timecodes(np.array([3661.9999999]), 30) == ["01:01:02:00.000"]


def test_recordings_of_thirty_and_of_sixty_frames_are_told_apart(known_clip: TrackedClip, tmp_path: Path) -> None:
    path = tmp_path / "face.csv"
    for count in (30, 60):
        write_arkit_csv(known_clip, path)
        codes = [f"00:00:0{i // count}:{i % count:02d}.000" for i in range(3, 3 + len(known_clip.frames))]
        edit_rows(
            path, lambda rows, codes=codes: [rows[0], *([c, *row[1:]] for c, row in zip(codes, rows[1:], strict=True))]
        )
        expected = np.arange(len(known_clip.frames)) / (60 if count == 60 and len(codes) > 28 else 30)
        np.testing.assert_allclose(read_arkit_csv(path).times, expected, atol=1e-9)
    np.testing.assert_allclose(read_arkit_csv(path, frames_per_second=60).times[1], 1 / 60)


def test_columns_may_be_shuffled_and_small_and_rotations_missing(known_clip: TrackedClip, tmp_path: Path) -> None:
    path = tmp_path / "face.csv"
    write_arkit_csv(known_clip, path)
    before = read_arkit_csv(path)
    order = np.random.default_rng(0).permutation(54)
    edit_rows(path, lambda rows: [[row[i] for i in order] for row in rows])
    path.write_text(path.read_text().replace("JawOpen", "jawOpen").replace("BlendShapeCount", "BlendshapeCount"))
    np.testing.assert_array_equal(read_arkit_csv(path).expression, before.expression)


def test_rows_that_saw_no_face_are_left_out(known_clip: TrackedClip, tmp_path: Path) -> None:
    path = tmp_path / "face.csv"
    write_arkit_csv(known_clip, path)
    before = read_arkit_csv(path)
    edit_rows(path, lambda rows: [*rows[:3], [rows[3][0], "0"], *rows[4:]])
    after = read_arkit_csv(path)
    np.testing.assert_array_equal(after.expression, np.delete(before.expression, 2, axis=0))
    np.testing.assert_array_equal(after.times, np.delete(before.times, 2))


def test_seconds_may_stand_for_time_codes(known_clip: TrackedClip, tmp_path: Path) -> None:
    path = tmp_path / "face.csv"
    write_arkit_csv(known_clip, path)
    edit_rows(
        path, lambda rows: [["time", *rows[0][1:]], *([str(5 + i / 8), *row[1:]] for i, row in enumerate(rows[1:]))]
    )
    np.testing.assert_allclose(read_arkit_csv(path).times, np.arange(len(known_clip.frames)) / 8)


def ramp(times: list[float]) -> ExpressionTable:
    """Coefficients that equal the time in seconds."""
    return ExpressionTable(np.array(times), np.array(times)[:, None], ("jawOpen",))


def test_resampling_is_exact_on_a_line_and_follows_an_offset() -> None:
    table = ramp([0.0, 0.1, 0.15, 0.3])
    asked = np.array([1.0, 1.05, 1.2, 1.3])
    np.testing.assert_allclose(table.resampled(asked, ("jawOpen",), offset=1.0)[:, 0], asked - 1.0, atol=1e-12)


def test_nothing_is_made_up_outside_and_in_gaps() -> None:
    table = ramp([0.0, 0.2, 0.9, 1.0])
    values = table.resampled(np.array([-0.1, 0.0, 0.2, 0.5, 0.9, 1.0, 1.1]), ("jawOpen",))[:, 0]
    np.testing.assert_array_equal(np.isnan(values), [True, False, False, True, False, False, True])


def test_head_angles_have_the_signs_of_the_format() -> None:
    turned_left, bowed, tilted = np.eye(3)[[1, 0, 2]] * 0.3
    for axis, vector in enumerate((turned_left, bowed, tilted)):
        np.testing.assert_allclose(
            head_angles(rotation_from_vector(vector[None]))[0], 0.3 * np.eye(3)[axis], atol=1e-12
        )


def test_head_angles_rebuild_the_rotation() -> None:
    rotation = rotation_from_vector(np.random.default_rng(1).normal(0, 0.5, (20, 3)))
    yaw, pitch, roll = head_angles(rotation).T

    def about(axis: int, angle: np.ndarray) -> np.ndarray:
        return rotation_from_vector(np.eye(3)[axis] * angle[:, None])

    np.testing.assert_allclose(about(1, yaw) @ about(0, pitch) @ about(2, roll), rotation, atol=1e-12)


def test_both_eyes_looking_left_have_positive_yaw(known_clip: TrackedClip, tmp_path: Path) -> None:
    expression = np.zeros_like(known_clip.track.expression)
    expression[:, [NAMES.index("eyeLookOutLeft"), NAMES.index("eyeLookInRight")]] = 1
    expression[:, NAMES.index("eyeLookUpLeft")] = 0.5
    write_arkit_csv(replace(known_clip, track=replace(known_clip.track, expression=expression)), tmp_path / "face.csv")
    row = dict(zip(HEADER, (tmp_path / "face.csv").read_text().splitlines()[1].split(","), strict=True))
    assert float(row["LeftEyeYaw"]) == float(row["RightEyeYaw"]) == pytest.approx(np.radians(30))
    assert float(row["LeftEyePitch"]) == pytest.approx(-np.radians(12))
    assert float(row["RightEyePitch"]) == float(row["LeftEyeRoll"]) == 0


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda rows: [[*rows[0], "smirk"], *([*row, "0"] for row in rows[1:])],
            "column 'smirk' that is no expression",
        ),
        (lambda rows: [row[:20] + row[21:] for row in rows], "lacks the columns MouthClose"),
        (lambda rows: [row[1:] for row in rows], "lacks a column Timecode"),
        (lambda rows: [rows[0], *rows[:0:-1]], "Row 3 .* is not later than the row before it: sort"),
        (lambda rows: [*rows, rows[-1]], "is not later"),
        (lambda rows: [*rows[:2], rows[2][:-1], *rows[3:]], "Row 3 .* has 62 values for 63 columns"),
        (lambda rows: [*rows[:2], [*rows[2][:5], "", *rows[2][6:]], *rows[3:]], "Row 3 .* holds '' where a number"),
        (lambda rows: [*rows[:2], [*rows[2][:5], "nan", *rows[2][6:]], *rows[3:]], "Row 3 .* holds 'nan'"),
        (lambda rows: [*rows[:2], ["12:3", *rows[2][1:]], *rows[3:]], "Row 3 .* time code '12:3': write it as"),
        (lambda rows: [[*row, row[3]] for row in rows], "column 'EyeLookDownLeft' twice"),
        (lambda rows: rows[:1], "holds no rows"),
        (lambda rows: [rows[0], [rows[1][0], "0"]], "No row of .* saw a face"),
    ],
)
def test_bad_tables_are_refused(known_clip: TrackedClip, tmp_path: Path, edit, message: str) -> None:
    path = tmp_path / "face.csv"
    write_arkit_csv(known_clip, path)
    with pytest.raises(UserError, match=message):
        read_arkit_csv(edit_rows(path, edit))


def test_what_is_no_csv_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_arkit_csv(tmp_path / "none.csv")
    (tmp_path / "picture.csv").write_bytes(bytes(range(256)))
    with pytest.raises(UserError, match="cannot be read as a CSV"):
        read_arkit_csv(tmp_path / "picture.csv")


def test_a_failed_write_leaves_nothing(known_clip: TrackedClip, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Cannot write"):
        write_arkit_csv(known_clip, tmp_path / "none" / "face.csv")
    assert not list(tmp_path.glob("**/*.partial"))
