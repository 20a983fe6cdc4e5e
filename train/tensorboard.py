"""Logs for TensorBoard, written without it: event files need neither TensorFlow nor the package ``tensorboard``.

An event file is a sequence of records, each a protocol buffer between checksums (tensorflow/core/util/event.proto,
tensorflow/core/lib/io/record_writer.h). To look at one: ``pip install tensorboard; tensorboard --logdir RUN``.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from app.core.errors import UnmaskError
from app.core.files import cannot_write

_DOUBLE, _BYTES, _FLOAT = 1, 2, 5  # wire types of protocol buffers
_START, _STRING = 1, 7  # SessionLog.START, DT_STRING


class EventLog:
    """Curves of one run under ``folder``; a run that is resumed goes on in a file of its own.

    Args:
        folder: None keeps no log.
        step: the first step that will be logged. What earlier files say of it and of later ones is void: those steps
            were lost with a kill and are done again.
    """

    def __init__(self, folder: Path | None, step: int) -> None:
        self._file: BinaryIO | None = None
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # TensorBoard reads files in the order of their names.
            number = len(list(folder.iterdir()))
            name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{number:04d}"
            self._file = (folder / name).open("ab")
        except OSError as error:
            raise cannot_write(folder, error) from None
        self._write(_field(3, b"brain.Event:2"))
        self._write(_field(7, _field(1, _START)), step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One point of each named curve."""
        points = [_field(1, _field(1, name.encode()) + _field(2, float(value))) for name, value in values.items()]
        self._write(_field(5, b"".join(points)), step)

    def text(self, step: int, name: str, text: str) -> None:
        """A text, in Markdown."""
        plugin = _field(1, _field(1, b"text"))
        tensor = _field(1, _STRING) + _field(2, _field(2, _field(1, 1))) + _field(8, text.encode())
        self._write(_field(5, _field(1, _field(1, name.encode()) + _field(9, plugin) + _field(8, tensor))), step)

    def flush(self) -> None:
        """Raises: UnmaskError, if the file cannot be written."""
        if self._file is not None:
            with self._telling():
                self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with suppress(UnmaskError) if error is not None else nullcontext(), self._telling():
                self._file.close()

    def _write(self, what: bytes, step: int = 0) -> None:
        if self._file is None:
            return
        event = bytes([1 << 3 | _DOUBLE]) + struct.pack("<d", time.time()) + _field(2, step) + what
        length = struct.pack("<Q", len(event))
        with self._telling():
            self._file.write(length + _masked(length) + event + _masked(event))

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            assert self._file is not None
            raise cannot_write(Path(self._file.name), error) from None


def _field(number: int, value: int | float | bytes) -> bytes:
    """A field of a protocol buffer: a whole number, a float32, or bytes (also a message in another)."""
    if isinstance(value, bytes):
        return _varint(number << 3 | _BYTES) + _varint(len(value)) + value
    if isinstance(value, float):
        return _varint(number << 3 | _FLOAT) + struct.pack("<f", value)
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _masked(data: bytes) -> bytes:
    """CRC-32C, turned and shifted, because a checksum over checksums would tell little."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _crc_table()[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@cache
def _crc_table() -> tuple[int, ...]:
    def remainder(value: int) -> int:
        for _ in range(8):
            value = value >> 1 ^ 0x82F63B78 * (value & 1)
        return value

    return tuple(remainder(byte) for byte in range(256))
