"""Interrupted scans: what was done is kept, and going on ends where an uninterrupted scan does."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.errors import UnmaskError
from app.core.records import ImageU8
from app.pipeline import batch
from app.pipeline.batch import ScanOptions, scan
from app.vision.analyzer import AnalyzerOptions
from tests.e2e.conftest import Cli
from tests.e2e.support import ROOT, fake_models, frame_count, leftovers, lines, movie, redness, table

OPTIONS = ScanOptions(analyzer=AnalyzerOptions(score_interval_s=0.2))


@pytest.fixture(scope="session")
def long_clip(made: Path) -> Path:
    """Four seconds, 100 frames, two faces, sound, times off any grid."""
    return movie(made / "resumed.mkv", seconds=4, faces="wr", sound=True, after=("-bf", 2))


@pytest.fixture(scope="session")
def whole(long_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs of an uninterrupted scan of ``long_clip``."""
    folder = tmp_path_factory.mktemp("whole")
    scan(str(long_clip), folder, fake_models(), OPTIONS)
    return folder


def interrupting(
    after: int, act: Callable[[], object] = lambda: signal.raise_signal(signal.SIGINT)
) -> Callable[[ImageU8], float]:
    """A scorer during whose n-th call something happens."""
    calls = 0

    def logit(crop: ImageU8) -> float:
        nonlocal calls
        calls += 1
        if calls == after:
            act()
        return redness(crop)

    return logit


