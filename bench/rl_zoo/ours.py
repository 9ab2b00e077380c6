"""Daybreak, with the settings in Stable-Baselines3's words."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import gymnasium

from bench.rl_zoo.settings import EPISODES, LIMIT, RUNS, WORST, seeds
from bench.rows import Measure, Skip
from daybreak import rl

QUICK = False


def environment(name: str) -> str | Callable[[], Any]:
    """The id, or where it has no time limit what makes it with one."""
    try:
        spec = gymnasium.spec(name)
        gymnasium.make(name).close()
    except gymnasium.error.Error as error:
        raise Skip(f"{name}: {error}") from None
    if spec.max_episode_steps is not None:
        return name
    return lambda: gymnasium.wrappers.TimeLimit(gymnasium.make(name), LIMIT)


def measured(row: str) -> Measure:
    algo, name, steps, settings = RUNS[row]
    env, returns, clock, done = environment(name), [], 0.0, 0
    for seed in range(1) if QUICK else seeds(row):
        model = getattr(rl, algo)(
            "MlpPolicy", env, seed=seed, **settings, **({"double_q": False} if algo == "DQN" else {})
        )
        start = time.perf_counter()
        model.learn(steps // 10 if QUICK else steps)
        clock, done = clock + time.perf_counter() - start, done + model.num_timesteps
        returns.append(model.evaluate(10 if QUICK else EPISODES)["mean"])
    info = {f"seed_{seed}": value for seed, value in enumerate(returns)}
    return Measure(statistics.median(returns) - WORST.get(row, 0.0), info={**info, "steps_per_s": done / clock})


for _row in RUNS:
    globals()[_row] = lambda row=_row: measured(row)
