"""Unmask: tells AI-generated faces from real ones, live and in recorded video."""

import os
from pathlib import Path

__version__ = "0.1.0"

DEMO = Path(__file__).parent / "assets" / "demo.mp4"
"""The clip that comes with the program: one real and one generated face."""

MOST_PIXELS = 128_000_000
"""A picture with more is refused by its header: a file of some kilobytes can claim to need all memory there is."""

MOST_SIDE = 32_000
"""Pixels; a longer side is refused, too. At 32,767 the face detector ends the process."""

# OpenCV reads these once, when it is first imported, and that is never before this package.
os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(MOST_PIXELS)
os.environ["OPENCV_IO_MAX_IMAGE_WIDTH"] = os.environ["OPENCV_IO_MAX_IMAGE_HEIGHT"] = str(MOST_SIDE)
