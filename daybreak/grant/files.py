"""Files of the command line: read within a limit, written whole or not at all and for their owner alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from daybreak.base import errors, paths

__all__ = ["MAX_BODY_BYTES", "MAX_SMALL_BYTES", "is_standard_output", "make_private_folder", "read", "write_private"]

MAX_SMALL_BYTES = 8 << 20  # records, bundles, proofs: their own limits are lower
MAX_BODY_BYTES = 5 << 30  # ciphertexts and what is encrypted: 4 GiB of text and what encryption adds


def read(path: Path, limit: int) -> bytes:
    """The whole file, as by ``base.paths.read``; InvalidArgumentError when it is longer than ``limit`` bytes."""
    try:
        return paths.read(path, limit)
    except errors.NotFoundError:
        raise errors.NotFoundError(f"'{path}' is not there") from None
    except errors.ResourceExhaustedError as error:
        raise errors.InvalidArgumentError(str(error)) from None


def write_private(path: Path, data: bytes) -> None:
    """As by ``base.paths.write``: mode 0600, whole or not at all; ``-`` is the standard output."""
    if str(path) == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    paths.write(path, data)


def is_standard_output(path: Path) -> bool:
    """``-``, ``/dev/stdout`` or whatever else leads there: what is said goes aside then."""
    try:
        return str(path) == "-" or os.path.samestat(os.stat(path), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError):
        return False


def make_private_folder(path: Path) -> None:
    """With the folders above it, each that is new for its owner alone."""
    for folder in (*reversed(path.parents), path):
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise errors.FailedPreconditionError(f"'{folder}' cannot be made: {error.strerror}") from None
