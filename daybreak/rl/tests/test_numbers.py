"""What environments and people hand to rl: flags, rewards, observations, actions, seeds and options of every kind of number."""

import fractions
import warnings
from decimal import Decimal
from typing import Any

import gymnasium
import numpy as np
import onnxruntime
import pytest
from gymnasium.spaces import Box, Discrete

from daybreak import rl
from daybreak._core import rl as native
from daybreak.rl import envs

SMALL: dict[str, Any] = dict(num_envs=2, num_steps=16, minibatch_size=16, num_epochs=1, hidden=[8], seed=0)
BATCH: dict[str, Any] = {**SMALL, "num_envs": 1}
FLAGS = [
    (True, False),
    (np.bool_(True), np.bool_(False)),
    (1, 0),
    (np.int64(1), np.uint8(0)),
    (1.0, 0.0),
    (np.float32(1), np.float32(0)),
    (np.array(True), np.array(False)),
    (np.array([True]), np.array([0])),
    (np.array([[1]]), np.array([[0.0]])),
    (Decimal(1), Decimal(0)),
]


class Five(gymnasium.Env[Any, Any]):
    """Ends after five steps. What is given replaces what it answers."""

    observation_space: Any = Box(-1, 1, (2,), np.float32)
    action_space: Any = Discrete(2)

    def __init__(
        self, flags: Any = (True, False), truncates: bool = False, reward: Any = 1.0, observation: Any = None
    ) -> None:
        self.flags, self.truncates, self.reward = flags, truncates, reward
        self.observation = np.zeros(2, np.float32) if observation is None else observation

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.seeds = [*getattr(self, "seeds", []), seed]
        self.steps = 0
        return self.observation, {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        over, never = self.flags[0] if self.steps == 5 else self.flags[1], self.flags[1]
        return self.observation, self.reward, *((never, over) if self.truncates else (over, never)), {}


@pytest.mark.parametrize("flags", FLAGS, ids=lambda f: f"{type(f[0]).__name__}{np.shape(f[0])}")
@pytest.mark.parametrize("truncates", [False, True])
def test_an_episode_ends_by_every_kind_of_flag(flags: Any, truncates: bool) -> None:
    result = rl.PPO(lambda: Five(flags, truncates), **SMALL).train()
    assert result["episode_len_mean"] == 5 and result["episode_reward_mean"] == 5
    assert rl.DQN(lambda: Five(flags, truncates), steps_per_iteration=20, hidden=[8]).train()["episodes_this_iter"] == 4
    batch = envs.make_vec(lambda: Five(flags, truncates), 1)
    batch.reset(seed=0)
    assert [bool((s := batch.step([0]))[2][0] | s[3][0]) for _ in range(5)] == [False] * 4 + [True]


@pytest.mark.parametrize("wrong", [None, "done", [True], np.array([True, False]), {}, float("nan"), 1j])
def test_a_flag_that_is_no_scalar_is_refused_by_its_name(wrong: Any) -> None:
    with pytest.raises(ValueError, match="step of environment 0 gave terminated=.* is no flag"):
        rl.PPO(lambda: Five((wrong, wrong)), **SMALL).train()
    with pytest.raises(ValueError, match="step of environment 0 gave truncated=.* is no flag"):
        rl.PPO(lambda: Five((wrong, False), truncates=True), **SMALL).train()


@pytest.mark.parametrize(
    "reward",
    [2, 2.0, np.float16(2), np.float32(2), np.float64(2), np.longdouble(2), np.int8(2), np.uint64(2), np.array(2.0)]
    + [np.array([2.0]), np.array([[2]]), np.array([2], object), Decimal(2), fractions.Fraction(2), [*np.full(1, 2)][0]],
)
def test_a_reward_of_every_kind_is_its_number(reward: Any) -> None:
    assert rl.PPO(lambda: Five(reward=reward), **SMALL).train()["episode_reward_mean"] == 10


@pytest.mark.parametrize(
    "wrong", [None, "2", [2.0], np.array([1.0, 2.0]), np.array([]), 2j, np.complex64(2), {}, object()]
)
def test_a_reward_that_is_no_number_is_refused_with_the_word_reward(wrong: Any) -> None:
    with pytest.raises(ValueError, match="step of environment 0 gave reward="):
        rl.PPO(lambda: Five(reward=wrong), **SMALL).train()


@pytest.mark.parametrize("wrong", [float("nan"), float("-inf"), np.float32("nan"), np.array([np.inf]), 1e39])
@pytest.mark.parametrize("algo", [rl.PPO, rl.A2C, rl.PG, rl.DQN])
def test_a_reward_that_is_not_finite_stops_training_with_its_step(algo: Any, wrong: Any) -> None:
    options = {"hidden": [8]} if algo is rl.DQN else {**SMALL}
    with pytest.raises(ValueError, match=r"(time )?step 0.*: step of environment 0 gave the reward"):
        algo(lambda: Five(reward=wrong), **options).train()


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.longdouble, np.int8, np.uint16, np.int64, bool, object])
def test_an_observation_of_every_kind_is_taken(kind: Any) -> None:
    observation = np.array([1, 0]).astype(kind)
    for given in (observation, observation[::-1], list(observation), tuple(observation)):
        assert envs.make_vec(lambda given=given: Five(observation=given)).reset()[0].sum() == 1


