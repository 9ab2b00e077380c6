"""What a trial runs: a function of the config, or a class with steps; and what is said of it beside."""

from __future__ import annotations

import functools
import inspect
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daybreak.base.errors import InvalidArgumentError, UnimplementedError

from . import session as _session
from .checkpoint import Checkpoint
from .session import Ended, Session, number_of
from .variants import flattened

__all__ = ["Trainable", "with_parameters", "with_resources"]

DEFAULT_METRIC = "_metric"
_DICT = "dict_checkpoint.pkl"  # of save_checkpoint() that returns a dict


class Trainable:
    """A trial in steps: `setup` once, then `step` again and again until it is stopped.

    Override `setup`, `step`, `save_checkpoint`, `load_checkpoint`, `cleanup`; and `reset_config`, which returns True when the
    object can go on with another config: then one process serves many trials, and PBT changes parameters without a restart.
    """

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        self.config = config or {}
        session = _session.current
        self._session = session
        self.trial_id = session.spec["id"] if session else None
        self.trial_name = session.spec["name"] if session else None
        self.logdir = session.spec["folder"] if session else os.getcwd()
        self.trial_resources = session.spec["resources"] if session else {}
        self.setup(self.config)

    @property
    def iteration(self) -> int:
        return self._session.iteration if self._session else 0

    training_iteration = iteration

    def get_config(self) -> dict[str, Any]:
        return self.config

    def setup(self, config: dict[str, Any]) -> None:
        """Once, before the first step."""

    def step(self) -> dict[str, Any]:
        """One iteration; what it returns is reported."""
        raise NotImplementedError(f"{type(self).__name__}.step() is not there: define it; its dict is what is reported")

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any] | None:
        """Files in ``checkpoint_dir``, or a dict, that load_checkpoint can go on from."""
        raise NotImplementedError(f"{type(self).__name__}.save_checkpoint() is not there")

    def load_checkpoint(self, checkpoint: Any) -> None:
        """The folder that save_checkpoint has filled, or the dict that it returned."""
        raise NotImplementedError(f"{type(self).__name__}.load_checkpoint() is not there")

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Takes on another config; False: make a new object."""
        return False

    def cleanup(self) -> None:
        """After the last step."""


def is_class(trainable: Any) -> bool:
    return isinstance(trainable, type) and issubclass(trainable, Trainable)


def name_of(trainable: Any) -> str:
    inner = trainable
    while isinstance(inner, functools.partial):
        inner = inner.func
    return str(getattr(inner, "__name__", type(inner).__name__)).replace("<lambda>", "lambda").replace("/", "_")


def checked(trainable: Any) -> Any:
    """A trainable as the controller takes it, by name where there is one of 2018's registry."""
    if isinstance(trainable, str):
        if trainable not in _registered:
            raise InvalidArgumentError(
                f"trainable '{trainable}': not registered: {', '.join(_registered) or 'nothing is'}; "
                "tune.register_trainable(name, function)"
            )
        return _registered[trainable]
    if isinstance(trainable, type) and not is_class(trainable):
        raise InvalidArgumentError(f"{trainable!r}: a class that is trained is a subclass of tune.Trainable")
    if not callable(trainable):
        raise InvalidArgumentError(
            f"trainable={trainable!r}: a function of the config, or a subclass of tune.Trainable"
        )
    return trainable


_registered: dict[str, Any] = {}


def register_trainable(name: str, trainable: Any) -> None:
    """Gives it a name, by which an experiment may call it."""
    _registered[name] = checked(trainable)


def with_parameters(trainable: Any, **kwargs: Any) -> Any:
    """The trainable with further arguments, which are sent once and shared by all trials: data sets, models."""
    import daybreak

    if not kwargs:
        return trainable
    references = {name: daybreak.put(value) for name, value in kwargs.items()}
    resources = getattr(trainable, "_tune_resources", None)
    if is_class(trainable):
        base: Any = trainable

        class WithParameters(base):  # type: ignore[misc]
            def setup(self, config: dict[str, Any]) -> None:
                base.setup(self, config, **{name: daybreak.get(ref) for name, ref in references.items()})

        WithParameters.__name__ = WithParameters.__qualname__ = trainable.__name__
        made: Any = WithParameters
    else:

        @functools.wraps(trainable)
        def with_them(config: dict[str, Any]) -> Any:
            return trainable(config, **{name: daybreak.get(ref) for name, ref in references.items()})

        del with_them.__wrapped__  # whose arguments are others
        made = with_them
    if resources is not None:
        made._tune_resources = resources
    return made


_RESOURCES = {"cpu": "CPU", "gpu": "GPU"}


