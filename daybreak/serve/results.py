"""What a model gives, as what is sent: one result for each input of the batch, each as JSON or text.

The common results (text, numbers, lists of numbers) are written by C++; the rest comes here. What would be changed on the way is
refused by name, and the caller reads why.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Sequence
from typing import Any

from daybreak.base import errors, numbers

__all__ = ["completed", "json_of", "sequence_of"]

_WAYS = {
    "generator": "return list(...) of it",
    "map": "return list(...) of it",
    "filter": "return list(...) of it",
    "zip": "return list(...) of it",
    "dict": "return a list of one result for each input (a dict for each is fine)",
    "set": "a set has no order: return a list",
    "frozenset": "a set has no order: return a list",
    "DataFrame": "return frame.to_dict('records') for one dict a row, or frame.values.tolist()",
    "Table": "return table.to_pylist() for one dict a row",
    "RecordBatch": "return batch.to_pylist() for one dict a row",
    "NoneType": "does the function end with return?",
    "str": "return a list of texts",
    "bytes": "return a list of them",
}


def sequence_of(given: Any, count: int) -> Any:
    """The results of a batch of `count` inputs as a sequence of that length. InvalidArgumentError says what else it is.

    >>> sequence_of(({"p": 1}, {"p": 2}), 2)
    ({'p': 1}, {'p': 2})
    >>> sequence_of({"p": 1, "q": 2}, 2)
    Traceback (most recent call last):
        ...
    daybreak.base.errors.InvalidArgumentError: the model gave a dict for 2 inputs, not a sequence of 2 results: return a list of \
one result for each input (a dict for each is fine)
    """
    found: Any = None
    if isinstance(given, Sequence) and not isinstance(given, (str, bytes, bytearray, memoryview)):
        found = given
    elif hasattr(given, "tolist") and hasattr(given, "dtype") and getattr(given, "ndim", 1) >= 1:
        found = list(given) if _keeps_its_elements(given) else given.tolist()
    elif hasattr(given, "to_pylist") and not hasattr(given, "schema"):  # a column of Arrow
        found = given.to_pylist()
    elif type(given).__name__ == "deque":
        found = list(given)
    if found is None:
        kind = type(given).__name__
        way = f": {_WAYS[kind]}" if kind in _WAYS else ""
        raise errors.InvalidArgumentError(
            f"the model gave {_article(kind)} for {_inputs(count)}, not a sequence of {_results(count)}{way}"
        )
    if len(found) != count:
        raise errors.InvalidArgumentError(
            f"the model gave {_results(len(found))} for {_inputs(count)}: return one for each"
        )
    return found


def _keeps_its_elements(array: Any) -> bool:
    """Whether tolist() would change what the elements are: records lose their names, dates become numbers."""
    kind = getattr(array.dtype, "kind", "")
    wide = getattr(array.dtype, "itemsize", 8) > 8
    return kind in ("V", "M", "m", "S", "c") or (kind == "f" and wide) or type(array).__name__ == "MaskedArray"


def _article(kind: str) -> str:
    return "None" if kind == "NoneType" else f"{'an' if kind[:1] in 'aeiouAEIOU' else 'a'} {kind}"


def _inputs(count: int) -> str:
    return f"{count} input{'' if count == 1 else 's'}"


def _results(count: int) -> str:
    return f"{count} result{'' if count == 1 else 's'}"


def json_of(item: Any, name: str = "result") -> str:
    """One result as JSON: numpy, Arrow, Decimal and enums wherever they are in it, whole numbers of any size.

    >>> import numpy as np
    >>> json_of({"p": np.array([0.5, 1.0], np.float32), "label": np.int64(3), "n": 2**80})
    '{"p": [0.5, 1.0], "label": 3, "n": 1208925819614629174706176}'
    """
    digits = sys.get_int_max_str_digits()
    try:
        return json.dumps(numbers.plain(item, name, wide=True), allow_nan=False)
    except ValueError as error:
        if isinstance(error, errors.Error):
            raise
        raise errors.InvalidArgumentError(
            f"result holds a whole number of more than {digits:,} digits: give it as text, or as a float"
        ) from None


_runner: Any = None  # an asyncio.Runner: loaded when a model needs it


def completed(awaitable: Awaitable[Any]) -> Any:
    """What an async model gives. All batches of a replica run on one event loop, so that what they opened stays usable."""
    global _runner
    if _runner is None:
        import asyncio

        _runner = asyncio.Runner()

    async def wait() -> Any:
        return await awaitable

    return _runner.run(wait())