@pytest.mark.parametrize(
    "wrong", [np.array([1j, 0]), np.array(["1", "0"]), np.array(["2020", "2021"], "M8[Y]"), ["a", "b"], [None, 1]]
)
def test_an_observation_of_what_are_no_numbers_is_refused_by_its_name(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"reset of environment 0 gave observation"):
        rl.PPO(lambda: Five(observation=wrong), **SMALL).train()


class Corridor(Five):
    """Discrete observations and actions with starts: action 11 is right everywhere."""

    observation_space = Discrete(4, start=-1)
    action_space = Discrete(3, start=10)
    seen: set[Any] = set()

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return np.int64(-1), {}

    def step(self, action: Any) -> Any:
        self.seen.add(action)
        assert action in self.action_space, action
        self.steps += 1
        return np.array(self.steps % 4 - 1), float(action == 11), self.steps == 8, False, {}


@pytest.mark.parametrize("algo", [rl.PPO, rl.A2C, rl.DQN])
def test_actions_count_from_the_start_of_their_space_in_training_policy_file_and_onnx(algo: Any, tmp_path: Any) -> None:
    options = {"lr": 1e-2, "learning_starts": 50} if algo is rl.DQN else {"num_envs": 4, "num_steps": 32, "lr": 1e-2}
    trainer = algo(Corridor, seed=1, **options)
    Corridor.seen.clear()
    trainer.learn(6000)
    assert Corridor.seen == {10, 11, 12}
    assert trainer.evaluate(5)["mean"] == 8
    policy = rl.Policy.load(trainer.save(tmp_path / "c"))
    assert [policy.compute_action(x) for x in (-1, 0, 1, 2)] == [11] * 4
    assert policy.compute_actions([-1, 0, 1]).tolist() == [11] * 3 and trainer.compute_action(np.int64(2)) == 11
    assert {policy.compute_action(0, deterministic=False) for _ in range(50)} <= {10, 11, 12}
    session = onnxruntime.InferenceSession(policy.to_onnx(tmp_path / "p.onnx"))
    assert session.run(["action"], {"observation": np.eye(4, dtype=np.float32)})[0].tolist() == [11] * 4


@pytest.mark.parametrize(
    "observation",
    [
        3,
        np.int64(3),
        np.uint8(3),
        np.array(3),
        np.array([3]),
        3.0,
        np.float32(3),
        [0, 0, 0, 1, 0],
        np.eye(5)[3],
        np.eye(5, dtype=int)[3],
    ],
)
def test_a_discrete_observation_of_every_kind_has_one_action(observation: Any) -> None:
    class Env(Five):
        observation_space = Discrete(5)

    trainer = rl.PPO(lambda: Env(observation=3), **SMALL)
    expected = trainer.policy.logits(np.eye(5, dtype=np.float32)[3]).tolist()
    assert trainer.policy.logits(observation).tolist() == expected
    action = trainer.compute_action(observation)
    for many in ([3, 3], np.array([3, 3], np.int16), np.array([[3], [3]]), np.eye(5)[[3, 3]], range(3, 4)):
        assert set(trainer.policy.compute_actions(many).tolist()) == {action}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (5, "5 is not in 0..4"),
        (-1, "-1 is not in"),
        (0.5, "no whole number"),
        ("3", "no whole number"),
        (True, "no whole number"),
    ]
    + [(None, "no whole number"), ([1, 2], "no whole number"), (np.array([np.nan] * 5), "not finite")],
)
def test_a_discrete_observation_outside_its_space_is_refused(wrong: Any, says: str) -> None:
    class Env(Five):
        observation_space = Discrete(5)

    policy = rl.PPO(lambda: Env(observation=3), **SMALL).policy
    with pytest.raises(ValueError, match=says):
        policy.compute_action(wrong)


