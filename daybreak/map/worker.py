"""What runs in a worker around each call: its time, its limits, what it prints and how much memory it takes."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import signal
import sys
import time
from typing import Any

from daybreak.runtime import exceptions

from .errors import CallTimeout

__all__ = ["MAX_LOG_CHARACTERS", "Work", "peak_bytes"]

MAX_LOG_CHARACTERS = 1 << 16  # of a call: the first half and the last half of it are kept
_GRACE_S = 2.0  # what does not end by the exception of its timeout by then is ended with its process
_MEASURED_S = 0.002  # shorter calls are not asked for their memory: asking takes longer than some of them
DONE, RAISED = 0, 1
_long = True  # the call before took so long that this one is measured


class Work:
    """The function of a job, as a worker calls it: gives (DONE, result, status) or (RAISED, what describes it, status)."""

    def __init__(
        self,
        function: Any,
        star: bool = False,
        timeout: float | None = None,
        extra_env: dict[str, str] | None = None,
        logs: bool = False,
        measure: bool = True,
    ) -> None:
        self.function, self.star, self.timeout = function, star, timeout
        self.extra_env, self.logs, self.measure = extra_env or {}, logs, measure
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self.__qualname__ = getattr(function, "__qualname__", self.__name__)

    def __call__(self, item: Any) -> tuple[int, Any, dict[str, Any]]:
        global _long
        status: dict[str, Any] = {"pid": os.getpid(), "start_time": time.time()}
        began = time.perf_counter()
        measure = self.measure and _long
        if measure:
            _forget_peak()
        try:
            with contextlib.ExitStack() as stack:
                if self.extra_env:
                    stack.enter_context(_environment(self.extra_env))
                if self.logs:
                    stack.enter_context(_printed_into(status))
                if self.timeout is not None:
                    stack.enter_context(_at_most(self.timeout, self.__name__))
                ready = time.perf_counter()
                status["setup_time"] = ready - began
                value = self.function(*item) if self.star else self.function(item)
            how, found = DONE, value
        except SystemExit as ended:
            how, found = RAISED, exceptions._to_payload(_of_exit(ended), "", self.function)
        except KeyboardInterrupt:
            raise  # the call was cancelled
        except BaseException as error:
            how, found = RAISED, exceptions._to_payload(error, "", self.function)
        took = time.perf_counter() - began
        status["exec_time"] = took
        status["end_time"] = status["start_time"] + took
        if self.measure and (measure or took >= _MEASURED_S):
            status["peak_bytes"] = peak_bytes()
        _long = took >= _MEASURED_S
        return how, found, status


def _of_exit(ended: SystemExit) -> BaseException:
    code = ended.code if ended.code is not None else 0
    what = "non-zero return code" if code else "a call ends by returning"
    error = RuntimeError(f"the call ended with sys.exit({code!r}), {what}")
    error.__traceback__ = ended.__traceback__
    return error


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Any:
    """These variables as long as the call runs; then what was there."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _Kept(io.TextIOBase):
    """The first and the last characters of what is written."""

    def __init__(self) -> None:
        self.first, self.last, self.left_out = "", "", 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        half = MAX_LOG_CHARACTERS // 2
        room = half - len(self.first)
        self.first += text[:room] if room > 0 else ""
        self.last += text[max(room, 0) :]
        if len(self.last) > 2 * half:
            self.left_out += len(self.last) - half
            self.last = self.last[-half:]
        return len(text)

    def text(self) -> str:
        half = MAX_LOG_CHARACTERS // 2
        left_out = self.left_out + max(0, len(self.last) - half)
        gap = f"\n... ({left_out:,} characters are left out here) ...\n" if left_out else ""
        return self.first + gap + self.last[-half:]


@contextlib.contextmanager
def _printed_into(status: dict[str, Any]) -> Any:
    kept = _Kept()
    try:
        with contextlib.redirect_stdout(kept), contextlib.redirect_stderr(kept):
            yield
    finally:
        status["stdout"] = kept.text()


@contextlib.contextmanager
def _at_most(seconds: float, name: str) -> Any:
    """CallTimeout in the call when the time is over; the process ends when that does not end it, as in native code."""

    def over(signum: int, frame: Any) -> None:
        raise CallTimeout(f"{name}: the call ran longer than timeout={seconds:g} s")

    before = signal.signal(signal.SIGALRM, over)
    faulthandler.dump_traceback_later(seconds + _GRACE_S, exit=True, file=sys.__stderr__ or 2)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


def _forget_peak() -> None:
    """From now on the kernel keeps the most memory that this process has anew (proc(5), clear_refs)."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def peak_bytes() -> int:
    """The most memory that this process had: VmHWM, without what it shares with the object store."""
    found = {}
    with open("/proc/self/status") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if name in ("VmHWM", "RssShmem"):
                found[name] = int(rest.split()[0]) * 1024
    return max(0, found.get("VmHWM", 0) - found.get("RssShmem", 0))
