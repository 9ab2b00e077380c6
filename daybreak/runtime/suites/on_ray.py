"""The runtime's conformance tests on the other engine: a Ray cluster of two nodes on this machine, whose workers have no Daybreak.
DAYBREAK_TEST_ENGINE=ray: whose workers have it; ray-client, ray-client-bare: through Ray Client."""

from __future__ import annotations

REQUIREMENTS = [
    "ray[client]==2.60.0",
    "virtualenv",
    "cloudpickle==3.1.2",
    "numpy==2.4.6",
    "pytest==9.2.0",
    "pytest-timeout==2.4.0",
]
FOLDER = "../tests/conformance"
ENV = {"DAYBREAK_TEST_ENGINE": "ray-bare", "RAY_AUTH_MODE": "disabled"}
