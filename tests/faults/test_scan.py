"""Models that raise, outputs that cannot be, two runs in one place, a clock that jumps."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from app.core.cards import ModelCard
from app.core.errors import UnmaskError
from app.core.records import Detection, ImageU8
from app.pipeline.batch import Models
from app.pipeline.guards import alone_in
from tests.e2e.conftest import Cli
from tests.e2e.support import ROOT, SquareDetector, fake_models, kept, lines, redness, squares
from tests.engine.support import Camera, Watched, models_of, until


class Breaks:
    """Does what ``like`` does, and raises once, at its n-th call."""

    def __init__(self, like: Callable[..., Any], at: int, error: Exception) -> None:
        self._like, self._left, self._error = like, at, error

    def __call__(self, *given: Any) -> Any:
        self._left -= 1
        if self._left == 0:
            raise self._error
        return self._like(*given)


class BreakingDetector(SquareDetector):
    def __init__(self, at: int) -> None:
        self._detect: Callable[[ImageU8], list[Detection]] = Breaks(super().detect, at, RuntimeError("graph fell over"))

    def detect(self, image: ImageU8) -> list[Detection]:
        return self._detect(image)


def detector_raises() -> Models:
    return replace(fake_models(), detector=BreakingDetector(10))


def classifier_raises() -> Models:
    return fake_models(Breaks(redness, 2, RuntimeError("graph fell over\nat length")))


@pytest.mark.parametrize("make", [detector_raises, classifier_raises])
def test_a_model_that_raises_costs_its_source_alone(
    unmask: Cli, clip: Path, two_faces: Path, tmp_path: Path, make: Callable[[], Models]
) -> None:
    ran = unmask("scan", clip, two_faces, "--json", "--no-save", "--name", "n", models=make())
    assert ran.code == 2 and ran.err.count("\n") == 1
    assert f"{clip}: could not be judged, by a fault in Unmask (RuntimeError: graph fell over)" in ran.err
    report = tmp_path / "runs" / "n" / "clip" / "error.txt"
    assert str(report) in ran.err and "Traceback" in report.read_text()
    first, second = ran.entries
    assert first["error"] and first["frames"] == 0 and second["error"] is None and second["frames"] == 50


def test_a_score_that_is_no_number_is_no_verdict(unmask: Cli, clip: Path, tmp_path: Path) -> None:
    models = fake_models(lambda crop: float(np.nan))
    ran = unmask("scan", clip, "--json", "--name", "n", models=models)
    (entry,) = ran.entries
    assert ran.code == 2 and entry["verdict"] == "uncertain" and entry["p_fake"] is None and str(clip) in ran.err


def test_a_model_that_raises_costs_its_picture_alone(unmask: Cli, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), squares((10, 10, 60, (255, 255, 255))))
    models = fake_models(Breaks(redness, 1, RuntimeError("bang")))
    ran = unmask("image", tmp_path / "a.png", tmp_path / "b.png", "--json", "--name", "n", models=models)
    assert ran.code == 2 and "a.png: could not be judged" in ran.err and ran.err.count("\n") == 1
    assert [e["error"] is None for e in ran.entries] == [False, True]


@pytest.mark.parametrize("verb", ["scan", "image"])
def test_a_folder_that_may_not_be_written_to(unmask: Cli, clip: Path, tmp_path: Path, verb: str) -> None:
    place = tmp_path / "read-only"
    place.mkdir()
    picture = tmp_path / "p.png"
    cv2.imwrite(str(picture), squares((10, 10, 60, (255, 255, 255))))
    if os.geteuid() == 0:  # To whom permissions do not apply.
        mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(place)]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            pytest.skip("a read-only file system cannot be mounted here")
    else:
        place.chmod(0o500)
    try:
        ran = unmask(verb, clip if verb == "scan" else picture, "--json", "--project", place)
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", str(place)], check=True)
    assert ran.code == 2 and ran.out == "" and ran.err.count("\n") == 1
    assert str(place) in ran.err and "name another --project" in ran.err


@pytest.mark.parametrize("verb", ["scan", "image"])
def test_two_runs_in_one_folder_at_once(unmask: Cli, clip: Path, tmp_path: Path, verb: str) -> None:
    picture = tmp_path / "p.png"
    cv2.imwrite(str(picture), squares((10, 10, 60, (255, 255, 255))))
    given = clip if verb == "scan" else picture
    words = [verb, given, "--json", "--no-save", "--name", "n", "--exist-ok"]
    assert unmask(*words).code == 0
    before = kept(tmp_path / "runs" / "n")
    with alone_in(tmp_path / "runs" / "n"):
        ran = unmask(*words)
        assert ran.code == 2 and "another run is writing there" in ran.err and "--name" in ran.err
        assert ran.err.count("\n") == 1 and ran.out == ""
        assert kept(tmp_path / "runs" / "n") == before, "what the other one writes is left alone"
        assert unmask(*[w for w in words if w != "--exist-ok"]).code == 0, "without it each gets a folder of its own"
    assert unmask(*words).code == 0


def test_who_is_killed_holds_no_folder(tmp_path: Path) -> None:
    code = "import sys, time; from pathlib import Path; from app.pipeline.guards import alone_in\n"
    code += "with alone_in(Path(sys.argv[1])): print('in', flush=True); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"in\n"
    with pytest.raises(UnmaskError, match="another run"), alone_in(tmp_path):
        pass
    child.send_signal(signal.SIGKILL)
    child.communicate()
    with alone_in(tmp_path):
        pass


@pytest.fixture
def backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock on the wall jumps back by an hour at every look; nothing may go by it."""
    now = [time.time()]

    def earlier() -> float:
        now[0] -= 3600
        return now[0]

    monkeypatch.setattr(time, "time", earlier)


def test_a_scan_while_the_clock_jumps_back(unmask: Cli, clip: Path, tmp_path: Path, backwards: None) -> None:
    assert unmask("scan", clip, "--json", "--no-save", "--name", "n").code == 0
    times = [row["time_s"] for row in lines(tmp_path / "runs" / "n")]
    assert times == sorted(times) and 0 <= times[-1] < 1


def test_watching_while_the_clock_jumps_back(watch: Callable[..., Watched], card: ModelCard, backwards: None) -> None:
    watched = watch(lambda: Camera(fps=30), lambda: models_of(card), live=True)
    watched.engine.start()
    until(lambda: watched.engine.stats().frames > 20)
    stats = watched.engine.stats()
    assert 0 <= stats.age_s < 60 and 0 <= stats.inference_age_s < 60 and stats.scored_fps >= 0
    watched.end()
    assert watched.engine.error is None
