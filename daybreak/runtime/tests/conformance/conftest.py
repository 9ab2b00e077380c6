"""One suite for every engine. DAYBREAK_TEST_ENGINE says which: "local" (the embedded one); "ray": a Ray cluster of two nodes whose
workers have Daybreak; "ray-bare": one whose workers cannot import it, as on a cluster where it is not installed.

Here only what both promise is asked for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import daybreak

ENGINE = os.environ.get("DAYBREAK_TEST_ENGINE", "local")
_BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "daybreak":
            raise ImportError("this worker has no daybreak")

sys.meta_path.insert(0, Blocker())
"""


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Ray's, of two nodes with two CPUs each; None for the embedded engine."""
    if ENGINE == "local":
        yield None
        return
    from ray.cluster_utils import Cluster

    if ENGINE == "ray-bare":
        blocker = tmp_path_factory.mktemp("blocker")
        (blocker / "sitecustomize.py").write_text(_BLOCKER)
        os.environ["PYTHONPATH"] = str(blocker)  # of the nodes and their workers: this process has its path already
    try:
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "resources": {"head": 1, "licence": 2}})
        made.add_node(num_cpus=2, resources={"second": 1})
        made.wait_for_nodes()
    except Exception as error:  # of Ray itself, before anything of ours has run
        pytest.skip(f"no Ray cluster can be started here: {type(error).__name__}: {error}")
    yield made
    made.shutdown()


@pytest.fixture(scope="module", autouse=True)
def runtime(cluster: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    daybreak.shutdown()
    if cluster is None:
        daybreak.init(
            num_cpus=4,
            resources={"licence": 2, "head": 1, "second": 1},
            object_store_memory=256 << 20,
            namespace="conformance",
        )
    else:
        daybreak.init(cluster.address, namespace="conformance", log_to_driver=False)
        import ray

        ray.cloudpickle.register_pickle_by_value(request.module)  # as the code of a script is
    yield daybreak
    daybreak.shutdown()


def eventually(condition: Callable[[], Any], seconds: float = 30.0) -> bool:
    """Whether the condition comes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


@pytest.fixture(name="eventually")
def the_function() -> Callable[..., bool]:
    return eventually
