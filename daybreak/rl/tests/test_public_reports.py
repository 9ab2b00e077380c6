"""What people reported of the peers: each tried here, with what is right. The reports are named beside the tests."""

import os
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Discrete

from daybreak import _core, rl, tensor

FEW: dict[str, Any] = dict(n_envs=2, n_steps=16, batch_size=16, n_epochs=1, seed=0)


class Plain(gymnasium.Env[Any, Any]):
    """Six steps; what a test gives replaces what is answered."""

    observation_space: Any = Box(-1, 1, (3,), np.float64)
    action_space: Any = Discrete(2)
    answer: dict[str, Any] = {}

    def __init__(self) -> None:
        self.actions: list[Any] = []

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self.answer.get("observation", np.zeros(3)), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        self.actions.append(action)
        reward, over = self.answer.get("reward", 1.0), self.answer.get("over", bool)(self.steps == 6)
        return self.answer.get("observation", np.zeros(3)), reward, over, False, {}


def plain(**attributes: Any) -> type[Plain]:
    """A class of Plain with other spaces or answers."""
    spaces = {
        name: attributes.pop(name) for name in ("observation_space", "action_space", "spec") if name in attributes
    }
    return type("Plain", (Plain,), {**spaces, "answer": attributes})


# stepjam/RLBench#174, DLR-RM/stable-baselines3#1132, #1795: a done of numpy's bool is refused by a checker or taken wrongly.
@pytest.mark.parametrize("kind", [np.bool_, int, np.uint8, lambda over: np.array([over]), lambda over: over + 0.0])
def test_a_done_of_numpy_ends_the_episode(kind: Any) -> None:
    assert rl.PPO("MlpPolicy", plain(over=kind), **FEW).learn(64)["episode_len_mean"] == 6


# stable-baselines3#1747: np.float32 is no float to the checker. #1647: a reward computed from arrays of one element.
@pytest.mark.parametrize("reward", [np.float32(2), np.array([86.03]) * 0 + 2, np.array(2, np.float16), 2])
def test_a_reward_of_numpy_is_its_number(reward: Any) -> None:
    assert rl.PPO("MlpPolicy", plain(reward=reward), **FEW).learn(64)["episode_reward_mean"] == 12


class Tensor:
    """As torch's: numpy() refuses one that needs a gradient, and types that numpy lacks."""

    dtype, shape = "torch.float32", (3,)

    def detach(self) -> Any:
        return self

    cpu = detach

    def numpy(self, force: bool = False) -> Any:
        return np.array([1.0, 2.0, 3.0], np.float32) if force else self.__array__()

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad")


# Observations of tensors that are part of a graph.
def test_an_observation_that_needs_a_gradient_is_its_numbers() -> None:
    model = rl.PPO("MlpPolicy", plain(observation=Tensor(), observation_space=Box(-9, 9, (3,))), **FEW)
    assert model.learn(64)["episode_len_mean"] == 6
    np.testing.assert_array_equal(model.policy.logits(Tensor()), model.policy.logits([1, 2, 3]))


# Gymnasium#1616: the end of a small integer type is in no space; MO-Gymnasium#54, openai/gym#1786: a value of numpy.
@pytest.mark.parametrize("last", [127, np.int8(127), np.array(127), np.array(127, np.uint8), 127.0])
def test_the_last_value_of_a_small_space_is_an_observation_and_an_action(last: Any) -> None:
    space = Discrete(3, start=125, dtype=np.int8)
    env = plain(action_space=space, observation_space=space, observation=last)()
    model = rl.PPO("MlpPolicy", env, n_steps=64, seed=0)
    model.learn(64)
    assert set(env.actions) == {125, 126, 127} and int(model.predict(last)[0]) in {125, 126, 127}


class Boom(Exception):
    """Whose words raise, and which takes no note."""

    def __str__(self) -> str:
        raise KeyError("words")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("frozen")


