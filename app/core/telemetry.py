"""Keeps MediaPipe from reporting its use to its makers."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

HOST = "play.googleapis.com"
NOWHERE = "nowhere://"
"""A proxy of a kind that curl does not know: it gives up before it looks up a name or opens a connection."""


def refuse_telemetry(environ: MutableMapping[str, str] = os.environ) -> None:
    """Give MediaPipe's uploader a proxy that does not exist; call before MediaPipe is imported.

    At least since 0.10.35 MediaPipe's library posts what it is used for to :data:`HOST`, from a thread of its own and
    without an option against it (github.com/google-ai-edge/mediapipe/issues/6291). On Linux it does so through
    libcurl, which obeys ``https_proxy``. Nothing else here does: FFmpeg reads ``http_proxy``, for https as well.

    Args:
        environ: of this process and those that it starts. ``no_proxy`` keeps all that does not cover the host.
    """
    for name in ("no_proxy", "NO_PROXY"):
        hosts = environ.get(name, "").replace(",", " ").split()
        if "*" in hosts:  # No proxy for any host, which is as well said by naming none.
            environ.pop("http_proxy", None)
        kept = [host for host in hosts if host != "*" and not f".{HOST}".endswith("." + host.lower().strip("."))]
        if kept != hosts:
            environ[name] = ",".join(kept)
    environ["https_proxy"] = NOWHERE
