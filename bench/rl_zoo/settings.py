"""RL Baselines3 Zoo's settings (its hyperparams/*.yml of 2024) in Stable-Baselines3's words, which both sides take as they stand.

Standard library only: each side reads this in an environment of its own.
"""

from __future__ import annotations

from typing import Any

EPISODES = 100  # of an evaluation, deterministic
LIMIT = 200  # steps of an episode where the environment has no limit of its own

Setting = dict[str, Any]


def seeds(row: str) -> range:
    """Five where a run is short, three where it is not, and where the bar is the other side's."""
    return range(5 if row in ZOO and RUNS[row][2] <= 100_000 else 3)


# name of the row: (algorithm, environment, steps, settings)
RUNS: dict[str, tuple[str, str, int, Setting]] = {
    "ppo_pendulum": ("PPO", "Pendulum-v1", 100_000, dict(
        n_envs=4, n_steps=1024, gae_lambda=0.95, gamma=0.9, n_epochs=10, ent_coef=0.0, learning_rate=1e-3, clip_range=0.2,
        use_sde=True, sde_sample_freq=4)),
    "a2c_pendulum": ("A2C", "Pendulum-v1", 1_000_000, dict(
        normalize=True, n_envs=8, ent_coef=0.0, max_grad_norm=0.5, n_steps=8, gae_lambda=0.9, vf_coef=0.4, gamma=0.9,
        use_rms_prop=True, normalize_advantage=False, learning_rate="lin_7e-4", use_sde=True,
        policy_kwargs=dict(log_std_init=-2, ortho_init=False))),
    "ppo_mountaincarcontinuous": ("PPO", "MountainCarContinuous-v0", 20_000, dict(
        normalize=True, n_envs=1, batch_size=256, n_steps=8, gamma=0.9999, learning_rate=7.77e-05, ent_coef=0.00429,
        clip_range=0.1, n_epochs=10, gae_lambda=0.9, max_grad_norm=5, vf_coef=0.19, use_sde=True,
        policy_kwargs=dict(log_std_init=-3.29, ortho_init=False))),
    "a2c_mountaincarcontinuous": ("A2C", "MountainCarContinuous-v0", 100_000, dict(
        normalize=True, n_envs=4, n_steps=100, ent_coef=0.0, use_sde=True, sde_sample_freq=16, use_rms_prop=True,
        policy_kwargs=dict(log_std_init=0.0, ortho_init=False))),
    "dqn_mountaincar": ("DQN", "MountainCar-v0", 120_000, dict(
        learning_rate=4e-3, batch_size=128, buffer_size=10_000, learning_starts=1000, gamma=0.98, target_update_interval=600,
        train_freq=16, gradient_steps=8, exploration_fraction=0.2, exploration_final_eps=0.07,
        policy_kwargs=dict(net_arch=[256, 256]))),
    "dqn_acrobot": ("DQN", "Acrobot-v1", 100_000, dict(
        learning_rate=6.3e-4, batch_size=128, buffer_size=50_000, learning_starts=0, gamma=0.99, target_update_interval=250,
        train_freq=4, gradient_steps=-1, exploration_fraction=0.12, exploration_final_eps=0.1,
        policy_kwargs=dict(net_arch=[256, 256]))),
    "ppo_mountaincar": ("PPO", "MountainCar-v0", 1_000_000, dict(
        normalize=True, n_envs=16, n_steps=16, gae_lambda=0.98, gamma=0.99, n_epochs=4, ent_coef=0.0)),
    "a2c_mountaincar": ("A2C", "MountainCar-v0", 1_000_000, dict(normalize=True, n_envs=16, ent_coef=0.0, use_rms_prop=True)),
    "ppo_acrobot": ("PPO", "Acrobot-v1", 1_000_000, dict(
        normalize=True, n_envs=16, n_steps=256, gae_lambda=0.94, gamma=0.99, n_epochs=4, ent_coef=0.0)),
    "a2c_acrobot": ("A2C", "Acrobot-v1", 500_000, dict(normalize=True, n_envs=16, ent_coef=0.0, use_rms_prop=True)),
    "ppo_lunarlander": ("PPO", "LunarLander-v3", 1_000_000, dict(
        n_envs=16, n_steps=1024, batch_size=64, gae_lambda=0.98, gamma=0.999, n_epochs=4, ent_coef=0.01)),
    "a2c_lunarlander": ("A2C", "LunarLander-v3", 200_000, dict(
        n_envs=8, gamma=0.995, n_steps=5, learning_rate="lin_0.00083", ent_coef=0.00001, use_rms_prop=True)),
    "dqn_lunarlander": ("DQN", "LunarLander-v3", 100_000, dict(
        learning_rate=6.3e-4, batch_size=128, buffer_size=50_000, learning_starts=0, gamma=0.99, target_update_interval=250,
        train_freq=4, gradient_steps=-1, exploration_fraction=0.12, exploration_final_eps=0.1,
        policy_kwargs=dict(net_arch=[256, 256]))),
    # The Zoo has no settings for these: Stable-Baselines3's own with more environments.
    "ppo_frozenlake": ("PPO", "FrozenLake-v1", 100_000, dict(n_envs=8, n_steps=128, batch_size=256, gamma=0.99, ent_coef=0.01)),
    "ppo_cliffwalking": ("PPO", "CliffWalking-v1", 150_000, dict(
        n_envs=8, n_steps=128, batch_size=256, gamma=0.99, ent_coef=0.01, learning_rate=1e-3, normalize=True)),
    "ppo_taxi": ("PPO", "Taxi-v4", 300_000, dict(
        n_envs=8, n_steps=128, batch_size=256, gamma=0.99, ent_coef=0.01, learning_rate=1e-3, normalize=True)),
    "ppo_hopper": ("PPO", "Hopper-v5", 1_000_000, dict(
        normalize=True, n_envs=1, batch_size=32, n_steps=512, gamma=0.999, learning_rate=9.80828e-05, ent_coef=0.00229519,
        clip_range=0.2, n_epochs=5, gae_lambda=0.99, max_grad_norm=0.7, vf_coef=0.835671,
        policy_kwargs=dict(log_std_init=-2, ortho_init=False, activation_fn="ReLU", net_arch=dict(pi=[256, 256], vf=[256, 256])))),
}  # fmt: skip

