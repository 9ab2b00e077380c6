"""Sampling on rollout actors of the runtime: fragments from several processes, and the death of one survived."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from daybreak._core import rl as _native

__all__ = ["RolloutWorkers", "WorkersLostError"]

Fragment = dict[str, Any]

# Deaths of workers that one iteration survives before it gives up: enough for bad luck, not for a crash at every start.
MAX_DEATHS_AN_ITERATION = 10

# Names under which the runtime reports that an actor's process has gone.
_DEATHS = ("ActorDiedError", "ActorUnavailableError", "WorkerCrashedError")


class WorkersLostError(RuntimeError):
    """Rollout workers died again and again within one iteration."""


class RolloutActor:
    """Environments and a copy of the policy, in a process of its own."""

    def __init__(
        self,
        config: str,
        stream: int,
        num_envs: int,
        env: str | Callable[..., Any],
        env_options: Mapping[str, Any],
        specs: Sequence[bytes] = (),
    ) -> None:
        if specs:
            registry = importlib.import_module("gymnasium").registry
            for spec in map(pickle.loads, specs):  # what cloudpickle wrote
                registry.setdefault(spec.id, spec)
        self._sampler = _native.Sampler(config, stream, num_envs, env, dict(env_options))

    def sample(self, weights: Any, num_steps: int) -> Fragment:
        """`num_steps` steps of every environment with these weights."""
        self._sampler.set_weights(weights)
        return self._sampler.sample(num_steps)

    def pid(self) -> int:
        """The process it lives in."""
        return os.getpid()


def registered() -> list[bytes]:
    """Pickled specifications of environments that another process may not know: what was registered outside of Gymnasium itself.

    They go by value, and with them a class or function that is written in the main program. What cannot be pickled stays here: a
    worker that needs it says so.
    """
    gymnasium = sys.modules.get("gymnasium")
    if gymnasium is None:
        return []
    import cloudpickle

    found = []
    for spec in gymnasium.registry.values():
        if isinstance(spec.entry_point, str):
            if spec.entry_point.startswith(("gymnasium.", "daybreak.")):
                continue
            if spec.entry_point.startswith("__main__:"):
                spec = dataclasses.replace(
                    spec, entry_point=gymnasium.envs.registration.load_env_creator(spec.entry_point)
                )
        with contextlib.suppress(Exception):
            found.append(cloudpickle.dumps(spec))
    return found


class RolloutWorkers:
    """`num_workers` actors with `num_envs` environments between them.

    `collect` waits for one fragment of each, which is a fixed number of steps: no episode, however long, holds it up. A worker
    that dies is made anew with fresh episodes and its fragment asked for again.

    runtime: a module with Ray's verbs; None means daybreak itself.
    """

    def __init__(
        self,
        config: str,
        num_workers: int,
        num_envs: int,
        env: str | Callable[..., Any],
        env_options: Mapping[str, Any],
        runtime: Any = None,
    ) -> None:
        if not 1 <= num_workers <= num_envs:
            raise ValueError(f"num_workers={num_workers} for num_envs={num_envs}: each worker needs an environment")
        self._runtime = runtime if runtime is not None else importlib.import_module("daybreak")
        self._actor = self._runtime.remote(RolloutActor)
        self._arguments = (env, dict(env_options), registered())
        self._config = config
        self._sizes = [num_envs // num_workers + (i < num_envs % num_workers) for i in range(num_workers)]
        self._streams = 0
        self.deaths = 0
        self._workers = [self._start(i) for i in range(num_workers)]

    def _start(self, index: int) -> Any:
        stream = self._streams
        self._streams += 1  # a worker that replaces another must not repeat its episodes
        return self._actor.remote(self._config, stream, self._sizes[index], *self._arguments)

    def collect(self, weights: Any, num_steps: int) -> list[Fragment]:
        """One fragment of every worker, in the workers' order. Raises what an environment raised."""
        runtime = self._runtime
        shared = runtime.put(weights)
        waiting = {self._workers[i].sample.remote(shared, num_steps): i for i in range(len(self._workers))}
        fragments: list[Fragment | None] = [None] * len(self._workers)
        deaths = 0
        while waiting:
            ready, _ = runtime.wait(list(waiting), num_returns=1)
            for ref in ready:
                index = waiting.pop(ref)
                try:
                    fragments[index] = runtime.get(ref)
                except self._death() as error:
                    deaths += 1
                    self.deaths += 1
                    if deaths > MAX_DEATHS_AN_ITERATION:
                        raise WorkersLostError(
                            f"{deaths} rollout workers died within one iteration; the last one's end: {error}"
                        ) from error
                    self._workers[index] = self._start(index)
                    waiting[self._workers[index].sample.remote(shared, num_steps)] = index
        return [fragment for fragment in fragments if fragment is not None]

    def pids(self) -> list[int]:
        """The workers' processes, in the workers' order."""
        return list(self._runtime.get([worker.pid.remote() for worker in self._workers]))

    def _death(self) -> tuple[type[BaseException], ...]:
        exceptions = self._runtime.exceptions
        return tuple(getattr(exceptions, name) for name in _DEATHS if hasattr(exceptions, name))

    def stop(self) -> None:
        """Ends the workers."""
        for worker in self._workers:
            self._runtime.kill(worker)
        self._workers = []
