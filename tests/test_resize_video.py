"""resize_video.sh on small clips made with ffmpeg's own sources, read back with OpenCV."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from tests.video_tools import (
    BASH,
    ENCODE,
    FFMPEG,
    SCRIPT,
    clip,
    displayed,
    ffmpeg,
    first_frame,
    names,
    one_sentence,
    packets,
    pixel_aspect,
    resize,
    rotated,
    streams,
    times,
)

pytestmark = pytest.mark.skipif(BASH is None, reason="bash is not installed")


def test_shellcheck_finds_nothing() -> None:
    folders = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    shellcheck = shutil.which("shellcheck", path=folders)
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    command = [shellcheck, str(SCRIPT)]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout


def test_is_executable_and_explains_itself() -> None:
    command = [str(SCRIPT), "--help"]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert result.returncode == 0
    for word in ("--short-side", "--output", "--enlarge", "--overwrite", "small enough", "Exit status"):
        assert word in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--nonsense", "a"],
        ["--short-side"],
        *(["--short-side", n, "a"] for n in ("0", "91", "-2", "08", "x")),
    ],
)
def test_wrong_usage_is_refused(arguments: list[str]) -> None:
    result = resize(*arguments)
    assert result.returncode == 2
    assert one_sentence(result.stderr)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("320x180", (160, 90)),
        ("180x320", (90, 160)),
        ("200x200", (90, 90)),
        ("321x181", (160, 90)),
        ("181x323", (90, 160)),
        ("640x92", (626, 90)),
    ],
)
def test_the_short_side_is_the_one_chosen_and_the_aspect_stays(
    tmp_path: Path, size: str, expected: tuple[int, int]
) -> None:
    source = clip(tmp_path / "clip.mov", size)
    result = resize("--short-side", "90", source)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert names(tmp_path) == ["clip.90p.mp4", "clip.mov"]
    assert displayed(tmp_path / "clip.90p.mp4") == expected
    assert pixel_aspect(tmp_path / "clip.90p.mp4") == "1:1"
    assert len(times(tmp_path / "clip.90p.mp4")) == 6


def test_720_is_the_default(tmp_path: Path) -> None:
    assert resize(clip(tmp_path / "clip.mp4", "1440x810")).returncode == 0
    assert displayed(tmp_path / "clip.720p.mp4") == (1280, 720)


def test_pixels_that_are_not_square_become_so(tmp_path: Path) -> None:
    source = clip(tmp_path / "clip.mp4", "180x180", extra=("-vf", "setsar=2/1"))
    assert resize("--short-side", "90", source).returncode == 0
    assert displayed(tmp_path / "clip.90p.mp4") == (180, 90)


def test_audio_is_copied_where_mp4_holds_it(tmp_path: Path) -> None:
    source = clip(tmp_path / "clip.mkv", audio="libmp3lame")
    assert resize("--short-side", "90", source).returncode == 0
    output = tmp_path / "clip.90p.mp4"
    assert streams(output) == ["Video: h264", "Audio: mp3"]
    # All but what the container may cut at the ends is the very same.
    assert len(set(packets(output, "a")) & set(packets(source, "a"))) >= len(packets(source, "a")) - 1


def test_audio_becomes_aac_where_mp4_does_not_hold_it(tmp_path: Path) -> None:
    source = clip(tmp_path / "clip.mkv", audio="wmav2")
    assert resize("--short-side", "90", source).returncode == 0
    assert streams(tmp_path / "clip.90p.mp4") == ["Video: h264", "Audio: aac"]
    assert displayed(tmp_path / "clip.90p.mp4") == (160, 90)


def test_a_video_without_audio(tmp_path: Path) -> None:
    source = clip(tmp_path / "clip.mp4", audio=None)
    assert resize("--short-side", "90", source).returncode == 0
    assert streams(tmp_path / "clip.90p.mp4") == ["Video: h264"]


@pytest.mark.parametrize(("short_side", "expected"), [("90", (90, 320)), ("720", (180, 640))])
def test_a_rotated_video_is_upright(tmp_path: Path, short_side: str, expected: tuple[int, int]) -> None:
    source = rotated(tmp_path / "clip.mp4", "320x180")
    assert resize("--short-side", short_side, source).returncode == 0
    frame = first_frame(tmp_path / f"clip.{short_side}p.mp4")
    height, width = frame.shape[:2]
    assert (width, height) == expected
    # Turned left, what was on the left is at the bottom.
    assert frame[: height // 2 - 8].mean() < 20
    assert frame[height // 2 + 8 :].mean() > 235


def test_a_resized_rotated_video_needs_no_player_to_turn_it(tmp_path: Path) -> None:
    source = rotated(tmp_path / "clip.mp4")
    assert resize("--short-side", "90", source).returncode == 0
    for path, expected in ((source, True), (tmp_path / "clip.90p.mp4", False)):
        capture = cv2.VideoCapture(str(path))
        assert bool(capture.get(cv2.CAP_PROP_ORIENTATION_META)) == expected
        capture.release()


def test_a_variable_frame_rate_is_kept(tmp_path: Path) -> None:
    source = tmp_path / "clip.mp4"
    uneven = "settb=1/90000,select='not(mod(n,7))+not(mod(n,3))',setpts=PTS+1234*mod(N\\,3)"
    fine = ["-fps_mode", "passthrough", "-enc_time_base", "1:90000", "-video_track_timescale", "90000"]
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=320x180:rate=30:duration=1", "-vf", uneven, *fine, *ENCODE, source)
    before = times(source)
    assert len({later - sooner for sooner, later in itertools.pairwise(before)}) > 2
    assert resize("--short-side", "90", source).returncode == 0
    assert times(tmp_path / "clip.90p.mp4") == before


@pytest.mark.parametrize("short_side", ["180", "720"])
def test_what_is_small_enough_is_copied_and_not_encoded(tmp_path: Path, short_side: str) -> None:
    source = clip(tmp_path / "clip.mkv")
    result = resize("--short-side", short_side, source)
    assert result.returncode == 0, result.stderr
    assert "small enough" in result.stdout
    output = tmp_path / f"clip.{short_side}p.mp4"
    assert displayed(output) == (320, 180)
    assert len(packets(output, "v")) == 6
    # Decoded, because the packets' framing differs between the containers.
    decoded = [ffmpeg("-i", path, "-map", "0:v", "-f", "md5", "-") for path in (source, output)]
    assert decoded[0] == decoded[1]
    assert streams(output) == ["Video: h264", "Audio: aac"]


def test_what_is_small_enough_but_not_for_mp4_keeps_its_size(tmp_path: Path) -> None:
    source = clip(tmp_path / "clip.wmv", audio="wmav2", extra=("-c:v", "wmv2"))
    result = resize(source)
    assert result.returncode == 0, result.stderr
    output = tmp_path / "clip.720p.mp4"
    assert displayed(output) == (320, 180)
    assert streams(output) == ["Video: h264", "Audio: aac"]


def test_enlarges_only_when_asked(tmp_path: Path) -> None:
    source = clip(tmp_path / "clip.mp4")
    assert resize("--short-side", "360", "--enlarge", source).returncode == 0
    assert displayed(tmp_path / "clip.360p.mp4") == (640, 360)


def test_overwrites_only_when_asked(tmp_path: Path) -> None:
    source = clip(tmp_path / "clip.mp4")
    output = tmp_path / "clip.90p.mp4"
    output.write_text("mine")
    result = resize("--short-side", "90", source)
    assert result.returncode == 1
    assert one_sentence(result.stderr)
    assert "clip.90p.mp4" in result.stderr
    assert output.read_text() == "mine"
    for option in ("-y", "--overwrite"):
        output.write_text("mine")
        assert resize("--short-side", "90", option, source).returncode == 0
        assert displayed(output) == (160, 90)


def test_a_failed_run_leaves_the_output_there_was(tmp_path: Path) -> None:
    output = tmp_path / "clip.90p.mp4"
    output.write_text("mine")
    (tmp_path / "clip.mp4").write_text("no video")
    assert resize("--short-side", "90", "-y", tmp_path / "clip.mp4").returncode == 1
    assert output.read_text() == "mine"


def test_output_folder(tmp_path: Path) -> None:
    source = clip(tmp_path / "clip.mp4")
    for folder in ("some/new folder", "-dash"):
        result = resize("--short-side", "90", f"--output={folder}", source, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert displayed(tmp_path / folder / "clip.90p.mp4") == (160, 90)
    assert names(tmp_path) == ["-dash", "clip.mp4", "some"]


def test_two_videos_of_one_name_do_not_replace_each_other(tmp_path: Path) -> None:
    first, second = clip(tmp_path / "clip.mp4"), clip(tmp_path / "clip.mov", "400x200")
    result = resize("--short-side", "90", "-y", first, second)
    assert result.returncode == 1
    assert one_sentence(result.stderr)
    assert displayed(tmp_path / "clip.90p.mp4") == (160, 90)


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "-i",
        "line\nbreak",
        "end\n",
        'it\'s "quoted"',
        "$(touch evil)",
        "%03d",
        "http:x",
        "[1]",
        "é",
        ".hidden",
        "back\\slash",
    ],
)
def test_odd_names(tmp_path: Path, name: str) -> None:
    clip(tmp_path / f"{name}.mp4")
    result = resize("--short-side", "90", "--", f"{name}.mp4", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("\n") == 1
    assert names(tmp_path) == sorted([f"{name}.mp4", f"{name}.90p.mp4"])
    assert streams(tmp_path / f"{name}.90p.mp4") == ["Video: h264", "Audio: aac"]


def test_a_name_without_extension_that_ends_in_a_newline(tmp_path: Path) -> None:
    clip(tmp_path / "clip.mp4").rename(tmp_path / "clip\n")
    assert resize("--short-side", "90", "clip\n", cwd=tmp_path).returncode == 0
    assert names(tmp_path) == ["clip\n", "clip\n.90p.mp4"]


@pytest.mark.parametrize("bad", ["text.mp4", "missing.mp4", "sound.m4a", "folder", "empty.mp4", "cut.mp4"])
def test_a_bad_input_does_not_stop_the_others(tmp_path: Path, bad: str) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    ffmpeg("-f", "lavfi", "-i", "sine=duration=0.2", "-c:a", "aac", tmp_path / "sound.m4a")
    good = clip(tmp_path / "good.mp4")
    (tmp_path / "cut.mp4").write_bytes(good.read_bytes()[:2000])
    before = names(tmp_path)
    result = resize("--short-side", "90", tmp_path / bad, good)
    assert result.returncode == 1
    assert one_sentence(result.stderr)
    assert bad in result.stderr
    assert ";" in result.stderr
    assert displayed(tmp_path / "good.90p.mp4") == (160, 90)
    assert names(tmp_path) == sorted([*before, "good.90p.mp4"])


def test_damage_is_reported(tmp_path: Path) -> None:
    source = clip(tmp_path / "clip.mp4", "640x360", audio=None, extra=("-movflags", "+faststart"))
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 2 // 3])
    result = resize("--short-side", "90", source)
    assert one_sentence(result.stderr)
    assert "damage" in result.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_leaves_nothing(tmp_path: Path, number: signal.Signals, status: int) -> None:
    clip(tmp_path / "clip.mp4")
    fake = tmp_path / "slow-ffmpeg"
    # Stands in for a long encoding: it makes its output, the last argument, and goes on.
    fake.write_text(
        f"#!{BASH}\n"
        f'case "$*" in *framecrc*|*"-h long"*) exec "{FFMPEG}" "$@" ;; esac\n'
        'last="${!#}"; echo half >"${last#file:}"; exec sleep 30\n'
    )
    fake.chmod(0o755)
    before = names(tmp_path)
    (tmp_path / "tmp").mkdir()
    # Ctrl-C goes to all of a terminal's foreground process group, kill to one process.
    process = subprocess.Popen(
        [BASH or "bash", str(SCRIPT), "--short-side", "90", str(tmp_path / "clip.mp4")],
        env={**os.environ, "UNMASK_FFMPEG": str(fake), "TMPDIR": str(tmp_path / "tmp")},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        until = time.monotonic() + 20
        while not list(tmp_path.glob("*.partial")) and time.monotonic() < until:
            time.sleep(0.02)
        assert list(tmp_path.glob("*.partial"))
        started = time.monotonic()
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        process.communicate(timeout=20)
        assert time.monotonic() - started < 10
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == status
    assert names(tmp_path) == sorted([*before, "tmp"])
    assert names(tmp_path / "tmp") == []


def test_a_wrong_ffmpeg_is_one_sentence(tmp_path: Path) -> None:
    result = resize(tmp_path / "clip.mp4", environment={"UNMASK_FFMPEG": str(tmp_path / "none")})
    assert result.returncode == 1
    assert one_sentence(result.stderr)
    assert "UNMASK_FFMPEG" in result.stderr


@pytest.mark.parametrize("carried", [True, False])
def test_finds_the_ffmpeg_that_imageio_carries(tmp_path: Path, carried: bool) -> None:
    tools, place = tmp_path / "tools", tmp_path / "place"
    tools.mkdir()
    place.mkdir()
    # A copy of the script, so that no virtual environment is beside it.
    script = shutil.copy(SCRIPT, place)
    source = clip(place / "clip.mp4")
    for tool in ("dirname", "mktemp", "mkdir", "mv", "rm", "cat"):
        (tools / tool).symlink_to(shutil.which(tool) or pytest.skip(f"{tool} is not installed"))
    if carried:
        python = tools / "python3"
        python.write_text(f'#!{BASH}\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
    environment = {key: value for key, value in os.environ.items() if key != "UNMASK_FFMPEG"}
    result = subprocess.run(
        [BASH or "bash", str(script), "--short-side", "90", str(source)],
        env={**environment, "PATH": str(tools)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if carried:
        assert result.returncode == 0, result.stderr
        assert displayed(place / "clip.90p.mp4") == (160, 90)
    else:
        assert result.returncode == 1
        assert one_sentence(result.stderr)
        assert "UNMASK_FFMPEG" in result.stderr
