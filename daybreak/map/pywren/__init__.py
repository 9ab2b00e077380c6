"""PyWren 0.4's surface, on this room's executor: `daybreak.compat.pywren.install()` makes it `import pywren`.

>>> from daybreak.map import pywren
>>> pwex = pywren.default_executor()
>>> pwex.call_async(abs, -42).result()
42
"""

from __future__ import annotations

import logging
import os

from . import runtime, storage, wren, wrenconfig, wrenlogging, wrenutil
from .version import __version__
from .wren import (
    ALL_COMPLETED,
    ALWAYS,
    ANY_COMPLETED,
    Executor,
    default_executor,
    dummy_executor,
    get_all_results,
    lambda_executor,
    local_executor,
    remote_executor,
    standalone_executor,
    wait,
)

__all__ = [
    "ALL_COMPLETED",
    "ALWAYS",
    "ANY_COMPLETED",
    "SOURCE_DIR",
    "Executor",
    "__version__",
    "default_executor",
    "dummy_executor",
    "get_all_results",
    "lambda_executor",
    "local_executor",
    "remote_executor",
    "runtime",
    "standalone_executor",
    "storage",
    "wait",
    "wren",
    "wrenconfig",
    "wrenlogging",
    "wrenutil",
]
MODULES = ("executor", "future", "invokers", "version", "wait")  # below it, for tables

SOURCE_DIR = os.path.dirname(os.path.abspath(__file__))

if "PYWREN_LOGLEVEL" in os.environ:
    wrenlogging.default_config(os.environ["PYWREN_LOGLEVEL"])
    for _noisy in ("boto", "boto3", "botocore"):
        logging.getLogger(_noisy).setLevel(logging.CRITICAL)
