"""Collective operations between actors, against what numpy says of the same arrays in one place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from daybreak.util import collective
from daybreak.util.collective import Backend, ReduceOp

import daybreak

IN_NUMPY: Any = {
    ReduceOp.SUM: np.add,
    ReduceOp.PRODUCT: np.multiply,
    ReduceOp.MIN: np.minimum,
    ReduceOp.MAX: np.maximum,
}
SIZES = [0, 1, 2, 7, 1000, 8192, 8193, 100_003]  # small ones take another way than large ones


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    daybreak.shutdown()
    daybreak.init(num_cpus=2, object_store_memory=256 << 20)
    yield daybreak
    daybreak.shutdown()


@daybreak.remote
class Member:
    def join(self, world_size: int, rank: int, **options: Any) -> None:
        collective.init_collective_group(world_size, rank, **options)

    def run(self, operation: str, *arguments: Any, **options: Any) -> Any:
        """Calls the operation on copies of the arrays; gives the first of them, or the list that is written to."""

        def copy(what: Any) -> Any:
            return [copy(each) for each in what] if isinstance(what, list) else getattr(what, "copy", lambda: what)()

        copies = [copy(what) for what in arguments]
        found = getattr(collective, operation)(*copies, **options)
        return copies[0] if copies else found

    def pair(self, array: Any, to: int, source: int) -> Any:
        collective.send(array + 1, to)
        collective.send(array + 2, to)
        first, second = array.copy(), array.copy()
        collective.recv(first, source)
        collective.recv(second, source)
        return first, second

    def reduce_view(self, array: Any) -> None:
        collective.allreduce(array)


def members(n: int, **options: Any) -> list[Any]:
    found = [Member.remote() for _ in range(n)]
    daybreak.get([member.join.remote(n, rank, **options) for rank, member in enumerate(found)])
    return found


def together(group: list[Any], operation: str, *arguments: list[Any], **options: Any) -> list[Any]:
    calls = zip(group, *arguments, strict=True)
    return daybreak.get([member.run.remote(operation, *own, **options) for member, *own in calls])


def arrays(n: int, size: int, dtype: Any = np.float32, seed: int = 1) -> list[Any]:
    generator = np.random.default_rng(seed)
    return [(generator.random(size) * 5).astype(dtype) for _ in range(n)]


def reduced(given: list[Any], op: ReduceOp) -> Any:
    result = given[0].copy()
    for each in given[1:]:
        IN_NUMPY[op](result, each, out=result)
    return result


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_all_members_have_the_same_reduction(ray: Any, world_size: int) -> None:
    group = members(world_size)
    for op in ReduceOp:
        for size in SIZES:
            given = arrays(world_size, size)
            found = together(group, "allreduce", given, op=op)
            assert all(each.tobytes() == reduced(given, op).tobytes() for each in found), (op, size)
    for dtype in (np.uint8, np.int64, np.float16, np.float64, np.complex64):
        given = arrays(world_size, 50_000, dtype)
        assert (together(group, "allreduce", given)[-1] == reduced(given, ReduceOp.SUM)).all()
    square = arrays(world_size, 40_000)
    found = together(group, "allreduce", [each.reshape(200, 200) for each in square])
    assert found[0].shape == (200, 200) and (found[0].ravel() == reduced(square, ReduceOp.SUM)).all()


@pytest.mark.parametrize("size", SIZES)
def test_data_goes_where_each_operation_says(ray: Any, size: int) -> None:
    group = members(3)
    given = arrays(3, size)
    found = together(group, "reduce", given, dst_rank=1, op=ReduceOp.MAX)
    assert [each.tolist() for each in found] == [
        given[0].tolist(),
        reduced(given, ReduceOp.MAX).tolist(),
        given[2].tolist(),
    ]
    assert all((each == given[2]).all() for each in together(group, "broadcast", given, src_rank=2))
    lists = [[np.zeros_like(each) for each in given]] * 3
    for gathered in together(group, "allgather", lists, given):
        assert all((a == b).all() for a, b in zip(gathered, given, strict=True))
    matrix = [arrays(3, size, seed=rank) for rank in range(3)]
    for rank, each in enumerate(together(group, "reducescatter", given, matrix)):
        assert (each == reduced([row[rank] for row in matrix], ReduceOp.SUM)).all()
    sent = daybreak.get(
        [member.pair.remote(given[rank], (rank + 1) % 3, (rank + 2) % 3) for rank, member in enumerate(group)]
    )
    for rank, (first, second) in enumerate(sent):
        source = given[(rank + 2) % 3]
        assert (first == source + 1).all() and (second == source + 2).all()
    assert together(group, "barrier") == [None] * 3


def test_groups_are_told_apart_and_made_again(ray: Any) -> None:
    group = members(2)
    daybreak.get([member.join.remote(2, 1 - rank, group_name="other?!") for rank, member in enumerate(group)])
    ranks = [daybreak.get(member.run.remote("get_rank", group_name="other?!")) for member in group]
    assert [daybreak.get(member.run.remote("get_rank")) for member in group] == [0, 1]
    assert ranks == ["other?!"] * 2 or ranks == [1, 0]
    together(group, "destroy_collective_group")
    together(group, "destroy_collective_group")  # nothing to destroy
    for member in group:
        with pytest.raises(RuntimeError, match="in no group 'default'"):
            daybreak.get(member.run.remote("allreduce", np.ones(3)))
    daybreak.get([member.join.remote(2, rank) for rank, member in enumerate(group)])
    assert [each.tolist() for each in together(group, "allreduce", [np.ones(2)] * 2)] == [[2, 2], [2, 2]]


def test_a_group_is_made_from_outside(ray: Any) -> None:
    group = [Member.remote() for _ in range(2)]
    collective.create_collective_group(group, 2, [1, 0], backend="gloo", group_name="declared")
    given = arrays(2, 10)
    found = together(group, "broadcast", given, src_rank=0, group_name="declared")
    assert all((each == given[1]).all() for each in found)
    with pytest.raises(RuntimeError, match="is in the group 'declared' already"):
        collective.create_collective_group(group, 2, [1, 0], group_name="declared")
    for actors, ranks in ((group, [0, 2]), (group[:1], [0, 1]), (group, [0])):
        with pytest.raises(RuntimeError, match="one actor for each rank"):
            collective.create_collective_group(actors, 2, ranks, group_name="another")


def test_members_that_do_different_things_are_all_told(ray: Any) -> None:
    group = members(2, group_name="differ")
    for mine, others in (
        (("allreduce", np.ones(3)), ("allreduce", np.ones(4))),
        (("allreduce", np.ones(3)), ("allreduce", np.ones(3, np.float32))),
        (("allreduce", np.ones(3)), ("barrier",)),
    ):
        refs = [
            member.run.remote(*call, group_name="differ") for member, call in zip(group, (mine, others), strict=True)
        ]
        for rank, ref in enumerate(refs):
            with pytest.raises(ValueError, match=f"rank {rank} calls .*, rank {1 - rank} calls "):
                daybreak.get(ref)


def test_a_member_that_does_not_come_is_named(ray: Any) -> None:
    group = members(3, group_name="late", gloo_timeout=50)
    with pytest.raises(TimeoutError, match=r"barrier of rank 0 waited 0.05 s for the ranks 1, 2"):
        daybreak.get(group[0].run.remote("barrier", group_name="late"))
    with pytest.raises(TimeoutError, match="rank 2 has sent nothing to rank 1"):
        daybreak.get(group[1].run.remote("recv", np.ones(1), 2, group_name="late"))


def test_what_arrives_must_fit(ray: Any) -> None:
    group = members(2, group_name="fit")
    daybreak.get(group[0].run.remote("send", np.ones(3), 1, group_name="fit"))
    with pytest.raises(ValueError, match="rank 0 sent 3 elements of float64, the tensor has 4 of float64"):
        daybreak.get(group[1].run.remote("recv", np.ones(4), 0, group_name="fit"))


@pytest.mark.parametrize(
    ("call", "error", "what"),
    [
        (("allreduce", [1, 2]), TypeError, "tensor is a list"),
        (("allreduce", np.array(["a"])), TypeError, "numbers expected"),
        (("broadcast", np.ones(1), 2), ValueError, "src_rank=2: it must be from 0 to 1"),
        (("reduce", np.ones(1), -1), ValueError, "dst_rank=-1"),
        (("send", np.ones(1), 0), RuntimeError, "this member itself"),
        (("recv", np.ones(1), 5), ValueError, "src_rank=5"),
        (("allgather", [np.ones(1)], np.ones(1)), RuntimeError, "a list of 2 tensors expected"),
        (("allgather", [np.ones(1), np.ones(2)], np.ones(1)), ValueError, r"tensor_list\[1\] has 2 elements"),
        (("allreduce", np.ones(1), "default", "sum"), TypeError, "ReduceOp.SUM"),
    ],
)
def test_bad_arguments_are_refused_before_anybody_waits(ray: Any, call: Any, error: type[Exception], what: str) -> None:
    group = members(2)
    with pytest.raises(error, match=what):
        daybreak.get(group[0].run.remote(*call))


def test_memory_that_cannot_be_written_or_is_no_row_is_refused(ray: Any) -> None:
    from daybreak.runtime.util.collective.group import array_of

    [alone] = members(1, group_name="default")
    with pytest.raises(ValueError, match="read-only"):
        daybreak.get(alone.reduce_view.remote(daybreak.put(np.ones(100_000))))
    with pytest.raises(ValueError, match="not contiguous"):
        array_of(np.ones((4, 4))[:, 1], "tensor", False)


@pytest.mark.parametrize(
    ("options", "error", "what"),
    [
        ({"world_size": 0, "rank": 0}, ValueError, "world_size=0"),
        ({"world_size": 501, "rank": 0}, ValueError, "from 1 to 500"),
        ({"world_size": 2, "rank": 2}, ValueError, "rank=2"),
        ({"world_size": 2, "rank": 0, "backend": "nccl"}, ValueError, "arrays on a GPU"),
        ({"world_size": 2, "rank": 0, "backend": "smoke"}, ValueError, "backend='smoke'"),
        ({"world_size": 2, "rank": 0, "group_name": ""}, ValueError, "group_name=''"),
        ({"world_size": 2, "rank": 0, "gloo_timeout": 0}, ValueError, "gloo_timeout=0"),
    ],
)
def test_a_group_that_cannot_be_is_refused(ray: Any, options: Any, error: type[Exception], what: str) -> None:
    with pytest.raises(error, match=what):
        daybreak.get(Member.remote().join.remote(**options))


def test_operations_are_for_actors() -> None:
    for call in (lambda: collective.allreduce(np.ones(1)), lambda: collective.init_collective_group(1, 0)):
        with pytest.raises(RuntimeError, match="inside of actors"):
            call()
    assert Backend("torch_gloo") == Backend.GLOO == "GLOO"
    assert not collective.is_group_initialized()