@pytest.mark.parametrize("wrong", [[np.nan, 0], [0, np.inf], ["a", "b"], [1j, 0], [1, 2, 3], None])
def test_a_box_observation_that_is_no_row_of_finite_numbers_is_refused(wrong: Any) -> None:
    policy = rl.PPO(Five, **SMALL).policy
    for ask in (policy.compute_action, policy.logits, lambda x: policy.compute_actions([x, x])):
        with pytest.raises(ValueError, match="observation"):
            ask(wrong)


BOUNDS = [
    (np.float32, [-0.1, 0.3, -2.7], [0.1, 0.7, 9.1]),
    (np.float64, [-0.1, 0.3, 1e-3], [0.1, 0.7, 1e3 / 7]),
    (np.float64, [1 / 3], [2 / 3]),
    (np.float16, [-0.1], [0.3]),
    (np.float64, [-1e300, -3e38], [1e300, 3e38]),
    (np.float32, [-1, -np.inf, 0], [1, np.inf, np.inf]),
]


@pytest.mark.parametrize(("kind", "low", "high"), BOUNDS)
def test_continuous_actions_never_leave_their_bounds_by_a_rounding(
    kind: Any, low: Any, high: Any, tmp_path: Any
) -> None:
    space = Box(np.array(low, kind), np.array(high, kind), dtype=kind)

    class Env(Five):
        action_space = space

        def step(self, action: Any) -> Any:
            assert action.dtype == kind and space.contains(action), action.tolist()
            return super().step(action)

    trainer = rl.PPO(Env, log_std_init=1.0, **SMALL)
    trainer.learn(500)
    trainer.evaluate(5, deterministic=False)
    policy, rows = trainer.policy, np.random.default_rng(0).normal(size=(500, 2)).astype(np.float32)
    actions = policy.compute_actions(rows, deterministic=False)
    assert (actions >= space.low).all() and (actions <= space.high).all()
    greedy = policy.compute_actions(rows * 1e4)
    session = onnxruntime.InferenceSession(policy.to_onnx(tmp_path / "p.onnx"))
    other = session.run(["action"], {"observation": rows * 1e4})[0]
    assert (other >= space.low).all() and (other <= space.high).all()
    np.testing.assert_allclose(greedy, other, rtol=1e-4, atol=1e-4 * np.abs(other[np.isfinite(other)]).max())


