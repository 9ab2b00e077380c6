def http_status(code: int) -> int:
    """The HTTP status of one of the 16 canonical error codes."""

def write_file_atomically(path: str, bytes: bytes) -> None:
    """
    Writes a file so that a reader finds the old one or the new one, never a part.
    """

def code_name(code: int) -> str:
    """The name of one of the 16 canonical error codes."""
