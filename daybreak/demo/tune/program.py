"""What the demo of tune shows, step by step; every check is written down."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daybreak import rl, track, tune
from daybreak._core import tune as _native
from daybreak.demo.pong import games
from daybreak.demo.steps import Reporter, Steps
from daybreak.tune import plots
from daybreak.tune.plots.view import JOURNAL, View, view_of

from .search import CARTPOLE, METRIC, PONG_POPULATION, SAMPLES

__all__ = ["Options", "run"]

MIN_RETURN = 195.0  # of CartPole: the best of the search, on 50 new episodes
EPISODES = 50
GAMES = 100
HELD_OUT_SEED = 1_000_000
KILL_AFTER_ENDED = 3  # trials


@dataclass(frozen=True)
class Options:
    """What a person may choose."""

    out: Path = Path("out/demo-tune")
    seed: int = 0
    search_s: float = 60.0  # at most, for the search on CartPole
    population_s: float = 25.0  # for the population on Pong


class Story:
    """One run of the demo, chapter by chapter."""

    def __init__(self, options: Options, reporter: Reporter) -> None:
        self.options, self.reporter = options, reporter
        self.steps = Steps(reporter)
        self.folder = options.out / "experiments"
        self.result: dict[str, Any] = {}

    def search(self) -> None:
        """ASHA on CartPole: killed in the middle, and gone on with."""
        options, step = self.options, self.steps.step
        with step(
            "killed", f"search PPO's options for CartPole by ASHA, and kill it (-9) when {KILL_AFTER_ENDED} have ended"
        ) as found:
            log = self._start(CARTPOLE, options.search_s)
            try:
                before = self._watch(log, CARTPOLE, lambda view: _ended(view) >= KILL_AFTER_ENDED)
            finally:
                os.killpg(log.pid, signal.SIGKILL)
                log.wait()
            states = _rows(self.folder / CARTPOLE)
            running = sum(row["state"] == "RUNNING" for row in states)
            found.passed = before is not None and running > 0
            found.text = (
                f"{_ended(view_of(self.folder / CARTPOLE))} trials had ended, {running} were running when it died"
            )
        with step("resumed", "resume it: finished trials stay, the others go on from their checkpoints") as found:
            ended = {row["id"]: row for row in states if row["state"] == "TERMINATED"}
            log = self._start(CARTPOLE, options.search_s)
            self._watch(log, CARTPOLE, lambda view: False)
            rows = {row["id"]: row for row in _rows(self.folder / CARTPOLE)}
            again = [name for name, row in ended.items() if rows[name]["starts"] != row["starts"]]
            steady = all(_is_steady(Path(point.path)) for point in view_of(self.folder / CARTPOLE).points)
            all_ended = all(row["state"] == "TERMINATED" for row in rows.values())
            found.passed = log.returncode == 0 and not again and steady and all_ended and len(rows) == SAMPLES
            restored = sum(row["starts"] > 1 for row in rows.values())
            found.text = (
                f"{len(rows)} trials of {SAMPLES}, {restored} of them in two attempts; run twice: {len(again)}; iterations "
                f"{'go up by one everywhere' if steady else 'have gaps'}"
            )
        self.result |= {"trials": len(rows), "resumed": restored}

    def breed(self) -> None:
        """A population on Pong."""
        options, step = self.options, self.steps.step
        with step(
            "population", f"breed {4} learners of Pong on rollout actors for {options.population_s:g} s"
        ) as found:
            log = self._start(PONG_POPULATION, options.population_s)
            self._watch(log, PONG_POPULATION, lambda view: False)
            copies = self.folder / PONG_POPULATION / "pbt_global.txt"
            self.copies = len(copies.read_text().splitlines()) if copies.exists() else 0
            found.passed = log.returncode == 0 and self.copies > 0
            found.text = f"{self.copies} times a learner copied a better one and changed its learning rate and clip"
        with step("pong", f"let the best of them play {GAMES} new games") as found:
            best = self._best(PONG_POPULATION)
            played = games.play_policy(rl.Policy.load(Path(best.checkpoint.path) / "policy"), GAMES, HELD_OUT_SEED)
            chance = games.play(games.random_actions(HELD_OUT_SEED), GAMES, HELD_OUT_SEED)
            found.passed = played.mean >= 2 * chance.mean
            found.text = f"mean return {played.mean:.0f}, {played.win_rate:.0%} won (by chance: {chance.mean:.0f})"
        self.result |= {"copies": self.copies, "pong_mean": played.mean, "pong_win_rate": played.win_rate}

    def look(self) -> None:
        """Tables and pictures."""
        step, out = self.steps.step, self.options.out
        with step("pictures", "draw both experiments") as found:
            view = view_of(self.folder / CARTPOLE)
            page, sheet, population = out / "search.html", out / "search.png", out / "population.html"
            plots.plot(view, page)
            plots.plot(view, sheet, ["history", "curves", "slices", "importance"])
            plots.plot(self.folder / PONG_POPULATION, population, metric=METRIC, mode="max")
            sizes = [path.stat().st_size for path in (page, sheet, population)]
            found.passed = all(size > 10_000 for size in sizes)
            found.text = f"{page}, {sheet}, {population}: {', '.join(f'{size:,}' for size in sizes)} bytes"
        with step("importance", "ask which options matter") as found:
            matter = plots.importances(view)
            found.passed = set(matter) == {"lr", "gamma", "clip", "num_epochs"}
            found.text = ", ".join(f"{name} {share:.2f}" for name, share in matter.items())
        self.result["importances"] = matter

    def keep(self) -> None:
        """The best policy of the search, and where it comes from."""
        step, out = self.steps.step, self.options.out
        with step("policy", f"take the best policy of the search, and let it balance {EPISODES} new poles") as found:
            best = self._best(CARTPOLE)
            self.policy = out / "policy"
            shutil.copytree(Path(best.checkpoint.path) / "policy", self.policy, dirs_exist_ok=True) if (
                Path(best.checkpoint.path, "policy").is_dir()
            ) else shutil.copy(Path(best.checkpoint.path) / "policy", self.policy)
            returns = _balanced(rl.Policy.load(self.policy), EPISODES, HELD_OUT_SEED)
            mean = sum(returns) / len(returns)
            found.passed = mean >= MIN_RETURN
            found.text = f"mean return {mean:.0f} of 500 (at least {MIN_RETURN:.0f}); {self.policy}"
        with step("tracked", "find its run, and what it was trained with") as found:
            track.init(self.folder / "runs")
            named = [run for run in track.runs(limit=100) if run.params.get("lr") == best.config["lr"]]
            run = named[0] if named else None
            found.passed = run is not None and run.parent is not None and METRIC in run.metrics
            found.text = (
                f"run {run.id}, lr {best.config['lr']:.3g}, within experiment {run.parent}" if run else "there is none"
            )
        self.result |= {"best": best.config, "mean_return": mean, "run": run.id if run else None}

    def _best(self, name: str) -> Any:
        restored = tune.Tuner.restore(
            self.folder / name, tune.rl(rl.PPO, "CartPole-v1"), tune_config=_scheduler_of(name)
        )
        return restored.get_results().get_best_result(METRIC, "max")

    def _start(self, name: str, budget_s: float) -> subprocess.Popen[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "daybreak.demo.tune.search", name, str(self.folder)]
        command += ["--seed", str(self.options.seed), "--budget-s", str(budget_s)]
        with open(self.options.out / f"{name}.log", "ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def _watch(self, process: subprocess.Popen[bytes], name: str, until: Callable[[View], bool]) -> View | None:
        """Shows how it goes, until it has ended or ``until`` says so; the view that it said so of."""
        while process.poll() is None:
            time.sleep(0.2)
            if not (self.folder / name / JOURNAL).exists():
                continue
            view = view_of(self.folder / name, metric=METRIC, mode="max")
            best = view.best()
            said = f"{_ended(view)} of {len(view.points)} ended" + (
                f", best return {best.values[0]:.0f}" if best is not None and best.values else ""
            )
            self.reporter.progress(_ended(view) / SAMPLES, said)
            if until(view):
                return view
        return None


def _scheduler_of(name: str) -> tune.TuneConfig | None:
    from .search import population

    return tune.TuneConfig(scheduler=population()) if name == PONG_POPULATION else None


def _ended(view: View) -> int:
    return sum(point.state in ("COMPLETE", "FAIL") for point in view.points)


def _rows(path: Path) -> list[dict[str, Any]]:
    experiment = _native.Experiment.read(str(path / JOURNAL))
    return [experiment.trial(number) for number in range(len(experiment))]


def _is_steady(folder: Path) -> bool:
    """Whether the iterations in a trial's results are 1, 2, 3, ..."""
    lines = (folder / "result.json").read_text().splitlines()
    return [json.loads(line)["training_iteration"] for line in lines] == list(range(1, len(lines) + 1))


def _balanced(policy: rl.Policy, episodes: int, seed: int) -> list[float]:
    """Returns of CartPole, played by the policy's best action."""
    import gymnasium

    env = gymnasium.make("CartPole-v1")
    returns = []
    for episode in range(episodes):
        observation, _ = env.reset(seed=seed + episode)
        total, over = 0.0, False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(policy.compute_action(observation))
            total += float(reward)
            over = terminated or truncated
        returns.append(total)
    return returns


def run(options: Options, reporter: Reporter) -> dict[str, Any]:
    """The whole story; its result is written to result.json, too."""
    if options.out.exists():
        shutil.rmtree(options.out / "experiments", ignore_errors=True)
    options.out.mkdir(parents=True, exist_ok=True)
    story = Story(options, reporter)
    for chapter in (story.search, story.breed, story.look, story.keep):
        chapter()
    result = {**story.result, "checks": story.steps.checks, "passed": all(c["passed"] for c in story.steps.checks)}
    (options.out / "result.json").write_text(json.dumps(result, indent=1))
    return result
