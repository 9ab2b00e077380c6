"""How a server is started in this process: what is checked first, what begins in which order, and that it ends with the process."""

from __future__ import annotations

import atexit
import contextlib
import ipaddress
import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from daybreak import runtime
from daybreak.base import errors, numbers, paths
from daybreak.serve import checks
from daybreak.serve.admin import AdminLoop
from daybreak.serve.payload import Open
from daybreak.serve.server import READY_TIMEOUT_S, Server
from daybreak.serve.state import Store

__all__ = ["ADMIN_PORT", "METRICS_PORT", "QUERY_PORT", "last", "start"]

QUERY_PORT = 1337
ADMIN_PORT = 1338
METRICS_PORT = 1390
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
        from daybreak._core import serve as _core

        runtime.init(ignore_reinit_error=True)
        core = _core.Core(
            host=host,
            query_port=numbers.integer(query_port, "query_port"),
            admin_port=numbers.integer(admin_port, "admin_port"),
            metrics_port=numbers.integer(metrics_port, "metrics_port"),
            admin_token=store.token,
            tls=None if tls is None else (paths.given(tls[0], "tls certificate"), paths.given(tls[1], "tls key")),
            hosts=checks.checked_hosts(hosts),
            origins=checks.checked_origins(origins),
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
        server.manage_by(AdminLoop(server, core))
        store.write_address({"admin": server.admin_address, "query": server.query_address, "tls": tls is not None})
        server._cleanup = cleanup.pop_all()
    _last = weakref.ref(server)
    if all(running.stopped for running in _running):
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
