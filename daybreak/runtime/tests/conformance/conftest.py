"""One suite for every engine. DAYBREAK_TEST_ENGINE says which: "local" (the embedded one); "local_mode": everything in this
process, where what needs another one is left out (NEEDS_PROCESSES); "ray": a Ray cluster of two nodes whose workers have
Daybreak; "ray-bare": one whose workers cannot import it, as on a cluster where it is not installed; "ray-client" and
"ray-client-bare": such clusters through Ray Client (ray://), as from a laptop.

Here only what both promise is asked for.
"""

from __future__ import annotations

import os
import socket
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
    "test_a_worker_ends_after_as_many_calls_as_max_calls_says",
    "test_calls_beyond_max_pending_calls_are_refused",
    "test_a_call_whose_argument_is_late_is_overtaken_when_asked_so",
    "test_a_queued_call_of_an_actor_is_cancelled",
    "test_what_a_cancelled_task_submitted_is_cancelled_with_it",
    "test_a_task_is_cancelled_by_force_though_it_takes_no_notice",
    "test_an_actor_s_call_is_not_cancelled_by_force",
    "test_two_hundred_calls_of_a_coroutine_actor_run_at_once",
    "test_a_limit_of_concurrent_coroutines_is_kept",
    "test_a_cancelled_coroutine_sees_it_and_the_others_go_on",
    "test_calls_of_one_concurrency_group_do_not_wait_for_another",
    "test_references_are_gathered_and_waited_for_with_a_limit",
    "test_a_worker_that_dies_is_a_worker_crashed_error",
    "test_a_worker_that_is_killed_is_a_worker_crashed_error",
    "test_calls_of_a_dead_actor_are_actor_died_errors",
    "test_a_get_that_gives_up_is_a_timeout_error",
    "test_the_object_of_an_owner_that_died_is_lost",
    "test_an_environment_that_cannot_be_made_is_a_runtime_env_setup_error",
    "test_next_gives_the_first_item_while_the_task_still_runs",
    "test_a_producer_is_held_back_as_far_as_asked",
    "test_a_stream_whose_worker_dies_says_so",
}
OF_PROCESSES = ("test_environments.py", "test_placement.py")  # whole files: the rule is refused with a sentence there
# Ray Client's own limits; docs/cluster.md says them. What a program meets there is in test_cluster.py.
NOT_THROUGH_RAY_CLIENT = {
    "test_a_named_actor_is_found_by_whoever_knows_the_name",  # a name that nobody has is not refused
    "test_a_method_is_tried_again_for_the_exceptions_that_it_names",  # methods have num_returns and concurrency_group alone
    "test_calls_of_one_concurrency_group_do_not_wait_for_another",
    "test_calls_beyond_max_pending_calls_are_refused",
    "test_an_actor_s_call_is_not_cancelled_by_force",
    "test_wait_refuses_duplicates_and_get_what_is_no_reference",
    "test_a_generator_with_a_number_of_results_gives_one_a_yield",
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

    if ENGINE.endswith("bare"):
        blocker = tmp_path_factory.mktemp("blocker")
        if "client" not in ENGINE:  # through Ray Client the workers do not have this process's path anyway
            (blocker / "sitecustomize.py").write_text(_BLOCKER)
        os.environ["PYTHONPATH"] = str(blocker)  # of the nodes and their workers: this process has its path already
    try:
        head: dict[str, Any] = {"num_cpus": 2, "resources": {"head": 1, "licence": 2}}
        if "client" in ENGINE:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                head["ray_client_server_port"] = free.getsockname()[1]
        made = Cluster(initialize_head=True, head_node_args=head)
        made.where = f"ray://127.0.0.1:{head['ray_client_server_port']}" if "client" in ENGINE else made.address
        made.add_node(num_cpus=2, resources={"second": 1})
        made.wait_for_nodes()
    except Exception as error:  # of Ray itself, before anything of ours has run
        pytest.skip(f"no Ray cluster can be started here: {type(error).__name__}: {error}")
    yield made
    daybreak.shutdown()
    made.shutdown()


@pytest.fixture(scope="module", autouse=True)
def runtime(cluster: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    if cluster is None:
        daybreak.shutdown()
        daybreak.init(
            num_cpus=4,
            resources={"licence": 2, "head": 1, "second": 1},
            object_store_memory=256 << 20,
            namespace="conformance",
            local_mode=ENGINE == "local_mode",
        )
    else:
        if not daybreak.is_initialized():  # one program for all files: another one's first tasks wait for new workers
            daybreak.init(cluster.where, namespace="conformance", log_to_driver=False)
        import ray

        ray.cloudpickle.register_pickle_by_value(request.module)  # as the code of a script is
    yield daybreak
    if cluster is None:
        daybreak.shutdown()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "client" in ENGINE:
        refused = [
            item for item in items if item.name in NOT_THROUGH_RAY_CLIENT or item.path.name == "test_generators.py"
        ]
        config.hook.pytest_deselected(items=refused)
        items[:] = [item for item in items if item not in refused]
    if ENGINE == "local_mode":
        left_out = [item for item in items if item.name in NEEDS_PROCESSES or item.path.name in OF_PROCESSES]
        assert len(items) < 60 or {item.name for item in left_out} >= NEEDS_PROCESSES
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
