"""A run from pictures to a model: it learns, resumes exactly after a kill, and refuses to mix runs."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from app.core.errors import UnmaskError
from train import fit as fitting
from train.config import FitConfig
from train.zoo import find_imagenet_weights

keras = pytest.importorskip("keras")

pytestmark = pytest.mark.usefixtures("tiny_family")
CONFIG = FitConfig(model="tiny", size=32, epochs=3, batch=8, learning_rate=0.02, checkpoint_minutes=0.0)


def weights_of(path: Path) -> list[np.ndarray]:
    return keras.saving.load_model(path, compile=False, safe_mode=True).get_weights()


def test_a_run_learns_and_leaves_its_records(data: Path, run: Path) -> None:
    best = fitting.fit(CONFIG, data, run, imagenet=None)
    with (run / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[-1]["valid_auc"]) > 0.9 and float(rows[-1]["loss"]) < float(rows[0]["loss"])
    model = keras.saving.load_model(best, compile=False, safe_mode=True)
    assert model.dtype_policy.name == "float32"
    assert FitConfig.read(run / "config.json") == CONFIG
    assert not list(run.rglob("*partial*"))


class Killed(BaseException):
    """Stands for a kill: nothing in the program may handle it."""


def test_a_killed_run_resumes_as_if_nothing_had_happened(
    data: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / "prepared.csv").write_bytes((run / "prepared.csv").read_bytes())
    expected = weights_of(fitting.fit(CONFIG, data, whole, imagenet=None))

    checkpoints = 0
    write = fitting._checkpoint

    def dies_after_the_eighth(*args: object) -> None:
        nonlocal checkpoints
        write(*args)  # type: ignore[arg-type]
        checkpoints += 1
        if checkpoints == 9:  # mid-way in the second epoch: every step makes a checkpoint here
            raise Killed

    monkeypatch.setattr(fitting, "_checkpoint", dies_after_the_eighth)
    with pytest.raises(Killed):
        fitting.fit(CONFIG, data, run, imagenet=None)
    monkeypatch.setattr(fitting, "_checkpoint", write)
    state = fitting._resume(fitting._build(CONFIG, None), run / "checkpoint")
    assert (state.epoch, state.step) != (0, 0) and state.step > 0
    resumed = weights_of(fitting.fit(CONFIG, data, run, imagenet=None))
    for a, b in zip(expected, resumed, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_folder_of_another_run_is_not_overwritten(data: Path, run: Path) -> None:
    CONFIG.write(run / "config.json")
    other = FitConfig(model="tiny", size=32, epochs=3, batch=8, learning_rate=0.01, checkpoint_minutes=0.0)
    with pytest.raises(UnmaskError, match="other settings \\(learning_rate\\)"):
        fitting.fit(other, data, run, imagenet=None)


def test_mixed_precision_keeps_variables_and_logit_exact() -> None:
    model = fitting._build(FitConfig(model="tiny", size=32, mixed_precision=True), None)
    assert model.get_layer("relu").compute_dtype == "bfloat16"
    assert model.outputs[0].dtype == "float32"
    assert {w.dtype for w in model.trainable_weights} == {"float32"}


def test_learning_rate_warms_up_and_comes_down() -> None:
    config = FitConfig(learning_rate=1e-3, warmup=0.1)
    rates = [fitting.learning_rate(config, step, 100) for step in range(100)]
    assert rates[0] < rates[5] < max(rates) == pytest.approx(1e-3, rel=0.02)
    assert rates[-1] < 0.02 * 1e-3 and rates[11:] == sorted(rates[11:], reverse=True)


def test_missing_imagenet_weights_name_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UnmaskError, match=r"fetch_weights\.sh"):
        find_imagenet_weights("densenet121", tmp_path)
