import daybreak
from bench.runtime.spilling import Spilling
from daybreak import _core

QUICK = False
program = Spilling(daybreak)
program.contention = _core.runtime._contention
teardown = program.stop


def __getattr__(row: str):
    method = getattr(program, row)

    def run():
        program.quick = QUICK
        return method()

    return run
