"""Our side of controller_rows.py: ours.py takes these functions in. The runtime is there for their time alone."""

import daybreak
from bench.tune.controller_program import Program
from daybreak import tune
from daybreak.tune import schedulers


def _measured(name, quick):
    program = Program(tune, schedulers, alive=100, finished=10_000, quiet={})
    program.quick = quick
    with daybreak.init(num_cpus=100):
        return getattr(program, name)()


def rows_of_the_controller(is_quick):
    """The functions of the rows. is_quick(): whether they are small."""

    def row(name):
        def measure():
            return _measured(name, is_quick())

        return measure

    return row("controller_results"), row("trial_overhead"), row("resume_10k")
