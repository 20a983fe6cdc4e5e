"""``python -m train export``."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

from app.core.errors import UnmaskError
from train.commands import WEIGHTS
from train.config import PRESETS

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
        default=PRESETS / "card.toml",
        metavar="FILE",
        help="TOML with the card's words (default: those of the shipped model)",
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
    from train.export import export

    try:
        words = tomllib.loads(args.card.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise UnmaskError(
            f"{args.card}: the card's words cannot be read ({error}); see {PRESETS / 'card.toml'}"
        ) from None
    whose = {"fit": None, "keep": args.name}.get(args.gates, args.gates)
    kept = None if whose is None else Gates.of(read_card(whose, args.to).thresholds)
    card = export(args.run, args.data, args.to, args.name, description=words, gates=kept)
    print(f"exported: {args.to / card.name} (CPU form {card.cpu_form})")
    return 0
