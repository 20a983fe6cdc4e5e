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
