"""Several models live: they cost scores, never the picture, and it is told how many."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.cards import ModelCard
from app.core.records import Box, Detection, ImageU8, Verdict
from app.models.runtimes import FakeClassifier
from app.pipeline.batch import Models
from app.pipeline.live_state import rate_alone
from app.vision.detector import FakeDetector
from tests.engine.support import Camera, Watched, models_of, until
from tests.ensembles import together

Watch = Callable[..., Watched]


def two(card: ModelCard, first: Callable[[ImageU8], float], second: Callable[[ImageU8], float]) -> Models:
    """Models "a" and "b" that find one face on every frame."""
    cards = [card.model_copy(update={"name": name}) for name in "ab"]
    made = [FakeClassifier(logit, card.preprocessing.size) for logit in (first, second)]
    face = Detection(Box(20, 20, 100, 100), 0.9)
    return Models(FakeDetector(lambda n: [face]), together(*zip(made, cards, strict=True)))


def test_a_second_model_never_holds_up_the_picture(watch: Watch, card: ModelCard) -> None:
    busy, go = threading.Event(), threading.Event()

    def slow(crop: ImageU8) -> float:
        busy.set()
        assert go.wait(60)
        return 4.0

    watched = watch(Camera, lambda: two(card, lambda crop: 4.0, slow), live=True)
    engine = watched.engine
    engine.start()
    assert busy.wait(60)
    first = engine.latest_frame()
    assert first is not None
    # While the second model has not even answered once, a whole second of pictures is shown.
    until(lambda: (now := engine.latest_frame()) is not None and now.index >= first.index + 60)
    assert engine.latest_result() is None
    go.set()
    until(engine.latest_result)


def test_it_is_told_what_every_model_takes(watch: Watch, card: ModelCard) -> None:
    def sleeping(seconds: float) -> Callable[[ImageU8], float]:
        def logit(crop: ImageU8) -> float:
            time.sleep(seconds)
            return 4.0

        return logit

    watched = watch(Camera, lambda: two(card, sleeping(0.01), sleeping(0.03)), live=True)
    engine = watched.engine
    assert engine.stats().models == ()
    engine.start()
    until(lambda: engine.stats().score_rate > 0 and engine.stats().frames > 20)
    stats = engine.stats()
    (a, a_s), (b, b_s) = stats.models
    assert (a, b) == ("a", "b") and a_s >= 0.009 and b_s >= 0.029
    assert stats.alone_rate > stats.score_rate
    (face,) = engine.latest_result().faces  # type: ignore[union-attr]
    assert face.opinion.verdict is Verdict.FAKE and [vote.model for vote in face.votes] == ["a", "b"]
    assert engine.consensus is not None and engine.consensus.name == "a+b"
    assert engine.report().consensus.name == "a+b"


def test_one_alone_costs_nothing(watch: Watch, card: ModelCard) -> None:
    watched = watch(Camera, lambda: models_of(card), live=True)
    watched.engine.start()
    until(lambda: watched.engine.stats().score_rate > 0)
    stats = watched.engine.stats()
    assert stats.models == () and stats.alone_rate == 0.0


@pytest.mark.parametrize(
    ("score_rate", "scored_fps", "shown_fps", "busy", "model_s", "alone"),
    [
        (7.0, 7.0, 30.0, 1.0, (0.065, 0.0714), 14.0),  # All of the time goes into two models, a half into each.
        (30.0, 30.0, 30.0, 0.5, (0.008, 0.008), 30.0),  # There is time left: one alone would score no more.
        (10.0, 5.0, 30.0, 1.0, (0.04, 0.05), 20.0),  # Two faces a frame.
        (20.0, 20.0, 24.0, 1.0, (0.01, 0.04), 24.0),  # No more than the source gives.
        (0.0, 0.0, 30.0, 0.0, (0.0, 0.0), 0.0),
    ],
)
def test_the_rate_of_one_alone(
    score_rate: float, scored_fps: float, shown_fps: float, busy: float, model_s: tuple[float, ...], alone: float
) -> None:
    assert rate_alone(score_rate, scored_fps, shown_fps, busy, model_s) == pytest.approx(alone, rel=0.01)


@given(
    st.floats(0, 200), st.floats(0, 120), st.floats(0, 120), st.floats(0, 1.1), st.lists(st.floats(0, 2), min_size=2)
)
def test_fewer_models_never_score_less(
    score_rate: float, scored_fps: float, shown_fps: float, busy: float, model_s: list[float]
) -> None:
    alone = rate_alone(score_rate, scored_fps, shown_fps, busy, model_s)
    assert alone >= (score_rate if scored_fps > 0 else 0)
    assert (
        alone <= max(score_rate, max(shown_fps, scored_fps) * score_rate / scored_fps if scored_fps > 0 else 0) + 1e-9
    )
