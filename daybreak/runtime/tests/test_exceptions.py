"""Exceptions that cross a process: what arrives is what was raised, and can be caught by its class."""

from __future__ import annotations

import asyncio
import concurrent.futures
import configparser
import copy
import dataclasses
import decimal
import http.client
import json
import pickle
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import traceback
import urllib.error
from collections.abc import Callable
from typing import Any

import pytest

import daybreak
from daybreak import exceptions as ex
from daybreak.runtime import crossing


@pytest.fixture(scope="module")
def raised(ray: Any) -> Callable[[Callable[[], BaseException]], Any]:
    """What `get` raises when a task raises what `make` makes there."""

    @ray.remote
    def fails(make: Callable[[], BaseException]) -> None:
        raise make()

    def of(make: Callable[[], BaseException]) -> Any:
        with pytest.raises(ex.TaskError) as caught:
            ray.get(fails.remote(make))
        return caught.value

    return of


# What the built-in classes keep beside their arguments.
BUILTIN = {
    "FileNotFoundError": (lambda: FileNotFoundError(2, "gone", "/a", None, "/b"), "errno strerror filename filename2"),
    "OSError that becomes a subclass": (lambda: OSError(13, "no", "/etc/shadow"), "errno strerror filename"),
    "OSError without arguments": (lambda: OSError(), "errno strerror filename"),
    "BlockingIOError": (lambda: BlockingIOError(11, "full", 42), "errno characters_written"),
    "bytes as a file name": (lambda: PermissionError(13, "no", b"/\xff"), "errno filename"),
    "UnicodeDecodeError": (lambda: UnicodeDecodeError("utf-8", b"a\xffb", 1, 2, "bad"), "encoding object start end reason"),
    "UnicodeEncodeError": (lambda: UnicodeEncodeError("ascii", "aé", 1, 2, "bad"), "encoding object start end reason"),
    "UnicodeTranslateError": (lambda: UnicodeTranslateError("aé", 1, 2, "bad"), "object start end reason"),
    "SyntaxError": (
        lambda: SyntaxError("bad", ("f.py", 3, 4, "x = = 1", 3, 6)),
        "msg filename lineno offset text end_lineno end_offset",
    ),
    "ImportError": (lambda: ModuleNotFoundError("no", name="mod", path="/p"), "msg name path"),
    "AttributeError": (lambda: AttributeError("no", name="field"), "name"),
    "NameError": (lambda: NameError("no", name="x"), "name"),
    "KeyError": (lambda: KeyError(("a", 1)), ""),
    "JSONDecodeError": (lambda: json.JSONDecodeError("bad", "[1,\n2", 4), "msg doc pos lineno colno"),
    "CalledProcessError": (
        lambda: subprocess.CalledProcessError(3, ["a", "b"], b"out", b"err"),
        "returncode cmd output stdout stderr",
    ),
    "TimeoutExpired": (lambda: subprocess.TimeoutExpired("cmd", 1.5), "cmd timeout"),
    "futures' CancelledError": (lambda: concurrent.futures.CancelledError(), ""),
    "asyncio's IncompleteReadError": (lambda: asyncio.IncompleteReadError(b"part", 10), "partial expected"),
    "MemoryError": (lambda: MemoryError("m"), ""),
    "socket.gaierror": (lambda: socket.gaierror(-2, "not known"), "errno strerror"),
    "ssl.SSLError": (lambda: ssl.SSLError(1, "bad"), "errno strerror"),
    "sqlite3.IntegrityError": (lambda: sqlite3.IntegrityError("unique"), ""),
    "http.client.IncompleteRead": (lambda: http.client.IncompleteRead(b"ab", 5), "partial expected"),
    "configparser.NoOptionError": (lambda: configparser.NoOptionError("o", "s"), "option section message"),
    "shutil.Error": (lambda: shutil.Error([("a", "b", "c")]), ""),
    "decimal.InvalidOperation": (lambda: decimal.InvalidOperation("d"), ""),
    "RecursionError": (lambda: RecursionError("deep"), ""),
}  # fmt: skip


