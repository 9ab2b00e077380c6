"""Daybreak's own management paths, for its command and its other clients: JSON in and out, errors `{"error", "message"}`."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Callable
from typing import Any

from daybreak.base import errors
from daybreak.serve import checks
from daybreak.serve.deploying import DeployOptions
from daybreak.serve.managed import Managed
from daybreak.serve.payload import Payload, payload_of

__all__ = ["DEPLOY_PATH", "MAX_MODEL_BYTES", "PATHS", "PREFIX", "answer", "code_of", "failure", "is_slow"]

PREFIX = "/daybreak/v1/"
DEPLOY_PATH = PREFIX + "deploy/"  # and the name of the app
PLACE_PATH = PREFIX + "replicas"
MAX_QUERY_FIELDS = 32
MAX_MODEL_BYTES = 64 << 20  # that are deployed over HTTP
MAX_DRAIN_S = 3600
_JSON = "application/json"

Answer = tuple[int, str, bytes]
Fields = dict[str, str]


def failure(error: errors.Error) -> Answer:
    """As a status and JSON: the error's name in snake case, and its sentence."""
    return error.http_status, _JSON, json.dumps({"error": code_of(type(error)), "message": str(error)}).encode()


def code_of(kind: type[errors.Error]) -> str:
    """
    >>> code_of(errors.NotFoundError)
    'not_found'
    """
    name = kind.__name__.removesuffix("Error")
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name).strip("_")


def _query(text: str, allowed: dict[str, Callable[[str], Any]], required: tuple[str, ...]) -> dict[str, Any]:
    """The fields of a query string, each once, read by its function."""
    try:
        pairs = urllib.parse.parse_qsl(
            text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=MAX_QUERY_FIELDS
        )
    except ValueError:
        raise errors.InvalidArgumentError(
            "The query cannot be read: name=value pairs, percent-encoded, expected."
        ) from None
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name not in allowed or name in found:
            problem = "given twice" if name in found else "not known"
            raise errors.InvalidArgumentError(f"{checks.shown(name)} is {problem}; there are {', '.join(allowed)}.")
        try:
            found[name] = allowed[name](value)
        except (ValueError, RecursionError):
            raise errors.InvalidArgumentError(f"{name}={checks.shown(value)} cannot be read.") from None
    for name in required:
        if name not in found:
            raise errors.InvalidArgumentError(f"{name} is missing in the query.")
    return found


