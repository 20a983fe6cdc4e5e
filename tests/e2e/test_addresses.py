"""Addresses: only the schemes allowed, and no way from the network or from a playlist to a file of this machine."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.core.errors import UnmaskError
from app.vision.sources import open_source
from tests.e2e.conftest import Cli
from tests.e2e.support import DEMO, ffmpeg

HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:5,\n{}\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    "address",
    [
        "file://{demo}", "FILE://{demo}", "file:{demo}", "concat:{demo}", "concat:{demo}|{demo}",
        "subfile,,start,0,end,0,,:{demo}", "data:video/mp4;base64,AAAA", "pipe:0", "pipe:", "fd:", "crypto:{demo}",
        "async:{demo}", "cache:{demo}", "tee:{demo}", "ftp://localhost/x.mp4", "gopher://localhost/", "unix://x",
        "concat:http://localhost/x", "hls+file://{demo}", "hls+http://localhost/x", "http://", "https:///x.mp4",
        "lavfi:color=red", "rtmp://localhost/x", "udp://localhost:1", "srt://localhost:1", "smb://localhost/x",
    ],
)  # fmt: skip
def test_other_schemes_are_refused(address: str, unmask: Cli) -> None:
    ran = unmask("scan", address.format(demo=DEMO), "--no-save")
    assert ran.code == 2
    assert any(line.startswith("unmask: ") and "; " in line for line in ran.err.splitlines())


class _Handler(BaseHTTPRequestHandler):
    """/redirect leads to the file; every other path serves what the test put there."""

    def __init__(self, pages: dict[str, bytes], *given: object) -> None:
        self._pages = pages
        super().__init__(*given)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        if self.path.startswith("/redirect"):
            self.send_response(302)
            self.send_header("Location", self._pages[self.path].decode())
            self.end_headers()
            return
        body = self._pages.get(self.path, b"")
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, bytes]]]:
    pages: dict[str, bytes] = {}
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, pages)) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", pages
        http.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of this machine that every playlist format can hold."""
    path = tmp_path_factory.mktemp("secret") / "secret.ts"
    ffmpeg("-v", "error", "-f", "lavfi", "-i", "testsrc=d=1:s=160x120", "-c:v", "libx264", path)
    return path


@pytest.mark.parametrize(
    "form", ["file://{}", "file:{}", "{}", "concat:{}", "crypto:{}", "subfile,,start,0,end,0,,:{}"]
)
@pytest.mark.parametrize("kind", ["list.m3u8", "list.mp4", "concat.mp4", "redirect"])
def test_the_network_cannot_name_a_file(
    kind: str, form: str, server: tuple[str, dict[str, bytes]], secret: Path
) -> None:
    base, pages = server
    target = form.format(secret)
    pages[f"/{kind}"] = {
        "redirect": target,
        "concat.mp4": f"ffconcat version 1.0\nfile '{target}'\n",
    }.get(kind, HLS.format(target)).encode()
    with pytest.raises(UnmaskError, match="nothing that can be played"):
        open_source(f"{base}/{kind}")


def test_the_server_serves(server: tuple[str, dict[str, bytes]], secret: Path) -> None:
    """What the tests above refuse would be played if it were no file."""
    base, pages = server
    pages |= {"/secret.ts": secret.read_bytes(), "/redirect": b"/secret.ts"}
    pages["/list.m3u8"] = HLS.format("secret.ts").encode()
    for path in ("/secret.ts", "/redirect", "/list.m3u8"):
        with open_source(base + path) as source:
            assert source.read() is not None


@pytest.mark.parametrize("name", ["list.m3u8", "list.mp4", "concat.ffconcat", "concat.mp4"])
@pytest.mark.parametrize("target", ["secret.ts", "{}", "file:{}", "http://127.0.0.1:9/x.ts"])
def test_a_file_that_is_a_playlist_is_refused(name: str, target: str, secret: Path) -> None:
    entry = target.format(secret)
    text = HLS.format(entry) if name.startswith("list") else f"ffconcat version 1.0\nfile '{entry}'\n"
    path = secret.parent / name
    path.write_text(text)
    with pytest.raises(UnmaskError, match="playlist") as caught:
        open_source(str(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
