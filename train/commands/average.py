"""``python -m train average``."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "make one model of several runs that started from the same weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=Path, nargs="+", required=True, metavar="RUN", help="folders of finished fits")
    parser.add_argument("--data", type=Path, required=True, help="the data they were trained on")
    parser.add_argument("--run", type=Path, required=True, help="folder for the mean, as train export takes it")


def run(args: argparse.Namespace) -> int:
    from train.average import average

    found = average(args.runs, args.data, args.run)
    for name, auc in found.items():
        print(f"{name}: validation AUC {auc:.5f}")
    if found["mean"] < max(found.values()):
        print("The mean is not better than the best of them.")
    return 0
