"""What users of others reported, tried here. Each case names the public report that it comes from."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import functools
import pickle
import sys
import threading
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from daybreak.util import Executor
from daybreak.util.multiprocessing import Pool
from daybreak.util.queue import Queue

import daybreak
from daybreak import exceptions as ex
from daybreak._core import runtime as native
from daybreak.runtime.placement_group import placement_group
from daybreak.runtime.serialization import dumps


class StatusError(Exception):
    def __init__(self, *, status_code: int) -> None:
        super().__init__(f"status {status_code}")
        self.status_code = status_code


class NoArguments(Exception):
    def __init__(self) -> None:
        super().__init__("there was another exception")


class TwoArguments(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"one = {one}, two = {two}")


class SaysItsObject(Exception):
    def __init__(self, object_id: bytes) -> None:
        self.object_id = object_id

    def __str__(self) -> str:
        return self.object_id.hex()


class NoSetter(Exception):
    """As of a library in Cython: args can be read only."""

    def __init__(self, number: int, text: str) -> None:
        self.number, self.text = number, text

    args = property(lambda self: (self.number, self.text))  # type: ignore[assignment]


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """Of which nothing can be set, its traceback neither."""

    code: int


class LockFileTimeout(TimeoutError):
    """As filelock's: what __init__ needs is not in args."""

    def __init__(self, lock_file: str) -> None:
        super().__init__()
        self.lock_file = lock_file

    def __str__(self) -> str:
        return f"the lock {self.lock_file} is held"


class HoldsLock(Exception):
    def __init__(self) -> None:
        super().__init__("two requests")
        self.lock = threading.Lock()


class Traced(Exception):
    """As jax's: __init__ asks its argument, of which args has the text alone."""

    def __init__(self, tracer: Any) -> None:
        super().__init__(f"traced {tracer.real}")


class RaisesInGetstate:
    def __getstate__(self) -> Any:
        raise RuntimeError("no state")


def with_such_an_attribute() -> Exception:
    error = ValueError("v")
    error.held = RaisesInGetstate()  # type: ignore[attr-defined]
    return error


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def add(self) -> int:
        self.count += 1
        return self.count


async def group() -> None:
    async def fails(error: BaseException) -> None:
        raise error

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fails(ValueError("a")))
        tasks.create_task(fails(KeyError("b")))


REPORTED: dict[str, tuple[Callable[[], BaseException], type[BaseException], dict[str, Any]]] = {
    "ray-project/ray#20830 a keyword argument": (lambda: StatusError(status_code=404), StatusError, {"status_code": 404}),
    "ray-project/ray#31806 no argument": (NoArguments, NoArguments, {"args": ("there was another exception",)}),
    "ray-project/ray#21075 HTTPError": (
        lambda: urllib.error.HTTPError("lol", 1, "lol", None, None),  # type: ignore[arg-type]
        urllib.error.HTTPError,
        {"code": 1, "msg": "lol"},
    ),
    "ray-project/ray#44055 args that cannot be set": (lambda: NoSetter(1, "x"), NoSetter, {"args": (1, "x")}),
    "ray-project/ray#5862 str() needs an attribute": (lambda: SaysItsObject(b"\x01"), SaysItsObject, {"object_id": b"\x01"}),
    "agronholm/pythonfutures#30 two arguments": (lambda: TwoArguments("1", "2"), TwoArguments, {}),
    "python/cpython#74734 an attribute raises in __getstate__": (with_such_an_attribute, ValueError, {"args": ("v",)}),
    "python/cpython#99856, hgrecco/pint#1766 a frozen dataclass": (lambda: Frozen(3), Frozen, {"code": 3}),
    "ray-project/ray#17936 filelock's timeout": (lambda: LockFileTimeout("f"), LockFileTimeout, {"lock_file": "f"}),
    "ray-project/ray#36893, #44878 an attribute that cannot be pickled": (HoldsLock, HoldsLock, {"args": ("two requests",)}),
    "ray-project/ray#49885 an argument that is gone": (lambda: Traced(1.5), Traced, {"args": ("traced 1.5",)}),
}  # fmt: skip


