"""Why something cannot be pickled."""

from __future__ import annotations

from daybreak.runtime import serialization

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

__all__ = ["FailureTuple", "inspect_serializability"]

_MAX_LOOKED_AT = 2000  # parts


class FailureTuple:
    """A part that cannot be pickled.

    Attributes:
        obj: the part.
        name: of the variable or attribute that it is.
        parent: what it is a part of; None for the whole.
    """

    def __init__(self, obj: Any, name: str, parent: Any) -> None:
        self.obj = obj
        self.name = name
        self.parent = parent

    def __repr__(self) -> str:
        return f"FailTuple({self.name} [obj={self.obj!r:.200}, parent={self.parent!r:.200}])"


class _Search:
    def __init__(self, print_file: TextIO | None) -> None:
        self.failures: dict[int, FailureTuple] = {}
        self._file = print_file
        self._seen: set[int] = set()

    def say(self, depth: int, text: str) -> None:
        print("    " * depth + text, file=self._file)

    def look(self, obj: Any, name: str, parent: Any, left: int, level: int) -> bool:
        """Whether the part can be pickled; if not, the parts of it are looked at."""
        try:
            serialization.dumps_alone(obj)
            return True
        except Exception as error:
            self.say(level, f"'{name}' ({type(obj).__name__}) cannot be pickled: {error}")
        if id(obj) in self._seen or len(self._seen) >= _MAX_LOOKED_AT:
            return False
        self._seen.add(id(obj))
        found = False
        if left > 0:
            for part_name, part in serialization.parts_of(obj):
                found |= not self.look(part, part_name.strip(), obj, left - 1, level + 1)
        if not found:
            self.failures[id(obj)] = FailureTuple(obj, name, parent)
        return False


def inspect_serializability(
    base_obj: Any, name: str | None = None, depth: int = 3, print_file: TextIO | None = None
) -> tuple[bool, set[FailureTuple]]:
    """Whether an object can be sent to another process, and if not, the innermost parts of it that cannot; prints what it finds.

    Args:
        name: what to call the object.
        depth: how far to look into closures, globals, attributes, containers.
        print_file: where to print, standard output by default.

    Example:
        >>> import io, threading
        >>> from daybreak.util import inspect_serializability
        >>> lock = threading.Lock()
        >>> fine, failures = inspect_serializability(lambda: lock.locked(), name="f", print_file=io.StringIO())
        >>> fine, [failure.name for failure in failures]
        (False, ["global 'lock'"])
    """
    if depth < 0:
        raise ValueError(f"depth={depth}: it must not be negative")
    search = _Search(print_file)
    label = name or str(getattr(base_obj, "__qualname__", type(base_obj).__name__))
    fine = search.look(base_obj, label, None, depth, 0)
    if fine:
        search.say(0, f"'{label}' can be pickled")
    for failure in search.failures.values():
        search.say(0, f"leave out, or make inside the task: {failure!r}")
    return fine, set(search.failures.values())
