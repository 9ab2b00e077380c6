"""The garbage collector of a worker: it runs, and takes nothing of what was there before the first task for garbage."""

import gc

import pytest

import daybreak


@daybreak.remote
def collector() -> tuple[bool, int, int]:
    class Ring:
        pass

    gc.collect()
    ring = Ring()
    ring.itself = ring  # type: ignore[attr-defined]
    del ring
    return gc.isenabled(), gc.get_freeze_count(), gc.collect()


@pytest.mark.parametrize("environment", [{}, {"env_vars": {"DAYBREAK_TEST_COLLECTOR": "1"}}], ids=["shared", "own"])
def test_a_worker_collects_its_garbage_and_leaves_alone_what_it_began_with(environment: dict[str, object]) -> None:
    with daybreak.init(num_cpus=1):
        enabled, frozen, found = daybreak.get(collector.options(runtime_env=environment).remote(), timeout=60)
    assert enabled
    assert frozen > 1_000
    assert found >= 1
