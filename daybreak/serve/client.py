"""A client of the management, for the command line and for Clipper's container manager."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import urllib.parse
from pathlib import Path
from typing import Any

from daybreak.base import errors, paths
from daybreak.serve import api
from daybreak.serve.state import ADDRESS_FILE, is_served

__all__ = ["AdminClient", "split_address"]

MAX_ANSWER_BYTES = 256 << 20
TIMEOUT_S = 600.0  # a deploy waits until its replicas are warm


def split_address(address: str) -> tuple[str, int]:
    """
    >>> split_address("127.0.0.1:1338")
    ('127.0.0.1', 1338)
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise errors.InvalidArgumentError(f"{address!r} is no address: HOST:PORT expected")
    return host.strip("[]"), int(port)


class AdminClient:
    """Speaks to one server; each call is a connection of its own, so that threads may share it."""

    def __init__(self, address: str, token: str, *, tls: bool = False, ca_file: str | None = None) -> None:
        self.address = address
        self.query_address = ""
        self._host, self._port = split_address(address)
        self.token = token
        self._context = ssl.create_default_context(cafile=ca_file) if tls else None

    @classmethod
    def of_state_dir(cls, path: str | os.PathLike[str], ca_file: str | None = None) -> AdminClient:
        """Of the server that runs on a state directory. UnavailableError when none does."""
        folder = Path(paths.given(path, "state_dir"))
        try:
            if not is_served(folder):  # else the token would go to whoever has the port of one that was killed
                raise OSError
            found = json.loads((folder / ADDRESS_FILE).read_bytes())
            token = (folder / "admin.token").read_text().strip()
            made = cls(found["admin"], token, tls=found["tls"], ca_file=ca_file)
            made.query_address = found["query"]
        except (OSError, ValueError, KeyError, TypeError):
            raise errors.UnavailableError(
                f"no server runs on {folder}: start one (daybreak serve start), or name its directory by --state-dir"
            ) from None
        return made

    def request(
        self, method: str, path: str, data: bytes = b"", content_type: str = "application/json"
    ) -> tuple[int, bytes]:
        """The status and the body. UnavailableError when nobody is there."""
        connection: http.client.HTTPConnection
        if self._context is not None:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT_S, context=self._context)
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(MAX_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise errors.UnavailableError(
                f"no server answers at {self.address} ({type(error).__name__}): is it running?"
            ) from error
        finally:
            connection.close()

    def _json(self, method: str, path: str, data: bytes, content_type: str = "application/json") -> Any:
        status, body = self.request(method, path, data, content_type)
        try:
            found = json.loads(body)
        except ValueError:
            found = {}
        if status == 200:
            return found
        about = found if isinstance(found, dict) else {}
        message = str(about.get("message") or f"the server answered {status}")
        for kind in errors.BY_CODE.values():
            if api.code_of(kind) == about.get("error"):
                raise kind(message)
        raise (errors.UnauthenticatedError if status == 401 else errors.UnknownError)(message)

    def get(self, name: str, /, **query: str) -> Any:
        """What a path of `/daybreak/v1/` shows."""
        return self._json("GET", f"{api.PREFIX}{name}{'?' if query else ''}{urllib.parse.urlencode(query)}", b"")

    def post(self, name: str, /, **fields: Any) -> Any:
        """Asks a path of `/daybreak/v1/` for a change."""
        return self._json("POST", api.PREFIX + name, json.dumps(fields).encode())

    def send(self, name: str, data: bytes, /, **query: Any) -> Any:
        """Sends the bytes of a model; fields that are None are left out."""
        texts = {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in query.items()
            if value is not None
        }
        path = f"{api.PREFIX}{name}?{urllib.parse.urlencode(texts)}"
        return self._json("POST", path, data, "application/octet-stream")
