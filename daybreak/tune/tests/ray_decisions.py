"""Makes data/ray_decisions.json and data/ray_simulated.json: what Ray Tune's own schedulers decide on tables of mock trials, in
rounds and on a simulated clock.

Run by hand, in an environment with ray[tune]==2.60.0: ``python daybreak/tune/tests/ray_decisions.py``. The tests need no Ray: they
drive ours over the same tables (`events` of test_schedulers.py is the same loop).
"""

from __future__ import annotations

import heapq
import json
import random
from pathlib import Path
from unittest.mock import MagicMock

CASES = [
    {"kind": "asha", "trials": 30, "steps": 30, "workers": 30, "seed": 1,
     "numbers": {"max_t": 27, "reduction_factor": 3}},
    {"kind": "asha", "trials": 40, "steps": 20, "workers": 7, "seed": 2, "numbers": {"max_t": 100, "reduction_factor": 4}},
    {"kind": "asha", "trials": 25, "steps": 16, "workers": 4, "seed": 3, "nan": 0.1,
     "numbers": {"max_t": 16, "grace_period": 2, "reduction_factor": 2, "stop_last_trials": False}},
    {"kind": "hyperband", "trials": 20, "steps": 81, "workers": 4, "seed": 4, "numbers": {"max_t": 9, "reduction_factor": 3}},
    {"kind": "hyperband", "trials": 13, "steps": 40, "workers": 3, "seed": 5, "numbers": {"max_t": 16, "reduction_factor": 2}},
    {"kind": "hyperband", "trials": 17, "steps": 30, "workers": 17, "seed": 6,
     "numbers": {"max_t": 27, "reduction_factor": 3, "stop_last_trials": False}},
    {"kind": "median", "trials": 20, "steps": 20, "workers": 5, "seed": 7,
     "numbers": {"grace_period": 3, "min_samples_required": 3}},
    {"kind": "median", "trials": 15, "steps": 20, "workers": 4, "seed": 8,
     "numbers": {"grace_period": 2, "min_samples_required": 4, "min_time_slice": 3, "hard_stop": False}},
    {"kind": "pbt", "trials": 4, "steps": 24, "workers": 4, "seed": 9, "numbers": {"perturbation_interval": 3}},
    {"kind": "pbt", "trials": 4, "steps": 24, "workers": 2, "seed": 10, "nan": 0.1,
     "numbers": {"perturbation_interval": 4, "burn_in_period": 6}},
    {"kind": "pbt", "trials": 4, "steps": 20, "workers": 2, "seed": 11, "numbers": {"perturbation_interval": 4, "synch": True}},
]  # fmt: skip

SIMULATED = [
    {"kind": "asha", "trials": 40, "steps": 27, "workers": 6, "seed": 21, "delay": 0.05,
     "numbers": {"max_t": 27, "reduction_factor": 3}},
    {"kind": "asha", "trials": 60, "steps": 30, "workers": 25, "seed": 22, "delay": 0.5, "by_seconds": True,
     "numbers": {"max_t": 60, "grace_period": 4, "reduction_factor": 2}},
    {"kind": "hyperband", "trials": 22, "steps": 27, "workers": 5, "seed": 23, "delay": 0.05,
     "numbers": {"max_t": 9, "reduction_factor": 3}},
    {"kind": "bohb", "trials": 17, "steps": 27, "workers": 5, "seed": 24, "delay": 0.05,
     "numbers": {"max_t": 9, "reduction_factor": 3}},
    {"kind": "bohb", "trials": 39, "steps": 81, "workers": 4, "seed": 25, "delay": 0.0,
     "numbers": {"max_t": 27, "reduction_factor": 3}},
    {"kind": "median", "trials": 25, "steps": 20, "workers": 6, "seed": 26, "delay": 0.05, "by_seconds": True,
     "numbers": {"grace_period": 5, "min_samples_required": 3}},
    {"kind": "median", "trials": 15, "steps": 20, "workers": 4, "seed": 27, "delay": 0.25,
     "numbers": {"grace_period": 2, "min_samples_required": 4, "min_time_slice": 3, "hard_stop": False}},
]  # fmt: skip


def table(case: dict) -> list[list[float]]:
    """Curves a - b * t^-c with noise and crossings; higher is better."""
    draw = random.Random(case["seed"])
    rows = []
    for _ in range(case["trials"]):
        a, b, c = draw.uniform(0.5, 1), draw.uniform(0.2, 1), draw.uniform(0.2, 1.5)
        rows.append([a - b * (t + 1) ** -c + draw.gauss(0, 0.02) for t in range(case["steps"])])
        for t in range(case["steps"]):
            if draw.random() < case.get("nan", 0):
                rows[-1][t] = float("nan")
    return rows


