REQUIREMENTS = ["cloudpickle", "numpy"]

from concurrent.futures import ProcessPoolExecutor  # noqa: E402

from bench.runtime.executor import FUNCTIONS, ExecutorProgram  # noqa: E402

program = ExecutorProgram(ProcessPoolExecutor, FUNCTIONS)
teardown = program.stop
