"""Gives inputs to watched processes and judges how each went: in time, within the memory, and as was promised."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.e2e.support import ROOT
from tests.fuzz.cases import Case

MOST_MB = 2_500
"""Resident memory of the program at its peak, and of each ffmpeg that it starts, whatever the input."""

MOST_SECONDS = 300.0
"""No input is large: whatever takes so long, even on a busy machine, hangs."""


class Watched:
    """A process that runs the program on one input after the other; a new one where it ends or is ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="unmask-fuzz-"))

    def judge(self, case: Case) -> dict[str, Any]:
        """Run one input; ``outcome`` is a word, ``wrong`` a sentence where a promise was not kept."""
        path = self._folder / f"{case.seed}-{case.name}"
        path.write_bytes(case.data)
        try:
            answer = self._asked(case.verb, path)
        finally:
            path.unlink()
        wrong = answer.get("wrong")
        if wrong is None and answer["peak_mb"] > MOST_MB:
            wrong = f"took {answer['peak_mb']} MB"
        words = {0: "scanned", 2: "refused", 3: "scanned in part"}
        outcome = "FAILED" if wrong else words[answer["code"]]
        if wrong:
            self.close_process()  # What comes next begins anew.
        name = f"{case.verb} {case.name}"
        return {"seed": case.seed, "input": name, "outcome": outcome, **answer, "wrong": wrong}

    def close_process(self) -> None:
        if self._process is not None:
            # All that it started too: it leads a group of its own, and ffmpeg's go with their pipes.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None

    def close(self) -> None:
        self.close_process()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _asked(self, verb: str, path: Path) -> dict[str, Any]:
        if self._process is None:
            command = [sys.executable, "-m", "tests.fuzz.child"]
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps([verb, str(path)]).encode() + b"\n")
        process.stdin.flush()
        end = time.monotonic() + MOST_SECONDS
        while not select.select([process.stdout], [], [], 0.1)[0]:
            # Looked at from outside as well: what takes all there is may never come to tell.
            for pid, most in [(process.pid, 2 * MOST_MB), *((child, MOST_MB) for child in children(process.pid))]:
                if (now_mb := resident_mb(pid)) > most:
                    return {"wrong": f"took {now_mb} MB, {'itself' if pid == process.pid else 'its ffmpeg'}"}
            if time.monotonic() > end:
                return {"wrong": f"hangs: no end after {MOST_SECONDS:g} s"}
        line = process.stdout.readline()
        if not line:
            code = process.wait()
            self._process = None
            return {"wrong": f"crashed: the process ended with {code}"}
        answer: dict[str, Any] = json.loads(line)
        return answer


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found: list[int] = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, tasks.read_text(encoding="ascii").split())
    return found


def resident_mb(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20
