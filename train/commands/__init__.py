"""The verbs of ``python -m train``: one module each, with HELP, ``add_arguments`` and ``run``."""

from __future__ import annotations

from pathlib import Path

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"
VERBS = ("fit", "prepare", "leave-out", "export", "evaluate", "compare", "calibrate", "models", "fit-denoiser")
