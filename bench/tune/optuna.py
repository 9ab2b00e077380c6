import multiprocessing
import tempfile
import threading
import time
from pathlib import Path

import optuna

from bench.rows import Measure
from bench.tune.suggesting import after_200, timed

REQUIREMENTS = ["optuna==5.0.0", "pandas==3.1.1", "scipy==1.17.1", "torch==2.13.0"]
QUICK = False
PROCESSES, IN_FLIGHT = 8, 64
UNIT = optuna.distributions.FloatDistribution(0, 1)
optuna.logging.set_verbosity(optuna.logging.ERROR)
scratch = tempfile.TemporaryDirectory(dir="out") if Path("out").is_dir() else tempfile.TemporaryDirectory(dir=".")


def new(storage=None):
    return optuna.create_study(storage=storage, study_name="bench", sampler=optuna.samplers.RandomSampler(seed=0))


def random_ask_tell():
    study, best, trials = new(), 2.0, 500 if QUICK else 3000
    started = time.perf_counter()
    for _ in range(trials):
        trial = study.ask()
        value = trial.suggest_float("x", 0, 1) + trial.suggest_float("y", 0, 1)
        study.tell(trial, value)
        best = min(best, value)
    return Measure((time.perf_counter() - started) / trials * 1e6, study.best_value == best)


def journal(path):
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path))


def operate(path, ready, seconds, done):
    study = optuna.load_study(storage=journal(path), study_name="bench", sampler=optuna.samplers.RandomSampler())
    counts = [0] * IN_FLIGHT
    ready.wait()
    ends = time.monotonic() + seconds

    def work(place):
        while time.monotonic() < ends:
            trial = study.ask({"x": UNIT, "y": UNIT})
            study.tell(trial, trial.params["x"])
            counts[place] += 2

    threads = [threading.Thread(target=work, args=(place,)) for place in range(IN_FLIGHT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.put((sum(counts), time.monotonic() - ends))


def journal_ops():
    context = multiprocessing.get_context("fork")
    path = tempfile.mktemp(dir=scratch.name)
    new(journal(path))
    ready, done, seconds = context.Barrier(PROCESSES), context.Queue(), 3.0 if QUICK else 8.0
    workers = [context.Process(target=operate, args=(path, ready, seconds, done)) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    results = [done.get() for _ in workers]  # what was begun is finished, which takes its time
    for worker in workers:
        worker.join()
    study = optuna.load_study(storage=journal(path), study_name="bench")
    operations = sum(count for count, _ in results)
    assert 2 * len(study.trials) == operations
    return Measure(operations / (seconds + max(late for _, late in results)), "nothing lost")


def objective(trial):
    value = sum(trial.suggest_float(name, 0, 1) for name in "abc")
    return value + trial.suggest_int("n", 1, 9) + trial.suggest_categorical("kind", [1, 2.5])


def dataframe_10k():
    study = new()
    study.optimize(objective, n_trials=10_000)
    started = time.perf_counter()
    frame = study.trials_dataframe()
    return Measure(time.perf_counter() - started, [list(frame.shape), *list(frame.columns)])


def teardown():
    scratch.cleanup()


def suggesting(dims):
    trials = 200 if QUICK else 1_000
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1))
    found = timed(study.ask, study.tell, dims, trials)
    return Measure(found.value / trials * 1e3, info={**found.info, "trials": trials})


def tpe_10d():
    return suggesting(10)


def tpe_40d():
    return suggesting(40)


def gp_suggest_200():
    storage = optuna.storages.InMemoryStorage()
    filled = new(storage)

    def reopened(_):
        return optuna.load_study(storage=storage, study_name="bench", sampler=optuna.samplers.GPSampler(seed=1))

    return after_200(filled, reopened, 3 if QUICK else 20)
