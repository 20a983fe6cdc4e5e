"""Live sources: newest frame wins, losses are survived, what is told is right."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from app.core.cards import ModelCard
from app.core.errors import UnmaskError
from app.core.records import Box, Detection
from app.pipeline import live_capture
from app.pipeline.live import EventKind, LiveState
from tests.engine.support import EVERY_FRAME, Camera, Watched, models_of, until

Watch = Callable[..., Watched]


def test_the_newest_frame_wins(watch: Watch, card: ModelCard) -> None:
    """With a 120 ms classifier at 30 fps: see tests/bench/live.py for the figure; here only that nothing queues."""
    watched = watch(lambda: Camera(fps=30), lambda: models_of(card, sleep_s=0.12), live=True)
    engine = watched.engine
    engine.start()
    ages: list[float] = []
    indices: list[int] = []
    until(engine.latest_result)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        ages.append(engine.stats().inference_age_s)
        result = engine.latest_result()
        assert result is not None
        if not indices or result.index != indices[-1]:
            indices.append(result.index)
        time.sleep(0.02)
    assert indices == sorted(indices)
    assert statistics.median(ages) < 0.12, "a frame waited for longer than the classifier takes: there is a queue"
    stats = engine.stats()
    assert stats.dropped > 10
    assert 5 < stats.shown_fps < 40
    assert 0 < stats.scored_fps < 9
    assert stats.score_rate == pytest.approx(stats.scored_fps, rel=0.5)
    assert stats.device == "fake"
    assert stats.duration_s is None


def test_time_passes_while_paused(watch: Watch, card: ModelCard) -> None:
    watched = watch(Camera, lambda: models_of(card), live=True)
    engine = watched.engine
    engine.start()
    until(engine.latest_result)
    engine.pause()
    time.sleep(0.1)
    frozen = engine.latest_frame()
    time.sleep(0.2)
    assert engine.latest_frame() is frozen
    engine.step()
    until(lambda: engine.latest_frame() is not frozen)
    assert frozen is not None
    stepped = engine.latest_frame()
    assert stepped is not None and stepped.index > frozen.index + 1, "the camera went on"
    engine.seek(0)
    engine.resume()
    until(lambda: engine.latest_frame() is not stepped)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_capture, "RETRY_PAUSES_S", (0.02, 0.04, 0.08))


def test_unplugged_and_back(watch: Watch, card: ModelCard, impatient: None) -> None:
    cameras: list[Camera] = []
    absent = 0

    def open_one() -> Camera:
        nonlocal absent
        if cameras and absent < 3:
            absent += 1
            raise UnmaskError("no camera")
        cameras.append(Camera())
        return cameras[-1]

    watched = watch(open_one, lambda: models_of(card), live=True)
    engine = watched.engine
    engine.start()
    until(engine.latest_result)
    before = engine.latest_frame()
    cameras[0].unplugged.set()
    until(lambda: watched.has(EventKind.SOURCE_BACK))
    assert engine.state is LiveState.RUNNING
    pauses = [event.text.rsplit(" in ", 1)[1] for event in watched.has(EventKind.SOURCE_LOST)]
    assert pauses == ["0.02 s", "0.04 s", "0.08 s", "0.08 s"], "growing, up to the longest"
    assert cameras[0].closed == 1
    until(lambda: (f := engine.latest_frame()) is not None and before is not None and f.index > before.index + 5)
    after = engine.latest_frame()
    assert before is not None and after is not None and after.time_s > before.time_s
    assert engine.error is None


def test_stopped_while_the_source_is_lost(watch: Watch, card: ModelCard) -> None:
    cameras: list[Camera] = []

    def open_one() -> Camera:
        if cameras:
            raise UnmaskError("no camera")
        cameras.append(Camera())
        return cameras[0]

    watched = watch(open_one, lambda: models_of(card), live=True)
    watched.engine.start()
    until(watched.engine.latest_frame)
    cameras[0].unplugged.set()
    until(lambda: len(watched.has(EventKind.SOURCE_LOST)) == 2)
    watched.end()
    assert watched.engine.state is LiveState.STOPPED


def test_a_stream_with_an_end_ends(watch: Watch, card: ModelCard) -> None:
    def open_one() -> Camera:
        camera = Camera(frames=30)
        camera.frame_count = 30
        return camera

    watched = watch(open_one, lambda: models_of(card), live=True)
    watched.engine.start()
    until(lambda: watched.has(EventKind.ENDED))
    assert not watched.has(EventKind.SOURCE_LOST)
    until(lambda: watched.engine.state is LiveState.PAUSED)
    watched.engine.resume()
    until(lambda: len(watched.has(EventKind.ENDED)) == 2)


def test_a_flagged_face_is_told_once(watch: Watch, card: ModelCard) -> None:
    watched = watch(Camera, lambda: models_of(card), live=True)
    engine = watched.engine
    engine.start()
    until(lambda: engine.stats().frames > 20)
    [event] = watched.has(EventKind.FACE_FLAGGED)
    assert event.track == 1
    assert event.text.startswith("face 1: ")
    face = engine.latest_face(1)
    assert face is not None and face.crop.shape == (64, 64, 3)
    assert engine.latest_face(99) is None
    until(engine.tracks)
    assert engine.timelines()[1]
    report = engine.report()
    assert report.opinion.verdict.value == "fake"
    assert report.highlights and report.timelines[1] and report.source == "synthetic"
    assert engine.highlights.telling(1, toward_fake=True)


def test_a_report_needs_models(watch: Watch, card: ModelCard) -> None:
    watched = watch(Camera, lambda: models_of(card), live=True)
    with pytest.raises(UnmaskError, match="nothing was analysed"):
        watched.engine.report()


def test_many_faces_take_turns(watch: Watch, card: ModelCard) -> None:
    faces = [Detection(Box(5 + 25 * n, 10, 25 + 25 * n, 30), 0.9) for n in range(6)]
    models = models_of(card, script=lambda n: faces)
    options = replace(EVERY_FRAME, max_scores_per_frame=4)
    watched = watch(Camera, lambda: models, live=True, options=options)
    watched.engine.start()
    until(lambda: watched.engine.stats().frames > 12)
    watched.end()
    assert max(models.ensemble.classifiers[0].batches) == 4  # type: ignore[attr-defined]
    scored = [track.scored for track in watched.engine.tracks()]
    assert len(scored) == 6
    assert max(scored) - min(scored) <= 1, "those scored longest ago come first"
