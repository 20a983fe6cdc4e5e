"""Measures, their intervals, and what scores.csv keeps."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from app.core.cards import Thresholds
from app.core.errors import UnmaskError
from train import evaluate, metrics
from train.scores import Scored, read_scores, write_scores

# Few distinct values, so that ties are common.
pictures = st.lists(st.tuples(st.integers(0, 1), st.integers(-6, 6)), min_size=4, max_size=80).filter(
    lambda drawn: len({target for target, _ in drawn}) == 2
)


def needs(**changes: float) -> Thresholds:
    values = {"min_size_px": 64, "min_sharpness": 0, "min_brightness": 0, "max_brightness": 255, "max_yaw": 1}
    return Thresholds.model_validate({"fake": 0.9, "real": 0.2, "min_scores": 1, "chosen": "", **values, **changes})


def synthetic(count: int, *, seed: int = 0, apart: float = 2.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets, logits and honest probabilities."""
    rng = np.random.default_rng(seed)
    targets = np.arange(count) % 2
    logits = rng.normal((targets - 0.5) * apart, 1.0)
    return targets, logits, 1 / (1 + np.exp(-apart * logits))


@given(pictures)
def test_ranking_measures_are_those_of_scikit_learn(drawn: list[tuple[int, int]]) -> None:
    targets, scores = (np.asarray(v) for v in zip(*drawn, strict=True))
    p = 1 / (1 + np.exp(-scores.astype(float)))
    found = {name: float(value[0]) for name, value in metrics.measures(targets, scores, p).items()}
    assert found["auc"] == pytest.approx(sklearn_metrics.roc_auc_score(targets, scores), abs=1e-12)
    assert found["average_precision"] == pytest.approx(sklearn_metrics.average_precision_score(targets, scores))
    assert found["brier"] == pytest.approx(sklearn_metrics.brier_score_loss(targets, p))
    assert found["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(targets, p > 0.5))
    fpr, tpr, _ = sklearn_metrics.roc_curve(targets, scores, drop_intermediate=False)
    assert found["tpr_at_1_fpr"] == pytest.approx(tpr[fpr <= 0.01].max())
    assert found["tpr_at_01_fpr"] <= found["tpr_at_1_fpr"]
    curve = np.linspace(0, 1, 20_001)
    crossing = curve[np.argmin(np.abs(np.interp(curve, fpr, tpr) - (1 - curve)))]
    # Where the curve is steep, many misses belong to one rate of false alarms: then the grid finds it only roughly.
    assert found["eer"] == pytest.approx(crossing, abs=2e-4)


@given(pictures, st.integers(0, 1000))
def test_a_resample_is_the_measure_of_the_pictures_drawn(drawn: list[tuple[int, int]], seed: int) -> None:
    targets, scores = (np.asarray(v) for v in zip(*drawn, strict=True))
    p = 1 / (1 + np.exp(-scores.astype(float)))
    (counts,) = metrics.bootstrap_counts(targets, 3, seed)
    assert np.array_equal(counts[:, targets == 1].sum(axis=1), np.full(3, targets.sum()))
    together = metrics.measures(targets, scores, p, counts)
    for row, times in enumerate(counts.astype(int)):
        alone = metrics.measures(*(np.repeat(v, times) for v in (targets, scores, p)))
        for name, values in alone.items():
            assert together[name][row] == pytest.approx(values[0], abs=1e-12), name


def test_measures_worked_out_by_hand() -> None:
    targets, scores = [0, 0, 1, 1], [1.0, 3.0, 2.0, 4.0]
    found = {n: float(v[0]) for n, v in metrics.measures(targets, scores, [0.1, 0.6, 0.4, 0.9]).items()}
    assert found["auc"] == 0.75 and found["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["eer"] == 0.5 and found["accuracy"] == 0.5 and found["tpr_at_1_fpr"] == 0.5
    assert found["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)
    assert found["ece"] == pytest.approx((0.1 + 0.6 + 0.6 + 0.1) / 4)


def test_one_class_alone_has_no_ranking() -> None:
    found = metrics.estimates([1, 1, 1], [0.1, 0.2, 0.3], [0.5, 0.6, 0.7], resamples=100)
    assert all(math.isnan(found[n].value) for n in ("auc", "average_precision", "tpr_at_1_fpr", "eer"))
    assert found["brier"].value == pytest.approx((0.25 + 0.16 + 0.09) / 3)


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=60), st.floats(0, 0.99))
def test_threshold_keeps_its_promise(real: list[float], fpr: float) -> None:
    threshold = metrics.threshold_at_fpr(real, fpr)
    assert np.mean(np.asarray(real) > threshold) <= fpr + 1e-12


def test_tpr_at_fpr() -> None:
    targets = [0] * 100 + [1] * 4
    values = [*range(100), 98.5, 99.5, 50, 200]
    assert metrics.tpr_at_fpr(targets, values, 0.01) == 0.75
    assert metrics.tpr_at_fpr(targets, values, 0.0) == 0.5


def test_ece_of_honest_and_boastful_probabilities() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    targets = (rng.random(20_000) < p).astype(int)
    assert metrics.expected_calibration_error(targets, p) < 0.02
    assert metrics.expected_calibration_error(targets, (p > 0.5).astype(float)) > 0.2


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    truth = metrics.auc(*synthetic(200_000)[:2])
    hits = 0
    for seed in range(200):
        estimate = metrics.auc_estimate(*synthetic(150, seed=seed + 1)[:2], resamples=300, seed=seed)
        hits += estimate.low <= truth <= estimate.high
    assert 0.88 <= hits / 200 <= 0.99


def test_intervals_hold_the_value_and_follow_from_the_seed() -> None:
    data = synthetic(300)
    first, again, other = (metrics.estimates(*data, resamples=300, seed=s) for s in (1, 1, 2))
    assert first == again and first != other
    for name, estimate in first.items():
        if name != "ece":  # noise makes a resampled calibration error larger, never smaller
            assert estimate.low <= estimate.value <= estimate.high


def test_wilson_interval_of_a_share() -> None:
    # Newcombe (1998), table I: 0 of 20 and 15 of 148 by Wilson's method.
    assert metrics.share([False] * 20)[:] == pytest.approx((0.0, 0.0, 0.1611), abs=1e-4)
    assert metrics.share([True] * 15 + [False] * 133)[:] == pytest.approx((0.1014, 0.0624, 0.1605), abs=1e-4)
    assert all(math.isnan(v) for v in metrics.share([]))


def rows_of(targets: np.ndarray, logits: np.ndarray, p: np.ndarray) -> list[Scored]:
    return [
        Scored(f"p{i}.jpg", "test", "fake" if t else "real", f"{'GAN' if t else 'camera'} {i % 3}", float(x), float(q))
        for i, (t, x, q) in enumerate(zip(targets, logits, p, strict=True))
    ]


def test_tables_count_every_picture_once_and_give_each_generator_all_reals() -> None:
    targets, logits, p = synthetic(300)
    rows = rows_of(targets, logits, p)
    found = evaluate.tables(rows, needs(), resamples=100)
    assert [(r.name, r.real, r.fake) for r in found.overall] == [("all", 150, 150)]
    assert sum(r.fake for r in found.generators) == 150 and sum(r.real for r in found.sources) == 150
    first = found.generators[0]
    own = np.asarray([r.source == first.name or not r.target for r in rows])
    assert first.estimates["auc"].value == pytest.approx(metrics.auc(targets[own], logits[own]))
    alarms = found.overall[0].estimates["false_alarms"]
    assert alarms.value == np.mean(p[targets == 0] >= 0.9) and alarms.low < alarms.value < alarms.high
    assert [r.name for r in found.face_sizes] == ["not measured"]
    card = evaluate.for_card(found)
    assert card["all"]["pictures"] == 300 and card["all"]["auc_low"] < card["all"]["auc"] < card["all"]["auc_high"]
    assert set(card) == {"all", *(f"fake: GAN {i}" for i in range(3)), *(f"real: camera {i}" for i in range(3))}


def test_ranges_hold_their_lower_edge_and_leave_nobody_out() -> None:
    sizes = (20.0, 64.0, 95.9, 96.0, 500.0, None)
    rows = [Scored(str(i), "test", "real", "s", 0.0, face_px=size) for i, size in enumerate(sizes)]
    groups = evaluate.binned(rows, evaluate.FACE_PX, lambda r: r.face_px, " px", "not measured")
    assert [(name, len(inside)) for name, inside in groups] == [
        ("below 64 px", 1),
        ("64 to 96 px", 2),
        ("96 to 128 px", 1),
        ("256 and more px", 1),
        ("not measured", 1),
    ]


def test_scores_survive_the_file(tmp_path: Path) -> None:
    rows = [
        Scored('a,"b"/ü.jpg', "test", "fake", "GAN\nof two lines", -3.25, 0.125, "camera", 71.5, 85),
        Scored("c.jpg", "valid", "real", "camera", 0.5),
    ]
    write_scores(tmp_path / "scores.csv", rows)
    assert read_scores(tmp_path / "scores.csv") == rows
    assert [p.name for p in tmp_path.iterdir()] == ["scores.csv"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,label\n", "no column split, source, logit"),
        ("path,split,label,source,logit\n", "holds no scores"),
        ("path,split,label,source,logit\na,test,cat,s,1\n", "line 2: the label is 'cat'"),
        ("path,split,label,source,logit\na,test,real,s,nan\n", "not a finite number"),
        ("path,split,label,source,logit\na,test,real\n", "not a finite number"),
        ("path,split,label,source,logit,p\na,test,real,s,1,7\n", "outside 0 .. 1"),
        ("\x00\xff", "no column"),
    ],
)
def test_a_table_that_is_none_is_told_in_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "scores.csv").write_text(text)
    with pytest.raises(UnmaskError, match=said) as caught:
        read_scores(tmp_path / "scores.csv")
    assert "\n" not in str(caught.value) and "scores.csv" in str(caught.value)
    with pytest.raises(UnmaskError, match="cannot be read"):
        read_scores(tmp_path / "other.csv")
