"""Policies without their trainers: files, answers, ONNX."""

import pathlib
import pickle
import threading
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_safetensors

from daybreak import rl
from daybreak.base import errors

CASES: dict[str, Any] = {
    "cartpole": lambda: rl.PPO("CartPole-v1", num_envs=8, num_steps=64, seed=1, lr=5e-3),
    "cartpole_relu_filter": lambda: rl.PPO(
        "CartPole-v1",
        num_envs=8,
        num_steps=64,
        seed=1,
        activation="relu",
        normalize_observations=True,
        hidden=[32, 48, 20],
    ),
    "pendulum": lambda: rl.PPO("Pendulum-v1", num_envs=4, num_steps=100, seed=1, lr=5e-3),
    "pendulum_filter_shared": lambda: rl.PPO(
        "Pendulum-v1", num_envs=4, num_steps=100, seed=1, normalize_observations=True, shared=True, observation_clip=0.7
    ),
    "linear": lambda: rl.A2C("daybreak/Pong-v0", num_envs=8, num_steps=64, seed=1, hidden=[]),
    "dqn_dueling": lambda: rl.DQN(
        "CartPole-v1", learning_starts=64, steps_per_iteration=256, dueling=True, seed=1, hidden=[16]
    ),
}


@pytest.fixture(params=CASES, scope="module")
def policy(request: pytest.FixtureRequest) -> rl.Policy:
    trainer = CASES[request.param]()
    trainer.train()
    trainer.train()
    return trainer.policy


def observations(policy: rl.Policy, rows: int) -> Any:
    return np.random.default_rng(0).normal(size=(rows, policy.observation_size)).astype(np.float32)


def test_policy_file_answers_without_its_trainer(policy: rl.Policy, tmp_path: pathlib.Path) -> None:
    path = policy.save(tmp_path / "policy")
    loaded = rl.Policy.load(path)
    assert loaded.to_bytes() == policy.to_bytes()
    x = observations(policy, 70)
    assert np.array_equal(loaded.compute_actions(x), policy.compute_actions(x))


def test_one_and_many_answers_agree(policy: rl.Policy) -> None:
    for rows in (1, 3, 16, 300):
        x = observations(policy, rows)
        batch = policy.compute_actions(x)
        one_by_one = [policy.compute_action(row) for row in x]
        if policy.discrete:
            # Rounding differs between the two paths: only a tie can be decided otherwise.
            for action, single, row in zip(batch, one_by_one, x, strict=True):
                logits = policy.logits(row)
                assert action == single or abs(logits[action] - logits[single]) < 1e-4
        else:
            np.testing.assert_allclose(batch, one_by_one, atol=1e-4)


def test_onnxruntime_gives_the_same_actions(policy: rl.Policy, tmp_path: pathlib.Path) -> None:
    ort = pytest.importorskip("onnxruntime", reason="the extra daybreak[onnx] is not installed")
    session = ort.InferenceSession(policy.to_onnx(tmp_path / "policy.onnx"), providers=["CPUExecutionProvider"])
    x = observations(policy, 500)
    actions, outputs = session.run(["action", "outputs"], {"observation": x})
    ours = np.array([policy.logits(row) for row in x])
    np.testing.assert_allclose(outputs, ours, atol=2e-5, rtol=2e-5)
    if policy.discrete:
        top = np.sort(ours, axis=1)
        clear = top[:, -1] - top[:, -2] > 1e-4
        assert clear.mean() > 0.9
        assert np.array_equal(actions[clear], policy.compute_actions(x)[clear])
    else:
        np.testing.assert_allclose(actions, policy.compute_actions(x), atol=2e-5)


def test_safetensors_reads_the_policy_file(policy: rl.Policy) -> None:
    tensors = load_safetensors(policy.to_bytes())
    x = observations(policy, 1)[0]
    if "filter.mean" not in tensors:
        for layer in range(len(policy.hidden)):
            x = np.tanh(tensors[f"actor.{layer}.weight"] @ x + tensors[f"actor.{layer}.bias"])
        last = len(policy.hidden)
        out = tensors[f"actor.{last}.weight"] @ x + tensors[f"actor.{last}.bias"]
        if policy.algo != "dqn":  # DQN's are relu nets
            np.testing.assert_allclose(out, policy.logits(observations(policy, 1)[0]), atol=1e-5)
    assert {f"actor.{len(policy.hidden)}.weight", "actor.0.bias"} <= set(tensors)


