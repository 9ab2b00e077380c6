"""What the workers of an engine have printed: `daybreak logs`, `state.list_logs`, `state.get_log`.

An engine keeps the last 4 to 8 MiB of it beside its door (output_log.h), as long as it runs, for its own user alone. It keeps
nothing where nothing is to be recorded (DAYBREAK_TASK_EVENTS=0).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any, BinaryIO, NamedTuple

from daybreak.base import errors

__all__ = ["Line", "chosen", "folder_of", "follow", "get_log", "kept", "list_logs"]

_NAME, _OLD = "output", "output.1"  # OutputLog's
_AGAIN_S = 0.1
_TRIES = 16


class Line(NamedTuple):
    unix_ms: int
    pid: int
    stream: int  # 1: stdout, 2: stderr
    name: str  # "worker", or the actor's class
    text: str

    def shown(self) -> str:
        return f"({self.name} pid={self.pid}) {self.text}"


def kept(folder: str) -> list[Line]:
    """What is there now, the oldest first."""
    return _kept(folder)[0]


def follow(folder: str, is_running: Callable[[], bool]) -> Iterator[Line | None]:
    """What is there, then what comes, until the engine has ended. None: nothing has come for a tenth of a second."""
    lines, inode, place = _kept(folder)
    yield from lines
    file: BinaryIO | None = None
    try:
        while True:
            running = is_running()  # before it is read: what was printed before it ended is there
            if file is None and (file := _opened(folder)) is not None:
                opened = os.fstat(file.fileno()).st_ino
                if opened != inode:
                    if inode is not None and _inode(folder, _OLD) != inode:
                        yield Line(
                            time.time_ns() // 10**6, 0, 2, "daybreak", "lines are missing here: they came too fast"
                        )
                    inode, place = opened, 0
            new: list[Line] = []
            if file is not None:
                file.seek(place)
                new, taken = _parsed(file.read())
                place += taken
                yield from new
                if not new and _inode(folder) not in (None, inode):  # it is full and read to its end: the next one
                    file.close()
                    file = None
                    continue
            if new:
                continue
            if not running:
                return
            yield None
            time.sleep(_AGAIN_S)
    finally:
        if file is not None:
            file.close()


def _inode(folder: str, name: str = _NAME) -> int | None:
    try:
        return os.stat(os.path.join(folder, name)).st_ino
    except FileNotFoundError:
        return None


def _opened(folder: str, name: str = _NAME) -> BinaryIO | None:
    try:
        return open(os.path.join(folder, name), "rb")
    except FileNotFoundError:
        return None


def _kept(folder: str) -> tuple[list[Line], int | None, int]:
    """The lines, and of the file that grows its inode and how far it was read."""
    for _ in range(_TRIES):
        inode, texts = _inode(folder), []
        for name in (_OLD, _NAME):
            file = _opened(folder, name)
            if file is None:
                texts.append(b"")
                continue
            with file:
                if name == _NAME and os.fstat(file.fileno()).st_ino != inode:
                    break
                texts.append(file.read())
        else:
            if _inode(folder) == inode:
                break
    else:
        raise errors.UnavailableError(f"{folder}: workers print faster than it can be read; try again")
    old, _ = _parsed(texts[0])
    new, taken = _parsed(texts[1])
    return [*old, *new], inode, taken


def _parsed(text: bytes) -> tuple[list[Line], int]:
    """The whole lines, and how many bytes they are."""
    lines = []
    end = text.rfind(b"\n") + 1
    for line in text[:end].split(b"\n")[:-1]:
        fields = line.split(b"\t", 4)
        if len(fields) == 5 and all(field.isdigit() for field in fields[:3]):  # else: of a disk that was full
            when, pid, stream = (int(field) for field in fields[:3])
            name, said = (field.decode("utf-8", "replace") for field in fields[3:])
            lines.append(Line(when, pid, stream, name, said))
    return lines, end


def folder_of(address: str | int | None) -> str:
    """Of the engine that the address names (state.list_tasks)."""
    from .._core import runtime as native
    from . import state

    if address is None and native._is_initialized():
        path = native._door()[0]
        if path is None:
            raise errors.UnavailableError(f"this engine has no directory to keep it in: {native._door()[1]}")
        return str(path)
    if isinstance(address, str) and os.sep in address:
        path = os.path.abspath(os.path.expanduser(address))
    else:
        path = str(state.engine_at(address)["path"])
    if not os.path.isdir(path):
        raise errors.InvalidArgumentError(f"no engine runs at {path}")
    return path


def is_running(folder: str) -> bool:
    from .._core import runtime as native

    return any(
        os.path.samefile(engine["path"], folder) for engine in native._engines() if os.path.exists(engine["path"])
    )


def list_logs(address: str | int | None = None, *, glob_filter: str = "*", **where: Any) -> dict[str, list[str]]:
    """Names for `get_log`: worker-PID.out and worker-PID.err of each process that has printed something.

    Args:
        address: the engine; see list_tasks.
        glob_filter: only names that fit the pattern.

    >>> import daybreak
    >>> from daybreak.runtime import state
    >>> with daybreak.init(num_cpus=1):
    ...     state.list_logs(glob_filter="*.err")
    {'worker_out': [], 'worker_err': []}
    """
    import fnmatch

    _of_this_node("list_logs", where)
    there = dict.fromkeys((line.pid, line.stream) for line in kept(folder_of(address)))
    return {
        kind: [
            name
            for pid, number in there
            if number == stream and fnmatch.fnmatch(name := f"worker-{pid}.{_SUFFIXES[number]}", glob_filter)
        ]
        for kind, stream in (("worker_out", 1), ("worker_err", 2))
    }


_SUFFIXES = {1: "out", 2: "err"}


def get_log(
    *, address: str | int | None = None, filename: str | None = None, pid: int | None = None, actor_id: str | None = None,
    follow: bool = False, tail: int = -1, suffix: str = "out", **where: Any,
) -> Iterator[str]:  # fmt: skip
    """What one worker has printed, each line with its newline.

    Args:
        address: the engine; see list_tasks.
        filename, pid, actor_id: one of them says which. The lines of one task are not told from others of its worker.
        follow: go on with what comes, until the engine ends.
        tail: the last so many lines only; -1: all that are kept.
        suffix: "out" or "err", with pid or actor_id.

    Raises:
        ValueError: none or several of them are given, or there is no such thing.
    """
    _of_this_node("get_log", where)
    folder = folder_of(address)
    if sum(each is not None for each in (filename, pid, actor_id)) != 1:
        raise errors.InvalidArgumentError("get_log(): one of filename, pid and actor_id says whose")
    if filename is not None:
        found = re.fullmatch(r"worker-(\d+)\.(out|err)", filename)
        if found is None:
            raise errors.InvalidArgumentError(
                f"filename={filename!r}: worker-PID.out or worker-PID.err, as list_logs() has it"
            )
        pid, suffix = int(found[1]), found[2]
    elif actor_id is not None:
        from . import state

        actor = state.get_actor(actor_id, address)
        if actor is None:
            raise errors.InvalidArgumentError(
                f"actor_id={actor_id!r}: there is no such actor; list_actors() shows those there are"
            )
        pid = actor.pid
    if suffix not in _SUFFIXES.values():
        raise errors.InvalidArgumentError(f"suffix={suffix!r}: 'out' or 'err'")
    stream = 1 if suffix == "out" else 2
    return (f"{line.text}\n" for line in chosen(folder, {int(pid or 0)}, {stream}, tail, follow) if line is not None)


def chosen(
    folder: str, pids: Collection[int], streams: Collection[int], tail: int, following: bool
) -> Iterator[Line | None]:
    """The lines of these processes (none: of all) and streams: the last `tail` of those there are (-1: all), and those that come.

    Raises:
        ValueError: one of the processes has printed nothing so far and is no worker of the engine.
    """
    lines = kept(folder)
    if strangers := set(pids) - {line.pid for line in lines}:
        from . import state

        running = [row.pid for row in state.list_workers(folder, limit=10_000) if row.is_alive and row.pid]
        if strangers := strangers - set(running):
            shown = ", ".join(map(str, sorted({*running, *(line.pid for line in lines)}))) or "none"
            raise errors.InvalidArgumentError(f"process {min(strangers)} is none of this engine's: {shown}")
    return _chosen(folder, pids, streams, tail, following)


def _chosen(
    folder: str, pids: Collection[int], streams: Collection[int], tail: int, following: bool
) -> Iterator[Line | None]:
    def wanted(line: Line) -> bool:
        return (not pids or line.pid in pids) and line.stream in streams

    if not following:
        found = [line for line in kept(folder) if wanted(line)]
        yield from found if tail < 0 else found[max(0, len(found) - tail) :]
        return
    first: list[Line] | None = []
    for line in follow(folder, lambda: is_running(folder)):
        if line is not None and not wanted(line):
            continue
        if first is None:
            yield line
        elif line is not None:
            first.append(line)
        else:  # all that was there has come
            yield from first if tail < 0 else first[max(0, len(first) - tail) :]
            first = None
    if first:
        yield from first if tail < 0 else first[max(0, len(first) - tail) :]


def _of_this_node(function: str, where: dict[str, Any]) -> None:
    for name, value in where.items():
        if name == "task_id" and value is not None:
            raise errors.InvalidArgumentError(
                f"{function}(task_id=...): lines are kept by process: get_task() says which worker_pid, and pid= shows it"
            )
        if name not in _RAYS:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
        if value not in (None, *_RAYS[name]):
            raise errors.UnimplementedError(f"{function}({name}={value!r}): one node is here, and lines as they are")


# Of Ray's arguments those that say nothing here, and what may be given for them.
_RAYS: dict[str, tuple[Any, ...]] = {
    "node_id": (), "node_ip": (), "task_id": (), "submission_id": (), "attempt_number": (0,), "encoding": ("utf-8",),
    "errors": ("strict", "replace"), "filter_ansi_code": (False,), "timeout": (30,), "_interval": (),
}  # fmt: skip
