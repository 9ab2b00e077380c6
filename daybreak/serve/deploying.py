"""A deploy: bytes kept, replicas started and warm, then one change of the state; and what a restart makes of the state."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from daybreak.base import errors
from daybreak.serve import checks
from daybreak.serve.control import DEFAULT_SLO_MS, Control
from daybreak.serve.fleet import Spec
from daybreak.serve.payload import Open, Payload, payload_of, reopened
from daybreak.serve.state import App, Model, State, Version
from daybreak.serve.steps import step

__all__ = ["DeployOptions", "Deploying"]


@dataclass(frozen=True)
class DeployOptions:
    """What may be said of a deploy beside its name and its model, as `Deploying.deploy` explains it."""

    version: str = "1"
    input_type: str | None = None
    slo_ms: float | None = None
    default: Any = None
    replicas: int = 1
    gate: Any = None
    batch_size: int = -1
    batch: str = "list"
    output: str = "json"
    overload: str | None = None
    lineage: Mapping[str, Any] | None = None
    live: bool = True

    def __post_init__(self) -> None:
        if self.batch not in ("list", "array") or self.output not in ("json", "str"):
            raise errors.InvalidArgumentError(
                f"batch={checks.shown(self.batch)}, output={checks.shown(self.output)}: "
                "batch is 'list' or 'array', output 'json' or 'str'"
            )


class Deploying(Control):
    """Deploys on top of the operations."""

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
        version = options.version
        checks.checked_name(name, "the app")
        checks.checked_name(version, "the version")
        replicas = checks.checked_replicas(options.replicas)
        if replicas < 1:
            raise errors.InvalidArgumentError("replicas=0: at least one replica is needed to see that the model works")
        with self._claim(name, version):
            step("deploy.begun")
            with self._lock:
                app = self._wanted_app(name, options)
                if version in self.state.models.get(name, Model()).versions:
                    raise errors.AlreadyExistsError(
                        f"Version {version} of {name} exists: deploy under a new version, or delete that one first."
                    )
                if options.live:
                    self._check_types(name, app.input_type)
            about = {**(payload.lineage or {}), **(options.lineage or {})}
            made = Version(
                app.input_type,
                batch_size=checks.checked_batch_size(options.batch_size),
                batch=options.batch,
                output=options.output,
                replicas=replicas,
                lineage=checks.checked_lineage(about or None),
            )

            def finish() -> None:
                app = self._wanted_app(name, options)
                self._go_live(name, version, made, app, options.gate, options.live)

            self._bring_up(name, version, made, payload, finish)
            step("deploy.done")

    def place(self, model: str, version: str, input_type: str, data: bytes, replicas: int) -> None:
        """Replicas of a pickled function before (or after) their version is registered, as Clipper's client deploys them.

        Its outputs are turned into text by str().
        """
        checks.checked_name(model, "the model")
        checks.checked_name(version, "the version")
        replicas = checks.checked_replicas(replicas)
        kind = checks.checked_input_type(input_type)
        with self._claim(model, version):
            known = self.state.models.get(model, Model()).versions.get(version)
            if known is not None and (known.blob is not None or known.input_type != kind):
                raise errors.AlreadyExistsError(f"Version {version} of {model} is deployed already.")
            # A copy: what is known changes when all of this has succeeded, and not before.
            made = Version(kind, registered=False) if known is None else copy.deepcopy(known)
            made.output, made.replicas = "str", replicas

            def finish() -> None:
                self._commit(lambda state: state.models.setdefault(model, Model()).versions.update({version: made}))

            self._bring_up(model, version, made, Payload(data, "pickle"), finish)

    def _bring_up(self, model: str, version: str, made: Version, payload: Payload, finish: Callable[[], None]) -> None:
        """Bytes on the disk, replicas warm, then `finish` under the lock. When that fails nothing is left."""
        was_in_core = (model, version) in self._in_core
        slots = []
        try:
            made.blob = self._store.put(payload.data, payload.kind, payload.loader)
            step("deploy.blob")
            run = payload.runnable(self._store, made.blob)
            with self._lock:
                if not was_in_core:
                    self._core_add(model, version, made)
                self._runs[(model, version)] = run
            step("deploy.version")
            slots = self._fleet.add(Spec(model, version, run, made.batch, made.output), made.replicas, supervised=False)
            step("deploy.replicas")
            self._fleet.wait(slots)
            step("deploy.ready")
            with self._lock:
                finish()
        except BaseException:
            self._fleet.remove(slots, 0.0)
            with self._lock:
                self._runs.pop((model, version), None)
                if not was_in_core:
                    self._core_remove(model, version)
                    self._bring_back(model, self._current(model))
                if len(self._claims) == 1:  # this one
                    self._store.forget()
            raise
        self._fleet.supervise(slots)

    def _wanted_app(self, name: str, options: DeployOptions) -> App:
        """The app that is there, if it is as asked for; else a new one."""
        there = self.state.apps.get(name)
        slo_ms, default, overload, gate = options.slo_ms, options.default, options.overload, options.gate
        asked = self._new_app(
            options.input_type or (there.input_type if there is not None else "doubles"),
            DEFAULT_SLO_MS if slo_ms is None else slo_ms,
            default,
            overload or "default",
        )
        if there is None:
            return asked
        if there.models and there.models != [name]:
            raise errors.FailedPreconditionError(
                f"App {name} is linked to another model, {there.models[0]}: unlink it first."
            )
        pairs: list[tuple[str, Any, Any]] = [("input_type", there.input_type, asked.input_type)]
        pairs += [("slo_ms", there.slo_us / 1000, asked.slo_us / 1000)] if slo_ms is not None else []
        pairs += [("default", there.default_output, asked.default_output)] if default is not None else []
        pairs += [("overload", there.overload, asked.overload)] if overload is not None else []
        for what, has, wants in pairs:
            if has != wants:
                raise errors.FailedPreconditionError(
                    f"App {name} has {what}={has!r}, and {wants!r} was asked for: leave it out, or delete the app first."
                )
        if gate is not None and name in self._open_apps and self._open_apps[name] is not gate:
            raise errors.FailedPreconditionError(
                f"App {name} is open with {'another' if self._open_apps[name] is not None else 'no'} gate: "
                "leave it out, or delete the app first."
            )
        return there

    def _go_live(self, name: str, version: str, made: Version, app: App, gate: Any, live: bool) -> None:
        gate = self._gate_of(name, gate)
        is_new, is_closed = name not in self.state.apps, name not in self._open_apps
        gated = gate is not None or (not is_new and app.gated)
        if live:
            self._check_types(name, made.input_type)

        def change(state: State) -> None:
            entry = state.models.setdefault(name, Model())
            entry.versions[version] = made
            if live:
                entry.set_current(version)
            mine = state.apps.setdefault(name, app)
            mine.gated = gated
            if name not in mine.models:
                mine.models.append(name)

        opens = is_closed and (gate is not None or not gated)
        self._commit(
            change,
            (lambda: step("deploy.journalled"), lambda: None),
            *([self._current_effect(name, version)] if live else []),
            (lambda: step("deploy.switched"), lambda: None),
            *([self._open_app(name, app, gate)] if opens else []),
            *[self._link_effect(each, name) for each in {name, *(found for found, _ in self._apps_of(name))}],
        )

    # After a restart.

    def restore(self, open_sealed: Open | None) -> None:
        """Makes the core what the state says, and starts the replicas; what cannot be had is shown with the reason."""
        with self._lock:
            for name, app in self.state.apps.items():
                gate = self._gate_of(name)
                if gate is not None or not app.gated:
                    self._open_app(name, app, gate)[0]()
            for name, model in self.state.models.items():
                for version, made in model.versions.items():
                    self._restore_version(name, version, made, open_sealed)
                if model.current is not None:
                    self._core.set_current(name, model.current)
            for name, app in self.state.apps.items():
                for linked in app.models:
                    self._link_effect(name, linked)[0]()

    def _restore_version(self, name: str, version: str, made: Version, open_sealed: Open | None) -> None:
        """The core has the versions of one input type: those of the current one, or of the first."""
        model = self.state.models[name]
        leading = model.versions[model.current or next(iter(model.versions))]
        if made.input_type == leading.input_type:
            self._core_add(name, version, made)
        if made.blob is None:
            return
        try:
            self._runs[(name, version)] = reopened(self._store, made.blob, open_sealed, made.lineage)
        except errors.Error as error:
            self._why_not[(name, version)] = str(error)
            return
        if (name, version) in self._in_core:
            self._start_replicas(name, version, made)
