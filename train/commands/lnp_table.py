"""``python -m train lnp-table``."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.core.errors import UnmaskError
from train.commands.fit import add_fit_arguments, config_from, imagenet_from, init_from
from train.config import ARCHS, SEGMENTERS

HELP = "train and test lnp_fusion in every mode, on every backbone, with and without a face mask; one table"
ONE_VARIANT = ("model", "arch", "mode", "segmenter")
"""Options of fit that the table goes through, or never changes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_fit_arguments(parser)
    # In place of fit's: its words on the preset are of other verbs, and those of one variant are refused below.
    table = parser.add_argument_group("table", conflict_handler="resolve")
    table.add_argument("--preset", help="train/presets/NAME.toml or a TOML file (default: lnp_fusion)")
    for name in ONE_VARIANT:
        table.add_argument(f"--{name}", help=argparse.SUPPRESS)
    table.add_argument("--modes", nargs="+", type=int, choices=(0, 1, 2), default=[0, 1, 2], help="default: all")
    table.add_argument("--archs", nargs="+", choices=ARCHS, default=list(ARCHS), help="default: all")
    table.add_argument(
        "--segmenters", nargs="+", choices=SEGMENTERS, default=["none", "landmarks"], help="default: none landmarks"
    )
    table.add_argument(
        "--source", default="140k", help="only pictures whose source contains this; '' for all (default: %(default)s)"
    )
    table.add_argument(
        "--init",
        nargs="+",
        type=Path,
        default=[],
        metavar="RUN",
        help="a run of each of --archs to start from, instead of ImageNet's weights",
    )


def run(args: argparse.Namespace) -> int:
    from train.lnp_table import as_markdown, lnp_table, variants
    from train.trained import family_of

    for name in ONE_VARIANT:
        if getattr(args, name) is not None:
            raise UnmaskError(f"--{name}: the table is of lnp_fusion; choose with --archs, --modes and --segmenters")
    init = {family_of(path.parent): path for path in map(init_from, args.init)}
    if init and (set(init) != set(args.archs) or len(init) != len(args.init)):
        archs = ", ".join(dict.fromkeys(args.archs))
        raise UnmaskError(f"--init {' '.join(map(str, args.init))}: give one run of each of {archs}")
    if args.preset is None:
        args.preset = "lnp_fusion"
    lines = lnp_table(
        config_from(args),
        args.data,
        args.run,
        variants(args.archs, args.modes, args.segmenters),
        imagenet=lambda config: imagenet_from(args, config),
        init=init,
        source=args.source,
    )
    print(as_markdown(lines))
    print(f"written: {args.run / 'lnp-table.md'}, lnp-table.json")
    return 0