@pytest.mark.parametrize("report", REPORTED)
def test_exception_that_others_lost_arrives(ray: Any, report: str) -> None:
    make, kind, wanted = REPORTED[report]

    @ray.remote
    def fails() -> None:
        raise make()

    with pytest.raises(kind) as caught:
        ray.get(fails.remote(), timeout=30)
    assert isinstance(caught.value, ex.TaskError) and str(caught.value)
    for name, value in wanted.items():
        assert getattr(caught.value, name) == value
    again = pickle.loads(pickle.dumps(caught.value))  # ray-project/ray#14172
    assert isinstance(again, kind) and str(again) == str(caught.value)


@pytest.mark.parametrize("report", REPORTED)
@pytest.mark.parametrize("waits", [False, True], ids=["method", "async method"])
def test_exception_that_others_lost_arrives_from_an_actor_which_lives_on(ray: Any, report: str, waits: bool) -> None:
    make, kind, wanted = REPORTED[report]

    class Fails:
        def fails(self) -> None:
            raise make()

        def here(self) -> str:
            return "here"

    class Waits(Fails):
        async def fails(self) -> None:  # type: ignore[override]
            raise make()

    actor = ray.remote(Waits if waits else Fails).remote()
    with pytest.raises(kind) as caught:
        ray.get(actor.fails.remote(), timeout=30)
    assert all(getattr(caught.value, name) == value for name, value in wanted.items())
    assert ray.get(actor.here.remote(), timeout=30) == "here"


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, StopAsyncIteration, SystemExit]
)
def test_what_is_no_exception_of_a_program_ends_the_call_and_neither_worker_nor_caller(ray: Any, error: Any) -> None:
    """dask/distributed#5958 (a call that never completes), ray-project/ray#1049 (get hangs), #40358 (run again and again)"""
    runs: Any = ray.remote(Counter).remote()

    @ray.remote(max_retries=3)
    def ends() -> None:
        ray.get(runs.add.remote())
        raise error

    with pytest.raises(ex.RayError) as caught:
        ray.get(ends.remote(), timeout=30)
    assert error.__name__ in str(caught.value) and ray.get(runs.add.remote()) == 2
    assert ray.get(ray.remote(lambda: 1).remote(), timeout=30) == 1


def test_group_of_asyncio_arrives_from_a_task(ray: Any) -> None:
    """ray-project/ray#45520"""

    @ray.remote
    def fails() -> None:
        asyncio.run(group())

    with pytest.raises(ExceptionGroup) as caught:
        ray.get(fails.remote())
    assert {type(each) for each in caught.value.exceptions} == {ValueError, KeyError}


def test_explicit_cause_and_implicit_context_arrive(ray: Any) -> None:
    """dask/distributed#2530, AstroVela/vane#174"""

    @ray.remote
    def fails(explicit: bool) -> None:
        try:
            raise KeyError("first")
        except KeyError as error:
            if explicit:
                raise ValueError("second") from error
            raise ValueError("second")  # noqa: B904

    for explicit in (True, False):
        with pytest.raises(ValueError) as caught:
            ray.get(fails.remote(explicit))
        assert isinstance(caught.value.__cause__ if explicit else caught.value.__context__, KeyError)


def test_exception_that_is_returned_is_a_value(ray: Any) -> None:
    """ray-project/ray#43412"""
    assert isinstance(ray.get(ray.remote(lambda: ValueError("value")).remote()), ValueError)
    assert isinstance(ray.get(ray.put(StatusError(status_code=3))), StatusError)


def test_each_get_raises_an_exception_of_its_own(ray: Any) -> None:
    """python/cpython#101267"""

    @ray.remote
    def fails() -> None:
        raise KeyError("k")

    ref, found = fails.remote(), []
    for _ in range(2):
        try:
            ray.get(ref)
        except KeyError as error:
            found.append(error)
    assert found[0] is not found[1] and found[0].__traceback__ is not found[1].__traceback__


