"""Training on several devices and in several processes does what it does on one."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.core.errors import UnmaskError
from tests.train.test_fit import (
    CONFIG,
    FUSION,
    Killed,
    another,
    assert_colours_forgotten,
    checkpoint_of,
    model_of_colours,
)
from train import fit as fitting
from train.config import FitConfig
from train.distribute import Devices, connect, task

DEADLINE_S = 400
# As many devices as there are, the means of their gradients are summed in another order, and AdamW's first steps
# depend on the sign of a gradient alone: what is near zero may go either way for a step or two.
SAME = {"rtol": 2e-3, "atol": 2e-4}


def even(**options: object) -> FitConfig:
    """A config under which a step does not depend on which device sees which picture."""
    return dataclasses.replace(
        CONFIG, model="tiny-even", batch=16, frozen_batch_norm=True, mixed_precision=False, ema=0.8, **options
    )


def command(config: FitConfig, folder: Path, data: Path, run: Path) -> list[str]:
    preset = folder / "preset.toml"
    lines = [f"{k} = {json.dumps(v)}" for k, v in dataclasses.asdict(config).items() if v not in (None, ())]
    preset.write_text("\n".join(lines) + "\n")
    words = ["--data", str(data), "--run", str(run), "--preset", str(preset), "--imagenet", "none"]
    return [sys.executable, "-m", "tests.train.entry", "fit", *words]


def finished(processes: list[subprocess.Popen[str]]) -> list[str]:
    """What they print; all are ended where one fails or hangs."""
    try:
        outputs = [p.communicate(timeout=DEADLINE_S)[0] for p in processes]
    finally:
        for p in processes:
            p.kill()
    assert [p.returncode for p in processes] == [0] * len(processes), "\n\n".join(outputs)
    return outputs


def start(words: list[str], **environment: str) -> subprocess.Popen[str]:
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "-1"} | environment
    return subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def assert_same(a: Path, b: Path) -> None:
    one, other = checkpoint_of(a), checkpoint_of(b)
    assert list(one) == list(other)
    for name in one:
        np.testing.assert_allclose(one[name], other[name], err_msg=name, **SAME)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def workers(*runs: list[str]) -> list[subprocess.Popen[str]]:
    """Two processes that do these runs one after the other."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    words = [word for run in runs for word in (*run, "--distribute", "multi-worker", "then")][:-1]
    return [
        start(words, TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}))
        for index in range(2)
    ]


@pytest.mark.usefixtures("tiny_family")
@pytest.mark.timeout(2 * DEADLINE_S)
def test_two_workers_and_two_devices_train_as_one_process_with_the_whole_batch(
    data: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = even(epochs=2, head_steps=2)
    alone, mirrored, resumed = (another(run, name) for name in ("alone", "mirrored", "resumed"))
    on_two_devices = start(
        [*command(config, tmp_path, data, mirrored), "--distribute", "mirrored"], UNMASK_TEST_CPUS="2"
    )
    fitting.fit(config, data, alone, imagenet=None)

    write = fitting.checkpoint

    def dies_in_the_second_epoch(model: object, state: fitting.State, folder: Path) -> None:
        write(model, state, folder)  # type: ignore[arg-type]
        if state.epoch == 1 and state.step == 2:
            raise Killed

    monkeypatch.setattr(fitting, "checkpoint", dies_in_the_second_epoch)
    with pytest.raises(Killed):
        fitting.fit(config, data, resumed, imagenet=None)
    fresh, rest = (command(config, tmp_path, data, folder) for folder in (run, resumed))
    chief, other, _ = finished([*workers(fresh, rest[3:]), on_two_devices])
    for folder in (run, mirrored, resumed):
        assert_same(alone, folder)
    assert "resuming at epoch 2, step 2" in chief and "resuming at epoch 2, step 2" in other
    # The chief alone tells and writes.
    assert "valid_auc" in chief and "best model" in chief and "valid_auc" not in other
    assert len(list((run / "tensorboard").iterdir())) == 1 and len(list(run.glob("best*"))) == 1


@pytest.mark.timeout(2 * DEADLINE_S)
def test_two_devices_forget_the_averages_of_colours_too(data: Path, run: Path, tmp_path: Path) -> None:
    words = [*command(FUSION, tmp_path, data, run), "--init", str(model_of_colours(tmp_path / "colours.keras"))]
    finished([start([*words, "--distribute", "mirrored"], UNMASK_TEST_CPUS="2")])
    assert_colours_forgotten(run / "best.keras")


def test_one_device_needs_no_tensorflow() -> None:
    devices = connect("none", 3)
    assert type(devices) is Devices and devices.chief and devices.from_chief(0.25) == 0.25
    assert devices.chief_first(lambda: "done") == "done"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}, (1, 2)),
        ({"cluster": {"chief": ["c:1"], "worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}, (1, 2)),
        ({"cluster": {"chief": ["c:1"], "worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}, (0, 2)),
        ({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": "0"}}, (0, 1)),
    ],
)
def test_a_worker_finds_its_place(config: object, expected: tuple[int, int]) -> None:
    assert task(json.dumps(config)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        "{}",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
    ],
)
def test_a_wrong_tf_config_is_one_sentence(text: str) -> None:
    with pytest.raises(UnmaskError, match="TF_CONFIG does not name this worker in a cluster; write it as"):
        task(text)


def test_what_cannot_be_distributed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UnmaskError, match="TF_CONFIG is not set; give each worker its own"):
        connect("multi-worker", 32)
    with pytest.raises(UnmaskError, match="not known; choose one of none, mirrored, multi-worker"):
        connect("everywhere", 32)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(UnmaskError, match="needs Keras's TensorFlow backend"):
        connect("mirrored", 32)
