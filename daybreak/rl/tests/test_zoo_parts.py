"""What the RL Zoo's settings need, each against the formulas in numpy: VecNormalize, gSDE, RMSprop, uniform first weights."""

import json
from typing import Any

import gymnasium
import numpy as np
import onnxruntime
import pytest
from gymnasium.spaces import Box

from daybreak import rl
from daybreak._core import rl as native
from daybreak._core import tensor

ZOO: dict[str, Any] = dict(num_envs=3, num_steps=8, seed=0, hidden=[8])


class Bandit(gymnasium.Env[Any, Any]):
    """Rewards and observations that are drawn, of any size; an episode ends by chance."""

    observation_space: Any = Box(-1e4, 1e4, (3,), np.float32)
    action_space: Any = Box(-1, 1, (2,), np.float32)
    log: list[Any] = []

    def __init__(self, still: bool = False) -> None:
        self.still = still

    def _observe(self) -> Any:
        scale = 0.0 if self.still else np.array([1e3, 1, 1e-2])
        return (np.array([50.0, 0, 1]) + scale * self.np_random.normal(size=3)).astype(np.float32)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        reward, over = float(30 + 100 * self.np_random.normal()), bool(self.np_random.random() < 0.1)
        self.log.append((id(self), np.float32(reward), over, action))
        return self._observe(), reward, over, False, {}


def logged(envs: int) -> tuple[Any, Any]:
    """(rewards, ends) of what was stepped, [steps, environments]."""
    rewards = np.array([row[1] for row in Bandit.log], np.float64).reshape(-1, envs)
    return rewards, np.array([row[2] for row in Bandit.log]).reshape(-1, envs)


def vec_normalize(rewards: Any, ends: Any, gamma: float, clip: float) -> tuple[Any, tuple[float, float, float]]:
    """VecNormalize's rewards, and its statistics at the end (count, mean, variance), from its definition."""
    mean, variance, count = 0.0, 1.0, 1e-4
    sums, out = np.zeros(rewards.shape[1]), []
    for reward, end in zip(rewards, ends, strict=True):
        sums = sums * gamma + reward
        total = count + len(sums)
        delta = sums.mean() - mean
        m2 = variance * count + sums.var() * len(sums) + delta**2 * count * len(sums) / total
        mean, variance, count = mean + delta * len(sums) / total, m2 / total, total
        out.append(np.clip(reward / np.sqrt(variance + 1e-8), -clip, clip))
        sums[end] = 0
    return np.array(out), (count, mean, variance)


def statistics(trainer: rl.Trainer) -> Any:
    count, mean, m2 = trainer._native.weights()[-3:]
    return count, mean, m2 / count


@pytest.mark.parametrize("clip", [10.0, 0.5])
def test_normalised_rewards_are_vec_normalizes(clip: float) -> None:
    Bandit.log.clear()
    # Without a critic returns are sums of what was learned from: their differences show every reward.
    trainer = rl.PG(Bandit, num_envs=3, num_steps=1, gamma=0.9, normalize_rewards=True, reward_clip=clip, seed=0)
    sampler = native.Sampler(json.dumps(trainer.config), 0, 3, Bandit, {})
    sampler.set_weights(trainer._native.weights())
    Bandit.log.clear()
    returns = sampler.sample(200)["returns"].reshape(200, 3)
    rewards, ends = logged(3)
    learned = returns[:-1] - 0.9 * np.where(ends[:-1], 0, returns[1:])
    expected, _ = vec_normalize(rewards, ends, 0.9, clip)
    np.testing.assert_allclose(learned, expected[:-1], atol=2e-4)
    assert (np.abs(expected) == clip).any() == (clip < 1)


@pytest.mark.parametrize("algo", [rl.PPO, rl.A2C])
def test_statistics_of_rewards_go_on_over_iterations_and_checkpoints(algo: Any) -> None:
    Bandit.log.clear()
    trainer = algo(Bandit, normalize_rewards=True, gamma=0.95, **ZOO)
    for _ in range(5):
        trainer.train()
    rewards, ends = logged(3)
    _, expected = vec_normalize(rewards, ends, 0.95, 10)
    np.testing.assert_allclose(statistics(trainer), expected, rtol=1e-5)
    loaded = algo.load(trainer.to_bytes(), Bandit)
    np.testing.assert_array_equal(loaded._native.weights(), trainer._native.weights())
    assert trainer.evaluate(3)["mean"] > 1  # as the environment gives them
    result = trainer.train()
    assert result["episode_reward_max"] > 10
    with pytest.raises(ValueError, match="normalize_rewards=true, this trainer has normalize_rewards=false"):
        algo(Bandit, **ZOO).from_bytes(trainer.to_bytes())


