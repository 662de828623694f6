"""The beginning of a tracked clip is a clip of its own."""

from pathlib import Path

import numpy as np
import pytest

from tracking.clip import TrackedClip

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


def test_the_beginning_of_a_clip_holds_its_first_frames(
    tiny_clip: TrackedClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from suite_clips import beginning, edited_span

    shorter = beginning(tiny_clip, 5, tmp_path / "short")
    assert shorter.frames.tolist() == tiny_clip.frames[:5].tolist()
    assert shorter.source == tiny_clip.source
    np.testing.assert_array_equal(shorter.image(3), tiny_clip.image(3))
    np.testing.assert_array_equal(shorter.seconds, tiny_clip.seconds)
    assert beginning(tiny_clip, 16, tmp_path / "whole") is tiny_clip
    assert beginning(tiny_clip, 5, tmp_path / "short").frames.tolist() == shorter.frames.tolist()
    assert edited_span(shorter).at_most == shorter.frames[-1] + 1 == 5
    assert edited_span(tiny_clip).at_most == len(tiny_clip.track.tracked)