# cpython#99856 too: what an environment raises is what its user catches, as in Stable-Baselines3.
@pytest.mark.parametrize(
    "error", [KeyError("k"), Boom(), StopIteration(), SystemExit(3), KeyboardInterrupt(), OSError(2, "no", "f")]
)
@pytest.mark.parametrize("method", ["reset", "step"])
def test_what_an_environment_raises_can_be_caught_by_its_class(error: BaseException, method: str) -> None:
    def raises(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise error

    env = type("Raises", (Plain,), {method: raises})
    model = rl.PPO("MlpPolicy", env, **FEW)
    with pytest.raises(type(error)) as caught:
        model.learn(64)
    assert caught.value is error and caught.traceback[-1].name == "raises"
    if not isinstance(error, Boom):
        assert f"{method} of environment 0 raised" in error.__notes__[-1]


# stable-baselines3 takes None and fails later, or makes no environment.
def test_no_environment_is_refused_with_the_way_out() -> None:
    for make in (lambda: rl.PPO("MlpPolicy", None), lambda: rl.PPO(None), lambda: rl.PPO(env=None)):
        with pytest.raises(ValueError, match=r"without an environment: give one, PPO\('MlpPolicy', env\)"):
            make()


# stable-baselines3#971, #970, stable-baselines3-contrib#317: a Box of other than one dimension.
@pytest.mark.parametrize("shape", [(2, 2), (), (1,), (1, 3, 2), (3, 1)])
def test_predict_gives_actions_in_the_shape_of_their_space(shape: tuple[int, ...]) -> None:
    space = Box(-1, 1, shape)
    env = plain(action_space=space)()
    model = rl.PPO("MlpPolicy", env, n_steps=64, seed=0)
    model.learn(64)
    assert all(space.contains(action) for action in env.actions)
    for one in (model, model.policy, rl.Policy.load(model.to_bytes()), rl.PPO.load(model.to_bytes(), env)):
        action, _ = one.predict(np.zeros(3))
        assert space.contains(action) and one.predict(np.zeros((4, 3)))[0].shape == (4, *shape)


def test_a_policy_whose_shape_does_not_fit_its_actions_is_refused() -> None:
    data = rl.PPO("MlpPolicy", plain(action_space=Box(-1, 1, (2, 3)))(), n_steps=64).policy.to_bytes()
    native = _core.tensor.Container.parse(data)
    assert '"shape":[2,3]' in native.metadata["policy"]
    for shape in ("[2,4]", "[6,-1,-1]", "[]", "[2.0,3]", '"6"', "[1099511627776,1099511627776]", "[[6]]", "[0,6]"):
        about = native.metadata["policy"].replace("[2,3]", shape)
        arrays = {name: tensor.loads(data)[name] for name in native.names}
        with pytest.raises(ValueError, match="a box of 6 components with the shape"):
            rl.Policy.load(tensor.dumps(arrays, {"policy": about}))


# apple/turicreate#945, spcl/dace#1578, hyperopt#72, sktime-mcp#526: a folder that is called ~.
def test_a_model_is_saved_into_the_home_that_is_meant(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "here")
    model = rl.PPO("MlpPolicy", Plain, **FEW)
    for save in (model.save, model.policy.save, model.policy.to_onnx):
        assert save("~/model") == str(tmp_path / "model") and (tmp_path / "model").is_file()
    model.save("~/model")
    monkeypatch.chdir(tmp_path)
    rl.PPO.load("~/model", Plain)
    model.restore("model")
    assert rl.Policy.load("~/model").to_bytes() == model.policy.to_bytes() and not (tmp_path / "here" / "~").exists()
    with pytest.raises(FileNotFoundError):
        rl.Policy.load("~/none")


# stable-baselines3#876: a reward for each of several agents.
def test_a_reward_for_several_agents_is_refused_by_the_word_reward() -> None:
    with pytest.raises(ValueError, match=r"gave reward=array\(\[1., 2.\]\) .*the shape \(2,\)"):
        rl.PPO("MlpPolicy", plain(reward=np.array([1.0, 2.0])), **FEW).learn(64)


# stable-baselines3#1647 too: an observation built of arrays of one element has another shape than its space.
def test_an_observation_of_arrays_of_one_element_is_refused_by_both_shapes() -> None:
    given = np.array([[86.03], [32.52], [0.06]])
    with pytest.raises(ValueError, match=r"an observation of shape \(3, 1\), its space has \(3,\)"):
        rl.PPO("MlpPolicy", plain(observation=given), **FEW).learn(64)


# stable-baselines3#2241, #2052, #1295, #1197, #913: the start of a Discrete space has no effect.
@pytest.mark.parametrize(("n", "start"), [(1, 2), (3, -1), (2, 10), (2, 2**30)])
@pytest.mark.parametrize("algo", [rl.PPO, rl.DQN])
def test_actions_begin_at_the_start_of_their_space(algo: Any, n: int, start: int) -> None:
    space = Discrete(n, start=start)
    env = plain(action_space=space)()
    model = algo("MlpPolicy", env, seed=0, **({"steps_per_iteration": 64} if algo is rl.DQN else {"n_steps": 64}))
    model.learn(64)
    assert set(env.actions) <= set(range(start, start + n)) and len(set(env.actions)) == n
    assert {int(model.predict(np.zeros(3))[0]) for _ in range(30)} <= set(range(start, start + n))


# The same reports, with a far start that no 32-bit action can name.
def test_a_start_beyond_32_bits_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"starts at 1099511627776: -2\*\*30 to 2\*\*30 are possible"):
        rl.PPO("MlpPolicy", plain(action_space=Discrete(2, start=2**40)), **FEW)