def _bool(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def _int(text: str) -> int:
    if len(text) > 10:
        raise ValueError
    return int(text)


_DEPLOY: dict[str, Callable[[str], Any]] = {
    "version": str,
    "kind": str,
    "input_type": str,
    "slo_ms": float,
    "default": str,
    "replicas": _int,
    "batch_size": _int,
    "batch": str,
    "output": str,
    "overload": str,
    "live": _bool,
    "lineage": json.loads,
}


def _deploy(server: Managed, name: str, query: str, body: bytes, granted: str) -> Any:
    checks.checked_name(name, "the app")
    fields = _query(query, _DEPLOY, ("version",))
    kind = fields.pop("kind", "pickle")
    if granted:
        if granted != f"deploy apps/{name}":
            raise errors.PermissionDeniedError("The grant allows to deploy to another app.")
        if name not in server.state.apps:  # else it would be made without the gate that its owner wants
            raise errors.NotFoundError(f"No app with name {name} exists.")
    if kind not in ("pickle", "policy"):
        raise errors.InvalidArgumentError(f"kind={checks.shown(kind)}: pickle or policy expected.")
    if not body:
        raise errors.InvalidArgumentError("The body is empty: the bytes of a model expected.")
    if fields.get("lineage") is not None and not isinstance(fields["lineage"], dict):
        raise errors.InvalidArgumentError("lineage must be a JSON object.")
    # Pickles are not opened here: only a replica's process does.
    payload = Payload(body, "pickle") if kind == "pickle" else payload_of(body)
    server.deploy_payload(name, payload, DeployOptions(**fields))
    return {"name": name, "version": fields["version"]}


def _place(server: Managed, query: str, body: bytes) -> Any:
    fields = _query(
        query,
        {"name": str, "version": str, "input_type": str, "replicas": _int},
        ("name", "version", "input_type", "replicas"),
    )
    if not body:
        raise errors.InvalidArgumentError("The body is empty: a function, pickled, expected.")
    server.place(fields["name"], fields["version"], fields["input_type"], body, fields["replicas"])
    return {"name": fields["name"], "version": fields["version"], "replicas": fields["replicas"]}


def _logs(server: Managed, query: str) -> Any:
    fields = _query(query, {"model": str, "version": str}, ("model",))
    return server.logs(fields["model"], fields.get("version"))


def _link(server: Managed, app: str, model: str) -> Any:
    server.link(app, model)
    return {"app": app, "model": model}


def _unlink(server: Managed, app: str, model: str) -> Any:
    server.unlink(app, model)
    return {"app": app, "model": model}


def _set_version(server: Managed, model: str, version: str) -> Any:
    server.set_version(model, version)
    return {"model": model, "version": version}


def _rollback(server: Managed, model: str) -> Any:
    return {"model": model, "version": server.rollback(model)}


def _scale(server: Managed, model: str, version: str, replicas: int) -> Any:
    server.scale(model, version or None, replicas)
    return {"model": model, "version": version, "replicas": replicas}


def _delete(server: Managed, model: str, version: str, force: bool) -> Any:
    server.delete_version(model, version, force=force)
    return {"model": model, "version": version}


def _delete_app(server: Managed, app: str) -> Any:
    server.delete_app(app)
    return {"app": app}


def _drain(server: Managed, timeout_s: int) -> Any:
    if not 0 <= timeout_s <= MAX_DRAIN_S:
        raise errors.InvalidArgumentError(f"timeout_s={timeout_s}: 0 to {MAX_DRAIN_S:,} expected.")

    def end() -> None:
        server.drain(timeout_s)
        server.stop()

    threading.Thread(target=end, name="serve-drain", daemon=False).start()
    return {"draining": True}


_POSTS: dict[str, tuple[dict[str, str], Callable[..., Any]]] = {
    "link": ({"app": "string", "model": "string"}, _link),
    "unlink": ({"app": "string", "model": "string"}, _unlink),
    "set_version": ({"model": "string", "version": "string"}, _set_version),
    "rollback": ({"model": "string"}, _rollback),
    "scale": ({"model": "string", "version": "string", "replicas": "int"}, _scale),
    "delete": ({"model": "string", "version": "string", "force": "bool"}, _delete),
    "delete_app": ({"app": "string"}, _delete_app),
    "drain": ({"timeout_s": "int"}, _drain),
}
PATHS = {PREFIX + name for name in (*_POSTS, "status", "logs", "replicas")}
_SLOW_PATHS = (PLACE_PATH, PREFIX + "scale", PREFIX + "delete")


def is_slow(path: str) -> bool:
    """Whether the request may wait for replicas."""
    return path in _SLOW_PATHS or path.startswith(DEPLOY_PATH)


def answer(server: Managed, request: Any, granted: str) -> Answer:
    """To a request for one of PATHS, or to deploy."""
    name = request.path.removeprefix(PREFIX)
    wanted = "GET" if name in ("status", "logs") else "POST"
    if request.method != wanted:
        return 405, _JSON, json.dumps({"error": "method", "message": f"This path takes {wanted}."}).encode()
    body = request.body  # a copy each time
    if len(body) > MAX_MODEL_BYTES:
        message = f"The body has {len(body):,} bytes; at most {MAX_MODEL_BYTES:,} are allowed."
        return 413, _JSON, json.dumps({"error": "too_large", "message": message}).encode()
    try:
        if name == "status":
            found = server.status()
        elif name == "logs":
            found = _logs(server, request.query)
        elif request.path.startswith(DEPLOY_PATH):
            found = _deploy(server, request.path.removeprefix(DEPLOY_PATH), request.query, body, granted)
        elif name == "replicas":
            found = _place(server, request.query, body)
        else:
            schema, handler = _POSTS[name]
            found = handler(server, *checks.body(body, schema))
    except errors.Error as error:
        return failure(error)
    return 200, _JSON, json.dumps(found).encode()
