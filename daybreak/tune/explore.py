"""What population based training makes of a config, and what a searcher or a scheduler of one's own is told on a resume."""

from __future__ import annotations

import copy
import json
from typing import Any

from daybreak._core import tune as _native
from daybreak.base.errors import FailedPreconditionError
from daybreak.store import JournalReader

from .files import as_json
from .space import Domain, unwrapped
from .trial import read_space, written_space

__all__ = ["at_path", "explored", "fill", "log", "read_parts", "tell_again", "written_parts"]


def written_parts(scheduler: Any) -> dict[str, Any] | None:
    """As JSON what a population has beside its numbers; None: there is a function in it."""
    opaque: list[str] = []
    mutations = written_space(scheduler.mutations, opaque)
    if opaque or scheduler.custom_explore_fn is not None:
        return None
    return {
        "hyperparam_mutations": mutations,
        "resample_probability": scheduler.resample_probability,
        "perturbation_factors": list(scheduler.perturbation_factors),
        "log_config": scheduler.log_config,
    }


def read_parts(parts: dict[str, Any]) -> dict[str, Any]:
    return {**parts, "hyperparam_mutations": read_space(parts["hyperparam_mutations"])}


class _Draws:
    """Numbers that are a function of the seed, the trial and the place where they are needed."""

    def __init__(self, seed: int, trial: int, purpose: str) -> None:
        self._seed, self._trial, self._purpose = seed % 2**64, trial, purpose

    def uniform(self, name: str) -> float:
        return _native.keyed_uniform(self._seed, self._trial, f"{self._purpose} {name}")

    def one_of(self, options: Any, name: str) -> Any:
        return options[min(int(self.uniform(name) * len(options)), len(options) - 1)]

    def fresh(self, domain: Any, name: str) -> Any:
        if isinstance(domain, Domain):
            if not hasattr(domain, "native"):
                return unwrapped(domain.sample({}))
            return domain.value(domain.native.draw(self._seed, self._trial, f"{self._purpose} {name}"))
        if callable(domain):
            return unwrapped(domain())
        if isinstance(domain, dict):
            return {key: self.fresh(inner, f"{name}/{key}") for key, inner in domain.items()}
        return self.one_of(domain, name)


def fill(scheduler: Any, config: dict[str, Any], chosen: list[str], seed: int, trial: int) -> None:
    """What a population mutates and the config has not is drawn."""
    draws = _Draws(seed, trial, "pbt first")
    for key, domain in getattr(scheduler, "mutations", {}).items():
        if key not in config:
            config[key] = draws.fresh(domain, key)
            chosen.append(key)


def at_path(config: dict[str, Any], path: str) -> Any:
    """
    >>> at_path({"a": {"b": 1}}, "a/b")
    1
    """
    found: Any = config
    for key in path.split("/"):
        if not isinstance(found, dict) or key not in found:
            raise FailedPreconditionError(f"the config has no '{path}': it has {', '.join(map(repr, config))}")
        found = found[key]
    return found


def _with_values(config: dict[str, Any], values: dict[str, float]) -> dict[str, Any]:
    """Whole numbers stay whole."""
    for path, value in values.items():
        *outer, last = path.split("/")
        holder = at_path(config, "/".join(outer)) if outer else config
        holder[last] = round(value) if isinstance(at_path(config, path), int) else value
    return config


def explored(
    scheduler: Any, config: dict[str, Any], seed: int, trial: int, times: int, found: dict[str, float] | None = None
) -> dict[str, Any]:
    """The source's config, perturbed (Jaderberg et al., 2017, as Ray has it; but what leaves a domain is put back).

    ``found``: what the scheduler searches itself, by path: nothing else is changed then.
    """
    draws = _Draws(seed, trial, f"pbt {times}")
    if found:
        made = _with_values(copy.deepcopy(config), found)
    else:
        made = _mutated(scheduler, copy.deepcopy(config), scheduler.mutations, draws, "")
    if scheduler.custom_explore_fn is not None:
        made = scheduler.custom_explore_fn(made)
        if not isinstance(made, dict):
            raise FailedPreconditionError(f"custom_explore_fn returned {made!r}: the new config, a dict")
    return made


def _mutated(
    scheduler: Any, config: dict[str, Any], mutations: dict[str, Any], draws: _Draws, path: str
) -> dict[str, Any]:
    for key, domain in mutations.items():
        name = f"{path}/{key}"
        if isinstance(domain, dict):
            config[key] = _mutated(scheduler, config[key], domain, draws, name)
            continue
        anew = draws.uniform(f"{name} resample") < scheduler.resample_probability
        if isinstance(domain, list):
            place = _place(domain, config[key])
            if anew or place is None:
                config[key] = draws.one_of(domain, name)
            else:
                shift = -1 if draws.uniform(f"{name} shift") < 0.5 else 1
                config[key] = domain[min(max(place + shift, 0), len(domain) - 1)]
        elif anew or not isinstance(config[key], (int, float)) or hasattr(domain, "categories"):
            if anew:
                config[key] = draws.fresh(domain, name)
        else:
            config[key] = _scaled(config[key], draws.one_of(scheduler.perturbation_factors, f"{name} factor"), domain)
    return config


