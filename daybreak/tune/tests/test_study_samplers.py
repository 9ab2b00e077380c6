from pathlib import Path

import pytest

from daybreak import tune
from daybreak.base import errors

FACTORIES = {
    "tpe": tune.SamplerFactory.tpe(group=True),
    "tpe alone": tune.SamplerFactory.tpe(multivariate=False),
    "gp": tune.SamplerFactory.gp(),
    "cmaes": tune.SamplerFactory.cmaes(with_margin=True, restarts="bipop"),
    "nsga2": tune.SamplerFactory.nsga2(population=8, crossover="sbx"),
    "qmc": tune.SamplerFactory.qmc(scramble=True),
}


def objective(trial: tune.Trial) -> float:
    x = trial.suggest_float("x", -5, 5)
    n = trial.suggest_int("n", 1, 30)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    return (x - 1.5) ** 2 + abs(n - 20) / 10 + (kind == "a")


def asked(study: tune.Study) -> list[float]:
    trial = study.ask()
    return [trial.suggest_float("x", -5, 5), trial.suggest_int("n", 1, 30)]


@pytest.mark.parametrize("name", FACTORIES)
def test_a_study_that_is_opened_again_asks_on_as_the_one_that_stayed_open(name: str, tmp_path: Path) -> None:
    found = []
    for split in (False, True):
        path = tmp_path / f"{split}.journal"
        study = tune.create_study(storage=path, study_name="s", seed=7, sampler=FACTORIES[name])
        study.optimize(objective, n_trials=20)
        if split:
            del study
            study = tune.load_study(study_name="s", storage=path, sampler=FACTORIES[name])
        study.optimize(objective, n_trials=8)
        found.append((asked(study), study.best_value))
    assert found[0] == found[1]


def test_models_find_better_values_than_chance() -> None:
    def best(sampler: tune.SamplerFactory | None) -> float:
        total = 0.0
        for seed in range(5):
            study = tune.create_study(seed=seed, sampler=sampler)
            study.optimize(objective, n_trials=45)
            total += study.best_value
        return total

    chance = best(None)
    for name in ("tpe", "gp", "cmaes"):
        assert best(FACTORIES[name]) < 0.8 * chance, name


def test_a_grid_has_every_cell_once_and_then_says_that_there_is_none() -> None:
    study = tune.create_study(seed=1, sampler=tune.SamplerFactory.grid([("x", [0.0, 0.5]), ("kind", [0, 1])]))
    cells = set()
    for _ in range(4):
        trial = study.ask()
        cells.add((trial.suggest_float("x", 0, 1), trial.suggest_categorical("kind", ["a", "b"])))
        study.tell(trial, 0.0)
    assert cells == {(0.0, "a"), (0.0, "b"), (0.5, "a"), (0.5, "b")}
    with pytest.raises(errors.OutOfRangeError, match="all 4 cells"):
        study.ask().suggest_float("x", 0, 1)


def test_a_factory_refuses_what_cannot_be_before_there_is_a_study() -> None:
    with pytest.raises(ValueError, match="restarts='twice': 'ipop', 'bipop' or None"):
        tune.SamplerFactory.cmaes(restarts="twice")
    with pytest.raises(ValueError, match="popsize=2: 4 to"):
        tune.SamplerFactory.cmaes(population=2)
    with pytest.raises(ValueError, match="crossover='one': 'uniform' or 'sbx'"):
        tune.SamplerFactory.nsga2(crossover="one")
    with pytest.raises(ValueError, match="axis 'x' has no values"):
        tune.SamplerFactory.grid([("x", [])])
