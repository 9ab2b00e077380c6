"""What runs around a call in a worker of a cloud. It is shipped by value, and needs the standard library and cloudpickle alone.

The worker need not have Daybreak: nothing of it may be imported here.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickle
import resource
import socket
import sys
import tempfile
import time
import traceback
from typing import Any

__all__ = ["DONE", "RAISED", "Shipped", "call"]

DONE, RAISED = 0, 1


def call(work: bytes, item: bytes) -> tuple[int, bytes | None, dict[str, Any]]:
    """A call, as a task. work: a pickled Shipped, which the process keeps until another comes."""
    kept = getattr(sys, "_daybreak_work", (b"", None))
    if kept[0] != work:
        kept = (work, pickle.loads(work))
        sys._daybreak_work = kept  # type: ignore[attr-defined]
    return kept[1](item)  # type: ignore[no-any-return, misc]


class Shipped:
    """The function of a job, as a worker calls it with a pickled input.

    Gives (DONE, the pickled result, status) or (RAISED, the pickled error or None, status with its traceback as text).
    """

    def __init__(
        self,
        function: bytes,
        modules: dict[str, bytes],
        digest: str,
        star: bool,
        logs: bool,
        python: tuple[int, int],
        timeout: float | None = None,
        variables: dict[str, str] | None = None,
    ) -> None:
        self.function, self.modules, self.digest = function, modules, digest
        self.star, self.logs, self.python = star, logs, python
        self.timeout, self.variables = timeout, variables or {}  # where the engine itself has neither

    def __call__(self, item: bytes) -> tuple[int, bytes | None, dict[str, Any]]:
        status: dict[str, Any] = {"pid": os.getpid(), "host": socket.gethostname(), "start_time": time.time()}
        began = time.perf_counter()
        printed = io.StringIO() if self.logs else None
        try:
            if tuple(sys.version_info[:2]) != tuple(self.python):
                here, there = (".".join(map(str, each)) for each in (sys.version_info[:2], self.python))
                raise RuntimeError(
                    f"the worker's python version is {here}, the driver's is {there}: make the runtime of the same"
                )
            self._enter()
            function = pickle.loads(self.function)
            value = pickle.loads(item)
            status["setup_time"] = time.perf_counter() - began
            with contextlib.ExitStack() as stack:
                if printed is not None:
                    stack.enter_context(contextlib.redirect_stdout(printed))
                    stack.enter_context(contextlib.redirect_stderr(printed))
                if self.variables:
                    stack.enter_context(self._environment())
                if self.timeout is not None:
                    stack.enter_context(self._at_most(status))
                result = function(*value) if self.star else function(value)
            how = DONE
            found: bytes | None = self._dumped(result)
        except BaseException as error:
            how, found = RAISED, self._error(error, status)
        status["exec_time"] = time.perf_counter() - began
        status["end_time"] = status["start_time"] + status["exec_time"]
        status["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if printed is not None:
            status["stdout"] = printed.getvalue()[:65536]
        return how, found, status

    @contextlib.contextmanager
    def _environment(self) -> Any:
        before = {name: os.environ.get(name) for name in self.variables}
        os.environ.update(self.variables)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    @contextlib.contextmanager
    def _at_most(self, status: dict[str, Any]) -> Any:
        """TimeoutError in the call when its time is over; the process ends when that does not end it, as in native code."""
        import faulthandler
        import signal

        seconds = float(self.timeout or 0)

        def over(signum: int, frame: Any) -> None:
            status["expired"] = True
            raise TimeoutError(f"the call ran longer than timeout={seconds:g} s")

        before = signal.signal(signal.SIGALRM, over)
        faulthandler.dump_traceback_later(seconds + 2.0, exit=True, file=sys.__stderr__ or 2)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            faulthandler.cancel_dump_traceback_later()
            signal.signal(signal.SIGALRM, before)

    @staticmethod
    def _dumped(value: Any) -> bytes:
        try:
            return pickle.dumps(value, protocol=5)
        except Exception:
            import cloudpickle

            return bytes(cloudpickle.dumps(value, protocol=5))

    def _error(self, error: BaseException, status: dict[str, Any]) -> bytes | None:
        """Pickled when it comes back as what it was, which is tried here; else its text is all."""
        if isinstance(error, SystemExit):
            error = RuntimeError(f"the call ended with sys.exit({error.code!r}), non-zero return code")
        status["error"] = f"{type(error).__name__}: {error}"
        status["traceback"] = "".join(traceback.format_exception(error))
        try:
            data = self._dumped(error)
            if type(pickle.loads(data)).__name__ == type(error).__name__:
                return data
        except Exception:
            pass
        return None

    def _enter(self) -> None:
        """The caller's modules come first on the path; those of an earlier job with other contents are forgotten."""
        kept = getattr(sys, "_daybreak_modules", "")
        folder = (
            os.path.join(tempfile.gettempdir(), f"daybreak-modules-{os.geteuid()}", self.digest) if self.digest else ""
        )
        if kept == folder:
            return
        if kept:
            for name, module in list(sys.modules.items()):
                if (getattr(module, "__file__", None) or "").startswith(kept + os.sep):
                    del sys.modules[name]
            if kept in sys.path:
                sys.path.remove(kept)
        if folder:
            self._unpack(folder)
            sys.path.insert(0, folder)
            for name in {name.split("/")[0].rsplit(".py", 1)[0] for name in self.modules}:
                for known in [known for known in sys.modules if known == name or known.startswith(name + ".")]:
                    if not (getattr(sys.modules[known], "__file__", None) or "").startswith(folder):
                        del sys.modules[known]
            import importlib

            importlib.invalidate_caches()
        sys._daybreak_modules = folder  # type: ignore[attr-defined]

    def _unpack(self, folder: str) -> None:
        """Under a name of its own, then renamed: two workers of a machine may be here at once."""
        if os.path.isdir(folder):
            return
        above = os.path.dirname(folder)
        os.makedirs(above, mode=0o700, exist_ok=True)
        if os.stat(above).st_uid != os.geteuid():
            raise PermissionError(f"{above} is of another user: remove it, or set TMPDIR")
        part = tempfile.mkdtemp(dir=above)
        seen = hashlib.sha256()
        for name in sorted(self.modules):
            data = self.modules[name]
            seen.update(repr((name, hashlib.sha256(data).hexdigest())).encode())
            if name.startswith("/") or ".." in name.split("/"):
                raise ValueError(f"a module's file {name!r} lies outside of its folder")
            path = os.path.join(part, *name.split("/"))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(data)
        if seen.hexdigest() != self.digest:
            raise ValueError("the caller's modules have arrived altered: their digest is not the one that was sent")
        try:
            os.rename(part, folder)
        except OSError:  # another was first
            import shutil

            shutil.rmtree(part)
