import os


def failpoint(name: str) -> None:
    """
    A point where a test may kill the process: see daybreak.base.failpoints.
    """

def arm_failpoint(prefix: str, countdown: int) -> None:
    """
    Kills the process at the countdown-th failpoint whose name begins with the prefix; 0: at none.
    """

def watch_failpoints(prefix: str) -> None:
    """Remembers the names that are passed from here on."""

def watched_failpoints() -> list[str]:
    """The names passed since watch_failpoints(), which ends."""

def http_status(code: int) -> int:
    """The HTTP status of one of the 16 canonical error codes."""

def write_file_atomically(path: str | os.PathLike, bytes: bytes) -> None:
    """See daybreak.base.paths.write."""

def read_file(path: str | os.PathLike, max_bytes: int) -> bytes:
    """See daybreak.base.paths.read."""

def readable(path: str | os.PathLike) -> bool:
    """
    Whether what can be read there is a file that has the bytes that its size says. Raises for what cannot be read.
    """

def code_name(code: int) -> str:
    """The name of one of the 16 canonical error codes."""
