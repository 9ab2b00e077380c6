"""`daybreak serve ...`: a server in the foreground, and what one asks of one that runs."""

from __future__ import annotations

import contextlib
import importlib
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from daybreak.base import errors, named
from daybreak.base.terminal import Json, clean, console, json_out, table
from daybreak.serve import checks, starting
from daybreak.serve.client import AdminClient

__all__ = ["app"]

DEFAULT_STATE_DIR = Path(".daybreak/serve")

app = typer.Typer(
    help="Serve models under a deadline. Without a command: list.",
    pretty_exceptions_enable=False,
)

StateDir = Annotated[
    Path, typer.Option("--state-dir", envvar="DAYBREAK_SERVE_DIR", help="Where the server keeps what it knows.")
]
Ca = Annotated[Path | None, typer.Option("--ca", help="Certificates to trust, when the server speaks TLS.")]


def _client(state_dir: Path, ca: Path | None) -> AdminClient:
    return AdminClient.of_state_dir(state_dir, str(ca) if ca is not None else None)


@app.callback(invoke_without_command=True)
def serve(context: typer.Context) -> None:
    """Without a command: what the server has."""
    if context.invoked_subcommand is None:
        list_all(DEFAULT_STATE_DIR)


@app.command()
def start(
    state_dir: StateDir = DEFAULT_STATE_DIR,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    query_port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes any that is free.")] = starting.QUERY_PORT,
    admin_port: Annotated[int, typer.Option(min=0, max=65_535)] = starting.ADMIN_PORT,
    metrics_port: Annotated[int, typer.Option(min=0, max=65_535)] = starting.METRICS_PORT,
    tls_certificate: Annotated[Path | None, typer.Option(help="A chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key, PEM.")] = None,
    gate: Annotated[str | None, typer.Option(help="module:object, who may predict.")] = None,
    deploy_gate: Annotated[str | None, typer.Option(help="module:object, who may deploy.")] = None,
    open_sealed: Annotated[str | None, typer.Option("--open", help="module:function that opens sealed models.")] = None,
    threads: Annotated[int, typer.Option(min=0, help="0 is one a core.")] = 0,
    drain_s: Annotated[float, typer.Option(min=0, help="For what it holds, when it is told to end.")] = 30.0,
) -> None:
    """Serve in the foreground, until SIGTERM or Ctrl-C: then it answers what it holds, and ends."""
    if (tls_certificate is None) != (tls_key is None):
        raise typer.BadParameter("--tls-certificate and --tls-key go together")
    ending = threading.Event()

    def on_signal(signum: int, frame: FrameType | None) -> None:
        if ending.is_set():
            raise KeyboardInterrupt  # the second time: at once
        ending.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        server = starting.start(
            state_dir,
            host=host,
            query_port=query_port,
            admin_port=admin_port,
            metrics_port=metrics_port,
            tls=None if tls_certificate is None else (str(tls_certificate), str(tls_key)),
            gate=named.found(gate, "--gate")[1] if gate is not None else None,
            deploy_gate=named.found(deploy_gate, "--deploy-gate")[1] if deploy_gate is not None else None,
            open=named.found(open_sealed, "--open")[1] if open_sealed is not None else None,
            threads=threads,
        )
        with server:
            print(f"predictions  {server.query_address}")
            print(f"management   {server.admin_address}  (token in {server.admin_token_file})")
            print(f"metrics      {server.metrics_address}", flush=True)
            while not server.stopped and not ending.wait(0.5):
                pass
            if not server.stopped:
                print("draining", flush=True)
                if not server.drain(drain_s):
                    print(f"some requests were not answered within {drain_s:g} s", file=sys.stderr)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@app.command("list")
def list_all(state_dir: StateDir = DEFAULT_STATE_DIR, ca: Ca = None, as_json: Json = False) -> None:
    """Apps, models and versions, and what is not ready with the reason."""
    found = _client(state_dir, ca).get("status")
    if as_json:
        json_out(found)
        return
    shown = console()
    print(f"predictions {clean(found['query'])}, metrics {clean(found['metrics'])}, pid {found['pid']}")
    apps = [
        (each["name"], ", ".join(each["models"]) or "-", each["input_type"], f"{each['slo_ms']:g} ms", _guard(each))
        for each in found["apps"]
    ]
    table(apps, ("app", "model", "input", "deadline", "gate"), title="apps", to=shown)
    versions = [
        (
            model["name"],
            each["version"] + (" *" if each["version"] == model["current"] else ""),
            f"{each['ready']}/{each['wanted']}",
            each["kind"] or "-",
            str(sum(replica["restarts"] for replica in each["replicas"])),
            each["reason"],
        )
        for model in found["models"]
        for each in model["versions"]
    ]
    heads = ("model", "version", "ready", "kind", "restarts", "")
    table(versions, heads, title="models (* answers)", to=shown)
    if not apps and not versions:
        print("nothing is deployed")


def _guard(found: dict[str, Any]) -> str:
    return ("closed: " + found["reason"]) if not found["open"] else "guarded" if found["gated"] else "open"


