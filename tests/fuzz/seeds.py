"""What is mutated: the demo clip, small and short, in many containers and codecs, and small pictures in as many."""

from __future__ import annotations

from pathlib import Path

import cv2

from app.vision.sources import FileSource
from tests.e2e.support import DEMO, ffmpeg

CLIPS: dict[str, str] = {
    "h264.mp4": "-c:v libx264 -preset ultrafast -g 5 -c:a aac",
    "h264.mov": "-c:v libx264 -preset ultrafast -bf 2 -c:a aac -movflags +faststart",
    "h264.mkv": "-c:v libx264 -preset ultrafast -c:a aac",
    "h264.ts": "-c:v libx264 -preset ultrafast -g 4 -c:a aac",
    "vp8.webm": "-c:v libvpx -deadline realtime -cpu-used 8 -an",
    "vp9.webm": "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -an",
    "hevc.mp4": "-c:v libx265 -preset ultrafast -x265-params log-level=-1 -an",
    "mjpeg.avi": "-c:v mjpeg -q:v 8 -c:a pcm_s16le",
    "mpeg4.avi": "-c:v mpeg4 -c:a mp2 -ar 44100",
    "ffv1.mkv": "-c:v ffv1 -an",
    "mpeg2.mpg": "-c:v mpeg2video -r 25 -c:a mp2 -ar 44100",
    "wmv2.wmv": "-c:v wmv2 -an",
    "flv1.flv": "-c:v flv1 -an",
    "theora.ogv": "-c:v libtheora -an",
    "h263.3gp": "-c:v h263 -s 176x144 -an",
    "png.mov": "-c:v png -an",
    "qtrle.mov": "-c:v qtrle -an",
    "gif.gif": "-an",
}
"""Name -> how ffmpeg makes it."""

PICTURES = (".png", ".jpg", ".webp", ".bmp", ".tiff", ".gif", ".avif", ".jp2", ".ppm", ".hdr", ".ras", ".pfm")
"""Formats of pictures that OpenCV reads; any of them is looked at under any name."""


def make_clips(folder: Path, names: tuple[str, ...] = tuple(CLIPS)) -> None:
    """Leave the clips ``names`` in ``folder``: ten frames with one face, 160 x 90."""
    for name in names:
        if not (folder / name).exists():
            how = ["-ss", "1", "-i", DEMO, "-frames:v", 10, "-t", "0.4", "-vf", "scale=160:90", *CLIPS[name].split()]
            partial = folder / f"partial.{name}"
            ffmpeg("-v", "error", *how, partial)
            partial.replace(folder / name)


def make_pictures() -> dict[str, bytes]:
    """Name -> content: one face, 128 x 72, in every format that this OpenCV writes; two JPEGs, one in layers."""
    with FileSource(DEMO) as source:
        source.skip(35)
        frame = source.read()
    assert frame is not None
    small = cv2.resize(frame.image, (128, 72), interpolation=cv2.INTER_AREA)
    made = {}
    for suffix in PICTURES:
        image = small.astype("float32") / 255 if suffix in (".hdr", ".pfm") else small
        try:
            ok, data = cv2.imencode(suffix, image)
        except cv2.error:
            continue
        if ok:
            made[f"face{suffix}"] = data.tobytes()
    made["layers.jpg"] = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    return made
