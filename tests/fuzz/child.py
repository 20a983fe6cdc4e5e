"""The watched process: runs the program on one file after the other and tells how each went.

A line of standard input is a verb and a path; a line of standard output the outcome. The detector is the real one,
which sees frames of any shape; the classifier is made up, since all that it ever sees are crops of one size.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from app import cli
from app.pipeline.batch import Models
from app.vision.detector import MediaPipeDetector
from tests.e2e.support import checked, fake_models, frame_count, lines

MOST_ADDRESSES = 64 << 30
"""RLIMIT_AS: far above what libraries reserve and do not use, far below what a machine would try to give."""


class Kept(MediaPipeDetector):
    """Loaded once for many runs."""

    def close(self) -> None:
        pass


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))
    detector, ensemble = Kept(), fake_models().ensemble
    cli._load_models = lambda args: Models(detector, ensemble)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for line in sys.stdin:
        verb, path = json.loads(line)
        answers.write(json.dumps(run(verb, path)) + "\n")
        answers.flush()


def run(verb: str, path: str) -> dict[str, Any]:
    """One run of the program: what is wrong with how it went, if anything is, and what it cost."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # The peak of memory starts anew.
    began = time.perf_counter()
    out = io.StringIO()
    with tempfile.TemporaryDirectory() as project, tempfile.TemporaryFile() as native:
        saved = os.dup(2)
        os.dup2(native.fileno(), 2)  # What native libraries print counts as said, too.
        code: object = None
        try:
            with contextlib.redirect_stdout(out):
                code = cli.main([verb, path, "--json", "--project", project, "--name", "n"])
        except BaseException as error:
            code = f"{type(error).__name__}: {error}"
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
        native.seek(0)
        said = native.read().decode("utf-8", "replace")
        wrong = problem(verb, path, code, out.getvalue(), said, Path(project) / "n")
        shutil.rmtree(project, ignore_errors=True)
        Path(project).mkdir(exist_ok=True)
    return {
        "code": code,
        "said": said.strip()[:500],
        "wrong": wrong,
        "seconds": round(time.perf_counter() - began, 2),
        "peak_mb": peak_mb(),
    }


def problem(verb: str, path: str, code: object, out: str, said: str, folder: Path) -> str | None:
    """What was promised and not kept; None where all was."""
    told = said.splitlines()
    if code not in (0, 2, 3):
        return f"ended with {code}"
    if len(told) > 1 or any(not line.startswith("unmask: ") or path not in line or len(line) > 500 for line in told):
        return f"said {told!r}"
    if "fault in Unmask" in said:
        return f"said {told!r}"
    if (code == 0) != (not told):
        return f"ended with {code} and said {told!r}"
    try:
        (entry,) = checked(json.loads(out))
        if code != 2:
            assert len(lines(folder)) == entry["faces"], "faces.jsonl"
            assert (folder / "report.html").stat().st_size > 1000, "report.html"
            if verb == "scan":
                assert frame_count(folder / "annotated.mp4") > 0, "annotated.mp4"
    except (AssertionError, ValueError, OSError) as error:
        return f"outputs are not valid: {type(error).__name__}: {error}"[:500]
    return None


def peak_mb() -> int:
    """The most resident memory since the run began, from Linux."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024


if __name__ == "__main__":
    main()
