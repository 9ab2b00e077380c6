"""What the tests of workers call: a module of the caller, which goes along. Its worker has no Daybreak."""

from __future__ import annotations

import os


def backend_of(x: int) -> tuple[int, str]:
    try:
        import daybreak  # noqa: F401
    except ImportError:
        return x * x, os.environ["__LITHOPS_BACKEND"]
    raise RuntimeError("the worker has Daybreak")


def fails(x: int) -> None:
    raise ValueError(f"no {x}")
