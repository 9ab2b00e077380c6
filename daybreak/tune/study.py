"""Studies: ask for a trial, suggest its parameters, tell what came of it. The names are Optuna's; the hot ones are native."""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from daybreak._core import tune as _core
from daybreak._core.tune import Distribution, PrunerFactory, SamplerFactory, Storage, Trial
from daybreak.base.errors import FailedPreconditionError, InvalidArgumentError
from daybreak.tune import options

if TYPE_CHECKING:
    import pandas

__all__ = [
    "FrozenTrial",
    "Study",
    "StudyDirection",
    "TrialPruned",
    "TrialState",
    "create_study",
    "delete_study",
    "load_study",
]

Objective = Callable[[Trial], float | Sequence[float]]


class TrialState(IntEnum):
    RUNNING = 0
    COMPLETE = 1
    PRUNED = 2
    FAIL = 3
    WAITING = 4

    def is_finished(self) -> bool:
        return self in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class StudyDirection(IntEnum):
    NOT_SET = 0
    MINIMIZE = 1
    MAXIMIZE = 2


class TrialPruned(Exception):
    """Raised by an objective to end its trial early, with the last report as its value."""


class FrozenTrial(NamedTuple):
    """A trial as it was when it was looked at."""

    number: int
    state: TrialState
    values: list[float] | None
    params: dict[str, Any]
    distributions: dict[str, Distribution]
    intermediate_values: dict[int, float]
    user_attrs: dict[str, Any]
    system_attrs: dict[str, Any]
    datetime_start: datetime | None
    datetime_complete: datetime | None
    violation: float | None

    @property
    def value(self) -> float | None:
        """Of one objective; InvalidArgumentError when there are several."""
        if self.values is None:
            return None
        if len(self.values) > 1:
            raise InvalidArgumentError(f"trial {self.number} has {len(self.values)} values: ask for values")
        return self.values[0]

    @property
    def duration(self) -> Any:
        """A timedelta, of a finished trial that was started."""
        if self.datetime_start is None or self.datetime_complete is None:
            return None
        return self.datetime_complete - self.datetime_start


def direction_of(direction: str | int) -> int:
    """
    >>> direction_of("maximize"), direction_of(StudyDirection.MINIMIZE)
    (2, 1)
    """
    names = {"minimize": 1, "maximize": 2}
    if isinstance(direction, str) and direction in names:
        return names[direction]
    if not isinstance(direction, str) and int(direction) in (1, 2):
        return int(direction)
    raise InvalidArgumentError(f"direction={direction!r}: 'minimize' or 'maximize'")


