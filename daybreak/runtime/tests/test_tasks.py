"""Tasks: calls, options, results, errors, nesting, waiting, cancelling."""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

import daybreak
from daybreak import exceptions as ex


def test_result_of_a_task_is_what_the_function_returns(ray: Any) -> None:
    @ray.remote
    def add(a: int, b: int = 2, *rest: int, scale: int = 1) -> int:
        return (a + b + sum(rest)) * scale

    assert ray.get(add.remote(1)) == 3
    assert ray.get(add.remote(1, 2, 3, 4)) == 10
    assert ray.get(add.remote(1, scale=10)) == 30
    assert ray.get(add.remote(b=5, a=1)) == 6


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -1,
        2**62,
        2**80,
        1.5,
        float("inf"),
        "",
        "text",
        "ünïcödé \U0001f600",
        b"",
        b"bytes",
        b"x" * 100_000,
        (),
        [],
        {},
        [1, "a", None, 2.5],
        (1, (2, (3,))),
        {"a": [1, 2], 3: {"b": ()}},
        {1, 2},
        frozenset({3}),
        3 + 4j,
        bytearray(b"ba"),
        range(5),
        "\ud800",
        ["x" * 5000, b"y" * 5000],
        list(range(1000)),
        {i: str(i) for i in range(500)},
        type,
        len,
        ValueError,
    ],
)
def test_values_survive_a_round_trip_through_a_task_and_the_store(ray: Any, value: Any) -> None:
    @ray.remote
    def same(x: Any) -> Any:
        return x

    for returned in (ray.get(ray.put(value)), ray.get(same.remote(value)), ray.get(same.remote(x=value))):
        assert returned == value
        assert type(returned) is type(value)


def test_lists_with_themselves_inside_keep_their_shape(ray: Any) -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    returned = ray.get(ray.put(loop))
    assert returned[1] is returned
    shared = [1, 2]
    first, second = ray.get(ray.put([shared, shared]))
    assert first is second


def test_functions_from_closures_lambdas_and_main_run_in_workers(ray: Any) -> None:
    offset = 10

    def helper(x: int) -> int:
        return x + offset

    @ray.remote
    def outer(x: int) -> int:
        return helper(x)

    assert ray.get(outer.remote(1)) == 11
    assert ray.get(ray.remote(lambda x: x * 2).remote(4)) == 8
    assert ray.get(ray.remote(len).remote([1, 2, 3])) == 3


def test_a_function_that_is_defined_again_runs_its_new_body(ray: Any) -> None:
    results = []
    for i in range(5):

        @ray.remote
        def f(i: int = i) -> int:
            return i * 100

        results.append(ray.get(f.remote()))
    assert results == [0, 100, 200, 300, 400]


def test_many_definitions_do_not_fill_the_store(ray: Any) -> None:
    from daybreak._core import runtime as native

    def make(i: int) -> Any:
        return ray.remote(lambda: i)

    assert [ray.get(make(i).remote()) for i in range(2500)] == list(range(2500))
    assert native._usage()["functions"] < 1500


def test_calling_a_remote_function_directly_is_a_type_error(ray: Any) -> None:
    @ray.remote
    def f() -> None: ...

    with pytest.raises(TypeError, match=r"f\.remote\(\)"):
        f()


def test_unknown_option_lists_the_valid_ones(ray: Any) -> None:
    with pytest.raises(ValueError, match="max_retries.*num_cpus.*num_returns"):
        ray.remote(cpus=2)(len)
    with pytest.raises(ValueError, match="max_restarts"):

        @ray.remote(restarts=1)
        class A: ...

    f = ray.remote(len)
    with pytest.raises(ValueError, match="num_return_vals"):
        f.options(num_return_vals=1)
    for bad in ({"num_cpus": -1}, {"num_returns": -1}, {"max_retries": -2}, {"num_returns": "lazy"}):
        with pytest.raises(ValueError):
            f.options(**bad)
    for bad_type in (
        {"num_cpus": "1"},
        {"num_returns": 1.5},
        {"max_retries": None and 0 or "3"},
        {"retry_exceptions": 1},
    ):
        with pytest.raises(TypeError):
            f.options(**bad_type)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_num_returns_gives_as_many_references(ray: Any, count: int) -> None:
    @ray.remote(num_returns=count)
    def several() -> Any:
        return tuple(range(count)) if count != 1 else 7

    refs = several.remote()
    if count == 0:
        assert refs is None
    elif count == 1:
        assert ray.get(refs) == 7
    else:
        assert len(refs) == count
        assert ray.get(refs) == list(range(count))
        kept = refs[-1]
        del refs
        assert ray.get(kept) == count - 1


