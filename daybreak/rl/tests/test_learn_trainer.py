"""Trainers through the Python face."""

import math
import os
import pathlib
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest

from daybreak import rl
from daybreak.base import errors

SMALL: dict[str, Any] = dict(num_envs=4, num_steps=32, minibatch_size=64, num_epochs=2, hidden=[16], seed=3)


def trained(cls: type[rl.Trainer] = rl.PPO, iterations: int = 0, **options: Any) -> rl.Trainer:
    trainer = cls(options.pop("env", "CartPole-v1"), **{**SMALL, **options})
    for _ in range(iterations):
        trainer.train()
    return trainer


def test_ppo_solves_cartpole_in_three_seeds_of_three() -> None:
    for seed in range(3):
        trainer = rl.PPO(
            "CartPole-v1", num_envs=16, num_steps=64, minibatch_size=256, lr=2e-3, gamma=0.98, gae_lambda=0.9, seed=seed
        )
        trainer.learn(40_000)
        assert trainer.evaluate(50)["mean"] >= 475, f"seed {seed}"


@pytest.mark.parametrize(
    "cls,steps,options",
    [
        (
            rl.A2C,
            100_000,
            dict(num_envs=16, num_steps=16, lr=3e-3, gamma=0.98, gae_lambda=0.9, normalize_advantage=True),
        ),
        (rl.PG, 150_000, dict(num_envs=16, num_steps=500, lr=1e-2, gamma=0.98, num_epochs=1)),
    ],
)
def test_a2c_and_pg_learn_cartpole(cls: type[rl.Trainer], steps: int, options: dict[str, Any]) -> None:
    trainer = cls("CartPole-v1", seed=1, **options)
    trainer.learn(steps)
    assert trainer.evaluate(50)["mean"] >= 195


def test_result_has_what_a_person_plots() -> None:
    result = trained().train()
    for key in (
        "episode_reward_mean",
        "episode_reward_min",
        "episode_reward_max",
        "episode_len_mean",
        "episodes_this_iter",
        "timesteps_total",
        "policy_loss",
        "value_loss",
        "entropy",
        "kl",
        "clip_fraction",
        "explained_variance",
        "learning_rate",
        "time",
        "steps_per_s",
    ):
        assert key in result
    assert result["timesteps_total"] == 128
    assert set(result["time"]) == {"sample", "learn"}
    assert 0 < result["entropy"] <= math.log(2)
    assert result["episode_reward_min"] <= result["episode_reward_mean"] <= result["episode_reward_max"]


def test_on_result_is_called_by_train_and_by_learn() -> None:
    seen: list[int] = []
    trainer = trained(on_result=lambda result: seen.append(result["timesteps_total"]))
    trainer.train()
    last = trainer.learn(256)
    assert seen == [128, 256, 384]
    assert last["timesteps_total"] == 384


def test_exception_in_on_result_reaches_the_caller() -> None:
    def stop(result: dict[str, Any]) -> None:
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        trained(on_result=stop).learn(1000)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"normalize_observations": True},
        {"num_threads": 2},
        {"kl_coef": 0.2, "kl_target": 0.01},
        {"env": "Pendulum-v1"},
        {"env": "daybreak/Pong-v0"},
        {"lr": rl.linear(1e-3, 0.0, 1000), "clip": [[0, 0.3], [500, 0.1]]},
    ],
    ids=str,
)
def test_restored_trainer_goes_on_to_the_same_bits(options: dict[str, Any], tmp_path: pathlib.Path) -> None:
    straight = trained(iterations=3, **options)
    path = straight.save(tmp_path / "checkpoint")
    for _ in range(3):
        straight.train()
    resumed = trained(seed=3, **options)
    resumed.train()  # its own past must not matter
    resumed.restore(path)
    results = [resumed.train() for _ in range(3)]
    assert resumed.to_bytes() == straight.to_bytes()
    assert results[-1]["timesteps_total"] == 6 * 128


def test_one_seed_gives_the_same_bits_and_another_does_not() -> None:
    a, b, c = trained(iterations=2), trained(iterations=2), trained(iterations=2, seed=4)
    assert a.to_bytes() == b.to_bytes()
    assert a.policy.to_bytes() != c.policy.to_bytes()


