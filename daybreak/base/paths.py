"""Paths that a user gives: taken once, kept for ever, whatever ``os.chdir`` does later; and the files that they name.

What is right for a pipe, ``/dev/null``, a symbolic link, a file of ``/proc``, a directory is said in one place, in
``daybreak/base/file.h``: :func:`read` and :func:`write` are its face.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Any

from daybreak._core import base as _core
from daybreak.base import errors

__all__ = ["MAX_READ_BYTES", "MissingFileError", "given", "read", "write"]

MAX_READ_BYTES = 1 << 40  # where the caller has no limit of its own
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/{2}")


class MissingFileError(FileNotFoundError, errors.NotFoundError):
    """There is no file of that name: ``errno`` and ``filename`` are those of the built-in."""

    def __str__(self) -> str:
        return str(self.strerror)


def given(path: Any, what: str = "path") -> str:
    """``path`` as it is to be kept: absolute, ``~`` and ``~user`` expanded, symbolic links as they are.

    ``path`` is a str, bytes or ``os.PathLike``; bytes that are no UTF-8 stay what they are (``os.fsdecode``). ``what`` is its name
    in an error: InvalidArgumentError for an empty path, one with a zero byte, a URL and a ``~user`` that is nobody; TypeError
    for what is no path. A file whose name begins with ``~`` is given as ``./~name``, or by its name when it is there.

    >>> import os
    >>> given("~/runs") == os.path.join(os.path.expanduser("~"), "runs")
    True
    >>> given("runs") == os.path.join(os.getcwd(), "runs")
    True
    """
    try:
        text = os.fsdecode(path)
    except TypeError:
        raise TypeError(f"{what}: a str, bytes or os.PathLike expected, not {type(path).__name__}") from None
    text = str.__str__(text)  # of a subclass
    try:
        os.fsencode(text)
    except UnicodeEncodeError:  # a locale without these characters: its file names are bytes, which UTF-8 says
        text = os.fsdecode(text.encode("utf-8", "surrogateescape"))
    if not text:
        raise errors.InvalidArgumentError(f"{what}: the path is empty; the working directory is '.'")
    if "\0" in text:
        raise errors.InvalidArgumentError(f"{what}: {text!r} has a zero byte, which no file's name has")
    if _SCHEME.match(text):
        raise errors.InvalidArgumentError(f"{what}: {text!r} is a URL: give a path of this machine")
    if text.startswith("~"):
        expanded = os.path.expanduser(text)
        if not expanded.startswith("~"):
            text = expanded
        elif not os.path.lexists(text):
            raise errors.InvalidArgumentError(
                f"{what}: {text!r} names the home of a user who is not known here: write './{text}' for a file of that name"
            )
    try:
        # Of "link/../x" only the kernel's reading is right.
        return os.path.realpath(text) if ".." in text.split("/") else os.path.abspath(text)
    except FileNotFoundError:
        raise errors.FailedPreconditionError(
            f"{what}: {text!r} is relative, and the working directory is gone: give an absolute path"
        ) from None


def read(path: Any, max_bytes: int = MAX_READ_BYTES) -> bytes:
    """All bytes of what is there: of a file, whatever size it says (``/proc`` says 0), of a pipe until its writers are gone.

    Raises MissingFileError, ResourceExhaustedError beyond ``max_bytes``, DeadlineExceededError for a pipe that is silent for 5 s,
    FailedPreconditionError for a directory, a device or a socket.

    >>> read("/proc/self/status", 1 << 20).startswith(b"Name:"), read("/dev/null")
    (True, b'')
    """
    name = given(path)
    try:
        return _core.read_file(name, max_bytes)
    except errors.NotFoundError as error:
        raise MissingFileError(errno.ENOENT, str(error), name) from None


def write(path: Any, data: bytes) -> None:
    """Writes a file whole or not at all, for its owner alone (mode 0600); through a symbolic link into what it points at; into a
    pipe, a terminal or ``/dev/null`` as it is.

    Raises MissingFileError when there is no such directory, PermissionDeniedError for a read-only file, DeadlineExceededError for
    a pipe that nobody reads for 5 s, FailedPreconditionError for a directory, a disk or a socket.
    """
    name = given(path)
    try:
        _core.write_file_atomically(name, data)
    except errors.NotFoundError as error:
        raise MissingFileError(errno.ENOENT, str(error), name) from None
