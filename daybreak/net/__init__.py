"""HTTP/1.1 and WebSocket, in C++. Python sees the client of a WebSocket; servers are made by `daybreak.serve`."""

from daybreak._core.net import WebSocketClient

__all__ = ["WebSocketClient"]
