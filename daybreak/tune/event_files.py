"""TensorBoard's event files, scalars alone: TFRecords (length, data, masked crc32c of each) of Event messages.

Our own writer: it is sixty lines, where tensorboard and tensorboardX bring protobuf and more into an environment that has neither.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterable
from pathlib import Path

from daybreak._core.tune import crc32c

__all__ = ["EventFile"]

_MASK_DELTA = 0xA282EAD8


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF)


def _varint(value: int) -> bytes:
    value &= 2**64 - 1  # negative ones as protobuf has them
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


class EventFile:
    """A new file in the folder; each event is written at once, so that a process that dies leaves what it has logged."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        now = time.time()
        name = f"events.out.tfevents.{int(now):010d}.{socket.gethostname()}.{os.getpid()}.{time.monotonic_ns()}"
        self.path = Path(folder, name)
        self._file = open(self.path, "xb", buffering=0)
        self._write(struct.pack("<Bd", 0x09, now) + _field(3, b"brain.Event:2"))

    def scalars(self, values: Iterable[tuple[str, float]], step: int, at: float | None = None) -> None:
        """(tag, value) each, of one step; ``at``: seconds since 1970, now without."""
        summary = b"".join(
            _field(1, _field(1, tag.encode()) + struct.pack("<Bf", 0x15, value)) for tag, value in values
        )
        time_and_step = struct.pack("<Bd", 0x09, time.time() if at is None else at) + b"\x10" + _varint(step)
        self._write(time_and_step + _field(5, summary))

    def _write(self, event: bytes) -> None:
        length = struct.pack("<Q", len(event))
        self._file.write(length + _masked(length) + event + _masked(event))

    def close(self) -> None:
        self._file.close()
