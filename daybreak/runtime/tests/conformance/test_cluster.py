"""What only a cluster can show: work on both nodes, and a node that dies in the middle of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

import daybreak

ENGINE = os.environ.get("DAYBREAK_TEST_ENGINE", "local")
pytestmark = pytest.mark.skipif(ENGINE.startswith("local"), reason="one machine has one node")


@daybreak.remote
def node() -> str:
    return str(daybreak.get_runtime_context().get_node_id())


def test_work_goes_to_the_node_that_has_what_it_asks_for() -> None:
    head = node.options(resources={"head": 0.1}).remote()
    second = node.options(resources={"second": 0.1}).remote()
    assert daybreak.get(head, timeout=60) != daybreak.get(second, timeout=60)


def test_work_of_a_node_that_dies_goes_on_elsewhere(cluster: Any, eventually: Any) -> None:
    third = cluster.add_node(num_cpus=1, resources={"third": 1})
    cluster.wait_for_nodes()

    @daybreak.remote(max_retries=3, num_cpus=1)
    def slow(i: int) -> int:
        time.sleep(1.0)
        return i

    @daybreak.remote(num_cpus=0, resources={"third": 0.1}, max_restarts=0)
    class There:
        def hello(self) -> str:
            return "hello"

    there = There.remote()
    assert daybreak.get(there.hello.remote(), timeout=60) == "hello"
    refs = [slow.remote(i) for i in range(15)]
    daybreak.wait(refs, num_returns=2, timeout=60)
    cluster.remove_node(third, allow_graceful=False)
    assert daybreak.get(refs, timeout=120) == list(range(15))
    with pytest.raises((daybreak.exceptions.ActorDiedError, daybreak.exceptions.ActorUnavailableError)):
        daybreak.get(there.hello.remote(), timeout=60)
    # Until the cluster has seen it, it places actors there; they are lost with it, in whichever test comes next.
    assert eventually(lambda: sum(bool(node["Alive"]) for node in daybreak.nodes()) == 2, 120)


def test_a_worker_has_daybreak_or_a_stand_in_with_its_verbs() -> None:
    @daybreak.remote
    def looks() -> tuple[bool, str]:
        import daybreak as found

        try:
            found.rl  # noqa: B018
            missing = ""
        except AttributeError as error:
            missing = str(error)
        return hasattr(found, "__file__"), missing

    installed, missing = daybreak.get(looks.remote(), timeout=60)
    if ENGINE.endswith("bare"):
        assert not installed and "no Daybreak installed" in missing
    else:
        assert installed and not missing


@pytest.mark.skipif("client" not in ENGINE, reason="of Ray Client")
def test_generators_are_refused_through_ray_client_with_the_way_out() -> None:
    @daybreak.remote
    def numbers(count: int) -> Iterator[int]:
        yield from range(count)

    @daybreak.remote
    class Source:
        def numbers(self, count: int) -> Iterator[int]:
            yield from range(count)

    with pytest.raises(NotImplementedError, match="numbers yields, and Ray Client .* as a Ray job"):
        numbers.remote(3)
    with pytest.raises(NotImplementedError, match="Source.numbers yields"):
        Source.remote()
    with pytest.raises(NotImplementedError, match="numbers yields"):
        numbers.options(num_returns="dynamic").remote(3)