def time_of(ns: int) -> datetime | None:
    """Local time, without a zone, as Optuna gives it; None for 0."""
    return datetime.fromtimestamp(ns // 1000 / 1e6) if ns else None


class Study(_core.Study):
    """Made by :func:`create_study` and :func:`load_study`. Any thread may use it, several processes one journal."""

    def _ask_fixed(self, fixed_distributions: Mapping[str, Distribution | Iterable[object]]) -> Trial:
        return self.ask_spaces(spaces(fixed_distributions))[0]

    def ask_many(
        self, n: int, fixed_distributions: Mapping[str, Distribution | Iterable[object]]
    ) -> list[tuple[Trial, dict[str, Any]]]:
        """So many new trials with their parameters, in two writes. The sampler chooses each without knowing the others' values."""
        wanted = spaces(fixed_distributions)
        choices = [json.loads(text) if text else None for _, _, text in wanted]
        made = []
        for trial, values in self.ask_many_spaces(n, wanted):
            params = {
                name: external(value, distribution, chosen)
                for (name, distribution, _), value, chosen in zip(wanted, values, choices, strict=True)
            }
            made.append((trial, params))
        return made

    def optimize(
        self,
        func: Objective,
        n_trials: int | None = None,
        timeout: float | None = None,
        n_jobs: int = 1,
        catch: type[Exception] | Iterable[type[Exception]] = (),
        callbacks: Sequence[Callable[[Study, FrozenTrial], None]] | None = None,
    ) -> None:
        """Asks, runs ``func`` and tells, so many times more or for so many seconds; for ever when neither is given.

        TrialPruned prunes; another exception fails the trial and is raised, unless it is one of ``catch``. ``n_jobs``: threads
        (-1: one a CPU) that run trials and then the callbacks, one callback at a time; the first exception of one ends them all,
        each after its trial. For processes open the study in each.
        """
        if n_trials is not None and n_trials < 0:
            raise InvalidArgumentError(f"n_trials={n_trials}: how many more? 0 or more, or None for no limit")
        if isinstance(n_jobs, bool) or n_jobs < -1 or n_jobs == 0:
            raise InvalidArgumentError(f"n_jobs={n_jobs}: how many threads? 1 or more, or -1 for one a CPU")
        caught = tuple(catch) if isinstance(catch, Iterable) else (catch,)
        loop = _Loop(
            self, func, n_trials, None if timeout is None else time.monotonic() + timeout, caught, callbacks or ()
        )
        if n_jobs == 1:
            loop.run()
            return
        loop.run_threads(n_jobs if n_jobs > 0 else os.cpu_count() or 1)

    def _run(self, func: Objective, caught: tuple[type[Exception], ...]) -> int:
        trial = self.ask()
        try:
            values = func(trial)
        except TrialPruned:
            self.tell(trial, state=TrialState.PRUNED)
        except BaseException as error:
            self.tell(trial, state=TrialState.FAIL)
            if not isinstance(error, caught):
                raise
        else:
            self.tell(trial, values)
        return int(trial.number)

    def enqueue_trial(self, params: Mapping[str, object], user_attrs: Mapping[str, object] | None = None) -> int:
        """A trial that waits with these values for the names that it will be asked for. One process alone gets it. Its number."""
        fixed = {name: options.plain(value, f"'{name}'") for name, value in params.items()}
        try:
            text = json.dumps(fixed, allow_nan=False)
        except ValueError:
            raise InvalidArgumentError(
                f"enqueue_trial: {fixed}: a value is infinite or NaN; enqueue finite ones"
            ) from None
        attributes = [(name, json.dumps(value)) for name, value in (user_attrs or {}).items()]
        return self.enqueue_json(text, attributes)

    def add_trial(self, trial: FrozenTrial) -> None:
        """One that was run elsewhere (`create_trial`, or a trial of another study); it gets the next number."""
        from .studies import add_trial

        add_trial(self, trial)

    def add_trials(self, trials: Iterable[FrozenTrial]) -> None:
        """Each, in order."""
        for trial in trials:
            self.add_trial(trial)

    @property
    def direction(self) -> StudyDirection:
        if len(self.direction_numbers) > 1:
            raise FailedPreconditionError(f"the study has {len(self.direction_numbers)} objectives: ask for directions")
        return StudyDirection(self.direction_numbers[0])

    @property
    def directions(self) -> list[StudyDirection]:
        return [StudyDirection(one) for one in self.direction_numbers]

    @property
    def trials(self) -> list[FrozenTrial]:
        return self.get_trials()

    def get_trials(self, states: Iterable[int] | None = None) -> list[FrozenTrial]:
        """All, by number, or those in the states."""
        wanted = None if states is None else {int(state) for state in states}
        return [trial for trial in self._trials(None) if wanted is None or trial.state in wanted]

    @property
    def best_trial(self) -> FrozenTrial:
        """Complete, feasible, of the best value; of equal ones the first. FailedPreconditionError when there is none."""
        return self._trials([self.best_number()])[0]

    @property
    def best_value(self) -> float:
        value = self.best_trial.value
        assert value is not None
        return value

    @property
    def best_params(self) -> dict[str, Any]:
        return self.best_trial.params

    @property
    def best_trials(self) -> list[FrozenTrial]:
        """Those that no other one dominates (the Pareto front)."""
        return self._trials(self.best_numbers())

    @property
    def user_attrs(self) -> dict[str, Any]:
        return {
            name: json.loads(text) for name, text, system in self.storage.study_attributes(self.study_id) if not system
        }

    def set_user_attr(self, key: str, value: object) -> None:
        """A value that JSON holds."""
        self.storage.set_study_attribute(self.study_id, key, json.dumps(value))

    def _trials(self, numbers: list[int] | None) -> list[FrozenTrial]:
        found = self.storage.trials(self.study_id, 0 if numbers is None else 2**32 - 1, numbers or [])
        choices = {name: json.loads(text) for name, text in self.storage.columns(self.study_id) if text}
        return [frozen(trial, choices) for trial in found]

    def params_of(self, number: int) -> dict[str, Any]:
        """Of the trial of this number, so far."""
        return self._trials([number])[0].params

    def trials_dataframe(self) -> pandas.DataFrame:
        """A row a trial, in Optuna's columns: number, value (or values_0, ...), datetime_start, datetime_complete, duration,
        params_*, user_attrs_*, system_attrs_*, state."""
        from daybreak.tune import frame

        return frame.of(self)

    def __repr__(self) -> str:
        return f"Study({self.study_name!r})"


class _Loop:
    """The trials of one optimize(), which several threads may run."""

    def __init__(
        self,
        study: Study,
        func: Objective,
        n_trials: int | None,
        deadline: float | None,
        caught: tuple[type[Exception], ...],
        callbacks: Sequence[Callable[[Study, FrozenTrial], None]],
    ) -> None:
        self._study, self._func, self._deadline = study, func, deadline
        self._left, self._caught, self._callbacks = n_trials, caught, callbacks
        self._lock = threading.Lock()
        self._telling = threading.Lock()
        self._error: BaseException | None = None

    def _goes_on(self) -> bool:
        with self._lock:
            if self._left == 0 or self._error is not None or self._study.is_stopped:
                return False
            if self._deadline is not None and time.monotonic() >= self._deadline:
                return False
            if self._left is not None:
                self._left -= 1
            return True

    def run(self) -> None:
        while self._goes_on():
            number = self._study._run(self._func, self._caught)
            if self._callbacks:
                with self._telling:
                    trial = self._study._trials([number])[0]
                    for callback in self._callbacks:
                        callback(self._study, trial)

    def _run_caught(self) -> None:
        try:
            self.run()
        except BaseException as error:
            with self._lock:
                self._error = self._error or error

    def run_threads(self, count: int) -> None:
        threads = [threading.Thread(target=self._run_caught, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException as error:  # Ctrl-C: each ends after its trial
            with self._lock:
                self._error = self._error or error
        if self._error is not None:
            raise self._error


def external(value: float, distribution: Distribution, choices: list[Any] | None) -> Any:
    """As a person sees it."""
    if choices is not None:
        return choices[int(value)]
    return int(value) if distribution.is_whole else value


def spaces(distributions: Mapping[str, Distribution | Iterable[object]]) -> list[tuple[str, Distribution, str]]:
    made = []
    for name, given in distributions.items():
        if isinstance(given, Distribution):
            made.append((name, given, ""))
        else:
            values, text = options.checked(name, given)
            made.append((name, Distribution.categorical(len(values)), text))
    return made


def frozen(trial: Any, choices: dict[str, list[Any]]) -> FrozenTrial:
    _, number, state, values, given, reports, attributes, started, finished, violation = trial
    return FrozenTrial(
        number,
        TrialState(state),
        values,
        {name: external(value, distribution, choices.get(name)) for name, value, distribution in given},
        {name: distribution for name, _, distribution in given},
        dict(reports),
        {name: json.loads(text) for name, text, system in attributes if not system},
        {name: json.loads(text) for name, text, system in attributes if system},
        time_of(started),
        time_of(finished),
        violation,
    )


def storage_of(storage: str | os.PathLike[str] | Storage | None) -> Storage:
    if storage is None:
        return Storage.in_memory()
    return storage if isinstance(storage, Storage) else Storage.open(storage)


def create_study(
    *,
    storage: str | os.PathLike[str] | Storage | None = None,
    sampler: SamplerFactory | None = None,
    pruner: PrunerFactory | None = None,
    study_name: str | None = None,
    direction: str | int | None = None,
    load_if_exists: bool = False,
    directions: Sequence[str | int] | None = None,
    seed: int | None = None,
    synced: bool = True,
    dead_trials: str = "retry",
) -> Study:
    """A new study in memory, or in a journal at a path, which several processes may have open.

    ``pruner``: one of `tune.pruners`; what it must remember is in the journal, so that a study that is opened again with it
    decides the same. ``seed``: of the default sampler; drawn and kept in the journal when there is none. ``synced``: what was told
    survives a loss of power once tell() returns; without it, only the process's death. ``dead_trials``: a trial whose process died
    is asked for again ("retry") or has failed ("fail"). AlreadyExistsError unless ``load_if_exists``.

    >>> study = create_study(direction="maximize", seed=1)
    >>> study.optimize(lambda trial: -((trial.suggest_float("x", -10, 10) - 2) ** 2), n_trials=200)
    >>> abs(study.best_params["x"] - 2) < 0.5
    True
    """
    if direction is not None and directions is not None:
        raise InvalidArgumentError(f"direction={direction!r} and directions={directions!r}: give one of them")
    wanted = [direction_of(one) for one in (directions if directions is not None else [direction or "minimize"])]
    name = study_name if study_name is not None else f"no-name-{uuid.uuid4()}"
    return Study(
        storage_of(storage),
        name,
        wanted,
        load_if_exists=load_if_exists,
        seed=seed,
        sampler=sampler,
        pruner=pruner,
        synced_tells=synced,
        dead_trials=dead_trials,
    )


def load_study(
    *,
    study_name: str | None = None,
    storage: str | os.PathLike[str] | Storage,
    sampler: SamplerFactory | None = None,
    pruner: PrunerFactory | None = None,
    synced: bool = True,
    dead_trials: str = "retry",
) -> Study:
    """One that is there. Without a name the storage must have one study alone."""
    opened = storage_of(storage)
    if study_name is None:
        names = [name for _, name, _ in opened.studies()]
        if len(names) != 1:
            raise InvalidArgumentError(
                f"study_name=None: the storage has {len(names)} studies: {', '.join(names[:20])}; name one"
            )
        study_name = names[0]
    return Study(
        opened,
        study_name,
        [1],
        create=False,
        sampler=sampler,
        pruner=pruner,
        synced_tells=synced,
        dead_trials=dead_trials,
    )


def delete_study(*, study_name: str, storage: str | os.PathLike[str] | Storage) -> None:
    """It and its trials; its name is free again."""
    opened = storage_of(storage)
    study = Study(opened, study_name, [1], create=False)
    opened.delete_study(study.study_id)
