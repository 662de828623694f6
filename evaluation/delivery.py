"""Whether an edited video is the source in everything but the person: its frames, their times, the sound, what lies
outside of the part that is edited."""

from fractions import Fraction
from pathlib import Path

import numpy as np

from evaluation.measurement import Measure
from evaluation.video_pairs import Moment, VideoPairs, Window
from tracking.video import open_container


class Delivery:
    """What a pair of videos has in common as files. Handed the whole frames, not the window's."""

    def __init__(self, pairs: VideoPairs, window: Window) -> None:
        self._pairs = pairs
        self._window = window
        self._equal: list[float] = []

    def update(self, moment: Moment) -> None:
        """Compare what lies outside of the clip's crop."""
        left, top, width, height = self._window.left, self._window.top, self._window.width, self._window.height
        outside = (moment.source == moment.edited).all(axis=-1)
        inside = outside[top : top + height, left : left + width]
        count = outside.size - inside.size
        self._equal.append((int(outside.sum()) - int(inside.sum())) / count if count else np.nan)

    def measures(self) -> list[Measure]:
        """Shares of frames, times, packets and pixels."""
        pairs = self._pairs
        source = Path(pairs.clip.source.path)
        equal = np.array(self._equal)
        known = equal[np.isfinite(equal)]
        kept = len(pairs.alignment.source) / max(len(pairs.seconds), 1)
        is_same = len(pairs.seconds) == len(pairs.edited_seconds) and np.allclose(
            pairs.seconds, pairs.edited_seconds, rtol=0, atol=1e-6
        )
        sound = sound_packets(source)
        same_sound = _share(sound_packets(pairs.edited_reader.path), sound)
        return [
            Measure(
                "frames_kept",
                kept,
                "Share of the source's frames of which the edited video has the moment.",
                "",
                "higher",
            ),
            Measure(
                "time_stamps_kept",
                float(is_same),
                "1 where every frame of the edited video is shown at the time of the source's, to a microsecond.",
                "",
                "higher",
            ),
            Measure(
                "sound_kept",
                same_sound,
                "Share of the source's packets of sound that the edited video holds, byte for byte at the same times.",
                "",
                "higher",
                "" if same_sound is not None else "The source has no sound.",
            ),
            Measure(
                "identical_outside_crop",
                float(known.mean()) if len(known) else None,
                "Share of the pixels outside of the part that the clip shows which equal the source's exactly.",
                "",
                "higher",
                "" if len(known) else "The clip shows the whole frame.",
                equal,
            ),
        ]


def sound_packets(video: Path) -> set[tuple[int, bytes, Fraction | None]]:
    """Which audio stream, bytes and presentation time in seconds of every audio packet."""
    with open_container(video) as container:
        streams = list(container.streams.audio)
        if not streams:
            return set()
        order = {stream.index: number for number, stream in enumerate(streams)}
        return {
            (order[packet.stream.index], bytes(packet), None if packet.pts is None else packet.pts * packet.time_base)
            for packet in container.demux(streams)
            if packet.size
        }


def _share(found: set, wanted: set) -> float | None:
    return len(found & wanted) / len(wanted) if wanted else None
