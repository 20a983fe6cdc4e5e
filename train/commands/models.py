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
        variants: list[tuple[str | None, int]] = [*family.backbones.items()] or [(None, family.parameters)]
        for arch, parameters in variants:
            start = FAMILIES[arch or name].imagenet_files
            there = next((file for file in start if (WEIGHTS / file).is_file()), None)
            row = {
                "name": name,
                "arch": arch,
                "parameters": parameters,
                "input_size": family.size,
                "pretrained": bool(start),
                "imagenet_weights": there,
                "options": [option for option in family.options if option != "crop_scale"],
                "summary": family.summary,
            }
            if args.json:
                print(json.dumps(row))
                continue
            label = f"{name} --arch {arch}" if arch else name
            told = "from scratch"
            if start:
                told = "ImageNet" if there else f"ImageNet, after ./fetch_weights.sh {arch or name}"
            print(f"{label:<32} {parameters:>11,} {family.size:>5} px  {family.summary}; {told}")
    return 0