def elapsed(case: dict) -> list[list[float]]:
    """Seconds since a trial's beginning, by epoch: each trial has its pace."""
    draw = random.Random(case["seed"] + 1000)
    rows = []
    for _ in range(case["trials"]):
        pace, sum_ = draw.uniform(0.5, 2), 0.0
        rows.append([sum_ := sum_ + pace * draw.uniform(0.8, 1.2) for _ in range(case["steps"])])
    return rows


def made(case: dict):
    from ray.tune import schedulers

    numbers = {k: bool(v) if k in ("stop_last_trials", "hard_stop", "synch") else v for k, v in case["numbers"].items()}
    common = {"time_attr": "t", "metric": "m", "mode": "max"}
    if case["kind"] == "asha":
        return schedulers.AsyncHyperBandScheduler(**common, **numbers)
    if case["kind"] == "hyperband":
        return schedulers.HyperBandScheduler(**common, **numbers)
    if case["kind"] == "bohb":
        return schedulers.HyperBandForBOHB(**common, **numbers)
    if case["kind"] == "median":
        return schedulers.MedianStoppingRule(**common, **numbers)

    class Pbt(schedulers.PopulationBasedTraining):
        exploits: list = []

        def _exploit(self, controller, trial, source) -> None:
            self.exploits.append((trial, source))
            super()._exploit(controller, trial, source)

    found = Pbt(**common, **numbers, hyperparam_mutations={"x": [1, 2, 3]}, log_config=False)
    found.exploits = []
    return found


def mock_trials(case: dict) -> list:
    from ray.tune.experiment import Trial

    trials = []
    for i in range(case["trials"]):
        trial = MagicMock(name=f"trial{i}")
        trial.number, trial.trial_id, trial.status, trial.t, trial.saved = i, str(i), Trial.PENDING, 0, 0
        trial.is_saving = False
        trial.config = {"x": 2}
        trial.run_metadata.checkpoint_manager.checkpoint_config.num_to_keep = None
        trial.is_finished = lambda trial=trial: trial.status in (Trial.TERMINATED, Trial.ERROR)
        trials.append(trial)
    return trials


def events(case: dict) -> list[list]:
    from ray.tune.experiment import Trial

    scores, scheduler, log = table(case), made(case), []
    trials = mock_trials(case)
    controller = MagicMock()
    controller.search_alg = None
    controller.get_trials = lambda: trials
    controller.get_live_trials = lambda: [trial for trial in trials if not trial.is_finished()]

    def stop(trial) -> None:
        trial.status = Trial.TERMINATED
        log.append(["stopped", trial.number])
        scheduler.on_trial_remove(controller, trial)

    def save(trial, result=None):
        trial.saved = result["t"]
        return "a checkpoint"

    controller.stop_trial = stop
    controller.pause_trial = lambda trial, should_checkpoint=True: setattr(trial, "status", Trial.PAUSED)
    controller._schedule_trial_save = save
    for trial in trials:
        trial.checkpoint = "a checkpoint"
        trial.temporary_state.saving_to = None
        scheduler.on_trial_add(controller, trial)
    while True:
        running = [trial for trial in trials if trial.status == Trial.RUNNING]
        while len(running) < case["workers"]:
            trial = scheduler.choose_trial_to_run(controller)
            if trial is None:
                break
            trial.status = Trial.RUNNING
            log.append(["choose", trial.number])
            running.append(trial)
        if not running:
            return log
        for trial in running:
            if trial.status != Trial.RUNNING:
                continue
            trial.t += 1
            result = {"t": trial.t, "m": scores[trial.number][trial.t - 1]}
            trial.last_result = result
            if trial.t >= case["steps"]:
                trial.status = Trial.TERMINATED
                log.append(["done", trial.number])
                scheduler.on_trial_complete(controller, trial, result)
                continue
            decision = scheduler.on_trial_result(controller, trial, result)
            if trial.status == Trial.PAUSED:
                decision = "PAUSE"
            if decision == "PAUSE":
                trial.status = Trial.PAUSED
                if case["numbers"].get("synch"):
                    trial.saved = trial.saved or trial.t
            if decision == "STOP":
                trial.status = Trial.TERMINATED
            log.append(["result", trial.number, trial.t, decision])
            for target, source in getattr(scheduler, "exploits", []):
                target.t = source.saved if not case["numbers"].get("synch") else source.t
                log.append(["exploit", target.number, source.number, target.t])
            if hasattr(scheduler, "exploits"):
                scheduler.exploits.clear()