def test_damaged_checkpoint_is_refused_and_changes_nothing() -> None:
    trainer = trained(iterations=2)
    good = trainer.to_bytes()
    trainer.train()
    before = trainer.to_bytes()
    for bad in (b"", good[:100], good[:-1], good[:5000] + bytes([good[5000] ^ 1]) + good[5001:], b"x" * 1000):
        with pytest.raises(ValueError):
            trainer.from_bytes(bad)
        assert trainer.to_bytes() == before
    with pytest.raises(errors.DataLossError):
        trainer.from_bytes(good[:-1])


def test_checkpoint_of_another_trainer_is_refused_by_name() -> None:
    checkpoint = trained(iterations=1).to_bytes()
    with pytest.raises(ValueError, match=r"hidden=\[16\], this trainer has hidden=\[8\]"):
        trained(hidden=[8]).from_bytes(checkpoint)
    with pytest.raises(ValueError, match="env="):
        trained(env="daybreak/Pong-v0").from_bytes(checkpoint)
    with pytest.raises(ValueError, match="no checkpoint"):
        trained().from_bytes(trained().policy.to_bytes())


def test_unknown_option_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown option 'gama', did you mean 'gamma'"):
        rl.PPO("CartPole-v1", gama=0.9)
    with pytest.raises(ValueError, match="given twice"):
        rl.PPO("CartPole-v1", lr=1, learning_rate=2)
    with pytest.raises(ValueError, match="gamma=2"):
        rl.PPO("CartPole-v1", gamma=2)


def test_names_of_other_libraries_are_understood() -> None:
    trainer = rl.PPO(
        "CartPole-v1", learning_rate=1e-3, n_steps=16, n_epochs=2, clip_range=0.1, ent_coef=0.01, net_arch=[8]
    )
    config = trainer.config
    assert (config["lr"], config["num_steps"], config["num_epochs"]) == (1e-3, 16, 2)
    assert (config["clip"], config["entropy_coef"], config["hidden"]) == (0.1, 0.01, [8])


def test_unknown_environment_is_named() -> None:
    with pytest.raises(LookupError, match="Kart"):
        rl.PPO("Kart-v7")


def test_evaluation_is_repeatable_and_leaves_training_alone() -> None:
    trainer = trained(iterations=2)
    before = trainer.to_bytes()
    a = trainer.evaluate(30, seed=5)
    assert a == trainer.evaluate(30, seed=5)
    assert a != trainer.evaluate(30, seed=6)
    assert len(a["returns"]) == len(a["lengths"]) == 30
    assert a["min"] <= a["mean"] <= a["max"]
    assert trainer.to_bytes() == before


def test_win_rate_is_reported_when_the_reward_says_who_won() -> None:
    trainer = trained(env="daybreak/Pong-v0")
    result = trainer.evaluate(20, reward="win", deterministic=False)
    assert 0 <= result["win_rate"] <= 1
    assert set(result["returns"]) <= {-1.0, 1.0}
    assert "win_rate" not in trainer.evaluate(5)


def test_filter_is_part_of_the_policy() -> None:
    trainer = trained(env="Pendulum-v1", normalize_observations=True, iterations=3)
    policy = rl.Policy.load(trainer.policy.to_bytes())
    observation = np.array([0.3, 0.9, 4.0], np.float32)
    assert policy.compute_action(observation) == trainer.policy.compute_action(observation)
    plain = trained(env="Pendulum-v1", iterations=3)
    assert plain.policy.compute_action(observation) != policy.compute_action(observation)


