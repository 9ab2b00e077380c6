"""pandas, exactly, with kernels of our own where they are faster: ``import daybreak.frame as pd``.

>>> import daybreak.frame as pd
>>> pd.DataFrame({"k": ["a", "b", "a"], "v": [1, 2, 3]}).groupby("k")["v"].sum().to_dict()
{'a': 4, 'b': 2}
"""

from __future__ import annotations

from typing import Any

import pandas

from . import bridge as _bridge
from .bridge import DataFrame, Series
from .explain import explain, reset

__all__ = [*(name for name in pandas.__all__), "explain", "reset"]
for _name in dir(pandas):
    if not _name.startswith("_") and _name not in globals():
        globals()[_name] = _bridge.FUNCTIONS.get(_name) or getattr(pandas, _name)
__version__ = pandas.__version__


def __getattr__(name: str) -> Any:
    return getattr(pandas, name)
