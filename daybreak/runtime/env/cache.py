"""Folders that processes share, made once and held while they are used: environments, and copies of the user's folders.

Below `root()` each has a lock file beside it. Who makes one has the lock for itself, who uses one shares it; the kernel
frees it when a process ends, however it ends. A folder counts once its `READY` file is there, which is written last: what a
killed process has left half made has none, and is made anew or swept. (It is not made under another name and renamed:
programs in an environment have its path in their first line.)
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import sys
import time
from _thread import RLock
from collections.abc import Callable
from typing import Any

from .. import exceptions

__all__ = ["READY", "Sizes", "entry", "limits", "ready", "root", "session_folder", "session_of", "share", "sweep"]

READY = "daybreak.json"  # in a finished folder; its time says when that was used last
_DAY_S = 86400.0
_WAIT_S = (0.005, 0.1)  # between two looks at a lock: the first, and at most


def root() -> str:
    """The cache: $DAYBREAK_CACHE_DIR, $XDG_CACHE_HOME/daybreak or ~/.cache/daybreak, for this user alone.

    Raises:
        RuntimeEnvSetupError: it cannot be made or written.
    """
    said = os.path.expanduser(os.environ.get("DAYBREAK_CACHE_DIR", ""))
    if said and not os.path.isabs(said):
        raise exceptions.RuntimeEnvSetupError(
            f"DAYBREAK_CACHE_DIR={said!r}: an absolute path expected, as workers run in other folders"
        )
    home = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(home):  # which the specification of the variable says
        home = os.path.join(os.path.expanduser("~"), ".cache")
    path = os.path.normpath(said or os.path.join(home, "daybreak"))
    for name in ("environments", "folders"):
        try:
            os.makedirs(os.path.join(path, name), mode=0o700, exist_ok=True)
        except OSError as error:
            raise exceptions.RuntimeEnvSetupError(
                f"runtime_env: the cache {path} cannot be made ({error.strerror}): set DAYBREAK_CACHE_DIR to a folder that can"
            ) from None
    status = os.stat(os.path.join(path, "environments"))
    if status.st_uid != os.geteuid():
        raise exceptions.RuntimeEnvSetupError(
            f"runtime_env: the cache {path} is user {status.st_uid}'s, this is user {os.geteuid()}: "
            "set DAYBREAK_CACHE_DIR to a folder of yours"
        )
    return path


# ----------------------------------------------------------------------------------------------------------------------
# Locks.


def _locked(path: str, how: int, deadline: float | None) -> int:
    """A descriptor with the lock; TimeoutError at the deadline (time.monotonic)."""
    wait = _WAIT_S[0]
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            if os.path.exists(path) and os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
            os.close(descriptor)  # swept between the two: another file has the name now
            continue
        except OSError as error:
            os.close(descriptor)
            if error.errno not in (errno.EWOULDBLOCK, errno.ENOENT):
                raise
        if deadline is not None and time.monotonic() > deadline:
            raise TimeoutError(f"{path} was locked until the deadline")
        time.sleep(wait)
        wait = min(2 * wait, _WAIT_S[1])


def share(path: str) -> int:
    """Holds a copy, and all that its session has: nobody sweeps them while this descriptor, or a copy of it, is open.

    Raises:
        RuntimeEnvSetupError: it is gone.
    """
    folder = session_of(path)
    if folder is not None:
        descriptor = _locked(f"{folder}.lock", fcntl.LOCK_SH, None)
        if os.path.exists(path):
            return descriptor
        os.close(descriptor)
    raise exceptions.RuntimeEnvSetupError(
        f"runtime_env: {path} is gone: the process that had made it has ended; submit the task again"
    )


def ready(folder: str) -> dict[str, Any] | None:
    """What is said of a finished folder; None: it is not finished."""
    try:
        with open(os.path.join(folder, READY)) as file:
            found = json.load(file)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def entry(folder: str, make: Callable[[int], dict[str, Any]], deadline: float | None) -> int:
    """Holds the folder, which `make` fills if it is not there yet: one process does, others wait. Gives the descriptor.

    make: gets the lock's descriptor, to pass on to processes that write into the folder after it; what it returns is kept in READY.

    Raises:
        TimeoutError: the deadline (time.monotonic) is over.
    """
    lock = f"{folder}.lock"
    while True:
        descriptor = _locked(lock, fcntl.LOCK_SH, deadline)
        if ready(folder) is not None:
            os.utime(os.path.join(folder, READY))
            return descriptor
        os.close(descriptor)
        descriptor = _locked(lock, fcntl.LOCK_EX, deadline)
        try:
            if ready(folder) is None:
                _remove(folder)
                os.makedirs(folder, mode=0o700)
                try:
                    said = make(descriptor)
                except BaseException:
                    _remove(folder)
                    os.unlink(lock)
                    raise
                _write(os.path.join(folder, READY), {**said, "bytes": _bytes_of(folder)})
        finally:
            os.close(descriptor)


def _write(path: str, said: dict[str, Any]) -> None:
    with open(f"{path}.new", "w") as file:
        json.dump(said, file)
    os.replace(f"{path}.new", path)


def _remove(folder: str) -> None:
    if os.path.lexists(folder):
        shutil.rmtree(folder)


def _bytes_of(folder: str) -> int:
    """On the disk; what several names share counts once."""
    seen: set[int] = set()
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            status = os.lstat(os.path.join(path, name))
            if status.st_ino not in seen:
                seen.add(status.st_ino)
                total += status.st_blocks * 512
    return total


# ----------------------------------------------------------------------------------------------------------------------
# What nobody uses any more.


class Sizes:
    """How much may stay: bytes of all together, seconds since the last use."""

    def __init__(self, size_bytes: float, age_s: float) -> None:
        self.size_bytes = size_bytes
        self.age_s = age_s


def limits() -> Sizes:
    """DAYBREAK_ENV_CACHE_SIZE_GB (10; Ray's RAY_RUNTIME_ENV_UV_CACHE_SIZE_GB and ..._PIP_... are heeded where it is not set) and
    DAYBREAK_ENV_CACHE_DAYS (30).

    Raises:
        ValueError: one of them is no number of 0 or more.
    """
    names = ("DAYBREAK_ENV_CACHE_SIZE_GB", "RAY_RUNTIME_ENV_UV_CACHE_SIZE_GB", "RAY_RUNTIME_ENV_PIP_CACHE_SIZE_GB")
    size = next((_number(name) for name in names if os.environ.get(name)), 10.0)
    days = _number("DAYBREAK_ENV_CACHE_DAYS") if os.environ.get("DAYBREAK_ENV_CACHE_DAYS") else 30.0
    return Sizes(size * (1 << 30), days * _DAY_S)


def _number(name: str) -> float:
    text = os.environ[name]
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not found >= 0:
        raise ValueError(f"{name}={text!r}: it must be a number, 0 or more")
    return found


def sweep(keep: str = "") -> list[str]:
    """Removes environments that no process is in: half-made ones, those that were not used for long, then the longest unused until
    the rest fits; says each on the standard error. Gives the folders. keep: one that stays.

    Raises:
        ValueError: see `limits`.
    """
    allowed = limits()
    now = time.time()
    found = []
    for folder in _folders(os.path.join(root(), "environments")):
        if folder == keep:
            continue
        found.append((_last_used(folder), folder, ready(folder)))
    found.sort(key=lambda each: each[0])
    kept = ready(keep) if keep else None
    total = sum(int((said or {}).get("bytes", 0)) for _, _, said in found) + int((kept or {}).get("bytes", 0))
    removed = []
    for used, folder, said in found:
        size = int((said or {}).get("bytes", 0))
        why = ""
        if said is None:
            why = "it was never finished"
        elif now - used > allowed.age_s:
            why = f"unused for {(now - used) / _DAY_S:.0f} days, more than DAYBREAK_ENV_CACHE_DAYS={allowed.age_s / _DAY_S:g}"
        elif total > allowed.size_bytes:
            why = f"all take {total / (1 << 30):.2f} GB, more than DAYBREAK_ENV_CACHE_SIZE_GB={allowed.size_bytes / (1 << 30):g}"
        try:
            if not why or not _remove_unused(folder, used):
                continue
        except OSError as error:
            print(f"daybreak: {folder} cannot be removed: {error}", file=sys.stderr, flush=True)
        else:
            total -= size
            removed.append(folder)
            what = (said or {}).get("what", "an environment")
            print(f"daybreak: removed {folder} ({what}, {size / (1 << 20):.0f} MB): {why}", file=sys.stderr, flush=True)
    return removed


def _folders(path: str) -> list[str]:
    with os.scandir(path) as entries:
        return [each.path for each in entries if each.is_dir(follow_symlinks=False)]


def _last_used(folder: str) -> float:
    """0: it is not finished."""
    try:
        return os.stat(os.path.join(folder, READY)).st_mtime
    except OSError:
        return 0.0


def _remove_unused(folder: str, used: float = 0.0) -> bool:
    """False: somebody uses it, or has used it since `used`."""
    lock = f"{folder}.lock"
    try:
        descriptor = _locked(lock, fcntl.LOCK_EX, 0.0)
    except TimeoutError:
        return False
    try:
        if _last_used(folder) != used:
            return False
        _remove(folder)
        os.unlink(lock)
    finally:
        os.close(descriptor)
    return True


# ----------------------------------------------------------------------------------------------------------------------
# Copies of folders, which live as long as a process that uses them.


def session_of(path: str) -> str | None:
    """The folder of the session that has this copy, also where this process's cache is another; None: it is none."""
    import re

    found = re.match(r".*/folders/\d+-\w{8}(?=/|$)", os.path.normpath(path))
    return found[0] if found and os.path.exists(f"{found[0]}.lock") else None


_session: tuple[int, str, int] | None = None  # the process, its folder, the descriptor that holds that
_session_lock = RLock()


def session_folder() -> str:
    """Where this process keeps what it copies; made at the first call, when those of processes that are gone are removed."""
    global _session
    with _session_lock:
        if _session is None or _session[0] != os.getpid() or not os.path.isdir(_session[1]):
            _session = _new_session()
        return _session[1]


def _new_session() -> tuple[int, str, int]:
    import tempfile

    above = os.path.join(root(), "folders")
    for folder in _folders(above):
        _remove_unused(folder)
    while True:
        folder = tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=above)
        descriptor = _locked(f"{folder}.lock", fcntl.LOCK_SH, None)
        if os.path.isdir(folder):  # else somebody swept it before it was held
            return os.getpid(), folder, descriptor
        os.close(descriptor)


def end_session() -> None:
    """Lets the folder go, and removes it unless a process that this one does not know still uses it."""
    global _session
    if _session is None or _session[0] != os.getpid():
        return
    _, folder, descriptor = _session
    _session = None
    os.close(descriptor)
    _remove_unused(folder)
