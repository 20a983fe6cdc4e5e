"""What a bug report needs to know of the machine and of this copy of the program; nothing of its user."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from app import __version__
from app.core.cards import sha256_of
from app.core.errors import UnmaskError
from app.models.artifact import WEIGHTS, available, read_card
from app.vision.media import ffmpeg_binary

PACKAGES = (
    "numpy", "opencv-contrib-python", "mediapipe", "openvino", "tensorflow", "keras", "PySide6", "pyqtgraph", "mss",
    "ffmpeg-python", "imageio-ffmpeg", "pydantic", "rich", "jinja2",
)  # fmt: skip
_FEATURES = ("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8",
             "asimd", "asimddp", "bf16", "i8mm", "sve")  # fmt: skip


def describe() -> dict[str, str]:
    """Facts by their names, in order: version, Python, system, processor, GPU, ffmpeg, packages and models.

    There are no paths, no names of people or machines and no serial numbers among them. What cannot be found out is
    "unknown"; a damaged model is told as such. Nothing is raised.
    """
    model, features = _processor()
    facts = {
        "unmask": __version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": f"{model}, {os.cpu_count()} cores",
        "features": features,
        "gpu": _first_words("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader") or "none found",
        "ffmpeg": _ffmpeg(),
    }
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            facts[name] = metadata.version(name)
        facts.setdefault(name, "missing")
    for name in available():
        facts[f"model {name}"] = _model(name)
    return facts


def _processor() -> tuple[str, str]:
    """The processor's name and those of its features that matter to the speed of scoring."""
    fields: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    name = fields.get("model name") or platform.processor() or "unknown"
    return name, " ".join(f for f in _FEATURES if f in flags) or "unknown"


def _ffmpeg() -> str:
    try:
        return _first_words(ffmpeg_binary(), "-version").partition(" Copyright")[0] or "cannot be run"
    except RuntimeError:
        return "missing"  # As imageio-ffmpeg tells it.


def _first_words(*command: str) -> str:
    """The first line that a command prints, empty where it cannot be run."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, timeout=10, check=True, start_new_session=True)
        return next(iter(done.stdout.decode("utf-8", "replace").splitlines()), "").strip()
    return ""


def _model(name: str) -> str:
    try:
        card = read_card(name)
    except UnmaskError:
        return "its card cannot be read"
    said = []
    for file in card.files.values():
        try:
            same = sha256_of((WEIGHTS / name / file.name).read_bytes()) == file.sha256
        except OSError:
            said.append(f"{file.name} missing")
        else:
            said.append(f"{file.name} sha256 {file.sha256[:16]}" + ("" if same else " DIFFERS"))
    return f"made {card.created}; " + ", ".join(said)
