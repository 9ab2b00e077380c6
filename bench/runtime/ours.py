import daybreak
from bench.runtime.program import Program

QUICK = False
program = Program(daybreak)
teardown = program.stop


def __getattr__(row: str):
    method = getattr(program, row)

    def run():
        program.quick = QUICK
        return method()

    return run
