"""``python -m train compare``."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.core.errors import UnmaskError

HELP = "put evaluations of different models on the same pictures side by side, with paired tests"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="two or more folders that train evaluate wrote, or tables of scores; all are compared with the first",
    )
    parser.add_argument(
        "--to", type=Path, metavar="DIR", help="folder for comparison.json and comparison.html (default: the last RUN)"
    )
    parser.add_argument("--resamples", type=int, default=2000, help="of the bootstrap (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    from datetime import datetime

    from train import compare
    from train.report import write_page

    if len(args.runs) < 2:
        raise UnmaskError("compare needs two runs at least; name the folders of two evaluations")
    if args.resamples < 100:
        raise UnmaskError("--resamples must be at least 100; fewer give no interval")
    last: Path = args.runs[-1]
    folder: Path = args.to or (last if last.is_dir() else last.parent)
    runs, dropped = compare.read_runs(args.runs)
    found = compare.compare(runs, dropped=dropped, resamples=args.resamples, seed=args.seed)
    folder.mkdir(parents=True, exist_ok=True)
    compare.print_comparison(found)
    write_page(folder / "comparison.json", compare.to_text(found))
    write_page(folder / "comparison.html", compare.render(found, datetime.now().astimezone()))
    print(f"\nreport: {folder / 'comparison.html'}")
    return 0
