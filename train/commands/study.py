"""``python -m train study``."""

from __future__ import annotations

import argparse
from pathlib import Path

from train.commands.fit import add_fit_arguments, config_from, imagenet_from

HELP = "train one model for each generator and one for all, and compare them, as the ArtiFact study did"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_fit_arguments(parser)
    # In place of fit's words, which are of other verbs.
    own = parser.add_argument_group("study", conflict_handler="resolve")
    own.add_argument(
        "--preset", help="train/presets/NAME.toml or a TOML file (default: that of --model, or else artifact_cnn)"
    )
    own.add_argument(
        "--generators",
        nargs="+",
        default=[],
        metavar="NAME",
        help="train these only, 'all mixed' for the model of all (default: all of them)",
    )
    own.add_argument(
        "--predict", nargs="+", type=Path, default=[], metavar="PICTURE", help="also ask every model about these"
    )


def run(args: argparse.Namespace) -> int:
    from datetime import datetime

    from train.study import answers, study
    from train.study_report import print_study, write_study

    if args.model is None and args.preset is None:
        args.model = "artifact_cnn"
    config = config_from(args)
    found = study(config, args.data, args.run, imagenet=imagenet_from(args, config), only=args.generators)
    said = answers(args.run, found, args.predict) if args.predict else []
    print_study(found, said)
    write_study(found, said, args.run, datetime.now().astimezone())
    print(f"\nreport: {args.run / 'study.html'}")
    return 0