@pytest.mark.parametrize("make, names", BUILTIN.values(), ids=list(BUILTIN))
def test_exception_of_python_arrives_with_all_of_its_attributes(raised: Any, make: Any, names: str) -> None:
    wanted, error = make(), raised(make)
    assert isinstance(error, type(wanted)) and type(error.cause) is type(wanted)
    for one in (error, error.cause):
        assert one.args == wanted.args
        for name in names.split():
            assert getattr(one, name) == getattr(wanted, name), name
    if not isinstance(wanted, SyntaxError):
        assert str(error.cause) == str(wanted)


class ArgsIsProperty(Exception):
    def __init__(self, code: int) -> None:
        self.code = code

    @property
    def args(self) -> Any:  # type: ignore[override]
        return (f"code {self.code}",)


class WantsOtherArguments(Exception):
    def __init__(self, where: str, *, code: int) -> None:
        super().__init__(f"{code} at {where}")
        self.where, self.code = where, code


class Slotted(Exception):
    __slots__ = ("left", "never_set")

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left


class SlottedAndMore(Slotted):
    __slots__ = ("right",)


class OwnNew(ValueError):
    def __new__(cls, code: int, text: str) -> OwnNew:
        made = super().__new__(cls, text)
        made.code = code  # type: ignore[attr-defined]
        return made

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)


class OwnReduce(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a}+{b}")
        self.a, self.b = a, b

    def __reduce__(self) -> Any:
        return OwnReduce, (self.a, self.b)


@dataclasses.dataclass(frozen=True)
class FrozenError(Exception):
    code: int
    parts: tuple[str, ...] = ()


class Registered(Exception):
    known: list[type] = []

    def __init_subclass__(cls, *, code: int) -> None:  # a subclass without it is an error
        Registered.known.append(cls)


