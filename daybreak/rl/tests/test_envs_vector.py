"""Batches against Gymnasium's own SyncVectorEnv: same seeds, same actions, same numbers."""

import gc
import math

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import daybreak.base.errors as errors
from daybreak.rl import envs

MODES = ["NextStep", "SameStep", "Disabled"]


def _numpy_takes_libms_sine() -> bool:
    """numpy has vector kernels of its own for some processors, whose last bits differ from libm's (and so from ours)."""
    angles = np.random.default_rng(0).uniform(-0.3, 0.3, 20000)
    return all(np.sin(x) == math.sin(x) and np.cos(x) == math.cos(x) for x in angles)


EXACT = _numpy_takes_libms_sine()


def assert_same(ours, theirs, where):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    same = np.array_equal(ours, theirs) if EXACT else np.allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    assert same, f"{where}: {ours} {theirs}"


def pair(id, num_envs, mode, **options):
    ours = envs.make_vec(id, num_envs, autoreset_mode=mode, **options)
    theirs = SyncVectorEnv([lambda: gymnasium.make(id, **options)] * num_envs, autoreset_mode=mode)
    return ours, theirs


def random_actions(rng, id, num_envs):
    if id == "CartPole-v1":
        return rng.integers(0, 2, num_envs)
    return rng.uniform(-2.5, 2.5, (num_envs, 1)).astype(np.float32)


def assert_same_infos(ours, theirs, where):
    assert ours.keys() == theirs.keys(), where
    for key in ours:
        if key == "final_obs":
            assert ours[key].dtype == object
            for mine, other in zip(ours[key], theirs[key], strict=True):
                assert (mine is None) == (other is None)
                if mine is not None:
                    assert_same(mine, other, where)
        else:
            assert np.array_equal(ours[key], theirs[key]), where


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("id", ["CartPole-v1", "Pendulum-v1"])
def test_a_batch_is_gymnasiums_batch(id, mode):
    num_envs, rng = 6, np.random.default_rng(3)
    ours, theirs = pair(id, num_envs, mode)
    assert_same(ours.reset(seed=42)[0], theirs.reset(seed=42)[0], "reset")
    ends = 0
    for step in range(1500):
        actions = random_actions(rng, id, num_envs)
        mine, other = ours.step(actions), theirs.step(actions)
        assert_same(mine[0], other[0], f"observations of step {step}")
        np.testing.assert_allclose(
            mine[1], other[1], rtol=2e-7, err_msg=f"rewards of step {step}"
        )  # theirs are float64
        assert np.array_equal(mine[2], other[2]) and np.array_equal(mine[3], other[3]), step
        assert_same_infos(mine[4], other[4], f"infos of step {step}")
        assert [a.dtype for a in mine[:4]] == [np.float32, np.float32, np.bool_, np.bool_]
        over = mine[2] | mine[3]
        ends += over.sum()
        if mode == "Disabled" and over.any():
            mask = over.copy()
            assert_same(
                ours.reset(options={"reset_mask": mask})[0],
                theirs.reset(options={"reset_mask": mask})[0],
                "masked reset",
            )
    assert ends >= 42  # of Pendulum's 200 steps: 6 rows, 7 episodes


@pytest.mark.parametrize("id", ["CartPole-v1", "Pendulum-v1"])
def test_float64_states_are_gymnasiums(id):
    ours, theirs = pair(id, 4, "SameStep")
    ours.reset(seed=9), theirs.reset(seed=9)
    rng = np.random.default_rng(1)
    for step in range(1000):
        actions = random_actions(rng, id, 4)
        ours.step(actions), theirs.step(actions)
        for row in range(4):
            state, expected = ours.state(row), theirs.envs[row].unwrapped.state
            if EXACT:
                assert state == tuple(expected), f"step {step} row {row}"
            else:
                assert state == pytest.approx(tuple(expected), rel=1e-9, abs=1e-12)


def test_cartpole_from_injected_states_is_gymnasiums():
    rng = np.random.default_rng(5)
    reference = gymnasium.make("CartPole-v1").unwrapped
    ours = envs.make_vec("CartPole-v1", 1, autoreset_mode="disabled")
    reference.reset()
    for _ in range(3000):
        state = rng.uniform(-1, 1, 4) * [2.4, 3, 0.25, 3]
        action = rng.integers(0, 2)
        ours.set_state(0, state.tolist())
        reference.state, reference.steps_beyond_terminated = state, None
        observations, rewards, terminated, _, _ = ours.step([action])
        expected, reward, over, _, _ = reference.step(action)
        if EXACT:
            assert ours.state(0) == tuple(reference.state), state
        else:
            assert ours.state(0) == pytest.approx(tuple(reference.state), rel=1e-13, abs=1e-15)
        assert (rewards[0], terminated[0]) == (reward, over)
        assert observations.shape == (1, 4)


