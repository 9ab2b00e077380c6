"""What the package `setproctitle` does, which Ray brings along: programs that import it after `ray` find this where it is not
installed (`daybreak.compat.ray`)."""

from __future__ import annotations

from .._core import runtime as _native

__all__ = ["getproctitle", "setproctitle"]

_SET_NAME = 15  # PR_SET_NAME of prctl(2)
_given: str | None = None


def getproctitle() -> str:
    """What setproctitle() was given; else of a worker "ray::" and the name of what runs, and of others the command line."""
    if _given is not None:
        return _given
    if not _native._is_worker():
        with open("/proc/self/cmdline", "rb") as line:
            return line.read().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    from .runtime_context import get_runtime_context

    name = get_runtime_context().get_task_name()
    if name is None:
        class_name = _native._context().get("class_name")
        name = f"{class_name}.__init__" if class_name else "IDLE"
    return f"ray::{name}"


def setproctitle(title: str) -> None:
    """Names the process: `ps` shows the first 15 bytes as its command."""
    global _given
    if not isinstance(title, str):
        raise TypeError(f"title={title!r}: it must be a string")
    import ctypes

    ctypes.CDLL(None).prctl(_SET_NAME, title.encode(), 0, 0, 0)
    _given = title
