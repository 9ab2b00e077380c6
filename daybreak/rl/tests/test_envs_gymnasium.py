"""Our environment in Gymnasium's registry, and Gymnasium's environments in our batches."""

import gc
import subprocess
import sys
import warnings
import weakref
from typing import ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from gymnasium.utils.env_checker import check_env

import daybreak.rl
from daybreak.rl import envs
from daybreak.rl.envs.gym_env import draw


def run(code):
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "imports",
    [
        "import daybreak.rl, gymnasium",
        "import gymnasium, daybreak.rl",
        "import gymnasium.envs.registration, daybreak.rl",
    ],
)
def test_gymnasium_makes_pong_after_import_in_either_order(imports):
    code = f"{imports}\nenv = gymnasium.make('daybreak/Pong-v0')\nprint(env.reset(seed=1)[0].shape, env.step(1)[1])"
    done = run(code)
    assert (done.returncode, done.stdout) == (0, "(8,) 1.0\n"), done.stderr


def test_import_of_rl_is_light():
    heavy = "gymnasium", "torch", "cloudpickle", "scipy_openblas32", "matplotlib", "PIL", "rich", "daybreak.demo"
    done = run(f"import sys, daybreak.rl\nprint([name for name in {heavy} if name in sys.modules])")
    assert done.stdout == "[]\n", done.stderr


