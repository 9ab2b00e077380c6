"""One program against Ray Tune's API, which runs on both unchanged."""

import shutil
import tempfile
import time
from pathlib import Path

from bench.rows import Measure


def _results(config):
    from importlib import import_module

    report = import_module(config["module"]).report
    for i in range(config["results"]):
        report({"score": config["x"] * i})


def _once(config):
    return {"score": 1.0}


class Program:
    """``tune`` and ``schedulers`` are the modules; ``alive``, ``trials`` how many of them this side is measured with."""

    quick = False

    def __init__(self, tune, schedulers, alive, finished, quiet):
        self._tune, self._schedulers = tune, schedulers
        self._alive, self._finished, self._quiet = alive, finished, quiet

    def _fit(self, trainable, space, folder, name, **options):
        tune = self._tune
        tuner = tune.Tuner(
            trainable,
            param_space=space,
            tune_config=tune.TuneConfig(metric="score", mode="max", **options),
            run_config=tune.RunConfig(name=name, storage_path=str(folder), verbose=0, **self._quiet),
        )
        started = time.perf_counter()
        grid = tuner.fit()
        return grid, time.perf_counter() - started

    def _in_folder(self, work):
        folder = Path(tempfile.mkdtemp())
        try:
            return work(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def controller_results(self):
        """Rungs are there, and no trial is stopped by them: what is measured is the same work on both sides."""
        each = (2_000 if self.quick else 20_000) if self._alive > 50 else (100 if self.quick else 500)
        space = {"x": self._tune.uniform(1, 2), "results": each, "module": self._tune.__name__}
        asha = self._schedulers.ASHAScheduler(max_t=10**9, grace_period=10**8, reduction_factor=3)

        def work(folder):
            grid, took = self._fit(_results, space, folder, "e", num_samples=self._alive, scheduler=asha)
            assert sum(result.metrics["training_iteration"] for result in grid) == each * self._alive
            return Measure(each * self._alive / took, grid.num_errors, {"results": each * self._alive})

        return self._in_folder(work)

    def trial_overhead(self):
        count = (200 if self.quick else 2_000) if self._alive > 50 else (20 if self.quick else 100)

        def work(folder):
            space = {"x": self._tune.uniform(0, 1)}
            self._fit(_once, space, folder, "warm", num_samples=4, reuse_actors=True, max_concurrent_trials=2)
            grid, took = self._fit(
                _once, space, folder, "e", num_samples=count, reuse_actors=True, max_concurrent_trials=2
            )
            return Measure(took / count * 1e3, grid.num_errors)

        return self._in_folder(work)

    def resume_10k(self):
        count = self._finished // 10 if self.quick else self._finished

        def work(folder):
            space = {"x": self._tune.uniform(0, 1)}
            self._fit(_once, space, folder, "e", num_samples=count, reuse_actors=True, max_concurrent_trials=2)
            started = time.perf_counter()
            grid = self._tune.Tuner.restore(str(folder / "e"), _once).fit()
            took = time.perf_counter() - started
            return Measure(took / count * 1e3, [grid.num_errors, len(grid) == count])

        return self._in_folder(work)
