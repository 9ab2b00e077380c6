"""Rollout workers, on a stand-in for the runtime whose actors can be told to die."""

from __future__ import annotations

import types
from typing import Any

import pytest

from daybreak import rl
from daybreak.rl import algorithms, rollout

SMALL: dict[str, Any] = dict(num_envs=5, num_steps=16, minibatch_size=40, num_epochs=2, hidden=[16], seed=3)


class ActorDiedError(Exception):
    pass


class FakeRuntime:
    """Ray's verbs in one process. `kill_at`: numbers of `sample` calls, counted over all actors, at which the actor dies."""

    exceptions = types.SimpleNamespace(ActorDiedError=ActorDiedError)

    def __init__(self, kill_at: set[int] | None = None) -> None:
        self.kill_at = kill_at or set()
        self.calls = self.started = self.killed = 0
        self.fragments: list[Any] = []

    def remote(self, cls: type) -> Any:
        runtime = self

        class Handle:
            def __init__(self, *arguments: Any) -> None:
                runtime.started += 1
                self.dead = False
                actor = cls(*arguments)

                def sample(weights: Any, num_steps: int) -> Any:
                    runtime.calls += 1
                    if runtime.calls in runtime.kill_at:
                        self.dead = True
                    if self.dead:
                        return [ActorDiedError("killed by signal 9")]
                    try:
                        return [actor.sample(weights[0], num_steps)]
                    except Exception as error:
                        return [error]

                self.sample = types.SimpleNamespace(remote=lambda *a: Ref(sample(*a)[0]))

        return types.SimpleNamespace(remote=Handle)

    def put(self, value: Any) -> Any:
        return (value,)

    def wait(self, refs: list[Any], num_returns: int) -> Any:
        return refs[-1:], refs[:-1]  # the last asked for is the first ready

    def get(self, ref: Any) -> Any:
        if isinstance(ref.value, Exception):
            raise ref.value
        return ref.value

    def kill(self, handle: Any) -> None:
        self.killed += 1


class Ref:
    def __init__(self, value: Any) -> None:
        self.value = value


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    fake = FakeRuntime()
    real = rollout.RolloutWorkers

    def with_fake(*arguments: Any) -> rollout.RolloutWorkers:
        return real(*arguments, runtime=fake)

    monkeypatch.setattr(algorithms, "RolloutWorkers", with_fake)
    return fake


def test_workers_train_like_the_driver(runtime: FakeRuntime) -> None:
    ppo = rl.PPO("CartPole-v1", num_workers=2, **SMALL)
    result = ppo.train()
    assert runtime.started == 2
    assert result["timesteps_total"] == 5 * 16
    assert result["worker_deaths"] == 0
    assert ppo.learn(400)["timesteps_total"] == 480
    assert ppo.evaluate(3)["episodes"] == 3
    ppo.stop()
    assert runtime.killed == 2


def test_one_worker_gives_the_very_samples_of_the_driver(runtime: FakeRuntime) -> None:
    for options in ({}, {"normalize_observations": True}):
        away = rl.PPO("Pendulum-v1", num_workers=1, **{**SMALL, **options})
        here = rl.PPO("Pendulum-v1", **{**SMALL, **options})
        for _ in range(3):
            away.train()
            here.train()
        assert away.policy.to_bytes() == here.policy.to_bytes()


def test_death_of_a_worker_is_survived(runtime: FakeRuntime) -> None:
    runtime.kill_at = {2, 5}
    ppo = rl.PPO("CartPole-v1", num_workers=2, **SMALL)
    results = [ppo.train() for _ in range(3)]
    assert [r["timesteps_total"] for r in results] == [80, 160, 240]
    assert results[-1]["worker_deaths"] == 2
    assert runtime.started == 4


def test_workers_that_die_at_every_start_end_the_training(runtime: FakeRuntime) -> None:
    runtime.kill_at = set(range(1, 1000))
    ppo = rl.PPO("CartPole-v1", num_workers=2, **SMALL)
    before = ppo.to_bytes()
    with pytest.raises(rollout.WorkersLostError, match="killed by signal 9"):
        ppo.train()
    assert ppo.to_bytes() == before


def test_more_workers_than_environments_are_refused(runtime: FakeRuntime) -> None:
    with pytest.raises(ValueError, match="num_workers=6 for num_envs=5"):
        rl.PPO("CartPole-v1", num_workers=6, **SMALL)
