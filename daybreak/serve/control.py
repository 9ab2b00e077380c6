"""What changes a server: apps, links, versions, replica counts. Each change is on the disk before it is seen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from daybreak.base import errors, numbers
from daybreak.serve import checks, results
from daybreak.serve.fleet import Spec
from daybreak.serve.mirror import Mirror
from daybreak.serve.state import App, Model, State, Version

__all__ = ["DEFAULT_SLO_MS", "DRAIN_S", "Control"]

DRAIN_S = 30.0  # for what a replica holds when it is removed
DEFAULT_SLO_MS = 100.0


class Control(Mirror):
    """The operations. Safe to use from many threads: state changes under one lock, slow work (replicas that load) outside."""

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
        text = default if default is None or isinstance(default, str) else results.json_of(default)
        if text is not None:
            checks.checked_text(text, "the default output")
        return App(
            checks.checked_input_type(input_type), text, checks.checked_slo_us(max(1, round(number * 1000))), overload
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
            if current is not None:
                self._bring_back(model, current)
            self._commit(lambda state: state.apps[app].models.append(model), self._link_effect(app, model))

    def unlink(self, app: str, *models: str) -> None:
        """From now on the app answers with its default output. All of the models are unlinked, or, when it is not linked to
        one of them, none."""
        with self._lock:
            linked = self._app(app).models
            for model in models:
                if model not in linked:
                    raise errors.NotFoundError(f"App {app} is not linked to model {checks.shown(model)}.")

            def change(state: State) -> None:
                state.apps[app].models = [model for model in linked if model not in models]

            effects = [self._link_effect(app, model) for model in sorted(set(models))]
            self._commit(change, *[(undo, do) for do, undo in effects])

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
            replaced = placed is not None and placed.batch_size != made.batch_size
            if replaced:
                self._replace_in_core(model, version, made)
            try:
                with self._lock:
                    self._check_new(model, version, made)
                    self._register(model, version, made)
            except BaseException:
                if replaced and placed is not None:
                    self._replace_in_core(model, version, placed)
                raise

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
        def change(state: State) -> None:
            entry = state.models.setdefault(model, Model())
            entry.versions[version] = made
            entry.set_current(version)

        links = [self._link_effect(name, model) for name, _ in self._apps_of(model)]
        self._commit(change, self._in_core_effect(model, version), self._current_effect(model, version), *links)

    def set_version(self, model: str, version: str) -> None:
        """Makes a version the one that answers: at once for what comes, and for what waits."""
        with self._lock:
            self._model(model)
            found = self._version(model, version)
            self._check_types(model, found.input_type)
            self._commit(
                lambda state: state.models[model].set_current(version),
                self._in_core_effect(model, version),
                self._current_effect(model, version),
            )

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

            self._commit(change, self._in_core_effect(model, version), self._current_effect(model, version))
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
        replicas = checks.checked_replicas(replicas)
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


def _drop(state: State, model: str, version: str) -> None:
    state.models[model].drop(version)
    if not state.models[model].versions and not any(model in app.models for app in state.apps.values()):
        del state.models[model]


def _set_replicas(state: State, model: str, version: str, replicas: int) -> None:
    state.models[model].versions[version].replicas = replicas