class Clock:
    """The same trials on a clock: (time, sequence) on a heap. Messages take the delay, and a trial trains on meanwhile."""

    def __init__(self, case: dict) -> None:
        self.case, self.scores, self.seconds = case, table(case), elapsed(case)
        self.scheduler, self.trials, self.log = made(case), mock_trials(case), []
        self.heap, self.sequence, self.now, self.busy = [], 0, 0.0, 0
        self.controller = MagicMock()
        self.controller.get_trials = lambda: self.trials
        self.controller.get_live_trials = lambda: [trial for trial in self.trials if not trial.is_finished()]
        self.controller.stop_trial = self.stop
        self.controller.pause_trial = lambda trial, should_checkpoint=True: self.leave(trial, "PAUSED")
        self.controller._set_trial_status = lambda trial, status: setattr(trial, "status", status)
        for trial in self.trials:
            trial.attempt, trial.trained = 0, 0.0
            trial.checkpoint = "a checkpoint"
            trial.set_status = lambda status, trial=trial: setattr(trial, "status", status)
            self.scheduler.on_trial_add(self.controller, trial)

    def push(self, time: float, what: str, trial) -> None:
        heapq.heappush(self.heap, (time, self.sequence, what, trial.number, trial.attempt))
        self.sequence += 1

    def say(self, kind: str, trial) -> None:
        self.log.append([kind, trial.number, trial.t, round(self.now, 6)])

    def leave(self, trial, status: str) -> None:
        if trial.status == "RUNNING":
            trial.attempt += 1
            self.push(self.now + self.case["delay"], "frees", trial)
        trial.status = status
        self.say({"PAUSED": "pause", "TERMINATED": "stop"}[status], trial)

    def stop(self, trial) -> None:
        self.leave(trial, "TERMINATED")
        self.scheduler.on_trial_remove(self.controller, trial)

    def fill(self) -> None:
        while self.busy < self.case["workers"]:
            trial = self.scheduler.choose_trial_to_run(self.controller)
            if trial is None:
                return
            self.busy += 1
            trial.attempt += 1
            trial.status = "RUNNING"
            self.say("start", trial)
            self.push(self.now + self.case["delay"], "begins", trial)

    def train(self, trial) -> None:
        if trial.t == self.case["steps"]:
            self.push(trial.trained + self.case["delay"], "completes", trial)
            return
        row = self.seconds[trial.number]
        trial.trained += row[trial.t] - (row[trial.t - 1] if trial.t else 0.0)
        self.push(trial.trained + self.case["delay"], "trained", trial)

    def result(self, trial) -> dict:
        time = self.seconds[trial.number][trial.t - 1] if self.case.get("by_seconds") else trial.t
        return {"t": time, "m": self.scores[trial.number][trial.t - 1]}

    def handle(self, what: str, trial) -> None:
        if what == "begins":
            trial.trained = self.now
            self.train(trial)
        elif what == "completes":
            self.scheduler.on_trial_complete(self.controller, trial, self.result(trial))
            trial.status = "TERMINATED"
            self.say("complete", trial)
            self.busy -= 1
        else:
            trial.t += 1
            trial.last_result = self.result(trial)
            before = len(self.log)
            decision = self.scheduler.on_trial_result(self.controller, trial, trial.last_result)
            self.log.insert(before, ["result", trial.number, trial.t, round(self.now, 6)])
            if trial.status == "RUNNING" and decision in ("PAUSE", "STOP"):
                self.leave(trial, {"PAUSE": "PAUSED", "STOP": "TERMINATED"}[decision])
            if trial.status == "RUNNING":
                self.train(trial)

    def run(self) -> list[list]:
        self.fill()
        while self.heap:
            self.now, _, what, number, attempt = heapq.heappop(self.heap)
            trial = self.trials[number]
            if what == "frees":
                self.busy -= 1
            elif attempt == trial.attempt:
                self.handle(what, trial)
            self.fill()
        for trial in self.trials:
            if not trial.is_finished():
                self.leave(trial, "TERMINATED")
        return self.log


if __name__ == "__main__":
    found = [{**case, "events": events(case)} for case in CASES]
    Path(__file__).with_name("data").joinpath("ray_decisions.json").write_text(json.dumps(found))
    print([len(case["events"]) for case in found])
    found = [{**case, "events": Clock(case).run()} for case in SIMULATED]
    Path(__file__).with_name("data").joinpath("ray_simulated.json").write_text(json.dumps(found))
    print([len(case["events"]) for case in found])
