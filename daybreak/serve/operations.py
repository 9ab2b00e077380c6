"""What changes a server: apps, links, versions, replica counts, deploys. Each change is on the disk before it is seen."""

from __future__ import annotations

from typing import Any

from daybreak.base import errors
from daybreak.serve import checks
from daybreak.serve.deploying import Deploys, new_app
from daybreak.serve.fleet import Spec
from daybreak.serve.mirror import CoreMirror
from daybreak.serve.state import Model, State, Version

__all__ = ["DRAIN_S", "Operations"]

DRAIN_S = 30.0  # for what a replica holds when it is removed


class Operations:
    """Safe to use from many threads: state changes under one lock, slow work (replicas that load) outside. What each means is
    said where it is public, in `Server`."""

    def __init__(self, mirror: CoreMirror) -> None:
        self._mirror = mirror
        self.deploys = Deploys(mirror)

    # Apps and links.

    def add_app(
        self,
        name: str,
        *,
        input_type: str,
        slo_ms: float,
        default: Any,
        overload: str,
        gate: Any,
    ) -> None:
        app = new_app(input_type, slo_ms, default, overload)
        checks.checked_name(name, "the app")
        with self._mirror.lock:
            if name in self._mirror.state.apps:
                raise errors.AlreadyExistsError(f"Error application {name} already exists.")
            gate = self._mirror.gate_of(name, gate)
            app.gated = gate is not None
            self._mirror.commit(lambda state: state.apps.update({name: app}), self._mirror.open_app(name, app, gate))

    def delete_app(self, name: str) -> None:
        with self._mirror.lock:
            self._mirror.app(name)
            self._mirror.commit(lambda state: state.apps.pop(name), self._mirror.close_app(name))

    def link(self, app: str, model: str) -> None:
        with self._mirror.lock:
            found, linked = self._mirror.app(app), self._mirror.model(model)
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
                self._mirror.bring_back(model, current)
            self._mirror.commit(
                lambda state: state.apps[app].models.append(model), self._mirror.link_effect(app, model)
            )

    def unlink(self, app: str, *models: str) -> None:
        with self._mirror.lock:
            linked = self._mirror.app(app).models
            for model in models:
                if model not in linked:
                    raise errors.NotFoundError(f"App {app} is not linked to model {checks.shown(model)}.")

            def change(state: State) -> None:
                state.apps[app].models = [model for model in linked if model not in models]

            effects = [self._mirror.link_effect(app, model) for model in sorted(set(models))]
            self._mirror.commit(change, *[(undo, do) for do, undo in effects])

    # Versions.

    def add_version(
        self,
        model: str,
        version: str,
        *,
        input_type: str,
        labels: list[str] | None,
        container_name: str,
        model_data_path: str,
        batch_size: int,
    ) -> None:
        checks.checked_name(model, "the model")
        checks.checked_name(version, "the version")
        made = Version(
            checks.checked_input_type(input_type),
            labels=checks.checked_labels(labels or []),
            container_name=checks.checked_text(container_name, "container_name", 1024),
            model_data_path=checks.checked_text(model_data_path, "model_data_path", 4096),
            batch_size=checks.checked_batch_size(batch_size),
        )
        with self._mirror.claim(model, version):
            with self._mirror.lock:
                placed = self._check_new(model, version, made)
            replaced = placed is not None and placed.batch_size != made.batch_size
            if replaced:
                self._mirror.replace_version(model, version, made)
            try:
                with self._mirror.lock:
                    self._check_new(model, version, made)
                    self._register(model, version, made)
            except BaseException:
                if replaced and placed is not None:
                    self._mirror.replace_version(model, version, placed)
                raise

    def _check_new(self, model: str, version: str, made: Version) -> Version | None:
        """Whether the version can be registered; what is there of it."""
        placed = self._mirror.state.models.get(model, Model()).versions.get(version)
        if placed is not None and placed.registered:
            raise errors.AlreadyExistsError(f"Error model {model}:{version} already exists.")
        self._mirror.check_types(model, made.input_type)
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

        links = [self._mirror.link_effect(name, model) for name, _ in self._mirror.apps_of(model)]
        self._mirror.commit(
            change, self._mirror.version_effect(model, version), self._mirror.current_effect(model, version), *links
        )

    def set_version(self, model: str, version: str) -> None:
        with self._mirror.lock:
            self._mirror.model(model)
            found = self._mirror.version(model, version)
            self._mirror.check_types(model, found.input_type)
            self._mirror.commit(
                lambda state: state.models[model].set_current(version),
                self._mirror.version_effect(model, version),
                self._mirror.current_effect(model, version),
            )

    def rollback(self, model: str) -> str:
        with self._mirror.lock:
            history = self._mirror.model(model).history
            if not history:
                raise errors.FailedPreconditionError(f"No version of {model} was current before: set one by its name.")
            version = history[-1]
            self._mirror.check_types(model, self._mirror.state.models[model].versions[version].input_type)

            def change(state: State) -> None:
                state.models[model].history.pop()
                state.models[model].current = version

            self._mirror.commit(
                change, self._mirror.version_effect(model, version), self._mirror.current_effect(model, version)
            )
            return version

    def delete_version(self, model: str, version: str, *, force: bool) -> None:
        self._mirror.version(model, version, registered=False)
        with self._mirror.claim(model, version):
            with self._mirror.lock:
                self._mirror.version(model, version, registered=False)
                if self._mirror.state.models[model].current == version and not force:
                    raise errors.FailedPreconditionError(
                        f"Version {version} of {model} is the current one: set another one first, or delete it with force."
                    )
                self._mirror.commit(lambda state: _drop(state, model, version))
            self._mirror.fleet.remove(self._mirror.fleet.of(model, version), DRAIN_S)
            with self._mirror.lock:
                self._mirror.remove_version(model, version)
                self._mirror.why_not.pop((model, version), None)
            self._mirror.logs.remove(model, version)
        with self._mirror.lock:
            self._mirror.forget_blobs()

    def scale(self, model: str, version: str | None, replicas: int) -> None:
        replicas = checks.checked_replicas(replicas)
        name = version if version is not None else self._mirror.model(model).current
        if name is None:
            raise errors.FailedPreconditionError(f"No version of {model} is current: name one.")
        self._mirror.version(model, name, registered=False)
        with self._mirror.claim(model, name):
            found = self._mirror.version(model, name, registered=False)
            slots = self._mirror.fleet.of(model, name)

            def commit() -> None:
                with self._mirror.lock:
                    self._mirror.commit(lambda state: _set_replicas(state, model, name, replicas))

            if replicas <= len(slots):
                commit()
                self._mirror.fleet.remove(slots[replicas:], DRAIN_S)
                return
            run = self._mirror.runs.get((model, name))
            if run is None:
                why = self._mirror.why_not.get((model, name), "it was registered without a model to run")
                raise errors.FailedPreconditionError(f"Version {name} of {model} cannot have replicas: {why}.")
            spec = Spec(model, name, run, found.batch, found.output)
            new = self._mirror.fleet.add(spec, replicas - len(slots), supervised=False)
            try:
                self._mirror.fleet.wait(new)
                commit()
            except BaseException:
                self._mirror.fleet.remove(new, 0.0)
                raise
            self._mirror.fleet.supervise(new)


def _drop(state: State, model: str, version: str) -> None:
    state.models[model].drop(version)
    if not state.models[model].versions and not any(model in app.models for app in state.apps.values()):
        del state.models[model]


def _set_replicas(state: State, model: str, version: str, replicas: int) -> None:
    state.models[model].versions[version].replicas = replicas
