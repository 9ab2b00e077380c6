"""Trainers through the Python face."""

import math
import pathlib
from typing import Any

import numpy as np
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


@pytest.mark.parametrize("cls,steps,options", [
    (rl.A2C, 100_000, dict(num_envs=16, num_steps=16, lr=3e-3, gamma=0.98, gae_lambda=0.9, normalize_advantage=True)),
    (rl.PG, 150_000, dict(num_envs=16, num_steps=500, lr=1e-2, gamma=0.98, num_epochs=1)),
])
def test_a2c_and_pg_learn_cartpole(cls: type[rl.Trainer], steps: int, options: dict[str, Any]) -> None:
    trainer = cls("CartPole-v1", seed=1, **options)
    trainer.learn(steps)
    assert trainer.evaluate(50)["mean"] >= 195


def test_result_has_what_a_person_plots() -> None:
    result = trained().train()
    for key in (
        "episode_reward_mean", "episode_reward_min", "episode_reward_max", "episode_len_mean", "episodes_this_iter",
        "timesteps_total", "policy_loss", "value_loss", "entropy", "kl", "clip_fraction", "explained_variance",
        "learning_rate", "time", "steps_per_s",
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
    last = trainer.learn(384)
    assert seen == [128, 256, 384]
    assert last is not None and last["timesteps_total"] == 384


def test_exception_in_on_result_reaches_the_caller() -> None:
    def stop(result: dict[str, Any]) -> None:
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        trained(on_result=stop).learn(1000)


@pytest.mark.parametrize("options", [
    {}, {"normalize_observations": True}, {"num_threads": 2}, {"kl_coef": 0.2, "kl_target": 0.01},
    {"env": "Pendulum-v1"}, {"env": "daybreak/Pong-v0"}, {"lr": rl.linear(1e-3, 0.0, 1000), "clip": [[0, 0.3], [500, 0.1]]},
], ids=str)
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
    trainer = rl.PPO("CartPole-v1", learning_rate=1e-3, n_steps=16, n_epochs=2, clip_range=0.1, ent_coef=0.01, net_arch=[8])
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
