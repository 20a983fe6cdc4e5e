"""What importing costs, and what can never be imported: each in a Python of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("PySide6", "tensorflow", "keras", "mediapipe", "openvino", "cv2")


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("module", ["app", "app.cli", "app.core.cards", "app.core.scoring"])
def test_importing_is_cheap(module: str) -> None:
    code = f"import {module}, sys; print(*[m for m in {HEAVY} if m in sys.modules])"
    assert _python("-c", code).stdout.split() == []


@pytest.mark.parametrize("verb", ["", "scan"])
def test_help_is_cheap(verb: str) -> None:
    done = _python("-X", "importtime", "-m", "app", *([verb] if verb else []), "--help")
    assert "usage:" in done.stdout
    loaded = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "app.cli" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_openvino_cannot_report_home() -> None:
    """Not by its import, nor by anything that asks for the package later."""
    code = """
from app.models.runtimes import import_openvino
openvino = import_openvino()
assert import_openvino() is openvino
import sys
loaded = [name for name, module in sys.modules.items() if name.startswith("openvino_telemetry") and module]
assert not loaded, loaded
try:
    import openvino_telemetry
except ImportError:
    print("refused", openvino.Core.__name__)
"""
    assert _python("-c", code).stdout.split() == ["refused", "Core"]


def test_mediapipe_comes_without_what_it_does_not_need() -> None:
    code = """
import sys
from app.vision.detector import MediaPipeDetector
assert "mediapipe" not in sys.modules
MediaPipeDetector().close()
assert "mediapipe" in sys.modules
# Not loaded, and not hidden either from whoever wants it next.
print(*[name for name in ("tensorflow", "keras", "matplotlib", "matplotlib.pyplot") if name in sys.modules])
import matplotlib.pyplot
print(matplotlib.pyplot.figure.__name__)
"""
    assert _python("-c", code).stdout.split() == ["figure"]
