"""What stands between one source's trouble and everything else."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from app.core.errors import UnmaskError


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Nobody else who asks for this writes in ``folder`` meanwhile; it ends with the process, however that ends.

    Raises:
        UnmaskError: somebody does already.
    """
    if sys.platform == "win32":  # Folders cannot be locked there.
        yield
        return
    import fcntl

    place = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnmaskError(
                f"{folder}: another run is writing there; wait for its end or give another --name"
            ) from None
        except OSError:
            pass  # Some network file systems have no locks.
        yield
    finally:
        os.close(place)


@contextlib.contextmanager
def told(source: str, folder: Path) -> Iterator[None]:
    """Whatever goes wrong with ``source`` becomes a sentence, and the other sources still get done.

    Raises:
        UnmaskError: it went wrong. What a developer needs is left in ``folder`` as ``error.txt``.
    """
    try:
        yield
    except UnmaskError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        reason = f"{type(error).__name__}: {lines[0]}"[:200].rstrip(": ")
        report = folder / "error.txt"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            report.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
            remedy = f"please report it with {report}"
        except OSError:
            remedy = "please report it"
        raise UnmaskError(f"{source}: could not be judged, by a fault in Unmask ({reason}); {remedy}") from error
