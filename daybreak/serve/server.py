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
from daybreak.serve.deploying import DEFAULT_SLO_MS, DeployOptions
from daybreak.serve.fleet import Fleet, Slot
from daybreak.serve.mirror import CoreMirror
from daybreak.serve.operations import Operations
from daybreak.serve.output import Logs
from daybreak.serve.payload import Open, Payload, payload_of
from daybreak.serve.state import State, Store

__all__ = ["READY_TIMEOUT_S", "Server"]

READY_TIMEOUT_S = 60.0


class Management(Protocol):
    """What answers management requests until the core has stopped (`admin.AdminLoop`)."""

    def close(self) -> None: ...


class Server:
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

        self._core = core
        self._store = store
        self._logs = logs
        self._fleet = Fleet(core, logs, timeouts_s[0], hang_timeout_s)
        self._mirror = CoreMirror(core, store, logs, self._fleet, gate)
        self._operations = Operations(self._mirror)
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

    # What changes it.

    def add_app(
        self,
        name: str,
        *,
        input_type: str = "doubles",
        slo_ms: float = DEFAULT_SLO_MS,
        default: Any = None,
        overload: str = "default",
        gate: Any = None,
    ) -> None:
        """Opens an endpoint. AlreadyExistsError when there is one of the name."""
        self._operations.add_app(
            name, input_type=input_type, slo_ms=slo_ms, default=default, overload=overload, gate=gate
        )

    def delete_app(self, name: str) -> None:
        """Closes an endpoint. Its model stays."""
        self._operations.delete_app(name)

    def link(self, app: str, model: str) -> None:
        """From now on the app asks the model, of whose current version it must share the input type."""
        self._operations.link(app, model)

    def unlink(self, app: str, *models: str) -> None:
        """From now on the app answers with its default output. All of the models are unlinked, or, when it is not linked to
        one of them, none."""
        self._operations.unlink(app, *models)

    def add_version(
        self,
        model: str,
        version: str,
        *,
        input_type: str = "doubles",
        labels: list[str] | None = None,
        container_name: str = "",
        model_data_path: str = "",
        batch_size: int = -1,
    ) -> None:
        """Registers a version and makes it the current one, as Clipper does; its replicas may be there already, or come later."""
        self._operations.add_version(
            model,
            version,
            input_type=input_type,
            labels=labels,
            container_name=container_name,
            model_data_path=model_data_path,
            batch_size=batch_size,
        )

    def set_version(self, model: str, version: str) -> None:
        """Makes a version the one that answers: at once for what comes, and for what waits."""
        self._operations.set_version(model, version)

    def rollback(self, model: str) -> str:
        """Makes the version current that was so before, and names it."""
        return self._operations.rollback(model)

    def delete_version(self, model: str, version: str, *, force: bool = False) -> None:
        """Ends a version: its replicas finish what they hold. The current one only with force."""
        self._operations.delete_version(model, version, force=force)

    def scale(self, model: str, version: str | None, replicas: int) -> None:
        """So many replicas: new ones are ready when this returns, others end after what they hold."""
        self._operations.scale(model, version, replicas)

    def deploy(
        self,
        name: str,
        model: Any,
        *,
        version: str | int = "1",
        input_type: str | None = None,
        slo_ms: float | None = None,
        default: Any = None,
        replicas: int = 1,
        gate: Any = None,
        batch_size: int = -1,
        batch: str = "list",
        output: str = "json",
        overload: str | None = None,
        lineage: Mapping[str, Any] | None = None,
        live: bool = True,
    ) -> None:
        """Puts a version of a model behind the app of the same name; both are made when they are not there.

        Returns when its replicas are warm and, if live, it is the version that answers. When anything fails nothing has
        changed.

        Args:
            name: of the app and of the model.
            model: a function from a list of inputs to a list of outputs, an object with such a `predict` (and perhaps
                `warm_up()`), both may be async; an `rl` policy or the bytes of its file, which run in this process without
                Python; an artifact of `track` that holds such bytes; `Sealed`.
            version: a new one.
            input_type: doubles (the default), floats, integers, bytes, strings. An app that is there has its own.
            slo_ms: the time for an answer, 100 ms unless said. An app that is there has its own.
            default: what the app answers when the model does not in time; None: it answers 503.
            replicas: processes, or threads of a policy.
            gate: who may predict: an object with `__daybreak_gate_v1__`. An app that has one keeps it.
            batch_size: the largest batch; -1 finds it by measuring.
            batch: "list" gives the model a list of inputs, "array" one numpy array.
            output: "json" takes outputs as JSON values, "str" applies str() to each, as Clipper's containers do.
            overload: "default" or "503" for requests that cannot be answered in time.
            lineage: where the model came from (run, artifact), a JSON object; shown with the version.
            live: False only stages the version; `set_version` makes it current.

        Raises:
            AlreadyExistsError: there is such a version.
            FailedPreconditionError: a replica did not come up, or the app is another than was asked for.
        """
        payload = payload_of(model)
        if input_type is None and name not in self.state.apps:
            input_type = "doubles"
        self.deploy_payload(
            name,
            payload,
            DeployOptions(
                version=str(version),
                input_type=input_type,
                slo_ms=slo_ms,
                default=default,
                replicas=replicas,
                gate=gate,
                batch_size=batch_size,
                batch=batch,
                output=output,
                overload=overload,
                lineage=lineage,
                live=live,
            ),
        )

    def deploy_payload(self, name: str, payload: Payload, options: DeployOptions) -> None:
        """`deploy` of bytes that may not be unpickled here."""
        self._operations.deploys.deploy(name, payload, options)

    def place(self, model: str, version: str, input_type: str, data: bytes, replicas: int) -> None:
        """Replicas of a pickled function before (or after) their version is registered, as Clipper's client deploys them.

        Its outputs are turned into text by str().
        """
        self._operations.deploys.place(model, version, input_type, data, replicas)

    def restore(self, open_sealed: Open | None) -> None:
        """Once, by `start`: makes the core what the state says, and starts the replicas; what cannot be had is shown with the
        reason."""
        self._operations.deploys.restore(open_sealed)

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

    @property
    def state(self) -> State:
        """What is on the disk. Not to be changed."""
        return self._store.state

    def apps(self) -> list[dict[str, Any]]:
        """The apps: name, input_type, slo_ms, default, overload, gated, open, reason (when it is not), models."""
        with self._mirror.lock:
            return [
                {
                    "name": name,
                    "input_type": app.input_type,
                    "slo_ms": app.slo_us / 1000,
                    "default": app.default_output,
                    "overload": app.overload,
                    "gated": app.gated or self._mirror.open_apps.get(name) is not None,
                    "open": name in self._mirror.open_apps,
                    "reason": ""
                    if name in self._mirror.open_apps
                    else "its gate was not given again: start(gate=) or deploy(gate=)",
                    "models": list(app.models),
                }
                for name, app in sorted(self.state.apps.items())
            ]

    def models(self) -> list[dict[str, Any]]:
        """The models: name, current, history, versions, each with its replicas, whether it is ready, and why not."""
        with self._mirror.lock:
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
        why = self._mirror.why_not.get((model, version), "")
        if not why and (model, version) not in self._mirror.in_core:
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
        with self._mirror.lock:
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
            self._mirror.version(model, version, registered=False)
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
        management, self._management = self._management, None
        if management is not None:
            management.close()  # which names this server: kept, both and their descriptors would stay until the collector came
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