class Corridor(gymnasium.Env[npt.NDArray[np.float32], int]):
    """Five cells; going right from the last one ends the episode with reward 1. `nan_at`: the step with a NaN reward."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (2, 1), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, nan_at: int = -1, fail_at: int = -1) -> None:
        self.nan_at, self.fail_at, self.steps = nan_at, fail_at, 0

    def observe(self) -> npt.NDArray[np.float32]:
        return np.array([[self.cell / 5], [1.0]], np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.cell = self.age = 0
        return self.observe(), {}

    def step(self, action: int) -> Any:
        self.steps += 1
        self.age += 1
        if self.steps == self.fail_at:
            raise OSError("the corridor is flooded")
        self.cell = max(0, self.cell + (1 if action else -1))
        over = self.cell == 5
        reward = float("nan") if self.steps == self.nan_at else float(over)
        return self.observe(), reward, over, self.age == 30, {}


def test_any_gymnasium_environment_trains_as_class_function_or_id() -> None:
    trainer = rl.PPO(Corridor, num_envs=4, num_steps=64, minibatch_size=64, lr=3e-3, num_epochs=4, gamma=0.9, seed=0)
    trainer.learn(256 * 12)
    result = trainer.evaluate(20)
    assert result["mean"] == 1 and result["len_mean"] == 5
    rl.PPO(lambda: Corridor(), **SMALL).train()
    acrobot = rl.PPO("Acrobot-v1", **SMALL)
    assert acrobot.train()["timesteps_total"] == 128
    assert acrobot.policy.observation_size == 6


def test_nan_reward_names_environment_and_step_and_training_state_is_untouched() -> None:
    steps_to_nan = iter([-1, -1, 70, -1])
    trainer = rl.PPO(lambda: Corridor(nan_at=next(steps_to_nan)), **SMALL)
    trainer.train()
    trainer.train()
    policy = trainer.policy.to_bytes()
    with pytest.raises(ValueError, match=r"step 5 of the rollout: step of environment 2 gave the reward nan"):
        trainer.train()
    assert trainer.policy.to_bytes() == policy
    assert trainer.timesteps == 256
    assert trainer.train()["timesteps_total"] == 384


def test_exception_of_an_environment_arrives_with_where_it_was() -> None:
    trainer = rl.PPO(Corridor, env_options={"fail_at": 40}, **SMALL)
    trainer.train()
    with pytest.raises(OSError) as caught:
        trainer.train()
    assert "of the rollout: step of environment" in caught.value.__notes__[0]


def test_unsupported_space_is_named() -> None:
    class Odd(Corridor):
        observation_space = gymnasium.spaces.Text(5)  # type: ignore[assignment]

    with pytest.raises(ValueError, match="Text"):
        rl.PPO(Odd, **SMALL)


def test_two_threads_step_python_environments() -> None:
    trainer = rl.PPO(Corridor, **{**SMALL, "num_threads": 2})
    assert trainer.train()["timesteps_total"] == 128


DQN: dict[str, Any] = dict(
    learning_starts=64, steps_per_iteration=128, hidden=[16], batch_size=16, exploration_timesteps=300
)


def test_dqn_learns_the_corridor_with_every_option_on() -> None:
    options = dict(
        num_envs=2, n_step=3, dueling=True, prioritized_replay=True, prioritized_beta=[[0, 0.4], [4000, 1.0]]
    )
    trainer = rl.DQN(
        Corridor, **{**DQN, **options}, gamma=0.9, lr=3e-3, target_update_interval=100, train_freq=2, seed=1
    )
    trainer.learn(4000)
    result = trainer.evaluate(5)
    assert result["mean"] == 1 and result["len_mean"] == 5


@pytest.mark.parametrize("options", [{}, dict(num_envs=3, n_step=3, dueling=True, prioritized_replay=True)], ids=str)
def test_restored_dqn_goes_on_to_the_same_bits(options: dict[str, Any]) -> None:
    def fresh() -> rl.DQN:
        return rl.DQN("CartPole-v1", **{**DQN, **options}, seed=2)

    straight = fresh()
    straight.learn(500)
    checkpoint = straight.to_bytes()
    straight.learn(1000)
    resumed = fresh()
    resumed.from_bytes(checkpoint)
    resumed.learn(1000)
    assert resumed.to_bytes() == straight.to_bytes()
    assert rl.Policy.load(checkpoint).algo == "dqn"
    with pytest.raises(ValueError):
        resumed.from_bytes(checkpoint[:-100])
    assert resumed.to_bytes() == straight.to_bytes()


def test_dqn_refuses_a_box_action() -> None:
    with pytest.raises(ValueError, match="Discrete action space"):
        rl.DQN("Pendulum-v1")


def test_forked_child_of_a_trainer_with_threads_trains_on() -> None:
    trainer = trained(iterations=1, num_threads=2)
    straight = trained(iterations=2, num_threads=2).to_bytes()
    child = os.fork()
    if child == 0:
        ok = False
        try:
            trainer.train()
            ok = trainer.to_bytes() == straight
        finally:
            os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    trainer.train()
    assert trainer.to_bytes() == straight
