"""``python -m train leave-out``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from train.commands.fit import add_fit_arguments, config_from, imagenet_from

HELP = "measure on sources that training never saw: each left out of one of a few trainings"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_fit_arguments(parser)
    parser.add_argument(
        "--init",
        type=Path,
        metavar="RUN",
        help="another leave-out of the same folds: start each model from the one that saw no more (default: ImageNet's "
        "weights)",
    )
    parser.add_argument("--folds", type=int, default=3, help="trainings that share the sources (default: %(default)s)")
    parser.add_argument("--only", type=int, nargs="+", default=[], metavar="K", help="train these folds only, from 0")


def run(args: argparse.Namespace) -> int:
    from train.leave_out import leave_out

    config = config_from(args)
    imagenet = imagenet_from(args, config) if args.init is None or config.reconstructed else None
    summary = leave_out(
        config, args.data, args.run, imagenet=imagenet, init=args.init, count=args.folds, only=args.only
    )
    print(json.dumps(summary, indent=2))
    return 0