class HttpLike(OSError):
    """As requests' exceptions: an OSError with objects as attributes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.response = kwargs.pop("response", None)
        super().__init__(*args)


OWN: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "args is a property": (lambda: ArgsIsProperty(7), {"code": 7, "args": ("code 7",)}),
    "other arguments than args": (lambda: WantsOtherArguments("here", code=5), {"where": "here", "code": 5}),
    "slots": (lambda: Slotted(3), {"left": 3}),
    "slots of two classes": (lambda: SlottedAndMore(4), {"left": 4}),
    "a __new__ of its own": (lambda: OwnNew(9, "t"), {"code": 9, "args": ("t",)}),
    "a __reduce__ of its own": (lambda: OwnReduce(1, 2), {"a": 1, "b": 2, "args": ("1+2",)}),
    "a frozen dataclass": (lambda: FrozenError(8, ("x",)), {"code": 8, "parts": ("x",)}),
    "a hook for subclasses": (lambda: Registered("r"), {"args": ("r",)}),
    "an OSError with a response": (lambda: HttpLike("m", response={"status": 404}), {"response": {"status": 404}}),
    "HTTPError without a body": (
        lambda: urllib.error.HTTPError("http://x", 404, "Not Found", None, None),  # type: ignore[arg-type]
        {"code": 404, "msg": "Not Found", "filename": "http://x"},
    ),
}


@pytest.mark.parametrize("make, wanted", OWN.values(), ids=list(OWN))
def test_exception_of_the_user_arrives_whatever_its_constructor_takes(raised: Any, make: Any, wanted: Any) -> None:
    registered = len(Registered.known)
    error = raised(make)
    assert isinstance(error, type(make())) and type(error.cause) is type(make())
    for name, value in wanted.items():
        assert getattr(error, name) == value and getattr(error.cause, name) == value
    assert len(Registered.known) == registered


def test_exceptions_of_libraries_arrive(raised: Any) -> None:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    for make, kind in (
        (lambda: pd.errors.ParserError("p"), pd.errors.ParserError),
        (lambda: np.exceptions.AxisError(3, 2), np.exceptions.AxisError),
        (lambda: np.linalg.LinAlgError("l"), np.linalg.LinAlgError),
        (lambda: pa.ArrowInvalid("a"), pa.ArrowInvalid),
        (lambda: pa.ArrowKeyError("a"), KeyError),
    ):
        assert isinstance(raised(make), kind)
    error = raised(lambda: np.exceptions.AxisError(3, 2))
    assert error.axis == 3 and error.ndim == 2


def test_exception_of_a_final_class_is_caught_by_the_class_above_it(raised: Any) -> None:
    pydantic = pytest.importorskip("pydantic")

    def make() -> Any:
        class Model(pydantic.BaseModel):  # type: ignore[name-defined,misc]
            x: int

        try:
            Model(x="no number")
        except pydantic.ValidationError as error:
            return error

    error = raised(make)
    assert isinstance(error, ValueError) and isinstance(error.cause, pydantic.ValidationError)
    assert error.errors()[0]["loc"] == ("x",) and "no number" in str(error)


def test_class_of_a_function_or_of_main_is_the_callers_own_class(ray: Any, raised: Any, tmp_path: Any) -> None:
    class Local(Exception):
        pass

    assert type(raised(lambda: Local(1)).cause) is Local
    script = tmp_path / "script.py"
    script.write_text(
        "import daybreak\n"
        "class Mine(Exception):\n"
        "    def __init__(self, a, b): super().__init__(a); self.b = b\n"
        "@daybreak.remote\n"
        "def fails(): raise Mine(1, 2)\n"
        "@daybreak.remote\n"
        "def outer():\n"
        "    try: daybreak.get(fails.remote())\n"
        "    except Mine as e: return e.b\n"
        "daybreak.init(num_cpus=2)\n"
        "try: daybreak.get(fails.remote())\n"
        "except Mine as e: print(e.args, e.b, type(e.cause) is Mine, daybreak.get(outer.remote()))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "(1,) 2 True 2\n", done.stderr


def test_cause_context_and_notes_arrive(ray: Any) -> None:
    @ray.remote
    def fails() -> None:
        try:
            try:
                raise FileNotFoundError(2, "gone", "/x")
            except FileNotFoundError as error:
                error.add_note("first")
                raise KeyError("k") from error
        except KeyError:
            last = ValueError("v")
            last.add_note("second")
            raise last  # noqa: B904 - its context is what this is about

    with pytest.raises(ValueError) as caught:
        ray.get(fails.remote())
    for error in (caught.value, caught.value.cause):  # type: ignore[attr-defined]
        assert error.__notes__ == ["second"]
        assert error.__cause__ is None and not error.__suppress_context__
        key = error.__context__
        assert type(key) is KeyError and key.args == ("k",) and key.__suppress_context__
        first = key.__cause__
        assert type(first) is FileNotFoundError and first.filename == "/x" and first.__notes__ == ["first"]

    @ray.remote
    def hides() -> None:
        try:
            raise KeyError("hidden")
        except KeyError:
            raise ValueError("v") from None

    with pytest.raises(ValueError) as caught:
        ray.get(hides.remote())
    assert caught.value.__suppress_context__ and isinstance(caught.value.__context__, KeyError)


def test_ring_and_chain_of_any_length_arrive(raised: Any) -> None:
    def ring() -> Exception:
        one, other = ValueError("one"), KeyError("other")
        one.__context__, other.__context__ = other, one
        one.args = ("one", other)
        return one

    error = raised(ring).cause
    assert error.__context__.__context__ is error and error.args[1] is error.__context__

    def chain(n: int) -> Exception:
        error = ValueError(0)
        for i in range(1, n):
            following = ValueError(i)
            following.__cause__ = error
            error = following
        return error

    def length(error: Any) -> int:
        n = 0
        while error is not None:
            n, error = n + 1, error.__cause__
        return n

    assert length(raised(lambda: chain(900)).cause) == 900
    long = raised(lambda: chain(3000))
    assert length(long.cause) == crossing.MAX_EXCEPTIONS and "beyond the first 1000" in str(long)


class GroupWithCode(ExceptionGroup[Exception]):
    def __new__(cls, message: str, members: Any, code: int) -> GroupWithCode:
        made = super().__new__(cls, message, members)
        made.code = code  # type: ignore[attr-defined]
        return made


def test_group_arrives_with_its_members_and_can_be_taken_apart(raised: Any) -> None:
    def make() -> Exception:
        member = OSError(2, "gone", "/x")
        member.add_note("n")
        member.__cause__ = ZeroDivisionError("z")
        return GroupWithCode("outer", [member, ExceptionGroup("inner", [KeyError(1), ValueError(2)])], 5)

    error = raised(make)
    assert isinstance(error, GroupWithCode) and error.message == "outer" and error.code == 5  # type: ignore[attr-defined]
    found: list[BaseException] = []
    try:
        raise error
    except* FileNotFoundError as group:
        found += group.exceptions
    except* (KeyError, ValueError) as group:
        found += [each for inner in group.exceptions for each in inner.exceptions]  # type: ignore[union-attr]
    assert [type(each) for each in found] == [FileNotFoundError, KeyError, ValueError]
    assert found[0].filename == "/x" and found[0].__notes__ == ["n"]  # type: ignore[attr-defined]
    assert isinstance(found[0].__cause__, ZeroDivisionError)
    plain = raised(lambda: BaseExceptionGroup("b", [KeyboardInterrupt(), KeyError(1)]))
    assert type(plain) is ex.TaskError and len(plain.cause.exceptions) == 2


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
def test_end_of_an_iterator_in_a_task_ends_no_loop_of_the_caller(ray: Any, raised: Any, kind: type[Exception]) -> None:
    @ray.remote
    def first(items: list[int]) -> int:
        if not items:
            raise kind("none")
        return items[0]

    refs = [first.remote([1]), first.remote([]), first.remote([3])]
    with pytest.raises(ex.TaskError, match=kind.__name__):
        list(map(ray.get, refs))
    error = raised(lambda: kind(4))
    assert not isinstance(error, kind) and type(error.cause) is kind and error.cause.args == (4,)
    if kind is StopIteration:
        assert error.cause.value == 4

    async def wait() -> Any:
        return await refs[1]

    with pytest.raises(ex.TaskError):
        asyncio.run(wait())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
def test_what_is_no_exception_does_not_end_the_caller(raised: Any, kind: type[BaseException]) -> None:
    error = raised(lambda: kind("x"))
    assert type(error) is ex.TaskError and type(error.cause) is kind and error.cause.args == ("x",)


def test_exit_of_a_task_says_its_code_and_leaves_the_worker(ray: Any) -> None:
    @ray.remote
    def leaves(code: Any) -> None:
        sys.exit(code)

    with pytest.raises(ex.WorkerCrashedError, match=r"SystemExit\(3\)"):
        ray.get(leaves.remote(3))
    with pytest.raises(ex.WorkerCrashedError, match=r"SystemExit\('why'\)"):
        ray.get(leaves.remote("why"))


def test_what_of_an_exception_cannot_be_pickled_stays_and_is_named(raised: Any) -> None:
    def make() -> Exception:
        error = WantsOtherArguments("here", code=1)
        error.args = ("text", threading.Lock())
        error.lock = threading.Lock()  # type: ignore[attr-defined]
        error.__cause__ = ValueError(threading.Lock())
        return error

    error = raised(make)
    assert isinstance(error, WantsOtherArguments) and error.code == 1 and not hasattr(error, "lock")
    assert error.args[0] == "text" and "lock" in error.args[1]
    assert isinstance(error.__cause__, ValueError)
    assert "the attribute lock" in str(error) and "args[1], a lock" in str(error)


def test_class_that_cannot_be_pickled_is_caught_by_the_one_below_it(raised: Any) -> None:
    def make() -> Exception:
        class Holds(KeyError):
            pass

        Holds.lock = threading.Lock()  # type: ignore[attr-defined]
        return Holds("k")

    error = raised(make)
    assert isinstance(error, KeyError) and error.args == ("k",)
    assert "the class" in str(error) and "Holds" in str(error)


class CannotBeMadeAgain(ValueError):
    def __reduce__(self) -> Any:
        return CannotBeMadeAgain, ("too", "many"), 1, 2, 3


class RaisesWhenMadeAgain(ValueError):
    def __reduce__(self) -> Any:
        return int, ("no number",)


def test_exception_whose_own_pickling_is_wrong_is_caught_by_the_class_below_it(raised: Any) -> None:
    error = raised(lambda: RaisesWhenMadeAgain("v"))
    assert isinstance(error, ValueError) and "could not be unpickled" in str(error) and "Again: v" in str(error)
    error = raised(lambda: CannotBeMadeAgain("v"))
    assert isinstance(error, CannotBeMadeAgain) and error.args == ("v",)
    assert "its own __reduce__" in str(error)


def test_attributes_and_notes_added_to_a_class_with_its_own_reduce_arrive(raised: Any) -> None:
    def make() -> Exception:
        error = json.JSONDecodeError("bad", "doc", 1)
        error.add_note("n")
        error.request_id = 17  # type: ignore[attr-defined]
        return error

    error = raised(make)
    assert error.__notes__ == ["n"] and error.request_id == 17 and error.pos == 1


def test_exception_passes_through_tasks_that_wait_for_each_other(ray: Any) -> None:
    @ray.remote
    def inner() -> None:
        raise WantsOtherArguments("deep", code=2)

    @ray.remote
    def outer(deep: bool) -> None:
        try:
            ray.get(inner.remote())
        except WantsOtherArguments as error:
            if deep:
                raise RuntimeError("outer") from error
            error.add_note("seen by outer")
            raise

    with pytest.raises(WantsOtherArguments) as caught:
        ray.get(outer.remote(False))
    assert caught.value.code == 2 and caught.value.__notes__ == ["seen by outer"]
    with pytest.raises(RuntimeError) as other:
        ray.get(outer.remote(True))
    cause = other.value.__cause__
    assert isinstance(cause, WantsOtherArguments) and isinstance(cause, ex.TaskError) and cause.code == 2


def test_attributes_of_the_user_win_over_the_runtimes(raised: Any) -> None:
    class ProcessFailed(Exception):
        def __init__(self, pid: int, function_name: str) -> None:
            super().__init__("failed")
            self.pid, self.function_name = pid, function_name

    error = raised(lambda: ProcessFailed(-1, "theirs"))
    assert error.pid == -1 and error.function_name == "theirs" and "failed" in error.traceback_str
    assert raised(lambda: ValueError()).pid > 0


def test_task_error_survives_pickle_copy_and_printing(raised: Any) -> None:
    def make() -> Exception:
        error = WantsOtherArguments("here", code=5)
        error.__cause__ = KeyError("k")
        error.add_note("n")
        return error

    first = raised(make)
    for error in (pickle.loads(pickle.dumps(first)), copy.copy(first), first.as_instanceof_cause()):
        assert isinstance(error, WantsOtherArguments) and isinstance(error, ex.TaskError)
        assert error.code == 5 and isinstance(error.__cause__, KeyError) and error.__notes__ == ["n"]
        assert str(error) == str(first)
    assert "5 at here" in "".join(traceback.format_exception(first))
    multi = pickle.loads(pickle.dumps(raised(lambda: StopIteration(1))))
    assert type(multi) is ex.TaskError and multi.cause.value == 1


def test_exceptions_as_values_survive_too(ray: Any) -> None:
    @ray.remote
    def gives() -> list[Exception]:
        return [WantsOtherArguments("here", code=5), FileNotFoundError(2, "gone", "/x"), Slotted(3)]

    wants, gone, slotted = ray.get(gives.remote())
    assert wants.code == 5 and gone.filename == "/x" and slotted.left == 3


def test_large_exception_arrives_and_one_that_has_no_room_says_so(ray: Any, raised: Any) -> None:
    error = raised(lambda: ValueError("x" * 3_000_000))
    assert len(error.args[0]) == 3_000_000
    assert len(error.traceback_str) < 1_100_000 and "characters are left out" in error.traceback_str

    daybreak.shutdown()
    daybreak.init(num_cpus=1, object_store_memory=8 << 20)
    try:

        @daybreak.remote
        def fails() -> None:
            raise KeyError(bytes(30_000_000))

        with pytest.raises(KeyError, match="did not fit into the object store"):
            daybreak.get(fails.remote())
    finally:
        daybreak.shutdown()
        daybreak.init(num_cpus=2, object_store_memory=256 << 20)


def test_exceptions_of_actors_arrive_as_those_of_tasks(ray: Any) -> None:
    @ray.remote
    class Fails:
        def __init__(self, at_once: bool) -> None:
            if at_once:
                raise WantsOtherArguments("in __init__", code=1)

        def method(self) -> None:
            raise FileNotFoundError(2, "gone", "/x")

        def ends(self) -> None:
            raise StopIteration

    actor = Fails.remote(False)
    with pytest.raises(FileNotFoundError) as gone:
        ray.get(actor.method.remote())
    assert gone.value.filename == "/x"
    with pytest.raises(ex.TaskError, match="StopIteration"):
        ray.get(actor.ends.remote())
    with pytest.raises(WantsOtherArguments) as wants:
        ray.get(Fails.remote(True).method.remote())
    assert wants.value.code == 1 and isinstance(wants.value, ex.ActorDiedError)
    again = pickle.loads(pickle.dumps(wants.value))
    assert isinstance(again, ex.ActorDiedError) and again.code == 1
