"""``python -m train fit-denoiser``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from train.commands import WEIGHTS

HELP = "fit the denoiser that lnp_fusion takes its noise pattern from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="the pictures, as for fit")
    parser.add_argument(
        "--to",
        type=Path,
        default=WEIGHTS / "lnp-denoiser" / "denoiser.weights.h5",
        metavar="FILE",
        help="where its weights go, NAME.weights.h5 (default: weights/lnp-denoiser/denoiser.weights.h5)",
    )
    parser.add_argument("--steps", type=int, default=2500, help="of 16 patches each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of patches, noise and start (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    from train.denoise import fit_denoiser

    try:
        gain = fit_denoiser(args.data, args.to, steps=args.steps, seed=args.seed)
    except KeyboardInterrupt:  # Other verbs go on where they were.
        print(f"unmask: interrupted; {args.to} is as it was, the same command begins anew", file=sys.stderr)
        return 130
    print(f"denoiser: {args.to}; it raises the signal-to-noise ratio of real pictures by {gain:.1f} dB")
    return 0