def test_result_that_raises_in_getstate_is_an_error_and_no_hang(ray: Any) -> None:
    """python/cpython#74734, noxdafox/pebble#146"""
    with pytest.raises(TypeError, match="RaisesInGetstate.*no state"):
        ray.get(ray.remote(lambda: RaisesInGetstate()).remote(), timeout=30)


def test_stop_iteration_of_a_user_looks_like_the_users_error(ray: Any) -> None:
    """ray-project/ray#60521, #24182, #20103"""

    @ray.remote
    def batch() -> Any:
        return next(iter([]))

    with pytest.raises(ex.TaskError, match="batch.*\n(.*\n)*.*StopIteration"):
        sum(map(ray.get, [batch.remote()]))


# ----------------------------------------------------------------------------------------------------------------------


def test_waiting_twice_with_a_timeout_for_one_reference(ray: Any) -> None:
    """ray-project/ray#8841, #11030, #65648"""

    @ray.remote
    class Slow:
        def run(self) -> int:
            time.sleep(0.3)
            return 5

    async def main() -> tuple[int, int]:
        ref = Slow.remote().run.remote()
        for _ in range(50):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(ref, 0.001)
        waiting = asyncio.ensure_future(ref)
        done: set[Any] = set()
        while not done:
            done, _ = await asyncio.wait([waiting], timeout=0.05)
        return done.pop().result(), len(asyncio.all_tasks())

    assert asyncio.run(main()) == (5, 1)


def test_callbacks_on_futures_work_from_any_thread(ray: Any) -> None:
    """ray-project/ray#9893, #15425"""
    found: list[int] = []
    ready = threading.Event()

    def ask() -> None:
        future = ray.remote(lambda: 7).remote().future()
        future.add_done_callback(lambda done: (found.append(done.result()), ready.set()))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert ready.wait(20) and found == [7]


def test_more_awaited_calls_than_a_pool_has_threads_wait_for_nobody(ray: Any) -> None:
    """THUDM/slime#1873"""

    async def main() -> float:
        slow = ray.remote(num_cpus=0)(lambda: time.sleep(0.5))
        held = [asyncio.ensure_future(slow.remote()) for _ in range(40)]
        began = time.monotonic()
        assert await ray.put("there") == "there"
        took = time.monotonic() - began
        await asyncio.gather(*held)
        return took

    assert asyncio.run(main()) < 0.4


def test_futures_of_many_references_complete_as_they_are_ready(ray: Any) -> None:
    """ray-project/ray#12581"""

    async def main() -> list[int]:
        later = ray.remote(lambda i: (time.sleep(0.05 * (3 - i)), i)[1])
        return [await each for each in asyncio.as_completed([later.options(num_cpus=0).remote(i) for i in range(3)])]

    assert sorted(asyncio.run(main())) == [0, 1, 2]


# ----------------------------------------------------------------------------------------------------------------------


def test_partial_is_a_task(ray: Any) -> None:
    """ray-project/ray#28146, #10911"""

    def test(a: int = 1) -> int:
        return a

    bound = ray.remote(functools.partial(test, a=3))
    assert ray.get(bound.remote()) == 3 and "partial" in repr(bound)


def test_decorated_class_calls_the_one_above_it_by_name(ray: Any) -> None:
    """ray-project/ray#449, #6155, #5518, ray-project/tutorial#175"""

    class A:
        def __init__(self) -> None:
            self.made = ["A"]

    @ray.remote
    class B(A):
        def __init__(self) -> None:
            super(B, self).__init__()  # type: ignore[misc]  # noqa: UP008
            self.made.append("B")

        def test(self) -> list[str]:
            return self.made

    assert ray.get(B.remote().test.remote()) == ["A", "B"]  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="Inheriting from actor classes is not currently supported"):

        class C(B):  # type: ignore[misc,valid-type]
            pass