def with_resources(trainable: Any, resources: dict[str, float] | Callable[[dict[str, Any]], dict[str, float]]) -> Any:
    """What a trial of it needs: {"cpu": 2, "gpu": 0.5, "custom": 1}, or a function of its config that says so."""
    if not callable(resources):
        resources_of(resources)
    if is_class(trainable):
        made: Any = type(trainable.__name__, (trainable,), {"__module__": trainable.__module__})
    else:
        made = functools.partial(trainable)
    made._tune_resources = resources
    return made


def resources_of(asked: Any) -> dict[str, float]:
    """Checked, with the runtime's names."""
    if hasattr(asked, "bundles") or type(asked).__name__ == "PlacementGroupFactory":
        raise UnimplementedError(
            f"with_resources({asked!r}): a trial is one actor here: give {{'cpu': ..., 'gpu': ...}}, and let it start its own"
        )
    if not isinstance(asked, dict):
        raise InvalidArgumentError(
            f"with_resources({asked!r}): a dict such as {{'cpu': 1}}, or a function of the config"
        )
    found = {}
    for name, amount in asked.items():
        value = number_of(amount)
        if value is None or not value >= 0:
            raise InvalidArgumentError(f"with_resources: {name}={amount!r}: a number that is not negative")
        found[_RESOURCES.get(str(name).lower(), str(name))] = value
    found.setdefault("CPU", 1.0)
    return found


# -- in the trial's process


def takes_reporter(function: Any) -> bool:
    """2018's `fn(config, reporter)`."""
    try:
        parameters = [
            p
            for p in inspect.signature(function).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
        ]
    except (TypeError, ValueError):
        return False
    return len(parameters) >= 2


def run_function(function: Any, config: dict[str, Any], session: Session) -> None:
    """What it reports, yields and returns; a falsy result is one, too."""
    if takes_reporter(function):
        result = function(config, lambda *a, **kw: session.report({**(a[0] if a else {}), **kw}))
    else:
        result = function(config)
    if inspect.isgenerator(result):
        for item in result:
            session.report(_as_metrics(item))
        return
    if result is not None:
        session.report(_as_metrics(result), final=True)
    elif session.reported == 0:
        session.say("the trainable has ended without a report, and returned nothing: tune.report({...})")


def _as_metrics(result: Any) -> dict[str, Any]:
    if isinstance(result, dict):
        return result
    if number_of(result) is None:
        raise InvalidArgumentError(f"a trainable returned {result!r}: a dict of metrics, or a number")
    return {DEFAULT_METRIC: result}


class Steps:
    """A class's object between trials, so that one process serves several."""

    def __init__(self) -> None:
        self._object: Trainable | None = None

    def run(self, trainable: Any, config: dict[str, Any], session: Session) -> None:
        self._object = self._ready(trainable, config, session)
        spec = session.spec
        if spec["restore"]:
            with Checkpoint(spec["restore"]).as_directory() as folder:
                kept = Path(folder, _DICT)
                self._object.load_checkpoint(pickle.loads(kept.read_bytes()) if kept.exists() else folder)
        try:
            while True:
                metrics = self._object.step()
                session.report(metrics, save=functools.partial(self._after_step, session))
        except Ended:
            if session.asked == "pause" and not session.is_saved:
                session.saved = (self._save(session), session.iteration, session.time, session._rank(session.last))
            raise

    def _ready(self, trainable: Any, config: dict[str, Any], session: Session) -> Trainable:
        old, self._object = self._object, None
        if old is not None and type(old) is trainable:
            old._session = session
            old.trial_id, old.trial_name = session.spec["id"], session.spec["name"]
            old.logdir = session.spec["folder"]
            if old.reset_config(config):
                old.config = config
                return old
        if old is not None:
            old.cleanup()
        made: Trainable = trainable(config)
        return made

    def _after_step(self, session: Session) -> str | None:
        """Whether the numbers that are about to be reported come with a checkpoint."""
        spec, flat = session.spec, session.last
        every = spec["checkpoint_frequency"]
        at = number_of(flat.get(spec["time_attr"]))
        due = every and session.iteration % every == 0
        asked = spec["saves"] and at is not None and at >= session.next
        last = spec["checkpoint_at_end"] and session._stops(flattened(flat))
        return self._save(session) if due or asked or last else None

    def _save(self, session: Session) -> str:
        def write(folder: str) -> None:
            assert self._object is not None
            kept = self._object.save_checkpoint(folder)
            if isinstance(kept, dict):
                Path(folder, _DICT).write_bytes(pickle.dumps(kept))
            elif kept is not None and os.path.abspath(os.fspath(kept)) != os.path.abspath(folder):
                raise InvalidArgumentError(
                    f"save_checkpoint() returned {kept!r}: nothing, the folder that it was given, or a dict"
                )

        return session.write(write)

    def end(self) -> None:
        if self._object is not None:
            self._object.cleanup()
            self._object = None
