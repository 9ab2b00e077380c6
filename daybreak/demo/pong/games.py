"""Games of Pong played to measure a policy, and one recorded to be drawn. Light: rollout workers import it too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from daybreak.rl import Policy, envs

__all__ = ["MAX_STEPS", "Games", "PONG", "Recording", "play", "play_policy", "random_actions", "record"]

PONG = "daybreak/Pong-v0"

# Pong has no time limit of its own. A game that is still going after so many steps (500 s of play) is ended and counts as not won.
MAX_STEPS = 10_000

Act = Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]]


@dataclass(frozen=True)
class Games:
    """Finished games, in the order of their seeds."""

    lengths: npt.NDArray[np.int64]  # steps: the return of Pong, which pays 1 a step
    won: npt.NDArray[np.bool_]  # the ball left on the opponent's side
    lost: npt.NDArray[np.bool_]  # neither won nor lost: ended at MAX_STEPS

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(self.lengths.mean())

    @property
    def win_rate(self) -> float:
        return float(self.won.mean())


def play(act: Act, games: int, seed: int, max_steps: int = MAX_STEPS) -> Games:
    """Plays one game for each of the seeds `seed`, `seed + 1`, ...; all are stepped together until the last has ended.

    act: observations [games, 8] to one action each.

    >>> games = play(random_actions(0), 10, seed=5)
    >>> 30 < games.mean < 200, games.win_rate
    (True, 0.0)
    """
    batch = envs.make_vec(
        PONG, games, autoreset_mode="same_step", copy=False, reward="win", max_episode_steps=max_steps
    )
    observations, _ = batch.reset(seed=seed)
    lengths = np.zeros(games, np.int64)
    outcome = np.zeros(games, np.float32)
    playing = np.ones(games, np.bool_)
    while playing.any():
        observations, rewards, terminated, truncated, _ = batch.step(act(observations))
        lengths += playing
        ended = playing & (terminated | truncated)
        outcome[ended] = rewards[ended]
        playing &= ~ended
    return Games(lengths, outcome > 0, outcome < 0)


def play_policy(policy: Policy, games: int, seed: int) -> Games:
    """`play` with a policy's greedy actions; this is also run as a task."""
    return play(policy.compute_actions, games, seed)


def random_actions(seed: int) -> Act:
    """The random policy: stop, down and up equally often."""
    random = np.random.default_rng(seed)
    return lambda observations: random.integers(0, 3, len(observations), np.int32)


@dataclass(frozen=True)
class Recording:
    """What there was to draw at each step of one game."""

    frames: list[dict[str, float]]
    won: bool | None  # None: it was still going


def record(policy: Policy, seed: int, max_steps: int = MAX_STEPS) -> Recording:
    """Plays the game of this seed once more and keeps each frame.

    At the end of a rally the game serves again within the step, so the last frame is the one before with the ball moved on by as
    much as it moved last.
    """
    game = envs.Pong(reward="win")
    observation, _ = game.reset(seed=seed)
    frames = [game.frame()]
    won = None
    ended = False
    while not ended and len(frames) <= max_steps:
        observation, reward, ended, _, _ = game.step(policy.compute_action(observation))
        frame = game.frame()
        if ended:
            won = reward > 0
            for axis in ("ball_x", "ball_y"):
                step = frames[-1][axis] - frames[-2][axis] if len(frames) > 1 else 0.0
                frame[axis] = frames[-1][axis] + step
        frames.append(frame)
    return Recording(frames, won)