def test_without_gymnasium_batches_step_and_spaces_say_what_is_missing():
    done = run(
        "import sys\nsys.modules['gymnasium'] = None\nimport daybreak.rl.envs as envs\n"
        "batch = envs.make_vec('CartPole-v1', 2)\nbatch.reset(seed=1)\nprint(batch.step([0, 1])[1])\n"
        "for touch in (lambda: batch.action_space, lambda: envs.make_vec('Acrobot-v1')):\n"
        "    try:\n        touch()\n    except ImportError as error:\n        print(error)\n"
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "[1. 1.]", done.stderr
    assert len(lines) == 3 and all("pip install 'daybreak[rl]'" in line for line in lines[1:])


@pytest.mark.parametrize("options", [{}, {"reward": "win"}])
def test_pong_passes_gymnasiums_checker(options):
    env = gymnasium.make("daybreak/Pong-v0", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*infinity.*")  # the space is unbounded, and that is the truth
        check_env(env.unwrapped)


def test_pong_plays_as_the_class_does_and_is_drawn():
    env, game = gymnasium.make("daybreak/Pong-v0", render_mode="rgb_array"), envs.Pong()
    assert np.array_equal(env.reset(seed=3)[0], game.reset(seed=3)[0])
    for step in range(200):
        mine, theirs = env.step(step % 3), game.step(step % 3)
        assert np.array_equal(mine[0], theirs[0]) and mine[1:] == theirs[1:]
        if mine[2]:
            env.reset(), game.reset()
    picture = env.render()
    assert picture.shape == (480, 640, 3) and picture.dtype == np.uint8
    assert np.array_equal(picture, draw(game.frame()))
    frame = game.frame()
    assert picture[round(frame["ball_y"]), round(frame["ball_x"])].tolist() == [255, 255, 255]
    assert picture[round(frame["agent_y"]) + 30, 5].tolist() == [255, 255, 255]
    assert picture[round(frame["opponent_y"]) + 30, 635].tolist() == [255, 255, 255]


def test_the_class_pong_is_an_environment_for_batches():
    native = envs.make_vec(envs.Pong, 2, reward="win")
    named = envs.make_vec("daybreak/Pong-v0", 2, reward="win")
    assert np.array_equal(native.reset(seed=1)[0], named.reset(seed=1)[0])
    assert native.save_state() == named.save_state()
    draws = np.random.default_rng(1).random
    in_python = envs.make_vec(envs.Pong, 1, uniform=draws)
    assert np.array_equal(in_python.reset()[0], named.reset(seed=1)[0][:1])
    with pytest.raises(ValueError, match="no options"):
        envs.Pong().reset(options={"speed": 2})


def test_gymnasium_makes_batches_of_pong():
    batch = gymnasium.make_vec("daybreak/Pong-v0", num_envs=3, reward="win")
    observations, _ = batch.reset(seed=1)
    assert observations.shape == (3, 8) and batch.observation_space.contains(observations)
    assert batch.step(batch.action_space.sample())[1].tolist() == [0, 0, 0]
    wrapped = gymnasium.wrappers.vector.RecordEpisodeStatistics(batch)
    wrapped.reset(seed=1)
    for _ in range(100):
        info = wrapped.step(np.zeros(3, int))[4]
    assert "episode" in info or info == {}


class Toy(gymnasium.Env):
    """Says what it is told to say."""

    observation_space: ClassVar = Box(-1, 1, (2, 2), np.float64)
    action_space: ClassVar = Box(-1, 1, (2,), np.float32)

    def __init__(self, **answers):
        self.answers, self.seen, self.t = answers, [], 0

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return self.answers.get("first", np.full((2, 2), 0.5)), {}

    def step(self, action):
        self.seen.append(action)
        self.t += 1
        if "raises" in self.answers:
            raise self.answers["raises"]
        if "tuple" in self.answers:
            return self.answers["tuple"]
        return (
            self.answers.get("observation", np.full((2, 2), 0.1 * self.t)),
            self.answers.get("reward", 1.0), self.answers.get("terminated", self.t == 3), False, {},
        )  # fmt: skip


def batch_of(space=None, action=None, **answers):
    made = type(
        "Made",
        (Toy,),
        {"observation_space": space or Toy.observation_space, "action_space": action or Toy.action_space},
    )
    return envs.make_vec(made, 2, autoreset_mode="same_step", **answers)


ACTIONS = np.array([[0.1, 0.2], [0.3, 0.4]], np.float32)


def test_box_observations_are_flattened_and_actions_have_the_shape_and_dtype_of_the_space():
    seen = []

    class Wide(Toy):
        action_space = Box(-1, 1, (1, 2), np.float64)

        def step(self, action):
            seen.append(action)
            return super().step(action)

    batch = envs.make_vec(Wide, 2, autoreset_mode="same_step")
    observations, _ = batch.reset(seed=0)
    assert observations.tolist() == [[0.5] * 4] * 2
    observations, rewards, terminated, _, _ = batch.step(ACTIONS)
    assert observations[0] == pytest.approx([0.1] * 4) and rewards.tolist() == [1, 1] and not terminated.any()
    assert [(a.shape, a.dtype) for a in seen] == [((1, 2), np.float64)] * 2
    assert seen[1].ravel() == pytest.approx([0.3, 0.4])
    batch.step(ACTIONS)
    observations, _, terminated, _, info = batch.step(ACTIONS)
    assert terminated.all() and observations.tolist() == [[0.5] * 4] * 2
    assert info["final_obs"][1] == pytest.approx([0.3] * 4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int8, np.int16, np.int32, np.int64])
def test_observations_of_every_dtype_arrive_as_float32(dtype):
    value = np.array([[1, 2], [3, 4]], dtype)
    batch = batch_of(Box(0, 9, (2, 2), dtype), first=value, observation=np.asfortranarray(value))
    assert batch.reset(seed=0)[0].tolist() == [[1, 2, 3, 4]] * 2
    assert batch.step(ACTIONS)[0].tolist() == [[1, 2, 3, 4]] * 2


def test_discrete_spaces_are_one_hot_and_keep_their_start():
    seen = []

    class Offset(Toy):
        observation_space = Discrete(4, start=-1)
        action_space = Discrete(3, start=5)

        def step(self, action):
            seen.append(action)
            return np.int64(2), 0.5, False, False, {}

    batch = envs.make_vec(Offset, 1, first=-1)
    assert batch.reset(seed=0)[0].tolist() == [[1, 0, 0, 0]]
    assert batch.step([7])[0].tolist() == [[0, 0, 0, 1]]
    assert seen == [7] and batch.single_action_space == Discrete(3, start=5)
    assert batch.single_observation_space == Box(0, 1, (4,), np.float32)
    for wrong in (2, 8, 2**40):
        batch.reset(seed=0)
        with pytest.raises(ValueError, match=r"action -?\d+ of environment 0 is not in 5\.\.7"):
            batch.step([wrong])


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
@pytest.mark.parametrize("id", ["FrozenLake-v1", "MountainCarContinuous-v0"])
def test_foreign_environments_step_as_in_gymnasiums_batch(id, mode):
    options = {"max_episode_steps": 40}
    ours = envs.make_vec(id, 3, autoreset_mode=mode, **options)
    theirs = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make(id, **options)] * 3, autoreset_mode=mode)

    def seen(observations):
        return np.eye(16, dtype=np.float32)[observations] if id == "FrozenLake-v1" else observations

    assert np.array_equal(ours.reset(seed=5)[0], seen(theirs.reset(seed=5)[0]))
    theirs.action_space.seed(0)
    ends = 0
    for _ in range(300):
        actions = theirs.action_space.sample()
        mine, other = ours.step(actions), theirs.step(actions)
        assert np.array_equal(mine[0], seen(other[0]))
        for a, b in zip(mine[1:4], other[1:4], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)
        over = mine[2] | mine[3]
        ends += over.sum()
        if mode == "SameStep" and over.any():
            row = int(np.argmax(over))
            assert np.array_equal(mine[4]["final_obs"][row], seen(other[4]["final_obs"][row]))
        if mode == "Disabled" and over.any():
            mask = {"reset_mask": over}
            assert np.array_equal(ours.reset(options=dict(mask))[0], seen(theirs.reset(options=dict(mask))[0]))
    assert ends >= 18


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"space": Dict({"x": Discrete(2)})}, r"observation space Dict\('x': Discrete\(2\)\) is not supported"),
        ({"action": MultiDiscrete([2, 3])}, r"action space MultiDiscrete\(\[2 3\]\) is not supported"),
    ],
)
def test_other_spaces_are_named(kwargs, words):
    with pytest.raises(ValueError, match=words):
        batch_of(**kwargs)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"reward": float("nan")}, "environment 0 gave the reward nan"),
        ({"reward": float("inf")}, "environment 0 gave the reward inf"),
        ({"observation": np.array([[0, 0], [0, np.nan]])}, "environment 0 gave an observation that is nan at index 3"),
        ({"observation": np.zeros(4)}, r"shape \(4,\), its space has \(2, 2\)"),
        ({"observation": None}, r"shape \(\), its space has \(2, 2\)"),
        ({"tuple": (np.zeros((2, 2)), 1.0, False, {})}, "a tuple of 4, not a tuple"),
        ({"tuple": None}, "NoneType, not a tuple"),
        ({"reward": "much"}, r"step of environment 0 gave reward='much' \(a str\) is no number"),
    ],
)
def test_bad_answers_name_environment_and_value(answers, words):
    batch = batch_of(**answers)
    batch.reset(seed=0)
    with pytest.raises(Exception, match=words) as caught:
        batch.step(ACTIONS)
    assert isinstance(caught.value, daybreak.base.errors.Error)
    with pytest.raises(RuntimeError, match="call reset"):
        batch.step(ACTIONS)
    batch.reset(seed=0)  # and it can go on


