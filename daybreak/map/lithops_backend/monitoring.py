"""Lithops' monitoring by the sockets of `channel`: what a call says is at its driver at once, and nobody asks a storage."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from lithops.monitoring.monitor import PollingMessageMonitor
from lithops.monitoring.status import MessageCallStatus

from .channel import MAX_MESSAGE_BYTES, Receiver, Sender

__all__ = ["CallStatus", "MonitoringBackend", "sender"]

sender = Sender()
_receivers: dict[str, Receiver] = {}  # by queue: the monitor that comes after another goes on with its socket
_lock = threading.Lock()


class MonitoringBackend(PollingMessageMonitor):  # type: ignore[misc]
    """Of an executor: the thread that reads what its calls say."""

    backend_name = "daybreak"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._queue = self.monitoring_queue_name()
        self._create_resources()

    def _create_resources(self) -> None:
        with _lock:
            if self._queue not in _receivers:
                _receivers[self._queue] = Receiver(self._queue)
            self._receiver = _receivers[self._queue]

    def _delete_resources(self) -> None:
        with _lock:
            receiver = _receivers.pop(self._queue, None)
        if receiver is not None:
            receiver.close()

    def _receive_messages(self, timeout: float) -> Iterator[str]:
        return self._receiver.receive(timeout)

    def stop(self) -> None:
        super().stop()
        self._receiver.wake()


class CallStatus(MessageCallStatus):  # type: ignore[misc]
    """In a worker: says how far a call is, to the executors above it, and leaves the last word in the storage, too."""

    service_name = "Daybreak"
    MAX_MESSAGE_SIZE = MAX_MESSAGE_BYTES

    def _publish_to(self, target: str, payload: str) -> None:
        sender.send(target, payload)  # who does not read any more has its answer or wants none
