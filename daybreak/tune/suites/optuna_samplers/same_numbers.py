"""Where the algorithm is fixed by its inputs: our numbers beside Optuna's on the same ones."""

from __future__ import annotations

import math

import cmaes
import numpy as np
import optuna
import pytest
import scipy.stats
from optuna._hypervolume import compute_hypervolume
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
from optuna.samplers._tpe.sampler import _split_complete_trials_multi_objective, default_weights

from daybreak._core import tune
from daybreak.tune import optuna as ours
from daybreak.tune.optuna.mirror import native

SPACES: dict[str, dict[str, BaseDistribution]] = {
    "real": {"a": FloatDistribution(-3, 5), "b": FloatDistribution(100, 101)},
    "log": {"a": FloatDistribution(1e-7, 10, log=True), "b": IntDistribution(1, 300, log=True)},
    "steps": {
        "a": FloatDistribution(-1, 1, step=0.1),
        "b": IntDistribution(0, 9, step=3),
        "c": IntDistribution(0, 500),
    },
    "categories": {"a": CategoricalDistribution(["x", "y", "z"]), "b": CategoricalDistribution([True, False])},
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())
@pytest.mark.parametrize("count", [0, 1, 2, 10, 26, 120])
@pytest.mark.parametrize("equal", [False, True])
def test_densities(
    space: dict[str, BaseDistribution], count: int, equal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    unstable = np.argsort  # which of equal observations has which neighbour is left open there; ours go by number
    monkeypatch.setattr(np, "argsort", lambda a, **options: unstable(a, **{**options, "kind": "stable"}))
    random = optuna.samplers.RandomSampler(seed=count)
    study = optuna.create_study(sampler=random)
    rows = [[d.to_internal_repr(study.ask(space).params[n]) for n, d in space.items()] for _ in range(count + 8)]
    seen, points = np.array(rows[:count]).reshape(count, len(space)), np.array(rows[count:])
    options = _ParzenEstimatorParameters(1.0, True, False, default_weights, True)
    theirs = _ParzenEstimator(
        {name: seen[:, k] for k, name in enumerate(space)}, space, options, np.ones(count) if equal else None
    )
    expected = theirs.log_pdf({name: points[:, k] for k, name in enumerate(space)})
    found = tune.parzen_log_densities([native(d) for d in space.values()], seen.tolist(), equal, points.tolist())
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("objectives", [2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_good_trials_of_several_objectives(objectives: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.integers(0, 12, (60, objectives)) / 8 if seed % 2 else random.random((60, objectives))
    study = optuna.create_study(directions=["minimize"] * objectives)
    for row in values:
        study.add_trial(optuna.create_trial(values=row.tolist()))
    for count in (1, 6, 20, 45):
        below, _ = _split_complete_trials_multi_objective(study.trials, study, count)
        ours = sorted(tune.best_of_fronts(values.tolist(), count))
        if not seed % 2:
            assert ours == sorted(trial.number for trial in below)
        assert len(ours) == count == len(set(ours))
    reference = values.max(axis=0) * 1.1
    assert math.isclose(
        tune.hypervolume(values.tolist(), reference.tolist()), compute_hypervolume(values, reference), rel_tol=1e-12
    )


@pytest.mark.parametrize("steps", [False, True])
@pytest.mark.parametrize("dims", [1, 2, 7, 20])
def test_cma_is_the_peers_after_the_same_generations(dims: int, steps: bool) -> None:
    random = np.random.default_rng(dims)
    grid = [0.25 if k % 2 == 0 else 0.0 for k in range(dims)] if steps else []
    bounds = np.array([[0.0, 1.0]] * dims)
    if steps:
        theirs = cmaes.CMAwM(np.full(dims, 0.5), 1 / 6, bounds, np.array(grid))
        state = theirs._cma
    else:
        state = theirs = cmaes.CMA(np.full(dims, 0.5), 1 / 6, bounds)
    own = tune.Cma([0.5] * dims, 1 / 6, theirs.population_size, grid)
    target = random.random(dims)
    for _ in range(60):
        if np.sqrt(np.diag(state._C)).max() * state._sigma < 1e-6:
            break  # below this only the rounding is compared
        points = [
            random.multivariate_normal(state._mean, state._sigma**2 * state._C) for _ in range(theirs.population_size)
        ]
        if steps:
            for point in points:
                np.testing.assert_allclose(
                    np.array(own.on_steps(point.tolist()))[::2], theirs._encode_discrete_params(point[::2]), atol=1e-12
                )
        losses = [float(((point - target) ** 2 * np.arange(1, dims + 1)).sum()) for point in points]
        theirs.tell(list(zip(points, losses, strict=True)))
        own.tell([(point.tolist(), loss) for point, loss in zip(points, losses, strict=True)])
        np.testing.assert_allclose(own.mean, state._mean, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(own.sigma, state._sigma, rtol=1e-6)
        np.testing.assert_allclose(np.array(own.covariance).reshape(dims, dims), state._C, rtol=1e-5, atol=1e-6)


def test_sobol_points_are_scipys() -> None:
    expected = scipy.stats.qmc.Sobol(256, scramble=False).random(64)
    found = [tune.qmc_point(0, False, False, index, 256) for index in range(64)]
    np.testing.assert_array_equal(found, expected)
    expected = scipy.stats.qmc.Halton(20, scramble=False).random(200)
    np.testing.assert_allclose(
        [tune.qmc_point(0, True, False, index, 20) for index in range(200)], expected, atol=1e-12
    )


def tuned(trials: int, objectives: int = 1) -> optuna.Study:
    study = optuna.create_study(
        directions=["minimize", "maximize"][:objectives], sampler=optuna.samplers.RandomSampler(seed=trials)
    )

    def objective(trial: optuna.Trial) -> float | tuple[float, ...]:
        x = trial.suggest_float("x", 0.1, 3)
        lr = trial.suggest_float("lr", 1e-5, 1, log=True)
        n = trial.suggest_int("n", 1, 300, log=True)
        q = trial.suggest_float("q", 0, 1, step=0.05)
        c = trial.suggest_categorical("c", ["a", "b", "c"])
        k = trial.suggest_int("k", 0, 3) if c == "a" else 0
        value = x**2 + abs(math.log10(lr) + 2) + math.log(n) / 9 + q + {"a": 0, "b": 1, "c": 2}[c] + k / 3
        return value if objectives == 1 else (value, x - lr)

    study.optimize(objective, n_trials=trials)
    return study


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("objectives", [1, 2])
@pytest.mark.parametrize("trials", [3, 30, 300])
@pytest.mark.parametrize(
    "options", [{}, {"evaluate_on_local": False}, {"target_quantile": 0.2, "region_quantile": 0.6}]
)
def test_ped_anova_is_optunas(options: dict[str, float], trials: int, objectives: int) -> None:
    study = tuned(trials, objectives)
    expected = optuna.importance.PedAnovaImportanceEvaluator(**options).evaluate(study)
    found = ours.PedAnovaImportanceEvaluator(**options).evaluate(study)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_forests_agree_with_scikit_learns() -> None:
    study = tuned(150)
    names = ["x", "lr", "n", "q"]  # a category is one parameter here and a cube of indicators there
    expected = optuna.importance.FanovaImportanceEvaluator(seed=0).evaluate(study, params=names)
    found = ours.FanovaImportanceEvaluator(seed=0).evaluate(study, params=names)
    assert found == pytest.approx(expected, abs=0.03)
    names = ["c", "lr", "n", "q", "x"]  # sorted: Optuna 5.0.0 gives the forest's sorted columns the names as they come
    expected = optuna.importance.MeanDecreaseImpurityImportanceEvaluator(seed=0).evaluate(study, params=names)
    found = ours.MeanDecreaseImpurityImportanceEvaluator(seed=0).evaluate(study, params=names)
    assert found == pytest.approx(expected, abs=0.03)
