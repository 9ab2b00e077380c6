"""Named points in a protocol where a test may kill the process: Python's and the C++ core's are in one registry.

The code says `failpoint("serve.deploy.begun")`, which costs a call when nobody listens. A test's child process arms one,
and dies there as by `kill -9`; another test watches which are passed.

>>> with watched("example.") as passed:
...     failpoint("example.written")
...     failpoint("example.synced")
>>> passed
['example.written', 'example.synced']
"""

from __future__ import annotations

import contextlib

from daybreak._core import base as _core

TYPE_CHECKING = False  # the module typing costs 10 ms, a third of what `import daybreak` may
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["arm", "failpoint", "watched"]

failpoint = _core.failpoint


def arm(prefix: str, countdown: int = 1) -> None:
    """Kills this process (SIGKILL) at the `countdown`-th failpoint whose name begins with `prefix`; 0: at none."""
    _core.arm_failpoint(prefix, countdown)


@contextlib.contextmanager
def watched(prefix: str = "") -> Iterator[list[str]]:
    """A list that has, after the block, the names that were passed in it and begin with `prefix`, in their order."""
    passed: list[str] = []
    _core.watch_failpoints(prefix)
    try:
        yield passed
    finally:
        passed += _core.watched_failpoints()
