REQUIREMENTS = ["mpi4py==4.1.*"]
PACKAGES = ["openmpi-bin"]
ENV = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",  # its driver polls, on one of the two cores that its workers have
}
QUICK = False

import os  # noqa: E402

from bench.peers import ROOT  # noqa: E402

os.environ["PYTHONPATH"] = str(ROOT)  # its workers are new interpreters, which import what is pickled by name

from mpi4py.futures import MPIPoolExecutor  # noqa: E402

from bench.runtime.executor import FUNCTIONS, ExecutorProgram  # noqa: E402

pool = ExecutorProgram(MPIPoolExecutor, FUNCTIONS)
teardown = pool.stop


def __getattr__(row: str):
    if not row.startswith(("metg_", "tasks_pipelined")):
        raise AttributeError(row)
    method = getattr(pool, row)

    def run():
        pool.quick = QUICK
        return method()

    return run
