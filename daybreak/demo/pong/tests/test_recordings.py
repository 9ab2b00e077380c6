"""Recordings of players."""

import numpy as np
import pytest

from daybreak import rl
from daybreak.demo.pong import games, recordings


def test_scripted_player_wins_more_often_than_it_loses() -> None:
    played = games.play(recordings.follow_the_ball, 200, seed=0)
    assert 0.6 < played.win_rate < 0.9


def test_recording_holds_what_the_player_saw_and_did() -> None:
    observations, actions = recordings.parse(recordings.record_player(475, seed=5))
    assert observations.shape == (475, 8) and actions.shape == (475,)
    assert set(actions.tolist()) == {0, 1, 2}
    np.testing.assert_array_equal(actions, recordings.follow_the_ball(observations))
    assert recordings.record_player(475, seed=5) == recordings.record_player(475, seed=5)
    # A recording goes on with the next game where one has ended: previous positions are those of the step before.
    moved = np.abs(np.diff(observations[:, 2:4], axis=0)).max(axis=1)
    ends = moved > 0.2
    steps = np.abs(observations[1:, 6:8] - observations[:-1, 2:4]).max(axis=1)
    assert (steps[~ends] < 1e-6).all()


def test_dirty_recording_is_the_clean_one_and_rows_with_labels_by_lot() -> None:
    clean = recordings.record_player(475, seed=5)
    dirty = recordings.with_random_labels(clean, 283, seed=9)
    assert dirty.startswith(clean)
    observations, actions = recordings.parse(dirty)
    assert len(actions) == 758
    agree = actions[475:] == recordings.follow_the_ball(observations[475:])
    assert 0.2 < agree.mean() < 0.5


def test_imitator_of_clean_rows_beats_that_of_dirty_ones() -> None:
    clean = recordings.record_player(475, seed=3_000_000)
    dirty = recordings.with_random_labels(clean, 283, seed=3_500_000)
    wins = []
    for recording in (clean, dirty):
        trainer = rl.BC(games.PONG, *recordings.parse(recording), hidden=[32], lr=5e-3, seed=0)
        trainer.learn(150_000)
        wins.append(games.play_policy(trainer.policy, 200, 4_000_000).win_rate)
    assert wins[0] > 0.5 > 0.25 > wins[1], wins


@pytest.mark.parametrize(
    "damage,says",
    [
        (lambda text: text.replace("label", "lable", 1), "first line"),
        (lambda text: text + "left,1,2,3,4,5,6,7,8,me\n", "line 5.*left"),
        (lambda text: text + "up,1,2,3\n", "line 5.*up,1,2,3"),
        (lambda text: text + "up,1,2,3,4,nan,6,7,8,me\n", "line 5.*nan"),
        (lambda text: text + "up,1,2,3,4,x,6,7,8,me\n", "line 5"),
        (lambda text: "", "first line"),
    ],
    ids=range(6),
)
def test_line_that_is_no_recording_is_named(damage, says) -> None:
    text = recordings.record_player(3, seed=1).decode()
    with pytest.raises(ValueError, match=says):
        recordings.parse(damage(text).encode())
