"""``python -m train learning-curve``."""

from __future__ import annotations

import argparse

from train.commands.fit import add_fit_arguments, config_from, imagenet_from

HELP = "train on parts of the data and say what more of it would give"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_fit_arguments(parser)
    parser.add_argument(
        "--shares",
        type=float,
        nargs="+",
        default=[0.25, 0.5, 1.0],
        help="of the training pictures (default: 0.25 0.5 1)",
    )
    parser.add_argument("--goal", type=int, default=100_000, help="training pictures to predict for (default: 100000)")


def run(args: argparse.Namespace) -> int:
    from train.learning_curve import PARTS, learning_curve

    config = config_from(args)
    found = learning_curve(
        config, args.data, args.run, imagenet=imagenet_from(args, config), shares=args.shares, goal=args.goal, seed=0
    )
    print("\n| training pictures | " + " | ".join(f"AUC, {name}" for name in PARTS if name in found) + " |")
    print("|---" * (1 + sum(name in found for name in PARTS)) + "|")
    for i, count in enumerate(found["pictures"]):
        print(_row(f"{count:,}", [found[name]["auc"][i] for name in PARTS if name in found]))
    print(_row(f"{found['goal']:,}, predicted", [found[name]["predicted"] for name in PARTS if name in found]))
    return 0


def _row(name: str, cells: list[list[float]]) -> str:
    return f"| {name} | " + " | ".join(f"{a:.4f} [{low:.3f}, {high:.3f}]" for a, low, high in cells) + " |"
