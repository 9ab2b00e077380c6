"""Our frames are pandas' own: subclasses, exact where nothing of ours runs. All use of pandas' private names is in this file.

What stands here is held by tests/test_bridge.py against the pandas that is installed, name by name.
"""

from __future__ import annotations

import copyreg
import inspect
from typing import TYPE_CHECKING, Any

import pandas
import pandas.core.frame
import pandas.core.series
from pandas.core import resample, window
from pandas.core.accessor import Accessor
from pandas.core.arrays.categorical import CategoricalAccessor
from pandas.core.groupby.generic import DataFrameGroupBy, SeriesGroupBy
from pandas.core.strings.accessor import StringMethods
from pandas.io.parsers import TextFileReader

from daybreak._core import frame as _native

from .seams import inside

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FUNCTIONS", "DataFrame", "Series", "adopted", "adopting", "give_names_back", "take_names"]

_FRAME: Any = pandas.core.frame.DataFrame
_SERIES: Any = pandas.core.series.Series


class _Kind(type):
    """pandas' own frames count as ours: who asks with isinstance wants to know whether it has a frame before it."""

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, _bases.get(cls) or ()) or type.__instancecheck__(cls, value)

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, _bases.get(cls) or ()) or type.__subclasscheck__(cls, other)


class DataFrame(_FRAME, metaclass=_Kind):  # type: ignore[misc]
    """`pandas.DataFrame`, whose documentation holds: what is native where it can be is the subject of `explain()`."""

    @property
    def _constructor(self) -> Any:
        return DataFrame

    @property
    def _constructor_sliced(self) -> Any:
        return Series

    def _constructor_from_mgr(self, mgr: Any, axes: Any) -> Any:
        made = DataFrame._from_mgr(mgr, axes)
        return made if type(self) is DataFrame else self._constructor(made)

    def _constructor_sliced_from_mgr(self, mgr: Any, axes: Any) -> Any:
        made = Series._from_mgr(mgr, axes)
        made._name = None  # its caller gives it one
        return made if type(self) is DataFrame else self._constructor_sliced(made)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _as_pandas(self, _FRAME, protocol)

    def eval(self, expr: str, *, inplace: bool = False, **kwargs: Any) -> Any:
        made = super().eval(expr, inplace=inplace, **{**kwargs, "level": kwargs.get("level", 0) + 1})
        # It may be a frame that the program has ("@x"): that one stays what it is.
        return _adopters[type(made)](made) if type(made) in (_FRAME, _SERIES) else made


class Series(_SERIES, metaclass=_Kind):  # type: ignore[misc]
    """`pandas.Series`, whose documentation holds: what is native where it can be is the subject of `explain()`."""

    @property
    def _constructor(self) -> Any:
        return Series

    @property
    def _constructor_expanddim(self) -> Any:
        return DataFrame

    def _constructor_from_mgr(self, mgr: Any, axes: Any) -> Any:
        made = Series._from_mgr(mgr, axes)
        made._name = None
        return made if type(self) is Series else self._constructor(made)

    def _constructor_expanddim_from_mgr(self, mgr: Any, axes: Any) -> Any:
        made = DataFrame._from_mgr(mgr, axes)
        return made if type(self) is Series else self._constructor_expanddim(made)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _as_pandas(self, _SERIES, protocol)


_bases: dict[Any, Any] = {DataFrame: _FRAME, Series: _SERIES}


def _as_pandas(value: Any, kind: type, protocol: Any) -> Any:
    """Pickles name pandas' own class: who reads them need not have us."""
    if type(value) not in _bases:
        return object.__reduce_ex__(value, protocol)
    return copyreg._reconstructor, (kind, object, None), value.__getstate__()  # type: ignore[attr-defined]


class _Chunks(TextFileReader):  # type: ignore[misc]
    """Of read_csv in pieces: each is ours."""

    def read(self, nrows: int | None = None) -> Any:
        return adopted(super().read(nrows))


class _FrameGroups(DataFrameGroupBy):  # type: ignore[misc]
    """What groupby() of ours gives."""

    def _gotitem(self, key: Any, ndim: int, subset: Any = None) -> Any:
        return adopted(super()._gotitem(key, ndim, subset))


class _SeriesGroups(SeriesGroupBy):  # type: ignore[misc]
    pass


# Of pandas' own classes, what their results become.
_adopters: dict[Any, Any] = {
    _FRAME: DataFrame,
    _SERIES: Series,
    TextFileReader: _Chunks,
    DataFrameGroupBy: _FrameGroups,
    SeriesGroupBy: _SeriesGroups,
}


def adopted(value: Any) -> Any:
    """A fresh result: pandas' own frame becomes ours. Never an argument, which is somebody's."""
    kind = _adopters.get(type(value))
    if kind is not None:
        value.__class__ = kind
    return value


