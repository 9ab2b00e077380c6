REQUIREMENTS = ["ray==2.60.*", "cloudpickle", "numpy", "virtualenv", "uv==0.13.8"]
ENV = {
    "RAY_ADDRESS": "local",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

import ray  # noqa: E402

from bench.runtime.program import Program  # noqa: E402

program = Program(ray)
teardown = program.stop
