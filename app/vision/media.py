"""What ffmpeg knows of a media file: sound, start times, frame rate. OpenCV tells none of these."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

_STREAM = re.compile(r"^ {2}Stream #0:\d+\S* ?(?:\(\w+\))?: (Video|Audio): (.*)$", re.MULTILINE)
_START = re.compile(r"\bstart (-?\d+(?:\.\d+)?)")
_RATE = re.compile(r"\b(\d+(?:\.\d+)?)(k?) tbr\b")


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """Streams of a media file.

    Attributes:
        has_video: there is at least one picture stream.
        audio_codec: of the first sound stream, None without sound.
        audio_offset_s: start of the sound minus start of the picture, seconds.
        frame_rate: ffmpeg's guess of the least rate that holds all timestamps, None if it has none.
    """

    has_video: bool
    audio_codec: str | None
    audio_offset_s: float
    frame_rate: float | None


def ffmpeg_binary() -> str:
    """Path of the ffmpeg that imageio-ffmpeg carries, or that ``UNMASK_FFMPEG`` names."""
    import imageio_ffmpeg

    return os.environ.get("UNMASK_FFMPEG") or str(imageio_ffmpeg.get_ffmpeg_exe())


def probe(path: Path) -> MediaInfo:
    """Ask ffmpeg about a local file. Never raises for a bad one: that simply has no streams."""
    command = [ffmpeg_binary(), "-hide_banner", "-nostdin", "-protocol_whitelist", "file", "-i", f"file:{path}"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return MediaInfo(False, None, 0.0, None)
    return parse_streams(done.stderr.decode("utf-8", "replace"))


def parse_streams(text: str) -> MediaInfo:
    """Read ffmpeg's description of an input."""
    video = audio = None
    for kind, description in _STREAM.findall(text):
        if kind == "Video" and video is None:
            video = description
        elif kind == "Audio" and audio is None:
            audio = description
    rate = _RATE.search(video or "")
    return MediaInfo(
        has_video=video is not None,
        audio_codec=None if audio is None else re.split(r"[ ,]", audio, maxsplit=1)[0],
        audio_offset_s=_start(audio) - _start(video),
        frame_rate=None if rate is None else float(rate[1]) * (1000 if rate[2] else 1),
    )


def _start(description: str | None) -> float:
    found = _START.search(description or "")
    return float(found[1]) if found else 0.0
