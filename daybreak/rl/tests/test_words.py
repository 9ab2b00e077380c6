"""What users of Stable-Baselines3, its Zoo, RLlib and Gymnasium type first: taken, or refused with what to write instead."""

import pathlib
import signal
import subprocess
import sys
import threading
import time
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete

from daybreak import rl

FEW: dict[str, Any] = dict(n_envs=2, n_steps=16, batch_size=16, n_epochs=1, seed=0)


class Endless(gymnasium.Env[Any, Any]):
    """Never ends."""

    observation_space: Any = Box(-1, 1, (2,), np.float32)
    action_space: Any = Discrete(2)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.observation_space.sample() * 0, {}

    def step(self, action: Any) -> Any:
        return self.observation_space.sample() * 0, 1.0, False, False, {}


class Tanh:
    """As torch.nn.Tanh: known by its name."""


class ReLU:
    """As torch.nn.ReLU."""


class GELU:
    """As torch.nn.GELU."""


def test_ppo_is_made_as_in_stable_baselines3() -> None:
    env = gymnasium.make("CartPole-v1")
    model = rl.PPO(
        "MlpPolicy",
        env,
        learning_rate=1e-3,
        n_steps=64,
        batch_size=32,
        n_epochs=2,
        gamma=0.98,
        gae_lambda=0.8,
        clip_range=0.1,
        clip_range_vf=None,
        normalize_advantage=True,
        ent_coef=0.01,
        vf_coef=0.25,
        max_grad_norm=None,
        target_kl=None,
        stats_window_size=100,
        tensorboard_log=None,
        policy_kwargs=dict(net_arch=dict(pi=[32], vf=[32]), activation_fn=ReLU, ortho_init=True, log_std_init=-1),
        verbose=0,
        seed=None,
        device="auto",
        rollout_buffer_class=None,
        _init_setup_model=True,
    )
    expected = dict(
        lr=1e-3, num_steps=64, minibatch_size=32, num_epochs=2, gamma=0.98, gae_lambda=0.8, clip=0.1, value_clip=0
    )
    expected |= dict(
        entropy_coef=0.01, value_coef=0.25, max_grad_norm=0, target_kl=0, hidden=[32], activation="relu", num_envs=1
    )
    expected |= dict(init="orthogonal", log_std_init=-1)
    assert {name: model.config[name] for name in expected} == expected
    assert model.learn(128)["timesteps_total"] == 128
    action, state = model.predict(env.reset(seed=0)[0], deterministic=True)
    assert state is None and env.step(action)[0].shape == (4,)
    assert model.num_timesteps == 128


@pytest.mark.parametrize(
    ("args", "options"),
    [
        (("MlpPolicy", "CartPole-v1"), {}),
        ((), {"policy": "MlpPolicy", "env": "CartPole-v1"}),
        (("MlpPolicy",), {"env": "CartPole-v1"}),
    ]
    + [((), {"env": "CartPole-v1"}), (("CartPole-v1",), {"policy": "MlpPolicy"})],
)
@pytest.mark.parametrize("algo", [rl.PPO, rl.A2C, rl.DQN])
def test_policy_and_environment_are_named_in_every_way(algo: Any, args: Any, options: Any) -> None:
    assert algo(*args, **options).config["env"] == "CartPole-v1"


