"""Our map on a Ray cluster."""

from __future__ import annotations

REQUIREMENTS = ["ray[client]==2.60.0", "pytest==9.2.0", "pytest-timeout==2.4.0", "numpy==2.4.6", "cloudpickle==3.1.2"]
FOLDER = "../tests/clouds"
TESTS = ["-c", "/dev/null", "--rootdir=.", "--confcutdir=.", "-W", "ignore", "--timeout=120", "test_on_ray.py"]
ENV = {"OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled"}
