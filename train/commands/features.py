"""``python -m train features``."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.core.errors import UnmaskError
from train.config import DENOISERS, SEGMENTERS

HELP = "write the learned noise pattern, amplitude and phase of every face as pictures, and a figure of some"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="the pictures, as for fit")
    parser.add_argument("--run", type=Path, required=True, help="folder for lnp/, amplitude/, phase/ and features.png")
    parser.add_argument("--segmenter", choices=SEGMENTERS, default="landmarks", help="face mask (default: %(default)s)")
    parser.add_argument("--denoiser", choices=DENOISERS, default="dncnn", help="of the noise (default: %(default)s)")
    parser.add_argument(
        "--size",
        type=int,
        default=256,
        help="side of the crops, pixels (default: %(default)s; the preset of lnp_fusion: 192)",
    )
    parser.add_argument(
        "--crop-scale",
        type=float,
        default=1.5,
        help="side of the crop over the face's box (default: %(default)s; the preset of lnp_fusion: 1.1)",
    )
    parser.add_argument("--limit", type=int, help="pictures of each split at most, for a trial")
    parser.add_argument("--shown", type=int, default=6, help="rows of the figure (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    from train.features import Settings, features

    if args.shown < 1 or (args.limit is not None and args.limit < 1):
        raise UnmaskError("--shown and --limit must be at least 1")
    settings = Settings(args.size, args.crop_scale, args.segmenter, args.denoiser)
    figure = features(args.data, args.run, settings, limit=args.limit, shown=args.shown)
    print(f"written: {args.run / 'lnp'}, amplitude, phase; figure: {figure}")
    return 0