def test_an_exception_of_the_environment_is_itself_and_says_where_it_was():
    problem = ZeroDivisionError("in the physics")
    batch = batch_of(raises=problem)
    batch.reset(seed=0)
    with pytest.raises(ZeroDivisionError) as caught:
        batch.step(ACTIONS)
    assert caught.value is problem and caught.traceback[-1].name == "step"
    assert problem.__notes__ == ["step of environment 0 raised ZeroDivisionError: in the physics"]


def test_an_interrupt_stays_an_interrupt():
    batch = batch_of(raises=KeyboardInterrupt())
    batch.reset(seed=0)
    with pytest.raises(KeyboardInterrupt):
        batch.step(ACTIONS)


def test_an_environment_that_knows_its_batch_is_collected_with_it():
    toy = Toy()
    toy.batch = envs.make_vec(toy, 1)
    seen = weakref.ref(toy)
    del toy
    gc.collect()
    assert seen() is None


def test_what_makes_an_environment():
    assert envs.make_vec(Toy(), 1).reset()[0].shape == (1, 4)
    assert envs.make_vec(lambda: Toy(), 3).reset()[0].shape == (3, 4)
    assert envs.make_vec("Acrobot-v1", 2).reset(seed=1)[0].shape == (2, 6)
    with pytest.raises(ValueError, match="num_envs=2: give a function"):
        envs.make_vec(Toy(), 2)
    with pytest.raises(TypeError, match="no reset and step"):
        envs.make_vec(lambda: 3)
    with pytest.raises(TypeError, match="not int"):
        envs.make_vec(3)
    with pytest.raises(LookupError, match="no environment 'Nothing-v0'"):
        envs.make_vec("Nothing-v0")
    differing = iter([Discrete(2), Discrete(3)])
    with pytest.raises(
        ValueError, match=r"action_space of environment 1 is Discrete\(3\), that of environment 0 is Discrete\(2\)"
    ):
        envs.make_vec(lambda: type("T", (Toy,), {"action_space": next(differing)})(), 2)


def test_environments_in_python_cannot_be_put_back():
    batch = envs.make_vec(Toy, 1)
    with pytest.raises(NotImplementedError, match="reset them"):
        batch.load_state(batch.save_state())