def test_options_may_be_numbers_of_every_kind() -> None:
    plain = rl.PPO(
        "CartPole-v1", seed=1, lr=0.5**10, hidden=[8, 8], num_envs=2, num_steps=16, shared=True, num_threads=1
    )
    other = rl.PPO(
        "CartPole-v1",
        seed=np.int64(1),
        lr=np.float32(0.5**10),
        hidden=np.array([8, 8]),
        num_envs=np.uint8(2),
        num_steps=16.0,
        shared=np.bool_(True),
        num_threads=np.array([1]),
        gamma=Decimal("0.99"),
        gae_lambda=np.longdouble(0.95),
    )
    assert plain.config == other.config
    plain.train(), other.train()
    assert plain.to_bytes() == other.to_bytes()
    scheduled = rl.PPO(lr=np.array([[0, 1e-3], [1000, 0]]), clip=[(np.int64(0), np.float32(0.25)), (10, 0.5)])
    assert scheduled.config["lr"] == [[0, 1e-3], [1000, 0]] and scheduled.config["clip"] == [[0, 0.25], [10, 0.5]]
    assert rl.DQN(prioritized_replay=np.bool_(1), tau=np.float16(0.5)).config["tau"] == 0.5
    options = {"max_episode_steps": np.int64(7)}
    assert rl.PPO("CartPole-v1", env_options=options, **SMALL).train()["episode_reward_max"] <= 7
    assert rl.PPO("CartPole-v1", **SMALL).evaluate(np.int64(2), seed=np.uint32(3), max_steps=np.int16(4))[
        "lengths"
    ] == [4, 4]


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"lr": "fast"}, "lr='fast'"),
        ({"lr": float("nan")}, "lr=nan is not finite"),
        ({"lr": 1j}, "lr=1j"),
        ({"num_steps": 0.5}, "num_steps=0.5"),
        ({"num_envs": True}, "num_envs=True"),
        ({"hidden": [64, 0.5]}, r"hidden\[1\]=0.5"),
        ({"hidden": 64}, "a list of layer sizes"),
        ({"shared": "yes"}, "shared='yes'"),
        ({"seed": -1}, "seed=-1 is not from 0"),
        ({"seed": 2**64}, "seed=18446744073709551616 is not from 0"),
        ({"seed": 0.5}, "seed=0.5"),
        ({"gamma": np.array([0.9, 0.8])}, "gamma="),
        ({"lr": [[0, "a"]]}, "lr='a'"),
        ({"num_steps": 2**63}, "num_steps=9223372036854775808"),
        ({"lr": -1e-3}, "lr=-0.001 is less than 0"),
        ({"lr": [[0, 1e-3], [100, -1]]}, "lr=-1 is less than 0"),
        ({"clip": -0.2}, "clip=-0.2 is less than 0"),
        ({"max_grad_norm": -0.5}, "max_grad_norm=-0.5 is less than 0"),
        ({"adam_beta2": 1.5}, "adam_beta2=1.5 is outside 0 to 1"),
        ({"adam_eps": -1}, "adam_eps=-1 is less than 0"),
        ({"observation_clip": -1}, "observation_clip=-1 is less than 0"),
    ],
)
def test_an_option_that_is_no_such_number_is_refused_by_its_name(option: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        rl.PPO("CartPole-v1", **option)


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"lr": -1}, "lr=-1 is less than 0"),
        ({"exploration_final_eps": 2}, "exploration_final_eps=2 is outside 0 to 1"),
        ({"exploration_initial_eps": -0.5}, "exploration_initial_eps=-0.5 is outside 0 to 1"),
        ({"learning_starts": -1}, "learning_starts=-1 is outside 0 to"),
        ({"prioritized_alpha": -1}, "prioritized_alpha=-1 is less than 0"),
    ],
)
def test_an_option_of_dqn_that_is_out_of_its_range_is_refused_by_its_name(option: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        rl.DQN("CartPole-v1", **option)


def test_an_observation_with_masked_elements_is_refused() -> None:
    """Its buffer knows nothing of the mask: what is under it would be learned."""

    class Masked(Five):
        def step(self, action: Any) -> Any:
            _, *rest = super().step(action)
            return np.ma.array([1.0, 2.0], mask=[False, True], dtype=np.float32), *rest

    trainer = rl.PPO(Masked, **SMALL)
    with pytest.raises(ValueError, match="observation has masked elements"):
        trainer.train()
    with pytest.raises(ValueError, match="observation has masked elements"):
        trainer.policy.compute_action(np.ma.array([1.0, 2.0], mask=[False, True], dtype=np.float32))
    trainer.policy.compute_action(np.ma.array([1.0, 2.0], mask=False, dtype=np.float32))


@pytest.mark.parametrize("seed", [0, 7, 2**31 - 1, 2**32, 2**63, 2**64 - 1, np.uint64(2**63 + 5)])
def test_any_seed_of_64_bits_reaches_reset_as_one_of_31(seed: Any) -> None:
    made: list[Five] = []

    def make() -> Five:
        made.append(Five())
        return made[-1]

    trainer = rl.PPO(make, **{**SMALL, "seed": seed, "num_threads": 2, "num_envs": 4})
    trainer.train()
    trainer.evaluate(2, seed=seed)
    rl.DQN(make, seed=seed, hidden=[8]).train()
    used = [s for env in made for s in env.seeds if s is not None]
    assert len(used) >= 7 and all(0 <= s < 2**31 for s in used)
    assert trainer.config["seed"] == seed
    if seed == 7:
        assert made[0].seeds[0] == 7
    assert rl.PPO(make, **{**SMALL, "seed": seed}).config["seed"] == int(seed)
    assert len({s for env in made[:4] for s in env.seeds[:1]}) == 4


def test_two_seeds_beyond_32_bits_are_two_seeds() -> None:
    a, b = (rl.PPO("CartPole-v1", **{**SMALL, "seed": seed}) for seed in (2**40, 2**40 + 1))
    a.train(), b.train()
    assert a.policy.to_bytes() != b.policy.to_bytes()


@pytest.mark.parametrize("algo", [rl.PPO, rl.A2C, rl.PG, rl.DQN])
def test_a_loss_that_is_not_finite_stops_with_the_step_and_the_term_and_weights_stay_finite(algo: Any) -> None:
    options: dict[str, Any] = {**SMALL, "normalize_advantage": False}
    if algo is rl.DQN:
        options = {"learning_starts": 20, "hidden": [8], "gamma": 1.0, "reward_scale": 1e9}
    trainer = algo(lambda: Five(reward=1e30), **options)
    with pytest.raises(
        ValueError, match=r"gradient step 1.*: the (policy loss|value loss|loss|gradient's norm) is (-?inf|nan)"
    ):
        trainer.learn(100)
    assert np.isfinite(trainer.policy.logits([0.5, 0.5])).all()
    with pytest.raises(ValueError):
        trainer.learn(100)
    assert np.isfinite(trainer.policy.logits([0.5, 0.5])).all()


def test_a_learning_rate_that_blows_up_stops_before_the_weights_are_not_finite() -> None:
    trainer = rl.PPO("CartPole-v1", **{**SMALL, "lr": 1e30, "max_grad_norm": 0.0})
    with pytest.raises(ValueError, match="step \\d+.*not finite|gradient step \\d+"):
        trainer.learn(5000)
    assert np.isfinite(np.frombuffer(trainer.policy.to_bytes()[-200:-100], np.float32)).all()


def test_demonstrations_may_be_numbers_of_every_kind_and_discrete_ones_as_they_are_given() -> None:
    seen = np.array([-1, 0, 1, 2] * 20)
    did = np.where(seen > 0, 10, 12)
    for observations, actions in [
        (seen, did),
        (seen.astype(np.float16), did.astype(np.uint8)),
        (list(seen), [int(x) for x in did]),
    ]:
        trainer = rl.BC(Corridor, observations, actions, lr=1e-2, seed=0)
        trainer.learn(4000)
        assert [trainer.compute_action(x) for x in (-1, 0, 1, 2)] == [12, 12, 10, 10]
    for wrong, says in [
        (did - 10, "10 to 12 are possible"),
        (did * 2**40, "is not from"),
        ([1j] * 80, "actions"),
        (["10"] * 80, "actions"),
    ]:
        with pytest.raises(ValueError, match=says):
            rl.BC(Corridor, seen, wrong)
    with pytest.raises(ValueError, match="whole numbers from -1 to 2"):
        rl.BC(Corridor, seen + 1, did)


def test_one_environment_for_several_rows_is_refused() -> None:
    env = Five()
    for make in (lambda: env, lambda: gymnasium.wrappers.TimeLimit(env, 3)):
        with pytest.raises(ValueError, match="gave the same environment for rows 0 and 1"):
            rl.PPO(make, **SMALL)
        with pytest.raises(ValueError, match="gave the same environment for rows 0 and 1"):
            envs.make_vec(make, 2)
    with pytest.raises(ValueError, match="same environment for rows"):
        rl.PPO(lambda: env, **BATCH).evaluate(2)
    with pytest.raises(ValueError, match="same environment for several threads: return a new one at each call"):
        rl.PPO(lambda: env, num_threads=2, **SMALL)
    rows = np.zeros((4, 2))
    assert rl.BC(lambda: Five(), rows, [0, 1, 0, 1]).evaluate(3)["lengths"] == [5] * 3
    trainer = rl.PPO(lambda: env, **BATCH)
    trainer.train(), trainer.evaluate(1)
    assert trainer.train()["episode_len_mean"] == 5  # training began a new episode after the evaluation in the same one


def test_a_seed_of_a_batch_or_a_policy_is_a_whole_number_of_any_kind() -> None:
    batch = envs.make_vec("CartPole-v1", 2)
    first = batch.reset(seed=3)[0]
    for seed in (np.int64(3), np.array(3), 3.0, [3, np.uint8(4)]):
        assert (batch.reset(seed=seed)[0] == first).all()
    for wrong in (-1, 2**64, 0.5, "3", True, [3, "4"]):
        with pytest.raises(ValueError, match="seed="):
            batch.reset(seed=wrong)
    policy = rl.PPO("CartPole-v1", **SMALL).policy
    policy.seed(np.int64(3))
    with pytest.raises(ValueError, match="seed=0.5"):
        policy.seed(0.5)


def test_nothing_of_this_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rl.PPO(lambda: Five((np.array([1]), np.bool_(0)), reward=np.array([2.0])), **SMALL).train()
    assert "CartPole-v1" in native.env_ids()