def test_statistics_of_rewards_are_those_of_all_threads_and_rollout_actors() -> None:
    Bandit.log.clear()
    trainer = rl.PPO(
        Bandit, normalize_rewards=True, normalize_observations=True, **{**ZOO, "num_envs": 4, "num_threads": 2}
    )
    trainer.train(), trainer.train()
    assert statistics(trainer)[0] == pytest.approx(64, rel=1e-5)
    fragments = []
    for stream in range(2):
        sampler = native.Sampler(json.dumps(trainer.config), stream, 2, Bandit, {})
        sampler.set_weights(trainer._native.weights())
        fragments.append(sampler.sample(8))
    trainer._native.update(fragments, 0.0)
    assert statistics(trainer)[0] == pytest.approx(96, rel=1e-5)
    with pytest.raises(ValueError, match="statistics of 3"):
        sampler.set_weights(trainer._native.weights()[:-3])


def test_normalised_observations_are_saved_with_the_policy_and_applied_everywhere(tmp_path: Any) -> None:
    trainer = rl.PPO(Bandit, normalize=True, gamma=0.9, **{**ZOO, "num_steps": 400})
    assert trainer.config["normalize_rewards"] and trainer.config["normalize_observations"]
    trainer.train(), trainer.train()
    rng = np.random.default_rng(0)
    rows = (np.array([50.0, 0, 1]) + np.array([1e3, 1, 1e-2]) * rng.normal(size=(500, 3))).astype(np.float32)
    kept = arrays(trainer.policy)
    mean, inverse = kept["filter.mean"], kept["filter.inverse_std"]
    np.testing.assert_allclose(mean, [50, 0, 1], atol=150)
    np.testing.assert_allclose(1 / inverse, [1e3, 1, 1e-2], rtol=0.1)
    hidden = np.tanh(np.clip((rows - mean) * inverse, -10, 10) @ kept["actor.0.weight"].T + kept["actor.0.bias"])
    expected = np.clip(hidden @ kept["actor.1.weight"].T + kept["actor.1.bias"], -1, 1)
    policy = rl.Policy.load(trainer.save(tmp_path / "c"))
    np.testing.assert_allclose(policy.compute_actions(rows), expected, atol=1e-5)
    np.testing.assert_allclose(policy.compute_action(rows[0]), expected[0], atol=1e-5)
    session = onnxruntime.InferenceSession(policy.to_onnx(tmp_path / "p.onnx"))
    np.testing.assert_allclose(session.run(["action"], {"observation": rows})[0], expected, atol=1e-5)


def arrays(policy: rl.Policy) -> dict[str, Any]:
    kept = tensor.Container.parse(policy.to_bytes())
    return {name: kept.data(name).view(np.float32).reshape(kept.shape(name)).astype(np.float64) for name in kept.names}


def gsde(kept: dict[str, Any], rows: Any) -> tuple[Any, Any]:
    """(mean, variance) of the action by the paper's equations (Raffin et al. 2021, section 3)."""
    z = np.tanh(rows @ kept["actor.0.weight"].T + kept["actor.0.bias"])
    return z @ kept["actor.1.weight"].T + kept["actor.1.bias"], z**2 @ np.exp(2 * kept["actor.log_std"]) + 1e-6


def sample(trainer: rl.Trainer, steps: int, make: Any) -> Any:
    sampler = native.Sampler(json.dumps(trainer.config), 0, 3, make, {})
    sampler.set_weights(trainer._native.weights())
    return sampler.sample(steps)


@pytest.mark.parametrize("algo", [rl.PPO, rl.A2C])
def test_log_probabilities_of_state_dependent_exploration_are_the_papers(algo: Any) -> None:
    trainer = algo(Bandit, use_sde=True, log_std_init=-1.0, normalize_observations=True, **ZOO)
    trainer.learn(200)
    fragment = sample(trainer, 16, Bandit)
    mean, variance = gsde(arrays(trainer.policy), fragment["observations"].astype(np.float64))
    error = fragment["box_actions"] - mean
    expected = (-0.5 * error**2 / variance - 0.5 * np.log(2 * np.pi * variance)).sum(1)
    np.testing.assert_allclose(fragment["logp"], expected, atol=2e-4)
    assert not np.allclose(arrays(trainer.policy)["actor.log_std"], -1.0, atol=1e-5)  # it is learned


