"""Several sources at once, in processes and on a Ray cluster of this machine, with the real models."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.support import ROOT, Ran, kept, start

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds its workers in /proc")

ENGINES = [
    "process",
    pytest.param(
        "ray", marks=pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
    ),
]
NAMES = ("a", "b", "c")
WORKERS = {"process": "multiprocessing.spawn", "ray": "ray::Seat"}
PATIENCE_S = 100.0


@pytest.fixture(scope="module")
def folder(small_demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos, and one that is none."""
    folder = tmp_path_factory.mktemp("videos")
    for name in NAMES:
        shutil.copyfile(small_demo, folder / f"{name}.mp4")
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


def words(folder: Path, project: Path) -> list[str]:
    return ["scan", str(folder), "--json", "--no-save", "--project", str(project)]


@pytest.fixture(scope="module")
def alone(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Path]:
    """The run of one process."""
    project = tmp_path_factory.mktemp("alone")
    return start(*words(folder, project), "--name", "n"), project / "n"


@contextlib.contextmanager
def begun(folder: Path, project: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run of two workers once something is being written; killed when the block is left, if it still runs."""
    command = [sys.executable, "-m", "app", *words(folder, project), "--name", "n", "--workers", "2", *more]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    try:
        until(lambda: at_work(project), child)
        yield child
    finally:
        child.kill()
        child.communicate(timeout=PATIENCE_S)


def ended(child: subprocess.Popen[bytes]) -> Ran:
    out, err = child.communicate(timeout=PATIENCE_S)
    return Ran(child.returncode, out.decode(), err.decode())


def until(happened: Callable[[], object], child: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not happened():
        assert child.poll() is None and time.monotonic() < end, child.communicate(timeout=PATIENCE_S)
        time.sleep(0.02)


def at_work(project: Path) -> list[Path]:
    """Results that are being written."""
    return [path for path in project.glob("n/*/.work/faces.jsonl") if path.stat().st_size > 0]


def processes(mark: str, session: int) -> list[int]:
    """Processes of a session, or of Ray's, whose command line or title has ``mark`` in it, the oldest first."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            own = int((place / "stat").read_text().rsplit(")", 1)[1].split()[3]) == session
        except (OSError, IndexError, ValueError):
            continue
        if mark in line and (own or mark.startswith("ray::")) and "resource_tracker" not in line:
            found.append(int(place.name))
    return sorted(found)


def same(one: Path, other: Path) -> None:
    for name in NAMES:
        for file in ("faces.jsonl", "tracks.csv", "summary.json"):
            assert (one / name / file).read_bytes() == (other / name / file).read_bytes(), (name, file)
    assert kept(one) == kept(other)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_worker_that_is_killed_costs_nothing(
    engine: str, folder: Path, alone: tuple[Ran, Path], tmp_path: Path
) -> None:
    with begun(folder, tmp_path, "--engine", engine) as child:
        os.kill(processes(WORKERS[engine], child.pid)[0], signal.SIGKILL)
        ran = ended(child)
    whole, there = alone
    assert "Traceback" not in ran.err and "broken.mp4" in ran.err, ran.err
    assert (ran.code, ran.entries) == (2, whole.entries), ran.err
    same(tmp_path / "n", there)


@pytest.mark.parametrize("engine", ENGINES)
def test_ctrl_c_stops_all_of_them_and_resume_goes_on(
    engine: str, folder: Path, alone: tuple[Ran, Path], tmp_path: Path
) -> None:
    with begun(folder, tmp_path, "--engine", engine) as child:
        os.killpg(child.pid, signal.SIGINT)
        ran = ended(child)
    assert "Traceback" not in ran.err and "--resume" in ran.err, ran.err
    assert any(entry["partial"] and entry["frames"] for entry in ran.entries)
    assert processes(WORKERS[engine], child.pid) == []
    resumed = start(*words(folder, tmp_path), "--name", "n", "--workers", 2, "--resume", "--engine", engine)
    assert (resumed.code, resumed.entries) == (2, alone[0].entries)
    same(tmp_path / "n", alone[1])


def test_workers_end_with_the_run_that_started_them(folder: Path, tmp_path: Path) -> None:
    with begun(folder, tmp_path) as child:
        assert len(processes(WORKERS["process"], child.pid)) == 2
    end = time.monotonic() + PATIENCE_S
    while processes(WORKERS["process"], child.pid):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_cluster_that_is_not_there_is_a_sentence(folder: Path, tmp_path: Path) -> None:
    ran = start(*words(folder, tmp_path), "--address", "127.0.0.1:1")
    assert ran.code == 2 and "--engine ray" in ran.err and ran.err.count("\n") == 1
    if importlib.util.find_spec("ray") is not None:
        ran = start(*words(folder, tmp_path), "--engine", "ray", "--address", "127.0.0.1:1")
        assert ran.code == 2 and "127.0.0.1:1" in ran.err and ran.err.count("\n") == 1, ran.err
