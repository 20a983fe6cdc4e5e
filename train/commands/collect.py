"""``python -m train collect``."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.core.errors import UnmaskError
from train.commands import WEIGHTS

HELP = "make generated faces with a text-to-image pipeline that is on this machine"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prompts", type=Path, required=True, metavar="FILE", help="text file, a prompt a line")
    parser.add_argument("--negative", type=Path, metavar="FILE", help="text file, a negative prompt a line")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the pictures; resumed")
    parser.add_argument("--count", type=int, required=True, help="pictures in all")
    parser.add_argument(
        "--pipeline",
        type=Path,
        default=WEIGHTS / "text-to-image",
        metavar="PATH",
        help="folder of a pipeline of diffusers with safetensors (default: weights/text-to-image)",
    )
    parser.add_argument("--steps", type=int, default=0, help="of denoising (default: the pipeline's)")
    parser.add_argument("--guidance", type=float, default=0.0, help="guidance scale (default: the pipeline's)")
    parser.add_argument("--size", type=int, default=0, help="side of the pictures, pixels (default: the pipeline's)")
    parser.add_argument("--seed", type=int, default=0, help="of the first picture (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="of PyTorch: cpu, cuda ... (default: a GPU if there is one)")


def run(args: argparse.Namespace) -> int:
    from train.collect import check_pipeline, collect, load_pipeline, orders, painter_of, read_lines

    if args.count < 1:
        raise UnmaskError("--count must be at least 1")
    if min(args.steps, args.guidance, args.size, args.seed) < 0:
        raise UnmaskError("--steps, --guidance, --size and --seed must not be negative")
    prompts = read_lines(args.prompts)
    negatives = read_lines(args.negative) if args.negative is not None else []
    check_pipeline(args.pipeline)
    wanted = orders(
        prompts,
        negatives,
        args.count,
        pipeline=args.pipeline.resolve().name,
        seed=args.seed,
        steps=args.steps,
        guidance=args.guidance,
        size=args.size,
    )
    made, blank = collect(wanted, args.out, lambda: painter_of(load_pipeline(args.pipeline, args.device)))
    print(f"{made} pictures made{f', {blank} came out blank' if blank else ''}: {args.out}")
    print(f"next: python -m train prepare --real PHOTOGRAPHS --fake {args.out} --to DIR")
    return 0
