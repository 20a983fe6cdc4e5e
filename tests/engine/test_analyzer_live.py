"""What the live engine asks of the analyzer: options that change on the way, few scores a frame, and forgetting."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app.core.cards import ModelCard
from app.core.records import Detection, Frame, FrameResult, ImageU8, Verdict
from app.models.runtimes import FakeClassifier
from app.vision.analyzer import AnalyzerOptions, FrameAnalyzer
from app.vision.detector import FakeDetector
from tests.engine.support import EVERY_FRAME
from tests.ensembles import alone

MakeFace = Callable[..., Detection]
Noise = Callable[..., ImageU8]


@pytest.fixture
def make(card: ModelCard, make_face: MakeFace) -> Callable[..., FrameAnalyzer]:
    def build(faces: int = 1, logit: Callable[[ImageU8], float] = lambda crop: 4.0, **options: object) -> FrameAnalyzer:
        found = [make_face(5 + 50 * n, 10, 40) for n in range(faces)]
        classifier = FakeClassifier(logit, card.preprocessing.size)
        chosen = AnalyzerOptions(**{"score_interval_s": 0.0} | options)  # type: ignore[arg-type]
        return FrameAnalyzer(FakeDetector(lambda n: found), alone(classifier, card), chosen)

    return build


def _run(analyzer: FrameAnalyzer, image: ImageU8, frames: int, first: int = 0) -> list[FrameResult]:
    return [analyzer.analyze(Frame(n, n / 25, image)) for n in range(first, first + frames)]


@pytest.mark.parametrize(("faces", "most"), [(1, 4), (4, 4), (5, 4), (6, 4), (6, 1), (6, 5)])
def test_few_scores_a_frame_are_shared_out_evenly(
    make: Callable[..., FrameAnalyzer], noise: Noise, faces: int, most: int
) -> None:
    analyzer = make(faces, max_scores_per_frame=most)
    frames = 30
    for result in _run(analyzer, noise(width=320), frames):
        assert sum(face.logit is not None for face in result.faces) == min(faces, most)
    scored = [track.scored for track in analyzer.tracks()]
    assert sum(scored) == frames * min(faces, most)
    assert max(scored) - min(scored) <= 1


def test_faces_that_cannot_be_judged_take_nobodys_turn(
    make: Callable[..., FrameAnalyzer], card: ModelCard, make_face: MakeFace, noise: Noise
) -> None:
    found = [make_face(5 + 30 * n, 10, 20) for n in range(6)] + [make_face(200, 80, 80)]
    options = AnalyzerOptions(score_interval_s=0.0, min_size_px=40, max_scores_per_frame=1)
    classifier = FakeClassifier(lambda crop: 4.0, card.preprocessing.size)
    analyzer = FrameAnalyzer(FakeDetector(lambda n: found), alone(classifier, card), options)
    results = _run(analyzer, noise(), 5)
    assert all(sum(face.logit is not None for face in result.faces) == 1 for result in results)
    assert "too small: 20 px, needs 40" in {track.opinion.reason for track in analyzer.tracks()}


def test_new_options_apply_at_once(make: Callable[..., FrameAnalyzer], noise: Noise) -> None:
    analyzer = make()
    assert _run(analyzer, noise(), 5)[-1].faces[0].opinion.verdict is Verdict.FAKE
    analyzer.options = AnalyzerOptions(score_interval_s=0.0, threshold=0.999)
    assert analyzer.options.threshold == 0.999
    assert _run(analyzer, noise(), 1, 5)[-1].faces[0].opinion.verdict is Verdict.UNCERTAIN


def test_judging_again_is_no_more_evidence(make: Callable[..., FrameAnalyzer], noise: Noise) -> None:
    analyzer = make()
    frame = Frame(4, 4 / 25, noise())
    result = _run(analyzer, frame.image, 5)[-1]
    analyzer.options = AnalyzerOptions(threshold=0.999)
    again = analyzer.judge_again(frame, result)
    assert again.faces[0].opinion.verdict is Verdict.UNCERTAIN
    assert (again.faces[0].logit, again.faces[0].track) == (result.faces[0].logit, 1)
    assert analyzer.tracks()[0].opinion.verdict is Verdict.UNCERTAIN
    analyzer.options = AnalyzerOptions()
    assert analyzer.judge_again(frame, again).faces == result.faces
    assert [(t.scored, t.faces) for t in analyzer.tracks()] == [(5, 5)]


def test_judging_again_by_another_least_size(make: Callable[..., FrameAnalyzer], noise: Noise) -> None:
    analyzer = make(min_size_px=100, min_scores=1)
    frame = Frame(4, 4 / 25, noise())
    result = _run(analyzer, frame.image, 5)[-1]
    assert result.faces[0].opinion.reason == "too small: 40 px, needs 100"
    for _ in range(3):
        analyzer.options = AnalyzerOptions(min_size_px=30, min_scores=1)
        again = analyzer.judge_again(frame, result)
        assert again.faces[0].opinion.verdict is Verdict.FAKE, "it can be judged now, and is"
        assert again.faces[0].logit == 4.0
        assert analyzer.tracks()[0].scored == 1, "once: it is one picture"
        analyzer.options = AnalyzerOptions(min_size_px=60, min_scores=1)
        result = analyzer.judge_again(frame, again)
        assert result.faces[0].opinion.reason == "too small: 40 px, needs 60"


def test_smoothing(make: Callable[..., FrameAnalyzer], noise: Noise) -> None:
    def last(smoothing_s: float | None) -> float:
        answers = iter([8.0] * 10 + [-8.0] * 5)
        p = (
            _run(make(logit=lambda crop: next(answers), smoothing_s=smoothing_s), noise(), 15)[-1]
            .faces[0]
            .opinion.p_fake
        )
        assert p is not None
        return p

    assert last(0.05) < last(None) < last(5.0)
    assert last(None) == last(0.7)


def test_forgetting_keeps_what_was_seen(make: Callable[..., FrameAnalyzer], noise: Noise) -> None:
    analyzer = make()
    _run(analyzer, noise(), 5, first=100)
    analyzer.forget()
    results = _run(analyzer, noise(), 5)
    assert not any(result.cut for result in results)
    assert [track.id for track in analyzer.tracks()] == [1, 2]
    assert [track.faces for track in analyzer.tracks()] == [5, 5]
    assert EVERY_FRAME.max_scores_per_frame is None
