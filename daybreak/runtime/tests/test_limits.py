"""The runtime at the edge of what the machine has, and beyond: it goes on, or refuses by name; it is never stuck. Sizes are what
two cores bear; DAYBREAK_LIMITS=full makes them those of the promise (a million tasks, 30 seconds, all processes)."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

import daybreak
from daybreak import exceptions as ex
from daybreak._core import runtime as native

from .conftest import ended, eventually

FULL = os.environ.get("DAYBREAK_LIMITS") == "full"
QUEUED = 1_000_000 if FULL else 100_000
STOPPED_S = 30.0 if FULL else 3.0
MOST_PROCESSES = 2046  # beside the driver's two
MOST_ACTORS = 8192
MOST_OBJECTS = 1 << 22
MOST_RESOURCE_NAMES = 1 << 15
# Of the driver: an entry in shared memory (256), its reference, and a cell of the queue, which a million do not have (298 then);
# and what the store touches of its own meanwhile.
QUEUED_TASK_BYTES = 320


def memory_of_driver() -> dict[str, int]:
    """Its share of what it maps, in bytes."""
    with open("/proc/self/smaps_rollup") as lines:
        return {line.split()[0].rstrip(":"): int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss")}


# -- memory and disk ----------------------------------------------------------------------------------------------------

IN_A_FULL_SHM = """
import os, shutil
import numpy as np
import daybreak
with open("/dev/shm/full", "wb") as file:
    try:
        while True:
            file.write(bytes(1 << 20))
            file.flush()
    except OSError:
        pass
assert shutil.disk_usage("/dev/shm").free < 1 << 20
daybreak.init(num_cpus=2, object_store_memory=64 << 20)
arrays = [daybreak.put(np.full(1 << 20, i)) for i in range(12)]

@daybreak.remote
def first(a):
    return int(a[0])

print(daybreak.get([first.remote(a) for a in arrays]))
daybreak.shutdown()
print(os.listdir("/dev/shm"))
"""


def test_a_full_dev_shm_is_nothing_to_the_runtime_which_uses_none_of_it(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(IN_A_FULL_SHM)
    mount = 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$0" "$@"'
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    inside = ["unshare", *user, "--mount", "sh", "-c", mount]
    if shutil.which("unshare") is None or subprocess.run([*inside, "true"], capture_output=True).returncode != 0:
        pytest.skip("this user may not make a mount namespace")
    done = subprocess.run([*inside, sys.executable, str(program)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(list(range(12))), "['full']"]


def threads_here() -> list[str]:
    return [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]


@pytest.mark.timeout(600)
def test_a_queued_task_takes_a_bounded_piece_of_memory_which_comes_back(tmp_path: Path) -> None:
    daybreak.shutdown()
    daybreak.init(num_cpus=1, object_store_memory=64 << 20)
    gate = tmp_path / "gate"

    @daybreak.remote
    def until(path: str) -> int:
        while not os.path.exists(path):
            time.sleep(0.005)
        return -1

    @daybreak.remote
    def same(i: int) -> int:
        return i

    blocking = until.remote(str(gate))
    assert daybreak.get(daybreak.remote(lambda: 1).options(num_cpus=0).remote(), timeout=30) == 1
    assert eventually(
        lambda: not any(name == "daybreak-warm" for name in threads_here())
    )  # it takes memory of the store
    before = memory_of_driver()
    refs = [same.remote(i) for i in range(QUEUED)]
    after = memory_of_driver()
    each = (after["Pss"] - before["Pss"]) / QUEUED
    print(f"{QUEUED:,} queued tasks take {each:.0f} bytes each")
    assert not daybreak.wait(refs[:1], timeout=0)[0]
    assert each <= QUEUED_TASK_BYTES
    gate.touch()
    for i in range(0, QUEUED, 10_000):
        assert daybreak.get(refs[i : i + 10_000], timeout=300) == list(range(i, i + 10_000))
    assert daybreak.get(blocking, timeout=30) == -1
    del refs, blocking
    gc.collect()
    assert eventually(lambda: native._usage()["objects"] == native._usage()["functions"])
    daybreak.shutdown()


# -- the clock ----------------------------------------------------------------------------------------------------------

JUMPING_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <time.h>
/* The clock of the day jumps by up to a day, to and fro, whenever it is looked at; the others go on as they do. */
static long jump(void) {
  static atomic_uint count;
  return (long)(atomic_fetch_add(&count, 1) * 2654435761u % 172800u) - 86400;
}
int clock_gettime(clockid_t clock, struct timespec* now) {
  static int (*real)(clockid_t, struct timespec*);
  if (!real) real = (int (*)(clockid_t, struct timespec*))dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, now);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += jump();
  return result;
}
int gettimeofday(struct timeval* now, void* zone) {
  struct timespec spec;
  (void)zone;
  if (clock_gettime(CLOCK_REALTIME, &spec) != 0) return -1;
  now->tv_sec = spec.tv_sec;
  now->tv_usec = spec.tv_nsec / 1000;
  return 0;
}
time_t time(time_t* to) {
  struct timespec spec;
  clock_gettime(CLOCK_REALTIME, &spec);
  if (to) *to = spec.tv_sec;
  return spec.tv_sec;
}
"""

