"""Files of the command line: read within a limit, written whole or not at all and for their owner alone."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

from daybreak.base import errors

__all__ = ["MAX_BODY_BYTES", "MAX_SMALL_BYTES", "make_private_folder", "read", "write_private"]

MAX_SMALL_BYTES = 8 << 20  # records, bundles, proofs: their own limits are lower
MAX_BODY_BYTES = 5 << 30  # ciphertexts and what is encrypted: 4 GiB of text and what encryption adds


def read(path: Path, limit: int) -> bytes:
    """The whole file; NotFoundError, or InvalidArgumentError when it is longer than ``limit`` bytes."""
    try:
        with path.open("rb") as file:
            data = file.read(min(limit, os.fstat(file.fileno()).st_size) + 1)  # a pipe has size 0
            while len(data) <= limit and (more := file.read(min(1 << 20, limit + 1 - len(data)))):
                data += more
    except FileNotFoundError:
        raise errors.NotFoundError(f"'{path}' is not there") from None
    except OSError as error:
        raise errors.FailedPreconditionError(f"'{path}' cannot be read: {error.strerror}") from None
    if len(data) > limit:
        raise errors.InvalidArgumentError(f"'{path}' has more than {limit} bytes: is it the right file?")
    return data


def write_private(path: Path, data: bytes) -> None:
    """Mode 0600, in the place of whatever is there, whole or not at all; ``-`` is the standard output."""
    if str(path) == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise errors.FailedPreconditionError(f"'{path}' cannot be written: {error.strerror}") from None


def make_private_folder(path: Path) -> None:
    """With the folders above it, each that is new for its owner alone."""
    for folder in (*reversed(path.parents), path):
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise errors.FailedPreconditionError(f"'{folder}' cannot be made: {error.strerror}") from None
