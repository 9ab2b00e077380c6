"""Daybreak."""

import statistics
import time
from typing import Any

import numpy as np

from bench.rows import Measure, rate
from daybreak import rl
from daybreak.rl import envs

QUICK = False
NUM_ENVS = 64


def drawn_actions() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, (1000, NUM_ENVS))


def checked(batch: envs.VecEnv) -> list[float]:
    """How many episodes ended in 1,000 steps, and the last observations: the states are Gymnasium's to the bit."""
    batch.reset(seed=7)
    ends = 0
    for actions in drawn_actions():
        observations, _, terminated, truncated, _ = batch.step(actions)
        ends += int((terminated | truncated).sum())
    return [ends, *observations.astype(float).ravel().tolist()]


def cartpole_env_python() -> Measure:
    batch = envs.make_vec("CartPole-v1", NUM_ENVS, copy=False)
    check = checked(batch)
    rows = list(drawn_actions())

    def thousand(batch: envs.VecEnv) -> None:
        step = batch.step
        for actions in rows:
            step(actions)

    copying = envs.make_vec("CartPole-v1", NUM_ENVS)
    copying.reset(seed=7)
    seconds = 0.2 if QUICK else 1.0
    value = rate(lambda: thousand(batch), seconds, batch=1000 * NUM_ENVS)
    return Measure(value, check, {"with_copies": rate(lambda: thousand(copying), seconds, batch=1000 * NUM_ENVS)})


def cartpole_env_native() -> Measure:
    batch = envs.make_vec("CartPole-v1", NUM_ENVS, copy=False)
    check = checked(batch)
    actions = drawn_actions().astype(np.int32)
    return Measure(rate(lambda: batch.play(actions), 0.2 if QUICK else 1.0, batch=actions.size, warm_up=20), check)


def seeds() -> range:
    return range(1 if QUICK else 5)


def evaluated(trainer: rl.Trainer, episodes: int = 100) -> float:
    return trainer.evaluate(episodes, seed=1_000_000 + trainer.timesteps)["mean"]


def trained(cls: type[rl.Trainer], env: str, steps: int, preset: dict[str, Any]) -> tuple[float, list[float]]:
    """Steps a second over all seeds, and the mean return of each."""
    returns, clock, done = [], 0.0, 0
    for seed in seeds():
        trainer = cls(env, seed=seed, **preset)
        start = time.perf_counter()
        trainer.learn(steps)
        clock += time.perf_counter() - start
        done += trainer.timesteps
        returns.append(evaluated(trainer))
    return done / clock, returns


def seconds_to(
    cls: type[rl.Trainer], env: str, goal: float, every: int, limit: int, preset: dict[str, Any]
) -> list[float | None]:
    """Training seconds of each seed until 100 greedy episodes average `goal`; None when `limit` steps were not enough."""
    times: list[float | None] = []
    for seed in seeds():
        trainer = cls(env, seed=seed, **preset)
        clock, mark, reached = 0.0, 0, False
        while not reached and mark < limit:
            mark += every
            start = time.perf_counter()
            trainer.learn(mark - trainer.timesteps)
            clock += time.perf_counter() - start
            reached = evaluated(trainer) >= goal
        times.append(clock if reached else None)
    return times


def ppo_cartpole_100k() -> Measure:
    # One thread or two: whichever is faster here. Two need both cores to themselves.
    value, returns = trained(rl.PPO, "CartPole-v1", 100_000, rl.presets.PPO_CARTPOLE_ZOO)
    two, _ = trained(rl.PPO, "CartPole-v1", 100_000, {**rl.presets.PPO_CARTPOLE_ZOO, "num_threads": 2})
    info = {"mean_return": statistics.mean(returns), "one_thread": value, "two_threads": two}
    return Measure(max(value, two), info=info)


def ppo_cartpole_seconds_to_475() -> Measure:
    times = seconds_to(rl.PPO, "CartPole-v1", 475, 5_000, 500_000, rl.presets.PPO_CARTPOLE_FAST)
    reached = [t for t in times if t is not None]
    return Measure(statistics.median(t if t is not None else 1e9 for t in times), info={"seeds_reached": len(reached)})


def ppo_pong_seconds_to_1000() -> Measure:
    times = seconds_to(rl.PPO, "daybreak/Pong-v0", 1000, 100_000, 5_000_000, rl.presets.PPO_PONG)
    reached = [t for t in times if t is not None]
    return Measure(
        max(reached, default=1e9),
        info={"seeds_reached": 5 if QUICK and reached else len(reached), "median": statistics.median(reached or [1e9])},
    )


def ppo_pendulum_100k() -> Measure:
    value, returns = trained(rl.PPO, "Pendulum-v1", 100_000, rl.presets.PPO_PENDULUM)
    return Measure(value, info={"mean_return": statistics.mean(returns), "worst_return": min(returns)})


def dqn_cartpole() -> Measure:
    value, returns = trained(rl.DQN, "CartPole-v1", 50_000, rl.presets.DQN_CARTPOLE_ZOO)
    times = seconds_to(rl.DQN, "CartPole-v1", 450, 5_000, 100_000, rl.presets.DQN_CARTPOLE_FAST)
    reached = [t for t in times if t is not None]
    info = {"zoo_return": statistics.mean(returns), "seeds_450": 5 if QUICK and reached else len(reached)}
    return Measure(value, info={**info, "seconds_to_450": statistics.median(reached or [1e9])})


def learner_flops() -> Measure:
    rows, observations, actions, width, epochs = 4096 * 4, 8, 3, 256, 2
    trainer = rl.PPO(
        "daybreak/Pong-v0",
        num_envs=64,
        num_steps=rows // 64,
        minibatch_size=4096,
        num_epochs=epochs,
        hidden=[width, width],
    )
    times = [trainer.train()["time"]["learn"] for _ in range(3 if QUICK else 8)]
    # Multiply-adds of both nets: forward and weight gradient in every layer, delta in all but the first.
    first, second = 2 * observations * width, 2 * width * width + width * (actions + 1)
    return Measure(2 * rows * epochs * (2 * first + 3 * second) / min(times) * 1e-9)


def policy_infer_batch1() -> Measure:
    compute_action = rl.PPO("CartPole-v1").policy.compute_action
    observation = np.array([0.01, 0.02, 0.03, 0.04], np.float32)
    return Measure(1e6 / rate(lambda: [compute_action(observation) for _ in range(100)], 0.5, batch=100, warm_up=20))
