"""``python -m train leave-out``."""

from __future__ import annotations

import argparse
import json

from train.commands.fit import add_fit_arguments, config_from, imagenet_from

HELP = "measure on sources that training never saw: each left out of one of a few trainings"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_fit_arguments(parser)
    parser.add_argument("--folds", type=int, default=3, help="trainings that share the sources (default: %(default)s)")
    parser.add_argument("--only", type=int, nargs="+", default=[], metavar="K", help="train these folds only, from 0")


def run(args: argparse.Namespace) -> int:
    from train.leave_out import leave_out

    config = config_from(args)
    summary = leave_out(
        config, args.data, args.run, imagenet=imagenet_from(args, config), count=args.folds, only=args.only
    )
    print(json.dumps(summary, indent=2))
    return 0
