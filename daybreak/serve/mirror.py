"""What the core has of the state: apps, links, versions, and how each change of the one is made in the other."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from daybreak.base import errors
from daybreak.serve import checks
from daybreak.serve.fleet import Fleet, Slot, Spec
from daybreak.serve.output import Logs
from daybreak.serve.payload import Runnable
from daybreak.serve.state import App, Model, State, Store, Version

__all__ = ["CoreMirror", "Effect"]

Effect = tuple[Callable[[], object], Callable[[], object]]  # do it, undo it


class CoreMirror:
    """The core beside the state. Everything but `claim` and what only looks is called under the lock.

    The versions of a model that the core has share one input type. A model may have versions of several types, as long as
    no app is linked to those of another than its own: the core has those of the current one's type, the others wait.
    """

    def __init__(self, core: Any, store: Store, logs: Logs, fleet: Fleet, gates: Mapping[str, Any] | Any) -> None:
        self.core = core
        self.store = store
        self.logs = logs
        self.fleet = fleet
        self._gates = gates  # one for all apps, or by app
        self.lock = threading.RLock()
        self._claims: set[tuple[str, str]] = set()  # versions that somebody changes at the moment
        self.in_core: dict[tuple[str, str], str] = {}  # versions that the core has, with their input type
        self.open_apps: dict[str, Any] = {}  # apps that the core has, with their gate
        self._linked: set[tuple[str, str]] = set()  # links that the core has
        self.runs: dict[tuple[str, str], Runnable] = {}
        self.why_not: dict[tuple[str, str], str] = {}  # versions that cannot run here, and why

    # Looking.

    @property
    def state(self) -> State:
        return self.store.state

    def app(self, name: object) -> App:
        found = self.state.apps.get(checks.checked_name(name, "the app"))
        if found is None:
            raise errors.NotFoundError(f"No app with name {name} exists.")
        return found

    def model(self, name: object) -> Model:
        found = self.state.models.get(checks.checked_name(name, "the model"))
        if found is None or not any(version.registered for version in found.versions.values()):
            raise errors.NotFoundError(f"No model with name {name} exists.")
        return found

    def version(self, model: object, version: object, *, registered: bool = True) -> Version:
        checks.checked_name(model, "the model")
        checks.checked_name(version, "the version")
        known = self.state.models.get(str(model))
        found = known.versions.get(str(version)) if known is not None else None
        if found is None or (registered and not found.registered):
            raise errors.NotFoundError(f"Version {version} does not exist for model {model}.")
        return found

    def current(self, model: str) -> str | None:
        return self.state.models[model].current if model in self.state.models else None

    def apps_of(self, model: str) -> list[tuple[str, App]]:
        return [(name, app) for name, app in self.state.apps.items() if model in app.models]

    def check_types(self, model: str, input_type: str) -> None:
        for name, app in self.apps_of(model):
            if app.input_type != input_type:
                raise errors.FailedPreconditionError(
                    f"Model {model} takes {input_type}, and app {name}, which is linked to it, takes {app.input_type}."
                )

    @contextlib.contextmanager
    def claim(self, model: str, version: str) -> Iterator[None]:
        """Refuses while another deploys, scales or deletes the version. Without the lock."""
        with self.lock:
            if (model, version) in self._claims:
                raise errors.AbortedError(f"Version {version} of {model} is being changed by another: wait for that.")
            self._claims.add((model, version))
        try:
            yield
        finally:
            with self.lock:
                self._claims.discard((model, version))

    def forget_blobs(self, claimed: int = 0) -> None:
        """Removes models from the disk that the state does not name, unless more than so many versions are being changed:
        then one is perhaps there that the state does not name yet."""
        if len(self._claims) == claimed:
            self.store.forget()

    # Changing: the disk first, then the core; back if the core refuses.

    def commit(self, change: Callable[[State], object], *effects: Effect) -> None:
        before = self.state
        after = before.copy()
        change(after)
        self.store.save(after)
        done: list[Callable[[], object]] = []
        try:
            for do, undo in effects:
                do()
                done.append(undo)
        except BaseException:
            for undo in reversed(done):
                with contextlib.suppress(errors.Error):
                    undo()
            self.store.put_back(before)
            raise

    def gate_of(self, name: str, given: Any = None) -> Any:
        if given is not None:
            return given
        return self._gates.get(name) if isinstance(self._gates, Mapping) else self._gates

    def open_app(self, name: str, app: App, gate: Any) -> Effect:
        def do() -> None:
            self.core.add_app(
                name,
                input_type=app.input_type,
                default_output=app.default_output,
                slo_us=app.slo_us,
                overload=app.overload,
                gate=gate,
            )
            self.open_apps[name] = gate

        return do, self.close_app(name)[0]

    def close_app(self, name: str) -> Effect:
        def do() -> None:
            if name in self.open_apps:
                del self.open_apps[name]
                self._linked = {link for link in self._linked if link[0] != name}
                self.core.delete_app(name)

        return do, _nothing

    def link_effect(self, app: str, model: str) -> Effect:
        def do() -> None:
            # An app that is closed for want of its gate, or a model that has no version, is linked when that changes.
            known = any(name == model for name, _ in self.in_core)
            if known and app in self.open_apps and (app, model) not in self._linked:
                self.core.link(app, model)
                self._linked.add((app, model))

        def undo() -> None:
            if (app, model) in self._linked:
                self._linked.discard((app, model))
                self.core.unlink(app, model)

        return do, undo

    def current_effect(self, model: str, version: str) -> Effect:
        before = self.current(model)
        back = (lambda: self.core.set_current(model, before)) if before is not None else _nothing
        return lambda: self.core.set_current(model, version), back

    # The core's versions.

    def add_version(self, model: str, version: str, made: Version) -> None:
        """NotFoundError and the like never; FailedPreconditionError when an app is linked to versions of another type."""
        others = [each for (name, each), kind in self.in_core.items() if name == model and kind != made.input_type]
        if others:
            for app, _ in self.apps_of(model):
                raise errors.FailedPreconditionError(
                    f"Version {version} of {model} takes {made.input_type}, and app {app}, which is linked to it, does not."
                )
        for each in others:
            self.fleet.remove(self.fleet.of(model, each), 0.0)
            self._forget_version(model, each)
        lineage = json.dumps(made.lineage)
        self.core.add_version(model, version, input_type=made.input_type, batch_size=made.batch_size, lineage=lineage)
        self.in_core[(model, version)] = made.input_type

    def _forget_version(self, model: str, version: str) -> None:
        if self.in_core.pop((model, version), None) is not None:
            with contextlib.suppress(errors.NotFoundError):
                self.core.delete_version(model, version)

    def remove_version(self, model: str, version: str) -> None:
        self.runs.pop((model, version), None)
        self._forget_version(model, version)

    def version_effect(self, model: str, version: str) -> Effect:
        """The version in the core; and back, what it had to go for."""
        before, was_in_core = self.current(model), (model, version) in self.in_core

        def undo() -> None:
            if not was_in_core:
                self.fleet.remove(self.fleet.of(model, version), 0.0)
                self._forget_version(model, version)
            self.bring_back(model, before)

        return lambda: self.ensure_version(model, version), undo

    def bring_back(self, model: str, current: str | None) -> None:
        """The version that answers, in the core again when one of another input type that failed took its place."""
        if current is not None and (model, current) not in self.in_core:
            self.ensure_version(model, current)
            self.core.set_current(model, current)

    def ensure_version(self, model: str, version: str) -> None:
        """Brings a version back that waited because of its type, and all others of that type."""
        if (model, version) in self.in_core:
            return
        known = self.state.models[model].versions
        for name, made in known.items():
            if made.input_type == known[version].input_type and (model, name) not in self.in_core:
                self.add_version(model, name, made)
                self.start_replicas(model, name, made)

    def start_replicas(self, model: str, version: str, made: Version) -> list[Slot]:
        run = self.runs.get((model, version))
        if run is None:
            return []
        return self.fleet.add(Spec(model, version, run, made.batch, made.output), made.replicas, supervised=True)

    def replace_version(self, model: str, version: str, made: Version) -> None:
        """Takes another batch size for replicas that no request knows yet: they are started again, and waited for."""
        slots = self.fleet.of(model, version)
        self.fleet.remove(slots, 0.0)
        with self.lock:
            self._forget_version(model, version)
            self.add_version(model, version, made)
            new = self.start_replicas(model, version, made)
        with contextlib.suppress(errors.FailedPreconditionError):
            self.fleet.wait(new)


def _nothing() -> None:
    return None
