"""Ray Tune: with as many trials alive as it does most results with."""

REQUIREMENTS = ["ray[tune]==2.60.0"]
ENV = {"RAY_DEDUP_LOGS": "0", "RAY_AIR_NEW_OUTPUT": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "0"}
QUICK = False

import ray  # noqa: E402
from ray import tune  # noqa: E402
from ray.tune import schedulers  # noqa: E402

from bench.tune.controller_program import Program  # noqa: E402

program = Program(tune, schedulers, alive=8, finished=500, quiet={})


def setup():
    ray.init(num_cpus=100, log_to_driver=False, include_dashboard=False)


def teardown():
    ray.shutdown()


def controller_results():
    program.quick = QUICK
    return program.controller_results()


def trial_overhead():
    program.quick = QUICK
    return program.trial_overhead()


def resume_10k():
    program.quick = QUICK
    return program.resume_10k()
