"""Old names: a program that says ``import ray`` or ``from stable_baselines3 import PPO`` runs on us as it stands.

Each module here is one table, of a package's names and of where each lies in Daybreak; what lies there belongs to its room.

>>> from daybreak.compat import stable_baselines3
>>> stable_baselines3.install()
>>> from stable_baselines3 import PPO
>>> PPO
<class 'daybreak.rl.algorithms.PPO'>
>>> stable_baselines3.uninstall()
"""

from . import numpywren, pywren, ray, stable_baselines3

__all__ = ["numpywren", "pywren", "ray", "stable_baselines3"]
