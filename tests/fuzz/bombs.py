"""Files made to hurt: small ones that claim to be huge, that never end, or that are not what they are called."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from tests.e2e.support import ffmpeg


def pictures(faces: dict[str, bytes]) -> dict[str, bytes]:
    """Name -> content of pictures that lie about their size, and of what is no picture at all."""
    found = {"empty.png": b"", "text.jpg": b"This is no picture.\n" * 50, "zeros.webp": bytes(5000)}
    found["svg.png"] = b'<svg xmlns="http://www.w3.org/2000/svg" width="60000" height="60000"><rect/></svg>'
    for side in (60_000, 30_000, 11_000):
        found |= {f"{side}.{kind}": make(side) for kind, make in _CLAIMS.items()}
        found[f"{side}.jpg"] = _jpeg_claiming(faces["face.jpg"], side)
        found[f"{side}-layers.jpg"] = _jpeg_claiming(faces["layers.jpg"], side)
    found["flat.png"] = _png(11_000, zlib.compress(bytes((1 + 3 * 11_000) * 11_000), 9))
    face = faces["face.png"]
    found["long-chunk.png"] = face[:33] + b"\xf3" + face[34:]
    found["tall.png"] = _png(1, zlib.compress(bytes(4 * 40_000)), 40_000)
    found["strip.png"] = _png(1, zlib.compress(bytes(4)), 2_000_000)
    found["layered.jpg"] = _endless_layers(_jpeg_claiming(faces["layers.jpg"], 8_000))
    for name, data in faces.items():
        found[f"{Path(name).stem}{Path(name).suffix[1:]}-is-not.gif"] = data
    return found


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, content: bytes, height: int | None = None) -> bytes:
    head = struct.pack(">IIBBBBB", width, height or width, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", content) + _chunk(b"IEND", b"")


def _webp(side: int) -> bytes:
    """Lossless WebP holds 14 bits a side; the extended header of an animation 24."""
    large = struct.pack("<I", 0x02)[:4] + struct.pack("<I", side - 1)[:3] * 2
    frame = b"VP8L" + struct.pack("<I", 10) + b"\x2f" + struct.pack("<I", 16_383 | 16_383 << 14) + bytes(5)
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + large + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _webp_plain(side: int) -> bytes:
    small = min(side, 16_384) - 1
    frame = b"VP8L" + struct.pack("<I", 10) + b"\x2f" + struct.pack("<I", small | small << 14) + bytes(5)
    return b"RIFF" + struct.pack("<I", len(frame) + 4) + b"WEBP" + frame


def _gif(side: int) -> bytes:
    screen = struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(3) + b"\xff\xff\xff"
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x44\x01\x00"
    return b"GIF89a" + screen + frame * 20 + b"\x3b"


def _bmp(side: int) -> bytes:
    return b"BM" + struct.pack("<IIIIiiHHIIiiII", 1000, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(900)


def _bmp_runs(side: int) -> bytes:
    head = struct.pack("<IIIIiiHHIIiiII", 2000, 0, 1078, 40, side, side, 1, 8, 1, 0, 0, 0, 256, 0)
    return b"BM" + head + bytes(1024) + b"\xff\x01" * 400 + b"\x00\x01"


def _tiff(side: int, compression: int = 8, tile: bool = False) -> bytes:
    strip = zlib.compress(bytes(100_000))
    entries = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1)]
    entries += [(277, 3, 1, 1)]
    if tile:
        entries += [(322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, 8), (325, 4, 1, len(strip))]
    else:
        entries += [(273, 4, 1, 8), (278, 4, 1, side), (279, 4, 1, len(strip))]
    table = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    at = 8 + len(strip) + len(strip) % 2
    body = strip + bytes(len(strip) % 2) + struct.pack("<H", len(entries)) + table + bytes(4)
    return b"II*\x00" + struct.pack("<I", at) + body


_CLAIMS = {
    "png": lambda side: _png(side, zlib.compress(bytes(1000))),
    "webp": _webp,
    "plain.webp": _webp_plain,
    "gif": _gif,
    "bmp": _bmp,
    "runs.bmp": _bmp_runs,
    "tiff": _tiff,
    "tiled.tiff": lambda side: _tiff(side, tile=True),
    "ppm": lambda side: b"P6\n%d %d\n255\n" % (side, side) + bytes(900),
    "hdr": lambda side: b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (side, side) + bytes(900),
    "ras": lambda side: struct.pack(">IIIIIIII", 0x59A66A95, side, side, 24, 0, 1, 0, 0) + bytes(900),
    "pfm": lambda side: b"PF\n%d %d\n-1.0\n" % (side, side) + bytes(900),
}


def _jpeg_claiming(data: bytes, side: int) -> bytes:
    at = next(i for mark in (b"\xff\xc0", b"\xff\xc2") if (i := data.find(mark)) > 0)
    return data[: at + 5] + struct.pack(">HH", side, side) + data[at + 9 :]


def _endless_layers(data: bytes) -> bytes:
    at = data.index(b"\xff\xda")
    first = data[at : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")]
    return data[:at] + first + b"\x00" + (first[:-1] + b"\x10") * 70_000 + b"\xff\xd9"


def videos(clips: dict[str, bytes]) -> dict[str, bytes]:
    """Name -> content of what is no video, or not the one that its name says."""
    found = {"empty.mp4": b"", "text.mkv": b"This is no video.\n" * 99, "zeros.avi": bytes(9999), "one.ts": b"G"}
    found["list.mp4"] = b"ffconcat version 1.0\nfile '/etc/hostname'\n"
    found["list.m3u8.mkv"] = b"\n#EXTM3U\n#EXTINF:1,\n/etc/hostname\n"
    found["script.gif"] = b"#!/bin/sh\nexit 0\n"
    suffixes = [Path(name).suffix for name in clips]
    for number, (name, data) in enumerate(clips.items()):
        found[f"{name.replace('.', '-')}-is-not{suffixes[number - 1]}"] = data
    frames = clips["mjpeg.avi"].split(b"\xff\xc0")
    found["huge.avi"] = b"\xff\xc0".join([frames[0], *(_claiming(frame, 16_000) for frame in frames[1:])])
    found["grows.avi"] = b"\xff\xc0".join([*frames[:4], *(_claiming(frame, 16_000) for frame in frames[4:])])
    return found


def _claiming(frame: bytes, side: int) -> bytes:
    """What follows the marker of a JPEG's size, with another size."""
    return frame[:3] + struct.pack(">HH", side, side) + frame[7:]


