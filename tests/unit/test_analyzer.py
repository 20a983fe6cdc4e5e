"""Frames in, verdicts out: with a scripted detector and a classifier that scores by arithmetic."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from app.core.cards import ModelCard
from app.core.records import Detection, Frame, FrameResult, ImageU8, Verdict
from app.models.runtimes import FakeClassifier
from app.vision.analyzer import AnalyzerOptions, FrameAnalyzer, ScoredFace
from app.vision.detector import FakeDetector
from tests.ensembles import alone

MakeCard = Callable[..., ModelCard]
MakeFace = Callable[..., Detection]
Noise = Callable[..., ImageU8]
Script = Callable[[int], Sequence[Detection]]
FPS = 25


def _analyzer(
    card: ModelCard,
    script: Script,
    logit: float | Callable[[ImageU8], float] = 4.0,
    options: AnalyzerOptions | None = None,
    on_scored: Callable[[ScoredFace], None] | None = None,
) -> tuple[FrameAnalyzer, FakeClassifier]:
    score = logit if callable(logit) else lambda _: logit
    classifier = FakeClassifier(score, size=card.preprocessing.size)
    return FrameAnalyzer(FakeDetector(script), alone(classifier, card), options, on_scored), classifier


def _run(analyzer: FrameAnalyzer, image: ImageU8, count: int, first: int = 0) -> list[FrameResult]:
    return [analyzer.analyze(Frame(n, n / FPS, image)) for n in range(first, first + count)]


def _scored(results: Sequence[FrameResult]) -> list[int]:
    return [r.index for r in results if any(f.logit is not None for f in r.faces)]


def test_a_new_face_is_scored_eagerly_then_when_due(make_card: MakeCard, make_face: MakeFace, noise: Noise) -> None:
    analyzer, classifier = _analyzer(make_card(), lambda _: [make_face()])
    assert _scored(_run(analyzer, noise(), 20)) == [0, 1, 2, 7, 12, 17]
    assert classifier.batches == [1] * 6


def test_an_interval_of_zero_scores_every_frame(make_card: MakeCard, make_face: MakeFace, noise: Noise) -> None:
    analyzer, _ = _analyzer(make_card(), lambda _: [make_face()], options=AnalyzerOptions(score_interval_s=0))
    assert _scored(_run(analyzer, noise(), 8)) == list(range(8))


def test_a_changed_face_is_scored_at_once(make_card: MakeCard, make_face: MakeFace, noise: Noise) -> None:
    options = AnalyzerOptions(score_interval_s=99)
    analyzer, _ = _analyzer(make_card(), lambda n: [make_face(size=80 if n < 5 else 125)], options=options)
    results = _run(analyzer, noise(), 8)
    assert _scored(results) == [0, 1, 2, 5]
    assert {f.track for r in results for f in r.faces} == {1}


def test_all_faces_of_a_frame_are_one_batch(make_card: MakeCard, make_face: MakeFace, noise: Noise) -> None:
    analyzer, classifier = _analyzer(make_card(), lambda _: [make_face(20, size=60), make_face(200, size=90)])
    [result] = _run(analyzer, noise(), 1)
    assert classifier.batches == [2]
    assert [f.detection.box.size for f in result.faces] == [90, 60]
    assert all(f.quality is not None and f.logit == 4 for f in result.faces)


def test_a_face_too_small_never_reaches_the_classifier(make_card: MakeCard, make_face: MakeFace, noise: Noise) -> None:
    analyzer, classifier = _analyzer(make_card(), lambda _: [make_face(size=30)])
    results = _run(analyzer, noise(), 6)
    assert classifier.batches == []
    for result in results:
        opinion = result.faces[0].opinion
        assert (opinion.verdict, opinion.p_fake) == (Verdict.UNCERTAIN, None)
        assert opinion.reason == "too small: 30 px, needs 40"
    [track] = analyzer.tracks()
    assert track.opinion.reason == "too small: 30 px, needs 40"
    assert (track.faces, track.scored, track.evidence, track.largest_px) == (6, 0, None, 30)


@pytest.mark.parametrize("logit", [math.nan, math.inf])
def test_a_broken_model_is_no_verdict(make_card: MakeCard, make_face: MakeFace, noise: Noise, logit: float) -> None:
    analyzer, _ = _analyzer(make_card(), lambda _: [make_face()], logit)
    with pytest.raises(ValueError, match="no score"):
        _run(analyzer, noise(), 1)


@pytest.mark.parametrize(
    ("logit", "verdict", "words"),
    [
        (4.0, Verdict.FAKE, "98 % probability of AI generation {}, at or above 90 %"),
        (-4.0, Verdict.REAL, "2 % probability of AI generation {}, at or below 20 %"),
        (0.0, Verdict.UNCERTAIN, "undecided: 50 % probability of AI generation {}, between 20 and 90 %"),
    ],
)
def test_verdicts_and_their_reasons(
    make_card: MakeCard, make_face: MakeFace, noise: Noise, logit: float, verdict: Verdict, words: str
) -> None:
    analyzer, _ = _analyzer(make_card(), lambda _: [make_face()], logit)
    first, second, third = (r.faces[0].opinion for r in _run(analyzer, noise(), 3))
    assert (first.verdict, first.reason) == (Verdict.UNCERTAIN, "seen too briefly: 1 usable picture, needs 3")
    assert second.reason == "seen too briefly: 2 usable pictures, needs 3"
    assert (third.verdict, third.reason) == (verdict, words.format("over the last second"))
    [track] = analyzer.tracks()
    assert (track.opinion.verdict, track.opinion.reason) == (verdict, words.format("over 3 scored pictures"))
    assert track.evidence == logit


def test_the_card_calibrates(make_card: MakeCard, make_face: MakeFace, noise: Noise) -> None:
    card = make_card(calibration={"slope": 0.5, "offset": -1.0})
    analyzer, _ = _analyzer(card, lambda _: [make_face()], 4.0)
    assert _run(analyzer, noise(), 1)[0].faces[0].logit == 1.0


def test_options_override_the_card(make_card: MakeCard, make_face: MakeFace, noise: Noise) -> None:
    options = AnalyzerOptions(threshold=0.1, min_scores=1)
    chosen = options.thresholds(make_card().thresholds)
    assert (chosen.fake, chosen.real, chosen.min_scores) == (0.1, 0.1, 1)
    analyzer, _ = _analyzer(make_card(), lambda _: [make_face()], -2.0, options)
    assert _run(analyzer, noise(), 1)[0].faces[0].opinion.verdict is Verdict.FAKE
    assert analyzer.tracks()[0].opinion.reason.startswith("12 % probability of AI generation over 1 scored picture,")


def test_a_face_that_turns_away_is_said_to(make_card: MakeCard, make_face: MakeFace, noise: Noise) -> None:
    """Its verdict stays for a second, then the picture says why there is none."""
    analyzer, _ = _analyzer(make_card(), lambda n: [make_face(turned=0.0 if n < 3 else 1.0)])
    results = _run(analyzer, noise(), 60)
    reasons = [r.faces[0].opinion.reason.split(":")[0] for r in results]
    assert results[20].faces[0].opinion.verdict is Verdict.FAKE
    assert reasons[-1] == "turned too far to the side"
    assert results[-1].faces[0].opinion.p_fake is None
    assert analyzer.tracks()[0].opinion.verdict is Verdict.FAKE, "the three good pictures still count"


def test_the_usual_refusal_is_named(make_card: MakeCard, make_face: MakeFace, noise: Noise) -> None:
    analyzer, _ = _analyzer(make_card(), lambda n: [make_face(turned=0.0 if n < 1 else 0.95)])
    _run(analyzer, noise(), 5)
    [track] = analyzer.tracks()
    assert track.scored == 1
    assert track.opinion.reason == "turned too far to the side: 0.95 of 1, at most 0.80"
    assert track.opinion.verdict is Verdict.UNCERTAIN
    assert track.opinion.p_fake == pytest.approx(0.982, abs=1e-3)


def test_a_hard_cut_splits_tracks(make_card: MakeCard, make_face: MakeFace, noise: Noise) -> None:
    analyzer, _ = _analyzer(make_card(), lambda _: [make_face()])
    results = _run(analyzer, noise(30, 90), 4) + _run(analyzer, noise(150, 220), 4, first=4)
    assert [r.cut for r in results] == [False] * 4 + [True] + [False] * 3
    assert [r.faces[0].track for r in results] == [1] * 4 + [2] * 4
    first, second = analyzer.tracks()
    assert (first.first_s, first.last_s, first.faces) == (0.0, 3 / FPS, 4)
    assert (second.first_s, second.last_s, second.faces) == (4 / FPS, 7 / FPS, 4)


def test_who_asks_is_told_of_every_score(make_card: MakeCard, make_face: MakeFace, noise: Noise) -> None:
    told: list[ScoredFace] = []
    faces = [make_face(200, size=90), make_face(20, size=60), make_face(20, 180, size=30)]
    analyzer, _ = _analyzer(make_card(), lambda _: faces, lambda c: c.mean() / 100, on_scored=told.append)
    [result] = _run(analyzer, noise(), 1)
    assert [(t.track, t.time_s, t.logit) for t in told] == [(f.track, 0.0, f.logit) for f in result.faces[:2]]
    assert result.faces[2].logit is None
    for score in told:
        assert score.crop.shape == (64, 64, 3)
        assert score.evidence.shape == (6, 6)
        assert score.logit == round(float(score.crop.mean()) / 100, 4)


def test_an_interrupted_run_goes_on_exactly_the_same(make_card: MakeCard, make_face: MakeFace, noise: Noise) -> None:
    """Wherever it is interrupted: with faces coming, going and turning, pictures that change, and a hard cut."""
    images = [noise(30, 120, seed=n) if n < 14 else noise(140, 230, seed=n) for n in range(24)]

    def script(n: int) -> list[Detection]:
        faces = [make_face(100 + 3 * n, 70, turned=1.0 if n in (5, 6, 7) else 0.0)]
        if 4 <= n < 10 or n > 16:
            faces.append(make_face(10 + n % 3, 150, size=50))
        if n in (2, 3, 8):
            faces.append(make_face(250, 10, size=25))
        return faces

    def run(analyzer: FrameAnalyzer, first: int, last: int) -> list[FrameResult]:
        return [analyzer.analyze(Frame(n, n * 0.11, images[n])) for n in range(first, last)]

    def score(crop: ImageU8) -> float:
        return float(crop.mean()) / 20 - 5

    whole, _ = _analyzer(make_card(), script, score)
    expected = run(whole, 0, 24)
    assert any(r.cut for r in expected)
    for at in range(25):
        before, _ = _analyzer(make_card(), script, score)
        after, _ = _analyzer(make_card(), lambda n, at=at: script(n + at), score)  # type: ignore[misc]
        results = run(before, 0, at)
        after.restore(json.loads(json.dumps(before.state(), allow_nan=False)))
        assert results + run(after, at, 24) == expected, f"interrupted before frame {at}"
        assert after.tracks() == whole.tracks()
        assert after.state() == whole.state()


@pytest.mark.parametrize("seed", range(8))
def test_frames_judged_together_are_judged_alike(
    seed: int, make_card: MakeCard, make_face: MakeFace, noise: Noise
) -> None:
    rng = np.random.default_rng(seed)
    # Faces come and go, some too small to be judged; every picture has a score of its own.
    places = [
        [make_face(x, size=float(size)) for x, size in ((30, rng.choice([30, 80])), (220, 90)) if rng.random() < 0.8]
        for _ in range(40)
    ]
    images = [noise(seed=1000 * seed + n) for n in range(40)]
    told: list[list[tuple[int, float, float]]] = [[], []]
    one, many = (
        _analyzer(
            make_card(),
            lambda n: places[n],
            lambda crop: float(crop.mean()) - 100,
            AnalyzerOptions(score_interval_s=0.1),
            lambda face, kept=kept: kept.append((face.track, face.time_s, face.logit)),
        )[0]
        for kept in told
    )
    frames = [Frame(n, n / FPS, image) for n, image in enumerate(images)]
    alone_ = [one.analyze(frame) for frame in frames]
    together: list[FrameResult] = []
    while frames:
        count = int(rng.integers(1, 9))
        together += many.judge([many.find(frame) for frame in frames[:count]])
        del frames[:count]
    assert together == alone_ and told[0] == told[1] and len(told[0]) > 20
    assert many.tracks() == one.tracks() and many.state() == one.state()
    assert any(face.logit is None and face.quality is not None for r in alone_ for face in r.faces), "one is refused"
