"""The table of moves, and what each control does in each state."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from app.core.cards import ModelCard
from app.core.errors import UnmaskError
from app.core.records import ImageU8
from app.pipeline.batch import Models
from app.pipeline.live import MOVES, EventKind, IllegalMove, LiveState
from app.pipeline.live_state import Left, check_move
from tests.engine.support import Camera, Film, Watched, models_of, until

Watch = Callable[..., Watched]


def test_the_table_is_whole() -> None:
    assert set(MOVES) == set(LiveState)
    for before in LiveState:
        for after in LiveState:
            if after in MOVES[before]:
                check_move(before, after)
            else:
                with pytest.raises(IllegalMove, match=after.value):
                    check_move(before, after)
    assert not MOVES[LiveState.STOPPED] | MOVES[LiveState.FAILED]


def test_a_life(watch: Watch, card: ModelCard) -> None:
    watched = watch(Camera, lambda: models_of(card), live=True)
    engine = watched.engine
    assert engine.state is LiveState.IDLE
    for control in (engine.pause, engine.resume, engine.step, lambda: engine.seek(1)):
        with pytest.raises(IllegalMove):
            control()
    engine.start()
    with pytest.raises(IllegalMove):
        engine.start()
    until(engine.latest_result)
    engine.pause()
    engine.pause()
    engine.resume()
    engine.resume()
    watched.end()
    watched.end()
    for control in (engine.pause, engine.resume, engine.step, lambda: engine.seek(1)):
        control()
    with pytest.raises(IllegalMove):
        engine.start()
    assert [s.value for s in watched.states] == ["loading", "running", "paused", "running", "stopping", "stopped"]
    assert all(after in MOVES[before] for before, after in pairwise([LiveState.IDLE, *watched.states]))


def test_stopped_before_it_started(watch: Watch, card: ModelCard) -> None:
    watched = watch(Camera, lambda: models_of(card), live=True)
    watched.end()
    assert watched.states == [LiveState.STOPPED]


def test_stopped_while_the_models_load(watch: Watch, card: ModelCard) -> None:
    """Native code cannot be interrupted: its thread closes what it loaded, and ends by itself."""
    loading, go = threading.Event(), threading.Event()
    closed: list[bool] = []
    camera = Camera()

    class Noticing(Models):
        def __exit__(self, *_: object) -> None:
            closed.append(True)

    def load() -> Models:
        loading.set()
        assert go.wait(60)
        made = models_of(card)
        return Noticing(made.detector, made.ensemble)

    watched = watch(lambda: camera, load, live=True)
    watched.engine.start()
    assert loading.wait(60)
    until(watched.engine.latest_frame)
    watched.engine.stop()
    assert not watched.engine.join(0.2)
    assert watched.engine.state is LiveState.STOPPING
    until(lambda: camera.closed)
    go.set()
    watched.end()
    assert closed == [True]
    assert watched.states == [LiveState.LOADING, LiveState.STOPPING, LiveState.STOPPED]


def test_a_loader_may_give_up_when_nobody_waits(watch: Watch, card: ModelCard) -> None:
    loading, go = threading.Event(), threading.Event()

    def load() -> Models:
        loading.set()
        assert go.wait(60)
        raise Left

    watched = watch(Camera, load, live=True)
    watched.engine.start()
    assert loading.wait(60)
    watched.engine.stop()
    go.set()
    watched.end()
    assert watched.states == [LiveState.LOADING, LiveState.STOPPING, LiveState.STOPPED]
    assert watched.engine.error is None


def test_paused_while_the_models_load(watch: Watch, card: ModelCard) -> None:
    go = threading.Event()

    def load() -> Models:
        assert go.wait(60)
        return models_of(card)

    watched = watch(Film, load, live=False)
    watched.engine.start()
    until(watched.engine.latest_frame)
    watched.engine.pause()
    go.set()
    until(lambda: watched.engine.state is LiveState.PAUSED)
    until(watched.engine.latest_result)
    assert watched.states == [LiveState.LOADING, LiveState.PAUSED]
    frame = watched.engine.latest_frame()
    assert frame is not None and frame.index == 0


def _raise(error: Exception) -> object:
    raise error


@pytest.mark.parametrize("error", [UnmaskError("no camera; plug it in"), RuntimeError("bang")])
@pytest.mark.parametrize("where", ["source", "models"])
def test_what_cannot_be_opened_is_told(watch: Watch, card: ModelCard, where: str, error: Exception) -> None:
    source = (lambda: _raise(error)) if where == "source" else Camera
    models = (lambda: _raise(error)) if where == "models" else (lambda: models_of(card))
    watched = watch(source, models, live=True)
    watched.engine.start()
    until(lambda: watched.engine.state is LiveState.FAILED)
    assert isinstance(watched.engine.error, UnmaskError)
    assert str(error) in str(watched.engine.error)
    watched.end()
    assert watched.states == [LiveState.LOADING, LiveState.FAILED]


def test_an_analysis_that_raises(watch: Watch, card: ModelCard, tmp_path: Path) -> None:
    calls: list[int] = []

    def logit(crop: ImageU8) -> float:
        calls.append(1)
        if len(calls) == 8:
            raise RuntimeError("the chip burns")
        return 0.0

    camera = Camera()
    watched = watch(lambda: camera, lambda: models_of(card, logit), live=True)
    watched.engine.start()
    watched.engine.start_recording(tmp_path / "r")
    until(lambda: watched.engine.state is LiveState.FAILED)
    watched.end()
    assert "the chip burns" in str(watched.engine.error)
    assert isinstance(watched.engine.error.__cause__, RuntimeError)  # type: ignore[union-attr]
    assert watched.engine.report().error == str(watched.engine.error)
    assert camera.closed == 1
    assert watched.has(EventKind.RECORDING_SAVED), "what was recorded until then is kept"
    assert (tmp_path / "r" / "annotated.mp4").exists()


def test_a_listener_that_raises_or_calls_back_does_no_harm(card: ModelCard) -> None:
    watched = Watched(Camera, lambda: models_of(card), live=True)
    states: list[LiveState] = []

    def on_state(state: LiveState) -> None:
        states.append(state)
        if state is LiveState.RUNNING:
            watched.engine.stop()
        raise RuntimeError("listener")

    watched.engine._on_state = on_state
    watched.engine.start()
    until(lambda: watched.engine.state is LiveState.STOPPED)
    watched.end()
    assert states == [LiveState.LOADING, LiveState.RUNNING, LiveState.STOPPING, LiveState.STOPPED]


@pytest.mark.parametrize("after_s", [0, 0.001, 0.01, 0.03, 0.1])
@pytest.mark.parametrize("live", [True, False])
def test_stopped_at_any_moment(watch: Watch, card: ModelCard, live: bool, after_s: float, tmp_path: Path) -> None:
    made: list[Camera | Film] = []

    def open_one() -> Camera | Film:
        made.append(Camera() if live else Film())
        return made[-1]

    watched = watch(open_one, lambda: models_of(card), live=live)
    watched.engine.start()
    watched.engine.start_recording(tmp_path)
    threading.Event().wait(after_s)
    watched.end()
    assert watched.engine.state is LiveState.STOPPED
    assert all(source.closed == 1 for source in made)
    assert not list(tmp_path.glob(".*")), "nothing half-written"


def test_one_source_after_the_other(watch: Watch, card: ModelCard) -> None:
    for _ in range(3):
        watched = watch(Camera, lambda: models_of(card), live=True)
        watched.engine.start()
        until(watched.engine.latest_result)
        watched.end()
        assert watched.engine.error is None


def test_everything_stays_on_its_thread(watch: Watch, card: ModelCard) -> None:
    camera = Camera()
    loaded_by: list[str] = []

    def score(crop: ImageU8) -> float:
        loaded_by.append(threading.current_thread().name)
        return 0.0

    def load() -> Models:
        loaded_by.append(threading.current_thread().name)
        return models_of(card, score)

    watched = watch(lambda: camera, load, live=True)
    watched.engine.start()
    until(watched.engine.latest_result)
    watched.end()
    assert camera.used_by == {"unmask-capture"}
    assert set(loaded_by) == {"unmask-inference"}
