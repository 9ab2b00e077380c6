REQUIREMENTS = [
    "modin==0.37.1",
    "pandas==2.3.3",
    "ray==2.60.0",
    "numpy==2.4.6",
    "cloudpickle==3.1.3",
    "pyarrow==26.0.1",
]
ENV = {"OMP_NUM_THREADS": "1"}

from daybreak.compat.ray import install  # noqa: E402

install()

from bench.modin.program import Program  # noqa: E402

program = Program()
teardown = program.stop
