"""A run from pictures to a model: it learns, resumes exactly after a kill, and refuses to mix runs."""

from __future__ import annotations

import csv
import dataclasses
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest

from app.core.errors import UnmaskError
from tests.train.test_tensorboard import events
from train import fit as fitting
from train import precision
from train.config import FitConfig
from train.datasets import Sample
from train.distribute import Devices
from train.model import built_for_training
from train.runs import append_log, origin, resume, write_facts
from train.zoo import build, find_imagenet_weights

keras = pytest.importorskip("keras")
to_numpy = keras.ops.convert_to_numpy

pytestmark = pytest.mark.usefixtures("tiny_family")
CONFIG = FitConfig(model="tiny", size=32, epochs=3, batch=8, learning_rate=0.02, checkpoint_minutes=0.0)
STAGED = dataclasses.replace(
    CONFIG, head_steps=8, ema=0.8, frozen_batch_norm=True, self_blended=0.2, source_balance=1.0
)


def checkpoint_of(run: Path) -> dict[str, np.ndarray]:
    """Weights, optimizer, averages and generators where a run stands."""
    (position,), (weights,) = ((run / "checkpoint").glob(p) for p in ("*.json", "*.weights.h5"))
    found: dict[str, np.ndarray] = {}
    with h5py.File(weights) as file:
        file.visititems(lambda name, item: found.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
    state = json.loads(position.read_text())
    return found | {"position": np.array([state["epoch"], state["step"]]), "generators": np.array(state["generators"])}


def weights_of(path: Path) -> list[np.ndarray]:
    return keras.saving.load_model(path, compile=False, safe_mode=True).get_weights()


def log_of(run: Path) -> list[dict[str, str]]:
    if not (run / "log.csv").exists():
        return []
    with (run / "log.csv").open() as file:
        return list(csv.DictReader(file))


def curves_of(run: Path) -> list[tuple[int, str]]:
    """The points of all curves, as TensorBoard shows them: what a resumed run does again replaces what was lost."""
    points: list[tuple[int, str]] = []
    for event in events(run / "tensorboard"):
        if event.session_log.status:
            points = [point for point in points if point[0] < event.step]
        points += [(event.step, value.tag) for value in event.summary.value]
    return points


def another(run: Path, name: str) -> Path:
    """A second run folder with the same prepared pictures."""
    folder = run.with_name(name)
    folder.mkdir()
    (folder / "prepared.csv").write_bytes((run / "prepared.csv").read_bytes())
    return folder


def _batch_norm(model: keras.Model) -> keras.Layer:
    return next(layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))


