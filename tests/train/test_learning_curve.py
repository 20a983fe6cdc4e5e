"""The learning curve: a planted power law is found again, and the verb goes from pictures to a prediction."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.train.test_fit import CONFIG
from train import learning_curve as curve
from train.__main__ import main
from train.scores import Scored


def test_a_planted_power_law_is_found_again() -> None:
    counts = [1000, 2000, 4000]
    aucs = 1 - 3.0 * np.asarray(counts, float)[:, None] ** np.asarray([[-0.5, -0.3]])
    slopes, predicted = curve.power_law(counts, aucs, 100_000)
    np.testing.assert_allclose(slopes, [-0.5, -0.3])
    np.testing.assert_allclose(predicted, 1 - 3.0 * 100_000.0 ** np.asarray([-0.5, -0.3]))


def test_perfect_scores_predict_no_nonsense() -> None:
    rows = [Scored("x", "test", label, label, z) for label, z in (("real", -1.0), ("fake", 1.0)) for _ in range(9)]
    found = curve.extrapolated([10, 20], [rows, rows], 100, 0)
    assert found["auc"] == [[1.0, 1.0, 1.0]] * 2
    assert all(0.99 < value <= 1 for value in found["predicted"])
    assert curve.extrapolated([10, 20], [rows[:9], rows[:9]], 100, 0) == {}


@pytest.mark.usefixtures("tiny_family")
def test_from_pictures_to_a_prediction(
    data: Path, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    verb = ["learning-curve", "--data", str(data), "--run", str(run), "--goal", "1000", "--imagenet", "none"]
    verb += ["--model", "tiny", "--preset", str(run / "tiny.toml"), "--shares", "0.5", "1"]
    (run / "tiny.toml").write_text(f"size = {CONFIG.size}\nepochs = 2\nbatch = 8\nlearning_rate = 0.02\n")
    assert main(verb) == 0
    told = capsys.readouterr().out
    assert "| 24 | " in told and "| 48 | " in told and "| 1,000, predicted | " in told
    summary = json.loads((run / "learning-curve.json").read_text())
    assert summary["pictures"] == [24, 48] and "140k part" not in summary
    assert (run / "learning-curve.png").is_file()
    trained = (run / "share-1" / "best.keras").stat().st_mtime_ns
    assert main(verb) == 0
    assert (run / "share-1" / "best.keras").stat().st_mtime_ns == trained
    assert main([*verb[:-2], "1"]) == 2
    assert "at least two different ones" in capsys.readouterr().err
