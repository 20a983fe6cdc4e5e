"""``python -m train [fit] ...``: see ``python -m train --help``."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from app.core.errors import UnmaskError
from train.commands import VERBS


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; ``fit`` where none is named. Exit codes: 0 done, 2 bad input, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words.insert(0, "fit")
    args = _parser().parse_args(words)
    # TensorFlow's start-up notices come from C++ and can only be turned off before it is imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        return int(args.run_verb(args))
    except UnmaskError as error:
        print(f"unmask: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(
            f'unmask: {error.name} is missing; install what training needs: pip install -e ".[train]"', file=sys.stderr
        )
        return 2
    except OSError as error:
        if error.filename is None:
            raise
        reason = os.strerror(error.errno) if error.errno else str(error)
        remedy = "check the path, who may write there and the space left"
        print(f"unmask: {error.filename}: {reason}; {remedy}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("unmask: interrupted; run the same command again to go on from the last checkpoint", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m train", description="Make the models that the app runs.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for name in VERBS:
        module = importlib.import_module(f"train.commands.{name.replace('-', '_')}")
        verb = verbs.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(verb)
        verb.set_defaults(run_verb=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
