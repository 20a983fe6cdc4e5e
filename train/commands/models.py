"""``python -m train models``."""

from __future__ import annotations

import argparse
import json

from train.commands import WEIGHTS
from train.zoo import FAMILIES

HELP = "list the model families"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(args: argparse.Namespace) -> int:
    # The figures are those of the registry, which the tests hold against the built models: TensorFlow need not load.
    for name, family in FAMILIES.items():
        there = next((file for file in family.imagenet_files if (WEIGHTS / file).is_file()), None)
        row = {
            "name": name,
            "parameters": family.parameters,
            "input_size": family.size,
            "pretrained": bool(family.imagenet_files),
            "imagenet_weights": there,
            "options": [option for option in family.options if option != "crop_scale"],
            "summary": family.summary,
        }
        if args.json:
            print(json.dumps(row))
            continue
        start = "from scratch"
        if family.imagenet_files:
            start = "ImageNet" if there else f"ImageNet, after ./fetch_weights.sh {name}"
        print(f"{name:<20} {family.parameters:>11,} {family.size:>5} px  {family.summary}; {start}")
    return 0
