import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path

from bench.rows import Measure
from bench.tune.controller_ours import rows_of_the_controller
from bench.tune.sklearn_program import searched
from bench.tune.suggesting import after_200, evaluations, timed
from daybreak import tune

QUICK = False
PROCESSES, IN_FLIGHT = 8, 64
UNIT = tune.Distribution.real(0, 1)
scratch = tempfile.TemporaryDirectory(dir="out") if Path("out").is_dir() else tempfile.TemporaryDirectory(dir=".")


def asked_and_told(study, trials):
    best = 2.0
    ask, tell = study.ask, study.tell
    started = time.perf_counter()
    for _ in range(trials):
        trial = ask()
        value = trial.suggest_float("x", 0, 1) + trial.suggest_float("y", 0, 1)
        tell(trial, value)
        best = min(best, value)
    return (time.perf_counter() - started) / trials * 1e6, best


def random_ask_tell():
    asked_and_told(tune.create_study(seed=0), 1000)
    study = tune.create_study(seed=0)
    took, best = asked_and_told(study, 20_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    large = tune.create_study(seed=0)
    asked_and_told(large, 20_000 if QUICK else 100_000)
    bytes_a_trial = (
        (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / (20_000 if QUICK else 100_000)
    )
    return Measure(took, study.best_value == best, {"bytes_a_trial": bytes_a_trial})


def suggesting(sampler, dims, trials, objectives=1):
    study = tune.create_study(directions=["minimize"] * objectives, sampler=sampler, seed=1)
    return timed(study.ask, study.tell, dims, trials, objectives)


def tpe_10d():
    return suggesting(tune.SamplerFactory.tpe(), 10, 1_000)


def tpe_40d():
    return suggesting(tune.SamplerFactory.tpe(), 40, 1_000)


def cmaes_100k():
    return suggesting(tune.SamplerFactory.cmaes(), 40, evaluations(QUICK))


def nsga2_100k():
    return suggesting(tune.SamplerFactory.nsga2(), 40, evaluations(QUICK), 2)


def gp_suggest_200():
    storage = tune.Storage.in_memory()
    filled = tune.create_study(storage=storage, study_name="bench", sampler=tune.SamplerFactory.random(), seed=1)

    def reopened(_):
        return tune.load_study(storage=storage, study_name="bench", sampler=tune.SamplerFactory.gp(seed=1))

    return after_200(filled, reopened, 5 if QUICK else 20)


def operate(path, ready, seconds, done):
    study = tune.Study(tune.Storage.open(path), "bench", [1], create=False, synced_asks=True)
    operations = 0
    ready.wait()
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        asked = study.ask_many(IN_FLIGHT, {"x": UNIT, "y": UNIT})
        study.tell_many([(trial, params["x"]) for trial, params in asked])
        operations += 2 * IN_FLIGHT
    done.put(operations)


def journal_ops():
    context = multiprocessing.get_context("fork")
    path = tempfile.mktemp(dir=scratch.name)
    tune.create_study(storage=path, study_name="bench")
    ready, done, seconds = context.Barrier(PROCESSES), context.Queue(), 1.0 if QUICK else 3.0
    workers = [context.Process(target=operate, args=(path, ready, seconds, done)) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    operations = sum(done.get() for _ in workers)
    for worker in workers:
        worker.join()
    states = [trial.state for trial in tune.load_study(storage=path).trials]
    assert len(states) == operations / 2 and set(states) == {tune.TrialState.COMPLETE}
    return Measure(operations / seconds, "nothing lost")


def objective(trial):
    value = sum(trial.suggest_float(name, 0, 1) for name in "abc")
    return value + trial.suggest_int("n", 1, 9) + trial.suggest_categorical("kind", [1, 2.5])


def dataframe_10k():
    path = tempfile.mktemp(dir=scratch.name)
    tune.create_study(storage=path, study_name="bench", synced=False).optimize(objective, n_trials=10_000)
    study = tune.load_study(storage=path)
    study.trials_dataframe()  # loads pandas
    study = tune.load_study(storage=path)
    started = time.perf_counter()
    frame = study.trials_dataframe()
    return Measure(time.perf_counter() - started, [list(frame.shape), *list(frame.columns)])


def sklearn_grid():
    from daybreak.tune.sklearn import GridSearchCV

    return searched(GridSearchCV, os.cpu_count(), QUICK)


def teardown():
    scratch.cleanup()


controller_results, trial_overhead, resume_10k = rows_of_the_controller(lambda: QUICK)
