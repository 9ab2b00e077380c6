"""Where the processes of an engine are: the Python stack of each of their threads, asked for from outside.

Each process keeps a file in memory, into which a signal makes the interpreter write (faulthandler): no lock and no GIL is waited
for, so a process that hangs answers, too. Who is of the same user sends the signal and reads the file below /proc.
"""

from __future__ import annotations

import os
import signal
import time

__all__ = ["NoStackError", "offer", "stack_of", "withdraw"]

SIGNAL = signal.SIGRTMAX - 5
_NAME = "daybreak-stacks"
_LINK = f"/memfd:{_NAME} (deleted)"
_WITHIN_S = 2.0
_file: int | None = None  # this process's


class NoStackError(Exception):
    """The process cannot be asked; the text says why."""


def offer() -> None:
    """In a process of the engine. Nothing happens where the program has a use of its own for the signal."""
    import faulthandler

    global _file
    if _file is None and signal.getsignal(SIGNAL) is signal.SIG_DFL:
        _file = os.memfd_create(_NAME)
        os.fchmod(_file, 0o600)
        faulthandler.register(SIGNAL, file=_file, all_threads=True)


def withdraw() -> None:
    """After the engine: the process is as it was before."""
    import faulthandler

    global _file
    if _file is not None:
        faulthandler.unregister(SIGNAL)
        os.close(_file)
        _file = None


def _file_of(pid: int) -> str:
    folder = f"/proc/{pid}/fd"
    try:
        for descriptor in os.listdir(folder):
            try:
                if os.readlink(f"{folder}/{descriptor}") == _LINK:
                    return f"{folder}/{descriptor}"
            except FileNotFoundError:  # closed meanwhile
                continue
    except FileNotFoundError:
        raise NoStackError(f"process {pid} has ended") from None
    except PermissionError:
        raise NoStackError(f"process {pid} is another user's, or may not be looked into") from None
    raise NoStackError(
        f"process {pid} shows no stacks: it is still starting, or its program uses the signal {SIGNAL} itself"
    )


def stack_of(pid: int) -> str:
    """What each thread of the process executes, the innermost call first.

    Raises:
        NoStackError: it has ended, is stopped, or shows none.
    """
    path = _file_of(pid)
    try:
        with open(path, "rb", buffering=0) as file:
            known = os.fstat(file.fileno()).st_size
            os.kill(pid, SIGNAL)
            end, size, seen = time.monotonic() + _WITHIN_S, known, known
            while time.monotonic() < end:
                time.sleep(0.01)
                size, seen = os.fstat(file.fileno()).st_size, size
                if size > known and size == seen:  # and nothing came in the last step
                    file.seek(known)
                    return file.read().decode("utf-8", "backslashreplace").strip()
    except (FileNotFoundError, ProcessLookupError):
        raise NoStackError(f"process {pid} has ended") from None
    raise NoStackError(f"process {pid} did not answer within {_WITHIN_S:g} s: it may be stopped")