@pytest.mark.parametrize(
    ("args", "options", "says"),
    [
        (("MlpPolicy",), {}, r"PPO\('MlpPolicy'\) without an environment"),
        (("CnnPolicy", "CartPole-v1"), {}, "policy='CnnPolicy' is not understood: nets are MLPs"),
        (("MlpLstmPolicy", "CartPole-v1"), {}, "policy='MlpLstmPolicy'"),
        ((type("ActorCriticPolicy", (), {}), "CartPole-v1"), {}, "policy='ActorCriticPolicy'"),
        (("MlpPolicy", "CartPole-v1", 3e-4), {}, "argument=0.0003 is not understood: PPO.env, option=value"),
        (("CartPole-v1",), {"env": "CartPole-v1"}, "argument="),
        ((), {"device": "cuda"}, "device='cuda' is not understood: training runs on the CPU"),
        ((), {"tensorboard_log": "logs"}, "on_result=run.log"),
        ((), {"n_timesteps": 1e5}, r"give it to learn\(n_timesteps\)"),
        ((), {"train_batch_size": 4000}, "num_envs \\* num_steps"),
        ((), {"policy_kwargs": "dict(net_arch=[64])"}, "give a dict, such as"),
        ((), {"policy_kwargs": {"net_arch": {"pi": [64], "vf": [32]}}}, "the same hidden layers"),
        ((), {"policy_kwargs": {"activation_fn": GELU}}, "activations are 'tanh' and 'relu'"),
        ((), {"policy_kwargs": {"features_extractor_class": object}}, "MLPs over flattened"),
        ((), {"policy_kwargs": {"nets": 1}}, "unknown option 'nets'"),
        ((), {"exploration_fraction": 0.1}, "explores by its own distribution"),
        ((), {"train_freq": 4}, "after every num_steps steps"),
        ((), {"frame_stack": 4}, "FrameStackObservation"),
        ((), {"env_wrapper": "x"}, "a function that makes the wrapped environment"),
        ((), {"clip_rang": 0.1}, "unknown option 'clip_rang', did you mean 'clip_range'"),
        ((), {"clip_range": 0.1, "clip": 0.2}, "given twice"),
        ((), {"learning_rate": "lin_fast"}, "lin_0.001 falls"),
        ((), {"learning_rate": lambda p: float("nan")}, r"learning_rate\(1.0\)=nan"),
    ],
)
def test_what_is_not_taken_is_refused_with_the_way_out(args: Any, options: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        rl.PPO(*args, **options)


def test_dqn_is_made_as_in_stable_baselines3() -> None:
    model = rl.DQN(
        "MlpPolicy",
        "CartPole-v1",
        learning_rate=2.3e-3,
        buffer_size=1000,
        learning_starts=64,
        batch_size=16,
        tau=1.0,
        gamma=0.99,
        train_freq=(8, "step"),
        gradient_steps=-1,
        replay_buffer_class=None,
        optimize_memory_usage=False,
        n_steps=3,
        target_update_interval=10,
        exploration_fraction=0.25,
        exploration_initial_eps=1.0,
        exploration_final_eps=0.04,
        max_grad_norm=10,
        policy_kwargs=dict(net_arch=[16]),
        steps_per_iteration=8,
    )
    config = model.config
    assert (config["train_freq"], config["gradient_steps"], config["n_step"], config["hidden"]) == (8, 8, 3, [16])
    result = model.learn(400)
    assert model.config["exploration_timesteps"] == 100 and result["gradient_steps"] == 8
    with pytest.raises(ValueError, match="rounds of learning do not wait for episodes"):
        rl.DQN("MlpPolicy", "CartPole-v1", train_freq=(1, "episode"))
    with pytest.raises(ValueError, match="optimize_memory_usage"):
        rl.DQN("MlpPolicy", "CartPole-v1", optimize_memory_usage=True)
    assert rl.DQN(train_batch_size=8).config["batch_size"] == 8


def test_schedules_that_are_functions_of_what_remains_fall_over_each_call_of_learn() -> None:
    asked: list[float] = []

    def rate(remaining: float) -> float:
        asked.append(remaining)
        return 1e-3 * remaining

    rates: list[float] = []
    model = rl.PPO("MlpPolicy", "CartPole-v1", learning_rate=rate, clip_range=lambda p: 0.1 + 0.1 * p, **FEW)
    model.learn(128, lambda result: rates.append(result["learning_rate"]))
    assert asked == [1.0, 1.0, 0.75, 0.5, 0.25] and rates == [1e-3, 7.5e-4, 5e-4, 2.5e-4]
    assert model.learn(32)["learning_rate"] == 1e-3 and model.config["clip"] == 0.2
    assert rl.PPO("CartPole-v1", learning_rate="lin_0.01", **FEW).learn(64)["learning_rate"] == 0.005
    assert (
        rl.DQN("CartPole-v1", learning_rate=rate, learning_starts=8, steps_per_iteration=8).learn(32)["learning_rate"]
        == 2.5e-4
    )


@pytest.mark.parametrize("algo", [rl.PPO, rl.A2C, rl.PG, rl.DQN])
def test_a_second_learn_trains_as_many_steps_again(algo: Any) -> None:
    model = algo("CartPole-v1", **({"steps_per_iteration": 32} if algo is rl.DQN else {"num_envs": 2, "num_steps": 16}))
    for total in (64, 128, 192):
        assert model.learn(64)["timesteps_total"] == total == model.timesteps
    assert model.learn(1e1)["timesteps_total"] == 224
    for wrong in (0, -5, 0.5, "10", None, True):
        with pytest.raises(ValueError, match="total_timesteps="):
            model.learn(wrong)


def test_a_trainer_of_recorded_rows_learns_again_too() -> None:
    rows = np.zeros((20, 4), np.float32)
    model = rl.BC("CartPole-v1", rows, np.zeros(20, int))
    assert model.learn(18)["timesteps_total"] == 18 and model.learn(18)["timesteps_total"] == 36


def test_a_callback_is_called_each_iteration_and_ends_learning_by_false() -> None:
    seen: list[int] = []

    def callback(result: dict[str, Any]) -> bool:
        seen.append(result["timesteps_total"])
        return len(seen) < 3

    model = rl.PPO("MlpPolicy", "CartPole-v1", **FEW)
    assert model.learn(10_000, callback=callback)["timesteps_total"] == 96 and seen == [32, 64, 96]
    calls: list[int] = []
    model.learn(64, lambda result: calls.append(1))  # None goes on
    assert len(calls) == 2
    for wrong in (type("BaseCallback", (), {"init_callback": 1, "__call__": 1})(), [1], "print"):
        with pytest.raises(ValueError, match="callback=.*a function of an iteration's result"):
            model.learn(32, wrong)
    for option in ({"progress_bar": True}, {"reset_num_timesteps": True}, {"tb_log_name": "x"}):
        with pytest.raises(ValueError, match=next(iter(option))):
            model.learn(32, **option)


def test_verbose_prints_a_line_every_log_interval(capsys: Any) -> None:
    rl.PPO("MlpPolicy", "CartPole-v1", verbose=1, **FEW).learn(128, log_interval=2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[0].startswith("step 64: mean reward ") and lines[1].endswith(" steps/s")


def test_a_result_that_is_taken_for_the_model_says_what_to_do() -> None:
    model = rl.PPO("MlpPolicy", "CartPole-v1", **FEW).learn(32)
    with pytest.raises(AttributeError, match=r"a result has no 'predict', the trainer has: .*trainer = PPO"):
        model.predict([0, 0, 0, 0])
    with pytest.raises(AttributeError, match="a result has no attribute 'x'"):
        _ = model.x


def test_predict_answers_one_observation_and_a_batch_of_them() -> None:
    model = rl.PPO("MlpPolicy", "CartPole-v1", **FEW)
    one, _ = model.predict([0.0, 0, 0, 0])
    assert isinstance(one, np.int64) and one.item() in (0, 1)
    for rows in (1, 3):
        many, state = model.predict(np.zeros((rows, 4)), None, np.ones(rows), True)
        assert many.shape == (rows,) and many.dtype == np.int64 and state is None
    with pytest.raises(ValueError, match="no recurrent policy"):
        model.predict([0, 0, 0, 0], state=(1,))
    box = rl.PPO("MlpPolicy", "Pendulum-v1", **FEW)
    assert box.predict(np.zeros(3))[0].shape == (1,) and box.policy.predict(np.zeros((2, 3)))[0].shape == (2, 1)
    lake = rl.PPO("MlpPolicy", "FrozenLake-v1", **FEW)
    assert (
        lake.predict(3)[0].shape == ()
        and lake.predict(np.array([3, 4]))[0].shape == (2,)
        and lake.predict(np.array([3]))[0].shape == (1,)
    )


@pytest.mark.parametrize("algo", [rl.PPO, rl.A2C, rl.DQN])
def test_a_model_is_loaded_as_in_stable_baselines3_and_goes_on(algo: Any, tmp_path: pathlib.Path) -> None:
    options = {"steps_per_iteration": 64, "learning_starts": 10} if algo is rl.DQN else FEW
    model = algo("MlpPolicy", "CartPole-v1", **options)
    model.learn(64)
    model.save(tmp_path / "model")
    loaded = algo.load(tmp_path / "model")
    assert loaded.timesteps == 64 and loaded.config == model.config
    assert loaded.predict([0.1, 0, 0, 0], deterministic=True) == model.predict([0.1, 0, 0, 0], deterministic=True)
    loaded.learn(64), model.learn(64)
    assert loaded.to_bytes() == model.to_bytes()
    other = algo.load(
        str(tmp_path / "model"),
        env="CartPole-v1",
        learning_rate=1.0,
    )
    assert other.config["lr"] == 1.0 and other.timesteps == 64
    wrong = rl.PPO if algo is not rl.PPO else rl.A2C
    with pytest.raises(ValueError, match=f"the checkpoint is of '{algo.algo}', .*use {algo.__name__}.load"):
        wrong.load(tmp_path / "model")
    wrapped = algo(
        "MlpPolicy",
        gymnasium.wrappers.TimeLimit(gymnasium.make("CartPole-v1"), 9),
        **{**options, **({} if algo is rl.DQN else {"n_envs": 1})},
    )
    with pytest.raises(
        ValueError, match=r"trained in 'TimeLimit', which is no id of an environment: give it, \w+.load\(path, env\)"
    ):
        algo.load(wrapped.to_bytes())
    assert algo.load(wrapped.to_bytes(), gymnasium.make("CartPole-v1")).timesteps == 0
    assert algo("MlpPolicy", gymnasium.make("CartPole-v1")).config["env"] == "CartPole-v1"
    with pytest.raises(ValueError, match="no checkpoint of a trainer"):
        algo.load(model.policy.to_bytes())
    with pytest.raises(ValueError, match="Stable-Baselines3"):
        algo.load(b"PK\x03\x04 and so on")
    with pytest.raises(ValueError, match="recorded rows"):
        rl.BC.load(tmp_path / "model")


def test_evaluate_of_an_environment_that_never_ends_takes_a_limit_and_has_one() -> None:
    model = rl.PPO("MlpPolicy", Endless, **FEW)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = model.evaluate(3, max_steps=50)
    assert result["lengths"] == [50] * 3 and result["unfinished"] == 3 and result["mean"] == 50
    with pytest.raises(ValueError, match="max_steps=0"):
        model.evaluate(3, max_steps=0)
    assert rl.PPO("CartPole-v1", **FEW).evaluate(3)["unfinished"] == 0


def test_the_limit_that_nobody_gave_is_said() -> None:
    answer = np.zeros(2, np.float32), 1.0, False, False, {}

    class Long(Endless):
        def reset(self, *, seed: Any = None, options: Any = None) -> Any:
            return np.zeros(2, np.float32), {}

        def step(self, action: Any) -> Any:
            return answer

    model = rl.PPO(Long, **FEW)
    with pytest.warns(RuntimeWarning, match="1 of 1 episodes had not ended after 100,000 steps .* give max_steps="):
        assert model.evaluate(1)["mean"] == 100_000


def test_evaluation_is_interrupted_by_ctrl_c() -> None:
    model = rl.PPO("CartPole-v1", env_options={"max_episode_steps": 10**9}, **FEW)
    model.learn(20_000)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        timer = threading.Timer(0.3, signal.raise_signal, (signal.SIGINT,))
        timer.start()
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            model.evaluate(2**31 - 1, max_steps=2**40)
        assert time.monotonic() - begun < 20
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)


def test_an_environment_that_exists_is_trained_in_and_evaluated() -> None:
    env = gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.wrappers.TimeLimit(Endless(), 7))
    model = rl.PPO("MlpPolicy", env, n_steps=20, batch_size=10)
    assert model.config["num_envs"] == 1
    model.learn(40)
    assert list(env.length_queue) == [7] * 5
    assert model.evaluate(3)["lengths"] == [7] * 3
    assert model.learn(20)["episode_len_mean"] == 7  # a new episode began after the evaluation
    with pytest.raises(ValueError, match="one environment was given for num_envs=4: give a function"):
        rl.PPO("MlpPolicy", env, n_envs=4)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda env: gymnasium.wrappers.TimeLimit(env, 30),
        gymnasium.wrappers.RecordEpisodeStatistics,
        gymnasium.wrappers.NormalizeObservation,
        gymnasium.wrappers.NormalizeReward,
        lambda env: gymnasium.wrappers.TransformReward(env, lambda r: np.float32(r)),
        lambda env: gymnasium.wrappers.FrameStackObservation(env, 3),
        lambda env: gymnasium.wrappers.FlattenObservation(gymnasium.wrappers.TimeAwareObservation(env, flatten=False)),
    ],
)
def test_gymnasiums_wrappers_are_trained_in(wrap: Any) -> None:
    model = rl.PPO("MlpPolicy", lambda: wrap(gymnasium.make("CartPole-v1")), **FEW)
    assert model.learn(128)["episodes_total"] > 0
    assert model.evaluate(2)["mean"] > 0
    assert rl.PPO("MlpPolicy", wrap(gymnasium.make("CartPole-v1")), n_steps=64).learn(64)["episodes_total"] > 0