# The Zoo's table (benchmark.md): mean and standard deviation of the returns of one run; LunarLander's are v2's.
ZOO: dict[str, tuple[float, float]] = {
    "ppo_pendulum": (-172.225, 104.159),
    "a2c_pendulum": (-162.965, 103.210),
    "ppo_mountaincarcontinuous": (88.343, 2.572),
    "a2c_mountaincarcontinuous": (91.166, 0.255),
    "dqn_mountaincar": (-100.849, 9.925),
    "dqn_acrobot": (-76.639, 11.752),
    "ppo_mountaincar": (-110.423, 19.473),
    "a2c_mountaincar": (-111.263, 24.087),
    "ppo_acrobot": (-73.506, 18.201),
    "a2c_acrobot": (-83.353, 17.213),
    "ppo_lunarlander": (242.119, 31.823),
    "a2c_lunarlander": (155.751, 80.419),
    "dqn_lunarlander": (154.382, 79.241),
}
# A return below which nobody stays: what returns are counted from where they are held against the other side's.
WORST = {"ppo_frozenlake": 0.0, "ppo_cliffwalking": -20_000.0, "ppo_taxi": -2_000.0, "ppo_hopper": 0.0}
# What takes minutes on our side, or more: measured with --long, or when its row is named.
LONG = {
    "dqn_mountaincar",
    "dqn_acrobot",
    "dqn_lunarlander",
    "ppo_mountaincar",
    "a2c_mountaincar",
    "ppo_acrobot",
    "a2c_acrobot",
    "ppo_lunarlander",
    "ppo_hopper",
    "ppo_taxi",
}
