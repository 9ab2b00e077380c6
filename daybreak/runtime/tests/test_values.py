"""What travels: slices, copies of references, functions of any origin, results that cannot be."""

from __future__ import annotations

import copy
import dataclasses
import functools
import importlib.util
import operator
import pickle
import sys
import types
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import daybreak
from daybreak._core import runtime as native
from daybreak.runtime.serialization import dumps

from .conftest import eventually

ROWS = 200_000  # 1.6 MB a column


def stored_bytes(value: Any) -> int:
    """What a value takes in the store: its pickle and the buffers beside it."""
    buffers: list[Any] = []
    return len(dumps(value, buffers.append)) + sum(len(buffer.raw()) for buffer in buffers)


def table() -> Any:
    return pa.table(
        {
            "n": np.arange(ROWS),
            "text": [f"row {i}" for i in range(ROWS)],
            "kind": pa.array(["a", "b"] * (ROWS // 2)).dictionary_encode(),
            "list": pa.array([[i, i + 1] for i in range(ROWS)]),
            "maybe": pa.array([None if i % 3 else i for i in range(ROWS)]),
            "when": pa.array(np.arange(ROWS), pa.timestamp("us", "Europe/Berlin")),
        }
    )


WHOLE = table()
LONG = [f"a text that is too long to lie in a view {i}" for i in range(20_000)]
OF_TYPES = {
    "string_view": pa.array(LONG, pa.string_view()),
    "large_string": pa.array(LONG, pa.large_string()),
    "struct": pa.array([{"a": text} for text in LONG]),
    "struct of string_view": pa.array([{"a": text} for text in LONG], pa.struct({"a": pa.string_view()})),
    "map": pa.array([[(text, 1)] for text in LONG], pa.map_(pa.string(), pa.int64())),
    "list_view": pa.array([[text] for text in LONG], pa.list_view(pa.string())),
    "dense union": pa.UnionArray.from_dense(
        pa.array([0] * len(LONG), pa.int8()), pa.array(range(len(LONG)), pa.int32()), [pa.array(LONG)]
    ),
    "run ends": pa.RunEndEncodedArray.from_arrays(pa.array(range(1, len(LONG) + 1), pa.int32()), pa.array(LONG)),
    "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"x" * 16] * 20_000, pa.binary(16))),
    "decimal": pa.array([1] * 20_000, pa.decimal128(10, 2)),
}
FRAME = pd.DataFrame({"n": np.arange(ROWS), "x": np.arange(ROWS) / 2, "text": [f"row {i}" for i in range(ROWS)]})
MATRIX = np.arange(ROWS, dtype=np.float64).reshape(-1, 10)

SLICES: dict[str, Any] = {
    "a table of Arrow": WHOLE.slice(500, 10),
    "a record batch": WHOLE.to_batches()[0].slice(500, 10),
    "a column": WHOLE["text"].slice(7, 10),
    "an array": WHOLE["n"].chunk(0).slice(7, 10),
    "an array of lists": WHOLE["list"].chunk(0).slice(7, 10),
    "nothing of a table": WHOLE.slice(0, 0),
    "rows of a frame": FRAME.iloc[500:510],
    "every thousandth row of a frame": FRAME.iloc[:10_000:1000],
    "a column's rows": FRAME["text"].iloc[500:510],
    "rows of an array": MATRIX[5:15],
    "columns of an array": MATRIX[:10, :2],
    "a strided array": MATRIX[:10_000:1000],
    "rows of a column-major array": np.asfortranarray(MATRIX)[5:15],
    "records": np.rec.fromarrays([np.arange(ROWS), np.arange(ROWS)])[5:15],
    "a masked array": np.ma.masked_less(MATRIX, 5)[:10],
    "a view": memoryview(MATRIX)[5:15],
    "a view of bytes": memoryview(bytes(ROWS))[5:15],
}  # fmt: skip


@pytest.mark.parametrize("value", SLICES.values(), ids=list(SLICES))
def test_ten_rows_of_a_large_value_are_stored_as_ten_rows(ray: Any, value: Any) -> None:
    for given in (value, {"inside": [value]}):
        assert stored_bytes(given) < 60_000
    found = ray.get(ray.put([value]))[0]
    assert type(found) is type(value)
    if isinstance(value, (pd.DataFrame, pd.Series)):
        assert found.equals(value)
    elif isinstance(value, memoryview):
        assert found == value and found.format == value.format and found.shape == value.shape
    elif isinstance(value, np.ndarray):
        assert found.dtype == value.dtype and np.array_equal(found, value)
    else:
        assert found.equals(value) and getattr(found, "schema", None) == getattr(value, "schema", None)


@pytest.mark.parametrize("name", OF_TYPES)
def test_slice_of_every_type_of_arrow_is_stored_alone(name: str) -> None:
    whole = OF_TYPES[name]
    value = whole.slice(77, 10)
    assert stored_bytes(value) < 10_000 < stored_bytes(whole)
    again = pickle.loads(dumps(value, None))  # type: ignore[arg-type]
    assert again.equals(value) and again.type == value.type


def test_whole_tables_still_travel_without_a_copy_of_their_columns() -> None:
    for value in (WHOLE, WHOLE["n"], FRAME):
        buffers: list[Any] = []
        assert len(dumps(value, buffers.append)) < 20_000 and sum(len(each.raw()) for each in buffers) >= ROWS * 8


def test_slices_of_a_torch_tensor_are_stored_alone(ray: Any) -> None:
    torch = pytest.importorskip("torch")
    whole = torch.arange(ROWS, dtype=torch.float64)
    assert stored_bytes(whole[5:15]) < 60_000
    assert torch.equal(ray.get(ray.put([whole[5:15]]))[0], whole[5:15])


def test_copies_of_a_reference_are_the_reference_and_hold_nothing(no_leak: Any) -> None:
    @no_leak.remote
    class Counter:
        def get(self) -> int:
            return 3

    actor = Counter.remote()
    ref = no_leak.put([1, 2])
    for made in (copy.copy(ref), copy.deepcopy(ref), copy.deepcopy({"refs": [ref]})["refs"][0]):
        assert made == ref and no_leak.get(made) == [1, 2]
    assert no_leak.get(copy.deepcopy([actor])[0].get.remote()) == 3
    objects = native._usage()["objects"]
    del ref, made
    assert eventually(lambda: native._usage()["objects"] == objects - 1)


def test_reference_and_handle_survive_a_pickle_of_somebody_else(two_cpus: Any) -> None:
    @two_cpus.remote
    class Counter:
        def get(self) -> int:
            return 3

    ref, actor = two_cpus.put("value"), Counter.remote()
    again, handle = pickle.loads(pickle.dumps((ref, actor)))
    assert two_cpus.get(again) == "value" and two_cpus.get(handle.get.remote()) == 3


# ----------------------------------------------------------------------------------------------------------------------
# Functions.

MODULE = """
import math
FACTOR = 3
class Point:
    def __init__(self, x): self.x = x
    def scaled(self): return helper(self.x)
class Failed(Exception):
    def __init__(self, a, b): super().__init__(a); self.b = b
def helper(x): return x * FACTOR
def area(point): return math.floor(point.scaled()) + helper(1)
def fails(): raise Failed(1, 2)
"""


@pytest.fixture
def by_path(tmp_path: Path) -> Any:
    """A module that was loaded from its path, which no `import` finds."""
    file = tmp_path / "somewhere" / "my_tools.py"
    file.parent.mkdir()
    file.write_text(MODULE)
    spec = importlib.util.spec_from_file_location("my_tools_by_path", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["my_tools_by_path"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["my_tools_by_path"]


def test_function_class_and_module_that_were_loaded_by_path_are_known_to_workers(ray: Any, by_path: Any) -> None:
    assert ray.get(ray.remote(by_path.area).remote(by_path.Point(2.5))) == 10

    @ray.remote
    def uses_the_module(x: int) -> Any:
        return by_path.Point(by_path.helper(x))

    point = ray.get(uses_the_module.remote(5))
    assert type(point) is by_path.Point and point.x == 15
    with pytest.raises(by_path.Failed) as caught:
        ray.get(ray.remote(by_path.fails).remote())
    assert caught.value.b == 2
    assert ray.get(ray.remote(by_path.Point).remote(4).scaled.remote()) == 12


def test_function_of_a_module_without_a_file_is_known_to_workers(ray: Any) -> None:
    module = types.ModuleType("made_by_hand")
    exec(MODULE, module.__dict__)
    sys.modules["made_by_hand"] = module
    try:
        assert ray.get(ray.remote(module.area).remote(module.Point(2))) == 9
    finally:
        del sys.modules["made_by_hand"]


def test_functions_of_importable_modules_still_go_by_name() -> None:
    import json

    for value in (json.dumps, pd.DataFrame, np.linalg.norm, Path, daybreak.get):
        assert len(dumps(value, None)) < 200  # type: ignore[arg-type]


def test_a_frozen_module_goes_by_name_where_the_working_directory_has_a_folder_of_that_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import abc

    from daybreak.runtime import reducers

    (tmp_path / "frozen").mkdir()  # what the origin of such a module is called
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reducers, "_importable", {})
    assert len(dumps(abc.abstractmethod, None)) < 200  # type: ignore[arg-type]


class Callable_:
    def __init__(self, by: int) -> None:
        self.by = by

    def __call__(self, x: int) -> int:
        return x * self.by

    def method(self, x: int) -> int:
        return x + self.by

    @classmethod
    def of_class(cls, x: int) -> int:
        return -x

    @staticmethod
    def static(x: int) -> int:
        return x - 1


@pytest.mark.parametrize(
    "function, name, wanted",
    [
        (functools.partial(operator.mul, 3), "partial(mul)", 21),
        (functools.partial(functools.partial(pow, 2)), "partial(pow)", 128),
        (Callable_(5), "Callable_", 35),
        (Callable_(5).method, "Callable_.method", 12),
        (Callable_.of_class, "Callable_.of_class", -7),
        (Callable_.static, "Callable_.static", 6),
        (lambda x: x + 1, "<lambda>", 8),
        (abs, "abs", 7),
        ("a-b-c".split, "str.split", None),
        (operator.itemgetter(0), "itemgetter", None),
        (np.sqrt, "sqrt", np.sqrt(7)),
        (functools.lru_cache(Callable_.static), "Callable_.static", 6),
    ],
)
def test_whatever_can_be_called_is_a_task_with_a_name(ray: Any, function: Any, name: str, wanted: Any) -> None:
    task = ray.remote(function)
    assert repr(task) == f"RemoteFunction({task.__name__})" and task.__qualname__.endswith(name)
    with pytest.raises(TypeError, match=r"\.remote\(\)"):
        task(7)
    if wanted is not None:
        assert ray.get(task.remote(7)) == wanted
        assert ray.get(task.options(num_cpus=0.5).remote(7)) == wanted
    with pytest.raises(TypeError):  # here, or there where it does not say what it takes
        ray.get(task.remote(*range(9)))


def test_result_that_cannot_be_one_says_what_to_do(ray: Any) -> None:
    @ray.remote
    def hides() -> Any:
        return {"items": (i for i in range(3))}

    with pytest.raises(TypeError, match=r"\['items'\].*generator.*return list\(\.\.\.\)"):
        ray.get(hides.remote())


# ----------------------------------------------------------------------------------------------------------------------
# Classes.


class Base:
    LIMIT = 10

    def __init__(self, n: int) -> None:
        self.n = n

    def limit(self) -> int:
        return Base.LIMIT


@daybreak.remote
class Counter(Base):
    made = 0

    def __init__(self, n: int) -> None:
        super(Counter, self).__init__(n)  # noqa: UP008 - the name is what this is about
        Counter.made += 1

    @staticmethod
    def twice(x: int) -> int:
        return 2 * x

    @classmethod
    def of(cls, n: int) -> Any:
        return Counter(n)

    def names(self) -> tuple[str, str, str, bool, int, int]:
        cls: Any = Counter
        return (
            type(self).__name__,
            cls.__name__,
            Counter.__qualname__,
            isinstance(self, cls),
            Counter.made,
            cls.twice(4),
        )

    def another(self) -> Any:
        return daybreak.get(Counter.remote(7).names.remote())  # type: ignore[attr-defined]

    def plain(self) -> int:
        return Counter.of(3).n  # type: ignore[no-any-return]


def test_class_of_an_actor_is_itself_under_its_own_name(ray: Any) -> None:
    counter = Counter.remote(1)  # type: ignore[attr-defined]
    wanted = ("Counter", "Counter", "Counter", True, 1, 8)
    assert ray.get(counter.names.remote()) == wanted
    assert ray.get(counter.another.remote())[:4] == wanted[:4]
    assert ray.get(counter.plain.remote()) == 3
    assert ray.get(counter.limit.remote()) == 10
    assert Counter.LIMIT == 10 and repr(Counter) == "ActorClass(Counter)"
    with pytest.raises(AttributeError, match=r"handle = Counter\.remote"):
        Counter.twice(3)


def test_class_of_a_function_is_itself_under_its_own_name(ray: Any) -> None:
    @ray.remote
    class Local:
        total = 0

        def add(self, k: int) -> int:
            Local.total += k
            return Local.total

        def is_one(self) -> bool:
            return isinstance(self, Local)  # type: ignore[arg-type]

    local = Local.remote()
    assert ray.get([local.add.remote(2), local.add.remote(3)]) == [2, 5] and ray.get(local.is_one.remote())


def test_class_with_a_remote_method_of_its_own_keeps_it(ray: Any) -> None:
    @ray.remote
    class Controlled:
        def remote(self) -> str:
            return "mine"

        def other(self) -> str:
            return self.remote()

    assert ray.get(Controlled.remote().other.remote()) == "mine"


def test_objects_of_classes_with_slots_that_go_by_value_come_back(ray: Any) -> None:
    """cloudpickle makes such a class without its slots in the other process, and what comes back from there does not load
    (cloudpickle 311, 225)."""

    class Pair(typing.NamedTuple):
        x: int
        y: str = "b"

    class Plain:
        __slots__ = ("x",)

    class Private:
        __slots__ = ("__hidden", "shown")

        def __init__(self) -> None:
            self.__hidden = 5

        def hidden(self) -> int:
            return self.__hidden

    class Single:
        __slots__ = "one"

    class Described:
        __slots__ = {"x": "what it is"}

    class Below(Plain):
        __slots__ = ("y", "__weakref__")

    class Open(Plain):
        pass

    @dataclasses.dataclass(slots=True)
    class Point:
        x: int = 3
        y: list[int] = dataclasses.field(default_factory=list)

    @daybreak.remote
    def passed(value: Any) -> tuple[Any, bool]:
        return value, hasattr(value, "__dict__")

    @daybreak.remote
    def made(kind: Any) -> Any:
        value = kind()
        value.x = 4
        return value

    for kind in (Plain, Described, Below, Open, Point):
        assert daybreak.get(made.remote(kind)).x == 4
        value = kind()
        value.x = 7
        back, has_dict = daybreak.get(passed.remote(value))
        assert (type(back), back.x, has_dict) == (kind, 7, kind is Open)
    assert daybreak.get(passed.remote(Pair(1)))[0] == Pair(1) and type(daybreak.get(passed.remote(Pair(1)))[0]) is Pair
    assert daybreak.get(passed.remote(Private()))[0].hidden() == 5
    assert not hasattr(daybreak.get(passed.remote(Private()))[0], "shown")
    assert type(daybreak.get(passed.remote(Single()))[0]) is Single
    assert Single.__slots__ == "one" and Described.__slots__ == {"x": "what it is"}