def test_a_vector_environment_of_gymnasium_is_a_recipe() -> None:
    for options in ({"vectorization_mode": "sync"}, {"vectorization_mode": "async"}, {}):
        env = gymnasium.make_vec("CartPole-v1", num_envs=3, max_episode_steps=9, **options)
        model = rl.PPO("MlpPolicy", env, n_steps=16, batch_size=16)
        env.close()
        assert model.config["num_envs"] == 3 and model.learn(96)["episode_len_mean"] == pytest.approx(9, abs=0.6)
        assert max(model.evaluate(4)["lengths"]) == 9
    pong = gymnasium.make_vec("daybreak/Pong-v0", num_envs=2, reward="win")
    assert rl.PPO("MlpPolicy", pong, n_steps=16).learn(32)["timesteps_total"] == 32
    with pytest.raises(ValueError, match="wraps a batch; wrap one environment in a function"):
        rl.PPO(gymnasium.wrappers.vector.RecordEpisodeStatistics(gymnasium.make_vec("CartPole-v1", num_envs=2)))
    with pytest.raises(ValueError, match="DummyVecEnv is not Gymnasium's; give an id"):
        rl.PPO("MlpPolicy", type("DummyVecEnv", (), {"num_envs": 2, "reset": 1, "step": 1})())


