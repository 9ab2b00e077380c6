"""Ours are pandas' own classes: every name is there, results are ours, pickles are plain, arguments stay what they are."""

from __future__ import annotations

import gc
import importlib
import inspect
import pickle
import pkgutil
import subprocess
import sys
import warnings
import weakref
from pathlib import Path
from typing import Any

import pandas
import pytest

import daybreak.frame as pd
from daybreak._core import frame as native
from daybreak.frame import bridge, hook


def test_every_public_name_and_module_of_pandas_is_there() -> None:
    assert [name for name in dir(pandas) if not name.startswith("_") and not hasattr(pd, name)] == []
    from daybreak.frame.api import types as ours  # type: ignore[import-not-found]
    from pandas.api import types as theirs

    assert ours is theirs and theirs.__spec__.name == "pandas.api.types"
    for found in pkgutil.iter_modules(pandas.__path__):
        if not found.name.startswith("_") and found.name not in ("conftest", "tests"):
            assert importlib.import_module(f"daybreak.frame.{found.name}") is importlib.import_module(
                f"pandas.{found.name}"
            )
    with pytest.raises(ModuleNotFoundError, match="daybreak.frame.nothing"):
        importlib.import_module("daybreak.frame.nothing")
    with pytest.raises(AttributeError):
        pd.nothing  # noqa: B018


def test_results_are_ours_and_arguments_stay_what_they_are(tmp_path: Path) -> None:
    plain = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    frame = pd.DataFrame(plain)
    made = [
        frame.T,
        frame[["a"]],
        frame.groupby("b").sum(),
        frame.merge(plain),
        pd.concat([plain, plain]),
        frame.describe(),
    ]
    made += [
        pd.read_csv(frame.to_csv(tmp_path / "a.csv", index=False) or tmp_path / "a.csv"),
        frame.value_counts().to_frame(),
    ]
    made += list(pd.read_csv(tmp_path / "a.csv", chunksize=1))
    assert {type(one) for one in made} == {pd.DataFrame}
    series = [frame["a"], frame.a + 1, frame.iloc[0], frame.groupby("b")["a"].sum(), frame.value_counts(), frame.dtypes]
    assert {type(one) for one in series} == {pd.Series}
    assert type(plain) is pandas.DataFrame and type(pd.eval("plain")) is pandas.DataFrame


def test_isinstance_is_true_both_ways() -> None:
    plain, ours = pandas.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]})
    assert isinstance(plain, pd.DataFrame) and isinstance(ours, pandas.DataFrame) and isinstance(plain["a"], pd.Series)
    assert issubclass(pandas.DataFrame, pd.DataFrame) and not isinstance(1, pd.DataFrame)

    class Mine(pd.DataFrame):
        @property
        def _constructor(self) -> Any:
            return Mine

    assert isinstance(Mine({"a": [1]}).head(), Mine) and not isinstance(plain, Mine) and not isinstance(ours, Mine)


def test_who_reads_a_pickle_needs_not_have_us(tmp_path: Path) -> None:
    for value in (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]})["a"]):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            kept = pickle.dumps(value, protocol)
            assert b"daybreak" not in kept
            assert pickle.loads(kept).equals(pandas.DataFrame(value) if value.ndim == 2 else pandas.Series(value))