def test_a_generator_gives_its_items_as_results(ray: Any) -> None:
    @ray.remote(num_returns=3)
    def generate() -> Any:
        yield from (np.ones(1000) * i for i in range(3))

    assert [a[0] for a in ray.get(generate.remote())] == [0.0, 1.0, 2.0]


def test_a_wrong_number_of_results_fails_all_of_them(ray: Any) -> None:
    @ray.remote(num_returns=2)
    def three() -> Any:
        return 1, 2, 3

    for ref in three.remote():
        with pytest.raises(ValueError, match="num_returns=2, but the task returned 3"):
            ray.get(ref)


class CustomError(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code


def test_exception_is_of_the_users_type_and_a_task_error_with_the_remote_traceback(ray: Any) -> None:
    @ray.remote
    def fails() -> None:
        raise CustomError(42, "in the worker")

    with pytest.raises(CustomError) as caught:
        ray.get(fails.remote())
    error = caught.value
    assert isinstance(error, ex.TaskError) and isinstance(error, ex.RayTaskError)
    assert error.code == 42 and error.cause.code == 42
    assert "in the worker" in str(error) and "fails" in str(error) and "raise CustomError(42" in str(error)
    with pytest.raises(ex.TaskError):
        ray.get(fails.remote())


@pytest.mark.parametrize(
    "error",
    [
        KeyError("k"),
        OSError(2, "no such file"),
        UnicodeDecodeError("utf8", b"x", 0, 1, "r"),
        AssertionError(),
        ZeroDivisionError("z"),
    ],
)
def test_builtin_exceptions_arrive_as_themselves(ray: Any, error: Exception) -> None:
    @ray.remote
    def fails() -> None:
        raise error

    with pytest.raises(type(error)):
        ray.get(fails.remote())
    with pytest.raises(ex.TaskError):
        ray.get(fails.remote())


class DoesNotUnpickle(Exception):
    def __reduce__(self) -> Any:
        return int, ("no number",)


def test_exception_that_does_not_unpickle_still_tells_what_happened(ray: Any) -> None:
    @ray.remote
    def fails() -> None:
        raise DoesNotUnpickle

    with pytest.raises(ex.TaskError, match="could not be unpickled") as caught:
        ray.get(fails.remote(), timeout=10)
    assert "DoesNotUnpickle" in str(caught.value)


def test_task_fails_as_its_dependency_failed(ray: Any) -> None:
    @ray.remote
    def fails() -> None:
        raise KeyError("first")

    @ray.remote
    def never(x: Any) -> Any:
        return "ran"

    with pytest.raises(KeyError):
        ray.get(never.remote(never.remote(fails.remote())), timeout=10)


def test_references_at_top_level_are_resolved_and_nested_ones_are_not(ray: Any) -> None:
    @ray.remote
    def kinds(a: Any, b: Any, *, c: Any) -> list[str]:
        return [type(a).__name__, type(b[0]).__name__, type(c).__name__, str(daybreak.get(b[0]))]

    assert ray.get(kinds.remote(ray.put(1.5), [ray.put("in a list")], c=ray.put({}))) == [
        "float",
        "ObjectRef",
        "dict",
        "in a list",
    ]


def test_chain_of_a_thousand_dependent_tasks(ray: Any) -> None:
    @ray.remote
    def increment(x: int) -> int:
        return x + 1

    x = ray.put(0)
    for _ in range(1000):
        x = increment.remote(x)
    assert ray.get(x, timeout=60) == 1000


def test_nested_tasks_deeper_than_the_machine_has_cpus(ray: Any) -> None:
    @ray.remote
    def depth(n: int) -> int:
        return 0 if n == 0 else 1 + daybreak.get(depth.remote(n - 1))

    assert ray.get(depth.remote(80), timeout=60) == 80


def test_tree_of_tasks(ray: Any) -> None:
    @ray.remote
    def fib(n: int) -> int:
        return n if n < 2 else sum(daybreak.get([fib.remote(n - 1), fib.remote(n - 2)]))

    assert ray.get(fib.remote(9), timeout=60) == 34


def test_ten_thousand_queued_tasks_all_run(ray: Any) -> None:
    @ray.remote
    def double(i: int) -> int:
        return 2 * i

    assert ray.get([double.remote(i) for i in range(10_000)], timeout=60) == [2 * i for i in range(10_000)]


def test_more_tasks_than_the_queue_holds(ray: Any) -> None:
    @ray.remote
    def one() -> int:
        return 1

    count = 140_000
    refs = [one.remote() for _ in range(count)]
    assert sum(ray.get(refs, timeout=120)) == count


def test_get_times_out_and_the_task_goes_on(ray: Any) -> None:
    @ray.remote
    def slow() -> str:
        time.sleep(0.4)
        return "done"

    ref = slow.remote()
    start = time.monotonic()
    with pytest.raises(ex.GetTimeoutError) as caught:
        ray.get(ref, timeout=0.05)
    assert time.monotonic() - start < 0.35
    assert isinstance(caught.value, TimeoutError)
    assert ray.get(ref, timeout=10) == "done"
    with pytest.raises(ex.GetTimeoutError):
        ray.get([slow.remote()], timeout=0)
    with pytest.raises(ValueError):
        ray.get(ref, timeout=-1)


def test_wait_returns_the_ready_ones_in_order(ray: Any) -> None:
    @ray.remote
    def sleep(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    fast, slow = sleep.remote(0.0), sleep.remote(0.5)
    ready, rest = ray.wait([slow, fast], timeout=5)
    assert ready == [fast] and rest == [slow]
    ready, rest = ray.wait([slow, fast], num_returns=2, timeout=5)
    assert ready == [slow, fast] and rest == []
    assert ray.wait([sleep.remote(1.0)], timeout=0.01)[0] == []
    assert ray.wait([]) == ([], [])
    with pytest.raises(ValueError, match="twice"):
        ray.wait([fast, fast])
    with pytest.raises(ValueError):
        ray.wait([fast], num_returns=2)
    with pytest.raises(TypeError):
        ray.wait(fast)
    with pytest.raises(TypeError):
        ray.wait([1])
    many = [ray.put(i) for i in range(10)]
    assert ray.wait(many, num_returns=3) == (many[:3], many[3:])


def test_get_and_put_say_what_they_take(ray: Any) -> None:
    with pytest.raises(ValueError, match="ObjectRef"):
        ray.get(1)
    with pytest.raises(TypeError, match="ObjectRef"):
        ray.get([ray.put(1), 2])
    with pytest.raises(TypeError):
        ray.put(ray.put(1))
    ref = ray.put(5)
    assert ray.get([ref, ref]) == [5, 5]
    assert isinstance(ref, ray.ObjectRef) and isinstance(ref, ray.ObjectID)
    assert len(ref.hex()) == 32 and ref.hex() in repr(ref)
    assert len({ref, ref, ray.put(5)}) == 2


def test_verbs_are_native_functions() -> None:
    from daybreak import get, put, wait

    for verb in (get, put, wait):
        assert type(verb) is type(len)


def test_unpicklable_argument_names_the_part(ray: Any) -> None:
    f = ray.remote(len)
    with pytest.raises(TypeError, match=r"\['outer'\]\[1\].*lock"):
        f.remote({"outer": [1, threading.Lock()]})


def test_unpicklable_closure_names_the_variable(ray: Any) -> None:
    lock = threading.Lock()

    @ray.remote
    def f() -> None:
        lock.acquire()

    with pytest.raises(TypeError, match="variable 'lock'"):
        f.remote()


def test_unpicklable_result_names_the_part(ray: Any) -> None:
    @ray.remote
    def f() -> Any:
        return {"model": [threading.Lock()]}

    with pytest.raises(TypeError, match=r"\['model'\]\[0\]"):
        ray.get(f.remote(), timeout=10)


def test_cancel_of_a_waiting_and_of_a_running_task(ray: Any) -> None:
    @ray.remote
    def sleep() -> None:
        time.sleep(60)

    running = [sleep.remote() for _ in range(2)]
    waiting = sleep.remote()
    time.sleep(0.1)
    for ref in (waiting, *running):
        ray.cancel(ref)
        with pytest.raises(ex.TaskCancelledError):
            ray.get(ref, timeout=10)
    done = ray.put(1)
    ray.cancel(done)
    assert ray.get(done) == 1


def test_cancel_by_force_ends_a_task_that_ignores_interrupts(ray: Any) -> None:
    @ray.remote
    def stubborn() -> None:
        while True:
            try:
                time.sleep(60)
            except KeyboardInterrupt:
                pass

    ref = stubborn.remote()
    time.sleep(0.2)
    ray.cancel(ref, force=True)
    with pytest.raises(ex.TaskCancelledError):
        ray.get(ref, timeout=10)


def test_cancel_reaches_children(ray: Any) -> None:
    @ray.remote
    def child() -> None:
        time.sleep(60)

    @ray.remote
    def parent() -> None:
        daybreak.get(child.remote())

    ref = parent.remote()
    time.sleep(0.3)
    ray.cancel(ref)
    with pytest.raises(ex.TaskCancelledError):
        ray.get(ref, timeout=10)
    quick = ray.remote(lambda: 1)
    assert ray.get([quick.remote() for _ in range(4)], timeout=10) == [1] * 4


def test_cancel_leaves_the_children_of_the_task_that_had_its_entry_before(ray: Any) -> None:
    @ray.remote
    def child() -> int:
        time.sleep(0.5)
        return 5

    @ray.remote
    def parent() -> list[Any]:
        return [child.remote()]

    quick = ray.remote(lambda: 1)
    ray.get(quick.remote())
    for _ in range(3):
        ref = parent.remote()
        (kept,) = ray.get(ref)
        entry = ref.hex()[-8:]
        del ref
        others = [quick.remote()]
        while others[-1].hex()[-8:] != entry:  # the newest free entry is used first
            others.append(quick.remote())
            assert len(others) < 10_000
        ray.cancel(others[-1])
        assert ray.get(kept, timeout=10) == 5
        others.clear()


def test_tasks_with_custom_resources_and_gpus_take_turns(two_cpus: Any) -> None:
    daybreak.shutdown()
    daybreak.init(num_cpus=8, num_gpus=2, resources={"license": 2, "half": 1})

    @daybreak.remote(num_gpus=1)
    def on_gpu() -> tuple[int, float, float]:
        begin = time.monotonic()
        time.sleep(0.15)
        (gpu,) = daybreak.get_gpu_ids()
        assert os.environ["CUDA_VISIBLE_DEVICES"] == str(gpu) and gpu in (0, 1)
        return gpu, begin, time.monotonic()

    spans = sorted(daybreak.get([on_gpu.remote() for _ in range(4)], timeout=30))
    assert all(a[2] <= b[1] for a, b in zip(spans, spans[1:], strict=False) if a[0] == b[0])

    @daybreak.remote(resources={"license": 1})
    def licensed() -> float:
        begin = time.monotonic()
        time.sleep(0.1)
        return begin

    begins = sorted(daybreak.get([licensed.remote() for _ in range(4)], timeout=30))
    assert begins[2] - begins[0] >= 0.09

    @daybreak.remote(num_cpus=0.5, resources={"half": 0.25})
    def fraction() -> dict[str, float]:
        time.sleep(0.05)
        return daybreak.get_runtime_context().get_assigned_resources()

    assert daybreak.get([fraction.remote() for _ in range(8)], timeout=30)[0] == {"CPU": 0.5, "half": 0.25}
    with pytest.raises(ex.TaskUnschedulableError, match="num_cpus=9"):
        daybreak.get(fraction.options(num_cpus=9).remote(), timeout=10)
    with pytest.raises(ValueError):
        daybreak.get(fraction.options(resources={"nowhere": 1}).remote(), timeout=10)
    with pytest.raises(ValueError, match="beyond 0.0001"):
        daybreak.get(fraction.options(num_cpus=0.00001).remote(), timeout=10)
    assert daybreak.cluster_resources()["CPU"] == 8
    deadline = time.monotonic() + 5
    while daybreak.available_resources().get("CPU") != 8 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert daybreak.available_resources()["CPU"] == 8
    assert daybreak.available_resources()["half"] == 1
    assert daybreak.available_resources()["GPU"] == 2


def test_logical_cpus_are_free_of_the_machines_cores(two_cpus: Any) -> None:
    daybreak.shutdown()
    daybreak.init(num_cpus=30)

    @daybreak.remote
    def sleep() -> int:
        time.sleep(0.3)
        return os.getpid()

    daybreak.get([sleep.remote() for _ in range(30)])  # all workers have started
    start = time.monotonic()
    pids = daybreak.get([sleep.remote() for _ in range(30)], timeout=30)
    assert time.monotonic() - start < 2.0
    assert len(set(pids)) == 30


def test_parallel_tasks_run_at_the_same_time(ray: Any) -> None:
    @ray.remote
    def sleep() -> None:
        time.sleep(0.3)

    ray.get([sleep.remote() for _ in range(2)])
    start = time.monotonic()
    ray.get([sleep.remote() for _ in range(2)])
    assert time.monotonic() - start < 0.55


def test_workers_draw_different_random_numbers(two_cpus: Any) -> None:
    daybreak.shutdown()
    random.seed(1)
    np.random.seed(1)
    daybreak.init(num_cpus=8)

    @daybreak.remote
    def draw() -> tuple[Any, ...]:
        import ssl
        import uuid

        time.sleep(0.2)
        return (os.getpid(), random.random(), float(np.random.rand()), ssl.RAND_bytes(8), uuid.uuid4().hex)

    draws = daybreak.get([draw.remote() for _ in range(8)], timeout=30)
    assert len({d[0] for d in draws}) == 8
    for column in zip(*draws, strict=True):
        assert len(set(column)) == 8


def test_workers_see_the_drivers_path_directory_and_environment(tmp_path: Any) -> None:
    import subprocess

    (tmp_path / "beside.py").write_text("VALUE = 'module beside the script'\ndef f(): return VALUE\n")
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "later.py").write_text("def g(): return 'path added after init'\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys, daybreak as ray\n"
        "import beside\n"
        "os.environ['SEEN'] = 'environment'\n"
        "ray.init(num_cpus=1)\n"
        "class Here:\n    def __init__(self): self.x = 'class of main'\n"
        "@ray.remote\ndef f(h): return [beside.f(), os.environ['SEEN'], os.getcwd(), h.x, Here().x]\n"
        "print(ray.get(f.remote(Here())))\n"
        "print(ray.get(ray.remote(beside.f).remote()))\n"
        "sys.path.append(os.path.join(os.path.dirname(__file__), 'late'))\n"
        "import later\n"
        "print(ray.get(ray.remote(later.g).remote()))\n"
    )
    out = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert out.returncode == 0, out.stderr
    assert out.stdout.splitlines() == [
        str(["module beside the script", "environment", str(tmp_path), "class of main", "class of main"]),
        "module beside the script",
        "path added after init",
    ]


def test_any_thread_may_call_any_verb(ray: Any) -> None:
    @ray.remote
    def add(a: int, b: int) -> int:
        return a + b

    @ray.remote
    class Counter:
        def __init__(self) -> None:
            self.n = 0

        def add(self, k: int) -> int:
            self.n += k
            return self.n

    counter = Counter.remote()
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for i in range(150):
                assert ray.get(add.remote(seed, i), timeout=30) == seed + i
                ref = ray.put(np.full(200, i))
                assert ray.get(ref)[0] == i
                counter.add.remote(1)
                refs = [add.remote(i, j) for j in range(3)]
                ready, rest = ray.wait(refs, num_returns=3, timeout=30)
                assert len(ready) == 3 and not rest
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(s,)) for s in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures
    assert ray.get(counter.add.remote(0), timeout=30) == 6 * 150


