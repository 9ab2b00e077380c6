"""Generated environments: whatever kind of number they answer with, the same is learned as from plain floats, bit for bit."""

from __future__ import annotations

import fractions
from decimal import Decimal
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from hypothesis import given, settings
from hypothesis import strategies as st

from daybreak import rl

SMALL: dict[str, Any] = dict(num_envs=2, num_steps=16, minibatch_size=16, num_epochs=1, hidden=[8], seed=3)


class Subclass(np.ndarray):
    pass


# Each takes a float that 16 bits hold exactly, and says the same in another kind.
SCALARS: dict[str, Any] = {
    "float": float,
    "float16": np.float16,
    "float32": np.float32,
    "float64": np.float64,
    "longdouble": np.longdouble,
    "dimension 0": np.array,
    "one element": lambda x: np.array([x]),
    "one element of two dimensions": lambda x: np.array([[x]], np.float32),
    "an object": lambda x: np.array(x, dtype=object),
    "big-endian": lambda x: np.array([x], ">f8"),
    "Decimal": Decimal,
    "Fraction": fractions.Fraction,
}
FLAGS: dict[str, Any] = {
    **{name: (lambda flag, kind=kind: kind(float(flag))) for name, kind in SCALARS.items()},
    "bool": bool,
    "int": int,
    "numpy's bool": np.bool_,
    "uint8": np.uint8,
    "array of bool": lambda flag: np.array([flag]),
}
ARRAYS: dict[str, Any] = {
    "float32": lambda x: x,
    "float16": lambda x: x.astype(np.float16),
    "float64": lambda x: x.astype(np.float64),
    "big-endian": lambda x: x.astype(">f4"),
    "a list": lambda x: x.tolist(),
    "a tuple": lambda x: tuple(x.tolist()),
    "objects": lambda x: x.astype(object),
    "strided": lambda x: np.repeat(x, 2)[::2],
    "backwards": lambda x: x[::-1].copy()[::-1],
    "read-only": lambda x: np.frombuffer(x.tobytes(), np.float32),
    "a subclass": lambda x: x.view(Subclass),
    "unmasked": lambda x: np.ma.array(x, mask=False),
    "scalars": lambda x: [np.float32(each) for each in x],
}
WHOLE: dict[str, Any] = {
    "int": int,
    "int64": np.int64,
    "uint8": np.uint8,
    "float": float,
    "dimension 0": np.array,
    "one element": lambda x: np.array([x]),
    "Decimal": Decimal,
}


class Drawn(gymnasium.Env[Any, Any]):
    """Its rewards, observations and ends follow from the step alone; the kinds say how they are written."""

    def __init__(self, kinds: tuple[Any, Any, Any, Any], discrete: bool) -> None:
        self.flag, self.reward, self.array, self.whole = kinds
        self.discrete = discrete
        self.observation_space: Any = Discrete(5, start=-2) if discrete else Box(-4, 4, (3,), np.float32)
        self.action_space: Any = Discrete(3, start=7)
        self.total = 0

    def seen(self) -> Any:
        if self.discrete:
            return self.whole(self.total % 3)
        return self.array(np.array([self.total % 7 / 4, -(self.total % 3) / 2, 0.25], np.float32))

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.seen(), {}

    def step(self, action: Any) -> Any:
        assert action in (7, 8, 9)
        self.total += 1
        reward = self.reward(self.total % 5 / 4 - 0.5 * (int(action) - 7))
        over = self.total % 6 == 0
        return self.seen(), reward, self.flag(over and self.total % 4 == 0), self.flag(over and self.total % 4 != 0), {}


PLAIN = (bool, float, ARRAYS["float32"], int)


def learned(kinds: tuple[Any, Any, Any, Any], discrete: bool, algo: str) -> tuple[bytes, dict[str, Any]]:
    options = SMALL if algo == "PPO" else dict(hidden=[8], seed=3, learning_starts=8, steps_per_iteration=40)
    trainer = getattr(rl, algo)(lambda: Drawn(kinds, discrete), **options)
    result = trainer.train()
    return trainer.policy.to_bytes(), {key: result[key] for key in ("episodes_this_iter", "episode_reward_mean")}


KNOWN: dict[Any, Any] = {}


@settings(deadline=None, max_examples=120, derandomize=True)
@given(
    flag=st.sampled_from(sorted(FLAGS)),
    reward=st.sampled_from(sorted(SCALARS)),
    array=st.sampled_from(sorted(ARRAYS)),
    whole=st.sampled_from(sorted(WHOLE)),
    discrete=st.booleans(),
    algo=st.sampled_from(["PPO", "DQN"]),
)
def test_an_environment_of_any_kinds_of_numbers_teaches_what_floats_teach(
    flag: str, reward: str, array: str, whole: str, discrete: bool, algo: str
) -> None:
    case = (discrete, algo)
    if case not in KNOWN:
        KNOWN[case] = learned(PLAIN, discrete, algo)
        assert KNOWN[case][1]["episodes_this_iter"] > 3
    assert learned((FLAGS[flag], SCALARS[reward], ARRAYS[array], WHOLE[whole]), discrete, algo) == KNOWN[case]


@settings(deadline=None, max_examples=100, derandomize=True)
@given(array=st.sampled_from(sorted(ARRAYS)), values=st.lists(st.floats(-4, 4, width=16), min_size=3, max_size=3))
def test_a_policy_answers_an_observation_of_any_kind_as_the_plain_one(array: str, values: list[float]) -> None:
    if "policy" not in KNOWN:
        KNOWN["policy"] = rl.PPO(lambda: Drawn(PLAIN, False), **SMALL).policy
    policy = KNOWN["policy"]
    plain = np.array(values, np.float32)
    given = ARRAYS[array](plain)
    assert policy.compute_action(given) == policy.compute_action(plain)
    assert policy.logits(given).tolist() == policy.logits(plain).tolist()
    assert policy.compute_actions([given, given]).tolist() == [policy.compute_action(plain)] * 2
