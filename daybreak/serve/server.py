"""The server: C++ threads of the calling process that answer predictions, and what starts, watches and ends them."""

from __future__ import annotations

import atexit
import contextlib
import ipaddress
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from daybreak.base import errors, numbers, paths
from daybreak.serve import checks
from daybreak.serve.admin import AdminLoop
from daybreak.serve.deploying import Deploying
from daybreak.serve.fleet import Fleet, Slot
from daybreak.serve.output import Logs
from daybreak.serve.payload import Open
from daybreak.serve.state import Store

__all__ = ["ADMIN_PORT", "METRICS_PORT", "QUERY_PORT", "READY_TIMEOUT_S", "Server", "last", "start"]

QUERY_PORT = 1337
ADMIN_PORT = 1338
METRICS_PORT = 1390
READY_TIMEOUT_S = 60.0
HANG_TIMEOUT_S = 60.0
MAX_BODY_BYTES = 16 << 20  # of a prediction
_last: weakref.ref[Server] | None = None
_running: weakref.WeakSet[Server] = weakref.WeakSet()


def _stop_all() -> None:
    """When the interpreter ends: whose program forgot it would be aborted, by threads that nobody has joined."""
    for server in list(_running):
        server.stop()


def _is_loopback(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def start(
    state_dir: str | os.PathLike[str] | None = None,
    *,
    host: str = "127.0.0.1",
    query_port: int = QUERY_PORT,
    admin_port: int = ADMIN_PORT,
    metrics_port: int = METRICS_PORT,
    tls: tuple[str, str] | None = None,
    gate: Any = None,
    deploy_gate: Any = None,
    site: Mapping[str, tuple[str, bytes]] | None = None,
    site_headers: Mapping[str, str] | None = None,
    hosts: Sequence[str] = (),
    origins: Sequence[str] = (),
    open: Open | None = None,
    threads: int = 0,
    ready_timeout_s: float = READY_TIMEOUT_S,
    hang_timeout_s: float = HANG_TIMEOUT_S,
    server_id: str = "",
    access_log: bool = False,
) -> Server:
    """Starts a server in this process. It listens when this returns; what the state directory knows is starting again.

    Args:
        state_dir: where apps, links, versions and models are kept, 0700; None: a temporary one that goes with the server.
        host: an address of this machine, or a name of it, which then is a legal Host. Needs tls and gate unless all addresses
            that the name stands for are loopback; the first (IPv4 before IPv6) is listened on.
        query_port, admin_port, metrics_port: 0 takes any that is free.
        tls: files with the certificate chain and the key, PEM.
        gate: who may predict, for all apps (an object with `__daybreak_gate_v1__`), or a mapping of app names to such.
        deploy_gate: who else than the holder of the admin token may deploy to an app (permission `deploy` on `apps/NAME`).
        site: paths and what is answered to them, (content type, bytes); site_headers go with these.
        hosts, origins: further Host and Origin values that are accepted.
        open: opens a sealed model again: gets the ciphertext and the lineage, gives the model.
        threads: of the server; 0 is one a core.
        ready_timeout_s: what a replica may take to load and warm up.
        hang_timeout_s: what it may take for one batch, or twice the deadline of the slowest app that asks its model if that
            is more; then its process is ended and started again.
        server_id: what callers of a gated app sign as the one they speak to; the gate's own name.
        access_log: a line for each answer of the query port on stderr: method, path without its query, status, sizes, time.

    Raises:
        InvalidArgumentError: the address is not loopback, and there is no TLS or no gate.
        UnavailableError: a port is taken.
        FailedPreconditionError: another server has the state directory.
    """
    from daybreak._core import net as _net

    if not isinstance(host, str):
        raise errors.InvalidArgumentError(f"host={checks.shown(host)}: a name or an address as text expected")
    try:
        addresses, reached = _net.resolve(host), "can be reached from other machines"
    except errors.InvalidArgumentError:
        if tls is not None and gate is not None:
            raise
        addresses, reached = [], "is no address of this machine and no name that it knows"
    if not (addresses and all(map(_is_loopback, addresses))) and (tls is None or gate is None):
        missing = " and ".join(name for name, value in (("tls", tls), ("gate", gate)) if value is None)
        raise errors.InvalidArgumentError(
            f"host={host!r} {reached}, and {missing} {'is' if ' ' not in missing else 'are'} not given: "
            "give tls=(certificate, key) and gate=, or keep to 127.0.0.1 and reach it through `ssh -L`"
        )
    timeouts_s = (numbers.real(ready_timeout_s, "ready_timeout_s"), numbers.real(hang_timeout_s, "hang_timeout_s"))
    for name, value in zip(("ready_timeout_s", "hang_timeout_s"), timeouts_s, strict=True):
        if not 0 < value <= 86_400:
            raise errors.InvalidArgumentError(f"{name}={value!r}: seconds up to a day expected")
    global _last
    temporary = tempfile.mkdtemp(prefix="daybreak-serve-") if state_dir is None else None
    path = temporary if state_dir is None else state_dir
    assert path is not None
    cleanup = contextlib.ExitStack()
    with cleanup:
        if temporary is not None:
            cleanup.callback(shutil.rmtree, temporary, ignore_errors=True)
        store = Store(path)
        cleanup.callback(store.close)
        import daybreak
        from daybreak._core import serve as _core

        daybreak.init(ignore_reinit_error=True)
        core = _core.Core(
            host=host,
            query_port=numbers.integer(query_port, "query_port"),
            admin_port=numbers.integer(admin_port, "admin_port"),
            metrics_port=numbers.integer(metrics_port, "metrics_port"),
            admin_token=store.token,
            tls=None if tls is None else (paths.given(tls[0], "tls certificate"), paths.given(tls[1], "tls key")),
            hosts=list(hosts),
            origins=list(origins),
            site=dict(site or {}),
            site_headers=dict(site_headers or {}),
            threads=numbers.integer(threads, "threads"),
            body_bytes=MAX_BODY_BYTES,
            server_id=server_id,
            deploy_gate=deploy_gate,
            access_log=access_log,
        )
        cleanup.callback(core.stop)
        server = Server(core, store, addresses[0], gate, timeouts_s, tls is not None, cleanup)
        cleanup.callback(server._close)
        server.restore(open)
        server._serve_admin()
        store.write_address({"admin": server.admin_address, "query": server.query_address, "tls": tls is not None})
        server._cleanup = cleanup.pop_all()
    _last = weakref.ref(server)
    if not _running:
        atexit.unregister(_stop_all)
        atexit.register(_stop_all)  # after the runtime's own, so that it runs before
    _running.add(server)
    return server


def last() -> Server:
    """The server that was started last and has not stopped."""
    server = _last() if _last is not None else None
    if server is None or server.stopped:
        raise errors.FailedPreconditionError("no server runs in this process: call serve.start() first")
    return server


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
        self._admin: AdminLoop | None = None

    def _serve_admin(self) -> None:
        self._admin = AdminLoop(self)

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
                _running.discard(self)

    def _close(self) -> None:
        self._core.stop()
        self._fleet.close()  # which ends what the management's threads wait for
        if self._admin is not None:
            self._admin.close()
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