def test_ctrl_c_keeps_what_was_done_and_resume_goes_on(
    unmask: Cli, long_clip: Path, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "runs" / "n"
    words = ("scan", long_clip, "--json", "--name", "n")
    ran = unmask(*words, models=fake_models(interrupting(20)))
    (entry,) = ran.entries
    assert ran.code == 3 and entry["partial"] and entry["error"] is None
    assert 5 <= entry["frames"] < 90 and entry["tracks"]
    assert "--resume" in ran.err and "--name n" in ran.err and str(folder) in ran.err
    assert len(lines(folder)) == 2 * entry["frames"] == entry["faces"]
    assert frame_count(folder / "annotated.mp4") == entry["frames"]
    assert len(table(folder)) == 2 and "partial" in (folder / "report.html").read_text(encoding="utf-8").lower()
    assert (whole / "faces.jsonl").read_bytes().startswith((folder / "faces.jsonl").read_bytes())

    again = unmask(*words, "--resume", models=fake_models(interrupting(15)))
    assert again.code == 3 and entry["frames"] < again.entries[0]["frames"] < 100

    last = unmask(*words, "--resume")
    (entry,) = last.entries
    assert last.code == 0 and not entry["partial"] and entry["frames"] == 100
    assert (folder / "faces.jsonl").read_bytes() == (whole / "faces.jsonl").read_bytes()
    assert frame_count(folder / "annotated.mp4") == frame_count(whole / "annotated.mp4") == 100
    assert leftovers(folder) == []

    calls: list[object] = []
    done = unmask(*words, "--resume", models=fake_models(lambda crop: calls.append(crop) or 0.0))
    assert done.code == 0 and done.entries == last.entries and not calls


def test_the_report_of_a_resumed_scan_is_that_of_a_whole_one(long_clip: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    reports = [
        scan(str(long_clip), tmp_path / "w", fake_models(), OPTIONS),
        scan(str(long_clip), tmp_path / "r", fake_models(interrupting(12, stop.set)), OPTIONS, stop=stop),
        scan(str(long_clip), tmp_path / "r", fake_models(), OPTIONS, resume=True),
    ]
    whole, cut, resumed = reports
    assert cut.partial and len(cut.highlights) > 0
    assert resumed.summary() == whole.summary() and resumed.timelines == whole.timelines
    assert [(h.track, h.time_s, h.logit) for h in resumed.highlights] == [
        (h.track, h.time_s, h.logit) for h in whole.highlights
    ]


def test_sigterm_is_as_good_and_a_second_signal_ends_at_once(unmask: Cli, long_clip: Path, tmp_path: Path) -> None:
    term = interrupting(20, lambda: signal.raise_signal(signal.SIGTERM))
    assert unmask("scan", long_clip, "--json", "--name", "a", models=fake_models(term)).entries[0]["partial"]

    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    ran = unmask("scan", long_clip, "--name", "b", models=fake_models(interrupting(20, twice)))
    assert ran.code == 3 and "stopped at once" in ran.err
    assert signal.getsignal(signal.SIGINT) is before
    ran = unmask("scan", long_clip, "--json", "--name", "b", "--resume")
    assert ran.code == 0 and ran.entries[0]["frames"] == 100


def test_a_stopped_batch_goes_on_where_it_was(unmask: Cli, clip: Path, long_clip: Path, no_face: Path) -> None:
    words = ("scan", clip, long_clip, no_face, "--json", "--no-save", "--name", "n")
    ran = unmask(*words, models=fake_models(interrupting(40)))
    assert ran.code == 3
    assert [(e["frames"] > 0, e["partial"]) for e in ran.entries] == [(True, False), (True, True)]
    scored: list[str] = []
    ran = unmask(*words, "--resume", models=fake_models(lambda crop: scored.append("") or redness(crop)))
    assert ran.code == 0 and [(e["frames"], e["partial"]) for e in ran.entries] == [
        (25, False),
        (100, False),
        (13, False),
    ]
    assert len(scored) < 40


def test_ctrl_c_before_anything_was_done(
    unmask: Cli, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.pipeline import run

    made = run.run_folder

    def interrupted(*words: object, **options: bool) -> Path:
        signal.raise_signal(signal.SIGINT)
        return made(*words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(run, "run_folder", interrupted)
    ran = unmask("scan", clip)
    assert ran.code == 3 and "--resume" in ran.err


def test_resume_refuses_another_file_and_other_options(unmask: Cli, long_clip: Path, tmp_path: Path) -> None:
    source = tmp_path / "s.mkv"
    source.write_bytes(long_clip.read_bytes())
    words = ("scan", source, "--json", "--name", "n")
    assert unmask(*words, models=fake_models(interrupting(20))).code == 3
    ran = unmask(*words, "--resume", "--threshold", "0.5")
    assert ran.code == 2 and "without --resume" in ran.err
    movie(source, seconds=1)
    ran = unmask(*words, "--resume")
    assert ran.code == 2 and "without --resume" in ran.err and ran.err.count("\n") == 1


def test_resume_without_an_earlier_run_is_a_scan(unmask: Cli, clip: Path) -> None:
    assert unmask("scan", clip, "--json", "--resume", "--name", "new").entries[0]["frames"] == 25


def test_stopping_while_a_resumed_scan_looks_for_its_place(
    long_clip: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    cut = scan(str(long_clip), tmp_path, fake_models(interrupting(40, stop.set)), OPTIONS, stop=stop)
    assert cut.frames > 3
    before = (tmp_path / "faces.jsonl").read_bytes()
    monkeypatch.setattr(batch, "SKIPPED_AT_ONCE", 1)
    again = scan(str(long_clip), tmp_path, fake_models(), OPTIONS, resume=True, stop=stop)
    assert again.partial and again.frames == cut.frames and (tmp_path / "faces.jsonl").read_bytes() == before
    last = scan(str(long_clip), tmp_path, fake_models(), OPTIONS, resume=True)
    assert not last.partial and (tmp_path / "faces.jsonl").read_bytes() == (whole / "faces.jsonl").read_bytes()


def test_a_damaged_checkpoint_is_told(long_clip: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    scan(str(long_clip), tmp_path, fake_models(interrupting(20, stop.set)), OPTIONS, stop=stop)
    (tmp_path / batch.WORK / "highlights.npz").write_bytes(b"PK damaged")
    with pytest.raises(UnmaskError, match="damaged; scan anew without --resume"):
        scan(str(long_clip), tmp_path, fake_models(), OPTIONS, resume=True)
    assert not scan(str(long_clip), tmp_path, fake_models(), OPTIONS).partial


KILLED = """
import sys, time
from pathlib import Path
from app.pipeline import batch
from tests.e2e.support import fake_models, redness
from tests.e2e.test_resume import OPTIONS
batch.CHECKPOINT_S = 0.5
def slow(done, total):
    time.sleep(0.02)
batch.scan(sys.argv[1], Path(sys.argv[2]), fake_models(), OPTIONS, on_progress=slow)
"""


def test_kill_9_loses_no_more_than_since_the_last_checkpoint(long_clip: Path, whole: Path, tmp_path: Path) -> None:
    state = tmp_path / batch.WORK / "state.json"
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(long_clip), str(tmp_path)], cwd=ROOT)
    try:
        until = time.monotonic() + 60
        while not state.exists() or json.loads(state.read_text(encoding="utf-8"))["read"] < 25:
            assert child.poll() is None and time.monotonic() < until, "it ended, or never made a checkpoint"
            time.sleep(0.01)
        time.sleep(0.1)
    finally:
        child.kill()
        child.wait()
    assert not (tmp_path / "summary.json").exists()
    done = json.loads(state.read_text(encoding="utf-8"))["read"]
    scored: list[int] = []
    report = scan(
        str(long_clip),
        tmp_path,
        fake_models(),
        OPTIONS,
        resume=True,
        on_progress=lambda done, total: scored.append(done),
    )
    assert 25 <= done < 100 and done < scored[0] <= done + 8, "it did not go on from the checkpoint"
    assert not report.partial and report.frames == 100
    assert (tmp_path / "faces.jsonl").read_bytes() == (whole / "faces.jsonl").read_bytes()
    assert frame_count(tmp_path / "annotated.mp4") == 100
    assert leftovers(tmp_path) == []
