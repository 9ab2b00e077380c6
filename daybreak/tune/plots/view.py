"""What pictures and tables show of an experiment or a study: its trials in one form, whatever they come from."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daybreak.base import paths
from daybreak.base.errors import InvalidArgumentError, NotFoundError
from daybreak.tune.configs import check_mode
from daybreak.tune.reading import read_trials
from daybreak.tune.session import number_of
from daybreak.tune.study import Study, StudyDirection, TrialState, load_study
from daybreak.tune.variants import flattened

__all__ = [
    "JOURNAL",
    "Parameter",
    "Point",
    "View",
    "experiments_in",
    "opened_study",
    "results_root",
    "shown_value",
    "view_of",
    "view_of_experiment",
    "view_of_study",
]

JOURNAL = "experiment.journal"
_LOGS = ("loguniform", "qloguniform", "lograndint", "qlograndint")
_DECADES = 1000.0  # a range as wide as that is drawn in logarithms, when all of it is above 0
# What a death has left running waits until somebody resumes it.
_STATES = {"TERMINATED": "COMPLETE", "ERROR": "FAIL", "PENDING": "WAITING"}


@dataclass
class Point:
    """A trial. ``state``: COMPLETE, PRUNED, FAIL, RUNNING, PAUSED or WAITING."""

    number: int
    name: str
    state: str
    params: dict[str, Any]
    values: list[float] | None = None  # one for each objective, as they were told
    curve: list[tuple[float, float]] = field(default_factory=list)  # step, value
    spans: list[tuple[float, float]] = field(default_factory=list)  # seconds since 1970: when it ran
    error: str = ""
    is_feasible: bool = True
    path: str = ""

    def counts(self) -> bool:
        """Whether it may be best: it has a number for each objective."""
        return self.values is not None and not any(math.isnan(value) for value in self.values)

    def value_at(self, step: float) -> float | None:
        """The first that was reported at the step or behind it."""
        return next((y for x, y in self.curve if x >= step and math.isfinite(y)), None)


@dataclass
class Parameter:
    """What an axis needs: ``options`` of one that has names, else its bounds as they were seen."""

    name: str
    options: list[Any] | None
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    whole: bool = False
    _places: dict[tuple[str, str], float] = field(default_factory=dict)

    def place(self, value: Any) -> float:
        """Where it lies: the option's number, or itself."""
        if self.options is None:
            return float(value)
        if not self._places:
            self._places = {_key(option): float(i) for i, option in enumerate(self.options)}
        return self._places[_key(value)]


@dataclass
class View:
    """Trials in their order; ``metrics`` and ``signs`` (-1: less is better) have an entry for each objective."""

    title: str
    kind: str  # "experiment" or "study"
    metrics: list[str]
    signs: list[float]
    points: list[Point]
    rungs: list[float] = field(default_factory=list)  # steps at which a scheduler decides
    logs: dict[str, bool] = field(default_factory=dict)  # parameters whose domain says so
    plan: dict[str, Any] = field(default_factory=dict)
    distributions: dict[str, Any] = field(default_factory=dict)  # native ones, of a study

    def finished(self) -> list[Point]:
        """Complete, with numbers; of one objective those alone that are finite or infinite, never NaN."""
        return [point for point in self.points if point.state == "COMPLETE" and point.counts()]

    def best(self) -> Point | None:
        """Of one objective, among those that are feasible; the first of equals."""
        ranked = [point for point in self.candidates() if point.is_feasible]
        return max(ranked, key=lambda point: self.signs[0] * point.values[0], default=None)  # type: ignore[index]

    def candidates(self) -> list[Point]:
        """Trials with numbers; of an experiment also those that still run."""
        return [p for p in self.points if p.counts() and (self.kind == "experiment" or p.state == "COMPLETE")]

    def parameters(self, names: Iterable[str] | None = None) -> list[Parameter]:
        """Those that some trial has, by name. InvalidArgumentError for one that none has."""
        known: dict[str, list[Any]] = {}
        for point in self.points:
            for name, value in point.params.items():
                known.setdefault(name, []).append(value)
        if names is not None and (missing := [name for name in names if name not in known]):
            raise InvalidArgumentError(
                f"no trial of {self.title} has the parameter {missing[0]!r}: it has {', '.join(sorted(known)) or 'none'}"
            )
        chosen = sorted(known) if names is None else list(names)
        return [self._parameter(name, known[name]) for name in chosen]

    def _parameter(self, name: str, values: Sequence[Any]) -> Parameter:
        numbers = [float(value) for value in values if _is_number(value)]
        if len(numbers) < len(values):
            found = {_key(value): value for value in values}
            return Parameter(name, [found[key] for key in sorted(found)])
        finite = [value for value in numbers if math.isfinite(value)]
        low, high = min(finite, default=0.0), max(finite, default=0.0)
        log = self.logs.get(name, low > 0 and high / low >= _DECADES) and low > 0
        return Parameter(name, None, low, high, log, all(isinstance(value, int) for value in values))


