"""Writing files that are there as a whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.core.errors import UnmaskError

ANOTHER_FOLDER = "write to another folder"
ANOTHER_PROJECT = "name another --project"
ANOTHER_WEIGHTS = "name another --weights"


def cannot_write(path: Path, error: OSError, remedy: str = ANOTHER_FOLDER) -> UnmaskError:
    """The sentence for what cannot be written; ``remedy`` is what helps beside freeing space."""
    # By its number: HDF5 tells what it was doing, in several lines.
    reason = os.strerror(error.errno) if error.errno else next(iter(str(error).splitlines()), type(error).__name__)
    return UnmaskError(f"{path}: cannot be written ({reason}); free some space or {remedy}")


@contextmanager
def whole_file(path: Path, remedy: str = ANOTHER_FOLDER) -> Iterator[Path]:
    """A path to write to, which takes the place of ``path`` when the block is done.

    Until then, and for good where the block fails, what was at ``path`` stays; nothing else is left. Both names end
    alike: libraries choose a format by it.

    Raises:
        UnmaskError: the system cannot write the file.
    """
    partial = path.with_name(f".partial.{path.name}")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise cannot_write(path, error, remedy) from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes, remedy: str = ANOTHER_FOLDER) -> None:
    """Write a text, as UTF-8, or bytes through :func:`whole_file`.

    Raises:
        UnmaskError: the system cannot write the file.
    """
    data = content if isinstance(content, bytes) else content.encode("utf-8", errors="backslashreplace")
    with whole_file(path, remedy) as partial:
        partial.write_bytes(data)
