"""Serve models under a deadline: apps, versions, replicas, and Clipper's API.

>>> from daybreak import serve
>>> with serve.start(query_port=0, admin_port=0, metrics_port=0) as server:
...     server.deploy("sums", lambda inputs: [float(sum(x)) for x in inputs], default="0")
...     [(app["name"], app["models"]) for app in server.apps()]
[('sums', ['sums'])]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from daybreak.serve.payload import Sealed
from daybreak.serve.server import Server
from daybreak.serve.starting import last, start

__all__ = [
    "Sealed",
    "Server",
    "add_app",
    "add_version",
    "apps",
    "delete_app",
    "delete_version",
    "deploy",
    "drain",
    "link",
    "logs",
    "models",
    "rollback",
    "scale",
    "set_version",
    "start",
    "status",
    "stop",
    "unlink",
]


def _of_last(method: Callable[..., Any]) -> Any:
    """The same method of the server that was started last in this process."""
    name = method.__name__

    def call(*arguments: Any, **options: Any) -> Any:
        return getattr(last(), name)(*arguments, **options)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"`Server.{name}` of the server that was started last in this process.\n\n{method.__doc__ or ''}"
    return call


add_app = _of_last(Server.add_app)
add_version = _of_last(Server.add_version)
apps = _of_last(Server.apps)
delete_app = _of_last(Server.delete_app)
delete_version = _of_last(Server.delete_version)
deploy = _of_last(Server.deploy)
drain = _of_last(Server.drain)
link = _of_last(Server.link)
logs = _of_last(Server.logs)
models = _of_last(Server.models)
rollback = _of_last(Server.rollback)
scale = _of_last(Server.scale)
set_version = _of_last(Server.set_version)
status = _of_last(Server.status)
stop = _of_last(Server.stop)
unlink = _of_last(Server.unlink)
