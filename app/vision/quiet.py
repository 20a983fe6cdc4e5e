"""Silence for native libraries that write to standard error by themselves, which Python cannot turn off."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

_one_at_a_time = threading.RLock()


@contextlib.contextmanager
def stderr_silenced() -> Iterator[None]:
    """Hide what is written to standard error meanwhile, by whichever thread."""
    with _one_at_a_time:  # Two at once would put each other's silence back.
        sys.stderr.flush()
        saved = os.dup(2)
        sink = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(sink, 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(sink)


@contextlib.contextmanager
def python_alone_on_stderr() -> Iterator[None]:
    """For the length of a command: Python writes to standard error as before, native libraries write nowhere.

    MediaPipe warns once, on whichever picture comes first to lie at an odd address in memory, which may be any frame.
    Processes that start meanwhile inherit the silence. Nothing happens where Python's standard error was replaced.
    """
    original = sys.__stderr__
    if original is None or sys.stderr is not original:
        yield
        return
    original.flush()
    # Never closed: a logger made meanwhile may keep it and write as the process ends.
    alone = open(os.dup(2), "w", buffering=1, encoding=original.encoding, errors=original.errors)  # noqa: SIM115
    with open(os.devnull, "wb") as sink:
        os.dup2(sink.fileno(), 2)
    sys.stderr = alone
    try:
        yield
    finally:
        os.dup2(alone.fileno(), 2)
        sys.stderr = original
