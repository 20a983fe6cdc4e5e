"""Recordings: in order, in step, valid however they end; monitoring never depends on them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from app.core.cards import ModelCard
from app.core.records import Detection, FaceResult, Frame, FrameResult, Opinion, Verdict
from app.pipeline import recording as recording_module
from app.pipeline.live import EventKind, IllegalMove, LiveState
from app.pipeline.sinks import JsonlSink, VideoSink
from tests.e2e.support import frame_count, frame_times, streams
from tests.engine.support import Camera, Film, Watched, models_of, until

Watch = Callable[..., Watched]


def _rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "faces.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def running(watch: Watch, card: ModelCard) -> Watched:
    watched = watch(lambda: Camera(fps=30), lambda: models_of(card), live=True)
    watched.engine.start()
    until(watched.engine.latest_result)
    return watched


def _record(watched: Watched, folder: Path, frames: int = 20) -> None:
    watched.engine.start_recording(folder)
    before = watched.engine.stats().frames
    until(lambda: watched.engine.stats().frames >= before + frames)


def test_it_is_in_order_and_in_step(running: Watched, tmp_path: Path) -> None:
    engine = running.engine
    assert engine.stop_recording() is None
    _record(running, tmp_path / "a")
    assert engine.recording
    with pytest.raises(IllegalMove, match="under way"):
        engine.start_recording(tmp_path / "b")
    path = engine.stop_recording()
    assert path == tmp_path / "a" / "annotated.mp4"
    assert not engine.recording
    until(lambda: running.has(EventKind.RECORDING_SAVED))
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["annotated.mp4", "faces.jsonl"]
    rows = _rows(tmp_path / "a")
    assert [row["frame"] for row in rows] == list(range(len(rows)))
    times = [row["time_s"] for row in rows]
    assert times[0] == 0 and times == sorted(set(times))
    shown = frame_times(tmp_path / "a" / "annotated.mp4")
    assert shown == sorted(set(shown))
    assert abs(shown[-1] - times[-1]) < 0.1
    assert engine.state is LiveState.RUNNING


def test_one_after_the_other_and_the_end(running: Watched, tmp_path: Path) -> None:
    for name in "ab":
        _record(running, tmp_path / name, 5)
        running.engine.stop_recording()
    _record(running, tmp_path / "c", 5)
    running.end()
    assert len(running.has(EventKind.RECORDING_SAVED)) == 3
    assert all(frame_count(tmp_path / name / "annotated.mp4") >= 5 for name in "abc")
    with pytest.raises(IllegalMove, match="stopped"):
        running.engine.start_recording(tmp_path / "d")


def test_the_picture_on_the_screen_is_not_drawn_on(running: Watched, tmp_path: Path) -> None:
    frame = running.engine.latest_frame()
    assert frame is not None
    _record(running, tmp_path, 10)
    frame = running.engine.latest_frame()
    assert frame is not None
    assert set(frame.image.reshape(-1).tolist()) <= {96, 220}


def test_nothing_recorded_leaves_nothing(running: Watched, tmp_path: Path) -> None:
    running.engine.pause()
    time.sleep(0.2)
    running.engine.start_recording(tmp_path)
    running.engine.stop_recording()
    running.end()
    assert list(tmp_path.iterdir()) == []
    assert not running.has(EventKind.RECORDING_FAILED)


def test_seeks_and_pauses_do_not_stretch_it(watch: Watch, card: ModelCard, tmp_path: Path) -> None:
    watched = watch(lambda: Film(fps=25), lambda: models_of(card), live=False)
    engine = watched.engine
    engine.start()
    until(engine.latest_result)
    engine.start_recording(tmp_path)
    for time_s in (6.0, 0.4, 4.0):
        engine.seek(time_s)
        until(partial(_analysed, watched, time_s))
    watched.end()
    times = [row["time_s"] for row in _rows(tmp_path)]
    assert times == sorted(set(times))
    assert times[-1] < 5


def _analysed(watched: Watched, time_s: float) -> bool:
    result = watched.engine.latest_result()
    return result is not None and time_s <= result.time_s < time_s + 2


class Full(OSError):
    pass


@pytest.mark.parametrize("sink", [JsonlSink, VideoSink])
@pytest.mark.parametrize("parts", [False, True], ids=["at once", "later"])
def test_a_full_disk_ends_the_recording_alone(
    running: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sink: type[Any], parts: bool
) -> None:
    take = sink.take
    if parts:
        monkeypatch.setattr(recording_module, "PART_S", 0.2)

    def failing(self: Any, frame: Frame, result: FrameResult) -> None:
        if frame.index == 25:
            raise Full(28, "No space left on device")
        take(self, frame, result)

    monkeypatch.setattr(sink, "take", failing)
    running.engine.start_recording(tmp_path)
    until(lambda: running.has(EventKind.RECORDING_FAILED))
    [event] = running.has(EventKind.RECORDING_FAILED)
    assert "No space left" in event.text
    assert not running.engine.recording
    before = running.engine.stats().frames
    until(lambda: running.engine.stats().frames > before + 5)
    assert running.engine.state is LiveState.RUNNING and running.engine.error is None
    assert len(_rows(tmp_path)) >= 25, "whole lines"
    if parts or sink is JsonlSink:
        assert frame_count(tmp_path / "annotated.mp4") >= 5
    assert not list(tmp_path.glob(".*"))
    monkeypatch.undo()
    _record(running, tmp_path / "again", 5)
    running.end()
    assert running.has(EventKind.RECORDING_SAVED)


def test_parts_that_cannot_be_joined_stay(running: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.core.errors import UnmaskError

    def failing(*args: object, **kwargs: object) -> None:
        raise UnmaskError("no space left")

    monkeypatch.setattr(recording_module, "PART_S", 0.2)
    monkeypatch.setattr(recording_module, "join_parts", failing)
    _record(running, tmp_path, 40)
    running.engine.stop_recording()
    until(lambda: running.has(EventKind.RECORDING_FAILED))
    assert not list(tmp_path.glob(".*")), "nothing half-written"
    kept = sorted(tmp_path.glob("annotated-*.mp4"))
    assert kept and all(frame_count(path) > 0 for path in kept)


def test_a_folder_that_cannot_be_made(running: Watched, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    running.engine.start_recording(tmp_path / "file" / "r")
    until(lambda: running.has(EventKind.RECORDING_FAILED))
    assert running.engine.state is LiveState.RUNNING


def test_a_slow_disk_does_not_hold_up_monitoring(
    running: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = JsonlSink.take

    def slow(self: JsonlSink, frame: Frame, result: FrameResult) -> None:
        time.sleep(0.3)
        take(self, frame, result)

    monkeypatch.setattr(JsonlSink, "take", slow)
    running.engine.start_recording(tmp_path)
    before, started = running.engine.stats().frames, time.monotonic()
    until(lambda: running.engine.stats().frames >= before + 30)
    assert time.monotonic() - started < 8, "30 frames would take the disk 9 s"
    monkeypatch.undo()
    running.end()
    assert running.has(EventKind.RECORDING_SAVED)


def test_faces_that_are_not_flagged_are_pixelated(
    tmp_path: Path, noise: Callable[..., Any], make_face: Callable[..., Detection]
) -> None:
    ended: list[object] = []
    recording = recording_module.Recording(tmp_path, lambda: 25.0, lambda _, error: ended.append(error), redact=True)
    recording.thread.start()
    verdicts = (Verdict.UNCERTAIN, Verdict.REAL, Verdict.FAKE)
    image = noise()
    for index, verdict in enumerate(verdicts):
        face = FaceResult(1, make_face(), None, None, Opinion(verdict, None, "because"))
        recording.offer(Frame(index, index / 25, image), FrameResult(index, index / 25, (face,)), 1)
    recording.finish()
    recording.thread.join()
    assert ended == [None] and "pixelated" in recording.note
    assert (image == noise()).all(), "the picture on the screen stays as it is"
    assert "faces not flagged AI-GENERATED are pixelated; no sound" in streams(recording.video)
    capture = cv2.VideoCapture(str(recording.video))
    for verdict in verdicts:
        _, frame = capture.read()
        inside = [picture[90:150, 110:170].astype(float).ravel() for picture in (image, frame)]
        assert (np.corrcoef(*inside)[0, 1] > 0.9) == (verdict is Verdict.FAKE)
    capture.release()