def test_cartpole_that_stands_is_truncated_after_500_steps():
    batch = envs.make_vec("CartPole-v1", 3, autoreset_mode="same_step")
    observations, _ = batch.reset(seed=0)
    for step in range(1, 1001):
        push = observations @ [0.1, 0.3, 3, 1] > 0  # stands for good
        observations, rewards, terminated, truncated, _ = batch.step(push.astype(int))
        assert not terminated.any() and (rewards == 1).all()
        assert truncated.tolist() == [step % 500 == 0] * 3


def test_seeds_may_be_a_list_and_none_goes_on():
    ours, theirs = pair("CartPole-v1", 3, "NextStep")
    assert_same(ours.reset(seed=[5, 1, 2**40])[0], theirs.reset(seed=[5, 1, 2**40])[0], "list")
    assert_same(ours.reset()[0], theirs.reset()[0], "goes on")
    unseeded = [envs.make_vec("CartPole-v1", 1).reset()[0].tobytes() for _ in range(4)]
    assert len(set(unseeded)) == 4


def test_spaces_and_metadata_are_gymnasiums():
    for id in ["CartPole-v1", "Pendulum-v1"]:
        for mode in MODES:
            ours, theirs = pair(id, 2, mode)
            for name in ["single_observation_space", "single_action_space", "observation_space", "action_space"]:
                assert getattr(ours, name) == getattr(theirs, name), name
            assert ours.metadata["autoreset_mode"] is theirs.metadata["autoreset_mode"] is AutoresetMode(mode)
            assert ours.num_envs == 2 and ours.render_mode is None


@pytest.mark.parametrize("mode", ["next_step", "NextStep", AutoresetMode.NEXT_STEP])
def test_modes_have_three_spellings(mode):
    assert envs.make_vec("CartPole-v1", autoreset_mode=mode).metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP


def test_copies_are_fresh_and_views_are_the_same_arrays():
    batch = envs.make_vec("CartPole-v1", 4)
    kept, _ = batch.reset(seed=0)
    before = kept.copy()
    first = batch.step([0, 1, 0, 1])
    second = batch.step([0, 1, 0, 1])
    assert np.array_equal(kept, before) and not np.array_equal(first[0], second[0])
    views = envs.make_vec("CartPole-v1", 4, copy=False)
    start, _ = views.reset(seed=0)
    third = views.step([0, 1, 0, 1])
    assert third[0] is start and np.array_equal(third[0], first[0])
    assert all(a is b for a, b in zip(third[:4], views.step([0, 1, 0, 1])[:4], strict=True))
    assert np.array_equal(third[0], second[0])
    del views, third
    gc.collect()
    assert np.array_equal(start, second[0])  # the arrays outlive the batch


def test_actions_of_every_integer_type_and_layout_are_the_same_actions():
    actions = np.array([0, 1, 1, 0])
    wide = np.zeros((4, 3), np.int64)
    wide[:, 1] = actions
    variants = [actions.astype(t) for t in ["int8", "uint8", "int16", "int32", "int64", "uint32", "uint64"]]
    variants += [actions.tolist(), tuple(actions.tolist()), wide[:, 1], actions.astype(">i4")]
    results = set()
    for variant in variants:
        batch = envs.make_vec("CartPole-v1", 4)
        batch.reset(seed=0)
        results.add(batch.step(variant)[0].tobytes())
    assert len(results) == 1
    torques = np.array([[0.5], [-1.0]])
    results = set()
    for variant in [torques, torques.astype(np.float32), torques.tolist(), np.asfortranarray(torques)]:
        batch = envs.make_vec("Pendulum-v1", 2)
        batch.reset(seed=0)
        results.add(batch.step(variant)[0].tobytes())
    assert len(results) == 1


