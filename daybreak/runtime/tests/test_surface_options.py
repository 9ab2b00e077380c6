"""Options, strategies, labels and init's arguments: each value is taken or refused by name."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import daybreak
from daybreak import exceptions as ex
from daybreak.runtime.scheduling import (
    DoesNotExist,
    Exists,
    In,
    NodeAffinitySchedulingStrategy,
    NodeLabelSchedulingStrategy,
    NotIn,
    PlacementGroupSchedulingStrategy,
)


@pytest.fixture(scope="module")
def labelled() -> Any:
    daybreak.shutdown()
    daybreak.init(
        num_cpus=2,
        num_gpus=1,
        labels={"zone": "north"},
        object_store_memory=64 << 20,
        _memory=1 << 30,
        namespace="mine",
    )
    yield daybreak
    daybreak.shutdown()


TAKEN: list[dict[str, Any]] = [
    {"num_cpus": np.float32(0.5), "num_gpus": 0.25, "memory": 1 << 20, "resources": {}},
    {"num_cpus": 0.123456789},
    {"name": "other", "enable_task_events": False, "_labels": {"a": "b"}, "_metadata": {"x": 1}},
    {"scheduling_strategy": "SPREAD"},
    {"scheduling_strategy": "DEFAULT", "label_selector": {"zone": "in(north, south)"}},
    {"fallback_strategy": [{"label_selector": {"zone": "east"}}]},
    {"runtime_env": {}},
    {"num_cpus": None, "memory": None, "scheduling_strategy": None, "runtime_env": None, "max_retries": None},
]

REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"num_cpu": 1}, ValueError, "'num_cpu': did you mean 'num_cpus'"),
    ({"num_cpus": "1"}, TypeError, "type of keyword 'num_cpus'"),
    ({"num_cpus": -1}, ValueError, "cannot be negative"),
    ({"num_gpus": 0.00001}, ValueError, "cannot go beyond 0.0001"),
    ({"memory": "1"}, TypeError, "type of keyword 'memory'"),
    ({"memory": -1}, ValueError, "memory.* cannot be negative"),
    ({"resources": {"CPU": 1}}, ValueError, "num_cpus"),
    ({"resources": {"a": -1}}, ValueError, "cannot be negative"),
    ({"resources": 1}, TypeError, "type of keyword 'resources'"),
    ({"scheduling_strategy": "FAST"}, ValueError, "scheduling_strategy value 'FAST'"),
    ({"scheduling_strategy": 1}, TypeError, "scheduling_strategy=1"),
    ({"label_selector": {"zone": 1}}, ValueError, "dict of strings"),
    ({"label_selector": {"zone": "in(north"}}, ValueError, "in\\(north"),
    ({"accelerator_type": 1}, TypeError, "accelerator_type=1"),
    ({"_labels": {"a": 1}}, TypeError, "_labels"),
    ({"enable_task_events": 1}, TypeError, "True or False"),
]


@daybreak.remote
def nothing() -> None:
    pass


@daybreak.remote
class Nothing:
    def go(self) -> None:
        pass

    def amounts(self) -> dict[str, float]:
        return daybreak.get_runtime_context().get_assigned_resources()


@pytest.mark.parametrize("options", TAKEN, ids=str)
def test_options_of_tasks_and_actors_are_taken(labelled: Any, options: dict[str, Any]) -> None:
    assert labelled.get(nothing.options(**options).remote(), timeout=20) is None
    actor = Nothing.options(**{name: value for name, value in options.items() if name != "max_retries"}).remote()
    assert labelled.get(actor.go.remote(), timeout=20) is None


@pytest.mark.parametrize(("options", "kind", "text"), REFUSED, ids=[str(each[0]) for each in REFUSED])
def test_a_bad_option_is_refused_for_tasks_and_actors(
    labelled: Any, options: dict[str, Any], kind: type[Exception], text: str
) -> None:
    for make in (nothing.options, Nothing.options, daybreak.remote):
        with pytest.raises(kind, match=text):
            made = make(**options)
            made(lambda: None)  # what remote() gives takes a function


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"max_concurrency": 0}, ValueError, "max_concurrency=0"),
        ({"max_pending_calls": 0}, ValueError, "max_pending_calls=0"),
        ({"name": ""}, ValueError, "empty string"),
        ({"name": 3}, TypeError, "None or a string"),
        ({"namespace": ""}, ValueError, "not a valid namespace"),
        ({"namespace": 3}, TypeError, "None or a string"),
        ({"lifetime": "long"}, ValueError, "lifetime='long'"),
        ({"concurrency_groups": {"io": 0}}, ValueError, "'io'.*None or a positive integer"),
        ({"enable_tensor_transport": True}, ValueError, "object store"),
        ({"max_restarts": -2}, ValueError, "None, 0, -1 or a positive integer"),
        ({"max_calls": 1}, ValueError, "no option 'max_calls'"),
    ],
    ids=str,
)
def test_a_bad_option_of_an_actor_is_refused(
    labelled: Any, options: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        Nothing.options(**options)


def test_max_calls_belongs_to_the_decorator() -> None:
    assert daybreak.remote(max_calls=1)(lambda: None) is not None
    with pytest.raises(ValueError, match="'max_calls' is not supported in '.options"):
        nothing.options(max_calls=1)


def test_memory_is_counted_as_any_resource(labelled: Any) -> None:
    assert daybreak.cluster_resources()["memory"] == 1 << 30
    actor = Nothing.options(memory=700 << 20).remote()
    assert labelled.get(actor.amounts.remote(), timeout=20) == {"memory": 700 << 20}
    assert daybreak.available_resources()["memory"] == (1 << 30) - (700 << 20)
    second = nothing.options(memory=700 << 20).remote()
    assert labelled.wait([second], timeout=0.05)[0] == []
    labelled.kill(actor)
    assert labelled.get(second, timeout=20) is None
    with pytest.raises(ex.TaskUnschedulableError, match="memory"):
        labelled.get(nothing.options(memory=2 << 30).remote(), timeout=20)


def test_another_node_is_refused_and_this_one_taken(labelled: Any) -> None:
    node = daybreak.nodes()[0]["NodeID"]
    assert node == daybreak.get_runtime_context().get_node_id()
    for strategy in (
        NodeAffinitySchedulingStrategy(node, soft=False),
        NodeAffinitySchedulingStrategy("00" * 28, soft=True),
    ):
        assert labelled.get(nothing.options(scheduling_strategy=strategy).remote(), timeout=20) is None
    other = NodeAffinitySchedulingStrategy("00" * 28, soft=False)
    for make in (nothing, Nothing):
        with pytest.raises(ex.TaskUnschedulableError, match="is not there, and soft=False"):
            make.options(scheduling_strategy=other).remote()
    for bad, kind in ((3, TypeError), ("xyz", ValueError)):
        with pytest.raises(kind, match="hexadecimal"):
            NodeAffinitySchedulingStrategy(bad, soft=False)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="placement_group=None"):
        PlacementGroupSchedulingStrategy(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hard", "meets"),
    [
        ({"zone": In("north", "west")}, True),
        ({"zone": In("south")}, False),
        ({"zone": NotIn("south"), "disk": NotIn("slow")}, True),
        ({"zone": Exists(), "disk": DoesNotExist()}, True),
        ({"disk": Exists()}, False),
        ({"zone": DoesNotExist()}, False),
    ],
)
def test_labels_of_a_strategy_are_held_against_the_node(labelled: Any, hard: dict[str, Any], meets: bool) -> None:
    task = nothing.options(scheduling_strategy=NodeLabelSchedulingStrategy(hard))
    if meets:
        assert labelled.get(task.remote(), timeout=20) is None
    else:
        with pytest.raises(ex.TaskUnschedulableError, match="no node has the labels"):
            task.remote()


@pytest.mark.parametrize(
    ("selector", "meets"),
    [
        ({"zone": "north"}, True),
        ({"zone": "!north"}, False),
        ({"zone": "in(a, north)"}, True),
        ({"zone": "!in(a, north)"}, False),
        ({"disk": "!slow"}, True),
        ({"disk": "slow"}, False),
    ],
)
def test_a_label_selector_is_held_against_the_node(labelled: Any, selector: dict[str, str], meets: bool) -> None:
    task = nothing.options(label_selector=selector)
    if meets:
        assert labelled.get(task.remote(), timeout=20) is None
    else:
        with pytest.raises(ex.TaskUnschedulableError, match="no node has such labels"):
            task.remote()


def test_the_namespace_of_init_holds_in_workers(labelled: Any) -> None:
    actor = Nothing.options(name="known").remote()
    labelled.get(actor.go.remote(), timeout=20)

    @labelled.remote
    def find() -> tuple[str, Any]:
        return daybreak.get_runtime_context().namespace, daybreak.get_actor("known")

    namespace, found = labelled.get(find.remote(), timeout=20)
    assert namespace == "mine" and found == actor
    assert daybreak.get_actor("known", namespace="mine") == actor
    with pytest.raises(ValueError, match="known"):
        daybreak.get_actor("known", namespace="yours")


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, **environment}
    )


def test_init_takes_rays_arguments_and_says_what_it_made() -> None:
    done = run(
        "import daybreak\n"
        "with daybreak.init('local', num_cpus=1, include_dashboard=False, dashboard_port=8265, logging_level=20,\n"
        "        _system_config={'a': 1}, _redis_password='x', _temp_dir='/tmp', local_mode=False,\n"
        "        object_store_memory=16 << 20) as info:\n"
        "    print(info['address'], info.address_info['node_id'] == daybreak.nodes()[0]['NodeID'], repr(info.dashboard_url))\n"
        "    try: daybreak.init()\n"
        "    except RuntimeError as error: print(error)\n"
        "print(daybreak.is_initialized())\n"
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert (
        lines[0].endswith(" True ''")
        and "/daybreak" in lines[0]
        and "Maybe you called ray.init twice by accident?" in lines[1]
    )
    assert lines[2] == "False"


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ("address='nowhere'", "ValueError", "address='nowhere'"),
        ("namespace=''", "ValueError", "not a valid namespace"),
        ("namespace=3", "TypeError", "None or a string"),
        ("labels={'a': 1}", "TypeError", "dict of strings"),
        ("resources={'CPU': 1}", "ValueError", "num_cpus"),
        ("runtime_env={'conda': 'x'}", "ValueError", "conda"),
        ("_memory=-1", "ValueError", "negative"),
    ],
)
def test_a_bad_argument_of_init_is_refused_by_name(arguments: str, kind: str, text: str) -> None:
    done = run(f"import daybreak\ntry: daybreak.init({arguments})\nexcept Exception as e: print(type(e).__mro__, e)")
    assert kind in done.stdout and text in done.stdout, done.stdout + done.stderr


def test_the_address_of_the_environment_is_heeded() -> None:
    for variable in ("RAY_ADDRESS", "DAYBREAK_ADDRESS"):
        program = "import daybreak\ntry: daybreak.init(num_cpus=1)\nexcept ValueError as e: print(e)"
        assert "'far' (the argument, or the variable" in run(program, **{variable: "far"}).stdout


def test_thirty_two_thousand_results_of_one_task_and_no_more(ray: Any) -> None:
    def numbers(count: int) -> Any:
        return range(count)

    refs = ray.remote(num_returns=32_000)(numbers).remote(32_000)
    assert ray.get(refs) == list(range(32_000))
    with pytest.raises(ValueError, match="num_returns=32001: .*Here: 0 to 32000"):
        ray.remote(num_returns=32_001)(numbers)
