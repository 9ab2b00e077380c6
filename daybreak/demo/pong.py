"""The Pong demo: train on rollout actors, measure on games that training never saw, draw, write it all down."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import daybreak
from daybreak import rl

from . import games, render

__all__ = ["LEARNING", "Options", "Reporter", "Trained", "run", "train"]

# Seeds of the three kinds of games. Those of training follow from Options.seed and lie elsewhere.
VALIDATION_SEED = 2_000_000
HELD_OUT_SEED = 1_000_000

# What is asked of the held-out games, and the stricter aim on validation games at which training stops.
MIN_RETURN_RATIO = 10.0
MIN_WIN_RATE = 0.6
AIM_RETURN_RATIO = 15.0
AIM_WIN_RATE = 0.85

VALIDATION_GAMES = 100
VALIDATE_EVERY = 12  # iterations
MAX_VALIDATIONS_IN_FLIGHT = 4

# The reward is Pong's own, 1 a step. A discount of 0.98 looks 50 steps ahead, about one crossing of the court: the next return
# of the ball is what counts, and who never misses wins, for the opponent does miss.
LEARNING: dict[str, Any] = {
    "num_envs": 64,
    "num_steps": 256,
    "minibatch_size": 256,
    "num_epochs": 2,
    "hidden": [64, 64],
    "shared": True,
    "normalize_observations": True,
    "gamma": 0.98,
    "gae_lambda": 0.95,
    "lr": rl.linear(4e-3, 3e-4, 3_000_000),
    "clip": 0.25,
    "reward_scale": 0.1,
}


@dataclass(frozen=True)
class Options:
    """What a person may choose."""

    out: Path = Path("out/demo")
    seed: int = 0
    workers: int = 2
    max_steps: int = 5_000_000  # of training, if the aim is not reached before
    episodes: int = 200  # held-out games


class Reporter(Protocol):
    """Who is told what happens."""

    def begin(self, title: str) -> None:
        """A step begins."""

    def progress(self, done: float, text: str) -> None:
        """Within a step: the share done, 0 to 1, and how it goes."""

    def end(self, text: str, passed: bool, seconds: float) -> None:
        """The step is over: what came out."""


@dataclass
class Trained:
    """A policy and how it came about."""

    policy: rl.Policy
    steps: int  # of the snapshot that was kept
    validated: float  # share of the validation games that it won
    total_steps: int = 0
    worker_deaths: int = 0
    returns: list[render.Point] = field(default_factory=list)
    win_rates: list[render.Point] = field(default_factory=list)


def train(options: Options, random_mean: float, progress: Callable[[float, str], None]) -> Trained:
    """PPO on `options.workers` rollout actors, until a snapshot passes the aim on the validation games.

    Snapshots are judged by tasks of the runtime while training goes on. The first one that passes is kept; if none does within
    `max_steps`, the one that won most.
    """
    play = daybreak.remote(games.play_policy)
    trainer = rl.PPO(games.PONG, num_workers=options.workers, seed=options.seed, **LEARNING)
    judged: deque[tuple[Any, rl.Policy, int]] = deque()
    kept: Trained | None = None
    returns: list[render.Point] = []
    win_rates: list[render.Point] = []
    result: dict[str, Any] = {}

    def judge(block: bool) -> bool:
        """Takes in what validation games have ended, in order; True when a snapshot has passed."""
        nonlocal kept
        while judged:
            reference, policy, steps = judged[0]
            if not block and not daybreak.wait([reference], timeout=0)[0]:
                return False
            outcome: games.Games = daybreak.get(reference)
            judged.popleft()
            win_rates.append(render.Point(steps, outcome.win_rate))
            passes = outcome.win_rate >= AIM_WIN_RATE and outcome.mean >= AIM_RETURN_RATIO * random_mean
            if passes or kept is None or outcome.win_rate > kept.validated:
                kept = Trained(policy, steps, outcome.win_rate)
            if passes:
                return True
        return False

    try:
        start = time.perf_counter()
        passed = False
        while not passed and trainer.timesteps < options.max_steps:
            result = trainer.train()
            if np.isfinite(result["episode_reward_mean"]):
                returns.append(render.Point(result["timesteps_total"], result["episode_reward_mean"]))
            if result["training_iteration"] % VALIDATE_EVERY == 0:
                policy = trainer.policy
                judged.append((play.remote(policy, VALIDATION_GAMES, VALIDATION_SEED), policy, trainer.timesteps))
            passed = judge(block=len(judged) > MAX_VALIDATIONS_IN_FLIGHT)
            mean = f"{returns[-1].value:,.0f}" if returns else "-"
            wins = f"{win_rates[-1].value:.0%}" if win_rates else "-"
            rate = trainer.timesteps / (time.perf_counter() - start)
            progress(
                trainer.timesteps / options.max_steps,
                f"{trainer.timesteps / 1e6:.2f} M steps · return {mean} · won {wins} · {rate / 1e3:,.0f} k steps/s",
            )
        if not passed:
            judge(block=True)
        if kept is None:  # too few steps for a single validation
            kept = Trained(trainer.policy, trainer.timesteps, 0.0)
        kept.total_steps, kept.worker_deaths = trainer.timesteps, int(result.get("worker_deaths", 0))
        kept.returns, kept.win_rates = returns, win_rates
        return kept
    finally:
        for reference, _, _ in judged:
            daybreak.cancel(reference)
        trainer.stop()


class _Steps:
    """Runs the steps, times them and keeps what they found."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.checks: list[dict[str, Any]] = []

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[_Step]:
        self.reporter.begin(title)
        step = _Step()
        start = time.perf_counter()
        yield step
        step.seconds = time.perf_counter() - start
        self.checks.append({"name": name, "passed": step.passed, "seconds": round(step.seconds, 3)})
        self.reporter.end(step.text, step.passed, step.seconds)