def test_image_observations_in_an_mlp_warn() -> None:
    class Image(Endless):
        observation_space = Box(0, 255, (6, 6, 3), np.uint8)

    with pytest.warns(UserWarning, match=r"observations of shape \(6, 6, 3\) look like images"):
        rl.PPO("MlpPolicy", Image, **FEW)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rl.PPO("MlpPolicy", Endless, **FEW)


@pytest.mark.parametrize("space", [Dict(a=Discrete(2)), MultiBinary(3), MultiDiscrete([2, 3])])
def test_other_spaces_are_refused_with_the_wrapper_that_helps(space: Any) -> None:
    class Other(Endless):
        observation_space = space

    with pytest.raises(ValueError, match="is not supported: .*gymnasium.wrappers.FlattenObservation"):
        rl.PPO("MlpPolicy", Other, **FEW)


MAIN = """
import gymnasium, numpy as np
from daybreak import rl

class Mine(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    def __init__(self, length=4):
        self.length = length
    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return np.zeros(2, np.float32), {}
    def step(self, action):
        self.steps += 1
        return np.zeros(2, np.float32), 1.0, self.steps == self.length, False, {}

if __name__ == "__main__":
    gymnasium.register("Mine-v0", Mine)
    gymnasium.register("Text-v0", "__main__:Mine", kwargs={"length": 5})
    gymnasium.register("Limit-v0", lambda: Mine(10**9), max_episode_steps=3)
    import functools
    for env, options in [("Mine-v0", {}), ("Text-v0", {}), ("Limit-v0", {}), ("Mine-v0", {"length": 6}), (Mine, {}),
                         (functools.partial(gymnasium.make, "Text-v0"), {}),
                         (lambda: gymnasium.wrappers.TimeLimit(gymnasium.make("Mine-v0"), 2), {})]:
        model = rl.PPO(env, num_workers=2, num_envs=2, num_steps=30, minibatch_size=30, env_options=options)
        print(int(model.learn(60)["episode_len_mean"]), end=" ", flush=True)
        model.stop()
"""


def test_environments_registered_in_main_are_known_to_rollout_workers(tmp_path: pathlib.Path) -> None:
    script = tmp_path / "main.py"
    script.write_text(MAIN)
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, cwd=pathlib.Path(rl.__file__).parents[2]
    )
    assert done.stdout.split() == ["4", "5", "3", "6", "4", "5", "2"], done.stderr[-2000:]
