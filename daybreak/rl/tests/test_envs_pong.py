"""PongJS against a second, plain port of its specification, and against what is known of it."""

import math
import random

import numpy as np
import pytest

from daybreak.rl import envs

SEEDS = [1, 2, 3]
DT = 0.05


class Reference:
    """The specification in the plainest Python, kept apart from the C++ on purpose: one dictionary, no classes, no reuse."""

    def __init__(self, uniform):
        self.uniform = uniform
        self.s = {
            "left": 210.0, "right": 210.0, "left_flags": (0, 0), "right_flags": (0, 0),  # (up, down)
            "ball": None, "previous": None, "v": None, "prediction": None, "last_choice": 0,
        }  # fmt: skip

    def serve(self, dx):
        y = 17 + (463 - 17) * self.uniform()
        self.s["previous"] = self.s["ball"] or (320.0, y)
        self.s["ball"], self.s["v"] = (320.0, y), (dx, 157.5)

    def reset(self):
        self.serve(-157.5)
        return self.observation()

    def observation(self):
        s = self.s
        return np.array([s["left"], 0, *s["ball"], *s["v"], *s["previous"]]) / 500

    def drive(self, side, action):
        s = self.s
        flags = {0: (0, 0), 1: (0, 1), 2: (1, 0)}.get(action, s[side + "_flags"])
        s[side + "_flags"] = flags
        if flags != (0, 0):
            s[side] = min(max(s[side] + ((flags[1] - flags[0]) * DT * 198.0), 12), 408)

    @staticmethod
    def cross(p, q, r, t):
        (x1, y1), (x2, y2), (x3, y3), (x4, y4) = p, q, r, t
        denom = (y4 - y3) * (x2 - x1) - (x4 - x3) * (y2 - y1)
        if denom == 0:
            return None
        ua = ((x4 - x3) * (y1 - y3) - (y4 - y3) * (x1 - x3)) / denom
        ub = ((x2 - x1) * (y1 - y3) - (y2 - y1) * (x1 - x3)) / denom
        if 0 <= ua <= 1 and 0 <= ub <= 1:
            return x1 + ua * (x2 - x1), y1 + ua * (y2 - y1)
        return None

    def opponent(self):
        s = self.s
        (x, y), (dx, dy) = s["ball"], s["v"]
        if (x < 628 and dx < 0) or (x > 640 and dx > 0):
            s["right_flags"] = (0, 0)
            return
        kept = s["prediction"]
        if kept and kept["dx"] * dx > 0 and kept["dy"] * dy > 0 and kept["age"] < 0.1:
            kept["age"] += 0.05
        else:
            end = x + dx * 10, y + dy * 10
            line = 645 if dx < 0 else 623
            met = self.cross((x, y), end, (line, -10005), (line, 10005))
            s["prediction"] = None
            if met:
                at = met[1]
                while not 17 <= at <= 463:
                    at = 17 + (17 - at) if at < 17 else 17 + (463 - 17) - (at - 463)
                c = (x - 640 if dx < 0 else 628 - x) / 640
                error = 120 * c
                at = at + (-error + (error - -error) * self.uniform())
                s["prediction"] = {"y": at, "age": 0, "dx": dx, "dy": dy}
        if s["prediction"]:
            at = s["prediction"]["y"]
            s["last_choice"] = 2 if at < s["right"] + 25 else 1 if at > s["right"] + 35 else 0
        self.drive("right", s["last_choice"])

    def move_ball(self):
        s = self.s
        (x, y), (dx, dy) = s["ball"], s["v"]
        half = 8 * DT * DT * 0.5
        x2, y2 = x + (DT * dx) + half, y + (DT * dy) + half
        nx, ny = x2 - x, y2 - y
        dx2, dy2 = dx + (8 * DT) * (1 if dx > 0 else -1), dy + (8 * DT) * (1 if dy > 0 else -1)
        if dy2 > 0 and y2 > 463:
            y2, dy2 = 463, -dy2
        elif dy2 < 0 and y2 < 17:
            y2, dy2 = 17, -dy2
        side, x_range = ("left", (-5, 17)) if dx2 < 0 else ("right", (623, 645))
        front = x_range[1] if nx < 0 else x_range[0]
        top, bottom = s[side] - 5, s[side] + 65
        end = x + nx, y + ny
        met = self.cross((x, y), end, (front, top), (front, bottom)) if nx else None
        if met:
            x2, dx2 = met[0], -dx2
        elif ny:
            face = bottom if ny < 0 else top
            met = self.cross((x, y), end, (x_range[0], face), (x_range[1], face))
            if met:
                y2, dy2 = met[1], -dy2
        if met:
            up, down = s[side + "_flags"]
            if up:
                dy2 *= 0.5 if dy2 < 0 else 1.5
            elif down:
                dy2 *= 0.5 if dy2 > 0 else 1.5
        s["previous"], s["ball"], s["v"] = (x, y), (x2, y2), (dx2, dy2)

    def step(self, action):
        self.drive("left", action)
        self.opponent()
        self.move_ball()
        x = self.s["ball"][0]
        outcome = 1 if x - 5 > 640 else -1 if x + 5 < 0 else 0
        if outcome:
            self.serve(-157.5 if outcome == 1 else 157.5)
        return self.observation(), outcome


