"""The mean of several runs."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from app.models.keras_form import load_model
from tests.train.test_fit import CONFIG
from train.__main__ import main
from train.fit import fit
from train.runs import origin

pytestmark = pytest.mark.usefixtures("tiny_family")


def weights(run: Path) -> list[np.ndarray]:
    found: list[np.ndarray] = load_model(run / "best.keras").get_weights()
    return found


def test_the_mean_of_two_runs_is_a_run_that_can_be_exported(
    data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = tmp_path / "second"
    shutil.copytree(run, second)
    fit(dataclasses.replace(CONFIG, epochs=1), data, run, imagenet=None)
    fit(dataclasses.replace(CONFIG, epochs=1, seed=2), data, second, imagenet=None, init=run / "best.keras")
    verb = ["average", "--data", str(data), "--run", str(tmp_path / "mean"), "--runs", str(run)]
    assert main([*verb, str(second)]) == 0
    assert "mean: validation AUC" in capsys.readouterr().out
    for a, b, m in zip(weights(run), weights(second), weights(tmp_path / "mean"), strict=True):
        np.testing.assert_allclose(m, (a + b) / 2, rtol=1e-5, atol=1e-6)
    assert {p.name for p in (tmp_path / "mean").iterdir()} == {
        "best.keras",
        "config.json",
        "origin.json",
        "prepared.csv",
    }
    assert origin(tmp_path / "mean") == [run.resolve(), second.resolve()]

    assert main(verb) == 2
    assert "at least two run folders" in capsys.readouterr().err
    assert main([*verb[:4], str(run), *verb[5:], str(second)]) == 2
    assert "one of --runs" in capsys.readouterr().err
    dataclasses.replace(CONFIG, epochs=1, crop_scale=2.0).write(second / "config.json")
    assert main([*verb, str(second)]) == 2
    assert f"{second}: differs from {run} in crop_scale" in capsys.readouterr().err
    (second / "best.keras").unlink()
    assert main([*verb, str(second)]) == 2
    assert "no best.keras here" in capsys.readouterr().err
