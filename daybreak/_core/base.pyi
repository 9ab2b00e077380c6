import os


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
