"""Members that look at the same crop, are asked once a frame, and are read and loaded together or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.core.cards import ConsensusCard, ModelCard
from app.core.errors import UnmaskError
from app.core.records import Box, Detection, Frame, ImageU8, Verdict
from app.models.artifact import consensus_path, fitted_together, load_ensemble, read_consensus
from app.models.ensemble import Ensemble
from app.models.runtimes import FakeClassifier, Scores
from app.vision.analyzer import AnalyzerOptions, FrameAnalyzer, ScoredFace
from app.vision.detector import FakeDetector
from tests.ensembles import together
from tests.tiny_models import write_model, write_two
from tests.unit.test_consensus import fitted_with

MakeCard = Callable[..., ModelCard]
MakeFace = Callable[..., Detection]
Noise = Callable[..., ImageU8]


class Keeping(FakeClassifier):
    """Keeps what it was given."""

    def __init__(self, logit: float, size: int) -> None:
        super().__init__(lambda crop: logit, size)
        self.given: list[ImageU8] = []

    def score(self, crops: ImageU8) -> Scores:
        self.given.append(crops)
        return super().score(crops)


def three(make_card: MakeCard, **thresholds: Any) -> tuple[Ensemble, list[Keeping]]:
    """Members "a" and "b" that want the same crop and "c" that wants another; their raw logits are 4, 2 and 6."""
    sizes = {"a": 64, "b": 64, "c": 96}
    cards = [make_card(name=n, preprocessing={"size": s}, thresholds=thresholds) for n, s in sizes.items()]
    made = [Keeping(logit, size) for logit, size in zip((4.0, 2.0, 6.0), sizes.values(), strict=True)]
    return together(*zip(made, cards, strict=True)), made


def test_members_that_want_the_same_crop_get_the_same_one(make_card: MakeCard, noise: Noise) -> None:
    ensemble, made = three(make_card)
    faces = [ensemble.crops(noise(), Box(100, 80, 180, 160)), ensemble.crops(noise(), Box(20, 20, 90, 90))]
    judged = ensemble.score(faces)
    np.testing.assert_array_equal(made[0].given[0], made[1].given[0])
    assert [classifier.given[0].shape for classifier in made] == [(2, 64, 64, 3), (2, 64, 64, 3), (2, 96, 96, 3)]
    np.testing.assert_array_equal(made[0].given[0][1], faces[1][ensemble.consensus.inputs[0]][0])
    assert [(j.logit, j.logits) for j in judged] == [(4.0, (4.0, 2.0, 6.0))] * 2
    assert judged[0].evidence.shape == (6, 6) and judged[0].evidence[0, 0] == 4.0


def test_every_member_gets_the_faces_of_a_frame_as_one_batch(
    make_card: MakeCard, make_face: MakeFace, noise: Noise
) -> None:
    ensemble, made = three(make_card)
    analyzer = FrameAnalyzer(FakeDetector(lambda _: [make_face(20, size=60), make_face(200, size=90)]), ensemble)
    for n in range(3):
        analyzer.analyze(Frame(n, n / 25, noise()))
    assert [classifier.batches for classifier in made] == [[2, 2, 2]] * 3


def test_every_member_is_calibrated_by_its_own_card(make_card: MakeCard, noise: Noise) -> None:
    cards = [make_card(name="a", calibration={"slope": 0.5, "offset": 1.0}), make_card(name="b")]
    ensemble = together(*((FakeClassifier(lambda crop: 2.0, 64), card) for card in cards))
    (judged,) = ensemble.score([ensemble.crops(noise(), Box(100, 80, 180, 160))])
    assert judged.logits == (2.0, 2.0)
    with pytest.raises(ValueError, match="as many classifiers"):
        Ensemble(ensemble.consensus, ensemble.classifiers[:1])


def test_the_time_of_every_member_is_told(make_card: MakeCard, noise: Noise) -> None:
    now = [0.0]

    def slow(seconds: float) -> Callable[[ImageU8], float]:
        def logit(crop: ImageU8) -> float:
            now[0] += seconds
            return 1.0

        return logit

    members = [(FakeClassifier(slow(s), 64), make_card(name=n)) for n, s in (("a", 0.02), ("b", 0.05))]
    ensemble = Ensemble(together(*members).consensus, [m for m, _ in members], clock=lambda: now[0])
    assert ensemble.seconds == (0.0, 0.0)
    for _ in range(3):
        ensemble.score([ensemble.crops(noise(), Box(100, 80, 180, 160))] * 4)
    assert ensemble.seconds == pytest.approx((0.02, 0.05))


def test_votes_are_with_the_face_and_with_its_track(make_card: MakeCard, make_face: MakeFace, noise: Noise) -> None:
    ensemble, _ = three(make_card)
    analyzer = FrameAnalyzer(FakeDetector(lambda _: [make_face()]), ensemble, AnalyzerOptions(score_interval_s=0.1))
    results = [analyzer.analyze(Frame(n, n / 25, noise())) for n in range(5)]
    (face,) = results[2].faces
    assert face.logit == 4.0
    assert [(v.model, v.verdict, v.logit) for v in face.votes] == [
        ("a", Verdict.FAKE, 4.0),
        ("b", Verdict.UNCERTAIN, 2.0),
        ("c", Verdict.FAKE, 6.0),
    ]
    assert face.opinion.reason.endswith("2 of 3 models call it AI-generated, 1 cannot tell")
    assert [vote.logit for vote in results[3].faces[0].votes] == [None] * 3, "not scored on that frame"
    (track,) = analyzer.tracks()
    assert [vote.model for vote in track.votes] == ["a", "b", "c"]
    assert track.opinion.verdict is Verdict.FAKE
    again = analyzer.judge_again(Frame(4, 4 / 25, noise()), results[4])
    assert again.faces[0].votes == results[4].faces[0].votes


def test_the_users_threshold_is_that_of_every_vote(make_card: MakeCard, make_face: MakeFace, noise: Noise) -> None:
    ensemble, _ = three(make_card)
    options = AnalyzerOptions(threshold=0.8)
    analyzer = FrameAnalyzer(FakeDetector(lambda _: [make_face()]), ensemble, options)
    for n in range(3):
        analyzer.analyze(Frame(n, n / 25, noise()))
    assert {vote.verdict for vote in analyzer.tracks()[0].votes} == {Verdict.FAKE}


@pytest.mark.parametrize(("raw", "toward_fake"), [((-2.4, 5.0), False), ((5.0, -7.0), True)])
def test_a_heatmap_goes_the_way_of_the_model_whose_it_is(
    make_card: MakeCard, make_face: MakeFace, noise: Noise, raw: tuple[float, float], toward_fake: bool
) -> None:
    from app.ui.video_view import Heat

    members = [(Keeping(logit, 64), make_card(name=name)) for name, logit in zip("ab", raw, strict=True)]
    told: list[ScoredFace] = []
    ensemble = together(*members)
    analyzer = FrameAnalyzer(FakeDetector(lambda _: [make_face()]), ensemble, on_scored=told.append)
    analyzer.analyze(Frame(0, 0.0, noise()))
    (face,) = told
    assert (face.logit > 0) is not toward_fake, "the consensus says the opposite"
    assert face.own == raw[0] and face.toward_fake is toward_fake
    heat = Heat.of(face, ensemble.consensus)
    assert heat.heat.any()
    assert heat.caption.endswith(f"spoke most for {'AI-generated' if toward_fake else 'real'} (by a)")


def test_what_one_member_cannot_judge_is_not_judged(make_card: MakeCard, make_face: MakeFace, noise: Noise) -> None:
    strict = make_card(name="strict", thresholds={"min_size_px": 90})
    ensemble = together(*((FakeClassifier(lambda crop: 4.0, 64), card) for card in (make_card(name="mild"), strict)))
    analyzer = FrameAnalyzer(FakeDetector(lambda _: [make_face(size=80)]), ensemble)
    (face,) = analyzer.analyze(Frame(0, 0.0, noise())).faces
    assert face.opinion.reason == "too small: 80 px, needs 90" and face.votes == ()


def test_sharpness_is_that_of_the_members_own_crop(make_card: MakeCard, make_face: MakeFace, noise: Noise) -> None:
    cards = [make_card(name="small"), make_card(name="large", preprocessing={"size": 256})]
    soft = np.asarray(np.full((240, 320, 3), 100) + np.arange(320)[None, :, None] / 4, np.uint8)
    for image, least, judged in ((noise(), 0.05, True), (soft, 0.9, False)):
        members = [(FakeClassifier(lambda crop: 4.0, c.preprocessing.size), c) for c in cards[:1]]
        blunt = cards[1].model_copy(
            update={"thresholds": cards[1].thresholds.model_copy(update={"min_sharpness": least})}
        )
        members.append((FakeClassifier(lambda crop: 4.0, 256), blunt))
        analyzer = FrameAnalyzer(FakeDetector(lambda _: [make_face()]), together(*members))
        (face,) = analyzer.analyze(Frame(0, 0.0, image)).faces
        assert (face.logit is not None) is judged


def test_an_interrupted_run_of_several_goes_on_the_same(make_card: MakeCard, make_face: MakeFace, noise: Noise) -> None:
    def analyzer() -> FrameAnalyzer:
        cards = [make_card(name=name) for name in "ab"]
        made = [FakeClassifier(lambda c, k=k: c.mean() / k - 3, 64) for k in (30, 50)]  # type: ignore[misc]
        return FrameAnalyzer(FakeDetector(lambda _: [make_face()]), together(*zip(made, cards, strict=True)))

    frames = [Frame(n, n / 25, noise(seed=n)) for n in range(16)]
    whole, before, after = analyzer(), analyzer(), analyzer()
    results = [whole.analyze(frame) for frame in frames]
    for frame in frames[:8]:
        before.analyze(frame)
    after.restore(json.loads(json.dumps(before.state())))
    assert [after.analyze(frame) for frame in frames[8:]] == results[8:]
    assert after.tracks() == whole.tracks()


# Files.


@pytest.fixture
def weights(tmp_path: Path, card_fields: Callable[..., dict[str, Any]]) -> Path:
    write_two(tmp_path / "weights", card_fields)
    return tmp_path / "weights"


def _fit(weights: Path, **changes: Any) -> Path:
    cards = read_consensus(("bluish", "redless"), weights).cards
    path = consensus_path([card.name for card in cards], weights)
    path.parent.mkdir(exist_ok=True)
    fitted_with(cards, [0.75, 0.25], **changes).write(path)
    return path


def _refusal(work: Callable[[], object]) -> str:
    with pytest.raises(UnmaskError) as caught:
        work()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_real_models_judge_together(weights: Path, noise: Noise) -> None:
    consensus = read_consensus(("redless", "bluish"), weights)
    assert consensus.fitted is None and consensus.name == "redless+bluish"
    ensemble = load_ensemble(consensus, "cpu", weights)
    assert ensemble.device == "CPU (OpenVINO FP16)"
    blue = np.full((240, 320, 3), (180, 90, 60), np.uint8)
    (judged,) = ensemble.score([ensemble.crops(blue, Box(100, 80, 180, 160))])
    # Red 60, green 90, blue 180: 0.5 - 3.6 + 2.7 + 3.6 and -3 - 1.2 + 9.
    assert judged.logits == pytest.approx((3.2, 4.8), abs=0.05)
    assert judged.logit == pytest.approx(4.0, abs=0.05)
    ensemble.close()


def test_every_fitted_consensus_is_listed(weights: Path) -> None:
    assert fitted_together(weights) == []
    _fit(weights)
    (together,) = fitted_together(weights)
    assert together.name == "bluish+redless" and "weights fitted on" in together.note


def test_fitted_weights_are_found_in_any_order(weights: Path) -> None:
    path = _fit(weights)
    assert path.name == "bluish+redless.json"
    for names, shares in ((("bluish", "redless"), (0.75, 0.25)), (("redless", "bluish"), (0.25, 0.75))):
        consensus = read_consensus(names, weights)
        assert consensus.weights == shares
        assert consensus.note.startswith("weights fitted on 9 pictures: ")
    assert read_consensus(("bluish",), weights).alone


@pytest.mark.parametrize("change", ["keras", "calibration"])
def test_weights_fitted_with_another_model_are_refused(weights: Path, change: str) -> None:
    path = _fit(weights)
    card = weights / "redless" / "card.json"
    fields = json.loads(card.read_text())
    if change == "keras":
        fields["files"]["keras"]["sha256"] = "f" * 64
    else:
        fields["calibration"]["slope"] = 0.5
    card.write_text(json.dumps(fields))
    said = _refusal(lambda: read_consensus(("bluish", "redless"), weights))
    assert said.startswith(f"{path}: was fitted with another redless than is here; run python -m train consensus again")


def test_a_card_for_others_is_refused(weights: Path, card_fields: Callable[..., dict[str, Any]]) -> None:
    write_model(weights, card_fields(name="third"), (0, 0, 0))
    path = _fit(weights)
    path.rename(path.with_name("bluish+third.json"))
    assert "names bluish, redless as its models" in _refusal(lambda: read_consensus(("bluish", "third"), weights))


@pytest.mark.parametrize("text", ["", "{}", '{"schema": 2}', "[]", "\x80\x04K\x01."])
def test_a_damaged_card_is_refused(weights: Path, text: str) -> None:
    path = _fit(weights)
    path.write_text(text)
    said = _refusal(lambda: read_consensus(("bluish", "redless"), weights))
    assert "not a valid consensus card" in said and "remove the file" in said


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_link_is_refused(weights: Path, what: str) -> None:
    path = _fit(weights)
    place = path if what == "file" else path.parent
    place.rename(weights / "elsewhere")
    place.symlink_to(weights / "elsewhere")
    assert "is a link" in _refusal(lambda: read_consensus(("bluish", "redless"), weights))


def test_a_dangling_link_is_not_passed_over(weights: Path) -> None:
    path = _fit(weights)
    path.unlink()
    os.symlink(weights / "nowhere", path)
    assert "is a link" in _refusal(lambda: read_consensus(("bluish", "redless"), weights))


def test_the_card_survives_its_file(weights: Path) -> None:
    path = _fit(weights)
    card = ConsensusCard.read(path)
    card.write(path)
    assert ConsensusCard.read(path) == card
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_where_one_cannot_be_loaded_none_stays(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.models import artifact

    closed: list[str] = []

    class Loaded(FakeClassifier):
        def __init__(self, name: str) -> None:
            super().__init__(lambda crop: 0.0)
            self.name = name

        def close(self) -> None:
            closed.append(self.name)

    def load(card: ModelCard, *_: object) -> Loaded:
        if card.name == "redless":
            raise UnmaskError("redless: broken; mend it")
        return Loaded(card.name)

    monkeypatch.setattr(artifact, "load_classifier", load)
    assert "broken" in _refusal(lambda: load_ensemble(read_consensus(("bluish", "redless"), weights), "cpu", weights))
    assert closed == ["bluish"]
