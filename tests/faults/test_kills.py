"""kill -9 while something is being written. Scans: tests/e2e/test_resume.py; trainings: tests/train."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.e2e.support import ROOT, frame_count
from tests.mirror_server import BYTES, SCRIPT, Handler, Place, Server

PATIENCE_S = 60.0

RECORDS = """
import sys, time
from pathlib import Path
from app.models.artifact import DEFAULT_MODEL, read_card
from app.pipeline import recording
from app.pipeline.live import LiveEngine
from app.vision.analyzer import AnalyzerOptions
from tests.engine.support import Camera, models_of
recording.PART_S = 1.0
engine = LiveEngine(lambda: Camera(fps=30), lambda: models_of(read_card(DEFAULT_MODEL)), AnalyzerOptions(), live=True)
engine.start()
engine.start_recording(Path(sys.argv[1]))
time.sleep(600)
"""


def test_a_recording_that_is_killed_can_be_played(tmp_path: Path) -> None:
    """ffmpeg outlives who is killed, and finishes the part that it has."""
    folder = tmp_path / "r"
    child = subprocess.Popen([sys.executable, "-c", RECORDS, str(folder)], cwd=ROOT)
    work = folder / ".recording"
    try:
        end = time.monotonic() + PATIENCE_S
        while len(list(work.glob("part-*.mp4"))) < 3:
            assert child.poll() is None and time.monotonic() < end, "it ended, or never wrote two parts"
            time.sleep(0.02)
        time.sleep(0.5)
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    parts = sorted(work.glob("part-*.mp4"))
    end = time.monotonic() + PATIENCE_S
    while not all(frame_count(part) for part in parts):
        assert time.monotonic() < end, [(part.name, frame_count(part)) for part in parts]
        time.sleep(0.1)
    whole = (work / "faces.jsonl").read_text(encoding="utf-8").rsplit("\n", 1)[0]
    assert len([json.loads(line) for line in whole.splitlines()]) > 5


class Stalls(Handler):
    """Sends half of a file, and then nothing until it is let go."""

    go = threading.Event()

    def do_GET(self) -> None:
        if self.headers.get("Range") is not None:
            super().do_GET()
            return
        self.state.asked.append((self.path, None))
        data = self.state.files[self.path.removeprefix("/")]
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.wfile.flush()
        self.go.wait(PATIENCE_S)


@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("bash") is None, reason="needs bash and curl")
def test_a_download_of_weights_that_is_killed_goes_on(tmp_path: Path) -> None:
    with Server(files={"net.h5": BYTES}).serving(Stalls) as server:
        home = tmp_path / "home"
        home.mkdir()
        place = Place(tmp_path / "table.tsv", tmp_path / "weights", home)
        place.describe(("net", "net.h5", BYTES, "sha256", f"{server.address}/net.h5"))
        environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        environment |= {"UNMASK_WEIGHTS_TABLE": str(place.table), "HOME": str(home)}
        try:
            child = subprocess.Popen(
                ["bash", str(SCRIPT), "--dest", str(place.dest)],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            half = place.dest / "net.h5.partial"
            end = time.monotonic() + PATIENCE_S
            while not half.exists() or half.stat().st_size < 1000:
                assert child.poll() is None and time.monotonic() < end, "it ended, or nothing came"
                time.sleep(0.02)
            os.killpg(child.pid, signal.SIGKILL)  # curl as well.
            child.communicate()
            assert not (place.dest / "net.h5").exists(), "half a file never has the name of a whole one"
            there = half.stat().st_size
            result = place.run()
            assert result.returncode == 0, result.stderr
            assert (place.dest / "net.h5").read_bytes() == BYTES and not half.exists()
            assert server.asked == [("/net.h5", None), ("/net.h5", f"bytes={there}-")]
        finally:
            Stalls.go.set()
