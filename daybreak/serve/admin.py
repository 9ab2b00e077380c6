"""The management: Clipper's API as its client speaks it, on the loop that takes requests from the core.

The core passes on only requests with the right token, within its limits. Clipper's paths answer 200 or 400 with text of its kind;
what is not there answers 404 here, where Clipper closes the connection.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

from daybreak.base import errors
from daybreak.serve import api, checks
from daybreak.serve.managed import Managed

__all__ = ["CLIPPER_PATHS", "AdminLoop", "answer"]

THREADS = 8
MAX_SLOW = (
    4  # of the threads, those that may wait for replicas: what is quick, a rollback above all, never waits behind them
)
MAX_CLIPPER_BODY = 1 << 20
REQUEST_WAIT_S = 0.5
_log = logging.getLogger("daybreak.serve")

Answer = tuple[int, str, bytes]


def _add_app(server: Managed, name: str, input_type: str, default_output: str, slo_us: int) -> str:
    slo_ms = checks.checked_slo_us(slo_us) / 1000
    server.add_app(name, input_type=input_type, default=default_output, slo_ms=slo_ms)
    return "Success!"


def _delete_app(server: Managed, name: str) -> str:
    server.delete_app(name)
    return "Success!"


def _add_model(
    server: Managed,
    name: str,
    version: str,
    labels: list[str],
    input_type: str,
    container_name: str,
    model_data_path: str,
    batch_size: int,
) -> str:
    server.add_version(
        name,
        version,
        input_type=input_type,
        labels=labels,
        container_name=container_name,
        model_data_path=model_data_path,
        batch_size=batch_size,
    )
    return "Success!"


def _delete_version(server: Managed, name: str, version: str) -> str:
    if not _is_registered(server, name, version):
        raise errors.NotFoundError(f"Version {checks.shown(version)} does not exist for model {checks.shown(name)}.")
    server.delete_version(name, version, force=True)
    return "Success!"


def _set_version(server: Managed, name: str, version: str) -> str:
    server.set_version(name, version)
    return "SUCCESS"


def _only(names: list[str]) -> str:
    if len(names) != 1:
        raise errors.InvalidArgumentError(f"Exactly 1 model must be named in model_names, not {len(names)}.")
    return names[0]


def _add_links(server: Managed, app: str, models: list[str]) -> str:
    server.link(app, _only(models))
    return "Success!"


def _delete_links(server: Managed, app: str, models: list[str]) -> str:
    server.unlink(app, *models)
    return "Success!"


def _app_object(server: Managed, name: str) -> dict[str, Any]:
    app = server.state.apps[name]
    return {
        "input_type": app.input_type,
        "default_output": app.default_output or "",
        "latency_slo_micros": app.slo_us,
        "name": name,
        "linked_models": list(app.models),
    }


def _get_apps(server: Managed, verbose: bool) -> Any:
    names = sorted(server.state.apps)
    return [_app_object(server, name) for name in names] if verbose else names


def _get_app(server: Managed, name: str) -> Any:
    return _app_object(server, name) if name in server.state.apps else {}


def _linked_models(server: Managed, app: str) -> Any:
    if app not in server.state.apps:
        raise errors.NotFoundError(f"No app with name {checks.shown(app)} exists.")
    return list(server.state.apps[app].models)


def _is_registered(server: Managed, name: str, version: str) -> bool:
    model = server.state.models.get(name)
    return model is not None and version in model.versions and model.versions[version].registered


def _model_object(server: Managed, name: str, version: str) -> dict[str, Any]:
    model = server.state.models[name]
    made = model.versions[version]
    return {
        "model_name": name,
        "model_version": version,
        "input_type": made.input_type,
        "labels": list(made.labels) or [""],
        "container_name": made.container_name,
        "model_data_path": made.model_data_path,
        "is_current_version": model.current == version,
    }


def _get_models(server: Managed, verbose: bool) -> Any:
    names = [
        (name, version)
        for name, model in sorted(server.state.models.items())
        for version, made in model.versions.items()
        if made.registered
    ]
    return [_model_object(server, *name) if verbose else ":".join(name) for name in names]


def _get_model(server: Managed, name: str, version: str) -> Any:
    return _model_object(server, name, version) if _is_registered(server, name, version) else {}


def _containers(server: Managed) -> list[dict[str, Any]]:
    return [
        {
            "model_id": f"{model}:{version}",
            "model_name": model,
            "model_version": version,
            "model_replica_id": replica,
            "input_type": input_type,
        }
        for model, version, replica, input_type in server.replicas()
    ]


def _get_containers(server: Managed, verbose: bool) -> Any:
    found = _containers(server)
    return found if verbose else [f"{each['model_id']}:{each['model_replica_id']}" for each in found]


def _get_container(server: Managed, name: str, version: str, replica: int) -> Any:
    for each in _containers(server):
        if (each["model_name"], each["model_version"], each["model_replica_id"]) == (name, version, replica):
            return each
    return {}


def _get_state(server: Managed, app: str, uid: int) -> str:
    if app not in server.state.apps:
        raise errors.NotFoundError(f"No app with name {checks.shown(app)} exists.")
    return server.state.apps[app].default_output or ""


_VERBOSE = {"verbose": "bool"}
_MODEL_ID = {"model_name": "string", "model_version": "string"}
_LINKS = {"app_name": "string", "model_names": "[string]"}

CLIPPER_PATHS: dict[str, tuple[dict[str, str], Callable[..., Any]]] = {
    "/admin/add_app": (
        {"name": "string", "input_type": "string", "default_output": "string", "latency_slo_micros": "int"},
        _add_app,
    ),
    "/admin/delete_app": ({"name": "string"}, _delete_app),
    "/admin/add_model": (
        {
            **_MODEL_ID,
            "labels": "[string]",
            "input_type": "string",
            "container_name": "string",
            "model_data_path": "string",
            "batch_size": "int",
        },
        _add_model,
    ),
    "/admin/delete_versioned_model": (_MODEL_ID, _delete_version),
    "/admin/set_model_version": (_MODEL_ID, _set_version),
    "/admin/add_model_links": (_LINKS, _add_links),
    "/admin/delete_model_links": (_LINKS, _delete_links),
    "/admin/get_all_applications": (_VERBOSE, _get_apps),
    "/admin/get_application": ({"name": "string"}, _get_app),
    "/admin/get_linked_models": ({"app_name": "string"}, _linked_models),
    "/admin/get_all_models": (_VERBOSE, _get_models),
    "/admin/get_model": (_MODEL_ID, _get_model),
    "/admin/get_all_containers": (_VERBOSE, _get_containers),
    "/admin/get_container": ({**_MODEL_ID, "replica_id": "int"}, _get_container),
    "/admin/get_state": ({"app_name": "string", "uid": "int"}, _get_state),
}
_SLOW = ("/admin/add_model", "/admin/delete_versioned_model")


def _text(status: int, text: str) -> Answer:
    return status, "application/json", text.encode()  # so does Clipper, also for what is none


def _clipper(server: Managed, path: str, body: bytes) -> Answer:
    if len(body) > MAX_CLIPPER_BODY:
        return _text(413, f"The body has {len(body):,} bytes; at most {MAX_CLIPPER_BODY:,} are allowed.")
    schema, handler = CLIPPER_PATHS[path]
    try:
        found = handler(server, *checks.body(body, schema))
    except errors.Error as error:
        return _text(400 if error.http_status < 500 else error.http_status, str(error))
    return _text(200, found if isinstance(found, str) else json.dumps(found))


def answer(server: Managed, request: Any) -> Answer:
    """What is answered to a request whose token was right, or that a grant allows to deploy to one app."""
    granted = request.header("x-daybreak-granted")
    if granted and not request.path.startswith(api.DEPLOY_PATH):
        return api.failure(errors.PermissionDeniedError("A grant allows to deploy to its app and nothing else here."))
    if request.path == "/admin/ping":
        return _text(200, "PONG") if request.method == "GET" else _text(405, "This path takes GET.")
    if request.path in CLIPPER_PATHS:
        if request.method != "POST":
            return _text(405, "This path takes POST.")
        return _clipper(server, request.path, request.body)
    if request.path in api.PATHS or request.path.startswith(api.DEPLOY_PATH):
        return api.answer(server, request, granted)
    if request.path.startswith(api.PREFIX):
        return api.failure(errors.NotFoundError("There is nothing at this path."))
    return _text(404, "There is nothing at this path.")


class AdminLoop:
    """Threads that answer management requests until the core has stopped."""

    def __init__(self, server: Managed, core: Any) -> None:
        self._server = server
        self._core = core
        self._closing = False
        self._slow = threading.BoundedSemaphore(MAX_SLOW)
        self._threads = [
            threading.Thread(target=self._run, name=f"serve-admin-{i}", daemon=True) for i in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._closing:
            try:
                request = self._core.next_admin_request(REQUEST_WAIT_S)
            except errors.Error:
                return
            if request is None:
                continue
            try:
                result = self._answer(request)
            except Exception:
                _log.exception("an unexpected error answering %s %s", request.method, request.path)
                result = _text(500, "An unexpected error occurred!")
            try:
                request.respond(*result)
            except errors.Error:
                continue  # whoever asked has gone

    def _answer(self, request: Any) -> Answer:
        if request.path not in _SLOW and not api.is_slow(request.path):
            return answer(self._server, request)
        if not self._slow.acquire(blocking=False):
            return api.failure(
                errors.UnavailableError(f"{MAX_SLOW} deploys and other slow changes are under way: try again soon.")
            )
        try:
            return answer(self._server, request)
        finally:
            self._slow.release()

    def close(self) -> None:
        """After the core has stopped."""
        self._closing = True
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