def _place(options: list[Any], value: Any) -> int | None:
    return next((i for i, option in enumerate(options) if type(option) is type(value) and option == value), None)


def _scaled(value: Any, factor: float, domain: Any) -> Any:
    if isinstance(value, bool):
        return value
    made = value * factor
    if isinstance(domain, Domain) and hasattr(domain, "native"):
        return domain.value(domain.native.nearest(float(made)))
    return round(made) if isinstance(value, int) else made


def log(run: Any, trial: Any, source: Any, config: dict[str, Any]) -> None:
    """Ray's pbt_global.txt and pbt_policy_ID.txt, a line of JSON for each exploit."""
    if not run.scheduler.log_config:
        return
    policy = [
        trial.experiment_tag.split("@")[0],
        source.experiment_tag.split("@")[0],
        trial.last_result.get("training_iteration", 0),
        source.last_result.get("training_iteration", 0),
        source.config,
        config,
    ]
    line = as_json(policy) + "\n"
    with open(run.path / "pbt_global.txt", "a") as out:
        out.write(line)
    own, other = (run.path / f"pbt_policy_{one.trial_id}.txt" for one in (trial, source))
    if other.exists():
        own.write_text(other.read_text())
    with open(own, "a") as out:
        out.write(line)


def tell_again(controller: Any) -> None:
    """From the journal, in its order, to what a person has written: what it answers is not heeded, but that was done then."""
    run = controller.run
    scheduler = None if controller.native else run.scheduler
    searcher = run.source.searcher
    reader = JournalReader(run.path / "experiment.journal", "tune")
    ended: set[int] = set()
    while records := reader.read().records:
        for record in records:
            if 64 <= record.kind <= 127:
                _tell(controller, scheduler, searcher, _native.decoded_record(record.kind, record.body), ended)


def _tell(controller: Any, scheduler: Any, searcher: Any, record: dict[str, Any], ended: set[int]) -> None:
    if "trial" not in record:
        return
    trial = controller.trials[record["trial"]]
    if record["kind"] == "trial":
        if scheduler is not None:
            scheduler.on_trial_add(controller, trial)
        if hasattr(searcher, "live_trials"):
            searcher.live_trials.add(trial.trial_id)
        if hasattr(searcher, "on_suggested_again"):
            searcher.on_suggested_again(trial.trial_id, json.loads(record["suggestion"])["config"])
    elif record["kind"] == "result":
        result = {**json.loads(record["text"]), "config": trial.config}
        if record["done"]:
            _told_end(controller, scheduler, searcher, trial, result, ended)
        else:
            if scheduler is not None and record["scored"]:
                scheduler.on_trial_result(_Replayed(controller), trial, result)
            if searcher is not None:
                searcher.on_trial_result(trial.trial_id, result)
    elif record["kind"] == "decision" and record["decision"] == "STOP":
        _told_end(controller, None, searcher, trial, {**trial.last_result, "config": trial.config}, ended)
    elif record["kind"] == "end" and record["state"] == "ERROR":
        if scheduler is not None:
            scheduler.on_trial_error(controller, trial)
        if searcher is not None:
            searcher.on_trial_complete(trial.trial_id, error=True)
    elif record["kind"] == "end" and record["state"] == "TERMINATED":
        _told_end(controller, scheduler, searcher, trial, {**trial.last_result, "config": trial.config}, ended)


def _told_end(
    controller: Any, scheduler: Any, searcher: Any, trial: Any, result: dict[str, Any], ended: set[int]
) -> None:
    if trial.number in ended:
        return
    ended.add(trial.number)
    if scheduler is not None:
        scheduler.on_trial_complete(controller, trial, result)
    if searcher is not None:
        searcher.on_trial_complete(trial.trial_id, result)


class _Replayed:
    """The controller while the journal is told again: what a scheduler does to other trials has been done."""

    def __init__(self, controller: Any) -> None:
        self._controller = controller

    def get_trials(self) -> Any:
        return self._controller.get_trials()

    def get_live_trials(self) -> Any:
        return self._controller.get_live_trials()

    def stop_trial(self, trial: Any) -> None:
        pass

    def pause_trial(self, trial: Any, should_checkpoint: bool = True) -> None:
        pass
