"""Messages from any process of this machine to the one that reads a queue, by a Unix socket: pushed, and in order from each sender.

A queue is a socket that its reader has bound; its place follows from the queue's name. Who sends keeps the connection. A message
is four bytes with its size, then its text in UTF-8.
"""

from __future__ import annotations

import hashlib
import os
import selectors
import socket
import stat
import struct
import tempfile
import threading
import time
from collections.abc import Iterator

from daybreak.base.errors import FailedPreconditionError, ResourceExhaustedError

__all__ = ["MAX_MESSAGE_BYTES", "Receiver", "Sender", "place"]

MAX_MESSAGE_BYTES = 64 << 20
_SEND_S = 10.0  # for a reader that does not read any more
_PIECE = 1 << 18
_SIZE = struct.Struct("!I")
_MOST_CONNECTIONS = 4096


def _folder() -> str:
    """Of this user alone: $XDG_RUNTIME_DIR/daybreak, or daybreak-UID in the temporary folder."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    path = os.path.join(runtime, "daybreak") if runtime else os.path.join("/tmp", f"daybreak-{os.geteuid()}")
    if len(os.fsencode(path)) > 70:  # a socket's name has at most 107 bytes
        path = os.path.join(tempfile.gettempdir(), f"daybreak-{os.geteuid()}")
    os.makedirs(path, mode=0o700, exist_ok=True)
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise FailedPreconditionError(
            f"{path} is no folder of this user with mode 0700: remove it, or set XDG_RUNTIME_DIR"
        )
    return path


def place(queue: str) -> str:
    """The path of the queue's socket."""
    return os.path.join(_folder(), f"q-{hashlib.sha256(queue.encode()).hexdigest()[:24]}")


class Receiver:
    """The reading end. One thread reads; `wake` and `close` come from any."""

    def __init__(self, queue: str) -> None:
        self.path = place(queue)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if os.path.lexists(self.path):
                os.unlink(self.path)
            self._listener.bind(self.path)
            self._listener.listen(128)
        except BaseException:
            self._listener.close()
            raise
        self._listener.setblocking(False)
        self._waked, self._waker = socket.socketpair()
        self._waked.setblocking(False)
        self._waker.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._waked, selectors.EVENT_READ)
        self._parts: dict[socket.socket, bytearray] = {}
        self._lock = threading.Lock()  # of the selector, between the reader and close()
        self._closed = False

    def wake(self) -> None:
        """The reader that waits gets nothing, now."""
        try:
            self._waker.send(b"w")
        except OSError:
            pass  # it is closed, or waked already

    def receive(self, timeout: float) -> Iterator[str]:
        """What has come, of all senders; waits until something does, it is waked, or `timeout` seconds are over."""
        deadline = time.monotonic() + timeout
        texts: list[str] = []
        while not texts:
            with self._lock:
                if self._closed:
                    return
                ready = [key.fileobj for key, _ in self._selector.select(max(0.0, deadline - time.monotonic()))]
                texts = [text for source in ready for text in self._read(source)]  # type: ignore[arg-type]
            if not ready or self._waked in ready:
                break
        yield from texts

    def _read(self, source: socket.socket) -> list[str]:
        if source is self._waked:
            source.recv(1 << 12)
            return []
        if source is self._listener:
            self._accept()
            return []
        found = []
        part = self._parts[source]
        try:
            data = source.recv(_PIECE)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        part += data
        while len(part) >= _SIZE.size:
            (size,) = _SIZE.unpack_from(part)
            if size > MAX_MESSAGE_BYTES:
                data = b""  # no sender of ours: the connection ends
                break
            if len(part) < _SIZE.size + size:
                break
            found.append(bytes(part[_SIZE.size : _SIZE.size + size]).decode("utf-8", "replace"))
            del part[: _SIZE.size + size]
        if not data:
            self._selector.unregister(source)
            del self._parts[source]
            source.close()
        return found

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        if len(self._parts) >= _MOST_CONNECTIONS:
            connection.close()
            return
        connection.setblocking(False)
        self._parts[connection] = bytearray()
        self._selector.register(connection, selectors.EVENT_READ)

    def close(self) -> None:
        """The queue is gone. May be called twice."""
        self.wake()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._selector.close()
            for each in (self._listener, self._waked, self._waker, *self._parts):
                each.close()
            self._parts.clear()
        try:
            os.unlink(self.path)
        except OSError:
            pass


class Sender:
    """The writing ends that a process keeps, by queue. Thread-safe; a fork begins with none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._connections: dict[str, socket.socket] = {}

    def send(self, queue: str, text: str) -> bool:
        """False: nobody reads that queue.

        Raises:
            ResourceExhaustedError: the message is longer than MAX_MESSAGE_BYTES.
            TimeoutError: the reader has taken nothing for ten seconds.
        """
        data = text.encode()
        if len(data) > MAX_MESSAGE_BYTES:
            raise ResourceExhaustedError(f"a message of {len(data)} bytes: at most {MAX_MESSAGE_BYTES} can be sent")
        if self._pid != os.getpid():
            self.__init__()  # type: ignore[misc]
        message = _SIZE.pack(len(data)) + data
        with self._lock:
            kept = self._connections.pop(queue, None)
            if kept is not None and self._sent(queue, kept, message):
                return True
            fresh = self._connect(queue)  # also where the reader before this one was kept
            return fresh is not None and self._sent(queue, fresh, message)

    def _sent(self, queue: str, connection: socket.socket, message: bytes) -> bool:
        """With the lock. False: its reader is gone, and so is the connection."""
        try:
            connection.sendall(message)
        except (BrokenPipeError, ConnectionResetError):
            connection.close()
            return False
        except BaseException:
            connection.close()
            raise
        self._connections[queue] = connection
        return True

    @staticmethod
    def _connect(queue: str) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(_SEND_S)
        try:
            connection.connect(place(queue))
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            return None
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        with self._lock:
            for each in self._connections.values():
                each.close()
            self._connections.clear()
