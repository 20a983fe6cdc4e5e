"""What only a process of its own can show, with the real models: exit codes, signals, a clean standard output."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.e2e.support import DEMO, ROOT, Ran, ffmpeg, frame_count, kept, leftovers, lines, start

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and terminals")


@pytest.fixture(scope="module")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Path]:
    """The demo clip, every fifth frame; whatever is scored counts as AI-generated."""
    project = tmp_path_factory.mktemp("demo runs")
    ran = start("scan", DEMO, "--json", "--vid-stride", 5, "--threshold", 0, "--fail-on-fake", "--project", project)
    return ran, project / "demo"


def test_standard_output_is_the_array_and_nothing_else(demo_run: tuple[Ran, Path]) -> None:
    ran, folder = demo_run
    assert ran.code == 1
    assert ran.out.startswith("[\n") and ran.out.endswith("]\n")
    assert ran.entries == kept(folder)
    assert ran.err == ""
    (entry,) = ran.entries
    assert entry["verdict"] == "fake" and entry["frames"] == 65
    assert leftovers(folder) == [] and frame_count(folder / "annotated.mp4") == 65


def test_the_demo_clips_faces_are_found_and_followed(demo_run: tuple[Ran, Path]) -> None:
    _, folder = demo_run
    truth = json.loads((DEMO.parent / "demo.json").read_text(encoding="utf-8"))
    rows = lines(folder)
    steady = [s for s in truth["spans"] if s["steady"]]
    found = expected = 0
    owners: dict[tuple[str, int], set[int]] = {}
    for name, boxes in truth["boxes"].items():
        for time_s, *box in boxes:
            span = next((i for i, s in enumerate(steady) if s["start"] <= time_s < s["end"]), None)
            if span is None:
                continue
            expected += 1
            for row in rows:
                x, y = ((row["box"][i] + row["box"][i + 2]) / 2 for i in (0, 1))
                if abs(row["time_s"] - time_s) < 0.01 and box[0] < x < box[2] and box[1] < y < box[3]:
                    found += 1
                    owners.setdefault((name, span), set()).add(row["track"])
    assert found >= 0.9 * expected, (found, expected)
    assert all(len(tracks) == 1 for tracks in owners.values()), owners
    for (name, span), tracks in owners.items():
        for (other, same), theirs in owners.items():
            assert name == other or span != same or not tracks & theirs
    empty = next(s for s in truth["spans"] if not s["faces"])
    assert not [row for row in rows if empty["start"] <= row["time_s"] < empty["end"]]


@posix
def test_ctrl_c_in_a_terminal_and_resume(small_demo: Path, tmp_path: Path) -> None:
    """The progress bar runs; Ctrl-C reaches everything in the terminal; resuming ends where a whole scan does."""
    import pty

    words = ["scan", str(small_demo), "--json", "--project", str(tmp_path)]
    whole = start(*words, "--name", "whole")
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "app", *words, "--name", "cut"]
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=slave,
        start_new_session=True,
        env=os.environ | {"TERM": "xterm"},
    )
    os.close(slave)
    shown: list[str] = []

    def watch() -> None:
        while True:
            try:
                shown.append(os.read(master, 4096).decode("utf-8", "replace"))
            except OSError:
                return

    reader = threading.Thread(target=watch)
    reader.start()
    try:
        until = time.monotonic() + 60
        while not any(int(n) > 30 for n in re.findall(r"(\d+)/325", "".join(shown))):
            assert child.poll() is None and time.monotonic() < until, "".join(shown)[-500:]
            time.sleep(0.02)
        os.killpg(child.pid, signal.SIGINT)
        out, _ = child.communicate(timeout=60)
    finally:
        child.kill()
        child.wait()
        reader.join()
        os.close(master)
    text = "".join(shown)
    cut = Ran(child.returncode, out.decode(), text)
    assert cut.code == 3 and "Traceback" not in text, text[-1000:]
    assert "small demo.mp4" in text and "--resume" in text
    (entry,) = cut.entries
    assert entry["partial"] and 30 < entry["frames"] < 325 == whole.entries[0]["frames"]
    assert frame_count(tmp_path / "cut" / "annotated.mp4") == entry["frames"]

    resumed = start(*words, "--name", "cut", "--resume")
    assert resumed.code == 0
    assert (tmp_path / "cut" / "faces.jsonl").read_bytes() == (tmp_path / "whole" / "faces.jsonl").read_bytes()
    assert resumed.entries == whole.entries
    assert frame_count(tmp_path / "cut" / "annotated.mp4") == 325


@posix
def test_ffmpeg_does_not_hear_the_terminals_ctrl_c(clip: Path, tmp_path: Path) -> None:
    """Whatever ffmpeg is started for, it is not in our session: its probing and joining must not be cut short."""
    from app.vision.media import ffmpeg_binary

    log = tmp_path / "log"
    wrapper = tmp_path / "ffmpeg.sh"
    wrapper.write_text(f'#!/bin/sh\ncut -d" " -f6 /proc/self/stat >> "{log}"\nexec "{ffmpeg_binary()}" "$@"\n')
    wrapper.chmod(0o755)
    code = (
        "import sys; from app import cli; from tests.e2e.support import fake_models;"
        "cli._load_models = lambda args: fake_models(); sys.exit(cli.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "scan", str(clip), "--json", "--project", str(tmp_path)]
    if not Path("/proc/self/stat").exists():
        pytest.skip("needs /proc")
    subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, timeout=60, env=os.environ | {"UNMASK_FFMPEG": str(wrapper)}
    )
    sessions = log.read_text().split()
    assert len(sessions) >= 3 and str(os.getsid(0)) not in sessions


@posix
def test_a_reader_that_goes_away_is_no_error() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "app", "models"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None and child.stderr is not None
    child.stdout.close()
    assert child.wait(timeout=60) == 0
    assert child.stderr.read() == b""
    child.stderr.close()


def test_several_faces_in_a_picture_of_the_demo(tmp_path: Path) -> None:
    for number, at in enumerate((1.0, 5.0, 10.2)):
        ffmpeg("-v", "error", "-ss", at, "-i", DEMO, "-frames:v", 1, tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_text("text")
    ran = start("image", tmp_path, "--json", "--project", tmp_path / "runs", "--threshold", 0, "--fail-on-fake")
    assert ran.code == 2 and ran.err.count("\n") == 1 and "3.png" in ran.err
    assert [len(e["tracks"]) for e in ran.entries] == [1, 2, 0, 0]
    assert all(set(t) >= {"box"} for e in ran.entries for t in e["tracks"])
    assert ran.entries == kept(next((tmp_path / "runs").iterdir()))
