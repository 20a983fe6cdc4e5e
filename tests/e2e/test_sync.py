"""The sound of the annotated video is in step with its picture: a flash and a beep tell."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.e2e.conftest import Cli
from tests.e2e.support import beep_time, ffmpeg, flash_time, frame_times

FLASH_S = 1.2
"""Both the flash and the beep are this long after the start of their own stream."""
BEEP = "aevalsrc=if(gte(t\\,{})\\,0.8*sin(2*PI*880*t)\\,0):d=2.5:s=44100"


def flash_clip(path: Path, *, picture_later: float = 0, sound_later: float = 0, codec: str = "aac") -> Path:
    ffmpeg(
        "-v", "error",
        "-itsoffset", picture_later, "-f", "lavfi", "-i", "color=c=0x202020:s=160x120:r=25:d=2.5",
        "-itsoffset", sound_later, "-f", "lavfi", "-i", BEEP.format(FLASH_S),
        "-vf", f"drawbox=c=white:t=fill:enable=gte(t\\,{FLASH_S + picture_later - 0.001})",
        "-fps_mode", "passthrough", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-c:a", codec, path,
    )  # fmt: skip
    return path


@pytest.mark.parametrize(
    ("name", "made_with", "apart"),
    [
        ("together.mp4", {}, 0.0),
        ("sound later.mp4", {"sound_later": 0.5}, 0.5),
        ("picture later.mp4", {"picture_later": 0.5}, -0.5),
        ("sound later.mkv", {"sound_later": 0.5, "codec": "libopus"}, 0.5),
        ("picture later.mkv", {"picture_later": 0.5, "codec": "libopus"}, -0.5),
        ("both later.mkv", {"picture_later": 3.0, "sound_later": 3.2, "codec": "flac"}, 0.2),
        ("mp3.mkv", {"picture_later": 0.3, "codec": "libmp3lame"}, -0.3),
        ("sound later.ts", {"sound_later": 0.5}, 0.5),
        ("picture later.ts", {"picture_later": 0.5}, -0.5),
    ],
)
def test_offset_is_that_of_the_source(
    unmask: Cli, tmp_path: Path, name: str, made_with: dict[str, object], apart: float
) -> None:
    source = flash_clip(tmp_path / name, **made_with)  # type: ignore[arg-type]
    before = beep_time(source) - flash_time(source)
    assert before == pytest.approx(apart, abs=0.035), "the clip is not what this test needs"
    assert unmask("scan", source, "--name", "n").code == 0
    video = tmp_path / "runs" / "n" / "annotated.mp4"
    assert beep_time(video) - flash_time(video) == pytest.approx(before, abs=0.03)


# Frames that come 60 a second at first and 10 a second later, each a little off any grid: the average rate, which
# is all that ffmpeg knows of such a file, is far below what the first second needs.
BURST = r",settb=1/1000,setpts='(if(lt(N\,45)\,N/60\,0.75+(N-45)/10)+mod(N*7\,5)/1000)/TB'"
SLOW = r",select='lt(t\,0.5)+not(mod(n\,3))'"


@pytest.mark.parametrize("times", [SLOW, BURST], ids=["slowing", "burst"])
def test_variable_frame_rate_stays_in_step(unmask: Cli, tmp_path: Path, times: str) -> None:
    source = tmp_path / "vfr.mkv"
    ffmpeg(
        "-v", "error",
        "-f", "lavfi", "-i", "color=c=0x202020:s=160x120:r=25:d=2.5",
        "-f", "lavfi", "-i", BEEP.format(0.7),
        "-vf", times[1:] + ",drawbox=c=white:t=fill:enable=gte(t\\,0.699)",
        "-fps_mode", "passthrough", "-enc_time_base", "1:1000",
        "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "flac", source,
    )  # fmt: skip
    steps = frame_times(source)
    assert len({round(b - a, 2) for a, b in itertools.pairwise(steps)}) > 1, "the frame rate is constant"
    before = beep_time(source) - flash_time(source)
    assert unmask("scan", source, "--name", "n").code == 0
    video = tmp_path / "runs" / "n" / "annotated.mp4"
    shown = frame_times(video)
    assert beep_time(video) - flash_time(video) == pytest.approx(before, abs=shown[1] - shown[0])