# ray#1862: Box low and high are not respected; ray#23074: outside of -1..1, a Box of int32; hill-a/stable-baselines#6, #104 and
# stable-baselines3#1972: out of bounds in A2C, after loading, and in a Box of float64 from 1 on.
@pytest.mark.parametrize(
    "space",
    [
        Box(0, 5, (2,)),
        Box(-1, 1, (100,), np.int32),
        Box(1.0, 4, (4,), np.float64),
        Box(-1, 1, (1,)),
        Box(0, 255, (2,), np.uint8),
    ],
    ids=str,
)
@pytest.mark.parametrize("algo", [rl.PPO, rl.A2C])
def test_actions_stay_in_their_space_in_training_and_after_loading(algo: Any, space: Any) -> None:
    env = plain(action_space=space)()
    model = algo("MlpPolicy", env, n_steps=64, log_std_init=2.0, seed=0)
    model.learn(128)
    assert len(env.actions) == 128 and all(space.contains(action) for action in env.actions)
    loaded = algo.load(model.to_bytes(), env)
    for deterministic in (True, False):
        action, _ = loaded.predict(np.array([1e3, -1e3, 1e3]), deterministic=deterministic)
        assert (action >= space.low).all() and (action <= space.high).all()


# stable-baselines3#1427: predict is given all that reset returns.
def test_what_reset_returns_as_a_whole_is_refused_with_the_way_out() -> None:
    model = rl.PPO("MlpPolicy", Plain, **FEW)
    for ask in (model.predict, model.compute_action, model.policy.logits):
        with pytest.raises(
            ValueError, match=r"a tuple of an observation and an info, as reset\(\) gives: take its first"
        ):
            ask(Plain().reset())


# stable-baselines3#296: discrete observations with several environments.
def test_discrete_observations_of_several_environments_are_learned_from() -> None:
    env = plain(observation_space=Discrete(4), observation=np.int64(3))
    model = rl.PPO("MlpPolicy", env, **FEW)
    model.learn(64)
    assert model.predict(3)[0] in (0, 1) and model.predict(np.array([3, 0]))[0].shape == (2,)


# stable-baselines3#1404: an instance whose spec was made up by hand; learn ran on and on.
def test_an_instance_with_a_spec_of_its_own_learns_the_steps_that_were_asked_for() -> None:
    env = plain(spec=EnvSpec("MyEnv-v0", entry_point=""))()
    model = rl.PPO("MlpPolicy", env, n_steps=16)
    assert model.learn(total_timesteps=1)["timesteps_total"] == 16 and model.evaluate(2)["mean"] == 6


# hill-a/stable-baselines#876, takuseno/d3rlpy#209, #260, stable-baselines3#284: an evaluation that never ends.
def test_an_evaluation_of_an_endless_task_ends() -> None:
    model = rl.PPO("MlpPolicy", plain(over=lambda over: False), **FEW)
    assert model.evaluate(5, max_steps=20)["unfinished"] == 5


# stable-baselines3#477: a time limit around what records episodes.
def test_a_time_limit_around_a_recorder_ends_episodes() -> None:
    env = gymnasium.wrappers.TimeLimit(gymnasium.wrappers.RecordEpisodeStatistics(plain(over=lambda over: False)()), 4)
    model = rl.PPO("MlpPolicy", env, n_steps=40)
    assert model.learn(40)["episode_len_mean"] == 4 and model.evaluate(3)["lengths"] == [4] * 3


# stable-baselines3#597, #785, #978, #1277: training that was loaded begins at zero, or trains longer than was asked.
def test_training_that_was_loaded_goes_on_by_as_many_steps_as_are_asked_for() -> None:
    model = rl.PPO("MlpPolicy", Plain, **FEW)
    model.learn(64)
    loaded = rl.PPO.load(model.to_bytes(), Plain)
    seen: list[int] = []
    loaded.learn(96, lambda result: seen.append(result["timesteps_total"]))
    assert seen == [96, 128, 160] and loaded.num_timesteps == 160


# stable-baselines3#735: another learning rate for a model that exists; HumanCompatibleAI/imitation#262: schedules and many learns.
def test_a_loaded_model_takes_another_learning_rate_and_a_schedule_runs_once_a_call() -> None:
    model = rl.PPO("MlpPolicy", Plain, learning_rate=1e-5, **FEW)
    assert rl.PPO.load(model.to_bytes(), Plain, learning_rate=5e-6).learn(32)["learning_rate"] == 5e-6
    falling = rl.PPO.load(model.to_bytes(), Plain, learning_rate=lambda left: 1e-3 * left)
    assert [falling.learn(64)["learning_rate"] for _ in range(3)] == [5e-4] * 3


