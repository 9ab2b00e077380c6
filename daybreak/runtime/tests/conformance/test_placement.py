"""Where tasks and actors run: placement groups, affinity, resources, as every engine has them."""

from __future__ import annotations

import os
from typing import Any

import pytest

import daybreak
from daybreak import exceptions
from daybreak.runtime.placement_group import (
    get_current_placement_group,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from daybreak.runtime.scheduling import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy


@daybreak.remote(num_cpus=1)
def node() -> str:
    return str(daybreak.get_runtime_context().get_node_id())


@pytest.mark.parametrize("strategy", ["PACK", "SPREAD", "STRICT_PACK"])
def test_a_group_reserves_its_bundles_and_gives_them_back(strategy: str, eventually: Any) -> None:
    free = daybreak.available_resources().get("licence", 0)
    group = placement_group([{"CPU": 1}, {"CPU": 1}], strategy=strategy)
    assert daybreak.get(group.ready(), timeout=60) is not None and group.wait(60)
    assert group.bundle_count == 2 and group.bundle_specs[0]["CPU"] == 1
    ran = node.options(scheduling_strategy=PlacementGroupSchedulingStrategy(group, 1)).remote()
    assert daybreak.get(ran, timeout=60)
    remove_placement_group(group)
    remove_placement_group(group)  # twice does no harm
    assert eventually(lambda: daybreak.available_resources().get("CPU") == 4.0)
    assert daybreak.available_resources().get("licence", 0) == free


def test_a_group_holds_what_others_cannot_have() -> None:
    group = placement_group([{"licence": 2}])
    assert group.wait(60)

    @daybreak.remote(num_cpus=0, resources={"licence": 1})
    def licensed() -> str:
        return "ran"

    outside = licensed.remote()
    inside = licensed.options(scheduling_strategy=PlacementGroupSchedulingStrategy(group)).remote()
    assert daybreak.get(inside, timeout=60) == "ran"
    assert daybreak.wait([outside], timeout=0.2)[0] == []
    remove_placement_group(group)
    assert daybreak.get(outside, timeout=60) == "ran"


def test_a_group_that_does_not_fit_waits_and_is_taken_back() -> None:
    group = placement_group([{"CPU": 64}])
    assert not group.wait(0.2)
    assert placement_group_table(group)["state"] == "PENDING"
    remove_placement_group(group)


def test_a_group_is_found_by_its_name_and_listed() -> None:
    group = placement_group([{"CPU": 1}], name="named")
    assert group.wait(60)
    assert get_placement_group("named").id == group.id
    row = placement_group_table(group)
    assert row["name"] == "named" and row["state"] == "CREATED" and row["strategy"] == "PACK"
    remove_placement_group(group)
    with pytest.raises(ValueError, match="Failed to look up"):
        get_placement_group("nobody's")


def test_what_runs_in_a_group_knows_it_and_its_tasks_may_inherit_it() -> None:
    group = placement_group([{"CPU": 2}])
    assert group.wait(60)

    @daybreak.remote(num_cpus=1)
    def mine() -> Any:
        from daybreak.runtime.placement_group import get_current_placement_group

        found = get_current_placement_group()
        return None if found is None else found.id.hex()

    @daybreak.remote(num_cpus=1)
    def child_s() -> Any:
        return daybreak.get(mine.remote())

    strategy = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)
    assert daybreak.get(mine.options(scheduling_strategy=strategy).remote(), timeout=60) == group.id.hex()
    assert daybreak.get(child_s.options(scheduling_strategy=strategy).remote(), timeout=60) == group.id.hex()
    assert daybreak.get(mine.remote(), timeout=60) is None and get_current_placement_group() is None
    remove_placement_group(group)


def test_an_actor_of_a_group_ends_with_it() -> None:
    group = placement_group([{"CPU": 1}])
    assert group.wait(60)

    @daybreak.remote(num_cpus=1)
    class There:
        def hello(self) -> str:
            return "hello"

    there = There.options(scheduling_strategy=PlacementGroupSchedulingStrategy(group, 0)).remote()
    assert daybreak.get(there.hello.remote(), timeout=60) == "hello"
    remove_placement_group(group)
    with pytest.raises((exceptions.ActorDiedError, exceptions.ActorUnavailableError)):
        for _ in range(1000):
            daybreak.get(there.hello.remote(), timeout=60)


@pytest.mark.parametrize(
    "bundles", [[], [{}], [{"CPU": 0}], [{"CPU": -1}], "CPU"], ids=["none", "empty", "zero", "negative", "text"]
)
def test_bundles_that_are_none_are_refused(bundles: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        placement_group(bundles)


def test_a_bundle_that_is_not_there_is_refused() -> None:
    group = placement_group([{"CPU": 1}])
    assert group.wait(60)
    with pytest.raises(ValueError, match="placement group bundle index 3 is invalid"):
        node.options(scheduling_strategy=PlacementGroupSchedulingStrategy(group, 3)).remote()
    remove_placement_group(group)


def test_a_task_runs_on_the_node_that_it_names() -> None:
    here = daybreak.get(node.remote(), timeout=60)
    there = node.options(scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False)).remote()
    assert daybreak.get(there, timeout=60) == here
    assert daybreak.get(node.options(scheduling_strategy="SPREAD").remote(), timeout=60)


def test_a_node_that_is_not_there_is_an_error_unless_it_may_be_another() -> None:
    nowhere = "ab" * 28
    soft = node.options(scheduling_strategy=NodeAffinitySchedulingStrategy(nowhere, soft=True)).remote()
    assert daybreak.get(soft, timeout=60)
    with pytest.raises(exceptions.TaskUnschedulableError):
        daybreak.get(
            node.options(scheduling_strategy=NodeAffinitySchedulingStrategy(nowhere, soft=False)).remote(), timeout=60
        )


def test_fractions_of_a_resource_add_up(tmp_path: Any) -> None:
    @daybreak.remote(num_cpus=0, resources={"licence": 0.5})
    def quarter(folder: str, name: str) -> int:
        import time

        open(os.path.join(folder, name), "w").close()
        for _ in range(3000):
            if len(os.listdir(folder)) >= 4:
                return 4
            time.sleep(0.01)
        return len(os.listdir(folder))

    assert daybreak.get([quarter.remote(str(tmp_path), str(i)) for i in range(4)], timeout=60) == [4] * 4


def test_memory_is_a_resource() -> None:
    @daybreak.remote(memory=1 << 20)
    def little() -> str:
        return "ran"

    assert daybreak.cluster_resources()["memory"] > 1 << 20
    assert daybreak.get(little.remote(), timeout=60) == "ran"
