"""Stable-Baselines3 with the same settings; for the rows that have no figure in the Zoo's table it sets the bar."""

import statistics
import time
from typing import Any

import gymnasium
import torch
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from bench.rl_zoo.settings import EPISODES, LIMIT, RUNS, WORST, ZOO, seeds
from bench.rows import Measure

REQUIREMENTS = ["stable-baselines3==2.9.2", "torch==2.13.0", "gymnasium[mujoco]==1.4.0"]
QUICK = False
ALGOS: dict[str, Any] = {"PPO": PPO, "A2C": A2C, "DQN": DQN}


def batch(name: str, count: int, settings: dict[str, Any], seed: int) -> VecEnv:
    def make() -> Monitor:
        env = gymnasium.make(name)
        return Monitor(env if env.spec.max_episode_steps is not None else gymnasium.wrappers.TimeLimit(env, LIMIT))

    made: VecEnv = DummyVecEnv([make] * count)
    made.seed(seed)
    return VecNormalize(made, gamma=settings.get("gamma", 0.99)) if settings.get("normalize") else made


def rate(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    start = float(value.removeprefix("lin_"))
    return lambda left: start * left


def measured(row: str) -> Measure:
    algo, name, steps, settings = RUNS[row]
    torch.set_num_threads(1)
    returns, clock, done = [], 0.0, 0
    options = {key: rate(value) if key == "learning_rate" else value for key, value in settings.items()}
    count = options.pop("n_envs", 1)
    options.pop("normalize", None)
    kwargs = dict(options.pop("policy_kwargs", {}))
    if "activation_fn" in kwargs:
        kwargs["activation_fn"] = getattr(torch.nn, kwargs["activation_fn"])
    for seed in range(1) if QUICK else seeds(row):
        envs = batch(name, count, settings, seed)
        model = ALGOS[algo]("MlpPolicy", envs, seed=seed, device="cpu", policy_kwargs=kwargs, **options)
        start = time.perf_counter()
        model.learn(steps // 10 if QUICK else steps)
        clock, done = clock + time.perf_counter() - start, done + model.num_timesteps
        if isinstance(envs, VecNormalize):
            envs.training, envs.norm_reward = False, False
        returns.append(float(evaluate_policy(model, envs, 10 if QUICK else EPISODES)[0]))
    info = {f"seed_{seed}": value for seed, value in enumerate(returns)}
    deviation = statistics.stdev(returns) if len(returns) > 1 else 0.0
    return Measure(
        statistics.median(returns) - deviation - WORST.get(row, 0.0), info={**info, "steps_per_s": done / clock}
    )


for _row in RUNS:
    if _row not in ZOO:
        globals()[_row] = lambda row=_row: measured(row)
