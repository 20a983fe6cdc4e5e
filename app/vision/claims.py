"""What a picture asks for that its decoder would give without a question, told by its structure alone."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

MOST_LAYERS = 100
"""Layers (scans) of a progressive JPEG; a usual one has ten. Each is a pass over the whole picture and may cost 14
bytes: a file of a megabyte could keep the decoder busy for hours."""

_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""Inside of a layer's data 0xff is followed by 0x00, or by a restart, which ends nothing."""
_LAYER, _END = 0xDA, 0xD9


def jpeg_layers(data: npt.NDArray[np.uint8]) -> int:
    """How many layers there are up to the picture's end, counted to one more than the most; 0 of another kind of file.

    What follows the end is passed over, such as the video in a moving photograph; so are pictures inside of segments.
    """
    if data[:2].tobytes() != b"\xff\xd8":
        return 0
    content, at, layers = data.data, 2, 0
    while layers <= MOST_LAYERS and (found := _MARKER.search(content, at)) is not None:
        marker, at = content[found.start() + 1], found.end()
        if marker == _END:
            break
        layers += marker == _LAYER
        at += int.from_bytes(content[at : at + 2], "big")
    return layers


def png_lacks_data(data: npt.NDArray[np.uint8]) -> bool:
    """Whether a PNG names a chunk that is longer than the file: OpenCV would make room for all of it, 4 GB at most."""
    if data[:8].tobytes() != b"\x89PNG\r\n\x1a\n":
        return False
    content, at = data.data, 8
    while at + 8 <= len(content):
        kind = bytes(content[at + 4 : at + 8])
        at += 12 + int.from_bytes(content[at : at + 4], "big")
        if kind == b"IEND":
            return False
    return at > len(content)
