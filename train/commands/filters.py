"""``python -m train filters``."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.core.errors import UnmaskError

HELP = "draw the filters of a model's first convolution, and what they make of pictures"
EACH = 2
"""Pictures of each class that are drawn where none are given."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished fit; the figures go there")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--pictures", nargs="+", type=Path, metavar="PICTURE", help="pictures of faces to look at")
    which.add_argument(
        "--data", type=Path, metavar="DIR", help="the data it was trained on, for pictures of both classes"
    )
    parser.add_argument("--layer", metavar="NAME", help="another convolution than the first")


def run(args: argparse.Namespace) -> int:
    from train import filters
    from train.datasets import read_prepared
    from train.figures import write_png
    from train.pipeline import plain_crops
    from train.prepare import TABLE, faces_in
    from train.trained import of_run

    model = of_run(args.run)
    model.needs_no_cutting()
    if args.pictures:
        samples, left_out = faces_in(args.pictures, args.run)
        for path, why in left_out.items():
            print(f"{path}: {why}")
        if not samples:
            raise UnmaskError(f"{args.pictures[0]}: no face was found in any of the pictures; give pictures of faces")
    else:
        valid = [s for s in read_prepared(args.run / TABLE, args.data) if s.split == "valid"]
        samples = [s for target in (0, 1) for s in [v for v in valid if v.target == target][:EACH]]
        if not samples:
            raise UnmaskError(f"{args.run / TABLE}: has no validation pictures; give --pictures instead of --data")
    crops = plain_crops(samples, model.crop.size, model.crop.crop_scale)
    found = filters.convolution(model, crops, args.layer)
    names = [f"{s.label}: {s.source}" if s.label else s.path.name for s in samples]
    for name, figure in (
        ("filters.png", filters.draw_filters(found, model.name)),
        ("feature-maps.png", filters.draw_maps(found, crops, names, model.name)),
    ):
        write_png(args.run / name, figure)
        print(f"drawn: {args.run / name}")
    return 0
