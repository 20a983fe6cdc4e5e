"""Files: paced, paused, stepped, sought, sped up, ended; and the sources that can seek by themselves."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.core.cards import ModelCard
from app.core.records import Verdict
from app.pipeline.live import EventKind, LiveEngine, LiveState
from app.vision.live_sources import SeekableFile
from app.vision.sources import FileSource
from tests.engine.support import EVERY_FRAME, Film, Watched, models_of, until

Watch = Callable[..., Watched]


def _index(engine: LiveEngine) -> int:
    frame = engine.latest_frame()
    return -1 if frame is None else frame.index


@pytest.fixture
def playing(watch: Watch, card: ModelCard) -> Watched:
    watched = watch(Film, lambda: models_of(card), live=False)
    watched.engine.start()
    until(watched.engine.latest_result)
    return watched


def test_it_plays_at_its_own_pace_and_ends(watch: Watch, card: ModelCard) -> None:
    watched = watch(lambda: Film(50), lambda: models_of(card), live=False)
    watched.engine.start()
    until(lambda: watched.engine.state is LiveState.RUNNING)
    started = time.monotonic()
    until(lambda: watched.has(EventKind.ENDED))
    assert time.monotonic() - started > 0.8, "50 frames at 50 a second"
    assert watched.engine.state is LiveState.PAUSED
    assert _index(watched.engine) == 49
    until(lambda: (r := watched.engine.latest_result()) is not None and r.index == 49)
    stats = watched.engine.stats()
    assert stats.duration_s == pytest.approx(1.0)
    assert stats.position_s == pytest.approx(0.98)
    assert stats.frames + stats.dropped == 50
    assert stats.age_s == 0, "what is shown is what was analysed"


def test_at_the_end_it_starts_anew(watch: Watch, card: ModelCard) -> None:
    watched = watch(lambda: Film(20), lambda: models_of(card), live=False)
    watched.engine.start()
    until(lambda: watched.has(EventKind.ENDED))
    watched.engine.step()
    watched.engine.resume()
    assert watched.engine.state is LiveState.RUNNING
    until(lambda: len(watched.has(EventKind.ENDED)) == 2)
    assert [t.id for t in watched.engine.tracks()] == [1, 2]


def test_pause_and_step(playing: Watched) -> None:
    engine = playing.engine
    engine.pause()
    time.sleep(0.1)
    at = _index(engine)
    time.sleep(0.2)
    assert _index(engine) == at
    for n in (1, 2, 3):
        engine.step()
        wanted = at + n
        until(lambda: _index(engine) == wanted)  # noqa: B023, called before the loop goes on
    until(lambda: (r := engine.latest_result()) is not None and r.index == at + 3)
    engine.resume()
    until(lambda: _index(engine) > at + 5)


@pytest.mark.parametrize("paused", [True, False])
def test_seek(playing: Watched, paused: bool) -> None:
    engine = playing.engine
    if paused:
        engine.pause()
        time.sleep(0.05)
    engine.seek(3.0)
    until(lambda: _index(engine) >= 150)
    if paused:
        assert _index(engine) == 150
    until(lambda: (r := engine.latest_result()) is not None and r.time_s >= 3)
    engine.seek(0.2)
    until(lambda: 10 <= _index(engine) < 150)
    if paused:
        assert _index(engine) == 10
    until(lambda: (r := engine.latest_result()) is not None and 0.2 <= r.time_s < 3)
    assert engine.state is (LiveState.PAUSED if paused else LiveState.RUNNING)
    until(lambda: len(engine.tracks()) == 3)
    assert [t.id for t in engine.tracks()] == [1, 2, 3], "who is there is nobody who was followed before"
    engine.seek(1e9)
    until(lambda: _index(engine) == 199)


def test_a_hail_of_seeks_ends_at_the_last(playing: Watched) -> None:
    engine = playing.engine
    engine.pause()
    for n in range(60):
        engine.seek((n * 37 % 150) / 50)
    engine.seek(2.0)
    until(lambda: _index(engine) == 100)
    time.sleep(0.1)
    assert _index(engine) == 100


def test_speed(watch: Watch, card: ModelCard) -> None:
    watched = watch(lambda: Film(100, fps=10), lambda: models_of(card), live=False)
    watched.engine.set_speed(20)
    with pytest.raises(ValueError, match="positive"):
        watched.engine.set_speed(0)
    watched.engine.start()
    started = time.monotonic()
    until(lambda: watched.has(EventKind.ENDED))
    assert time.monotonic() - started < 9, "10 s at 20 times the rate"


def test_options_apply_from_the_next_frame(playing: Watched) -> None:
    engine = playing.engine
    until(lambda: playing.has(EventKind.FACE_FLAGGED))
    engine.set_options(replace(EVERY_FRAME, threshold=0.999))
    until(lambda: (r := engine.latest_result()) and r.faces and r.faces[0].opinion.verdict is not Verdict.FAKE)
    assert engine.report().consensus.thresholds.fake == 0.999


def test_options_apply_to_the_picture_that_stands_still(playing: Watched) -> None:
    engine = playing.engine
    until(lambda: playing.has(EventKind.FACE_FLAGGED))
    engine.pause()
    until(lambda: (r := engine.latest_result()) and (f := engine.latest_frame()) and r.index == f.index)
    before = engine.latest_result()
    assert before is not None
    engine.set_options(replace(EVERY_FRAME, threshold=0.999))
    until(lambda: (r := engine.latest_result()) and r.faces[0].opinion.verdict is not Verdict.FAKE)
    after = engine.latest_result()
    assert after is not None and (after.index, after.time_s) == (before.index, before.time_s)
    until(lambda: engine.tracks()[0].opinion.verdict is not Verdict.FAKE)
    engine.set_options(EVERY_FRAME)
    until(lambda: len(playing.has(EventKind.FACE_FLAGGED)) == 2)


@pytest.mark.parametrize("time_s", [0.0, 0.02, 1.0, 5.41, 12.9, 99.0])
def test_a_file_seeks_to_the_very_frame(demo_clip: Path, time_s: float) -> None:
    with SeekableFile(demo_clip) as source, FileSource(demo_clip) as plain:
        assert source.read() is not None
        source.seek(time_s)
        index = min(int(time_s * 25 + 1e-6), 324)
        assert plain.skip(index) == index
        for _ in range(3):
            found, wanted = source.read(), plain.read()
            if wanted is None:
                assert found is None
                break
            assert found is not None
            assert (found.index, round(found.time_s, 3)) == (wanted.index, round(wanted.time_s, 3))
            assert np.array_equal(found.image, wanted.image)


def test_the_demo_clip_plays_and_seeks(watch: Watch, card: ModelCard, demo_clip: Path) -> None:
    watched = watch(lambda: SeekableFile(demo_clip), lambda: models_of(card), live=False)
    watched.engine.start()
    watched.engine.seek(8.0)
    until(lambda: _index(watched.engine) >= 200)
    assert watched.engine.stats().duration_s == pytest.approx(13.0)
