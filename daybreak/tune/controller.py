"""The controller: starts trials, fetches what they report, does what the scheduler decides, and writes all of it down.

One thread, which nothing of a trial's own holds up: each trial has one call (`poll`) outstanding, and what comes back is everything
that it reported since. The experiment (native) is told, decides and writes; here is what actors, files and callbacks need.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from typing import Any

import daybreak
from daybreak._core import tune as _native
from daybreak.base.errors import InternalError
from daybreak.base.failpoints import failpoint

from . import explore, kept, processes, stopping
from .files import TrialFiles, as_json, folder_name
from .handing import Handing
from .processes import Processes
from .reading import trial_folder
from .running import Run, Slot, TuneError
from .trainable import is_class, resources_of
from .trial import Trial, read_config, written_config

__all__ = ["Controller"]

_SYNC_S = 1.0  # how often what is written down is brought to the disk
_COLLECT = 50  # checkpoints that are dropped before the store is collected


class Controller:
    """What a scheduler of one's own is given as `tune_controller`: get_trials, get_live_trials, stop_trial, pause_trial."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.experiment = run.experiment
        self._path = str(run.path)
        self.native = not hasattr(run.scheduler, "choose_trial_to_run") or hasattr(run.scheduler, "described")
        self.trials: list[Trial] = []
        self._by_poll: dict[Any, Slot] = {}
        self._said: set[str] = set()
        self._over = ""  # why no trial is started any more
        self._failed: BaseException | None = None
        self._iteration = 0
        self._last_sync = time.monotonic()
        self._dropped = 0  # checkpoints, since the store was collected
        self._requests = stopping.Requests(run.path)
        self._decodes = (
            bool(run.callbacks) or run.stopper is not None or not self.native or run.source.searcher is not None
        )
        self._waits = run.stopper is not None or not self.native or run.source.searcher is not None
        asked = getattr(run.trainable, "_tune_resources", None)
        is_on = run.reuse_actors and not self._decodes and not callable(asked)
        self._handing = Handing(run.experiment, self.trials, is_on)

    # -- for schedulers and callbacks of one's own

    def get_trials(self) -> list[Trial]:
        return self.trials

    def get_live_trials(self) -> list[Trial]:
        return [trial for trial in self.trials if not trial.is_finished()]

    def stop_trial(self, trial: Trial) -> None:
        """Ends one that waits, is paused or runs."""
        if trial.is_finished():
            return
        slot = self._slot_of(trial)
        self.experiment.decide(trial.number, "STOP") if slot else self.experiment.end(trial.number, "TERMINATED")
        if slot is not None and not slot.ending:
            self._ask(slot, "stop")
        self._completed(trial)

    def pause_trial(self, trial: Trial, should_checkpoint: bool = True) -> None:
        slot = self._slot_of(trial)
        if slot is not None and trial.status == "RUNNING":
            self.experiment.decide(trial.number, "PAUSE")
            self._ask(slot, "pause" if should_checkpoint else "exploit")

    def _slot_of(self, trial: Trial) -> Slot | None:
        return next((slot for slot in self._by_poll.values() if slot.trial is trial), None)

    # -- the loop

    def fit(self) -> None:
        run = self.run
        started_runtime = not daybreak.is_initialized()
        if started_runtime:
            daybreak.init()
        self._processes = Processes(run.trainable, self._say)
        self._budget_ends = time.monotonic() + run.time_budget_s if run.time_budget_s else None
        self._requests.forget()
        try:
            self._adopt()
        except BaseException:
            self.experiment.close()  # so that another may drive it
            raise
        self._tell_callbacks(
            "setup", stop=run.limits, num_samples=run.num_samples, total_num_samples=run.source.total()
        )
        before = stopping.catch_interrupt(run)
        try:
            while self._step():
                pass
        finally:
            stopping.restore_interrupt(before)
            self._clean_up()
        if run.reporter is not None:
            self._report(done=True)
        self._tell_callbacks("on_experiment_end")
        if self._failed is not None:
            raise self._failed

    def _step(self) -> bool:
        self._iteration += 1
        for number in self.experiment.take_stopped():
            self._completed(self.trials[number])
        self._tell_callbacks("on_step_begin")
        self._check_time()
        self._add_trials()
        while not self._over and self._start_one():
            pass
        if not self._by_poll and not self._processes.closing and not self._unblocked():
            return False
        self._wait()
        self._sync()
        if self.run.reporter is not None:
            self._report(done=False)
        self._tell_callbacks("on_step_end")
        return True

    def _unblocked(self) -> bool:
        """Nothing runs: whether something may yet."""
        if self._over:
            return False
        if not self.experiment.count("PENDING") and not self.experiment.count("PAUSED"):
            return not self.run.source.finished
        if self.native and self.experiment.unblock():
            self._exploit()
            return True
        waiting = [trial for trial in self.trials if not trial.is_finished()]
        self._say(f"{len(waiting)} trials wait ({waiting[0]}, ...), and the scheduler lets none run: they end here")
        for trial in waiting:
            self.stop_trial(trial)
        return False

    def _wait(self) -> None:
        timeout = 0.5
        if self._budget_ends is not None:
            timeout = min(timeout, max(self._budget_ends - time.monotonic(), 0.0))
        refs = [*self._by_poll, *self._processes.closing, *self._handing.given_back]
        if not refs:
            return
        ready, _ = daybreak.wait(refs, num_returns=1, timeout=timeout)
        if ready and len(refs) > 1:
            ready, _ = daybreak.wait(refs, num_returns=len(refs), timeout=0)
        for ref in ready:
            if ref in self._processes.closing:
                self._processes.closed(ref)
                continue
            if ref in self._handing.given_back:
                self._handing.on_given_back(ref, self._by_poll.values())
                continue
            slot = self._by_poll.pop(ref, None)
            if slot is None:  # another's message has ended all
                continue
            try:
                message = daybreak.get(ref)
            except Exception as error:
                self._lost(slot, error)
            else:
                self._on_message(slot, message)
        for ref, slot in list(self._by_poll.items()):
            if slot.deadline is not None and time.monotonic() >= slot.deadline:
                del self._by_poll[ref]
                self._say(
                    f"{slot.trial} was told to {slot.ending} and did not within {processes.CLEANUP_S:g} s: its process is ended"
                )
                self._release(slot, kill=True)
        self._processes.end_overdue()

    def _check_time(self) -> None:
        if self._over:
            return
        if self._budget_ends is not None and time.monotonic() >= self._budget_ends:
            self._end_all(f"time_budget_s={self.run.time_budget_s:g} is over")
        elif self.run.interrupted or self._requests.is_one_there():
            self.run.interrupted = True
            self._end_all("interrupted: the experiment can be restored")
        elif self.run.stopper is not None and self.run.stopper.stop_all():
            self._end_all("the stopper has stopped all trials")

    def _end_all(self, why: str) -> None:
        self._over = why
        self._say(why)
        stays = self.run.interrupted
        for ref, slot in list(self._by_poll.items()):
            del self._by_poll[ref]
            if not stays and slot.trial.status == "RUNNING":
                self.experiment.decide(slot.trial.number, "STOP")
                self._completed(slot.trial)
            self._release(slot, kill=True)
        if not stays:
            for trial in self.trials:
                if not trial.is_finished():
                    self.experiment.end(trial.number, "TERMINATED")

    # -- trials begin

    def _adopt(self) -> None:
        """Of an experiment that goes on: its trials, and what a searcher and a scheduler of one's own are told again."""
        for number in range(len(self.experiment)):
            row = self.experiment.trial(number)
            trial = self._adopted(number, row)
            trial.files.drop_unknown({name for name, *_ in row["checkpoints"]})
        self.run.source.resume(len(self.experiment))
        if self.trials and (not self.native or self.run.source.searcher is not None):
            explore.tell_again(self)
        self._exploit()

    def _adopted(self, number: int, row: dict[str, Any]) -> Trial:
        written = json.loads(row["suggestion"])

        def config() -> dict[str, Any]:
            return read_config(written, lambda: self.run.source.config_of(number))

        made = config() if written["opaque"] else config  # what it lacks is said now
        return self._made(number, row["id"], written["tag"], made)

    def _made(self, number: int, trial_id: str, tag: str, config: Any) -> Trial:
        folder = trial_folder(self._path, self.run.trainable_name, trial_id, tag)
        trial = Trial(self.experiment, number, folder, self.run.trainable_name, trial_id, config)
        if self.run.trial_name_creator is not None:
            trial.custom_trial_name = str(self.run.trial_name_creator(trial))
        if self.run.trial_dirname_creator is not None:
            trial.files = TrialFiles(self.run.path / folder_name(str(self.run.trial_dirname_creator(trial))))
        self.trials.append(trial)
        return trial

    def _add_trials(self) -> None:
        while not self._over and self._has_room():
            found = self.run.source.next(self.experiment.count("PENDING"), len(self._by_poll))
            if found is None:
                return
            trial_id, config, tag, chosen = found
            explore.fill(self.run.scheduler, config, chosen, self.run.source.seed, len(self.experiment))
            number = self.experiment.add(trial_id, written_config(config, tag, chosen))
            trial = self._made(number, trial_id, tag, config)
            if not self.native:
                self.run.scheduler.on_trial_add(self, trial)

    def _has_room(self) -> bool:
        """A searcher is asked when its suggestion can run, so that it knows all that there is to know by then."""
        if self.run.source.searcher is None:
            return True
        if len(self._by_poll) >= self.run.max_concurrent:
            return False
        asked = getattr(self.run.trainable, "_tune_resources", None) or {}
        needs = {} if callable(asked) else resources_of(asked)
        totals = self._processes.totals
        return self._processes.has_room({name: min(amount, totals.get(name, amount)) for name, amount in needs.items()})

    def _start_one(self) -> bool:
        if len(self._by_poll) >= self.run.max_concurrent:
            return False
        if self.native:
            number = self.experiment.choose()
            trial = self.trials[number] if number is not None else None
        else:
            trial = self.run.scheduler.choose_trial_to_run(self)
        if trial is None:
            self._handing.ask_back(self._by_poll.values())
            return False
        if self._slot_of(trial) is not None:  # it is still being paused
            return False
        try:
            asked = getattr(self.run.trainable, "_tune_resources", None) or {}
            needs = resources_of(asked(trial.config) if callable(asked) else asked)
            self._processes.check_fits(needs)
        except Exception as error:
            self._fail(trial, f"its resources: {error}", traceback.format_exc(), can_retry=False)
            return True
        if not self._processes.has_room(needs):
            self._processes.end_idle()  # they may hold what is missing
            return False
        self._start(trial, needs)
        return True

    def _start(self, trial: Trial, needs: dict[str, float]) -> None:
        row = self.experiment.trial(trial.number)
        self.experiment.start(trial.number)
        failpoint("tune.started")
        trial.files.begin(trial.config, row["from_iteration"])
        restore = str(self.trials[row["source"]].files.folder / row["from"]) if row["from"] else ""
        slot = Slot(trial, self._processes.take(needs), needs)
        slot.tail, slot.told = self._tail(trial), time.monotonic()
        ref = slot.actor.start.remote(
            self._spec(trial, row, restore, needs), self._handing.more(slot, self._by_poll.values())
        )
        self._by_poll[ref] = slot
        self._tell_callbacks("on_trial_restore" if restore else "on_trial_start", trial=trial)

    def _spec(self, trial: Trial, row: dict[str, Any], restore: str, needs: dict[str, float]) -> dict[str, Any]:
        checkpoints, steps = self.run.checkpoints, is_class(self.run.trainable)
        return {
            "id": trial.trial_id,
            "name": str(trial),
            "folder": trial.logdir,
            "experiment": self.run.path.name,
            "storage": str(self.run.path.parent),
            "config": trial.config,
            "resources": needs,
            "restore": restore,
            "iteration": row["from_iteration"],
            "next": float("-inf") if self._waits else self.experiment.next(trial.number),
            "next_checkpoint": self._next_checkpoint(trial),
            "metric": self.run.metric,
            "sign": -1.0 if self.run.mode == "min" else 1.0,
            "time_attr": self.run.time_attr,
            "stop": self.run.limits,
            "checkpoint_rank": (
                checkpoints.checkpoint_score_attribute,
                -1.0 if checkpoints.checkpoint_score_order == "min" else 1.0,
            ),
            "checkpoint_frequency": checkpoints.checkpoint_frequency,
            "checkpoint_at_end": bool(checkpoints.checkpoint_at_end),
            "in_store": checkpoints.in_store,
            "saves": steps and self.experiment.saves,
        }

    def _next_checkpoint(self, trial: Trial) -> int:
        """Behind all that have been: a number names one checkpoint for ever."""
        names = [name for name, *_ in self.experiment.trial(trial.number)["checkpoints"]]
        newest = max((int(name.rsplit("_", 1)[1]) for name in names), default=-1)
        trial.next_checkpoint = max(getattr(trial, "next_checkpoint", 0), newest + 1)  # type: ignore[attr-defined]
        return trial.next_checkpoint  # type: ignore[attr-defined,no-any-return]

    # -- messages

    def _on_message(self, slot: Slot, message: dict[str, Any]) -> None:
        parts = [message, *message.get("after", ())]
        if "end" in message:
            self._handing.measure(slot, len(parts))
        slot.told = time.monotonic()
        for i, part in enumerate(parts):
            if i > 0:
                self._goes_on(slot, part["id"])
            answer, asked = self._on_part(slot, part)
            if "end" in part and i < len(parts) - 1:
                slot.trial.files.close()
                self._on_end(slot, part["end"])
        end = parts[-1].get("end")
        if end is not None:
            self._release(slot, kill=end["kind"] == "error")
            self._on_end(slot, end)
            return
        next_time = answer.next if answer is not None else self.experiment.next(slot.trial.number)
        if self._waits:
            next_time = float("-inf")
        if asked and not slot.ending:
            slot.ending, slot.deadline = asked, time.monotonic() + processes.CLEANUP_S
        handed = [] if self._over else self._handing.more(slot, self._by_poll.values())
        self._by_poll[slot.actor.poll.remote(parts[-1].get("count", 0), next_time, asked, handed)] = slot

    def _goes_on(self, slot: Slot, begun: str) -> None:
        """Its process has begun the next of those that were handed over."""
        slot.trial = trial = slot.ahead.pop(0)
        if trial.trial_id != begun:
            raise InternalError(f"a process has begun trial {begun}, where {trial.trial_id} was next")
        slot.ending, slot.deadline = "", None
        self.experiment.start(trial.number)
        failpoint("tune.started")
        slot.tail = self._tail(trial)

    def _on_part(self, slot: Slot, part: dict[str, Any]) -> tuple[Any, str]:
        """What came of one trial."""
        for text in part.get("said", ()):
            self._say(f"{slot.trial}: {text}")
        if "packed" in part:
            return self._on_results(slot, part["packed"], part.get("end"))
        return None, ""

    @staticmethod
    def _tail(trial: Trial) -> bytes:
        return f', "config": {as_json(trial.config)}'.encode()

    def _on_results(self, slot: Slot, packed: bytes, end: Any) -> tuple[Any, str]:
        trial, results = slot.trial, []
        if self._decodes:
            results = [{**json.loads(text), "config": trial.config} for text in _native.texts_of(packed)]
        if self.run.stopper is not None and trial.status == "RUNNING":
            for i, result in enumerate(results):
                if self.run.stopper(trial.trial_id, result):
                    packed = _native.cut_at(packed, i + 1)
                    break
        answer = self.experiment.results(trial.number, packed, slot.tail)
        failpoint("tune.results")
        if answer.late:
            self._say(f"{trial}: {answer.late} results came after its end: passed over")
        if answer.counted:
            trial.files.append(answer.lines, last=end is not None and end["kind"] != "error")
            self._keep(trial)
        decision = answer.decision
        if self._decodes:
            decision = self._tell_results(slot, results[: answer.counted], decision)
        exploits = self._exploit()
        if trial.is_finished():
            self._completed(trial)
            return answer, "stop"
        if decision == "PAUSE":
            return answer, "exploit" if trial.number in exploits else "pause"
        return answer, ""

    def _tell_results(self, slot: Slot, results: list[dict[str, Any]], decision: str) -> str:
        """Scheduler, searcher, callbacks, in Ray's order."""
        trial, searcher = slot.trial, self.run.source.searcher
        for result in results:
            if not self.native and trial.status == "RUNNING":
                if self.run.metric and self.run.metric not in result:
                    continue  # it has been said
                decision = self.run.scheduler.on_trial_result(self, trial, result)
                if decision in ("PAUSE", "STOP") and trial.status == "RUNNING":
                    self.experiment.decide(trial.number, decision)
                elif decision == "NOOP" and trial.status == "PAUSED":
                    decision = "PAUSE"
            if searcher is not None and not trial.is_finished():
                searcher.on_trial_result(trial.trial_id, result)
            self._tell_callbacks("on_trial_result", trial=trial, result=result)
        return decision

    def _keep(self, trial: Trial) -> None:
        keep = self.run.checkpoints.num_to_keep
        if keep is None:
            return
        if len(self.experiment.trial(trial.number)["checkpoints"]) > keep:
            names = self.experiment.surplus(trial.number, keep)
            self.experiment.flush()
            failpoint("tune.forgotten")
            for name in names:
                trial.files.drop(name)
            self._dropped += len(names)
            if self.run.checkpoints.in_store and self._dropped >= _COLLECT:
                self._dropped = 0
                kept.collected(self.run.path)

    def _exploit(self) -> set[int]:
        """Who goes on from another's checkpoint, with a config made of the other's."""
        done = set()
        for number, source in self.experiment.take_exploits():
            trial, best = self.trials[number], self.trials[source]
            starts = self.experiment.trial(number)["starts"]
            found = self.experiment.explored(number, source)
            config = explore.explored(self.run.scheduler, best.config, self.run.source.seed, number, starts, found)
            tag = f"{trial.experiment_tag.split('@')[0]}@perturbed"
            chosen = sorted(trial.evaluated_params)
            explore.log(self.run, trial, best, config)
            self.experiment.exploit(number, source, written_config(config, tag, chosen))
            trial.config = config
            done.add(number)
        return done

    # -- ends

    def _on_end(self, slot: Slot, end: dict[str, Any]) -> None:
        trial = slot.trial
        if end.get("saved"):
            self.experiment.saved(trial.number, *end["saved"])
            self._keep(trial)
            self._tell_callbacks("on_trial_save", trial=trial)
        if end["kind"] == "error":
            if not trial.is_finished():
                self._fail(trial, end["what"], end["text"])
        elif end["kind"] == "finished" and not trial.is_finished():
            self.experiment.end(trial.number, "TERMINATED")
            if not self.native:
                self.run.scheduler.on_trial_complete(self, trial, trial.last_result)
            self._completed(trial)

    def _lost(self, slot: Slot, error: Exception) -> None:
        """Its process is gone."""
        others = bool(slot.ahead)
        self._release(slot, kill=True)
        if slot.trial.is_finished():
            return
        if others and not slot.ending:  # one of those that it had ahead may have ended it
            self._handing.run_alone(slot.trial)
            self.experiment.end(slot.trial.number, "PENDING", "")
            return
        self._fail(slot.trial, f"its process has died: {error}", "".join(traceback.format_exception(error)))

    def _fail(self, trial: Trial, text: str, trace: str, can_retry: bool = True) -> None:
        failure = self.run.failure
        trial.files.error(trace)
        tries = self.experiment.trial(trial.number)["failures"]
        if can_retry and not failure.fail_fast and (failure.max_failures == -1 or tries < failure.max_failures):
            self.experiment.end(trial.number, "PENDING", text)
            self._say(f"{trial} failed and is tried again ({tries + 1} of {failure.max_failures}): {text}")
            self._tell_callbacks("on_trial_recover", trial=trial)
            return
        self.experiment.end(trial.number, "ERROR", text)
        self._say(f"{trial} failed: {text} (the whole in {trial.logdir}/error.txt)")
        trial.files.table()
        if not self.native:
            self.run.scheduler.on_trial_error(self, trial)
        if self.run.source.searcher is not None:
            self.run.source.searcher.on_trial_complete(trial.trial_id, error=True)
        self._tell_callbacks("on_trial_error", trial=trial)
        if failure.fail_fast:
            if failure.fail_fast == "raise":
                self._failed = TuneError(f"{trial} failed: {text}\n{trace}")
            self.run.interrupted = True  # the others stay as they are: "stopped" is not "finished"
            self._end_all(f"fail_fast: {trial} failed")

    def _completed(self, trial: Trial) -> None:
        """It has ended, by a decision or by itself."""
        trial.files.table()
        self._keep(trial)
        if self.run.source.searcher is not None:
            result = {**trial.last_result, "config": trial.config}
            self.run.source.searcher.on_trial_complete(trial.trial_id, result)
        self._tell_callbacks("on_trial_complete", trial=trial)

    def _ask(self, slot: Slot, what: str) -> None:
        slot.ending, slot.deadline = what, time.monotonic() + processes.CLEANUP_S
        slot.actor.ask.remote(what)

    def _release(self, slot: Slot, kill: bool) -> None:
        slot.trial.files.close()
        self._handing.take_back(slot, slot.ahead)
        if self.run.reuse_actors and not kill and not self._over:
            self._processes.keep(slot.actor, slot.needs)
            return
        self._processes.give_back(slot.actor, slot.needs, kill)

    def _clean_up(self) -> None:
        for slot in self._by_poll.values():
            slot.trial.files.close()
            daybreak.kill(slot.actor)
        self._by_poll.clear()
        self._requests.forget()
        self._processes.end_idle()
        while self._processes.closing:
            self._wait()
        self.experiment.close()
        if self.run.checkpoints.in_store:
            kept.collected(self.run.path)

    # -- beside

    def _sync(self) -> None:
        now = time.monotonic()
        if now - self._last_sync >= _SYNC_S:
            self._last_sync = now
            self.experiment.flush(True)
        else:
            self.experiment.flush()
        failpoint("tune.flushed")

    def _say(self, text: str) -> None:
        if text not in self._said:
            if len(self._said) < 10_000:
                self._said.add(text)
            print(f"tune: {text}", file=sys.stderr, flush=True)

    def _tell_callbacks(self, hook: str, **info: Any) -> None:
        for callback in self.run.callbacks:
            if hook == "setup":
                callback.setup(**info)
            elif hook == "on_experiment_end":
                callback.on_experiment_end(trials=self.trials)
            else:
                getattr(callback, hook)(iteration=self._iteration, trials=self.trials, **info)

    def _report(self, done: bool) -> None:
        reporter = self.run.reporter
        if reporter.should_report(self.trials, done=done):
            made = self._processes
            resources = ", ".join(
                f"{made.used(name):g}/{made.totals[name]:g} {name}s" for name in ("CPU", "GPU") if name in made.totals
            )
            status = self.experiment.status() if self.native else self.run.scheduler.debug_string()
            reporter.report(
                self.trials, done, status, f"Resources requested: {resources}", f"Result logdir: {self.run.path}"
            )
