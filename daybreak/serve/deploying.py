"""A deploy: bytes kept, replicas started and warm, then one change of the state; and what a restart makes of the state."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from daybreak.base import errors, numbers
from daybreak.base.failpoints import failpoint
from daybreak.serve import checks, results
from daybreak.serve.fleet import Spec
from daybreak.serve.mirror import CoreMirror
from daybreak.serve.payload import Open, Payload, reopened
from daybreak.serve.state import App, Model, State, Version

__all__ = ["DEFAULT_SLO_MS", "DeployOptions", "Deploys", "new_app"]

DEFAULT_SLO_MS = 100.0


@dataclass(frozen=True)
class DeployOptions:
    """What may be said of a deploy beside its name and its model, as `Server.deploy` explains it."""

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


def new_app(input_type: str, slo_ms: float, default: Any, overload: str) -> App:
    """What a user asked for, checked; not yet anywhere."""
    number = 0.0
    if not isinstance(slo_ms, bool):
        with contextlib.suppress(errors.InvalidArgumentError):
            number = numbers.real(slo_ms, "slo_ms")  # of numpy, too
    if not 0 < number <= checks.MAX_SLO_US / 1e3:
        raise errors.InvalidArgumentError(
            f"slo_ms={slo_ms!r}: milliseconds between 0.001 and {checks.MAX_SLO_US / 1e3:,.0f} expected"
        )
    if overload not in ("default", "503"):
        raise errors.InvalidArgumentError(f"overload={checks.shown(overload)}: 'default' or '503' expected")
    text = default if default is None or isinstance(default, str) else results.json_of(default, "default")
    if text is not None:
        checks.checked_text(text, "the default output")
    return App(
        checks.checked_input_type(input_type), text, checks.checked_slo_us(max(1, round(number * 1000))), overload
    )


class Deploys:
    """What brings versions up with their models: deploys, Clipper's placing, and the restart."""

    def __init__(self, mirror: CoreMirror) -> None:
        self._mirror = mirror

    def deploy(self, name: str, payload: Payload, options: DeployOptions) -> None:
        """Of bytes that may not be unpickled here."""
        version = options.version
        checks.checked_name(name, "the app")
        checks.checked_name(version, "the version")
        replicas = checks.checked_replicas(options.replicas)
        if replicas < 1:
            raise errors.InvalidArgumentError("replicas=0: at least one replica is needed to see that the model works")
        with self._mirror.claim(name, version):
            failpoint("serve.deploy.begun")
            with self._mirror.lock:
                app = self._wanted_app(name, options)
                if version in self._mirror.state.models.get(name, Model()).versions:
                    raise errors.AlreadyExistsError(
                        f"Version {version} of {name} exists: deploy under a new version, or delete that one first."
                    )
                if options.live:
                    self._mirror.check_types(name, app.input_type)
            about = {**(payload.lineage or {}), **(checks.checked_lineage(options.lineage) or {})}
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
            failpoint("serve.deploy.done")

    def place(self, model: str, version: str, input_type: str, data: bytes, replicas: int) -> None:
        """Replicas of a pickled function before (or after) their version is registered, as Clipper's client deploys them.

        Its outputs are turned into text by str().
        """
        checks.checked_name(model, "the model")
        checks.checked_name(version, "the version")
        replicas = checks.checked_replicas(replicas)
        kind = checks.checked_input_type(input_type)
        with self._mirror.claim(model, version):
            known = self._mirror.state.models.get(model, Model()).versions.get(version)
            if known is not None and (known.blob is not None or known.input_type != kind):
                raise errors.AlreadyExistsError(f"Version {version} of {model} is deployed already.")
            # A copy: what is known changes when all of this has succeeded, and not before.
            made = Version(kind, registered=False) if known is None else copy.deepcopy(known)
            made.output, made.replicas = "str", replicas

            def finish() -> None:
                self._mirror.commit(
                    lambda state: state.models.setdefault(model, Model()).versions.update({version: made})
                )

            self._bring_up(model, version, made, Payload(data, "pickle"), finish)

    def _bring_up(self, model: str, version: str, made: Version, payload: Payload, finish: Callable[[], None]) -> None:
        """Bytes on the disk, replicas warm, then `finish` under the lock. When that fails nothing is left."""
        was_in_core = (model, version) in self._mirror.in_core
        slots = []
        try:
            made.blob = self._mirror.store.put(payload.data, payload.kind, payload.loader)
            failpoint("serve.deploy.blob")
            run = payload.runnable(self._mirror.store, made.blob)
            with self._mirror.lock:
                if not was_in_core:
                    self._mirror.add_version(model, version, made)
                self._mirror.runs[(model, version)] = run
            failpoint("serve.deploy.version")
            slots = self._mirror.fleet.add(
                Spec(model, version, run, made.batch, made.output), made.replicas, supervised=False
            )
            failpoint("serve.deploy.replicas")
            self._mirror.fleet.wait(slots)
            failpoint("serve.deploy.ready")
            with self._mirror.lock:
                finish()
        except BaseException:
            self._mirror.fleet.remove(slots, 0.0)
            with self._mirror.lock:
                self._mirror.runs.pop((model, version), None)
                if not was_in_core:
                    self._mirror.remove_version(model, version)
                    self._mirror.bring_back(model, self._mirror.current(model))
                self._mirror.forget_blobs(claimed=1)  # this one
            raise
        self._mirror.fleet.supervise(slots)

    def _wanted_app(self, name: str, options: DeployOptions) -> App:
        """The app that is there, if it is as asked for; else a new one."""
        there = self._mirror.state.apps.get(name)
        slo_ms, default, overload, gate = options.slo_ms, options.default, options.overload, options.gate
        asked = new_app(
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
        if gate is not None and name in self._mirror.open_apps and self._mirror.open_apps[name] is not gate:
            raise errors.FailedPreconditionError(
                f"App {name} is open with {'another' if self._mirror.open_apps[name] is not None else 'no'} gate: "
                "leave it out, or delete the app first."
            )
        return there

    def _go_live(self, name: str, version: str, made: Version, app: App, gate: Any, live: bool) -> None:
        gate = self._mirror.gate_of(name, gate)
        is_new, is_closed = name not in self._mirror.state.apps, name not in self._mirror.open_apps
        gated = gate is not None or (not is_new and app.gated)
        if live:
            self._mirror.check_types(name, made.input_type)

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
        self._mirror.commit(
            change,
            (lambda: failpoint("serve.deploy.journalled"), lambda: None),
            *([self._mirror.current_effect(name, version)] if live else []),
            (lambda: failpoint("serve.deploy.switched"), lambda: None),
            *([self._mirror.open_app(name, app, gate)] if opens else []),
            *[
                self._mirror.link_effect(each, name)
                for each in {name, *(found for found, _ in self._mirror.apps_of(name))}
            ],
        )

    # After a restart.

    def restore(self, open_sealed: Open | None) -> None:
        """Makes the core what the state says, and starts the replicas; what cannot be had is shown with the reason."""
        with self._mirror.lock:
            for name, app in self._mirror.state.apps.items():
                gate = self._mirror.gate_of(name)
                if gate is not None or not app.gated:
                    self._mirror.open_app(name, app, gate)[0]()
            for name, model in self._mirror.state.models.items():
                for version, made in model.versions.items():
                    self._restore_version(name, version, made, open_sealed)
                if model.current is not None:
                    self._mirror.core.set_current(name, model.current)
            for name, app in self._mirror.state.apps.items():
                for linked in app.models:
                    self._mirror.link_effect(name, linked)[0]()

    def _restore_version(self, name: str, version: str, made: Version, open_sealed: Open | None) -> None:
        """The core has the versions of one input type: those of the current one, or of the first."""
        model = self._mirror.state.models[name]
        leading = model.versions[model.current or next(iter(model.versions))]
        if made.input_type == leading.input_type:
            self._mirror.add_version(name, version, made)
        if made.blob is None:
            return
        try:
            self._mirror.runs[(name, version)] = reopened(self._mirror.store, made.blob, open_sealed, made.lineage)
        except errors.Error as error:
            self._mirror.why_not[(name, version)] = str(error)
            return
        if (name, version) in self._mirror.in_core:
            self._mirror.start_replicas(name, version, made)