def adopting(inherited: Callable[..., Any], is_inside: bool = False) -> Any:
    """The function, whose results are ours; ``is_inside``: and in which kernels stand in."""
    return _native.wrapped(inherited, is_inside, _adopters)


# A function pickles as pandas' own, for who has not us: the largest of one thing is that thing.
copyreg.pickle(type(adopting(len)), lambda wrapper: (max, ((wrapper.__wrapped__,),)))

# Functions of pandas that make frames: all of its public ones but `eval`, whose result may be what the program has.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: adopting(value)
    for name, value in vars(pandas).items()
    if inspect.isfunction(value) and not name.startswith("_") and name != "eval"
}
# Methods that make plain frames of their own. No mutator is among them: pandas counts references to see who is lost.
_REDUCTIONS = ["all", "any", "max", "min", "sum"]
_METHODS = {
    DataFrame: ["describe", "resample", "shift", "to_period", "to_timestamp", "value_counts", *_REDUCTIONS],
    Series: ["describe", "resample", "value_counts"],
}
_METHODS[DataFrame] += ["groupby", "rolling", "expanding", "ewm"]
_METHODS[Series] += ["groupby", "rolling", "expanding", "ewm"]


def _adopt_in(kind: Any, inherited: Any, names: list[str]) -> None:
    for name in names:
        setattr(kind, name, adopting(getattr(inherited, name)))


def _subclass(inherited: Any, names: list[str]) -> Any:
    """By the same name, with results that are ours."""
    made = type(inherited.__name__, (inherited,), {"__module__": inherited.__module__, "__doc__": inherited.__doc__})
    _adopt_in(made, inherited, names)
    return made


_kind: Any
for _kind, _names in _METHODS.items():
    _adopt_in(_kind, _bases[_kind], _names)
    _kind.from_arrow = classmethod(adopting(_bases[_kind].from_arrow.__func__))
for _kind in (window.Rolling, window.Expanding, window.ExponentialMovingWindow):
    _adopters[_kind] = _subclass(_kind, ["corr", "cov"])
for _kind in (resample.DatetimeIndexResampler, resample.PeriodIndexResampler, resample.TimedeltaIndexResampler):
    _adopters[_kind] = _subclass(_kind, ["nunique", "ohlc"])
for _kind, _names in {_FrameGroups: ["nunique", "ohlc"], _SeriesGroups: ["ohlc"]}.items():
    _adopt_in(_kind, _kind.__mro__[1], _names)
_CATEGORIES = ["add_categories", "as_ordered", "as_unordered", "remove_categories", "remove_unused_categories"]
_CATEGORIES += ["rename_categories", "reorder_categories", "set_categories"]
_Categories = _subclass(CategoricalAccessor, _CATEGORIES)
_Categories.codes = property(adopting(CategoricalAccessor.codes.fget))
Series.cat = Accessor("cat", _Categories)
Series.str = Accessor("str", _subclass(StringMethods, ["cat", "get_dummies"]))

for _kind, _names in {
    DataFrame: ["__getitem__", "sort_values", "sort_index", "merge", "join", "dropna", "query", "take", "reindex"],
    Series: ["__getitem__", "sort_values", "sort_index", "dropna", "take", "reindex"],
}.items():
    for _name in _names:
        setattr(_kind, _name, inside(getattr(_bases[_kind], _name)))

# Of a group-by, everything that computes.
_AGGREGATES = [
    "agg",
    "aggregate",
    "sum",
    "prod",
    "mean",
    "min",
    "max",
    "var",
    "std",
    "size",
    "count",
    "ngroup",
    "first",
]
for _kind, _inherited in ((_FrameGroups, DataFrameGroupBy), (_SeriesGroups, SeriesGroupBy)):
    _kind.__name__, _kind.__qualname__ = _inherited.__name__, _inherited.__qualname__
    for _name in [*_AGGREGATES, "last"]:
        setattr(_kind, _name, inside(getattr(_inherited, _name)))

_replaced: dict[str, Any] = {}


def take_names() -> None:
    """`pandas.DataFrame` and the functions of pandas are ours from now on, for who takes them from `pandas`."""
    if _replaced:
        return
    # Pickles of plain frames name a place where the class can still be found.
    _FRAME.__module__, _SERIES.__module__ = "pandas.core.frame", "pandas.core.series"
    DataFrame.__module__ = Series.__module__ = "pandas"
    for name, value in {"DataFrame": DataFrame, "Series": Series, **FUNCTIONS}.items():
        _replaced[name] = getattr(pandas, name)
        setattr(pandas, name, value)


def give_names_back() -> None:
    for name, value in _replaced.items():
        setattr(pandas, name, value)
    if _replaced:
        _FRAME.__module__ = _SERIES.__module__ = "pandas"
        DataFrame.__module__ = Series.__module__ = "daybreak.frame"
    _replaced.clear()


DataFrame.__module__ = Series.__module__ = "daybreak.frame"
