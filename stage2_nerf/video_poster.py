"""A picture of a video for a page: shown before the video is played, and where a browser cannot play it.

Not every browser decodes H.264 (Chromium as such does not), and none ProRes; many show nothing of a video before it is
begun.
"""

from pathlib import Path

import av

from tracking.errors import UserError
from tracking.report_pictures import data_address, shrink
from tracking.video import VideoReader, decode_stream, find_video_stream, open_container

POSTER_SIDE = 480
"""Pixels of the longer side at most."""


def poster(path: Path) -> str | None:
    """The frame in the middle of a video, small, as a data address; None if it is no video that can be read."""
    try:
        reader = VideoReader(path)
        return data_address(shrink(reader.upright_rgb(middle_frame(path)), POSTER_SIDE))
    except UserError:
        return None


def middle_frame(path: Path) -> av.VideoFrame:
    """The first frame at or after half of a video's length, or the last before that is there.

    Raises:
        UserError: it is no video that can be read.
    """
    with open_container(path) as container:
        stream = find_video_stream(container, path)
        start, length = container.start_time or 0, container.duration or 0
        if length:
            # To the last key frame before.
            container.seek(start + length // 2)
        middle = (start + length / 2) / av.time_base
        frames = decode_stream(container, stream, path)
        shown = None
        for shown in frames:
            if shown.time is not None and shown.time >= middle:
                break
        if shown is None:
            raise UserError(f"{path} holds no frame that can be decoded.")
        return shown
