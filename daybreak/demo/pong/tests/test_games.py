"""Games that measure a policy."""

import numpy as np
import pytest

from daybreak import rl
from daybreak.demo.pong import games
from daybreak.rl import envs


def test_a_game_is_the_same_whoever_plays_beside_it() -> None:
    many = games.play(lambda observations: np.zeros(len(observations), np.int32), 20, seed=7)
    some = games.play(lambda observations: np.zeros(len(observations), np.int32), 5, seed=12)
    assert many.lengths[5:10].tolist() == some.lengths.tolist()


def test_lengths_are_the_returns_of_pong_and_outcomes_its_winner() -> None:
    follow = _follow_the_ball
    played = games.play(follow, 12, seed=3)
    assert 0 < played.won.sum() < 12 and (played.won ^ played.lost).all()
    for i in range(12):
        game = envs.Pong()
        observation, _ = game.reset(seed=3 + i)
        total, ended, info = 0.0, False, {}
        while not ended:
            observation, reward, ended, _, info = game.step(int(follow(np.asarray([observation], np.float32))[0]))
            total += reward
        assert (total, bool(info["won"])) == (played.lengths[i], bool(played.won[i]))


def test_a_game_that_does_not_end_is_not_won() -> None:
    played = games.play(_follow_the_ball, 8, seed=3, max_steps=50)
    assert (played.lengths == 50).any()
    cut = played.lengths == 50
    assert not played.won[cut].any() and not played.lost[cut].any()


def test_the_random_policy_is_what_the_facts_say() -> None:
    played = games.play(games.random_actions(1), 500, seed=0)
    assert 50 < played.mean < 70 and played.win_rate < 0.02


def test_a_recording_ends_behind_a_paddle() -> None:
    policy = rl.PPO(games.PONG, seed=1).policy
    recording = games.record(policy, seed=5)
    assert recording.won is not None
    last, width = recording.frames[-1], recording.frames[0]["width"]
    assert last["ball_x"] > width - 30 if recording.won else last["ball_x"] < 30
    assert abs(last["ball_x"] - recording.frames[-2]["ball_x"]) < 30


def test_a_recording_can_be_cut_short() -> None:
    recording = games.record(rl.PPO(games.PONG, seed=1).policy, seed=5, max_steps=10)
    assert recording.won is None and len(recording.frames) == 11


def _follow_the_ball(observations: np.ndarray) -> np.ndarray:
    """The paddle's centre follows the ball, with a dead band of 5 pixels."""
    away = observations[:, 3] * 500 - (observations[:, 0] * 500 + 30)
    return np.where(away > 5, 1, np.where(away < -5, 2, 0)).astype(np.int32)


@pytest.mark.parametrize("games_asked", [1, 3])
def test_random_actions_are_valid(games_asked: int) -> None:
    assert set(games.random_actions(0)(np.zeros((games_asked, 8), np.float32)).tolist()) <= {0, 1, 2}