@app.command()
def deploy(
    name: Annotated[str, typer.Argument(help="Of the app and the model.")],
    model: Annotated[str | None, typer.Argument(help="module:object, a function or an object with predict().")] = None,
    policy: Annotated[Path | None, typer.Option(help="A policy file instead.")] = None,
    artifact: Annotated[str | None, typer.Option(help="A tracked artifact instead: its id, or RUN:NAME.")] = None,
    version: Annotated[str, typer.Option()] = "1",
    input_type: Annotated[str | None, typer.Option(help="doubles, floats, integers, bytes, strings.")] = None,
    slo_ms: Annotated[float | None, typer.Option(help="The time for an answer.  [default: 100]")] = None,
    default: Annotated[str | None, typer.Option(help="What is answered when the model does not in time.")] = None,
    replicas: Annotated[int, typer.Option(min=1)] = 1,
    batch_size: Annotated[int, typer.Option(help="-1 finds it by measuring.")] = -1,
    batch: Annotated[str | None, typer.Option(help="list or array: what the model gets.")] = None,
    output: Annotated[str | None, typer.Option(help="json or str: what becomes of its outputs.")] = None,
    overload: Annotated[str | None, typer.Option(help="default or 503.")] = None,
    stage: Annotated[bool, typer.Option("--stage", help="Do not let it answer yet.")] = False,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    ca: Ca = None,
) -> None:
    """Put a version of a model behind an app; both are made when they are not there."""
    if sum(source is not None for source in (model, policy, artifact)) != 1:
        raise typer.BadParameter("one of module:object, --policy FILE and --artifact ID expected")
    client = _client(state_dir, ca)
    lineage = None
    if model is not None:
        data, kind = _by_value(model), "pickle"
    elif policy is not None:
        try:
            data, kind = policy.read_bytes(), "policy"
        except OSError as error:
            raise errors.NotFoundError(f"{policy} cannot be read: {error.strerror}") from error
    else:
        assert artifact is not None
        data, lineage = _artifact(artifact)
        kind = "policy"
    client.send(
        f"deploy/{checks.checked_name(name, 'the app')}",
        data,
        version=version,
        kind=kind,
        input_type=input_type,
        slo_ms=slo_ms,
        default=default,
        replicas=replicas,
        batch_size=batch_size,
        batch=batch,
        output=output,
        overload=overload,
        live=not stage,
        lineage=lineage,
    )
    print(
        f"version {version} of {name} is ready"
        + (", and staged" if stage else f" and answers at {client.query_address}")
    )


def _by_value(name: str) -> bytes:
    """With the code of its module, which the server need not have."""
    import cloudpickle

    from daybreak.serve import payload

    module, found = named.found(name, "the model")
    cloudpickle.register_pickle_by_value(module)
    try:
        return payload.pickled(found)
    finally:
        with contextlib.suppress(ValueError):
            cloudpickle.unregister_pickle_by_value(module)


def _artifact(name: str) -> tuple[bytes, dict[str, Any]]:
    """The bytes of a tracked artifact, and where it came from."""
    track: Any = importlib.import_module("daybreak.track")  # a room beside this one: loaded when it is asked for
    run, colon, artifact = name.partition(":")
    lineage: dict[str, Any] = {"artifact": name}
    source: Any = name
    if colon:
        record = track.find(run)
        source = record.artifact(artifact)
        lineage = {"run": record.id, "run_name": record.name, "artifact": source.id, "artifact_name": source.name}
    data = track.load(source)
    if not isinstance(data, bytes):
        raise errors.InvalidArgumentError(f"artifact {name} holds no policy file, but a {type(data).__name__}")
    return data, lineage


@app.command()
def link(
    app_name: Annotated[str, typer.Argument(metavar="APP")],
    model: str,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    ca: Ca = None,
) -> None:
    """Let an app ask a model."""
    _client(state_dir, ca).post("link", app=app_name, model=model)
    print(f"{app_name} asks {model}")


@app.command()
def rollback(model: str, state_dir: StateDir = DEFAULT_STATE_DIR, ca: Ca = None) -> None:
    """Let the version answer that did before."""
    print(f"version {_client(state_dir, ca).post('rollback', model=model)['version']} of {model} answers")


@app.command()
def scale(
    model: str,
    replicas: Annotated[int, typer.Argument(min=0)],
    version: Annotated[str, typer.Option(help="The one that answers by default.")] = "",
    state_dir: StateDir = DEFAULT_STATE_DIR,
    ca: Ca = None,
) -> None:
    """Change how many replicas a version has."""
    _client(state_dir, ca).post("scale", model=model, version=version, replicas=replicas)
    print(f"{model} has {replicas} replicas")


@app.command()
def logs(
    model: str,
    version: Annotated[str | None, typer.Option()] = None,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    ca: Ca = None,
    as_json: Json = False,
) -> None:
    """What a model's replicas printed."""
    query = {"model": model} if version is None else {"model": model, "version": version}
    found = _client(state_dir, ca).get("logs", **query)
    if as_json:
        json_out(found)
        return
    for replica, text in found.items():
        for line in text.splitlines():
            print(f"{clean(replica)}  {clean(line.expandtabs())}")


@app.command()
def drain(
    timeout_s: Annotated[int, typer.Option(min=0, max=3600)] = 30,
    state_dir: StateDir = DEFAULT_STATE_DIR,
    ca: Ca = None,
) -> None:
    """Let the server answer what it holds, and end."""
    _client(state_dir, ca).post("drain", timeout_s=timeout_s)
    print("the server ends when it has answered what it holds")
