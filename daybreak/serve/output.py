"""What replicas print: each into a file of bounded size, which outlives the replica.

A replica's standard output and error are a named pipe in `logs/` that this process reads, so that the last words of a replica
that is killed are kept too, and a replica that prints without end fills a ring and not the disk.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
from pathlib import Path

__all__ = ["RING_BYTES", "Logs"]

RING_BYTES = 1 << 20  # kept of one replica: the newest half to all of it
_CHUNK = 65_536


class _Ring:
    """Two files of half the size: the one that is written to, and the one before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = self._open()
        self.size = os.fstat(self.descriptor).st_size

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(self.path, flags, 0o600)

    def write(self, data: bytes) -> None:
        if self.size + len(data) > RING_BYTES // 2:
            os.replace(self.path, self.path.with_suffix(".log.1"))
            os.close(self.descriptor)
            self.descriptor = self._open()
            self.size = 0
        self.size += os.write(self.descriptor, data)

    def close(self) -> None:
        os.close(self.descriptor)


class Logs:
    """The pipes and rings of one server, and the thread between them. Safe to use from many threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._pipes: dict[str, tuple[int, _Ring]] = {}  # by path; the ring also by the pipe's descriptor:
        self._rings: dict[int, _Ring] = {}
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = os.pipe()[::-1]
        os.set_blocking(self._woken, False)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._closing = False
        for fifo in folder.rglob("*.fifo"):
            fifo.unlink(missing_ok=True)
        self._thread = threading.Thread(target=self._pump, name="serve-logs", daemon=True)
        self._thread.start()

    def _base(self, model: str, version: str, index: int) -> Path:
        # Names were checked: no '/', and never '.' or '..'.
        return self._folder / model / version / str(index)

    def open(self, model: str, version: str, index: int) -> str:
        """The path of the pipe that the replica opens for writing. The same one while it is open."""
        base = self._base(model, version, index)
        path = str(base.with_name(f"{index}.fifo"))
        with self._lock:
            if path in self._pipes:
                return path
            base.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            os.mkfifo(path, 0o600)
            # Open for both, so that it never is at its end when the replica goes.
            descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            ring = _Ring(base.with_name(f"{index}.log"))
            self._pipes[path] = (descriptor, ring)
            self._rings[descriptor] = ring
            self._selector.register(descriptor, selectors.EVENT_READ, path)
        os.write(self._wake, b"x")
        return path

    def close_one(self, model: str, version: str, index: int) -> None:
        """The replica is gone for good: takes what is left in its pipe and keeps the files."""
        path = str(self._base(model, version, index).with_name(f"{index}.fifo"))
        with self._lock:
            found = self._pipes.pop(path, None)
            if found is not None:
                self._finish(path, *found)

    def _finish(self, path: str, descriptor: int, ring: _Ring) -> None:
        self._selector.unregister(descriptor)
        del self._rings[descriptor]
        self._drain(descriptor, ring)
        os.close(descriptor)
        ring.close()
        with contextlib.suppress(OSError):
            os.unlink(path)

    def _drain(self, descriptor: int, ring: _Ring, limit: int = 64) -> None:
        for _ in range(limit):
            try:
                data = os.read(descriptor, _CHUNK)
            except BlockingIOError:
                return
            if not data:
                return
            # A full disk loses output; the replica must not stop for it.
            with contextlib.suppress(OSError):
                ring.write(data)

    def _pump(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select():
                with self._lock:
                    if key.data is None:
                        with contextlib.suppress(BlockingIOError):
                            os.read(self._woken, 4096)
                    elif key.fd in self._rings:  # not closed since select() saw it
                        self._drain(key.fd, self._rings[key.fd], 1)

    def read(self, model: str, version: str | None = None, limit_bytes: int = RING_BYTES) -> dict[str, str]:
        """What the replicas of a model (of a version) printed last: text by "version/replica"."""
        found = {}
        with self._lock:
            for descriptor, ring in self._pipes.values():
                self._drain(descriptor, ring)
        pattern = f"{version or '*'}/*.log"
        for path in sorted((self._folder / model).glob(pattern)):
            data = b""
            for part in (path.with_suffix(".log.1"), path):
                with contextlib.suppress(FileNotFoundError):
                    data += part.read_bytes()
            found[f"{path.parent.name}/{path.stem}"] = data[-limit_bytes:].decode("utf-8", "backslashreplace")
        return found

    def remove(self, model: str, version: str) -> None:
        """Forgets what a version that is deleted printed."""
        folder = self._folder / model / version
        for path in folder.glob("*"):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()
            folder.parent.rmdir()

    def close(self) -> None:
        self._closing = True
        os.write(self._wake, b"x")
        self._thread.join()
        with self._lock:
            for path, (descriptor, ring) in self._pipes.items():
                self._finish(path, descriptor, ring)
            self._pipes.clear()
            self._selector.close()
            os.close(self._wake)
            os.close(self._woken)
