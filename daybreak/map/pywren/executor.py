"""PyWren's executor: its words, on daybreak.map's."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import cloudpickle

from daybreak import map as _room
from daybreak.map import records

from . import runtime, storage, wrenconfig, wrenutil
from .clean import Clean
from .future import ResponseFuture
from .version import __version__
from .wait import ALL_COMPLETED, wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from daybreak.map.callset import CallSet

    from .invokers import Invoker

__all__ = ["Executor"]

SLOTS_PER_CPU = 8  # calls that wait (sleep, read from a store) share a core; memory holds back those that need much
_OF_A_CALL = ("data_key", "output_key", "status_key", "cancel_key", "call_id", "data_byte_range", "host_submit_time")
logger = logging.getLogger("pywren.executor")


class Executor:
    """Runs calls in the workers of this machine, as many at a time as there is memory for.

    Attributes: invoker, config, storage, runtime_meta_info, map_item_limit, job_max_runtime.
    """

    def __init__(self, invoker: Invoker, config: dict[str, Any], job_max_runtime: float) -> None:
        self.invoker, self.job_max_runtime, self.config = invoker, job_max_runtime, config
        self.storage_config = wrenconfig.extract_storage_config(config)
        self.storage = storage.Storage(self.storage_config)
        self.runtime_meta_info = runtime.get_runtime_info(config["runtime"])
        scheduler = config.get("scheduler") or {}
        self.map_item_limit = scheduler.get("map_item_limit")
        slots = scheduler.get("slots_per_cpu", SLOTS_PER_CPU)
        self._executor = _room.Executor(timeout=job_max_runtime, logs=True, ahead=None, num_cpus=1 / slots)

    def call_async(
        self,
        func: Callable[[Any], Any],
        data: Any,
        extra_env: dict[str, str] | None = None,
        extra_meta: dict[str, Any] | None = None,
    ) -> ResponseFuture:
        """`func(data)`: its future."""
        return self.map(func, [data], extra_env, extra_meta)[0]

    def map(
        self,
        func: Callable[[Any], Any],
        iterdata: Iterable[Any],
        extra_env: dict[str, str] | None = None,
        extra_meta: dict[str, Any] | None = None,
        invoke_pool_threads: int = 64,
        data_all_as_one: bool = True,
        use_cached_runtime: bool = True,
        overwrite_invoke_args: dict[str, Any] | None = None,
        exclude_modules: Iterable[str] | None = None,
    ) -> list[ResponseFuture]:
        """`func` of each item: a list of futures.

        invoke_pool_threads is accepted: nothing here needs threads to start calls. use_cached_runtime=False runs each call in a
        new interpreter. exclude_modules leaves out the caller's modules whose path contains one of these texts: calls then run in a
        new interpreter as well, which imports from its own environment and what was shipped, and from nowhere else.

        Raises:
            ValueError: more items than `map_item_limit`; an extra_meta that PyWren itself gives.
        """
        data = list(iterdata)
        if not data:
            return []
        if self.map_item_limit is not None and len(data) > self.map_item_limit:
            raise ValueError(
                f"len(data) ={len(data)}, exceeding map item limit of {self.map_item_limit}: consider mapping over fewer "
                "items, or raise scheduler.map_item_limit of the configuration"
            )
        callset_id = wrenutil.create_callset_id()
        call = func
        if exclude_modules or not use_cached_runtime:
            call = Clean(func, tuple(exclude_modules or ()))
        meta = self._described(func, data, data_all_as_one)
        args = self._arguments(callset_id, use_cached_runtime, extra_env, extra_meta)
        prepared = self._executor._prepared(call, data, extra_env=extra_env or {})
        records.keep(prepared)
        invoked = time.time()
        self.invoker.invoke(lambda: prepared._start(plain=False))
        took = time.time() - invoked
        meta.update(job_invoke_timestamp=invoked, lambda_invoke_timestamp=invoked, lambda_invoke_time=took)
        meta.update(self.invoker.config())
        meta.update(args, host_submit_time=invoked)
        logger.info("map %s: %d calls invoked", callset_id, len(data))
        return [self._future(prepared, number, meta, overwrite_invoke_args or {}) for number in range(len(data))]

    def _arguments(
        self, callset_id: str, use_cached_runtime: bool, extra_env: Any, extra_meta: dict[str, Any] | None
    ) -> dict[str, Any]:
        """What PyWren sends with each call."""
        args = {
            "storage_config": self.storage.get_storage_config(),
            "func_key": storage.create_func_key(self.storage.prefix, callset_id),
            "callset_id": callset_id,
            "job_max_runtime": self.job_max_runtime,
            "use_cached_runtime": use_cached_runtime,
            "runtime": self.config["runtime"],
            "pywren_version": __version__,
            "runtime_url": "",
        }
        if extra_env is not None:
            args["extra_env"] = extra_env
        for key in extra_meta or {}:
            if key in args or key in _OF_A_CALL:
                raise ValueError(f"Key {key} already in dict")
        return {**args, **(extra_meta or {})}

    def _future(self, calls: CallSet, number: int, meta: dict[str, Any], overwrite: dict[str, Any]) -> ResponseFuture:
        call_id, callset_id = f"{number:05d}", meta["callset_id"]
        keys = storage.create_keys(self.storage.prefix, callset_id, call_id)
        of_call = {**meta, **dict(zip(("data_key", "output_key", "status_key", "cancel_key"), keys, strict=True))}
        if meta["agg_data"]:
            of_call["data_key"] = storage.create_agg_data_key(self.storage.prefix, callset_id)
        of_call.update(call_id=call_id, data_byte_range=of_call.pop("ranges")[number])
        of_call.update(overwrite)
        path = storage.get_storage_path(self.storage_config)
        return ResponseFuture(_room.Future(calls, number), call_id, callset_id, of_call, path)

    def _described(self, func: Any, data: list[Any], as_one: bool) -> dict[str, Any]:
        """How large function and data are, pickled. Large buffers are counted, not copied."""
        began = time.time()
        function_bytes = _pickled_bytes(func)
        function_took, began = time.time() - began, time.time()
        sizes = [_pickled_bytes(item) for item in data]
        together = as_one and sum(sizes) < wrenconfig.MAX_AGG_DATA_SIZE
        ranges: list[tuple[int, int] | None] = []
        at = 0
        for size in sizes:
            ranges.append((at, at + size - 1) if together else None)
            at += size
        now = time.time()
        return {
            "agg_data": together,
            "data_size_bytes": sum(sizes),
            "data_upload_time": now - began,
            "data_upload_timestamp": now,
            "func_module_str_len": function_bytes,
            "func_upload_time": function_took,
            "func_upload_timestamp": began,
            "ranges": ranges,
        }

    def reduce(
        self,
        function: Callable[[list[Any]], Any],
        list_of_futures: list[ResponseFuture],
        extra_env: dict[str, str] | None = None,
        extra_meta: dict[str, Any] | None = None,
    ) -> ResponseFuture:
        """`function([result, ...])` once all are done: its future. What a call raised is raised by that."""
        given = list(list_of_futures)
        wait(given, return_when=ALL_COMPLETED)
        failed = next((each for each in given if each.errored()), None)
        if failed is not None:
            error = failed.exception()

            def fail(_: Any) -> Any:
                assert error is not None
                raise error

            return self.call_async(fail, None, extra_env=extra_env, extra_meta=extra_meta)
        results = [each.result() for each in given]
        return self.call_async(function, results, extra_env=extra_env, extra_meta=extra_meta)

    def get_logs(self, future: ResponseFuture, verbose: bool = True) -> list[tuple[int, str]]:
        """What a call that is done has printed: (milliseconds since the epoch at its end, line) each. verbose: printed, too.

        Raises:
            ValueError: the call was not seen to be done.
        """
        if future.run_status is None:
            raise ValueError(f"{future!r}: call result() or wait() first")
        when = int(future.run_status["end_time"] * 1000)
        lines = [(when, line) for line in future.run_status["stdout"].splitlines()]
        if verbose:
            for stamp, line in lines:
                print(stamp, line)
        return lines


def _pickled_bytes(value: Any) -> int:
    buffers: list[Any] = []
    size = len(cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append))
    return size + int(sum(buffer.raw().nbytes for buffer in buffers))