def test_threads_inside_a_task_may_call_verbs(ray: Any) -> None:
    @ray.remote
    def leaf(i: int) -> int:
        return i

    @ray.remote
    def parent() -> int:
        out: list[int] = []
        threads = [threading.Thread(target=lambda i=i: out.append(daybreak.get(leaf.remote(i)))) for i in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return sum(out)

    assert ray.get(parent.remote(), timeout=30) == 28


def test_a_reference_as_future_and_awaited(ray: Any) -> None:
    import asyncio

    @ray.remote
    def f(x: int) -> int:
        return x

    @ray.remote
    def fails() -> None:
        raise KeyError("k")

    assert f.remote(3).future().result(timeout=10) == 3
    with pytest.raises(KeyError):
        fails.remote().future().result(timeout=10)

    async def main() -> int:
        return sum(
            await asyncio.gather(*[asyncio.wrap_future(f.remote(i).future()) for i in range(5)])
        ) + await f.remote(100)

    assert asyncio.run(main()) == 110


def test_old_references_say_that_their_runtime_is_gone() -> None:
    daybreak.shutdown()
    daybreak.init(num_cpus=1)
    ref = daybreak.put(1)
    big = daybreak.get(daybreak.put(np.arange(10_000)))
    daybreak.shutdown()
    assert not daybreak.is_initialized()
    daybreak.init(num_cpus=1)
    with pytest.raises(ValueError, match="shut down"):
        daybreak.get(ref)
    assert big.sum() == 49_995_000  # an array outlives the runtime it came from
    with pytest.raises(RuntimeError, match="ignore_reinit_error"):
        daybreak.init()
    daybreak.init(ignore_reinit_error=True)
    daybreak.shutdown()


def test_init_names_what_is_wrong() -> None:
    daybreak.shutdown()
    for arguments in ({"num_cpus": -1}, {"num_cpus": 1.5}, {"num_gpus": -1}, {"object_store_memory": 10}, {"cpus": 2},
                      {"resources": {"CPU": 1}}, {"resources": {"x": -1}}, {"address": "somewhere"}):  # fmt: skip
        with pytest.raises(ValueError):
            daybreak.init(**arguments)  # type: ignore[arg-type]
    assert not daybreak.is_initialized()


def test_verbs_start_the_runtime_by_themselves() -> None:
    daybreak.shutdown()
    assert daybreak.get(daybreak.put(1)) == 1
    assert daybreak.is_initialized()
    daybreak.shutdown()


def test_runtime_context_says_where_the_code_runs(ray: Any) -> None:
    @ray.remote
    def where() -> tuple[Any, ...]:
        context = daybreak.get_runtime_context()
        return context.get_task_id(), context.get_actor_id(), context.get_worker_id(), context.get_job_id()

    task, actor, worker, job = ray.get(where.remote())
    here = ray.get_runtime_context()
    assert task and actor is None and worker != here.get_worker_id() and job == here.get_job_id()
    assert here.get_task_id() is None
    assert len(ray.nodes()) == 1 and ray.nodes()[0]["Alive"]
