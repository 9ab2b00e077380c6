"""What changes a server: apps, links, versions, replica counts. Each change is on the disk before it is seen."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from daybreak.base import errors
from daybreak.serve import checks
from daybreak.serve.fleet import Fleet, Spec
from daybreak.serve.output import Logs
from daybreak.serve.payload import Runnable
from daybreak.serve.state import App, Model, State, Store, Version

__all__ = ["DEFAULT_SLO_MS", "DRAIN_S", "Control"]

DRAIN_S = 30.0  # for what a replica holds when it is removed
DEFAULT_SLO_MS = 100.0

_Effect = tuple[Callable[[], object], Callable[[], object]]  # do it, undo it


class Control:
    """The operations. Safe to use from many threads: state changes under one lock, slow work (replicas that load) outside."""

    def __init__(self, core: Any, store: Store, logs: Logs, fleet: Fleet, gates: Mapping[str, Any] | Any) -> None:
        self._core = core
        self._store = store
        self._logs = logs
        self._fleet = fleet
        self._gates = gates  # one for all apps, or by app
        self._lock = threading.RLock()
        self._claims: set[tuple[str, str]] = set()  # versions that somebody changes at the moment
        self._in_core: set[tuple[str, str]] = set()  # versions that the core has
        self._open_apps: dict[str, Any] = {}  # apps that the core has, with their gate
        self._linked: set[tuple[str, str]] = set()  # links that the core has
        self._runs: dict[tuple[str, str], Runnable] = {}
        self._why_not: dict[tuple[str, str], str] = {}  # versions that cannot run here, and why

    # Looking.

    @property
    def state(self) -> State:
        return self._store.state

    def _app(self, name: object) -> App:
        found = self.state.apps.get(checks.checked_name(name, "the app"))
        if found is None:
            raise errors.NotFoundError(f"No app with name {name} exists.")
        return found

    def _model(self, name: object) -> Model:
        found = self.state.models.get(checks.checked_name(name, "the model"))
        if found is None or not any(version.registered for version in found.versions.values()):
            raise errors.NotFoundError(f"No model with name {name} exists.")
        return found

    def _version(self, model: object, version: object, *, registered: bool = True) -> Version:
        checks.checked_name(model, "the model")
        checks.checked_name(version, "the version")
        known = self.state.models.get(str(model))
        found = known.versions.get(str(version)) if known is not None else None
        if found is None or (registered and not found.registered):
            raise errors.NotFoundError(f"Version {version} does not exist for model {model}.")
        return found

    def _apps_of(self, model: str) -> list[tuple[str, App]]:
        return [(name, app) for name, app in self.state.apps.items() if model in app.models]

    def _check_types(self, model: str, input_type: str) -> None:
        for name, app in self._apps_of(model):
            if app.input_type != input_type:
                raise errors.FailedPreconditionError(
                    f"Model {model} takes {input_type}, and app {name}, which is linked to it, takes {app.input_type}."
                )

    # Changing: the disk first, then the core; back if the core refuses.

    def _commit(self, change: Callable[[State], object], *effects: _Effect) -> None:
        before = self.state
        after = before.copy()
        change(after)
        self._store.save(after)
        done: list[Callable[[], object]] = []
        try:
            for do, undo in effects:
                do()
                done.append(undo)
        except BaseException:
            for undo in reversed(done):
                with contextlib.suppress(errors.Error):
                    undo()
            self._store.save(before)
            raise

    def _gate_of(self, name: str, given: Any = None) -> Any:
        if given is not None:
            return given
        return self._gates.get(name) if isinstance(self._gates, Mapping) else self._gates

    def _open_app(self, name: str, app: App, gate: Any) -> _Effect:
        def do() -> None:
            self._core.add_app(
                name,
                input_type=app.input_type,
                default_output=app.default_output,
                slo_us=app.slo_us,
                overload=app.overload,
                gate=gate,
            )
            self._open_apps[name] = gate

        return do, self._close_app(name)[0]

    def _close_app(self, name: str) -> _Effect:
        def do() -> None:
            if name in self._open_apps:
                del self._open_apps[name]
                self._linked = {link for link in self._linked if link[0] != name}
                self._core.delete_app(name)

        return do, _nothing

    def _link_effect(self, app: str, model: str) -> _Effect:
        def do() -> None:
            # An app that is closed for want of its gate, or a model that has no version, is linked when that changes.
            if app in self._open_apps and (app, model) not in self._linked and self._known_to_core(model):
                self._core.link(app, model)
                self._linked.add((app, model))

        def undo() -> None:
            if (app, model) in self._linked:
                self._linked.discard((app, model))
                self._core.unlink(app, model)

        return do, undo

    def _known_to_core(self, model: str) -> bool:
        return any(name == model for name, _ in self._in_core)

    def _current_effect(self, model: str, version: str) -> _Effect:
        before = self.state.models[model].current if model in self.state.models else None
        back = (lambda: self._core.set_current(model, before)) if before is not None else _nothing
        return lambda: self._core.set_current(model, version), back

    # Apps and links.

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
        app = self._new_app(input_type, slo_ms, default, overload)
        with self._lock:
            self._add_app(name, app, gate)

    def _new_app(self, input_type: str, slo_ms: float, default: Any, overload: str) -> App:
        if (
            isinstance(slo_ms, bool)
            or not isinstance(slo_ms, (int, float))
            or not 0 < slo_ms <= checks.MAX_SLO_US / 1e3
        ):
            raise errors.InvalidArgumentError(
                f"slo_ms={slo_ms!r}: milliseconds between 0.001 and {checks.MAX_SLO_US / 1e3:,.0f} expected"
            )
        if overload not in ("default", "503"):
            raise errors.InvalidArgumentError(f"overload={checks.shown(overload)}: 'default' or '503' expected")
        text = default if default is None or isinstance(default, str) else json.dumps(default, allow_nan=False)
        if text is not None:
            checks.checked_text(text, "the default output")
        return App(
            checks.checked_input_type(input_type), text, checks.checked_slo_us(max(1, round(slo_ms * 1000))), overload
        )

    def _add_app(self, name: str, app: App, gate: Any) -> None:
        checks.checked_name(name, "the app")
        if name in self.state.apps:
            raise errors.AlreadyExistsError(f"Error application {name} already exists.")
        gate = self._gate_of(name, gate)
        app.gated = gate is not None
        self._commit(lambda state: state.apps.update({name: app}), self._open_app(name, app, gate))

    def delete_app(self, name: str) -> None:
        """Closes an endpoint. Its model stays."""
        with self._lock:
            self._app(name)
            self._commit(lambda state: state.apps.pop(name), self._close_app(name))

    def link(self, app: str, model: str) -> None:
        """From now on the app asks the model, of whose current version it must share the input type."""
        with self._lock:
            found, linked = self._app(app), self._model(model)
            if model in found.models:
                raise errors.AlreadyExistsError(f"App {app} is already linked to model {model}.")
            if found.models:
                raise errors.FailedPreconditionError(
                    f"App {app} is already linked to another model, {found.models[0]}."
                )
            current = linked.current
            if current is not None and linked.versions[current].input_type != found.input_type:
                raise errors.FailedPreconditionError(
                    f"App {app} takes {found.input_type}, and model {model} takes {linked.versions[current].input_type}."
                )
            self._commit(lambda state: state.apps[app].models.append(model), self._link_effect(app, model))

    def unlink(self, app: str, model: str) -> None:
        """From now on the app answers with its default output."""
        with self._lock:
            if model not in self._app(app).models:
                raise errors.NotFoundError(f"App {app} is not linked to model {checks.shown(model)}.")
            do, undo = self._link_effect(app, model)
            self._commit(lambda state: state.apps[app].models.remove(model), (undo, do))

    # Versions.

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
        checks.checked_name(model, "the model")
        checks.checked_name(version, "the version")
        made = Version(
            checks.checked_input_type(input_type),
            labels=checks.checked_labels(labels or []),
            container_name=checks.checked_text(container_name, "container_name", 1024),
            model_data_path=checks.checked_text(model_data_path, "model_data_path", 4096),
            batch_size=checks.checked_batch_size(batch_size),
        )
        with self._claim(model, version):
            with self._lock:
                placed = self._check_new(model, version, made)
            if placed is not None and placed.batch_size != made.batch_size:
                self._replace_in_core(model, version, made)
            with self._lock:
                self._check_new(model, version, made)
                self._register(model, version, made)

    def _check_new(self, model: str, version: str, made: Version) -> Version | None:
        """Whether the version can be registered; what is there of it."""
        placed = self.state.models.get(model, Model()).versions.get(version)
        if placed is not None and placed.registered:
            raise errors.AlreadyExistsError(f"Error model {model}:{version} already exists.")
        self._check_types(model, made.input_type)
        if placed is not None:
            if placed.input_type != made.input_type:
                raise errors.FailedPreconditionError(
                    f"The replicas of {model}:{version} were deployed for {placed.input_type}, not for {made.input_type}."
                )
            made.batch, made.output, made.replicas = placed.batch, placed.output, placed.replicas
            made.blob, made.lineage = placed.blob, placed.lineage
        return placed

    def _register(self, model: str, version: str, made: Version) -> None:
        is_new = (model, version) not in self._in_core
        if is_new:
            self._core_add(model, version, made)

        def change(state: State) -> None:
            entry = state.models.setdefault(model, Model())
            entry.versions[version] = made
            entry.set_current(version)

        links = [self._link_effect(name, model) for name, _ in self._apps_of(model)]
        try:
            self._commit(change, self._current_effect(model, version), *links)
        except BaseException:
            if is_new:
                self._core_remove(model, version)
            raise

    def set_version(self, model: str, version: str) -> None:
        """Makes a version the one that answers: at once for what comes, and for what waits."""
        with self._lock:
            self._model(model)
            found = self._version(model, version)
            self._check_types(model, found.input_type)
            self._commit(lambda state: state.models[model].set_current(version), self._current_effect(model, version))

    def rollback(self, model: str) -> str:
        """Makes the version current that was so before, and names it."""
        with self._lock:
            history = self._model(model).history
            if not history:
                raise errors.FailedPreconditionError(f"No version of {model} was current before: set one by its name.")
            version = history[-1]
            self._check_types(model, self.state.models[model].versions[version].input_type)

            def change(state: State) -> None:
                state.models[model].history.pop()
                state.models[model].current = version

            self._commit(change, self._current_effect(model, version))
            return version

    @contextlib.contextmanager
    def _claim(self, model: str, version: str) -> Iterator[None]:
        """Refuses while another deploys, scales or deletes the version."""
        with self._lock:
            if (model, version) in self._claims:
                raise errors.AbortedError(f"Version {version} of {model} is being changed by another: wait for that.")
            self._claims.add((model, version))
        try:
            yield
        finally:
            with self._lock:
                self._claims.discard((model, version))

    def delete_version(self, model: str, version: str, *, force: bool = False) -> None:
        """Ends a version: its replicas finish what they hold. The current one only with force."""
        self._version(model, version, registered=False)
        with self._claim(model, version):
            with self._lock:
                self._version(model, version, registered=False)
                if self.state.models[model].current == version and not force:
                    raise errors.FailedPreconditionError(
                        f"Version {version} of {model} is the current one: set another one first, or delete it with force."
                    )
                self._commit(lambda state: _drop(state, model, version))
            self._fleet.remove(self._fleet.of(model, version), DRAIN_S)
            with self._lock:
                self._core_remove(model, version)
                self._why_not.pop((model, version), None)
            self._logs.remove(model, version)
        self._forget_blobs()

    def _forget_blobs(self) -> None:
        with self._lock:
            if not self._claims:  # else a model is perhaps on the disk that the state does not name yet
                self._store.forget()

    def scale(self, model: str, version: str | None, replicas: int) -> None:
        """So many replicas: new ones are ready when this returns, others end after what they hold."""
        checks.checked_replicas(replicas)
        name = version if version is not None else self._model(model).current
        if name is None:
            raise errors.FailedPreconditionError(f"No version of {model} is current: name one.")
        self._version(model, name, registered=False)
        with self._claim(model, name):
            found = self._version(model, name, registered=False)
            slots = self._fleet.of(model, name)

            def commit() -> None:
                with self._lock:
                    self._commit(lambda state: _set_replicas(state, model, name, replicas))

            if replicas <= len(slots):
                commit()
                self._fleet.remove(slots[replicas:], DRAIN_S)
                return
            run = self._runs.get((model, name))
            if run is None:
                why = self._why_not.get((model, name), "it was registered without a model to run")
                raise errors.FailedPreconditionError(f"Version {name} of {model} cannot have replicas: {why}.")
            spec = Spec(model, name, run, found.batch, found.output)
            new = self._fleet.add(spec, replicas - len(slots), supervised=False)
            try:
                self._fleet.wait(new)
                commit()
            except BaseException:
                self._fleet.remove(new, 0.0)
                raise
            self._fleet.supervise(new)

    # The core's versions.

    def _core_add(self, model: str, version: str, made: Version) -> None:
        lineage = json.dumps(made.lineage) if made.lineage is not None else ""
        self._core.add_version(model, version, input_type=made.input_type, batch_size=made.batch_size, lineage=lineage)
        self._in_core.add((model, version))

    def _core_remove(self, model: str, version: str) -> None:
        self._runs.pop((model, version), None)
        if (model, version) in self._in_core:
            self._in_core.discard((model, version))
            with contextlib.suppress(errors.NotFoundError):
                self._core.delete_version(model, version)

    def _replace_in_core(self, model: str, version: str, made: Version) -> None:
        """Takes another batch size for replicas that no request knows yet: they are started again, and waited for."""
        slots = self._fleet.of(model, version)
        self._fleet.remove(slots, 0.0)
        with self._lock:
            run = self._runs.get((model, version))
            self._core_remove(model, version)
            self._core_add(model, version, made)
            if run is None:
                return
            self._runs[(model, version)] = run
            new = self._fleet.add(Spec(model, version, run, made.batch, made.output), len(slots), supervised=True)
        with contextlib.suppress(errors.FailedPreconditionError):
            self._fleet.wait(new)


def _nothing() -> None:
    return None


def _drop(state: State, model: str, version: str) -> None:
    state.models[model].drop(version)
    if not state.models[model].versions and not any(model in app.models for app in state.apps.values()):
        del state.models[model]


def _set_replicas(state: State, model: str, version: str, replicas: int) -> None:
    state.models[model].versions[version].replicas = replicas