WHILE_THE_CLOCK_JUMPS = """
import asyncio, os, signal, time
import daybreak

seen = [time.time() for _ in range(20)]
assert max(seen) - min(seen) > 3600, "the clock does not jump"
daybreak.init(num_cpus=2, object_store_memory=32 << 20)

@daybreak.remote
def after(seconds):
    time.sleep(seconds)
    return seconds

@daybreak.remote(max_retries=2)
def dies_once(path):
    if not os.path.exists(path):
        open(path, "x").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return "again"

@daybreak.remote(max_restarts=1, max_task_retries=1)
class Actor:
    async def wait(self, seconds):
        await asyncio.sleep(seconds)
        return os.getpid()

def lasted(seconds, f, *args, **kwargs):
    began = time.monotonic()
    try:
        return f(*args, **kwargs)
    finally:
        passed = time.monotonic() - began
        assert seconds - 0.01 <= passed < seconds + 5, (passed, seconds)

long = after.remote(600)
try:
    lasted(0.3, daybreak.get, long, timeout=0.3)
    raise AssertionError("it has not waited")
except daybreak.exceptions.GetTimeoutError:
    pass
assert lasted(0.3, daybreak.wait, [long], timeout=0.3) == ([], [long])
assert lasted(0.3, daybreak.get, after.remote(0.3)) == 0.3
assert daybreak.get(dies_once.remote("died"), timeout=20) == "again"
actor = Actor.remote()
pid = lasted(0.2, daybreak.get, actor.wait.remote(0.2))
os.kill(pid, signal.SIGKILL)
assert daybreak.get(actor.wait.remote(0.01), timeout=20) != pid
daybreak.cancel(long)
try:
    daybreak.get(long, timeout=20)
    raise AssertionError("it was cancelled")
except daybreak.exceptions.TaskCancelledError:
    pass
lasted(0, daybreak.shutdown)
print("done")
"""


