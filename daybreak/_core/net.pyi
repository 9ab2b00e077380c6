from collections.abc import Mapping


def resolve(name: str) -> list[str]:
    """
    The addresses of a name, IPv4 first. InvalidArgumentError when it has none.
    """

class WebSocketClient:
    """A WebSocket's client that waits for its answers. One thread at a time."""

    def __init__(self, host: str, port: int, target: str, *, headers: Mapping[str, str] = {}, timeout_s: float = 10.0, ca_file: str = '', tls: bool = False) -> None:
        """
        PermissionDeniedError, with status and body, when the server does not open it.
        """

    def send(self, text: str) -> None: ...

    def receive(self) -> str:
        """
        The next message. UnavailableError when it is closed: close_code and close_reason say why.
        """

    def close(self) -> None: ...

    @property
    def close_code(self) -> int: ...

    @property
    def close_reason(self) -> str: ...