class Tape:
    """A callable over a seeded list of draws that counts them."""

    def __init__(self, seed):
        self.draw, self.count = random.Random(seed).random, 0

    def __call__(self):
        self.count += 1
        return self.draw()


def tracker(observation):
    """Follows the ball with a dead band of five pixels on the centre of the paddle."""
    centre, ball = observation[0] * 500 + 30, observation[3] * 500
    return 1 if ball > centre + 5 else 2 if ball < centre - 5 else 0


POLICIES = {
    "random": lambda rng, observation: rng.randrange(3),
    "tracker": lambda rng, observation: tracker(observation),
    "tracker that slips": lambda rng, observation: tracker(observation) if rng.random() < 0.8 else rng.randrange(3),
    "also actions that mean go on": lambda rng, observation: rng.choice([0, 1, 2, 3, -1]),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("policy", POLICIES)
def test_pong_equals_the_plain_port_to_the_bit_for_the_same_draws(policy, seed):
    ours_tape, reference_tape = Tape(seed), Tape(seed)
    ours, reference = envs.Pong(uniform=ours_tape), Reference(reference_tape)
    rng = random.Random(seed)
    observation, info = ours.reset()
    assert info == {}
    assert observation.tobytes() == reference.reset().tobytes()
    outcomes = []
    for step in range(8000):
        action = POLICIES[policy](rng, observation)
        observation, reward, terminated, truncated, info = ours.step(action)
        expected, outcome = reference.step(action)
        assert observation.tobytes() == expected.tobytes(), f"step {step}: {observation * 500} {expected * 500}"
        assert ours_tape.count == reference_tape.count, f"step {step}"
        assert (reward, terminated, truncated) == (1.0, outcome != 0, False)
        if terminated:
            outcomes.append(outcome)
            assert info == {"won": outcome == 1}
            observation, _ = ours.reset()
            assert observation.tobytes() == reference.reset().tobytes()
    assert -1 in outcomes
    assert policy not in ("tracker", "tracker that slips") or 1 in outcomes


def test_first_observation_shows_the_serve_and_only_later_ones_the_discarded_one():
    draws = iter([0.25, 0.5, 0.75])
    pong = envs.Pong(uniform=lambda: next(draws))
    first, _ = pong.reset()
    y = 17 + 446 * 0.25
    assert (first * 500).tolist() == pytest.approx([210, 0, 320, y, -157.5, 157.5, 320, y], abs=1e-12)
    second, _ = pong.reset()
    assert second[7] == first[3] and second[3] != first[3]


def test_terminal_observation_already_shows_the_next_serve():
    pong = envs.Pong(uniform=lambda: 0.5)
    observation, _ = pong.reset()
    over = False
    while not over:
        observation, _, over, _, info = pong.step(0)
    assert info == {"won": False}
    assert (observation[2:6] * 500).tolist() == pytest.approx([320, 240, 157.5, 157.5])
    assert -5 - 9 < observation[6] * 500 < -5  # where the ball left the court


def test_reward_win_is_one_at_the_end_only():
    pong, seen = envs.Pong(reward="win"), set()
    for seed in range(12):
        observation, _ = pong.reset(seed=seed)
        over = False
        while not over:
            observation, reward, over, _, info = pong.step(tracker(observation))
            assert reward == (0 if not over else 1 if info["won"] else -1)
        seen.add(reward)
    assert seen == {-1.0, 1.0}


def test_a_seed_begins_a_new_game_with_numpys_draws():
    pong = envs.Pong()
    start, _ = pong.reset(seed=5)
    trace = [pong.step(a % 3)[0] for a in range(300)]
    again, _ = pong.reset(seed=5)
    assert start.tobytes() == again.tobytes()
    assert all(pong.step(a % 3)[0].tobytes() == o.tobytes() for a, o in enumerate(trace))
    by_numpy = envs.Pong(uniform=np.random.default_rng(5).random)
    assert by_numpy.reset()[0].tobytes() == start.tobytes()
    assert all(by_numpy.step(a % 3)[0].tobytes() == o.tobytes() for a, o in enumerate(trace))


def test_unseeded_games_differ():
    assert envs.Pong().reset()[0].tobytes() != envs.Pong().reset()[0].tobytes()


def test_a_draw_that_fails_leaves_the_game_as_it_was():
    tape, broken = Tape(3), [False]

    def uniform():
        if broken[0]:
            raise KeyError("no draw")
        return tape()

    pong, other = envs.Pong(uniform=uniform), envs.Pong(uniform=Tape(3))
    pong.reset(), other.reset()
    for step in range(400):
        broken[0] = True
        try:
            pong.step(step % 3)
            failed = False
        except KeyError:
            failed = True
        broken[0] = False
        if failed:
            result = pong.step(step % 3)
            assert result[0].tobytes() == other.step(step % 3)[0].tobytes()
        else:
            other.step(step % 3)
    assert tape.count > 50


@pytest.mark.parametrize("value", [1.0, -0.1, math.nan])
def test_a_draw_outside_zero_to_one_is_refused(value):
    with pytest.raises(ValueError, match=r"not in \[0, 1\)"):
        envs.Pong(uniform=lambda: value).reset()


def test_step_before_reset_and_unknown_reward_are_refused():
    with pytest.raises(RuntimeError, match="call reset"):
        envs.Pong().step(0)
    with pytest.raises(ValueError, match="'step', 'win'"):
        envs.Pong(reward="points")


def returns_of(policy, episodes, num_envs=256, **options):
    batch = envs.make_vec("daybreak/Pong-v0", num_envs, autoreset_mode="same_step", copy=False, **options)
    observations, _ = batch.reset(seed=11)
    totals, done = np.zeros(num_envs), []
    while len(done) < episodes:
        observations, rewards, terminated, _, _ = batch.step(policy(observations))
        totals += rewards
        done += totals[terminated].tolist()
        totals[terminated] = 0
    return np.array(done)


def test_fingerprint_of_the_random_policy():
    rng = np.random.default_rng(7)
    # Long rallies end later, so many short ones must come first: 40,000 of them make the bias of stopping early small.
    lengths = returns_of(lambda o: rng.integers(0, 3, len(o)), 40000)
    assert lengths.mean() == pytest.approx(58.1, abs=1.5)
    assert lengths.std() == pytest.approx(49.5, abs=2.5)
    assert lengths.min() == 40 and np.median(lengths) == 40


def test_fingerprint_of_the_policy_that_stops():
    lengths = returns_of(lambda o: np.zeros(len(o), np.int64), 40000)
    assert lengths.mean() == pytest.approx(61.5, abs=1.5)


def test_the_tracker_wins_about_two_games_of_three():
    def track(o):
        centre = o[:, 0] * 500 + 30
        return np.where(o[:, 3] * 500 > centre + 5, 1, np.where(o[:, 3] * 500 < centre - 5, 2, 0))

    outcomes = returns_of(track, 3000, reward="win")
    assert 0.60 < (outcomes == 1).mean() < 0.73


def test_a_batch_plays_the_games_of_single_ones():
    batch = envs.make_vec("daybreak/Pong-v0", 5, autoreset_mode="same_step")
    singles = [envs.Pong() for _ in range(5)]
    observations, _ = batch.reset(seed=100)
    for i, single in enumerate(singles):
        assert single.reset(seed=100 + i)[0].astype(np.float32).tobytes() == observations[i].tobytes()
    rng = np.random.default_rng(0)
    ends = 0
    for _ in range(1500):
        actions = rng.integers(0, 3, 5)
        observations, rewards, terminated, truncated, info = batch.step(actions)
        assert not truncated.any()
        for i, single in enumerate(singles):
            expected, reward, over, _, _ = single.step(actions[i])
            assert (rewards[i], terminated[i]) == (reward, over)
            if over:
                ends += 1
                assert info["final_obs"][i].tobytes() == expected.astype(np.float32).tobytes()
                expected, _ = single.reset()
            assert expected.astype(np.float32).tobytes() == observations[i].tobytes()
    assert ends > 20


def test_frame_holds_what_is_drawn():
    pong = envs.Pong()
    observation, _ = pong.reset(seed=1)
    frame = pong.frame()
    assert frame["agent_y"] == 210 and frame["opponent_y"] == 210
    assert frame["ball_x"] == 320 and frame["ball_y"] / 500 == observation[3]
    assert (frame["width"], frame["height"], frame["wall"]) == (640, 480, 12)
    batch = envs.make_vec("daybreak/Pong-v0", 2)
    batch.reset(seed=1)
    assert batch.frame(0) == frame and batch.frame(1) != frame
    with pytest.raises(IndexError, match="environment 2"):
        batch.frame(2)
