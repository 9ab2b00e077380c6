"""What metrics, parameters, tags and artifacts may be called."""

from __future__ import annotations

from daybreak.base import errors

__all__ = ["MAX_NAME_BYTES", "checked_artifact_name", "checked_name", "checked_path"]

MAX_NAME_BYTES = 250


def checked_name(what: str, name: object) -> str:
    if not isinstance(name, str):
        raise errors.InvalidArgumentError(f"the {what}'s name is a str, not {type(name).__name__}")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise errors.InvalidArgumentError(f"the {what}'s name is not Unicode (a lone surrogate)") from None
    if not 1 <= size <= MAX_NAME_BYTES:
        raise errors.InvalidArgumentError(f"the {what}'s name has 1 to {MAX_NAME_BYTES} bytes: {size} given")
    if any(ord(c) < 32 or ord(c) == 127 for c in name):
        raise errors.InvalidArgumentError(f"the {what}'s name has no control characters: {name!r}")
    return name


def checked_artifact_name(name: object) -> str:
    """A name that is safe as a relative path: what is exported must never leave its folder."""
    return checked_path(checked_name("artifact", name))


def checked_path(name: str) -> str:
    """A name that is safe as a relative path; InvalidArgumentError when it is not."""
    if not name or name.startswith("/") or "\\" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise errors.InvalidArgumentError(
            f"artifact name {name!r}: parts between '/' that are not empty, '.' or '..', and no '\\', please"
        )
    return name
