"""Behavioural cloning, and a policy as others run it."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from daybreak import rl
from daybreak.base import errors

Array = npt.NDArray[Any]


def cartpole_rows(rows: int = 2000, seed: int = 0) -> tuple[Array, Array]:
    """A player that pushes to the side to which the pole will fall: it keeps CartPole up for 500 steps."""
    seen = np.random.default_rng(seed).uniform(-1, 1, (rows, 4)).astype(np.float32) * [0.5, 1.0, 0.2, 1.0]
    return seen.astype(np.float32), (seen[:, 2] + 0.25 * seen[:, 3] > 0).astype(np.int64)


def test_imitator_of_a_good_player_plays_well() -> None:
    trainer = rl.BC("CartPole-v1", *cartpole_rows(), lr=3e-3, seed=1)
    assert trainer.evaluate(20)["mean"] < 100
    result = trainer.learn(100_000)
    assert result is not None and result["validation_accuracy"] > 0.95
    assert trainer.evaluate(20)["mean"] > 450


def test_loss_is_the_mean_cross_entropy_of_the_policy_on_its_rows() -> None:
    seen, did = cartpole_rows(300)
    trainer = rl.BC("CartPole-v1", seen, did, validation_fraction=0.0, seed=1)
    result = trainer.train()
    logits = np.array([trainer.policy.logits(row) for row in seen], np.float64)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    assert result["loss"] == pytest.approx(-log_p[np.arange(300), did].mean(), rel=1e-5)
    assert result["accuracy"] == pytest.approx((logits.argmax(1) == did).mean())
    assert np.isnan(result["validation_loss"])


def test_rows_held_out_tell_random_labels_from_a_player() -> None:
    seen, did = cartpole_rows(600)
    noise = np.random.default_rng(5).integers(0, 2, 600)
    options: dict[str, Any] = dict(validation_fraction=0.3, hidden=[64], lr=5e-3, seed=0)
    player = rl.BC("CartPole-v1", seen, did, **options).learn(60_000)
    random = rl.BC("CartPole-v1", seen, noise, **options).learn(60_000)
    assert player is not None and random is not None
    assert player["validation_accuracy"] > 0.9 > 0.65 > random["validation_accuracy"]


def test_no_hidden_layer_is_logistic_regression() -> None:
    trainer = rl.BC("CartPole-v1", *cartpole_rows(), hidden=[], lr=1e-2)
    trainer.learn(100_000)
    assert trainer.policy.hidden == []
    weights = trainer.policy.logits([0, 0, 1, 0]) - trainer.policy.logits([0, 0, 0, 0])
    assert weights[1] > weights[0]
    assert trainer.evaluate(10)["mean"] > 450


def test_box_actions_are_imitated_within_their_bounds() -> None:
    rng = np.random.default_rng(0)
    seen = rng.uniform(-1, 1, (2000, 3)).astype(np.float32)
    did = 2 * np.tanh(seen[:, :1])
    trainer = rl.BC("Pendulum-v1", seen, did, lr=3e-3)
    first, last = trainer.train(), trainer.learn(100_000)
    assert last is not None and last["validation_mse"] < 1e-3 < first["validation_mse"]
    assert last["validation_loss"] < first["validation_loss"]
    error = trainer.policy.compute_actions(seen) - did
    assert float(np.sqrt((error**2).mean())) < 0.2


@pytest.mark.parametrize("threads", [1, 2])
def test_restored_imitator_goes_on_to_the_same_bits(threads: int) -> None:
    seen, did = cartpole_rows(500)
    options: dict[str, Any] = dict(num_threads=threads, lr=rl.linear(1e-2, 1e-3, 3000), entropy_coef=0.01, seed=2)
    straight, resumed = (rl.BC("CartPole-v1", seen, did, **options) for _ in range(2))
    straight.learn(1000)
    resumed.from_bytes(straight.to_bytes())
    straight.learn(3000)
    resumed.learn(3000)
    assert resumed.to_bytes() == straight.to_bytes()
    assert rl.Policy.load(straight.to_bytes()).algo == "bc"


def test_checkpoint_of_another_learner_is_refused() -> None:
    trainer = rl.BC("CartPole-v1", *cartpole_rows(100))
    with pytest.raises(ValueError, match='algo="ppo"'):
        trainer.from_bytes(rl.PPO("CartPole-v1").to_bytes())
    with pytest.raises(errors.DataLossError):
        trainer.from_bytes(trainer.to_bytes()[:-1])


@pytest.mark.parametrize(
    "seen,did,says",
    [
        (np.zeros((0, 4)), np.zeros(0, int), "0 recorded rows"),
        (np.zeros((3, 5)), np.zeros(3, int), "15 numbers of observations in 3 rows: the environment has 4"),
        (np.zeros((3, 4)), np.zeros(2, int), "2 actions in 3 rows"),
        (np.zeros((3, 4)), np.array([0, 2, 1]), "action 2 in row 1: 0 to 1"),
        (np.zeros((3, 4)), np.array([0, -1, 1]), "action -1 in row 1"),
        (np.zeros((3, 4)), np.array([0, 1 << 33, 1]), "8589934592"),
        (np.zeros((3, 4)), np.zeros(3, float), "0 actions in 3 rows"),
        (np.full((3, 4), np.nan), np.zeros(3, int), "not finite"),
        (np.zeros(()), np.zeros(3, int), "rows"),
    ],
    ids=range(9),
)
def test_rows_that_do_not_fit_are_refused_by_name(seen: Array, did: Array, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        rl.BC("CartPole-v1", seen, did)


def test_unknown_option_and_workers_are_refused() -> None:
    with pytest.raises(ValueError, match="'learning_rat'.*'learning_rate'"):
        rl.BC("CartPole-v1", *cartpole_rows(10), learning_rat=1.0)
    with pytest.raises(ValueError, match="num_workers"):
        rl.BC("CartPole-v1", *cartpole_rows(10), num_workers=2)