def test_what_has_no_event_loop_says_what_to_do(ray: Any) -> None:
    """ray-project/ray#13687, #9415, #25018"""

    async def waits() -> None:
        pass

    async def stream() -> Any:
        yield 1

    @ray.remote
    def gives(what: str) -> Any:
        return stream() if what == "stream" else waits()

    @ray.remote
    class Actor:
        def start(self) -> Any:
            return stream()

    with pytest.raises(TypeError, match=r"a coroutine, .*asyncio\.run"):
        ray.get(gives.remote("coroutine"))
    with pytest.raises(TypeError, match="an async generator"):
        ray.get(gives.remote("stream"))
    with pytest.raises(TypeError, match="an async generator"):
        ray.get(Actor.remote().start.remote())


def test_slice_of_a_table_of_arrow_is_stored_alone(ray: Any) -> None:
    """apache/arrow ARROW-10739, ray-project/ray#22310, #29055"""
    whole = pa.table({"x": np.arange(1_000_000), "s": ["text"] * 1_000_000})
    for value in (whole.slice(10, 10), whole.slice(10, 10)["s"], whole["x"].chunk(0).slice(5, 3)):
        buffers: list[Any] = []
        assert len(dumps(value, buffers.append)) + sum(len(each.raw()) for each in buffers) < 10_000
        assert ray.get(ray.put(value)).equals(value)


def test_view_of_a_torch_tensor_is_stored_alone(ray: Any) -> None:
    """pytorch/pytorch#40157, #1995, #182105"""
    torch = pytest.importorskip("torch")
    view = torch.zeros(1_000_000)[:1000]
    assert len(dumps([view], None)) < 20_000  # type: ignore[arg-type]
    assert torch.equal(ray.get(ray.put([view]))[0], view)


def test_reference_that_outlived_its_object_is_an_error_and_no_hang(two_cpus: Any) -> None:
    """ray-project/ray#9578: what somebody pickled by himself stays alive (#34197); of another runtime it says so."""
    kept = pickle.dumps(two_cpus.put("value"))
    assert two_cpus.get(pickle.loads(kept)) == "value"
    daybreak.shutdown()
    with pytest.raises(ValueError, match="another runtime, or of one that has been shut down"):
        daybreak.get(pickle.loads(kept), timeout=5)


def test_module_of_a_folder_that_was_added_to_the_path_later_is_known_to_workers(ray: Any, tmp_path: Path) -> None:
    """ray-project/ray#2515, #1639, ray-project/ray-legacy#323"""
    (tmp_path / "models_added_later.py").write_text("class Net:\n    size = 3\ndef train(net): return net.size\n")
    sys.path.insert(0, str(tmp_path))
    try:
        import models_added_later as models  # type: ignore[import-not-found]

        assert ray.get(ray.remote(models.train).remote(models.Net())) == 3
    finally:
        sys.path.remove(str(tmp_path))


def test_numbers_of_numpy_arrive_as_what_they_are(ray: Any) -> None:
    """ray-project/ray#70, #4629, #10221"""
    same = ray.remote(lambda x: (type(x).__name__, x))
    for value in (np.int64(3), np.float32(0.5), np.bool_(True), np.str_("s"), np.datetime64("2026-01-01")):
        assert ray.get(same.remote(value)) == (type(value).__name__, value)
    assert len(ray.get(ray.remote(num_returns=np.int64(2))(lambda: (1, 2)).remote())) == 2


def test_no_future_is_left_when_its_loop_has_ended(no_leak: Any) -> None:
    """ray-project/ray#65243"""
    slow = no_leak.remote(lambda: time.sleep(0.3))

    async def main() -> None:
        for _ in range(3):
            asyncio.ensure_future(slow.remote())
        await asyncio.sleep(0.01)

    asyncio.run(main())  # which cancels them
    assert native._usage()["objects"] >= 0
    concurrent.futures.wait([slow.remote().future()], timeout=20)


