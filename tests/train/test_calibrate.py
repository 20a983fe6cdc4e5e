"""Calibration, thresholds and quality gates, on scores and on models whose faults are planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.core.cards import Calibration, Preprocessing
from app.core.crops import crop_face, measure_quality
from app.core.errors import UnmaskError
from app.core.records import Box, ImageU8
from app.models.runtimes import FakeClassifier
from train import calibrate, gates, metrics
from train.datasets import Sample

PLAIN = Calibration(slope=1.0, offset=0.0, method="none", fitted_on="nothing")
CROP = Preprocessing(size=64, crop_scale=1.25)


def honest(count: int = 20_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Targets and the logits that tell their true probabilities."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, count)
    return (rng.random(count) < 1 / (1 + np.exp(-logits))).astype(int), logits


def test_platt_finds_the_scale_that_was_hidden() -> None:
    targets, logits = honest(40_000)
    found = calibrate.platt(targets, (logits - 1.5) * 3, "synthetic")
    assert found.slope == pytest.approx(1 / 3, rel=0.05) and found.offset == pytest.approx(1.5, abs=0.1)
    assert calibrate.apply(found, [-4.5])[0] == pytest.approx(0.5, abs=0.02)


def test_a_planted_temperature_is_recovered_without_an_offset() -> None:
    targets, logits = honest()
    found = calibrate.fitted(targets, logits * 4, "synthetic")
    assert found.method == "temperature scaling" and found.offset == 0.0
    assert found.slope == pytest.approx(0.25, rel=0.05)


def test_a_planted_offset_asks_for_platt() -> None:
    targets, logits = honest()
    found = calibrate.fitted(targets, logits * 4 + 3, "synthetic")
    assert found.method == "Platt scaling"
    assert found.slope == pytest.approx(0.25, rel=0.05) and found.offset == pytest.approx(-0.75, abs=0.1)
    assert metrics.expected_calibration_error(targets, calibrate.apply(found, logits * 4 + 3)) < 0.02


def test_logits_that_cannot_be_calibrated_are_refused() -> None:
    with pytest.raises(UnmaskError, match="wrong way round"):
        calibrate.platt([0, 0, 1, 1], [3.0, 2.0, -2.0, -3.0], "synthetic")
    with pytest.raises(UnmaskError, match="lacks one of the two classes"):
        calibrate.fitted([1, 1, 1], [3.0, 2.0, 1.0], "synthetic")


def test_thresholds_are_careful_and_ordered() -> None:
    targets = np.repeat([0, 1], 1000)
    p = np.concatenate([np.linspace(0, 0.97, 1000), np.linspace(0.3, 1, 1000)])
    chosen = calibrate.thresholds(targets, p, "synthetic")
    assert np.mean(p[targets == 0] >= chosen.fake) <= calibrate.FALSE_ALARMS
    assert np.mean(p[targets == 1] <= chosen.real) <= calibrate.MISSED_AS_REAL
    perfect = calibrate.thresholds(targets, np.repeat([0.01, 0.99], 1000), "synthetic")
    assert perfect.fake >= calibrate.LEAST_FAKE and perfect.real <= calibrate.MOST_REAL


def test_a_score_that_many_real_faces_share_is_not_the_threshold() -> None:
    targets = np.repeat([0, 1], 100)
    p = np.concatenate([np.repeat([0.1, 0.95], [90, 10]), np.full(100, 0.99)])
    chosen = calibrate.thresholds(targets, p, "synthetic")
    assert np.mean(p[targets == 0] >= chosen.fake) == 0 and chosen.fake <= 0.99


def test_gates_survive_the_card() -> None:
    found = calibrate.Gates(48, 0.1, 22, 225, 0.7, "fitted on faces; turn by hand")
    needs = calibrate.thresholds([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], "synthetic", found)
    assert calibrate.Gates.of(needs) == found and needs.min_size_px == 48


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """120 real and 40 fake faces of 120 px: smooth shapes with fine texture, fakes with a reddish cast."""
    folder = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    samples = []
    for i in range(160):
        label = "real" if i < 120 else "fake"
        shape = rng.integers(40, 200, (4, 4)).astype(np.uint8)
        grey = cv2.resize(shape, (160, 160), interpolation=cv2.INTER_CUBIC).astype(int)
        image = np.repeat(grey[..., None], 3, axis=2) + rng.integers(-30, 30, (160, 160, 3))
        image[..., 2] += 25 if label == "fake" else -25
        path = folder / f"{i:03d}.png"
        cv2.imwrite(str(path), np.clip(image, 0, 255).astype(np.uint8))
        samples.append(Sample(path, "valid", label, label, Box(20, 20, 140, 140)))
    return samples


def judge(fails: Callable[[ImageU8], bool]) -> FakeClassifier:
    """A model that sees the cast, and calls everything AI-GENERATED where it ``fails``."""

    def logit(crop: ImageU8) -> float:
        red, blue = float(crop[..., 0].mean()), float(crop[..., 2].mean())
        return 6.0 if fails(crop) else float(np.sign(red - blue)) * 5

    return FakeClassifier(logit, CROP.size)


def brightness(crop: ImageU8) -> float:
    return float(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).mean())


def fitting(model: FakeClassifier, faces: list[Sample], *kept: str) -> gates.Fitting:
    ladders = [ladder for ladder in gates.LADDERS if ladder.gate in kept]
    return gates.Fitting(model, faces, CROP, PLAIN, 0.9, ladders)


def test_a_model_that_fails_in_the_dark_gets_a_gate_above_it(faces: list[Sample]) -> None:
    found = fitting(judge(lambda crop: brightness(crop) < 35), faces, "min_brightness")
    gate = found.fit()
    assert gate.min_brightness == 40 and "brightness 40" in gate.chosen
    steps = {s.value: s for s in found.steps["min_brightness"]}
    assert steps[40].kept and not steps[30].kept and steps[30].false_alarms.value == 1.0
    assert list(steps) == [80, 60, 50, 40, 30]  # and no further


def test_a_model_that_fails_on_smooth_faces_gets_a_gate_of_sharpness(faces: list[Sample]) -> None:
    def sharpness(crop: ImageU8) -> float:
        return measure_quality(crop, gates.face_of(faces[0])).sharpness

    (ladder,) = (replace(x, steps=(0.18, 0.15, 0.1)) for x in gates.LADDERS if x.gate == "min_sharpness")
    model = judge(lambda crop: sharpness(crop) < 0.12)
    assert gates.Fitting(model, faces, CROP, PLAIN, 0.9, [ladder]).fit().min_sharpness == 0.15


def test_a_model_that_fails_on_overexposed_faces_gets_a_gate_below_them(faces: list[Sample]) -> None:
    gate = fitting(judge(lambda crop: brightness(crop) > 203), faces, "max_brightness").fit()
    assert gate.max_brightness == 195


def test_a_model_that_never_fails_gets_the_last_step_and_no_more(faces: list[Sample]) -> None:
    found = fitting(judge(lambda crop: False), faces, "min_size_px")
    gate = found.fit()
    assert gate.min_size_px == 32 and "size 32 (no further tried)" in gate.chosen
    assert found.steps["min_size_px"][0].value == 96  # nothing is enlarged to 128
    assert gate.max_yaw == calibrate.Gates().max_yaw and "by hand" in gate.chosen


def test_a_model_that_always_fails_is_told(faces: list[Sample]) -> None:
    gate = fitting(judge(lambda crop: True), faces, "min_size_px").fit()
    assert gate.min_size_px == 96 and "not kept even there" in gate.chosen


def test_a_loss_of_auc_breaks_the_promise_too(faces: list[Sample]) -> None:
    def blind_when_dark(crop: ImageU8) -> float:
        red, blue = float(crop[..., 0].mean()), float(crop[..., 2].mean())
        return -5.0 if brightness(crop) < 35 else float(np.sign(red - blue)) * 5

    assert fitting(FakeClassifier(blind_when_dark, 64), faces, "min_brightness").fit().min_brightness == 40


def test_turned_faces_set_the_gate_where_they_fail_and_not_where_there_are_few(faces: list[Sample]) -> None:
    def turned(sample: Sample, nose: float) -> Sample:
        points = ((60, 60), (100, 60), (nose, 80), (80, 110), (40, 70), (120, 70))
        return replace(sample, keypoints=tuple((float(x), float(y)) for x, y in points))

    half = [turned(s, 92 if i % 2 else 80) for i, s in enumerate([*faces, *faces])]  # yaw 0.6 and 0
    assert gates.Fitting(judge(lambda crop: False), half, CROP, PLAIN, 0.9, []).fit().max_yaw == 0.85
    model = judge(lambda crop: False)
    found = gates.Fitting(model, half, CROP, PLAIN, 0.9, [])
    turns = iter(range(len(half)))
    failing = FakeClassifier(
        lambda crop: 6.0 if next(turns) % 2 else float(np.sign(int(crop[..., 0].mean()) - 115)), 64
    )
    assert "120 real faces beyond 0.6 keep that" in found.fit().chosen
    gate = gates.Fitting(failing, half, CROP, PLAIN, 0.9, []).fit()
    assert gate.max_yaw == gates.YAW_STEPS[0] and "begin to break" in gate.chosen


@pytest.mark.parametrize(
    ("worse", "measure", "value", "within"),
    [
        (gates.smaller, "size_px", 40.0, 0.6),
        (gates.blurrier, "sharpness", 0.1, 0.006),
        (gates.darker, "brightness", 30.0, 1.0),
        (gates.brighter, "brightness", 220.0, 4.0),
    ],
)
def test_faces_are_made_exactly_as_bad_as_asked(
    faces: list[Sample], worse: gates.Worse, measure: str, value: float, within: float
) -> None:
    for sample in faces[::40]:
        image, face = worse(np.asarray(cv2.imread(str(sample.path)), np.uint8), gates.face_of(sample), CROP, value)
        quality = measure_quality(crop_face(image, face.box, CROP.size, CROP.crop_scale), face)
        assert getattr(quality, measure) == pytest.approx(value, abs=within)


def test_the_verb_writes_a_card_that_keeps_its_hashes(
    tmp_path: Path, run: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.core.cards import ModelCard
    from app.models import artifact
    from train.__main__ import main
    from train.datasets import read_prepared

    shipped = artifact.read_card(artifact.DEFAULT_MODEL)
    stale = {"test, all": {"auc": 0.1}, "cpu form against keras, validation": {"auc_cpu": 0.5}}
    card = shipped.model_copy(
        update={"name": "trial", "preprocessing": Preprocessing(size=32, crop_scale=1.25), "metrics": stale}
    )
    (tmp_path / "weights" / "trial").mkdir(parents=True)
    card.write(tmp_path / "weights" / "trial" / "card.json")
    bluish = FakeClassifier(lambda crop: (float(crop[..., 2].mean()) - float(crop[..., 0].mean())) / 8, 32)
    monkeypatch.setattr(artifact, "load_classifier", lambda *_: bluish)
    monkeypatch.setattr("train.prepare.prepared_samples", lambda *_, **__: read_prepared(run / "prepared.csv", data))
    verb = ["calibrate", "--data", str(data), "--run", str(run), "--name", "trial"]
    verb += ["--weights", str(tmp_path / "weights")]
    before = (tmp_path / "weights" / "trial" / "card.json").read_bytes()
    assert main([*verb, "--dry-run"]) == 0
    assert (tmp_path / "weights" / "trial" / "card.json").read_bytes() == before
    assert main(verb) == 0
    after = ModelCard.read(tmp_path / "weights" / "trial" / "card.json")
    assert after.files == card.files and after.calibration != card.calibration
    assert "by hand, too few faces" in after.thresholds.chosen
    assert after.metrics["test, all"]["auc"] == 1.0
    assert after.metrics["cpu form against keras, validation"] == {"auc_cpu": 0.5}
    assert (run / "valid-scores.csv").is_file()
