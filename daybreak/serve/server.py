"""The server: C++ threads of the calling process that answer predictions, and what starts, watches and ends them."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol

from daybreak.base import errors
from daybreak.serve import checks
from daybreak.serve.deploying import Deploying
from daybreak.serve.fleet import Fleet, Slot
from daybreak.serve.output import Logs
from daybreak.serve.state import Store

__all__ = ["READY_TIMEOUT_S", "Server"]

READY_TIMEOUT_S = 60.0


class Management(Protocol):
    """What answers management requests until the core has stopped (admin.py)."""

    def close(self) -> None: ...


class Server(Deploying):
    """A server that runs in this process. All methods from any thread. Made by `start`; a context manager that stops it."""

    def __init__(
        self,
        core: Any,
        store: Store,
        host: str,
        gate: Any,
        timeouts_s: tuple[float, float],
        tls: bool,
        cleanup: contextlib.ExitStack,
    ) -> None:
        logs = Logs(store.logs)

        def hang_timeout_s(model: str) -> float:
            slowest = max((app.slo_us for app in store.state.apps.values() if model in app.models), default=0)
            return max(timeouts_s[1], 2 * slowest / 1e6)

        super().__init__(core, store, logs, Fleet(core, logs, timeouts_s[0], hang_timeout_s), gate)
        self._host = f"[{host}]" if ":" in host else host
        self._tls = tls
        self._cleanup = cleanup
        self._stopping = threading.Lock()
        self._stopped = threading.Event()
        self._started = time.time()
        self._management: Management | None = None

    def manage_by(self, management: Management) -> None:
        """Once, by `start`: what is closed with the server, after its core."""
        self._management = management

    # Where it is.

    @property
    def query_address(self) -> str:
        """host:port of the predictions."""
        return f"{self._host}:{self._core.query_port}"

    @property
    def admin_address(self) -> str:
        """host:port of the management."""
        return f"{self._host}:{self._core.admin_port}"

    @property
    def metrics_address(self) -> str:
        """host:port of the metrics."""
        return f"{self._host}:{self._core.metrics_port}"

    @property
    def admin_token_file(self) -> str:
        """The file (0600) with the token that the management asks for."""
        return str(self._store.token_file)

    @property
    def state_dir(self) -> str:
        return str(self._store.path)

    # What there is.

    def apps(self) -> list[dict[str, Any]]:
        """The apps: name, input_type, slo_ms, default, overload, gated, open, reason (when it is not), models."""
        with self._lock:
            return [
                {
                    "name": name,
                    "input_type": app.input_type,
                    "slo_ms": app.slo_us / 1000,
                    "default": app.default_output,
                    "overload": app.overload,
                    "gated": app.gated or self._open_apps.get(name) is not None,
                    "open": name in self._open_apps,
                    "reason": ""
                    if name in self._open_apps
                    else "its gate was not given again: start(gate=) or deploy(gate=)",
                    "models": list(app.models),
                }
                for name, app in sorted(self.state.apps.items())
            ]

    def models(self) -> list[dict[str, Any]]:
        """The models: name, current, history, versions, each with its replicas, whether it is ready, and why not."""
        with self._lock:
            pids = {found["id"]: found.get("pid") for found in self._core.replicas()}
            return [
                {
                    "name": name,
                    "current": model.current,
                    "history": list(model.history),
                    "versions": [self._shown_version(name, version, pids) for version in model.versions],
                }
                for name, model in sorted(self.state.models.items())
            ]

    def _shown_version(self, model: str, version: str, pids: Mapping[int, Any]) -> dict[str, Any]:
        made = self.state.models[model].versions[version]
        slots = self._fleet.of(model, version)
        ready = sum(slot.state == "ready" for slot in slots)
        why = self._why_not.get((model, version), "")
        if not why and (model, version) not in self._in_core:
            why = "it takes another input type than the current version: set_version starts it"
        if not why and not ready:
            errors_seen = [slot.error for slot in slots if slot.error]
            why = errors_seen[-1] if errors_seen else "no replica is ready yet" if slots else "it has no replicas"
        return {
            "version": version,
            "input_type": made.input_type,
            "registered": made.registered,
            "labels": list(made.labels),
            "batch_size": made.batch_size,
            "kind": made.blob.kind if made.blob is not None else None,
            "sha256": made.blob.sha256 if made.blob is not None else None,
            "lineage": made.lineage,
            "wanted": made.replicas,
            "ready": ready,
            "reason": "" if ready else why,
            "replicas": [_shown_slot(slot, pids) for slot in slots],
        }

    def replicas(self) -> list[tuple[str, str, int, str]]:
        """Those that are ready: model, version, number, input type."""
        with self._lock:
            return [
                (slot.spec.model, slot.spec.version, slot.index, made.input_type)
                for name, model in sorted(self.state.models.items())
                for version, made in model.versions.items()
                for slot in self._fleet.of(name, version)
                if slot.state == "ready"
            ]

    def status(self) -> dict[str, Any]:
        """Everything: where it is, apps, models, and the core's counters."""
        return {
            "query": self.query_address,
            "admin": self.admin_address,
            "metrics": self.metrics_address,
            "pid": os.getpid(),
            "up_s": round(time.time() - self._started, 3),
            "apps": self.apps(),
            "models": self.models(),
            "stats": self._core.stats(),
        }

    def logs(self, model: str, version: str | None = None) -> dict[str, str]:
        """What the replicas printed last: text by "version/replica". At most a megabyte of each is kept."""
        checks.checked_name(model, "the model")
        if model not in self.state.models:
            raise errors.NotFoundError(f"No model with name {model} exists.")
        if version is not None:
            self._version(model, version, registered=False)
        return self._logs.read(model, version)

    # Its end.

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> bool:
        """Waits until every replica that should be there is ready; False when that takes longer."""
        return self._fleet.wait_settled(timeout_s)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits until the server is stopped."""
        return self._stopped.wait(timeout_s)

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def drain(self, timeout_s: float = 30.0) -> bool:
        """Takes no new requests and answers those that are there; whether it could in time. Then `stop`."""
        return bool(self._core.drain(timeout_s))

    def stop(self) -> None:
        """Ends replicas and threads and closes the ports. The state stays (unless it was temporary)."""
        with self._stopping:
            if not self._stopped.is_set():
                self._cleanup.close()
                self._stopped.set()

    def _close(self) -> None:
        self._core.stop()
        self._fleet.close()  # which ends what the management's threads wait for
        if self._management is not None:
            self._management.close()
        self._logs.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _shown_slot(slot: Slot, pids: Mapping[int, Any]) -> dict[str, Any]:
    return {
        "replica": slot.index,
        "state": slot.state,
        "pid": pids.get(slot.core_id),
        "restarts": slot.restarts,
        "error": slot.error,
    }
