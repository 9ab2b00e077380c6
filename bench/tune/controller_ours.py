"""Our side of controller_rows.py: ours.py takes these functions in."""

import daybreak
from bench.tune.controller_program import Program
from daybreak import tune
from daybreak.tune import schedulers

program = Program(tune, schedulers, alive=100, finished=10_000, quiet={})


def setup_controller():
    daybreak.init(num_cpus=100)


def controller_results():
    return program.controller_results()


def trial_overhead():
    return program.trial_overhead()


def resume_10k():
    return program.resume_10k()
