"""Network streams, read in a process of their own, which can be ended at any moment."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

import numpy as np

from app.core.errors import UnmaskError
from app.core.records import Frame
from app.vision.sources import UrlSource, skip_by_reading, without_password

SILENT_S = 5.0
"""A stream that gives no picture for so long counts as lost."""

_ROOT = Path(__file__).resolve().parents[2]
_HEAD = struct.Struct("<qdII")
"""Before every picture: its index, time, height and width; then uint8 BGR."""
_PIPE_BYTES = 1 << 20


class StreamSource:
    """A :class:`UrlSource` in a child process: whatever it waits for, :meth:`interrupt` ends it at once.

    OpenCV cannot be called back while it resolves a name, connects, or waits for an answer, and a thread in there
    cannot be ended. A process can.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.name = without_password(url)
        self.width = self.height = 0
        self.fps = 25.0
        self.frame_count: int | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "app.vision.streams"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,  # So that the child finds this package, wherever it was started from.
            pipesize=_PIPE_BYTES,
            start_new_session=True,  # Ctrl-C in the terminal is for us alone.
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._out = cast(BufferedReader, self._process.stdout)
        # Not as an argument: everybody on the machine can read those, and an address may hold a password.
        with self._process.stdin as stdin:
            stdin.write(json.dumps(url).encode() + b"\n")

    def connect(self) -> None:
        """Wait until the stream is open.

        Raises:
            UnmaskError: see :class:`UrlSource`; or it was interrupted.
        """
        line = self._out.readline()
        told: dict[str, Any] = json.loads(line) if line else {"error": f"{without_password(self._url)}: was left"}
        if "error" in told:
            raise UnmaskError(told["error"])
        self.name, self.width, self.height = told["name"], told["width"], told["height"]
        self.fps, self.frame_count = told["fps"], told["frame_count"]

    def read(self) -> Frame | None:
        head = b"" if self._out.closed else self._out.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        index, time_s, height, width = _HEAD.unpack(head)
        image = np.empty((height, width, 3), np.uint8)
        if self._out.readinto(image.data.cast("B")) < image.nbytes:
            return None
        return Frame(index, time_s, image)

    def skip(self, count: int) -> int:
        return skip_by_reading(self, count)

    def interrupt(self) -> None:
        """From any thread: let what waits, and all that follows, end at once."""
        self._process.kill()

    def close(self) -> None:
        self._process.kill()
        self._out.close()
        self._process.wait()


def _main() -> None:
    url = json.loads(sys.stdin.readline())
    out = sys.stdout.buffer
    try:
        source = UrlSource(url, silent_s=SILENT_S)
    except UnmaskError as error:
        out.write(json.dumps({"error": str(error)}).encode() + b"\n")
        return
    with source:
        told = {key: getattr(source, key) for key in ("name", "width", "height", "fps", "frame_count")}
        out.write(json.dumps(told).encode() + b"\n")
        for frame in source:
            out.write(_HEAD.pack(frame.index, frame.time_s, *frame.image.shape[:2]))
            out.write(np.ascontiguousarray(frame.image).data)
            out.flush()


if __name__ == "__main__":
    try:
        _main()
        sys.stdout.flush()
    except (BrokenPipeError, KeyboardInterrupt):
        # Nobody reads any more. What is buffered cannot be flushed at exit, so there must be no exit that tries to.
        os._exit(0)
