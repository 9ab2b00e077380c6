"""Lightning's trainer reporting to an experiment. torch is PyPI's build for the CPU where there is one."""

from __future__ import annotations

REQUIREMENTS = [
    "pytest==9.2.0",
    "pytest-timeout==2.4.0",
    "numpy==2.4.6",
    "cloudpickle==3.1.2",
    "torch==2.13.0",
    "pytorch-lightning==2.6.6",
]
FOLDER = "../tests/lightning"
TESTS = ["-c", "/dev/null", "--rootdir=.", "--confcutdir=.", "-W", "ignore", "test_lightning.py"]
ENV = {"OMP_NUM_THREADS": "1"}
