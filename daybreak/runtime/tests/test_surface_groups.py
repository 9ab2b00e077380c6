"""Placement groups: bundles are set apart together, hold what names them, and give everything back."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

import daybreak
from daybreak import exceptions as ex
from daybreak.runtime.placement_group import (
    PlacementGroup,
    get_current_placement_group,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from daybreak.runtime.scheduling import PlacementGroupSchedulingStrategy as In

from .conftest import eventually


@daybreak.remote
def here() -> str | None:
    group = get_current_placement_group()
    return None if group is None else group.id.hex()


@pytest.fixture
def four_cpus() -> Any:
    daybreak.shutdown()
    daybreak.init(num_cpus=4, num_gpus=2, resources={"license": 2}, object_store_memory=64 << 20)
    yield daybreak
    daybreak.shutdown()


def free(name: str) -> float:
    return daybreak.available_resources().get(name, 0.0)


def test_bundles_are_taken_from_what_is_free_and_come_back(four_cpus: Any) -> None:
    group = placement_group([{"CPU": 2, "GPU": 1}, {"license": 2, "CPU": 1}])
    assert four_cpus.get(group.ready(), timeout=20) == group
    assert (free("CPU"), free("GPU"), free("license")) == (1, 1, 0)
    remove_placement_group(group)
    remove_placement_group(group)
    assert eventually(lambda: (free("CPU"), free("GPU"), free("license")) == (4, 2, 2))


def test_what_names_a_group_runs_in_it_and_what_does_not_waits_for_the_rest(four_cpus: Any) -> None:
    group = placement_group([{"CPU": 4}])
    assert group.wait(20)
    outside = here.remote()
    inside = here.options(scheduling_strategy=In(group)).remote()
    assert four_cpus.get(inside, timeout=20) == group.id.hex()
    assert four_cpus.wait([outside], timeout=0.05) == ([], [outside])  # all four CPUs are the group's
    remove_placement_group(group)
    assert four_cpus.get(outside, timeout=20) is None


def test_a_bundle_holds_no_more_than_it_has(four_cpus: Any) -> None:
    group = placement_group([{"CPU": 1}, {"CPU": 1}])
    actors = [Holder.options(num_cpus=1, scheduling_strategy=In(group, i)).remote() for i in (0, 1, 0)]
    assert four_cpus.get([actor.where.remote() for actor in actors[:2]], timeout=20) == [group.id.hex()] * 2
    third = actors[2].where.remote()
    assert four_cpus.wait([third], timeout=0.05)[0] == []
    four_cpus.kill(actors[0])
    assert four_cpus.get(third, timeout=20) == group.id.hex()


@daybreak.remote
class Holder:
    def where(self) -> str | None:
        group = get_current_placement_group()
        return None if group is None else group.id.hex()

    def gpus(self) -> list[int]:
        return daybreak.get_gpu_ids()

    def child(self, **options: Any) -> Any:
        return daybreak.get(here.options(**options).remote())


def test_gpus_of_a_bundle_are_the_same_ones_for_all_in_it(four_cpus: Any) -> None:
    group = placement_group([{"GPU": 1, "CPU": 1}])
    strategy = In(group)
    one, two = (Holder.options(num_gpus=0.5, scheduling_strategy=strategy).remote() for _ in range(2))
    first, second = four_cpus.get([one.gpus.remote(), two.gpus.remote()], timeout=20)
    assert first == second and len(first) == 1


@pytest.mark.parametrize("capture", [True, False])
def test_children_are_of_the_group_where_it_captures_them(four_cpus: Any, capture: bool) -> None:
    group = placement_group([{"CPU": 2}])
    actor = Holder.options(num_cpus=1, scheduling_strategy=In(group, 0, capture)).remote()
    assert four_cpus.get(actor.child.remote(), timeout=20) == (group.id.hex() if capture else None)
    assert four_cpus.get(actor.child.remote(scheduling_strategy="DEFAULT"), timeout=20) is None
    assert four_cpus.get(here.remote(), timeout=20) is None


def test_a_group_that_has_to_wait_is_made_when_there_is_room(four_cpus: Any) -> None:
    first = placement_group([{"CPU": 3}])
    assert first.wait(20)
    second = placement_group([{"CPU": 1}, {"CPU": 1}])
    task = here.options(scheduling_strategy=In(second)).remote()
    assert not second.wait(0.05) and placement_group_table(second)["state"] == "PENDING"
    assert free("CPU") == 1  # one of its bundles would fit, and is not taken alone
    remove_placement_group(first)
    assert second.wait(20) and four_cpus.get(task, timeout=20) == second.id.hex()


def test_bundles_on_machines_of_their_own_wait_on_one_machine(four_cpus: Any) -> None:
    assert placement_group([{"CPU": 1}], strategy="STRICT_SPREAD").wait(20)
    apart = placement_group([{"CPU": 1}, {"CPU": 1}], strategy="STRICT_SPREAD")
    together = placement_group([{"CPU": 1}, {"CPU": 1}], strategy="STRICT_PACK")
    assert together.wait(20)  # it came later, and is there
    assert not apart.wait(0) and placement_group_table(apart)["stats"]["scheduling_state"] == "QUEUED"


def test_removal_ends_what_runs_and_fails_what_waits(four_cpus: Any) -> None:
    group = placement_group([{"CPU": 2}])
    actor = Holder.options(num_cpus=1, scheduling_strategy=In(group)).remote()
    four_cpus.get(actor.where.remote(), timeout=20)
    runs = forever.options(scheduling_strategy=In(group), max_retries=0).remote()
    assert eventually(lambda: free("CPU") == 2)
    waits = forever.options(num_cpus=2, scheduling_strategy=In(group), max_retries=0).remote()
    remove_placement_group(group)
    with pytest.raises((ex.WorkerCrashedError, ex.TaskPlacementGroupRemoved)):
        four_cpus.get(runs, timeout=20)
    with pytest.raises(ex.TaskPlacementGroupRemoved, match="removed"):
        four_cpus.get(waits, timeout=20)
    with pytest.raises(ex.ActorPlacementGroupRemoved, match="actor died because its placement group was removed"):
        four_cpus.get(actor.where.remote(), timeout=20)
    with pytest.raises(ex.PlacementGroupRemovedError, match="removed"):
        here.options(scheduling_strategy=In(group)).remote()
    assert eventually(lambda: free("CPU") == 4)
    assert placement_group_table(group)["state"] == "REMOVED"


@daybreak.remote
def forever() -> None:
    import threading

    threading.Event().wait()


def test_a_function_with_a_group_is_refused_once_the_group_is_gone(four_cpus: Any) -> None:
    group = placement_group([{"CPU": 1}])
    bound = here.options(scheduling_strategy=In(group))
    assert four_cpus.get(bound.remote(), timeout=20) == group.id.hex()
    remove_placement_group(group)
    with pytest.raises(ex.PlacementGroupRemovedError):
        for _ in range(1000):  # as soon as the scheduler has seen it
            four_cpus.wait([bound.remote()])


def test_a_group_is_found_by_its_name_and_goes_with_the_actor_that_made_it(four_cpus: Any) -> None:
    @four_cpus.remote
    class Maker:
        def make(self, lifetime: str | None, name: str) -> PlacementGroup:
            return placement_group([{"CPU": 1}], name=name, lifetime=lifetime)

    maker = Maker.remote()
    own, kept = four_cpus.get([maker.make.remote(None, "own"), maker.make.remote("detached", "kept")], timeout=20)
    assert get_placement_group("own") == own and get_placement_group("kept") == kept
    with pytest.raises(ValueError, match="'own' is there"):
        placement_group([{"CPU": 1}], name="own")
    four_cpus.kill(maker)
    assert eventually(lambda: placement_group_table(own)["state"] == "REMOVED")
    assert kept.wait(20)
    with pytest.raises(ValueError, match="Failed to look up placement group with name: own"):
        get_placement_group("own")


def test_a_group_is_the_same_in_a_copy_and_says_what_it_has(four_cpus: Any) -> None:
    group = placement_group([{"CPU": 1, "GPU": 0}, {"license": 1}], strategy="SPREAD")
    again = pickle.loads(pickle.dumps(group))
    assert again == group and hash(again) == hash(group) and again.wait(20)
    assert group.bundle_specs == [{"CPU": 1}, {"license": 1}] == PlacementGroup(group.id).bundle_specs
    assert group.bundle_count == 2
    table = placement_group_table(group)
    assert (table["strategy"], table["state"]) == ("SPREAD", "CREATED")
    assert placement_group_table()[group.id.hex()] == table
    assert PlacementGroup.empty().is_empty and not PlacementGroup.empty().wait(0)


BAD_GROUPS: dict[str, tuple[Callable[[], Any], str]] = {
    "no list": (lambda: placement_group({"CPU": 1}), "must be a list"),  # type: ignore[arg-type]
    "nothing": (lambda: placement_group([]), "empty"),
    "an empty bundle": (lambda: placement_group([{}]), "empty dictionary or resources with only 0"),
    "zeros alone": (lambda: placement_group([{"CPU": 0}]), "empty dictionary or resources with only 0"),
    "less than nothing": (lambda: placement_group([{"CPU": -1}]), "negative"),
    "an amount that is text": (lambda: placement_group([{"CPU": "1"}]), "resource dictionaries"),  # type: ignore[dict-item]
    "another strategy": (lambda: placement_group([{"CPU": 1}], strategy="FAST"), "strategy 'FAST'"),
    "another lifetime": (lambda: placement_group([{"CPU": 1}], lifetime="long"), "lifetime"),
    "too many": (lambda: placement_group([{"CPU": 1}] * 300), "at most 256"),
    "its own resource": (lambda: placement_group([{"bundle": 1}]), "'bundle'"),
}


@pytest.mark.parametrize("what", BAD_GROUPS)
def test_a_bad_group_is_refused_by_name(four_cpus: Any, what: str) -> None:
    make, text = BAD_GROUPS[what]
    with pytest.raises(ValueError, match=text):
        make()
    assert placement_group_table() == {}


def test_what_no_bundle_could_hold_is_refused_at_once(four_cpus: Any) -> None:
    group = placement_group([{"CPU": 1}, {"GPU": 1}])
    with pytest.raises(ValueError, match="cannot fit into any bundles"):
        here.options(num_cpus=2, scheduling_strategy=In(group)).remote()
    with pytest.raises(ValueError, match="cannot fit into bundle 1"):
        Holder.options(num_cpus=1, scheduling_strategy=In(group, 1)).remote()
    with pytest.raises(ValueError, match="bundle index 2 is invalid"):
        here.options(scheduling_strategy=In(group, 2)).remote()


def test_a_bundles_index_without_its_group_is_refused(ray: Any) -> None:
    task = ray.remote(lambda: 1)
    with pytest.raises(ValueError, match="placement_group_bundle_index=0 without a placement_group"):
        task.options(placement_group_bundle_index=0).remote()
    assert ray.get(task.options(placement_group_bundle_index=-1).remote()) == 1