def test_no_wait_looks_at_the_clock_of_the_day_which_may_jump(tmp_path: Path) -> None:
    compiler = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0]) or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: the clock that jumps is compiled here")
    (tmp_path / "clock.c").write_text(JUMPING_CLOCK)
    library = tmp_path / "clock.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(tmp_path / "clock.c"), "-ldl"], check=True
    )
    (tmp_path / "program.py").write_text(WHILE_THE_CLOCK_JUMPS)
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env={**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "done", done.stdout + done.stderr


# -- processes that stand still, and children of theirs -------------------------------------------------------------------


def test_a_worker_that_is_stopped_for_long_goes_on_where_it_was(no_leak: Any, tmp_path: Path) -> None:
    ray = no_leak

    @ray.remote(max_retries=0)
    def slow(path: str) -> tuple[int, int]:
        with open(path, "a") as file:
            file.write(f"{os.getpid()}\n")
        began = time.monotonic()
        while time.monotonic() - began < 0.3:
            time.sleep(0.01)
        return os.getpid(), len(open(path).readlines())

    path = tmp_path / "runs"
    ref = slow.remote(str(path))
    assert eventually(lambda: path.exists() and path.read_text().endswith("\n"))
    pid = int(path.read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        until = time.monotonic() + STOPPED_S
        while time.monotonic() < until:  # the other one works, and nobody takes this one for dead
            assert pid not in ray.get([ray.remote(os.getpid).remote() for _ in range(20)], timeout=20)
            assert ray.wait([ref], timeout=0.05) == ([], [ref])
    finally:
        os.kill(pid, signal.SIGCONT)
    assert ray.get(ref, timeout=20) == (pid, 1)


def test_an_actor_that_is_stopped_keeps_its_calls_in_order(no_leak: Any) -> None:
    ray = no_leak

    @ray.remote
    class Counter:
        def __init__(self) -> None:
            self.count = 0

        def add(self) -> int:
            self.count += 1
            return self.count

        def pid(self) -> int:
            return os.getpid()

    counter = Counter.remote()
    pid = ray.get(counter.pid.remote(), timeout=20)
    os.kill(pid, signal.SIGSTOP)
    try:
        refs = [counter.add.remote() for _ in range(1000)]
        assert ray.wait(refs, timeout=0.3)[0] == []
    finally:
        os.kill(pid, signal.SIGCONT)
    assert ray.get(refs, timeout=20) == list(range(1, 1001))
    del counter, refs


def test_the_child_of_a_task_that_calls_the_runtime_is_told_whose_it_is(no_leak: Any) -> None:
    ray = no_leak

    @ray.remote
    def forks() -> list[str]:
        held = daybreak.put("mine")
        said = []
        for verb in (
            lambda: daybreak.put(1),
            lambda: daybreak.get(held),
            lambda: daybreak.wait([held]),
            lambda: daybreak.remote(len).remote([]),
            lambda: daybreak.get_actor("none"),
        ):
            read, write = os.pipe()
            pid = os.fork()
            if pid == 0:
                try:
                    verb()
                    text = "it worked"
                except BaseException as error:
                    text = f"{type(error).__name__}: {error}"
                os.write(write, text.encode())
                os._exit(0)
            os.close(write)
            with os.fdopen(read) as file:
                said.append(file.read())
            os.waitpid(pid, 0)
        return [*said, daybreak.get(held)]

    *said, value = ray.get(forks.remote(), timeout=60)
    assert value == "mine"
    for i, text in enumerate(said):
        expected = "ValueError" if i in (1, 2) else "RuntimeError"
        assert text.startswith(expected) and ("parent" in text or "runtime" in text), (i, text)


def test_the_child_of_a_task_holds_nothing_up_when_its_worker_dies_and_ends_too(no_leak: Any, tmp_path: Path) -> None:
    ray = no_leak

    @ray.remote(max_retries=0)
    def forks_and_dies(path: str) -> None:
        if os.fork() == 0:
            with open(f"{path}.new", "w") as file:
                file.write(str(os.getpid()))
            os.rename(f"{path}.new", path)
            time.sleep(600)
            os._exit(0)
        while not os.path.exists(path):
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGKILL)

    path = tmp_path / "child"
    with pytest.raises(ex.WorkerCrashedError, match="signal 9"):
        ray.get(forks_and_dies.remote(str(path)), timeout=20)
    child = int(path.read_text())
    assert ray.get([ray.remote(lambda: 1).remote() for _ in range(4)], timeout=20) == [1] * 4
    assert eventually(lambda: ended(child))


def test_a_child_that_dies_says_nothing_about_its_worker(no_leak: Any) -> None:
    ray = no_leak

    @ray.remote(max_retries=0)
    def parent() -> tuple[int, int]:
        pid = os.fork()
        if pid == 0:
            os.kill(os.getpid(), signal.SIGSEGV)
        return os.WTERMSIG(os.waitpid(pid, 0)[1]), os.getpid()

    signals = ray.get([parent.remote() for _ in range(3)], timeout=20)
    assert [number for number, _ in signals] == [signal.SIGSEGV] * 3
    assert eventually(lambda: {pid for _, pid in signals} <= {pid for pid, _ in native._processes()})


# -- more processes than there can be -------------------------------------------------------------------------------------

DEEP = textwrap.dedent(
    """
    import sys
    import daybreak
    depth = int(sys.argv[1])
    daybreak.init(num_cpus=1, object_store_memory=64 << 20)

    @daybreak.remote(max_retries=0)
    def down(n):
        return 0 if n == 0 else 1 + daybreak.get(down.remote(n - 1))

    try:
        print("depth", daybreak.get(down.remote(depth), timeout=400))
    except Exception as error:
        print(type(error).__name__, "nest less deeply" in str(error))
    print("after", daybreak.get(down.remote(3), timeout=60))
    daybreak.shutdown()
    """
)


def nested(depth: int) -> tuple[str, str]:
    done = subprocess.run([sys.executable, "-c", DEEP, str(depth)], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    first, last = done.stdout.splitlines()
    return first, last


@pytest.mark.timeout(600)
def test_a_task_waits_in_another_600_deep_each_in_a_process_of_its_own() -> None:
    assert nested(600) == ("depth 600", "after 3")


@pytest.mark.timeout(1000)
@pytest.mark.skipif(not FULL, reason="DAYBREAK_LIMITS=full: makes 2,046 processes")
@pytest.mark.parametrize("depth", [MOST_PROCESSES + 40, 2 * MOST_PROCESSES])
def test_tasks_that_wait_in_each_other_deeper_than_there_are_processes_fail_and_are_not_stuck(depth: int) -> None:
    first, last = nested(depth)
    assert first.endswith("True") and "Error" in first
    assert last == "after 3"


@pytest.mark.timeout(1000)
@pytest.mark.skipif(not FULL, reason="DAYBREAK_LIMITS=full: makes 2,046 processes")
@pytest.mark.parametrize("count", [1000, MOST_PROCESSES + 20])
def test_actors_are_as_many_as_there_are_processes_and_the_others_say_so(count: int) -> None:
    daybreak.shutdown()
    daybreak.init(num_cpus=2, object_store_memory=64 << 20)

    @daybreak.remote(num_cpus=0)
    class Actor:
        def number(self, i: int) -> int:
            return i

    actors = [Actor.remote() for _ in range(count)]
    refs = [actor.number.remote(i) for i, actor in enumerate(actors)]
    alive, refused = 0, 0
    for i, ref in enumerate(refs):
        try:
            assert daybreak.get(ref, timeout=600) == i
            alive += 1
        except ex.ActorDiedError as error:
            assert f"no more than {MOST_PROCESSES} processes are possible" in str(error)
            refused += 1
    assert alive + refused == count and min(count, MOST_PROCESSES - 100) <= alive <= MOST_PROCESSES
    del actors, refs
    gc.collect()
    assert eventually(lambda: native._usage()["actors"] == 0, 120)
    with contextlib.suppress(ProcessLookupError):
        daybreak.shutdown()


# -- more of other things than there can be -------------------------------------------------------------------------------


@pytest.mark.timeout(600)
def test_one_actor_more_than_there_are_slots_is_refused_when_it_is_made() -> None:
    daybreak.shutdown()
    daybreak.init(num_cpus=1, object_store_memory=64 << 20)

    @daybreak.remote(num_cpus=1)
    class Actor:
        def one(self) -> int:
            return 1

    actors = [Actor.remote() for _ in range(MOST_ACTORS)]  # one lives, the others wait for its CPU
    with pytest.raises(ex.RaySystemError, match=f"{MOST_ACTORS} actors are alive, more are not possible: kill some"):
        Actor.remote()
    del actors[1:]
    assert daybreak.get(actors[0].one.remote(), timeout=60) == 1
    assert eventually(lambda: native._usage()["actors"] == 1, 60)
    del actors
    daybreak.shutdown()


@pytest.mark.timeout(600)
@pytest.mark.skipif(not FULL, reason="DAYBREAK_LIMITS=full: takes 1.5 GB")
def test_one_object_more_than_there_are_entries_is_refused_when_it_is_made() -> None:
    daybreak.shutdown()
    daybreak.init(num_cpus=1, object_store_memory=64 << 20)
    refs = []
    with pytest.raises(ex.ObjectStoreFullError, match=f"the table of {MOST_OBJECTS} objects is full: drop references"):
        for i in range(MOST_OBJECTS + 1):
            refs.append(daybreak.put(i))
    assert len(refs) > MOST_OBJECTS - 10_000
    assert daybreak.get([refs[0], refs[-1]]) == [0, len(refs) - 1]
    del refs[10:]
    assert daybreak.get(daybreak.put("again")) == "again"
    del refs
    daybreak.shutdown()


def test_custom_resources_are_many_and_a_task_asks_for_as_many_of_them_as_it_likes() -> None:
    daybreak.shutdown()
    total = {f"r{i}": 1.0 + i % 7 for i in range(10_000)}
    daybreak.init(num_cpus=2, resources=total, object_store_memory=64 << 20)
    all_of_them = daybreak.remote(resources=total)(lambda: "all")
    some = [daybreak.remote(resources=dict(list(total.items())[i::7]))(lambda i=i: i) for i in range(7)]
    refs = [f.remote() for f in (*some, all_of_them) for _ in range(3)]
    assert daybreak.get(refs, timeout=60) == [i for i in (*range(7), "all") for _ in range(3)]
    assert eventually(lambda: daybreak.available_resources().items() >= {"r0": 1.0, "r9999": 4.0}.items())
    with pytest.raises(ValueError, match="a name has 1 to 63 bytes"):
        daybreak.remote(resources={"x" * 64: 1})(lambda: 1).remote()
    daybreak.shutdown()


def test_a_task_waits_for_the_resource_that_it_lacks_while_hundreds_of_lines_wait_for_others(tmp_path: Path) -> None:
    daybreak.shutdown()
    names = [f"r{i}" for i in range(300)]
    daybreak.init(num_cpus=4, resources={name: 1.0 for name in names}, object_store_memory=64 << 20)
    gate = tmp_path / "gate"

    @daybreak.remote(num_cpus=0, resources={name: 1.0 for name in names[:299]})
    def holds() -> str:
        while not gate.exists():
            time.sleep(0.005)
        return "held"

    holding = holds.remote()
    uses = [daybreak.remote(num_cpus=0, resources={name: 1.0})(lambda i=i: i) for i, name in enumerate(names)]
    refs = [use.remote() for use in uses for _ in range(2)]
    assert daybreak.get(refs[-2:], timeout=60) == [299, 299]  # nobody holds the last one
    daybreak.cancel(refs[0])
    assert daybreak.wait(refs[1:-2], num_returns=1, timeout=0.3)[0] == []
    gate.touch()
    assert daybreak.get(refs[1:], timeout=60) == [i for i in range(300) for _ in range(2)][1:]
    with pytest.raises(ex.TaskCancelledError):
        daybreak.get(refs[0], timeout=60)
    assert daybreak.get(holding, timeout=60) == "held"
    assert eventually(lambda: all(daybreak.available_resources().get(name) == 1.0 for name in names))
    daybreak.shutdown()


def test_one_name_of_a_resource_more_than_there_can_be_is_refused_by_name() -> None:
    daybreak.shutdown()
    count = MOST_RESOURCE_NAMES - 40  # CPU, memory and the like are names, too
    daybreak.init(num_cpus=1, resources={f"r{i}": 1.0 for i in range(count)}, object_store_memory=64 << 20)
    last = f"r{count - 1}"
    assert daybreak.get(daybreak.remote(resources={last: 1})(lambda: 1).remote(), timeout=60) == 1
    taken = 0
    with pytest.raises(ex.RaySystemError, match=f"{MOST_RESOURCE_NAMES} names of resources are in use") as caught:
        while taken < 40:
            daybreak.remote(resources={f"more{taken}": 1})(lambda: 1).remote()
            taken += 1
    assert f"resource 'more{taken}'" in str(caught.value) and 20 < taken < 40
    assert daybreak.get(daybreak.remote(resources={last: 1})(lambda: 2).remote(), timeout=60) == 2
    daybreak.shutdown()