# stable-baselines3#1151, AI4Finance-Foundation/FinRL#1005: make_vec_env(lambda: env).
def test_one_environment_as_several_is_refused_with_the_way_out() -> None:
    env = Plain()
    with pytest.raises(ValueError, match="the same environment for rows 0 and 1: return a new one at each call"):
        rl.A2C("MlpPolicy", lambda: env, n_envs=4)


# numpy#4676, openai/gym#2210, HorizonRobotics/alf#1481, stable-baselines3#1655: seeds of more than 32 bits fail or fall together.
@pytest.mark.parametrize("seed", [2**31, 2**32 + 1, 1 + 2**40, 2**64 - 1, np.uint64(2**63)])
def test_seeds_beyond_32_bits_are_taken_and_differ(seed: Any) -> None:
    class Legacy(Plain):
        def reset(self, *, seed: Any = None, options: Any = None) -> Any:
            self.random = np.random.RandomState(seed)  # refuses more than 32 bits
            np.int32(seed if seed is not None else 0)  # as C code does
            return super().reset(seed=seed)

    a = rl.PPO("MlpPolicy", Legacy, **{**FEW, "seed": seed})
    b = rl.PPO("MlpPolicy", Legacy, **{**FEW, "seed": int(seed) % 2**31})
    a.learn(32), b.learn(32)
    assert a.policy.to_bytes() != b.policy.to_bytes()


# stable-baselines3#1767: a model of gSDE acts the same each time though deterministic=False.
def test_a_model_of_gsde_draws_its_actions() -> None:
    model = rl.PPO(
        "MlpPolicy", "Pendulum-v1", use_sde=True, sde_sample_freq=4, policy_kwargs=dict(log_std_init=-3), **FEW
    )
    model.learn(64)
    assert len({float(model.predict(np.ones(3))[0][0]) for _ in range(10)}) == 10
    assert len({float(model.predict(np.ones(3), deterministic=True)[0][0]) for _ in range(10)}) == 1


# stable-baselines3#1593: log_std full of NaN with use_sde; hill-a/stable-baselines#36, #1143, ray#46442, isaac-sim/IsaacLab#1999:
# losses of inf and NaN go on into the weights.
@pytest.mark.parametrize("options", [{"use_sde": True}, {}])
def test_losses_that_are_not_finite_end_training_with_finite_weights(options: Any) -> None:
    env = plain(action_space=Box(-1, 1, (2,)), reward=1e30)
    model = rl.PPO("MlpPolicy", env, normalize_advantage=False, max_grad_norm=None, **FEW, **options)
    with pytest.raises(ValueError, match="gradient step 1 .*: the .* is (inf|nan|-inf)"):
        model.learn(64)
    action, _ = model.predict(np.zeros(3))
    assert np.isfinite(action).all()


# hill-a/stable-baselines#1189, araffin/rl-baselines-zoo#111, stable-baselines3#870: a model trained under VecNormalize answers
# nonsense when its statistics are not loaded too.
def test_a_model_carries_the_statistics_it_was_normalised_by() -> None:
    env = plain(observation_space=Box(-1e6, 1e6, (3,)), observation=np.array([1e5, 2e5, -3e5], np.float32))
    model = rl.PPO("MlpPolicy", env, normalize=True, **FEW)
    model.learn(128)
    row = np.array([1e5, 2e5, -3e5])
    np.testing.assert_array_equal(rl.Policy.load(model.to_bytes()).logits(row), model.policy.logits(row))
    assert not np.array_equal(model.policy.logits(row), model.policy.logits(row / 2))


# stable-baselines3#1739, #780, openai/gym#3138: a step of four values, as before Gymnasium.
def test_a_step_of_four_values_says_what_five_are_needed() -> None:
    class Old(Plain):
        def step(self, action: Any) -> Any:
            return np.zeros(3), 1.0, False, {}

    with pytest.raises(
        ValueError, match=r"a tuple of 4, not a tuple \(observation, reward, terminated, truncated, info\)"
    ):
        rl.PPO("MlpPolicy", Old, **FEW).learn(32)


def test_a_notebook_that_ends_with_a_model_prints_nothing_of_leaks() -> None:
    """Reported of extensions made with nanobind and pybind11: what a program holds when it ends is told as leaked to its user."""
    program = """
exec('''
import gymnasium, numpy as np
from daybreak import rl
class Own(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None): return np.zeros(1, np.float32), {}
    def step(self, action): return np.zeros(1, np.float32), 1.0, True, False, {}
model = rl.PPO(Own(), num_steps=16)
''', {})
"""
    for shown, environment in ((False, {}), (True, {"DAYBREAK_LEAK_WARNINGS": "1"})):
        done = subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True
        )
        assert done.returncode == 0 and ("leaked" in done.stderr) == shown, done.stderr