def make_videos(folder: Path, *, all_of_them: bool) -> None:
    """Leave videos in ``folder`` that are valid and a burden: huge frames, thousands of tiny ones, changing sizes."""
    made = {
        "pixels.mkv": f"-f lavfi -i color=red:s=2x2:r=1000:d={2 if all_of_them else 0.2} -c:v ffv1",
        "wide.mkv": "-f lavfi -i color=red:s=16000x2:r=25:d=0.2 -c:v ffv1",
        "too-wide.mkv": "-f lavfi -i color=red:s=17000x2:r=25:d=0.2 -c:v ffv1",
        "one-pixel.avi": f"-f lavfi -i color=red:s=1x1:r=25:d={40 if all_of_them else 4},format=bgr24 -c:v rawvideo",
    }
    if all_of_them:
        made |= {
            "slow.mkv": "-f lavfi -i testsrc=s=64x64:r=25:d=1,setpts=N*3600/TB -c:v ffv1",
            "8k.mp4": "-f lavfi -i color=gray:s=7680x4320:r=25:d=0.16 -c:v libx264 -preset ultrafast -pix_fmt yuv420p",
            "fast.mkv": "-f lavfi -i testsrc=s=64x64:r=100000:d=0.02 -c:v ffv1",
            "backwards.mkv": "-f lavfi -i testsrc=s=64x64:r=25:d=1,setpts=(25-N)/25/TB -fps_mode passthrough -c:v ffv1",
        }
    for name, how in made.items():
        if not (folder / name).exists():
            partial = folder / f"partial.{name}"
            ffmpeg("-v", "error", *how.split(), partial)
            partial.replace(folder / name)
    if not (folder / "sizes.ts").exists():
        parts = []
        for size in ("160x90", "3200x1800", "90x160", "2x2"):
            part = folder / f"partial.{size}.ts"
            ffmpeg("-v", "error", "-f", "lavfi", "-i", f"testsrc=s={size}:r=25:d=0.2", "-c:v", "mpeg2video", part)
            parts.append(part.read_bytes())
            part.unlink()
        (folder / "sizes.ts").write_bytes(b"".join(parts))
