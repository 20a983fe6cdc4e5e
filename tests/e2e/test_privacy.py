"""Nothing goes over the network, and nothing is written but what was asked for."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from tests.e2e.support import DEMO, ROOT, squares

# Loaded by every Python process before anything else. Whatever reaches for the network ends the process at once: an
# exception could be swallowed. What is opened for writing is listed.
SITE = """
import os, socket, sys
_log = os.open(os.environ["UNMASK_TEST_WRITES"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
def _watch(event, args):
    if event == "socket.__new__" and args[1] in (socket.AF_INET, socket.AF_INET6) or event in (
        "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"
    ):
        os.write(2, f"NETWORK {event} {args[1:]}\\n".encode())
        os._exit(99)
    if event == "open" and isinstance(args[0], (str, bytes)) and isinstance(args[2], int):
        if args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            os.write(_log, os.path.abspath(os.fsencode(args[0])) + b"\\n")
sys.addaudithook(_watch)
"""

WINDOW = """
import sys
from PySide6.QtCore import QTimer
from app.ui import application
real = application.MainWindow.show
def show(window):
    real(window)
    QTimer.singleShot(8000, window.close)
application.MainWindow.show = show
raise SystemExit(application.run("demo"))
"""


def sockets_of(pid: int) -> set[str]:
    """Network sockets of a process by the kernel's account, so that native code is seen as well."""
    network = set()
    for table in ("tcp", "tcp6", "udp", "udp6", "raw"):
        try:
            rows = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        network |= {row.split()[9] for row in rows}
    held = set()
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(link)
            except OSError:
                continue
            if target.startswith("socket:["):
                held.add(target[8:-1])
    except OSError:
        pass  # It has ended.
    return held & network


class Trap:
    """A proxy that native code would go through; a look-up of a name alone would be over too soon to be seen."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def caught(self) -> list[bytes]:
        """The first words of everyone who has come."""
        found = []
        self._server.setblocking(False)
        while True:
            try:
                visitor, _ = self._server.accept()
            except BlockingIOError:
                self._server.close()
                return found
            with visitor:
                visitor.settimeout(5)
                found.append(visitor.recv(200))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("verb", ["scan", "image", "models", "info", "window"])
def test_no_network_and_no_file_that_was_not_asked_for(verb: str, tmp_path: Path) -> None:
    site, home, temporary, here = (tmp_path / name for name in ("site", "home", "tmp", "here"))
    for folder in (site, home, temporary, here):
        folder.mkdir()
    (site / "sitecustomize.py").write_text(SITE)
    writes = tmp_path / "writes"
    cv2.imwrite(str(here / "picture.png"), squares((20, 20, 60, (255, 255, 255))))
    command = {
        "scan": ["-m", "app", "scan", str(DEMO), "--vid-stride", "25"],
        "image": ["-m", "app", "image", "picture.png"],
        "models": ["-m", "app", "models"],
        "info": ["-m", "app", "info"],
        "window": ["-c", WINDOW],
    }[verb]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "UNMASK_")) and k != "DISPLAY"}
    trap = Trap()
    kept = {k: v for k, v in kept.items() if k.lower() != "no_proxy"}
    kept |= dict.fromkeys(("https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy", "ALL_PROXY"), trap.address)
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=here,
        env=kept
        | {
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "PYTHONPATH": os.pathsep.join((str(site), str(ROOT))),
            "PYTHONDONTWRITEBYTECODE": "1",
            "QT_QPA_PLATFORM": "offscreen",
            "UNMASK_TEST_WRITES": str(writes),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    found: set[str] = set()
    while process.poll() is None:
        found |= sockets_of(process.pid)
        time.sleep(0.05)
    assert process.stderr is not None
    said = process.stderr.read().decode(errors="replace")
    assert process.returncode == 0, said
    assert not found, "a network socket was opened"
    assert not trap.caught(), "something would have gone over the network"
    runs = {"scan": {"runs"}, "image": {"runs"}}.get(verb, set())
    assert {p.name for p in here.iterdir()} == {"picture.png"} | runs
    assert list(temporary.iterdir()) == []
    assert {str(p.relative_to(home)) for p in home.rglob("*") if p.is_file()} <= {".config/Unmask/Unmask.conf"}
    # A temporary file without a name is opened as its folder.
    allowed = (str(here / "runs") + "/", str(home / ".config" / "Unmask") + "/", str(temporary), "/dev/null")
    written = writes.read_text(encoding="utf-8", errors="replace").splitlines()
    assert [path for path in written if not path.startswith(allowed)] == []