@dataclass
class _Step:
    text: str = ""
    passed: bool = True
    seconds: float = 0.0


def run(options: Options, reporter: Reporter) -> dict[str, Any]:
    """The whole demo. Returns what it also writes to `result.json`; its `passed` says whether every check did.

    Writes into `options.out`: policy.safetensors, learning_curve.png, match.gif, result.json.
    """
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    (out / "result.json").unlink(missing_ok=True)  # an older result must not pass for this one's
    steps = _Steps(reporter)
    held_out = f"{options.episodes} held-out games"

    with steps.step("runtime", f"start the runtime for {options.workers} rollout actors") as step:
        daybreak.init(num_cpus=options.workers + 1, ignore_reinit_error=True)
        step.text = "tasks, actors and shared memory are up"
    try:
        with steps.step("random", f"let a random policy play {held_out}") as step:
            random = games.play(games.random_actions(HELD_OUT_SEED), options.episodes, HELD_OUT_SEED)
            step.text = f"mean return {random.mean:.1f}, wins {random.win_rate:.0%}"

        with steps.step("train", f"train PPO on {options.workers} rollout actors") as training:
            trained = train(options, random.mean, reporter.progress)
            training.passed = trained.validated >= MIN_WIN_RATE
            training.text = (
                f"kept the policy of {trained.steps / 1e6:.2f} M steps, "
                + f"which wins {trained.validated:.0%} of {VALIDATION_GAMES} validation games"
            )
            if trained.worker_deaths:
                training.text += f"; {trained.worker_deaths} actors died and were replaced"
    finally:
        daybreak.shutdown()

    with steps.step("policy_file", "write the policy, read it back") as step:
        path = trained.policy.save(out / "policy.safetensors")
        policy = rl.Policy.load(path)
        sample = np.random.default_rng(0).random((256, policy.observation_size), np.float32)
        step.passed = bool(np.array_equal(policy.compute_actions(sample), trained.policy.compute_actions(sample)))
        step.text = f"{path}: {Path(path).stat().st_size:,} bytes, the same actions"

    with steps.step("mean_return", f"let that policy play the {held_out}") as step:
        played = games.play_policy(policy, options.episodes, HELD_OUT_SEED)
        ratio = played.mean / random.mean
        step.passed = ratio >= MIN_RETURN_RATIO
        step.text = f"mean return {played.mean:,.1f}, {ratio:.1f} x random (at least {MIN_RETURN_RATIO:.0f} x)"
    with steps.step("win_rate", "count its wins against the scripted opponent") as step:
        step.passed = played.win_rate >= MIN_WIN_RATE
        undecided = options.episodes - int(played.won.sum() + played.lost.sum())
        step.text = f"{played.win_rate:.1%} won (at least {MIN_WIN_RATE:.0%})"
        if undecided:
            step.text += f"; {undecided} undecided after {games.MAX_STEPS:,} steps count as not won"

    with steps.step("pictures", "draw the learning curve and a rally") as step:
        render.learning_curve(
            trained.returns,
            trained.win_rates,
            out / "learning_curve.png",
            random_mean=random.mean,
            kept=trained.steps,
            subtitle=f"PPO on {options.workers} rollout actors, {training.seconds:.1f} s",
        )
        rally = _rally(policy, played)
        render.match_gif(rally, out / "match.gif")
        step.text = (
            f"learning_curve.png; match.gif, a rally of {rally.first_step + len(rally.moments) - 1:,} steps at its end"
        )

    result = {
        "passed": all(check["passed"] for check in steps.checks),
        "trained_mean": played.mean,
        "random_mean": random.mean,
        "win_rate": played.win_rate,
        "random_win_rate": random.win_rate,
        "episodes": options.episodes,
        "undecided": undecided,
        "max_episode_steps": games.MAX_STEPS,
        "train_seconds": round(training.seconds, 3),
        "steps": trained.total_steps,
        "policy_steps": trained.steps,
        "workers": options.workers,
        "worker_deaths": trained.worker_deaths,
        "seed": options.seed,
        "checks": steps.checks,
    }
    (out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    return result


# So many steps of the rally are drawn, those before its point: a ball of Pong gets faster and faster.
_DRAWN_STEPS = 240


def _rally(policy: rl.Policy, played: games.Games) -> render.Rally:
    """The end of the shortest game won (else of the shortest game), with the score of the games before it."""
    index = min(range(len(played.won)), key=lambda i: (not played.won[i], played.lengths[i]))
    recording = games.record(policy, HELD_OUT_SEED + index)
    frames = recording.frames[-_DRAWN_STEPS:]
    return render.Rally(
        court={name: frames[0][name] for name in render.COURT_SIZES},
        moments=[render.Moment(*(frame[name] for name in render.Moment._fields)) for frame in frames],
        agent_won=recording.won,
        agent_score=int(played.won[:index].sum()),
        opponent_score=int(played.lost[:index].sum()),
        first_step=len(recording.frames) - len(frames),
    )
