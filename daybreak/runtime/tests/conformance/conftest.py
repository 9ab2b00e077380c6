"""One suite for every engine. DAYBREAK_TEST_ENGINE says which: "local" (the embedded one); "local_mode": everything in this
process, where what needs another one is left out (NEEDS_PROCESSES); "ray": a Ray cluster of two nodes whose workers have
Daybreak; "ray-bare": one whose workers cannot import it, as on a cluster where it is not installed.

Here only what both promise is asked for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import daybreak

# With local_mode each is done when it has been submitted, and there is one process.
NEEDS_PROCESSES = {
    "test_a_worker_that_dies_is_replaced_and_its_task_tried_again",
    "test_wait_splits_what_is_ready_in_the_order_given",
    "test_get_gives_up_after_its_timeout",
    "test_a_cancelled_task_is_a_task_cancelled_error",
    "test_an_actor_has_a_process_of_its_own_and_keeps_it",
    "test_an_actor_that_dies_is_restarted_as_often_as_asked",
    "test_calls_of_an_actor_that_dies_are_tried_again_when_asked",
    "test_a_threaded_actor_runs_calls_side_by_side",
    "test_a_task_and_an_actor_have_the_variables_of_their_environment_and_no_other_has",
}
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
    if ENGINE.startswith("local"):
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
            local_mode=ENGINE == "local_mode",
        )
    else:
        daybreak.init(cluster.address, namespace="conformance", log_to_driver=False)
        import ray

        ray.cloudpickle.register_pickle_by_value(request.module)  # as the code of a script is
    yield daybreak
    daybreak.shutdown()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if ENGINE == "local_mode":
        left_out = [item for item in items if item.name in NEEDS_PROCESSES]
        assert len(left_out) in (0, len(NEEDS_PROCESSES)) or len(items) < 30
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


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
