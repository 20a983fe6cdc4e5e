"""``python -m train export``."""

from __future__ import annotations

import argparse
from pathlib import Path

from train.commands import WEIGHTS

HELP = "make weights/NAME/ from a run, verified and measured"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished fit")
    parser.add_argument("--data", type=Path, required=True, help="the data it was trained on")
    parser.add_argument("--name", required=True, help="name of the model")
    parser.add_argument(
        "--to", type=Path, default=WEIGHTS, metavar="DIR", help="folder of all models (default: weights/)"
    )
    parser.add_argument(
        "--card",
        type=Path,
        metavar="FILE",
        help="TOML with the card's words, like train/presets/card.toml of the shipped model (default: from the run)",
    )
    parser.add_argument(
        "--gates",
        default="fit",
        metavar="fit|keep|NAME",
        help="fit the quality gates, keep those of the model that has this name now, or take those of the model NAME",
    )


def run(args: argparse.Namespace) -> int:
    from app.models.artifact import read_card
    from train.calibrate import Gates
    from train.export import export, read_words

    words = None if args.card is None else read_words(args.card)
    whose = {"fit": None, "keep": args.name}.get(args.gates, args.gates)
    kept = None if whose is None else Gates.of(read_card(whose, args.to).thresholds)
    card = export(args.run, args.data, args.to, args.name, description=words, gates=kept)
    print(f"exported: {args.to / card.name} (CPU form {card.cpu_form})")
    if words is None:
        print("its card says what the run tells; check the pictures' terms, and give words of your own with --card")
    return 0