@pytest.mark.parametrize("number", [np.int64(2), np.array(2), 2.0])
def test_pools_and_queues_take_whole_numbers_of_any_kind(two_cpus: Any, number: Any) -> None:
    with Pool(number, maxtasksperchild=number) as pool:
        assert pool.map(abs, range(3), chunksize=number) == [0, 1, 2]
    with Executor(max_workers=number) as executor:
        assert list(executor.map(abs, range(3), chunksize=number)) == [0, 1, 2]
    queue = Queue(number)
    queue.put_nowait_batch([1, 2])
    assert queue.full() and queue.get(timeout=np.float32(5)) == 1 and queue.get_nowait_batch(np.int64(1)) == [2]
    queue.shutdown()


@pytest.mark.parametrize("number", [1.5, "2", float("nan"), True, None])
def test_pools_and_queues_refuse_what_is_no_whole_number_by_name(two_cpus: Any, number: Any) -> None:
    """A pool of 1.5 processes was one of 1, a queue of maxsize "2" had no end."""
    with Pool(1) as pool, Executor(max_workers=1) as executor:
        queue = Queue(1)
        asks = [
            lambda: Queue(number),
            lambda: queue.get_nowait_batch(number),
            lambda: executor.map(abs, [1], chunksize=number),
        ]
        if number is not None:
            asks += [
                lambda: Pool(number),
                lambda: Executor(max_workers=number),
                lambda: pool.map(abs, [1], chunksize=number),
                lambda: pool.imap(abs, [1], chunksize=number),
            ]
        for ask in asks:
            with pytest.raises(ValueError, match=r"^\w+=.* is no whole number"):
                ask()
        for timeout in ("1", float("nan"), -1):
            with pytest.raises(ValueError, match="^timeout="):
                queue.get(timeout=timeout)
        queue.shutdown()


class Named:
    def __init__(self, text: str) -> None:
        self.text = text

    def say(self) -> str:
        return self.text


@pytest.mark.parametrize("name", ["a/b", "é", "😀", "a b", "%2F", "a:b", "..", "'", "a\nb", "x" * 40])
def test_actor_of_any_name_is_found_by_it_alone(ray: Any, name: str) -> None:
    """ray-project/ray#17152, #17178: "namespace/name" as a name."""
    actor = ray.remote(Named).options(name=name, namespace=name).remote("this")
    other = ray.remote(Named).options(name="c", namespace=f"{name}/b").remote("other")
    assert ray.get([actor.say.remote(), other.say.remote()]) == ["this", "other"]
    assert ray.get(ray.get_actor(name, namespace=name).say.remote()) == "this"
    assert {"name": name, "namespace": name} in daybreak.util.list_named_actors(all_namespaces=True)
    for wrong, namespace in (("b/c", name), ("c", name), (name, "default")):
        with pytest.raises(ValueError, match="Failed to look up actor"):
            ray.get_actor(wrong, namespace=namespace)
    for each in (actor, other):
        ray.kill(each)


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "a\0"])
def test_name_that_would_become_another_is_refused(ray: Any, name: str) -> None:
    actor = ray.remote(Named).options(name="a", get_if_exists=True).remote("a")
    assert ray.get(actor.say.remote()) == "a"
    for asks in (
        lambda: ray.remote(Named).options(name=name).remote("b"),
        lambda: ray.remote(Named).options(name="n", namespace=name).remote("b"),
        lambda: ray.get_actor(name),
        lambda: ray.get_actor("a", namespace=name),
        lambda: ray.remote(resources={name: 1})(Named),
        lambda: ray.remote(name=name)(lambda: 1).remote(),
        lambda: placement_group([{"CPU": 1}], name=name),
    ):
        with pytest.raises(ValueError, match=r"=.*: it (has a zero byte|is no Unicode)"):
            asks()