def assert_same_weights(a: Path, b: Path) -> None:
    for one, other in zip(weights_of(a), weights_of(b), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_run_learns_and_leaves_its_records(data: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best = fitting.fit(CONFIG, data, run, imagenet=None)
    rows = log_of(run)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[-1]["valid_auc"]) > 0.9 and float(rows[-1]["loss"]) < float(rows[0]["loss"])
    model = keras.saving.load_model(best, compile=False, safe_mode=True)
    assert model.dtype_policy.name == "float32"
    assert FitConfig.read(run / "config.json") == CONFIG
    facts = json.loads((run / "facts.json").read_text())
    assert len(facts["data"]) == 64 and {"commit", "python", "keras", "numpy"} <= set(facts)
    assert not list(run.rglob("*partial*"))
    told = " ".join(capsys.readouterr().out.split())
    assert "pictures/s" in told and "epoch 3" in told and "0 min left" in told
    # A finished run stays as it is.
    before = best.stat().st_mtime_ns
    assert fitting.fit(CONFIG, data, run, imagenet=None) == best and best.stat().st_mtime_ns == before


class Killed(BaseException):
    """Stands for a kill: nothing in the program may handle it."""


@pytest.mark.parametrize("config", [CONFIG, STAGED], ids=["plain", "staged, averaged, frozen"])
def test_a_killed_run_resumes_as_if_nothing_had_happened(
    data: Path, run: Path, monkeypatch: pytest.MonkeyPatch, config: FitConfig
) -> None:
    whole = another(run, "whole")
    expected = fitting.fit(config, data, whole, imagenet=None)

    checkpoints = 0
    write = fitting.checkpoint

    def dies_after_the_ninth(*args: object) -> None:
        nonlocal checkpoints
        write(*args)  # type: ignore[arg-type]
        checkpoints += 1
        if checkpoints == 9:  # mid-way in the second epoch: every step makes a checkpoint here
            raise Killed

    monkeypatch.setattr(fitting, "checkpoint", dies_after_the_ninth)
    with pytest.raises(Killed):
        fitting.fit(config, data, run, imagenet=None)
    monkeypatch.setattr(fitting, "checkpoint", write)
    state = resume(built_for_training(config, None), run / "checkpoint")
    assert state.epoch == 1 and state.step > 0
    assert_same_weights(expected, fitting.fit(config, data, run, imagenet=None))
    finished, uninterrupted = checkpoint_of(run), checkpoint_of(whole)
    assert list(finished) == list(uninterrupted) and finished["position"].tolist() == [3, 0]
    for name in finished:
        np.testing.assert_allclose(finished[name], uninterrupted[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert curves_of(run) == curves_of(whole)
    for a, b in zip(log_of(whole), log_of(run), strict=True):
        assert {**a, "seconds": ""} == {**b, "seconds": ""}
    assert len(list((run / "checkpoint").iterdir())) == 2


def test_the_average_of_the_weights_is_validated_and_kept(
    data: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(CONFIG, ema=0.7, epochs=1)
    history: list[list[np.ndarray]] = []

    class Watched(Devices):
        def step(self, model: object) -> object:
            take = super().step(model)

            def step(crops: np.ndarray, targets: np.ndarray) -> float:
                loss = take(crops, targets)
                history.append([to_numpy(w) for w in model.trainable_weights])  # type: ignore[attr-defined]
                return loss

            return step

    monkeypatch.setattr(fitting, "connect", lambda *_: Watched())
    best = fitting.fit(config, data, run, imagenet=None)
    average = history[0]
    for weights in history[1:]:
        average = [0.7 * a + 0.3 * w for a, w in zip(average, weights, strict=True)]
    kept = keras.saving.load_model(best, compile=False, safe_mode=True)
    for a, w, last in zip(average, kept.trainable_weights, history[-1], strict=True):
        np.testing.assert_allclose(a, to_numpy(w), rtol=1e-4, atol=1e-5)
        assert not np.allclose(last, to_numpy(w), atol=1e-4)
    # Training goes on from the weights themselves.
    model = built_for_training(config, None)
    resume(model, run / "checkpoint")
    np.testing.assert_allclose(to_numpy(model.trainable_weights[0]), history[-1][0], rtol=1e-5, atol=1e-6)


def test_the_head_learns_alone_first(data: Path, run: Path, samples: list[Sample]) -> None:
    config = dataclasses.replace(STAGED, head_steps=8)  # more than the six steps of an epoch
    model = built_for_training(config, None)
    before = [to_numpy(w) for w in model.weights]
    optimizer, trainable = model.optimizer, [w.path for w in model.trainable_weights]
    batches = fitting._batches([s for s in samples if s.split == "train"], config, run, Devices())
    fitting._fit_head(model, config, batches, Devices())
    changed = [w.path for w, old in zip(model.weights, before, strict=True) if not np.array_equal(to_numpy(w), old)]
    assert [path for path in changed if "seed" not in path] == ["logit/kernel", "logit/bias"]
    assert model.optimizer is optimizer and [w.path for w in model.trainable_weights] == trainable


def test_frozen_batch_norm_keeps_statistics_and_scales(data: Path, run: Path) -> None:
    config = dataclasses.replace(CONFIG, frozen_batch_norm=True, epochs=1)
    start = {w.path: to_numpy(w) for w in _batch_norm(built_for_training(config, None)).weights}
    model = keras.saving.load_model(fitting.fit(config, data, run, imagenet=None), compile=False, safe_mode=True)
    after = _batch_norm(model)
    assert all(np.array_equal(a, to_numpy(w)) for a, w in zip(start.values(), after.weights, strict=True))


def test_a_run_starts_from_an_earlier_model_of_another_size(data: Path, run: Path) -> None:
    first = fitting.fit(dataclasses.replace(CONFIG, epochs=1), data, run, imagenet=None)
    config = dataclasses.replace(
        CONFIG, size=40, epochs=1, learning_rate=1e-9, weight_decay=0.0, frozen_batch_norm=True
    )
    second = fitting.fit(config, data, another(run, "second"), imagenet=None, init=first)
    assert_same_weights(first, second)
    assert origin(second.parent) == [run.resolve()] and origin(run) == []
    other = another(run, "third") / "mobile.keras"
    build("mobilenet_v2", 32, None).save(other)
    with pytest.raises(UnmaskError, match=r"mobile\.keras: not a model of this family .* check --init"):
        fitting.fit(config, data, other.parent, imagenet=None, init=other)


FUSION = FitConfig(model="lnp_fusion", segmenter="none", size=32, epochs=1, batch=4, limit=8)


def model_of_colours(path: Path) -> Path:
    """Of the fusion's backbone; the averages that it brings are far from those of noise."""
    model = build("mobilenet_v2", 32, None)
    for variable in model.weights:
        if variable.name == "moving_variance":
            variable.assign(np.full(variable.shape, 1e9))
    model.save(path)
    return path


def assert_colours_forgotten(best: Path) -> None:
    model = keras.saving.load_model(best, compile=False, safe_mode=True)
    kept = [float(np.max(v)) for v in model.weights if v.name == "moving_variance"]
    assert len(kept) > 50 and max(kept) < 1e6


def test_averages_of_colours_are_not_kept_for_noise(data: Path, run: Path) -> None:
    colours = model_of_colours(run / "colours.keras")
    assert_colours_forgotten(fitting.fit(FUSION, data, run, imagenet=None, init=colours))


def test_early_stopping_says_so(
    data: Path, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    aucs = iter([0.7, 0.9, 0.8, 0.8, 0.8, 0.8])
    monkeypatch.setattr(fitting, "_validation", lambda *_: {"valid_auc": next(aucs), "valid_acc": 0.5})
    fitting.fit(dataclasses.replace(CONFIG, epochs=9, patience=2), data, run, imagenet=None)
    assert [row["valid_auc"] for row in log_of(run)] == ["0.7", "0.9", "0.8", "0.8"]
    told = " ".join(capsys.readouterr().out.split())
    assert "stopping early: 2 epochs without a better validation AUC than 0.9 of epoch 2" in told


def test_a_loss_that_is_no_number_is_told(data: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting.Devices, "step", lambda self, model: lambda crops, targets: float("nan"))
    with pytest.raises(UnmaskError, match=r"the loss is nan at step 1; lower --learning-rate"):
        fitting.fit(CONFIG, data, run, imagenet=None)


FULL_DISK = """
import resource, sys
from tests.train.conftest import TINY_FAMILIES
from train import zoo
from train.__main__ import main
zoo.FAMILIES.update(TINY_FAMILIES)
for limit in map(int, sys.argv[1].split(",")):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    print(f"{limit}: {main(sys.argv[2:])}", file=sys.stderr, flush=True)
"""


def test_a_full_disk_is_told_and_the_run_goes_on_from_what_is_kept(data: Path, run: Path) -> None:
    """Each limit hits another file: the settings, the model, the checkpoint; the last one is no limit."""
    limits = ("100", "750", "34000", "10000000")
    words = ["fit", "--data", str(data), "--run", str(run), "--preset", "artifact_cnn", "--model", "tiny"]
    words += ["--size", "32", "--epochs", "2", "--batch", "8"]
    command = [sys.executable, "-c", FULL_DISK, ",".join(limits), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith(("unmask:", *limits))]
    files = ("config.json", "best.keras", "weights.h5")
    for file, limit, sentence, code in zip(files, limits[:-1], told[:-1:2], told[1::2], strict=True):
        assert code == f"{limit}: 2" and file in sentence and "free some space" in sentence, sentence
    assert told[-1] == "10000000: 0" and len(log_of(run)) == 2
    assert not list(run.rglob(".partial*"))


def test_a_dead_network_is_told_after_an_epoch(data: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of the wide and shallow CNN, whose 32 rectified units may all end up below 0."""
    build_alive = fitting.built_for_training

    def built_dead(config: FitConfig, imagenet: Path | None) -> keras.Model:
        model = build_alive(config, imagenet)
        norm = _batch_norm(model)
        norm.gamma.assign(np.zeros(norm.gamma.shape))
        norm.beta.assign(np.full(norm.beta.shape, -1e3))
        return model

    monkeypatch.setattr(fitting, "built_for_training", built_dead)
    with pytest.raises(UnmaskError, match="all 24 validation pictures get the same score: the network is dead"):
        fitting.fit(CONFIG, data, run, imagenet=None)
    assert log_of(run) == [] and not (run / "best.keras").exists()
    # A new top may say nothing yet: what it stands on is random where nothing was learned before.
    staged = run.with_name("staged")
    staged.mkdir()
    (staged / "prepared.csv").write_bytes((run / "prepared.csv").read_bytes())
    with pytest.raises(UnmaskError, match="the network is dead"):
        fitting.fit(dataclasses.replace(CONFIG, head_steps=2), data, staged, imagenet=None)
    assert [row["epoch"] for row in log_of(staged)] == ["0"]


def test_a_share_is_taken_evenly_from_every_source_and_sources_can_be_left_out(samples: list[Sample]) -> None:
    sources = [dataclasses.replace(s, source=f"{s.label} {i % 2}") for i, s in enumerate(samples)]

    def chosen(**options: object) -> Counter[tuple[str, str]]:
        config = dataclasses.replace(CONFIG, **options)
        return Counter((s.split, s.source) for s in fitting.chosen_samples(sources, config))

    assert chosen()["train", "real 0"] == 12
    quarter = chosen(share=0.25)
    assert {quarter["train", f"{label} {k}"] for label in ("real", "fake") for k in (0, 1)} == {3}
    assert quarter["valid", "real 0"] == chosen()["valid", "real 0"]
    without = chosen(leave_out=("real 0",))
    assert not any(source == "real 0" for _, source in without) and without["train", "real 1"] == 12
    with pytest.raises(UnmaskError, match=r"--leave-out nobody: no such source; see the column source"):
        chosen(leave_out=("nobody",))


def test_a_folder_of_another_run_is_not_overwritten(data: Path, run: Path, samples: list[Sample]) -> None:
    CONFIG.write(run / "config.json")
    other = dataclasses.replace(CONFIG, learning_rate=0.01)
    with pytest.raises(UnmaskError, match="other settings \\(learning_rate\\)"):
        fitting.fit(other, data, run, imagenet=None)
    write_facts(run, samples[1:])
    with pytest.raises(UnmaskError, match=r"facts\.json: the pictures changed since this run began"):
        fitting.fit(CONFIG, data, run, imagenet=None)


def test_the_log_has_one_row_an_epoch(tmp_path: Path) -> None:
    for epoch in (1, 2, 2, 3, 2):  # killed twice between a row and its checkpoint
        append_log(tmp_path / "log.csv", {"epoch": epoch, "loss": 0.5})
    assert [row["epoch"] for row in log_of(tmp_path)] == ["1", "2"]


def test_mixed_precision_keeps_variables_and_logit_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.model.bfloat16_pays", lambda: True)
    model = built_for_training(FitConfig(model="tiny", size=32, mixed_precision=True), None)
    assert model.get_layer("relu").compute_dtype == "bfloat16"
    assert model.outputs[0].dtype == "float32"
    assert {w.dtype for w in model.trainable_weights} == {"float32"}


def test_bfloat16_is_left_where_it_is_slower(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert precision._seconds("float32") > 0 and precision._seconds("bfloat16") > 0
    for slower, dtype in (("bfloat16", "float32"), ("float32", "bfloat16")):
        precision.bfloat16_pays.cache_clear()
        monkeypatch.setattr(precision, "_seconds", lambda dtype, slower=slower: 3.0 if dtype == slower else 1.0)
        model = built_for_training(FitConfig(model="tiny", size=32, mixed_precision=True), None)
        assert model.get_layer("relu").compute_dtype == dtype
        assert ("computing in float32" in capsys.readouterr().out) == (dtype == "float32")
    precision.bfloat16_pays.cache_clear()


def test_learning_rate_warms_up_and_comes_down() -> None:
    config = FitConfig(learning_rate=1e-3, warmup=0.1)
    rates = [fitting.learning_rate(config, step, 100) for step in range(100)]
    assert rates[0] < rates[5] < max(rates) == pytest.approx(1e-3, rel=0.02)
    assert rates[-1] < 0.02 * 1e-3 and rates[11:] == sorted(rates[11:], reverse=True)


def test_missing_imagenet_weights_name_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UnmaskError, match=r"fetch_weights\.sh"):
        find_imagenet_weights("densenet121", tmp_path)
