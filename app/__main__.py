"""``python -m app``; the console script ``unmask``. With a display it opens the window, else it is the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from app import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; its exit code."""
    return cli.main(argv, open_window=_open_window if _has_display() else None)


def _open_window(
    source: str | None,
    *,
    models: tuple[str, ...] | None,
    device: str | None,
    threshold: float | None,
    output: Path | None,
    redact: bool,
) -> int:
    from app.ui.application import run  # Qt only where a window is wanted.

    return run(source, models=models, device=device, threshold=threshold, output=output, redact=redact)


def _has_display() -> bool:
    """Whether somebody could see a window; Qt itself would abort the process where there is no display."""
    if os.environ.get("QT_QPA_PLATFORM") in ("offscreen", "minimal"):
        return False
    return sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


if __name__ == "__main__":
    sys.exit(main())
