"""The report is one self-contained page whose numbers are the clip's."""

import base64
import re
from collections.abc import Callable
from dataclasses import fields, replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from tracking.clip import TrackedClip
from tracking.errors import UserError
from tracking.frame_flags import FrameFlag
from tracking.regions import Label
from tracking.report import main, report_page, write_report
from tracking.report_frames import choose_frames
from tracking.report_pictures import LABEL_COLORS, face_window, over_green, paint_labels

MakeClip = Callable[..., TrackedClip]
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """What a page shows; complains of tags that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.tags: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open and "title" not in self.open[1:-1]:
            self.text.append(data)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


def page_of(clip: TrackedClip) -> Page:
    return Page(report_page(clip))


@pytest.fixture
def lively(make_clip: MakeClip) -> TrackedClip:
    """Sixty frames of turning and talking, some left out and some flagged."""
    waves = np.sin(np.linspace(0, 2 * np.pi, 60))
    blink = np.zeros(60)
    blink[23] = 0.9
    return make_clip(
        frames=60,
        name="<b>&.mp4",
        yaw=20 * waves,
        expressions={"jawOpen": 0.4 + 0.4 * waves[::-1], "eyeBlinkLeft": blink, "eyeBlinkRight": blink},
        untracked=(30, 31, 32),
        flags={30: FrameFlag.NO_FACE, 31: FrameFlag.NO_FACE, 32: FrameFlag.LOST, 50: FrameFlag.BLURRED},
    )


def test_page_is_whole_and_needs_nothing_else(lively: TrackedClip) -> None:
    html = report_page(lively)
    page = Page(html)
    assert "script" not in page.tags
    assert "link" not in page.tags
    without_pictures = re.sub(r'src="data:image/jpeg;base64,[^"]*"', "", html)
    assert not re.search(r"https?:|//|@import|src=|href=|url\((?!#)", without_pictures)
    assert len(page.images) == 3 * 12 + 1
    assert html.count('id="hatch"') == 1


def test_its_numbers_are_the_clips(lively: TrackedClip) -> None:
    words = page_of(lively).words
    assert "2.00 s, 30 frames/s, 160 x 160" in words
    assert "57 of 60" in words
    assert "280 pixels; the video's diagonal field of view is 44°" in words
    assert "0.25 pixels" in words
    assert "1.9 s of the face" in words
    assert "95%" in words
    assert "turned \N{MINUS SIGN}20° to +20°" in words


def test_names_of_files_are_text_not_markup(lively: TrackedClip) -> None:
    html = report_page(lively)
    assert "<b>&.mp4" not in html
    assert "<b>&.mp4" in page_of(lively).words


def test_commands_quote_the_folder(make_clip: MakeClip) -> None:
    clip = make_clip("my clip's", frames=10)
    assert f"ns-train portrait-edit --data '{clip.root.parent}/my clip'\"'\"'s'" in page_of(clip).words


def test_left_out_frames_are_listed_with_their_reasons(lively: TrackedClip) -> None:
    words = page_of(lively).words
    assert "3 of 60 frames" in words
    assert "30 to 31 1.00 to 1.07 s no face found" in words
    assert "32 1.07 to 1.10 s head does not fit" in words
    assert "left out: not tracked" in words
    assert "flagged: tracked, but less sure" in words


def test_a_clip_without_faults_lists_none(make_clip: MakeClip) -> None:
    words = page_of(make_clip(frames=10)).words
    assert "Frames left out" not in words
    assert "none was left out or flagged" in words


def test_a_moving_camera_is_said_to_move(make_clip: MakeClip) -> None:
    still = page_of(make_clip("still", frames=10)).words
    moving = page_of(make_clip("moving", frames=10, background_kind="per-frame")).words
    assert "the camera stands still" in still
    assert "the camera moves" in moving
    assert "the camera stands still" not in moving


def test_pictures_are_embedded_and_decode(lively: TrackedClip) -> None:
    for image in page_of(lively).images:
        head, _, data = (image["src"] or "").partition(",")
        assert head == "data:image/jpeg;base64"
        decoded = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        assert 100 <= max(decoded.shape) <= 480


@pytest.mark.parametrize(
    "options",
    [
        {"frames": 10},
        {"frames": 12, "expression_names": ("jawOpen",)},
        {"frames": 12, "expression_names": ("tongueOut",)},
        {"frames": 40, "untracked": tuple(range(5, 35))},
        {"frames": 40, "untracked": tuple(range(1, 40, 2))},
        {"frames": 5, "untracked": (0, 1, 2, 3, 4)},
        {"frames": 20, "untracked": tuple(range(10)), "flags": dict.fromkeys(range(10), int(FrameFlag.OUTSIDE))},
        {"frames": 20, "distance": 15.0},
    ],
)
def test_unusual_clips_have_reports_too(make_clip: MakeClip, options: dict[str, object]) -> None:
    clip = make_clip(**options)
    html = report_page(clip)
    page = Page(html)
    assert not re.search(r"\b(nan|inf|None)\b", re.sub(r'src="[^"]*"', "", html))
    assert len(page.images) == 3 * min(12, len(clip.frames)) + 1


def test_landmarks_may_be_missing(make_clip: MakeClip) -> None:
    clip = make_clip(frames=12)
    whole = page_of(clip).words
    clip.track.landmarks[:, 100:] = np.nan
    # The light of the face is measured inside of the fitted outline instead, which here lies where the landmarks lay.
    assert page_of(clip).words == whole


def test_report_is_written_whole_or_not_at_all(lively: TrackedClip, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_report(lively)
    assert path == lively.root / "report.html"
    before = path.read_text()
    assert not list(lively.root.glob("*.partial*"))

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(UserError, match="No space left"):
        write_report(lively)
    assert path.read_text() == before


def test_a_missing_picture_says_what_to_do(lively: TrackedClip) -> None:
    lively.image_path(0).unlink()
    with pytest.raises(UserError, match="track the video again"):
        write_report(lively)


def test_remarkable_frames_are_shown_with_reasons(lively: TrackedClip) -> None:
    chosen = choose_frames(lively)
    assert len(chosen) == 12
    assert list(chosen) == sorted(chosen)
    assert not {30, 31, 32} & set(chosen)
    yaw = np.sin(np.linspace(0, 2 * np.pi, 60))
    assert "furthest to the right" in chosen[int(yaw.argmax())]
    assert "furthest to the left" in chosen[int(yaw.argmin())]
    assert "eyes most closed" in chosen[23]
    assert "flagged: blurred" in chosen[50]
    assert chosen[0] == ["worst fit"]
    assert np.diff(list(chosen)).max() <= 13


def test_frames_are_spread_over_an_uneventful_clip(make_clip: MakeClip) -> None:
    chosen = list(choose_frames(make_clip(frames=60, size=32), 7))
    assert chosen[0] == 0
    assert chosen[-1] == 59
    assert np.diff(chosen).max() <= 15


def test_report_of_a_long_clip_is_bounded(make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch) -> None:
    short, repeats, random = make_clip(frames=60), 170, np.random.default_rng(0)
    count = 60 * repeats
    per_frame = ("camera_to_head", "camera_to_torso", "landmarks", "reprojection_error")
    track = replace(
        short.track,
        **{name: np.concatenate([getattr(short.track, name)] * repeats) for name in per_frame},
        tracked=random.random(count) < 0.8,
        flags=random.integers(0, 256, count, dtype=np.uint16),
        expression=random.random((count, len(short.track.expression_names))),
        presentation_timestamps=np.arange(count, dtype=np.int64),
    )
    read = []

    class LongClip(TrackedClip):
        """The short clip's files, over and over."""

        def image(self, frame: int) -> np.ndarray:
            read.append(frame)
            return short.image(frame % 60)

        def matte(self, frame: int) -> np.ndarray:
            return short.matte(frame % 60)

        def labels(self, frame: int) -> np.ndarray:
            return short.labels(frame % 60)

    clip = LongClip(**{**{field.name: getattr(short, field.name) for field in fields(short)}, "track": track})
    html = report_page(clip)
    assert len(html) < 3_000_000
    assert len(read) <= 70


