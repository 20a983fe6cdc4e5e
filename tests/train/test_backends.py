"""On one device nothing of training needs TensorFlow: Keras's other backends will do, where they are installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.train.test_distribute import DEADLINE_S, command
from tests.train.test_fit import STAGED, log_of

WITHOUT_TENSORFLOW = """
import sys
from importlib.machinery import PathFinder
class WithoutTensorFlow(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] == "tensorflow" else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutTensorFlow
"""


def run_python(code: str, *words: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW + code, *words],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_framework_is_loaded_before_a_model_is_made() -> None:
    code = (
        "import train.fit, train.leave_out, train.__main__; print(sorted({'keras', 'jax', 'torch'} & set(sys.modules)))"
    )
    assert run_python(code).strip() == "[]"


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_train(backend: str, data: Path, run: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    words = command(STAGED, tmp_path, data, run)[3:]
    code = "import runpy; runpy.run_module('tests.train.entry', run_name='__main__')"
    run_python(code, *words, KERAS_BACKEND=backend)
    rows = log_of(run)
    assert len(rows) == STAGED.epochs and float(rows[-1]["valid_auc"]) > 0.9
    assert (run / "best.keras").is_file() and list((run / "tensorboard").iterdir())