@pytest.mark.parametrize(
    ("id", "actions", "words"),
    [
        ("CartPole-v1", [0, 2], "action 2 of environment 1 is not in 0..1"),
        ("CartPole-v1", [-1, 0], "environment 0"),
        ("CartPole-v1", np.array([0, 2**32]), "environment 1"),
        ("CartPole-v1", [0, 1, 0], r"shape \(2,\)"),
        ("CartPole-v1", np.array([0.0, 1.0]), "integers"),
        ("CartPole-v1", 1, r"shape \(2,\)"),
        ("Pendulum-v1", np.zeros((2, 2), np.float32), r"shape \(2, 1\)"),
        ("Pendulum-v1", np.array([[0.0], [np.nan]]), "environment 1 is NaN"),
    ],
)
def test_wrong_actions_are_named_and_change_nothing(id, actions, words):
    batch = envs.make_vec(id, 2)
    batch.reset(seed=0)
    before = batch.save_state()
    with pytest.raises(ValueError, match=words):
        batch.step(actions)
    assert batch.save_state() == before


def test_misuse_is_named():
    with pytest.raises(LookupError, match="CartPole-v1 Pendulum-v1 daybreak/Pong-v0"):
        envs.make_vec("CartPole-v99")
    with pytest.raises(errors.InvalidArgumentError, match="no option 'gravity': it has max_episode_steps"):
        envs.make_vec("CartPole-v1", gravity=3)
    with pytest.raises(ValueError, match="num_envs=0"):
        envs.make_vec("CartPole-v1", 0)
    with pytest.raises(ValueError, match="autoreset_mode='sometimes'"):
        envs.make_vec("CartPole-v1", autoreset_mode="sometimes")
    batch = envs.make_vec("CartPole-v1", 2, autoreset_mode="disabled")
    with pytest.raises(RuntimeError, match="never reset"):
        batch.step([0, 0])
    with pytest.raises(ValueError, match="3 seeds for num_envs=2"):
        batch.reset(seed=[1, 2, 3])
    with pytest.raises(ValueError, match="seed=-1"):
        batch.reset(seed=-1)
    with pytest.raises(ValueError, match="'reset_mask'"):
        batch.reset(options={"low": 1})
    with pytest.raises(ValueError, match="no environment"):
        batch.reset(options={"reset_mask": np.zeros(2, bool)})
    with pytest.raises(TypeError, match="dtype bool"):
        batch.reset(options={"reset_mask": [True, False]})
    batch.reset(seed=0)
    while not batch.step([1, 1])[2].any():
        pass
    with pytest.raises(RuntimeError, match="autoreset is disabled"):
        batch.step([1, 1])


def test_a_saved_state_goes_on_to_the_bit_and_a_damaged_one_is_refused():
    batch, other = (envs.make_vec("daybreak/Pong-v0", 3) for _ in range(2))
    batch.reset(seed=1), other.reset(seed=2)
    for t in range(300):
        batch.step([t % 3, 1, 2])
    saved = batch.save_state()
    other.load_state(saved)
    for t in range(300):
        for mine, theirs in zip(batch.step([t % 3] * 3)[:4], other.step([t % 3] * 3)[:4], strict=True):
            assert mine.tobytes() == theirs.tobytes()
    before = other.save_state()
    for damaged in [b"", saved[:-1], saved[:100] + b"?" + saved[101:], envs.make_vec("CartPole-v1", 3).save_state()]:
        with pytest.raises(errors.DataLossError):
            other.load_state(damaged)
        assert other.save_state() == before


@pytest.mark.parametrize("id", ["CartPole-v1", "Pendulum-v1", "MountainCarContinuous-v0"])
def test_play_is_a_loop_of_steps(id):
    played, stepped = (envs.make_vec(id, 3, autoreset_mode="same_step") for _ in range(2))
    played.reset(seed=4), stepped.reset(seed=4)
    rng = np.random.default_rng(0)
    actions = np.array(
        [rng.integers(0, 2, 3) if id == "CartPole-v1" else rng.uniform(-1, 1, (3, 1)) for _ in range(250)]
    )
    observations, sums, ended = played.play(actions)
    results = [stepped.step(a) for a in actions]
    assert np.array_equal(observations, results[-1][0])
    assert np.allclose(sums, sum(r[1].astype(np.float64) for r in results))
    assert ended == sum((r[2] | r[3]).sum() for r in results)
    with pytest.raises(ValueError, match="actions must be"):
        played.play(actions[:, :2])
    with pytest.raises(ValueError, match="actions must be"):
        played.play(actions[0, 0])
