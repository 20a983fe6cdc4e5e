"""A loopback server that breaks off, and a folder to fetch small files into, for fetch_weights.sh."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "fetch_weights.sh"
BYTES = bytes(range(256)) * 400


@dataclass
class Server:
    """What the loopback server holds, how it behaves, and what it was asked for."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    break_off_after: int | None = None
    ranges: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    @contextlib.contextmanager
    def serving(self, handler: type[Handler] | None = None) -> Iterator[Self]:
        """Answer on a port of its own, told in ``address``, until the block is left."""
        http = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler or Handler, self))
        self.address = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            http.shutdown()
            http.server_close()
            thread.join()


class Handler(BaseHTTPRequestHandler):
    """Serves a Server's files, with byte ranges; breaks the first answer off where it is told to."""

    def __init__(self, state: Server, *args: object) -> None:
        self.state = state
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.state.asked.append((self.path, wanted))
        data = self.state.files.get(self.path.removeprefix("/"))
        if data is None:
            self.send_error(404)
            return
        start = 0
        if wanted is not None and self.state.ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        if self.state.break_off_after is not None:
            body = body[: self.state.break_off_after]
            self.state.break_off_after = None
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: pytest's output is for results."""


@dataclass
class Place:
    """A folder with a table of files, and a destination with a space in its name."""

    table: Path
    dest: Path
    home: Path

    def describe(self, *rows: tuple[str, str, bytes, str, str]) -> None:
        lines = ["# name\tfile\tbytes\tcheck\thash\taddress"]
        for name, file, data, check, address in rows:
            lines.append("\t".join([name, file, str(len(data)), check, hash_of(check, data), address]))
        self.table.write_text("\n".join(lines) + "\n")

    def run(self, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
        # No proxy and no .curlrc: what is asked for must reach the loopback server.
        kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        environment = {**kept, "UNMASK_WEIGHTS_TABLE": str(self.table), "HOME": str(self.home), "LC_ALL": "C"}
        if path is not None:
            environment["PATH"] = path
        return subprocess.run(
            [shutil.which("bash") or "bash", str(SCRIPT), "--dest", str(self.dest), *arguments],
            env=environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


def hash_of(check: str, data: bytes) -> str:
    return hashlib.new(check, data).hexdigest()
