"""Named arrays in one verified file, and the element types that Daybreak stores and sends.

>>> import numpy as np
>>> data = dumps({"w": np.arange(6, dtype=np.float32).reshape(2, 3)}, {"kind": "policy"})
>>> file = loads(data)
>>> file["w"].shape, file.metadata["kind"]
((2, 3), 'policy')
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from daybreak import _core
from daybreak.base import paths

__all__ = ["Container", "dumps", "load", "loads", "save"]

_DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype("<u1"),
    "I8": np.dtype("<i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "F16": np.dtype("<f2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}

Array = npt.NDArray[np.generic]


class Container(Mapping[str, Array]):
    """A parsed container file: its tensors by name, as read-only arrays over the file's bytes (nothing is copied)."""

    def __init__(self, native: _core.tensor.Container) -> None:
        self._native = native
        self._names = list(native.names)

    @property
    def metadata(self) -> dict[str, str]:
        """The strings stored beside the tensors; keys that begin with ``daybreak.`` are the format's own."""
        return dict(self._native.metadata)

    def __getitem__(self, name: str) -> Array:
        dtype = self._native.dtype(name)
        if dtype not in _DTYPES:
            raise TypeError(
                f"tensor {name!r} is {dtype}, for which numpy has no type: read the file with safetensors.torch"
            )
        return self._native.data(name).view(_DTYPES[dtype]).reshape(self._native.shape(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def dumps(arrays: Mapping[str, npt.ArrayLike], metadata: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a container file.

    Deterministic: equal arrays and metadata give equal bytes. ``ValueError`` when a name, a shape or the header breaks a limit
    of the format, ``TypeError`` for an array whose dtype it does not hold, and for what is more than an array: what a mask, an
    index, units or a missing value say would be lost.
    """
    tensors = []
    for name, value in arrays.items():
        if not isinstance(name, str):
            raise TypeError(f"an array is named by {name!r} (a {type(name).__name__}): names are text")
        try:
            name.encode()
        except UnicodeEncodeError:
            raise TypeError(f"array {name!r} has a name that is no Unicode (a lone surrogate): rename it") from None
        array = _array(name, value)
        dtype = array.dtype.newbyteorder("<") if array.dtype.byteorder == ">" else array.dtype
        if dtype not in _NAMES:
            raise TypeError(
                f"array {name!r} has dtype {array.dtype}: the container holds {', '.join(map(str, _NAMES))}"
            )
        dense = np.ascontiguousarray(array, dtype=dtype).reshape(-1).view(np.uint8)
        tensors.append((name, _NAMES[dtype], list(array.shape), dense))
    return _core.tensor.write_container(tensors, dict(metadata or {}))


def _array(name: str, value: Any) -> npt.NDArray[Any]:
    kind = type(value).__name__
    if lost := _lost(value):
        raise TypeError(f"array {name!r} is {lost}")
    try:
        # Of torch: also one that needs a gradient, lies on a device, is conjugated.
        array = value.numpy(force=True) if hasattr(value, "detach") and hasattr(value, "cpu") else np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        way = ": convert it, as by .float()" if "ScalarType" in str(error) else ""
        raise TypeError(f"array {name!r} (a {kind}) cannot be stored: {error}{way}") from None
    if isinstance(value, (list, tuple)) and array.dtype.kind == "f":
        for given, kept in zip(np.asarray(value, object).flat, array.ravel().tolist(), strict=True):
            if isinstance(given, (int, np.integer)) and int(given) != kept:
                raise TypeError(
                    f"array {name!r}: {given} would be rounded to {kept}: give an array of the type that you mean"
                )
    return array


def _lost(value: Any) -> str | None:
    """What there is beside the numbers, which an array has no place for."""
    kind = f"a {type(value).__name__}, and"
    if isinstance(value, np.ma.MaskedArray):
        return "masked, and its mask would be lost: give filled(...), and the mask beside it"
    if isinstance(value, np.ndarray) and type(value) not in (np.ndarray, np.memmap):  # a matrix, a quantity with units
        return f"{kind} would come back as a plain array: give np.asarray(it)"
    if hasattr(value, "columns") and not isinstance(value, np.ndarray):
        return f"{kind} the names of its columns would be lost: store it as it is, outside of a dict"
    index = getattr(value, "index", None)
    if type(index).__name__.endswith("Index") and type(index).__name__ != "RangeIndex":
        return f"{kind} its index would be lost: give to_numpy(), or store a data frame"
    missing = getattr(value, "null_count", 0)  # of Arrow
    if hasattr(value, "isna") and not isinstance(value.dtype, np.dtype):  # of pandas: NaN of a numpy type is a number
        missing = int(value.isna().sum())
    if isinstance(missing, int) and missing:
        return f"{kind} {missing} of its values are missing, which no array can say: fill them"
    return None


def loads(data: bytes) -> Container:
    """Parses a container file. ``daybreak.base.errors.DataLossError`` (a ``ValueError``) when it is truncated or altered."""
    return Container(_core.tensor.Container.parse(data))


def save(
    path: str | bytes | os.PathLike[str], arrays: Mapping[str, npt.ArrayLike], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes a container file whole or not at all: a reader never sees a part, and it is readable by its owner alone. What is
    right for a link, a pipe or a device: ``daybreak.base.paths.write``."""
    paths.write(path, dumps(arrays, metadata))


def load(path: str | bytes | os.PathLike[str]) -> Container:
    """Reads a container file. ``FileNotFoundError`` when there is none, ``DataLossError`` when it is damaged."""
    return loads(paths.read(path))
