"""Stable-Baselines3 with RL Baselines3 Zoo's settings."""

import statistics
import time
from typing import Any

import gymnasium
import torch
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from bench.rows import Measure

REQUIREMENTS = ["stable-baselines3==2.9.2", "torch==2.13.0"]
QUICK = False

PPO_CARTPOLE: dict[str, Any] = dict(
    n_steps=32, batch_size=256, gae_lambda=0.8, gamma=0.98, n_epochs=20, ent_coef=0.0,
    learning_rate=lambda left: 1e-3 * left, clip_range=lambda left: 0.2 * left,
)  # fmt: skip
PPO_PENDULUM: dict[str, Any] = dict(
    n_steps=1024, gae_lambda=0.95, gamma=0.9, n_epochs=10, ent_coef=0.0, learning_rate=1e-3, clip_range=0.2, use_sde=True,
    sde_sample_freq=4,
)  # fmt: skip
DQN_CARTPOLE: dict[str, Any] = dict(
    learning_rate=2.3e-3, batch_size=64, buffer_size=100_000, learning_starts=1000, gamma=0.99, target_update_interval=10,
    train_freq=256, gradient_steps=128, exploration_fraction=0.16, exploration_final_eps=0.04,
    policy_kwargs=dict(net_arch=[256, 256]),
)  # fmt: skip


def mean_return(model: Any, env: str, episodes: int = 100) -> float:
    batch = make_vec_env(env, 10, seed=1_000_000)
    returns, _ = evaluate_policy(model, batch, n_eval_episodes=episodes, deterministic=True)
    return float(returns)


def trained(cls: Any, env: str, num_envs: int, steps: int, settings: dict[str, Any]) -> Measure:
    model = cls("MlpPolicy", make_vec_env(env, num_envs, seed=0), seed=0, device="cpu", **settings)
    steps = steps // 10 if QUICK else steps
    start = time.perf_counter()
    model.learn(steps)
    value = model.num_timesteps / (time.perf_counter() - start)
    return Measure(value, info={"mean_return": mean_return(model, env)})


def ppo_cartpole_100k() -> Measure:
    return trained(PPO, "CartPole-v1", 8, 100_000, PPO_CARTPOLE)


def ppo_pendulum_100k() -> Measure:
    return trained(PPO, "Pendulum-v1", 4, 100_000, PPO_PENDULUM)


def dqn_cartpole() -> Measure:
    return trained(DQN, "CartPole-v1", 1, 50_000, DQN_CARTPOLE)


class UntilGoal:
    """Stops the training when 100 greedy episodes average 475, looked at every 5,000 steps off the clock."""

    def __init__(self) -> None:
        self.off_clock, self.mark, self.reached = 0.0, 5_000, False

    def __call__(self, local: dict[str, Any], _: dict[str, Any]) -> bool:
        model = local["self"]
        if model.num_timesteps < self.mark:
            return True
        start = time.perf_counter()
        self.mark += 5_000
        self.reached = mean_return(model, "CartPole-v1") >= 475
        self.off_clock += time.perf_counter() - start
        return not self.reached


def ppo_cartpole_seconds_to_475() -> Measure:
    times = []
    for seed in range(1 if QUICK else 5):
        model = PPO("MlpPolicy", make_vec_env("CartPole-v1", 8, seed=seed), seed=seed, device="cpu", **PPO_CARTPOLE)
        until = UntilGoal()
        start = time.perf_counter()
        model.learn(100_000, callback=until)
        times.append(time.perf_counter() - start - until.off_clock)
    return Measure(statistics.median(times), info={"gymnasium": float(gymnasium.__version__.split(".")[0])})


OUR_CARTPOLE: dict[str, Any] = dict(
    n_steps=64, batch_size=64, n_epochs=4, gamma=0.99, gae_lambda=0.95, max_grad_norm=1.0, vf_coef=0.25,
    learning_rate=lambda left: max(2e-4, 2e-3 - (1 - left) * 100_000 / 60_000 * 1.8e-3),
    policy_kwargs=dict(net_arch=[32], activation_fn=torch.nn.ReLU),
)  # fmt: skip


def _best_threads(settings: dict[str, Any], reward_scale: float) -> Measure:
    best: dict[str, float] = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        times = []
        for seed in range(1 if QUICK else 3):
            envs = make_vec_env(
                "CartPole-v1",
                8,
                seed=seed,
                wrapper_class=gymnasium.wrappers.TransformReward,
                wrapper_kwargs={"func": lambda reward: reward_scale * reward},
            )
            model = PPO("MlpPolicy", envs, seed=seed, device="cpu", **settings)
            until = UntilGoal()
            start = time.perf_counter()
            model.learn(100_000, callback=until)
            times.append(time.perf_counter() - start - until.off_clock if until.reached else 1e9)
        best[f"threads_{threads}"] = statistics.median(times)
    return Measure(min(best.values()), info=best)


def ppo_cartpole_475_zoo() -> Measure:
    return _best_threads(PPO_CARTPOLE, 1.0)


def ppo_cartpole_475_ours() -> Measure:
    return _best_threads(OUR_CARTPOLE, 0.1)
