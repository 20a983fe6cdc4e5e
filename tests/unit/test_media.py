"""What ffmpeg says of a file, read from its own words."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.vision.media import MediaInfo, parse_streams, probe

MP4 = """\
Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'clip.mp4':
  Duration: 00:00:13.00, start: 0.000000, bitrate: 555 kb/s
  Stream #0:0[0x1](und): Video: h264 (High) (avc1 / 0x31637661), yuv420p(tv, bt709), 1280x720, 516 kb/s, 25 fps, \
25 tbr, 12800 tbn (default)
  Stream #0:1[0x2](und): Audio: aac (LC) (mp4a / 0x6134706D), 48000 Hz, mono, fltp, 32 kb/s (default)
At least one output file must be specified
"""
MKV_OFFSETS = """\
Input #0, matroska,webm, from 'clip.mkv':
  Duration: 00:00:05.02, start: 0.021000, bitrate: 100 kb/s
  Stream #0:0: Video: vp9 (Profile 0), yuv420p(tv), 640x360, 29.97 fps, 29.97 tbr, 1k tbn, start 0.067000 (default)
  Stream #0:1(eng): Audio: opus, 48000 Hz, stereo, fltp, start 0.021000 (default)
  Stream #0:2(ger): Audio: ac3, 48000 Hz, 5.1(side), fltp, 384 kb/s
"""
AUDIO_ONLY = """\
Input #0, ogg, from 'song.ogg':
  Duration: 00:03:25.00, start: 0.000000, bitrate: 112 kb/s
  Stream #0:0: Audio: vorbis, 44100 Hz, stereo, fltp, 112 kb/s
"""
KILO = "  Stream #0:0: Video: mjpeg, yuvj420p, 640x480, 90k tbr, 90k tbn\n"
NEGATIVE = """\
  Stream #0:0[0x100]: Video: mpeg2video (Main), yuv420p(tv), 720x576, 25 fps, 50 tbr, 90k tbn, start 1.400000
  Stream #0:1[0x101]: Audio: mp2, 48000 Hz, stereo, s16p, 192 kb/s, start -0.100000
"""
NONE = "notes.txt: Invalid data found when processing input\n"
MISLEADING = """\
Input #0, matroska,webm, from 'Stream #0:0: Video: h264.mkv':
  Metadata:
    title           : Stream #0:0: Video: h264, 30 tbr
  Stream #0:0: Audio: pcm_s16le, 8000 Hz, mono
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MP4, MediaInfo(True, "aac", 0.0, 25.0)),
        (MKV_OFFSETS, MediaInfo(True, "opus", 0.067, 29.97)),
        (AUDIO_ONLY, MediaInfo(False, "vorbis", 0.0, None)),
        (KILO, MediaInfo(True, None, 0.0, 90_000.0)),
        (NEGATIVE, MediaInfo(True, "mp2", 1.4, 50.0)),
        (NONE, MediaInfo(False, None, 0.0, None)),
        ("", MediaInfo(False, None, 0.0, None)),
        (MISLEADING, MediaInfo(False, "pcm_s16le", 0.0, None)),
    ],
    ids=["mp4", "mkv with offsets", "audio only", "kilo", "negative start", "no media", "nothing", "misleading title"],
)
def test_streams(text: str, expected: MediaInfo) -> None:
    assert parse_streams(text) == expected


def test_the_ffmpeg_that_is_there_is_understood(demo_clip: Path, tmp_path: Path) -> None:
    assert probe(demo_clip) == MediaInfo(True, "aac", 0.0, 25.0)
    (tmp_path / "notes.mp4").write_text("no video")
    assert probe(tmp_path / "notes.mp4") == MediaInfo(False, None, 0.0, None)
