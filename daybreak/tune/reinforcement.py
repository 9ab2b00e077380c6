"""Trainers of `daybreak.rl` as trainables: an iteration is a step, and the config is the trainer's options."""

from __future__ import annotations

import os
from typing import Any

from daybreak.base.errors import InvalidArgumentError

from .trainable import Trainable

__all__ = ["rl"]

_FILE = "trainer.ckpt"


def rl(algorithm: Any, env: Any = None, **options: Any) -> type[Trainable]:
    """A trainable that trains: ``tune.Tuner(tune.rl(rl.PPO, "CartPole-v1"), param_space={"lr": ...})``.

    ``algorithm``: a class of daybreak.rl. ``options``: those that all trials have; a trial's config comes over them, and may name
    "env". A checkpoint goes on with weights, optimiser and random numbers as they were, and with the options that the config has
    now: population based training changes the learning rate of what has been learned.
    """
    if not (isinstance(algorithm, type) and hasattr(algorithm, "train") and hasattr(algorithm, "load")):
        raise InvalidArgumentError(f"rl({algorithm!r}): a class of daybreak.rl such as rl.PPO")

    class RlTrainable(Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            asked = {**options, **config}
            self.env = asked.pop("env", env)
            if self.env is None:
                raise InvalidArgumentError(
                    f"rl({algorithm.__name__}): which environment: as the second argument, or 'env' in the space"
                )
            self.options = asked
            self.trainer = algorithm(self.env, **asked)

        def step(self) -> dict[str, Any]:
            return dict(self.trainer.train())

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            self.trainer.save(os.path.join(checkpoint_dir, _FILE))
            self.trainer.policy.save(os.path.join(checkpoint_dir, "policy"))

        def load_checkpoint(self, checkpoint: str) -> None:
            self.trainer = algorithm.load(os.path.join(checkpoint, _FILE), self.env, **self.options)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.setup(new_config)
            return True

    RlTrainable.__name__ = RlTrainable.__qualname__ = algorithm.__name__
    return RlTrainable