def test_wrong_shape_names_both(policy: rl.Policy) -> None:
    n = policy.observation_size
    with pytest.raises(ValueError, match=rf"\({n + 1},\).*takes \({n},\)"):
        policy.compute_action(np.zeros(n + 1))
    with pytest.raises(ValueError, match=rf"\(4, {n + 1}\).*takes \(n, {n}\)"):
        policy.compute_actions(np.zeros((4, n + 1)))
    with pytest.raises(ValueError):
        policy.compute_actions(np.zeros(n))


def test_any_kind_of_numbers_is_taken(policy: rl.Policy) -> None:
    x = observations(policy, 1)[0]
    expected = policy.compute_action(x)
    wide = np.zeros((policy.observation_size, 2))
    wide[:, 0] = x
    for form in (x.astype(np.float64), x.tolist(), tuple(x), wide[:, 0], x[None], memoryview(x)):
        np.testing.assert_allclose(policy.compute_action(form), expected, atol=1e-6)


def test_damaged_policy_file_is_refused(policy: rl.Policy) -> None:
    data = policy.to_bytes()
    for bad in (data[:-1], data[: len(data) // 2], data[:-20] + bytes([data[-20] ^ 4]) + data[-19:]):
        with pytest.raises(errors.DataLossError):
            rl.Policy.load(bad)


def test_container_that_is_no_policy_is_refused() -> None:
    from daybreak import tensor

    with pytest.raises(ValueError, match="no policy"):
        rl.Policy.load(tensor.dumps({"x": np.zeros(3)}))
    with pytest.raises(ValueError, match="version"):
        rl.Policy.load(tensor.dumps({}, {"policy": '{"version": 99}'}))
    promised = trained_metadata().replace('"hidden":[64,64]', '"hidden":[16384,16384,16384]')
    with pytest.raises(ValueError, match=r"actor\.0\.weight"):
        rl.Policy.load(tensor.dumps({}, {"policy": promised}))
    for part in ('"n":2', '"kind":"discrete"', '"kind":"box"', '"categorical"', '"version":1'):
        assert part in trained_metadata()
        with pytest.raises(ValueError):
            rl.Policy.load(tensor.dumps({}, {"policy": trained_metadata().replace(part, part.split(":")[0] + ":[]")}))


def trained_metadata() -> str:
    from daybreak import tensor

    return tensor.loads(rl.PPO("CartPole-v1").policy.to_bytes()).metadata["policy"]


def test_sampled_actions_follow_the_distribution() -> None:
    trainer = rl.PPO("daybreak/Pong-v0", num_envs=4, num_steps=8, seed=0)
    policy = trainer.policy
    policy.seed(4)
    x = observations(policy, 1)[0]
    logits = policy.logits(x)
    expected = np.exp(logits) / np.exp(logits).sum()
    draws = [policy.compute_action(x, deterministic=False) for _ in range(6000)]
    np.testing.assert_allclose(np.bincount(draws, minlength=3) / 6000, expected, atol=0.03)
    policy.seed(4)
    assert draws[:50] == [policy.compute_action(x, deterministic=False) for _ in range(50)]


def test_policy_travels_by_pickle_as_its_own_bytes(policy: rl.Policy) -> None:
    assert pickle.loads(pickle.dumps(policy)).to_bytes() == policy.to_bytes()


def test_many_threads_may_ask_one_policy(policy: rl.Policy) -> None:
    x = observations(policy, 64)
    expected = [np.asarray(policy.compute_action(row)).tolist() for row in x]
    wrong: list[Any] = []

    def ask() -> None:
        for _ in range(50):
            if [np.asarray(policy.compute_action(row)).tolist() for row in x] != expected:
                wrong.append(1)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
