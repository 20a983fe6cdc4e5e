"""``python -m train convert-cycleisp``."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.core.errors import UnmaskError
from train.commands import WEIGHTS

HELP = "turn CycleISP's published denoiser (.pth) into the weights that --denoiser cycleisp takes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from", dest="source", type=Path, required=True, metavar="FILE", help="sidd_rgb.pth or dnd_rgb.pth"
    )
    parser.add_argument(
        "--to",
        type=Path,
        default=WEIGHTS / "cycleisp" / "denoiser.weights.h5",
        metavar="FILE",
        help="where the weights go, *.weights.h5 (default: weights/cycleisp/denoiser.weights.h5)",
    )


def run(args: argparse.Namespace) -> int:
    from train.cycleisp import convert

    if not args.to.name.endswith(".weights.h5"):
        raise UnmaskError(f"--to {args.to}: the name must end in .weights.h5")
    print(f"denoiser: {args.to}, {convert(args.source, args.to):,} parameters; use it with --denoiser cycleisp")
    return 0
