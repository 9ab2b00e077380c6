"""Stable-Baselines3's names. Its words (`policy_kwargs`, `n_envs`, a callable learning rate ...) are understood by the algorithms
themselves, in room rl."""

from .aliases import Aliases

__all__ = ["ALIASES", "install", "install_in_worker", "uninstall"]

_CONTINUOUS = "of the algorithms for continuous actions PPO and A2C are here"

ALIASES = Aliases(
    "stable_baselines3",
    {
        **{f"stable_baselines3.{name}": f"daybreak.rl:{name}" for name in ("A2C", "DQN", "PPO")},
        "stable_baselines3.a2c.A2C": "daybreak.rl:A2C",
        "stable_baselines3.dqn.DQN": "daybreak.rl:DQN",
        "stable_baselines3.ppo.PPO": "daybreak.rl:PPO",
    },
    {
        "stable_baselines3.SAC": _CONTINUOUS,
        "stable_baselines3.TD3": _CONTINUOUS,
        "stable_baselines3.DDPG": _CONTINUOUS,
        "stable_baselines3.her": "goals and relabelled episodes are not here",
        "stable_baselines3.HerReplayBuffer": "goals and relabelled episodes are not here",
        "stable_baselines3.common.vec_env": "n_envs= steps environments side by side, normalize=True is VecNormalize",
        "stable_baselines3.common.env_util": "n_envs= makes the environments from a name or a function",
        "stable_baselines3.common.evaluation": "evaluate(n) of the trained agent plays n episodes",
        "stable_baselines3.common.callbacks": "on_result= is called with the results of each iteration",
        "stable_baselines3.common.monitor": "results hold the mean return and length of the last 100 episodes",
    },
)

install = install_in_worker = ALIASES.install
uninstall = ALIASES.uninstall