def test_matte_and_labels_are_shown_as_they_are() -> None:
    image = np.full((2, 2, 3), 200, np.uint8)
    shown = over_green(image, np.array([[0.0, 1.0], [0.5, 0.0]], np.float32))
    assert shown[0, 1].tolist() == [200, 200, 200]
    assert shown[0, 0].tolist() == shown[1, 1].tolist() == [0, 177, 64]
    assert shown[1, 0].tolist() == [100, 188, 132]
    labels = np.array([[int(label) for label in Label]], np.uint8)
    assert len(np.unique(paint_labels(labels)[0], axis=0)) == len(Label) == len(LABEL_COLORS)


def test_command_writes_the_report_again(
    lively: TrackedClip, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["report", str(lively.root)])
    main()
    assert capsys.readouterr().out.strip() == f"Wrote {lively.root}/report.html"
    monkeypatch.setattr("sys.argv", ["report", str(lively.root.parent)])
    with pytest.raises(SystemExit):
        main()
    assert "is not a tracked clip" in capsys.readouterr().err


def test_contact_sheet_goes_close_to_the_face_and_never_out_of_the_picture() -> None:
    face = np.array([[100.0, 50.0], [140.0, 100.0]])
    assert face_window(face, 640, 480) == ((72, 27), 95)
    assert face_window(face - 90, 640, 480) == ((0, 0), 95)
    assert face_window(face + 500, 640, 480) == ((545, 385), 95)
    assert face_window(10 * face, 320, 240) == ((80, 0), 240)
    assert face_window(face * 1e-3, 640, 480)[1] == 32
