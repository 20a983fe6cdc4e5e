"""What the stand-alone program starts with."""

from __future__ import annotations

import multiprocessing
import runpy
import sys

from app.__main__ import main

if __name__ == "__main__":
    # Workers and the reader of streams are this very program, called as Python would be.
    multiprocessing.freeze_support()
    if sys.argv[1:] == ["-m", "app.vision.streams"]:
        runpy.run_module("app.vision.streams", run_name="__main__")
    else:
        sys.exit(main())