def test_functions_have_pandas_signatures_and_docs_and_pickle_as_pandas_own() -> None:
    for name, function in bridge.FUNCTIONS.items():
        theirs = getattr(pandas, name)
        assert inspect.signature(function) == inspect.signature(theirs) and function.__doc__ == theirs.__doc__
        assert function.__name__ == theirs.__name__ and repr(function) == repr(theirs)
        assert pickle.loads(pickle.dumps(function)) is theirs
    assert (
        pd.DataFrame.sort_values.__name__ == "sort_values"
        and "ascending" in inspect.signature(pd.Series.sort_values).parameters
    )
    with pytest.raises(AttributeError, match="nothing"):
        pd.concat.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_wrappers_are_collected_and_raise_what_their_methods_raise() -> None:
    def made() -> weakref.ref[Any]:
        class Value:
            pass

        wrapper = native.wrapped(lambda: wrapper, True, {})
        kept = Value()
        wrapper.__wrapped__.kept = (kept, wrapper)
        return weakref.ref(kept)

    gone = made()
    gc.collect()
    assert gone() is None
    with pytest.raises(ZeroDivisionError):
        native.wrapped(lambda: 1 // 0, True, None)()
    assert native.depth() == 0
    with pytest.raises(TypeError, match="a callable"):
        native.wrapped(1, True, None)


def test_a_deprecated_argument_is_told_where_it_is_given() -> None:
    with pytest.warns(pandas.errors.Pandas4Warning, match="inplace") as said:
        pd.Series([2, 1]).sort_index(inplace=True)
    assert Path(said[0].filename) == Path(__file__)


def test_a_warning_names_the_line_of_the_program() -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        pd.to_datetime(["1/2/2020", "13/2/2020"], dayfirst=False, errors="coerce")
        pd.concat([pd.DataFrame({"a": [1]}), pd.DataFrame()], copy=True)
    assert {Path(one.filename).name for one in said} == {Path(__file__).name}


def test_private_names_that_we_use_are_there() -> None:
    frame = pandas.DataFrame({"a": [1]})
    for name in ("_from_mgr", "_constructor_from_mgr", "_constructor_sliced_from_mgr", "_constructor"):
        assert hasattr(frame, name), name
    for name in ("_constructor_expanddim", "_constructor_expanddim_from_mgr"):
        assert hasattr(frame["a"], name), name
    made = pd.DataFrame._from_mgr(frame._mgr, frame.axes)  # type: ignore[attr-defined]
    assert type(made) is pd.DataFrame


PROGRAM = """
import multiprocessing, pickle, subprocess, sys
import pandas as pd

def kind(_):
    import pandas
    return pandas.DataFrame.__mro__[1].__module__

if __name__ == "__main__":
    assert pd.DataFrame.__mro__[1].__module__ == "pandas.core.frame", pd.DataFrame.__mro__
    frame = pd.DataFrame({"a": [1, 2]})
    assert type(frame.sum().to_frame()) is pd.DataFrame and str(type(frame)) == "<class 'pandas.DataFrame'>"
    assert pickle.loads(pickle.dumps(frame)).equals(frame)
    code = "import pandas as pd; print(pd.DataFrame.__mro__[1].__module__)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "pandas.core.frame\\n"
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(kind, [1]) == ["pandas.core.frame"]
    print("fine", sys.argv[1:])
"""


def test_an_unchanged_program_and_its_children_run_on_ours(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    (tmp_path / "module_of_it.py").write_text("import program, pandas; print(pandas.DataFrame.__mro__[1].__module__)")
    for arguments, wanted in (
        ([str(script), "x"], "fine ['x']"),
        (
            ["-c", "import pandas, sys; print(pandas.DataFrame.__mro__[1].__module__, sys.argv)", "y"],
            "pandas.core.frame ['-c', 'y']",
        ),
        (["-m", "module_of_it"], "pandas.core.frame"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "daybreak.frame", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=60,
        )
        assert (done.returncode, done.stdout.strip()) == (0, wanted), done.stderr
    done = subprocess.run([sys.executable, "-m", "daybreak.frame"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "usage" in done.stderr


def test_a_pandas_that_is_not_known_stays_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pandas, "__version__", "9.9.0")
    with pytest.warns(UserWarning, match=r"this is 9\.9\.0.*pip install"):
        hook.install(children=False)
    assert pandas.DataFrame.__module__ == "pandas" and "daybreak" not in repr(pandas.DataFrame)
    assert (
        hook.is_known("3.0.4") and hook.is_known("3.1.1") and not hook.is_known("2.3.3") and not hook.is_known("3.2.0")
    )