def shown_value(value: Any) -> str:
    """In a cell, or under the pointer."""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _key(value: Any) -> tuple[str, str]:
    """1, True and 1.0 are three."""
    return type(value).__name__, repr(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def view_of(
    what: Any,
    metric: str | Sequence[str] | None = None,
    mode: str | Sequence[str] | None = None,
    study: str | None = None,
) -> View:
    """Of an experiment's folder, a ResultGrid, a Study, or a journal of studies (``study``: which, when there are several)."""
    if isinstance(what, View):
        return what
    if isinstance(what, Study):
        return view_of_study(what)
    folder = getattr(what, "experiment_path", None)  # a ResultGrid, an ExperimentAnalysis
    path = Path(paths.given(folder if folder is not None else what, "experiment"))
    if (path / JOURNAL).exists():
        return view_of_experiment(path, metric, mode)
    if path.is_dir() or not path.exists():
        raise NotFoundError(f"{path}: neither an experiment's folder ({JOURNAL} is in it) nor a journal of studies")
    return view_of_study(opened_study(path, study))


def opened_study(path: Path, name: str | None) -> Study:
    return load_study(study_name=name, storage=path)


def view_of_study(study: Study) -> View:
    signs = [-1.0 if one == StudyDirection.MINIMIZE else 1.0 for one in study.directions]
    metrics = ["value"] if len(signs) == 1 else [f"value {i}" for i in range(len(signs))]
    view = View(study.study_name, "study", metrics, signs, [])
    for trial in study.trials:
        began = trial.datetime_start.timestamp() if trial.datetime_start else None
        ended = trial.datetime_complete.timestamp() if trial.datetime_complete else None
        view.points.append(
            Point(
                trial.number,
                str(trial.number),
                TrialState(trial.state).name,
                trial.params,
                trial.values,
                sorted((float(step), value) for step, value in trial.intermediate_values.items()),
                [(began, ended)] if began is not None and ended is not None else [],
                is_feasible=trial.violation is None or trial.violation <= 0,
            )
        )
        for name, distribution in trial.distributions.items():
            view.distributions[name] = distribution
            view.logs[name] = bool(distribution.log)
    return view


def view_of_experiment(
    path: Path, metric: str | Sequence[str] | None = None, mode: str | Sequence[str] | None = None
) -> View:
    """Reads the journal and the trials' results, also while somebody drives it."""
    from daybreak._core import tune as _native

    plan = json.loads(_native.Experiment.plan_of(str(path / JOURNAL)))
    metrics = [metric] if isinstance(metric, str) else list(metric or ([plan["metric"]] if plan["metric"] else []))
    modes = [mode] * max(len(metrics), 1) if isinstance(mode, str) or mode is None else list(mode)
    for one in modes:
        check_mode(one)
    if len(modes) < len(metrics):
        raise InvalidArgumentError(f"{len(metrics)} metrics and {len(modes)} modes: one for each")
    signs = [-1.0 if (one or plan["mode"] or "max") == "min" else 1.0 for one in modes[: len(metrics)]]
    view = View(path.name, "experiment", metrics, signs, [], _rungs(plan), plan=plan)
    view.logs = _logs(plan["space"])
    states = _STATES if _native.Experiment.is_driven(str(path / JOURNAL)) else _STATES | {"RUNNING": "WAITING"}
    for trial, row in read_trials(path, None, to_look=True):
        view.points.append(_of_trial(trial, row, metrics, states))
    return view


def _of_trial(trial: Any, row: Mapping[str, Any], metrics: Sequence[str], states: Mapping[str, str]) -> Point:
    state = str(row["state"])
    point = Point(
        trial.number,
        trial.trial_id,
        states.get(state, state),
        dict(trial.evaluated_params),
        error=row["error"] if state == "ERROR" else "",
        path=trial.logdir,
    )
    last = flattened(trial.last_result)
    values = [number_of(last.get(metric)) for metric in metrics]
    if metrics and all(value is not None for value in values):
        point.values = [value for value in values if value is not None]
    _read_results(point, trial.files.results(), metrics[0] if metrics else None)
    return point


def _read_results(point: Point, results: Iterable[Mapping[str, Any]], metric: str | None) -> None:
    """The curve, and when each attempt ran: `timestamp` has whole seconds alone, `time_total_s` leaves out what lay between."""
    before = 0.0  # of the attempts that have ended
    for result in results:
        iteration = float(result.get("training_iteration", len(point.curve) + 1))
        value = number_of(flattened(result).get(metric)) if metric is not None else None
        if value is not None:
            point.curve.append((iteration, value))
        times = [result.get(name) for name in ("timestamp", "time_total_s", "time_this_iter_s")]
        if not all(map(_is_number, times)):
            continue
        at, total, took = (float(time or 0) for time in times)
        if not point.spans or result.get("iterations_since_restore") == 1:
            before = total - took
            point.spans.append((at, at))
        point.spans[-1] = (at - (total - before), at)


def _rungs(plan: Mapping[str, Any]) -> list[float]:
    """Where ASHA decides, in the scheduler's time."""
    scheduler = plan["scheduler"]
    numbers = scheduler.get("numbers", {})
    if scheduler["kind"] != "asha" or scheduler.get("time_attr") != "training_iteration":
        return []
    rungs, at = [], float(numbers.get("grace_period", 1))
    factor, most = float(numbers.get("reduction_factor", 4)), float(numbers.get("max_t", 100))
    while at < most and factor > 1:
        rungs.append(at)
        at *= factor
    return [*rungs, most]


def _logs(space: Any, prefix: str = "") -> dict[str, bool]:
    """Whether the domains of a written space are logarithmic."""
    found: dict[str, bool] = {}
    if isinstance(space, dict) and set(space) == {"__domain__"}:
        return {prefix: space["__domain__"][0] in _LOGS}
    if isinstance(space, dict):
        for name, inner in space.items():
            found |= _logs(inner, f"{prefix}/{name}" if prefix else name)
    return found


def results_root() -> Path:
    """Where experiments lie that were given no other place."""
    from daybreak.tune.configs import RunConfig

    return RunConfig().root()


def experiments_in(root: str | os.PathLike[str]) -> list[Path]:
    """Folders of experiments right in it, the newest first."""
    path = Path(os.path.abspath(os.path.expanduser(os.fspath(root))))
    if not path.is_dir():
        return []
    found = [one.parent for one in path.glob(f"*/{JOURNAL}")]
    return sorted(found, key=lambda one: (one / JOURNAL).stat().st_mtime, reverse=True)
