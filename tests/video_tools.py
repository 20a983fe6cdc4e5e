"""Short clips made and looked into with ffmpeg, and the script under test run on them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np

FFMPEG: str = imageio_ffmpeg.get_ffmpeg_exe()
ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "resize_video.sh"
BASH = shutil.which("bash")
ENCODE = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]


def ffmpeg(*arguments: str | Path) -> str:
    command = [FFMPEG, "-nostdin", "-hide_banner", "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def clip(path: Path, size: str = "320x180", *, audio: str | None = "aac", extra: tuple[str, ...] = ()) -> Path:
    """A short clip with a test picture, and a tone where ``audio`` names its codec."""
    sound = ["-f", "lavfi", "-i", "sine=duration=0.5"] if audio else []
    coded = ["-c:a", audio] if audio else []
    picture = f"testsrc=size={size}:rate=12:duration=0.5"
    # yuv444p holds odd sizes, which yuv420p does not.
    odd = ["-pix_fmt", "yuv444p"] if any(int(side) % 2 for side in size.split("x")) else []
    ffmpeg("-f", "lavfi", "-i", picture, *sound, *ENCODE, *odd, *coded, *extra, f"file:{path}")
    return path


def rotated(path: Path, size: str = "320x180") -> Path:
    """A clip, white on its left and black on its right, marked to be shown turned left by a quarter."""
    source = path.with_suffix(".plain.mp4")
    white, black = (f"color={colour}:size={size}:rate=12:duration=0.5" for colour in ("white", "black"))
    halves = "[0][1]hstack"
    ffmpeg("-f", "lavfi", "-i", white, "-f", "lavfi", "-i", black, "-lavfi", halves, *ENCODE, source)
    ffmpeg("-display_rotation", "90", "-i", source, "-c", "copy", path)
    source.unlink()
    return path


def resize(
    *arguments: str | Path, cwd: Path | None = None, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BASH or "bash", str(SCRIPT), *map(str, arguments)],
        env={**os.environ, "UNMASK_FFMPEG": FFMPEG, **(environment or {})},
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def first_frame(path: Path) -> np.ndarray:
    """The first frame, as displayed."""
    capture = cv2.VideoCapture(str(path))
    try:
        ok, frame = capture.read()
        assert ok, f"{path} cannot be read"
        return np.asarray(frame)
    finally:
        capture.release()


def displayed(path: Path) -> tuple[int, int]:
    height, width = first_frame(path).shape[:2]
    return width, height


def streams(path: Path) -> list[str]:
    """The kind and codec of each stream, such as ``Video: h264``."""
    result = subprocess.run(
        [FFMPEG, "-hide_banner", "-i", f"file:{path}"],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return re.findall(r"Stream #0:\d+.*?: ((?:Video|Audio): \w+)", result.stderr)


def pixel_aspect(path: Path) -> str:
    """How much wider than high a pixel is, such as ``1:1``."""
    result = subprocess.run(
        [FFMPEG, "-hide_banner", "-i", f"file:{path}"],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    aspects: list[str] = re.findall(r"SAR (\d+:\d+)", result.stderr)
    return aspects[0]


def packets(path: Path, stream: str) -> list[str]:
    """The hash of each packet of ``stream`` as stored."""
    lines = ffmpeg("-i", f"file:{path}", "-map", f"0:{stream}", "-c", "copy", "-f", "framemd5", "-")
    return [line.rsplit(",", 1)[1].strip() for line in lines.splitlines() if not line.startswith("#")]


def times(path: Path) -> list[int]:
    """When each frame is shown, in ticks of 1/90000 s."""
    fine = ["-vf", "settb=1/90000", "-fps_mode", "passthrough", "-enc_time_base", "1:90000"]
    lines = ffmpeg("-i", f"file:{path}", "-map", "0:v", *fine, "-f", "framecrc", "-")
    return [int(line.split(",")[2]) for line in lines.splitlines() if not line.startswith("#")]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def one_sentence(error: str) -> bool:
    return error.count("\n") == 1 and error.startswith("resize_video.sh: ") and error.endswith(".\n")
