"""What ffmpeg knows of a media file: sound, start times, frame rate. OpenCV tells none of these."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_STREAM = re.compile(r"^ {2}Stream #0:\d+\S* ?(?:\(\w+\))?: (Video|Audio): (.*)$", re.MULTILINE)
_START = re.compile(r"\bstart (-?\d+(?:\.\d+)?)")
_SIZE = re.compile(r", (\d+)x(\d+)[ ,]")
_RATE = re.compile(r"\b(\d+(?:\.\d+)?)(k?) tbr\b")

MOST_FRAME_PIXELS = 36_000_000
"""8K has 35.4 million. More is refused before it is decoded: a scan holds several frames, and a small file can claim
frames of any size."""

MOST_FRAME_SIDE = 16_384
"""Pixels; the annotated video is H.264, of which the encoder makes no more."""


def is_too_large(width: float, height: float) -> bool:
    """Whether frames of this size are refused."""
    return width * height > MOST_FRAME_PIXELS or max(width, height) > MOST_FRAME_SIDE


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """Streams of a media file.

    Attributes:
        has_video: there is at least one picture stream; the cover of a song is none.
        audio_codec: of the first sound stream, None without sound.
        picture_start_s: when the picture starts by the file's own clock, seconds.
        frame_rate: ffmpeg's guess of the least rate that holds all timestamps, None if it has none.
        too_large: its frames are: see :func:`is_too_large`; nothing else may be known then.
    """

    has_video: bool
    audio_codec: str | None
    picture_start_s: float
    frame_rate: float | None
    too_large: bool = False


def ffmpeg_binary() -> str:
    """Path of the ffmpeg that imageio-ffmpeg carries, or that ``UNMASK_FFMPEG`` names (absolute, or on PATH)."""
    import imageio_ffmpeg

    return os.environ.get("UNMASK_FFMPEG") or str(imageio_ffmpeg.get_ffmpeg_exe())


def probe(path: Path) -> MediaInfo:
    """Ask ffmpeg about a local file. Never raises for a bad one: that simply has no streams."""
    limits = ["-protocol_whitelist", "file", "-max_pixels", str(MOST_FRAME_PIXELS)]
    command = [ffmpeg_binary(), "-hide_banner", "-nostdin", *limits, "-i", f"file:{path}"]
    try:
        # Its own session, here and wherever ffmpeg is run: Ctrl-C in the terminal is for us alone.
        done = subprocess.run(command, capture_output=True, timeout=30, check=False, start_new_session=True)
    except subprocess.TimeoutExpired:
        return MediaInfo(False, None, 0.0, None)
    return parse_streams(done.stderr.decode("utf-8", "replace"))


def parse_streams(text: str) -> MediaInfo:
    """Read ffmpeg's description of an input."""
    video = audio = None
    for kind, description in _STREAM.findall(text):
        if kind == "Video" and video is None and "(attached pic)" not in description:
            video = description
        elif kind == "Audio" and audio is None:
            audio = description
    rate = _RATE.search(video or "")
    start = _START.search(video or "")
    size = _SIZE.search(video or "")
    return MediaInfo(
        has_video=video is not None,
        audio_codec=None if audio is None else re.split(r"[ ,]", audio, maxsplit=1)[0],
        picture_start_s=float(start[1]) if start else 0.0,
        frame_rate=None if rate is None else float(rate[1]) * (1000 if rate[2] else 1),
        too_large="exceeds specified max pixel count" in text
        or (size is not None and is_too_large(int(size[1]), int(size[2]))),
    )


@contextlib.contextmanager
def utf8_name(path: Path) -> Iterator[str]:
    """A name of the absolute ``path`` that is UTF-8: any other crashes OpenCV, and ffmpeg-python refuses it."""
    if not any("\ud800" <= c <= "\udfff" for c in str(path)):
        yield str(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "video"
        link.symlink_to(path)
        yield str(link)
