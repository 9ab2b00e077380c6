"""Recordings of players of Pong, in the table that RISECamp 2018 recorded them in."""

from __future__ import annotations

import csv
import io

import numpy as np
import numpy.typing as npt

from daybreak.rl import envs

__all__ = ["COLUMNS", "LABELS", "follow_the_ball", "parse", "record_player", "with_random_labels"]

LABELS = ("stop", "down", "up")  # by the number of the action
COLUMNS = (
    "label",
    "leftPaddle_y",
    "rightPaddle_y",
    "ball_x",
    "ball_y",
    "ball_dx",
    "ball_dy",
    "ball_x_prev",
    "ball_y_prev",
    "user",
)
_SCALE = 500.0  # an observation is a row of pixels divided by it
_DEAD_BAND = 5.0  # pixels
_HALF_PADDLE = 30.0


def follow_the_ball(observations: npt.NDArray[np.floating]) -> npt.NDArray[np.int32]:
    """The scripted player: its paddle's centre follows the ball, and stops within 5 pixels of its height. Wins three games of four.

    observations: [games, 8] to one action each.
    """
    centre = observations[:, 0] * _SCALE + _HALF_PADDLE
    ball = observations[:, 3] * _SCALE
    return np.where(ball < centre - _DEAD_BAND, 2, np.where(ball > centre + _DEAD_BAND, 1, 0)).astype(np.int32)


def record_player(rows: int, seed: int, user: str = "scripted") -> bytes:
    """CSV of so many steps of the scripted player, one game after the other, the first seeded with `seed`.

    >>> record_player(2, seed=3).splitlines()[0].decode() == ",".join(COLUMNS)
    True
    """
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    game = envs.Pong(reward="win")
    observation, _ = game.reset(seed=seed)
    for _ in range(rows):
        action = int(follow_the_ball(observation[np.newaxis])[0])
        own, _, *ball = (observation.astype(np.float64) * _SCALE).tolist()
        table.writerow([LABELS[action], own, game.frame()["opponent_y"], *ball, user])
        observation, _, ended, _, _ = game.step(action)
        if ended:
            seed += 1
            observation, _ = game.reset(seed=seed)
    return out.getvalue().encode()


def with_random_labels(recording: bytes, rows: int, seed: int) -> bytes:
    """The recording and so many rows more, of other games, whose labels are drawn by lot: what a careless collection holds."""
    more = record_player(rows, seed, user="random").decode().splitlines()[1:]
    labels = np.random.default_rng(seed).integers(0, len(LABELS), rows)
    lines = [f"{LABELS[label]},{line.split(',', 1)[1]}\n" for label, line in zip(labels, more, strict=True)]
    return recording + "".join(lines).encode()


def parse(recording: bytes) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Observations [rows, 8] and actions [rows] of a recording. ValueError names the line that is not one.

    >>> observations, actions = parse(record_player(100, seed=3))
    >>> observations.shape, bool((actions == follow_the_ball(observations)).all())
    ((100, 8), True)
    """
    lines = csv.reader(io.StringIO(recording.decode("utf-8", "replace")))
    header = next(lines, [])
    if tuple(header) != COLUMNS:
        raise ValueError(f"a recording's first line is {','.join(COLUMNS)!r}, this one's is {','.join(header)[:200]!r}")
    observations: list[list[float]] = []
    actions: list[int] = []
    for number, line in enumerate(lines, start=2):
        try:
            label, own, _, *ball, _ = line
            numbers = [float(own), 0.0, *map(float, ball)]
            action = LABELS.index(label)
        except ValueError:
            raise ValueError(f"line {number} of the recording: {','.join(line)[:200]!r}") from None
        if len(numbers) != 8 or not np.isfinite(numbers).all():
            raise ValueError(f"line {number} of the recording: {','.join(line)[:200]!r}")
        observations.append(numbers)
        actions.append(action)
    return np.asarray(observations, np.float32).reshape(-1, 8) / np.float32(_SCALE), np.asarray(actions, np.int32)
