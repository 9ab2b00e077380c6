REQUIREMENTS = [
    "modin==0.37.1",
    "pandas==2.3.3",
    "ray==2.60.0",
    "numpy==2.4.6",
    "cloudpickle==3.1.3",
    "pyarrow==26.0.1",
]
ENV = {"RAY_ADDRESS": "local", "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}

from bench.modin.program import Program  # noqa: E402

program = Program()
teardown = program.stop
