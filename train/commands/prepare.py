"""``python -m train prepare``."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from app.core.errors import UnmaskError
from train.layouts import FORMATS

HELP = "make any set of real and generated faces ready for training, and say what is wrong with it"
EPILOG = """
layouts, recognised by themselves:
  140k        real_vs_fake/{train,valid,test}/{real,fake}/, sources in manifest.csv where there is one
  kaggle      the same with train.csv, valid.csv and test.csv
  two-class   {train,val,test}/{real,fake}/, also 0_real and 1_fake, also below folders of generators
  artifact    folders with a metadata.csv each
  pair        real/ and fake/, or --real DIR --fake DIR: split by a hash of the name
Each may hold videos instead of pictures. Afterwards give DIR of --to as --data to the other verbs:
  python -m train prepare --data faces --to runs/data/faces
  python -m train fit --data runs/data/faces --run runs/train/mine
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder in one of the layouts below")
    for label in ("real", "fake"):
        parser.add_argument(
            f"--{label}", type=Path, nargs="+", default=[], metavar="DIR", help=f"folders of {label} faces, not --data"
        )
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--format", choices=FORMATS, help="layout of --data (default: recognised)")
    parser.add_argument("--category", default="", help="of ArtiFact: only categories that contain this, such as face")
    parser.add_argument("--frames", type=int, default=8, help="frames taken from each video (default: %(default)s)")
    parser.add_argument(
        "--shares",
        type=float,
        nargs=3,
        default=(0.8, 0.1, 0.1),
        metavar=("TRAIN", "VALID", "TEST"),
        help="where the layout has no splits, or lacks one (default: 0.8 0.1 0.1)",
    )
    parser.add_argument(
        "--split-by",
        choices=("name", "source"),
        default="name",
        help="split by the hash of each file's name, or of its source, which then stays whole (default: %(default)s)",
    )
    parser.add_argument(
        "--similarity",
        type=float,
        default=0.9,
        help="correlation of two near-duplicates (default: %(default)s)",
    )
    parser.add_argument(
        "--move-duplicates",
        action="store_true",
        help="put each group of near-duplicates into one split, the training split if it has a picture of it",
    )
    parser.add_argument("--crops", action="store_true", help="also write the crops and duplicates to look at")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads (default: all cores)")


def run(args: argparse.Namespace) -> int:
    from train.layouts import Shares, read_layout, read_pair
    from train.prepare import TABLE, TOOLS, prepare

    if bool(args.data) == bool(args.real or args.fake):
        raise UnmaskError("give either --data DIR, or --real DIR and --fake DIR")
    if args.frames < 1 or args.workers < 1:
        raise UnmaskError("--frames and --workers must be at least 1")
    if not 0 < args.similarity <= 1:
        raise UnmaskError("--similarity must lie in 0 .. 1")
    train, valid, test = args.shares
    shares = Shares(train, valid, test, args.split_by)
    if args.data and (args.data / TABLE).is_file():
        raise UnmaskError(f"{args.data}: is prepared already; give the folder of the pictures, or use it with fit")
    samples = (
        read_layout(args.data, args.format, shares, args.category)
        if args.data
        else read_pair(args.real, args.fake, shares)
    )
    table = prepare(
        samples,
        args.to,
        tools=replace(TOOLS, frames=args.frames, workers=args.workers),
        move_duplicates=args.move_duplicates,
        least_correlation=args.similarity,
        crops=args.crops,
    )
    for split, row in table["counts"].items():
        print(f"{split}: {row['real']} real, {row['fake']} fake")
    for text in table["warnings"]:
        print(f"warning: {text}")
    print(f"prepared: {args.to} (see report.md); next: python -m train fit --data {args.to} --run RUN")
    return 0
