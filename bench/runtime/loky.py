REQUIREMENTS = ["joblib>=1.5", "cloudpickle", "numpy"]

import os  # noqa: E402

from bench.peers import ROOT  # noqa: E402

os.environ["PYTHONPATH"] = str(ROOT)  # its workers are new interpreters, which import what is pickled by name

from joblib.externals.loky import get_reusable_executor  # noqa: E402

from bench.runtime.executor import FUNCTIONS, ExecutorProgram  # noqa: E402

program = ExecutorProgram(get_reusable_executor, FUNCTIONS)
teardown = program.stop
