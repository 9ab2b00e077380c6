REQUIREMENTS = ["cloudpickle", "numpy"]
QUICK = False

from concurrent.futures import ProcessPoolExecutor  # noqa: E402

from bench.runtime.executor import FUNCTIONS, ExecutorProgram  # noqa: E402

program = ExecutorProgram(ProcessPoolExecutor, FUNCTIONS)
teardown = program.stop


def __getattr__(row: str):
    method = getattr(program, row)

    def run():
        program.quick = QUICK
        return method()

    return run
