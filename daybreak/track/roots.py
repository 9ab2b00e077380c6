"""Where runs are kept: a directory with everything in it, so that it can be copied, mounted or thrown away.

``format`` names the version, ``runs/`` holds a directory for each run, ``open/`` a mark for each writer that lives or whose end has
not been noted yet, ``store/`` the contents of artifacts, ``catalog.db`` what can be rebuilt from the others.
"""

from __future__ import annotations

import contextlib
import os

from daybreak.base import errors, paths

__all__ = ["chosen", "init", "root"]

FORMAT = "daybreak track 1\n"
_chosen: str | None = None
_defaults: dict[str, str] = {}  # what is asked for -> what it was when it was first asked for: os.chdir moves no root


def _default() -> str:
    asked = os.environ.get("DAYBREAK_TRACK_DIR") or os.path.join(".daybreak", "track")
    if asked not in _defaults:
        _defaults[asked] = paths.given(asked, "DAYBREAK_TRACK_DIR")
    return _defaults[asked]


def _prepare(path: str) -> str:
    """Makes the directory what it has to be; fine when it is."""
    file = os.path.join(path, "format")
    try:
        with open(file, encoding="ascii", errors="replace") as stored:
            found = stored.read(64)
    except FileNotFoundError:
        os.makedirs(path, mode=0o700, exist_ok=True)
        if any(not name.startswith(".") for name in os.listdir(path) if not name.startswith("format")):
            made = {"runs", "open", "store"}
            if not made & set(os.listdir(path)):
                raise errors.FailedPreconditionError(
                    f"{path} holds files that are not of a tracking root: name an empty or a new directory"
                ) from None
        for folder in ("runs", "open"):
            os.makedirs(os.path.join(path, folder), mode=0o700, exist_ok=True)
        for name, text in ((".gitignore", "*\n"), ("format", FORMAT)):  # format last: it says that the rest is there
            temporary = os.path.join(path, f"{name}.{os.getpid()}.tmp")
            with open(temporary, "w", encoding="ascii") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            os.replace(temporary, os.path.join(path, name))
        with contextlib.suppress(OSError):
            directory = os.open(path, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        return path
    if found != FORMAT:
        raise errors.UnimplementedError(f"{file} says {found!r}: this version of daybreak reads {FORMAT!r}")
    return path


def init(path: str | bytes | os.PathLike[str]) -> str:
    """Keeps runs in ``path`` from now on in this process, and makes it when it is not there (mode 0700).

    Returns the absolute path, which stays what it is whatever ``os.chdir`` does; ``~`` is the home. Without a call it is
    ``$DAYBREAK_TRACK_DIR``, else ``.daybreak/track`` in the working directory, as that is when it is first needed.
    Raises FailedPreconditionError when the directory holds something else, UnimplementedError when it is of another version.

    >>> import tempfile
    >>> from daybreak import track
    >>> folder = tempfile.mkdtemp()
    >>> track.init(folder) == folder == track.root()
    True
    """
    global _chosen
    _chosen = _prepare(paths.given(path, "track.init"))
    return _chosen


def chosen() -> str:
    """What ``root`` would make or open, which need not be there."""
    return _chosen or _default()


def root() -> str:
    """The absolute path of the directory where runs are kept; made when it is not there."""
    return _chosen if _chosen is not None and os.path.exists(_chosen) else _prepare(chosen())
