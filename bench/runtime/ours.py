import daybreak
from bench.runtime.own import Own
from daybreak import _core

QUICK = False
program = Own(daybreak)
program.contention = _core.runtime._contention
teardown = program.stop


def __getattr__(row: str):
    method = getattr(program, row)

    def run():
        program.quick = QUICK
        return method()

    return run
