"""Inside a trial: `report`, `get_checkpoint`, `get_context`.

One trial at a time is in a process. What it reports is written down here, as bytes, and fetched by the controller in batches: a
report waits for an answer only where the scheduler said that it will decide (`next`), or while 8 MiB have not been fetched.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import threading
import time
from typing import Any

from daybreak._core import tune as _native
from daybreak.base import numbers
from daybreak.base.errors import FailedPreconditionError, InvalidArgumentError

from . import checkpoint as _checkpoints
from .checkpoint import Checkpoint
from .kept import Keeper
from .variants import flattened

__all__ = ["Session", "TrialContext", "current", "get_checkpoint", "get_context", "report"]

_After = _native.Reports.After


class Ended(BaseException):
    """The trial is to end here: no `except Exception` of a trainable is meant."""


class TrialContext:
    """Who this trial is."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec

    def get_trial_name(self) -> str:
        return str(self._spec["name"])

    def get_trial_id(self) -> str:
        return str(self._spec["id"])

    def get_trial_dir(self) -> str:
        return str(self._spec["folder"])

    def get_trial_resources(self) -> dict[str, float]:
        return dict(self._spec["resources"])

    def get_experiment_name(self) -> str:
        return str(self._spec["experiment"])

    def get_storage(self) -> str:
        return str(self._spec["storage"])


def plain(value: Any) -> Any:
    """For json.dumps: numpy's numbers and arrays as Python's; what has no JSON is refused by the caller."""
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        raise TypeError(f"{value!r}")
    if hasattr(value, "__fspath__"):
        return os.fspath(value)
    raise TypeError(f"a {type(value).__name__}")


def number_of(value: Any) -> float | None:
    """A metric's value; None for what is no number. An array of one element is one, and so is the list that JSON makes of it."""
    if type(value) is float:
        return value
    if type(value) is list and len(value) == 1 and type(value[0]) is not list:
        value = value[0]
    if isinstance(value, (str, bytes, dict, list)) or value is None:
        return None
    try:
        return numbers.real(value, "a metric")
    except (InvalidArgumentError, OverflowError):
        return None