@pytest.mark.parametrize(("freq", "draws"), [(-1, 1), (0, 1), (4, 4), (1, 16)])
def test_the_noise_is_a_function_of_the_state_until_it_is_drawn_anew(freq: int, draws: int) -> None:
    def still() -> Bandit:
        return Bandit(still=True)

    trainer = rl.PPO(still, use_sde=True, sde_sample_freq=freq, **ZOO)
    actions = sample(trainer, 16, still)["box_actions"].reshape(16, 3, 2)
    for env in range(3):  # the observation is always the same, so the action is while the noise is
        assert len(np.unique(actions[:, env, 0].round(5))) == draws
    assert len(np.unique(actions[0, :, 0].round(5))) == 3  # every environment has its own


def test_a_policy_of_state_dependent_exploration_draws_with_its_variance_and_is_saved() -> None:
    trainer = rl.PPO(Bandit, use_sde=True, log_std_init=-2.0, **ZOO)
    policy = rl.Policy.load(trainer.policy.to_bytes())
    for row in (np.array([0.5, 0.1, -0.2]), np.array([-1.0, 2.0, 0.3])):
        mean, variance = gsde(arrays(policy), row[None])
        for drawn in (
            np.array([policy.compute_action(row, deterministic=False) for _ in range(4000)]),
            policy.compute_actions(np.tile(row, (4000, 1)), deterministic=False),
        ):
            np.testing.assert_allclose(drawn.mean(0), mean[0], atol=5 * np.sqrt(variance[0] / 4000).max())
            np.testing.assert_allclose(drawn.std(0), np.sqrt(variance[0]), rtol=0.08)
        np.testing.assert_allclose(policy.compute_action(row), mean[0], atol=1e-5)
    data = policy.to_bytes()
    assert json.loads(tensor.Container.parse(data).metadata["policy"])["version"] == 2
    with pytest.raises(ValueError, match=r"use_sde=true is for Box actions, the space is Discrete\(2\)"):
        rl.PPO("CartPole-v1", use_sde=True)


def test_the_words_of_the_zoo_for_a2c_pendulum_are_taken_as_they_are_written() -> None:
    trainer = rl.A2C(
        "MlpPolicy",
        "Pendulum-v1",
        n_envs=8,
        normalize=True,
        ent_coef=0.0,
        max_grad_norm=0.5,
        n_steps=8,
        gae_lambda=0.9,
        vf_coef=0.4,
        gamma=0.9,
        use_rms_prop=True,
        normalize_advantage=False,
        learning_rate="lin_7e-4",
        use_sde=True,
        policy_kwargs=dict(log_std_init=-2, ortho_init=False),
    )
    config = trainer.config
    assert (config["optimizer"], config["use_sde"], config["init"], config["log_std_init"]) == (
        "rmsprop",
        True,
        "uniform",
        -2,
    )
    assert trainer.learn(640)["learning_rate"] == pytest.approx(7e-5)
    kept = arrays(trainer.policy)
    assert kept["actor.log_std"].shape == (64, 1) and np.abs(kept["actor.0.bias"]).max() > 0.1

    class RMSpropTFLike:
        """As Stable-Baselines3's."""

    words = dict(
        policy_kwargs=dict(optimizer_class=RMSpropTFLike, optimizer_kwargs=dict(eps=1e-5, alpha=0.98, weight_decay=0))
    )
    config = rl.A2C("CartPole-v1", **words).config
    assert (config["optimizer"], config["rmsprop_eps"], config["rmsprop_alpha"]) == ("rmsprop_tf", 1e-5, 0.98)
    for wrong, says in [
        ({"normalize": {"gamma": 0.5}}, "rewards are normalised by the trainer's own gamma, 0.99"),
        ({"normalize": {"clip": 1}}, r"normalize\['clip'\]"),
        ({"optimizer": "sgd"}, "valid are adam, rmsprop, rmsprop_tf"),
        ({"sde_sample_freq": -2}, "sde_sample_freq=-2 is outside"),
    ]:
        with pytest.raises(ValueError, match=says):
            rl.A2C("CartPole-v1", **wrong)
    assert rl.A2C("CartPole-v1", normalize=dict(norm_obs=True, norm_reward=False)).config["normalize_rewards"] is False
    with pytest.raises(ValueError, match="DQN"):
        rl.DQN("CartPole-v1", normalize=True)


def test_restored_trainers_with_all_of_it_go_on_to_the_same_bits() -> None:
    options = dict(
        use_sde=True, sde_sample_freq=4, normalize=True, optimizer="rmsprop", num_envs=3, num_steps=8, minibatch_size=8
    )
    straight = rl.PPO("Pendulum-v1", **options)
    straight.learn(48)
    resumed = rl.PPO("Pendulum-v1", **options)
    resumed.from_bytes(straight.to_bytes())
    straight.learn(48), resumed.learn(48)
    assert straight.to_bytes() == resumed.to_bytes()
