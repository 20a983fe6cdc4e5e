"""The verbs of ``python -m train``: one module each, with HELP, ``add_arguments`` and ``run``."""

from __future__ import annotations

import argparse
from pathlib import Path

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"
VERBS = (
    "fit",
    "prepare",
    "collect",
    "leave-out",
    "learning-curve",
    "average",
    "study",
    "export",
    "evaluate",
    "modified",
    "compare",
    "calibrate",
    "consensus",
    "models",
    "filters",
    "fit-denoiser",
    "convert-cycleisp",
    "features",
    "lnp-table",
)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """``--name`` and ``--weights``: an exported model, and where it lies."""
    parser.add_argument("--name", default="unmask-densenet121", help="model in weights/ (default: %(default)s)")
    parser.add_argument(
        "--weights", type=Path, default=WEIGHTS, metavar="DIR", help="folder of all models (default: weights/)"
    )