class Session:
    """What one attempt of a trial has reported, and what it was answered. Any thread may report."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.context = TrialContext(spec)
        self._order = threading.Lock()  # reports of several threads, one after the other
        self.end: dict[str, Any] | None = None
        self.saved: tuple[str, int, float, float] | None = None
        self.said: list[str] = []
        self.asked = ""  # "stop", "pause", "exploit": what the controller wants
        restored = _checkpoints.told(spec["restore"]) if spec["restore"] else {}
        self._reports = _native.Reports()  # the numbers of a report; what is plain it writes by itself
        self._reports.iteration = int(restored.get("training_iteration", spec["iteration"]))
        self._reports.before_s = float(restored.get("time_total_s", 0.0))
        self._reports.began = self._reports.last = time.monotonic()
        self._reports.metric, self._reports.time_attr, self._reports.sign = (
            spec["metric"] or "",
            spec["time_attr"],
            spec["sign"],
        )
        if spec["stop"]:
            self._reports.limits = list(spec["stop"].items())
        self._reports.answer(0, float(spec["next"]), False)
        self._timesteps = restored.get("timesteps_total")
        self._episodes = restored.get("episodes_total")
        self.is_saved = False  # the last report came with a checkpoint
        self._next_checkpoint = int(spec["next_checkpoint"])
        self._said: set[str] = set()
        identity = {"trial_id": spec["id"], "pid": os.getpid(), "hostname": os.uname().nodename, "node_ip": "127.0.0.1"}
        self._reports.identity = json.dumps(identity)[1:-1]
        self.last: dict[str, Any] = {}

    @property
    def iteration(self) -> int:
        return self._reports.iteration

    @property
    def reported(self) -> int:
        return self._reports.reported

    @property
    def time(self) -> float:
        return self._reports.time

    @property
    def next(self) -> float:
        return self._reports.next

    # -- by the trainable's threads

    def report(
        self, metrics: dict[str, Any], checkpoint: Checkpoint | None = None, save: Any = None, final: bool = False
    ) -> None:
        """``save()`` is called after the numbers are known, and gives the name of a checkpoint that it made, or None.
        ``final``: the function has returned it, so that the trial has finished."""
        if not isinstance(metrics, dict):
            raise InvalidArgumentError(f"report({metrics!r}): a dict of names and values")
        if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
            raise InvalidArgumentError(f"report(checkpoint={checkpoint!r}): Checkpoint.from_directory(path)")
        with self._order:
            if self.end is not None or self.asked:
                raise Ended
            if final:
                self._reports.hold()  # it goes with the end, which comes at once
            after = _After.SLOW
            if checkpoint is None and save is None:
                after = self._reports.report(metrics)
                self.is_saved = False
            if after == _After.SLOW:
                after = self._slowly(metrics, checkpoint, save)
            if final:
                return
            if after == _After.LAST:
                self.end = {"kind": "stopped", "final": False}
                raise Ended
            if after == _After.WAIT and not self._reports.wait():
                raise Ended

    def _slowly(self, metrics: dict[str, Any], checkpoint: Checkpoint | None, save: Any) -> Any:
        text, flat = self._written(metrics)
        name = self._kept(checkpoint) if checkpoint is not None else save() if save is not None else None
        self.is_saved = name is not None
        done = self._stops(flat)
        packed = self._packed(text, flat, name, done)
        self._reports.reported += 1
        return self._reports.put(packed, done)

    def _written(self, metrics: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        now, writer = time.monotonic(), self._reports
        writer.iteration += 1
        this, writer.last = now - writer.last, now
        auto: dict[str, Any] = {
            "training_iteration": self.iteration,
            "time_this_iter_s": this,
            "time_total_s": writer.before_s + now - writer.began,
            "time_since_restore": now - writer.began,
            "iterations_since_restore": writer.reported + 1,
        }
        metrics = dict(metrics)
        self._count(metrics, auto)
        if metrics.pop("training_iteration", self.iteration) != self.iteration:
            self.say("'training_iteration' is the controller's: what was reported under that name is passed over")
        for name in ("time_this_iter_s", "time_total_s"):
            if name in metrics:
                auto.pop(name)
        metrics.setdefault("done", False)
        try:
            text = json.dumps(metrics, default=plain)
            json_auto = json.dumps(auto)
        except (TypeError, ValueError) as error:
            writer.iteration -= 1
            bad = next((key for key, value in metrics.items() if not _has_json(value)), "?")
            raise InvalidArgumentError(
                f"report(): '{bad}' is {error}, and a result is kept as JSON: report numbers, texts, lists and dicts, and put "
                "the rest into a checkpoint"
            ) from None
        self.last = {**metrics, **auto}
        whole = f"{text[:-1]}, {json_auto[1:-1]}, {writer.stamp()}}}"
        return whole, flattened(self.last) if any(isinstance(v, dict) for v in metrics.values()) else self.last

    def _count(self, metrics: dict[str, Any], auto: dict[str, Any]) -> None:
        """Totals of what a result says of itself."""
        if "timesteps_this_iter" in metrics and "timesteps_total" not in metrics:
            self._timesteps = (self._timesteps or 0) + metrics["timesteps_this_iter"]
            auto["timesteps_total"] = self._timesteps
        elif "timesteps_total" in metrics:
            self._timesteps = metrics["timesteps_total"]
        if "episodes_this_iter" in metrics and "episodes_total" not in metrics:
            self._episodes = (self._episodes or 0) + metrics["episodes_this_iter"]
            auto["episodes_total"] = self._episodes

    def _stops(self, flat: dict[str, Any]) -> bool:
        if flat.get("done"):
            return True
        for name, limit in (self.spec["stop"] or {}).items():
            if name not in flat:
                if self.reported == 0:
                    self.say(f"stop={{{name!r}: {limit}}}: no such metric in the result: {', '.join(flat)}")
                continue
            value = number_of(flat[name])
            if value is not None and value >= limit:
                return True
        return False

    def _packed(self, text: str, flat: dict[str, Any], checkpoint: str | None, done: bool) -> bytes:
        metric, time_attr = self.spec["metric"], self.spec["time_attr"]
        score = number_of(flat.get(metric)) if metric else None
        at = number_of(flat.get(time_attr))
        if metric and score is None:
            what = f"is {flat[metric]!r}, no number" if metric in flat else f"is not among {', '.join(flat)}"
            self.say(f"the metric {metric!r} {what}: such results decide nothing")
        if at is None:
            self.say(f"the time {time_attr!r} is not a number of the result: such results decide nothing")
        scored = at is not None and (score is not None or not metric)
        self._reports.time = at if at is not None else self.time
        value = self.spec["sign"] * score if score is not None else 0.0
        return _native.pack_result(
            text,
            self.iteration,
            self.time,
            value,
            scored,
            done,
            checkpoint or "",
            self._rank(flat) if checkpoint else 0.0,
        )

    def _rank(self, flat: dict[str, Any]) -> float:
        """Of a checkpoint: which is kept longer. Without an attribute the newer one."""
        attribute, sign = self.spec["checkpoint_rank"]
        if not attribute:
            return float(self.iteration)
        value = number_of(flat.get(attribute))
        if value is None:
            self.say(
                f"checkpoint_score_attribute={attribute!r} is not a number of the result: such checkpoints go first"
            )
            return float("-inf")
        return sign * value if value == value else float("-inf")

    def say(self, text: str) -> None:
        """Once, by the controller."""
        if text not in self._said:
            self._said.add(text)
            self.said.append(text)
            self._reports.poke()

    # -- checkpoints

    def _told(self) -> dict[str, Any]:
        return {
            "training_iteration": self.iteration,
            "time_total_s": self.last.get("time_total_s", self._reports.before_s),
            "timesteps_total": self._timesteps,
            "episodes_total": self._episodes,
        }

    def _name(self) -> str:
        self._next_checkpoint += 1
        return f"checkpoint_{self._next_checkpoint - 1:06d}"

    def _kept(self, checkpoint: Checkpoint) -> str:
        checkpoint._check()
        name = self._name()
        _checkpoints.copied(checkpoint, self.spec["folder"], name, self._told(), self._keeper)
        return name

    @functools.cached_property
    def _keeper(self) -> Keeper | None:
        if not self.spec["in_store"]:
            return None
        return Keeper(os.path.dirname(self.spec["folder"]), self.spec["restore"])

    def write(self, write: Any) -> str:
        """A checkpoint of what ``write(folder)`` puts there."""
        name = self._name()
        made = os.path.join(self.spec["folder"], f".{name}.partial")
        os.makedirs(made, exist_ok=True)
        write(made)
        _checkpoints.finished(made, self.spec["folder"], name, self._told(), self._keeper)
        return name

    # -- by the controller's calls

    def take(self, wait_s: float = -1.0) -> dict[str, Any]:
        """What there is by now; waits until there is something, or as long as is said."""
        packed, count = self._reports.take(wait_s)
        message: dict[str, Any] = {}
        if self.said:
            message["said"] = [self.said.pop(0) for _ in range(len(self.said))]
        if self.end is not None and self.end["final"]:
            rest, more = self._reports.take(0.0)  # that came before the end, and behind what was taken
            packed, count = packed + rest, count + more
            message["end"] = self.end
        if count:
            message["packed"], message["count"] = packed, count
        return message

    def answer(self, counted: int, next_time: float, asked: str) -> None:
        if asked:
            self.asked = asked
        self._reports.answer(counted, next_time, bool(asked))

    def finish(self, **end: Any) -> None:
        self.end = {**end, "final": True}
        self._reports.poke()


def _has_json(value: Any) -> bool:
    try:
        json.dumps(value, default=plain)
        return True
    except (TypeError, ValueError):
        return False


current: Session | None = None


def enter(session: Session | None) -> None:
    global current
    current = session


def _here(what: str) -> Session:
    if current is None:
        raise FailedPreconditionError(f"tune.{what} is for the function of a trial: this process runs none")
    return current


def report(metrics: dict[str, Any], *, checkpoint: Checkpoint | None = None) -> None:
    """Tells the experiment how far this trial is. ``checkpoint``: a folder to go on from, which is copied before this returns.

    Values are numbers, texts, lists and dicts (InvalidArgumentError for others). NaN is reported as it is and is never best.
    """
    _here("report()").report(metrics, checkpoint)


def get_checkpoint() -> Checkpoint | None:
    """What this trial goes on from: None when it starts from nothing."""
    restore = _here("get_checkpoint()").spec["restore"]
    return Checkpoint(restore) if restore else None


def get_context() -> TrialContext:
    return _here("get_context()").context


@contextlib.contextmanager
def in_folder(folder: str) -> Any:
    """The working directory is the trial's, unless RAY_CHDIR_TO_TRIAL_DIR=0."""
    before = os.getcwd()
    os.environ.setdefault("TUNE_ORIG_WORKING_DIR", before)
    if os.environ.get("RAY_CHDIR_TO_TRIAL_DIR", "1") != "0":
        os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
