"""PyWren's executors."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from . import invokers, wrenconfig
from .executor import Executor
from .wait import ALL_COMPLETED, ALWAYS, ANY_COMPLETED, wait

__all__ = [
    "ALL_COMPLETED",
    "ALWAYS",
    "ANY_COMPLETED",
    "Executor",
    "default_executor",
    "dummy_executor",
    "get_all_results",
    "lambda_executor",
    "local_executor",
    "remote_executor",
    "standalone_executor",
    "wait",
]


def default_executor(**kwargs: Any) -> Executor:
    """What PYWREN_EXECUTOR names: lambda (the default), remote or standalone, dummy, local. Calls of all run on this machine."""
    makers: dict[str, Callable[..., Executor]] = {
        "remote": remote_executor,
        "standalone": remote_executor,
        "dummy": dummy_executor,
        "local": local_executor,
    }
    name = os.environ.get("PYWREN_EXECUTOR", "lambda")
    return makers[name](**kwargs) if name in makers else lambda_executor(**kwargs)


def lambda_executor(config: dict[str, Any] | None = None, job_max_runtime: float = 280) -> Executor:
    """Calls may run `job_max_runtime` seconds."""
    config = config or wrenconfig.default()
    names = {"lambda_function_name": config["lambda"]["function_name"], "region_name": config["account"]["aws_region"]}
    return Executor(invokers.LambdaInvoker(**names), config, job_max_runtime)


def dummy_executor(config: dict[str, Any] | None = None, job_max_runtime: float = 300) -> Executor:
    """Its calls wait for `executor.invoker.run_jobs()`."""
    return Executor(invokers.DummyInvoker(), config or wrenconfig.default(), job_max_runtime)


def remote_executor(config: dict[str, Any] | None = None, job_max_runtime: float = 3600) -> Executor:
    config = config or wrenconfig.default()
    names = {"sqs_queue_name": config["standalone"]["sqs_queue_name"], "region_name": config["account"]["aws_region"]}
    return Executor(invokers.SQSInvoker(**names), config, job_max_runtime)


standalone_executor = remote_executor


def local_executor(
    invoker_object: invokers.Invoker | None = None, config: dict[str, Any] | None = None, job_max_runtime: float = 300
) -> Executor:
    return Executor(invoker_object or invokers.LocalInvoker(), config or wrenconfig.default(), job_max_runtime)


def get_all_results(fs: Any) -> list[Any]:
    """Waits for all, then gives their results in order. Raises what the first that failed raised."""
    given = list(fs)
    wait(given, return_when=ALL_COMPLETED)
    return [each.result() for each in given]
