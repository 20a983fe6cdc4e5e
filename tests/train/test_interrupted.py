"""Real kills: a process that trains is killed, interrupted, and finished, as if nothing had happened."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tests.train.test_distribute import DEADLINE_S, command, start
from tests.train.test_fit import CONFIG, another, checkpoint_of, log_of
from train import fit as fitting

LONG = dataclasses.replace(CONFIG, epochs=12, patience=12, ema=0.8, self_blended=0.2)
"""72 steps, each with its checkpoint: time enough to be killed between two of them."""


def stopped_in_an_epoch_after(epoch: int, process: subprocess.Popen[str], run: Path, how: signal.Signals) -> str:
    deadline = time.monotonic() + DEADLINE_S
    while not any(not p.stem.endswith("s00000") for p in run.glob(f"checkpoint/e{epoch:03d}s*.json")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.002)
    process.send_signal(how)
    return process.communicate(timeout=DEADLINE_S)[0]


@pytest.mark.usefixtures("tiny_family")
@pytest.mark.timeout(4 * DEADLINE_S)
def test_killed_interrupted_and_finished_is_as_never_stopped(data: Path, run: Path, tmp_path: Path) -> None:
    words = command(LONG, tmp_path, data, run)
    killed = start(words)
    stopped_in_an_epoch_after(1, killed, run, signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL

    interrupted = start(words)
    output = stopped_in_an_epoch_after(6, interrupted, run, signal.SIGINT)
    assert interrupted.returncode == 130 and "resuming at epoch" in output
    assert "Traceback" not in output
    assert (
        output.splitlines()[-1] == "unmask: interrupted; run the same command again to go on from the last checkpoint"
    )
    position = checkpoint_of(run)["position"]
    assert 6 <= position[0] < LONG.epochs

    final = start(words)
    never_stopped = another(run, "whole")
    fitting.fit(LONG, data, never_stopped, imagenet=None)
    assert "best model" in final.communicate(timeout=DEADLINE_S)[0] and final.returncode == 0
    expected, found = checkpoint_of(never_stopped), checkpoint_of(run)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert [r["loss"] for r in log_of(run)] == [r["loss"] for r in log_of(never_stopped)]
    assert not list(run.rglob("*partial*"))
