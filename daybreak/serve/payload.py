"""What a model is to the server: bytes to keep, and something to run."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from daybreak.base import errors
from daybreak.serve.replica import predict_of
from daybreak.serve.state import Blob, Store

__all__ = ["Open", "Payload", "Runnable", "Sealed", "payload_of", "pickled", "reopened", "summary_of"]

# Reads a policy file when all that there is are its bytes. Named, not imported: `rl` is a room beside this one.
POLICY_LOADER = "daybreak.rl.policy:Policy"
Open = Callable[[bytes, dict[str, Any]], Any]


class Sealed:
    """A model that came out of a ciphertext: the server keeps the ciphertext on the disk and the model in memory alone.

    ciphertext: what a restart gives to `serve.start(open=...)`, which must give the model back.
    """

    __slots__ = ("ciphertext", "model")

    def __init__(self, ciphertext: bytes, model: Any) -> None:
        if not isinstance(ciphertext, bytes) or not ciphertext:
            raise errors.InvalidArgumentError("Sealed: the ciphertext must be bytes, and some")
        self.ciphertext = ciphertext
        self.model = model

    def __repr__(self) -> str:
        return f"Sealed({len(self.ciphertext):,} bytes)"


@dataclass(frozen=True, repr=False)
class Runnable:
    """What a replica runs: an object with `__daybreak_model_v1__` in this process, or a pickle (a file, or bytes) in another."""

    native: Any = None
    sha256: str = ""
    path: str = ""
    data: bytes = b""


@dataclass(frozen=True, repr=False)
class Payload:
    """What is kept of a model, and what runs. run is None for a pickle, which runs from where it is kept."""

    data: bytes
    kind: str
    loader: str = ""
    run: Runnable | None = None
    lineage: Mapping[str, Any] | None = None

    def runnable(self, store: Store, blob: Blob) -> Runnable:
        return self.run or Runnable(sha256=blob.sha256, path=str(store.blob_path(blob)))


def summary_of(error: BaseException) -> str:
    """An error in a few words: its class, and its text when that is short and of one line."""
    text = str(error).strip()
    short = text if text and len(text) <= 200 and "\n" not in text else ""
    return f"{type(error).__name__}{': ' + short if short else ''}"


def pickled(model: Any) -> bytes:
    """A function or an object with predict(), by cloudpickle. InvalidArgumentError when it is none, or cannot be pickled."""
    try:
        predict_of(model)
    except TypeError as error:
        raise errors.InvalidArgumentError(str(error)) from None
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(model))
    except Exception as error:
        raise errors.InvalidArgumentError(
            f"the model cannot be pickled ({summary_of(error)}): keep files, locks and connections out of it"
        ) from error


def _is_native(model: Any) -> bool:
    return hasattr(model, "__daybreak_model_v1__")


def _loaded(loader: str, data: bytes) -> Any:
    """By a class that is named "module:Class" and has load(bytes)."""
    module, _, name = loader.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        return found.load(data)
    except errors.Error:
        raise
    except Exception as error:
        raise errors.FailedPreconditionError(f"{loader}.load did not read the model: {summary_of(error)}") from error


def _native_payload(model: Any, lineage: Mapping[str, Any] | None) -> Payload:
    loader = f"{type(model).__module__}:{type(model).__qualname__}"
    if not callable(getattr(model, "to_bytes", None)) or not callable(getattr(type(model), "load", None)):
        raise errors.InvalidArgumentError(
            f"a model that runs in process needs to_bytes() and load(bytes), so that a restart has it again: "
            f"{type(model).__name__} has not (serve.Sealed keeps other bytes)"
        )
    return Payload(model.to_bytes(), "policy", loader, Runnable(native=model), lineage)


def payload_of(model: Any) -> Payload:
    """Of whatever may be deployed: a function, an object with predict(), a policy (or the bytes of its file), an artifact
    of `track` that holds one, Sealed."""
    if isinstance(model, Sealed):
        return Payload(model.ciphertext, "sealed", run=_in_memory(model.model))
    if _is_native(model):
        return _native_payload(model, None)
    if isinstance(model, bytes):
        source = getattr(model, "artifact", None)  # of track.load
        return _native_payload(_loaded(POLICY_LOADER, model), None if source is None else _lineage_of(source))
    if _is_artifact(model):
        # Its own module has the function that reads it.
        value = importlib.import_module(type(model).__module__).load(model)
        if not isinstance(value, bytes):
            raise errors.InvalidArgumentError(
                f"artifact {model.name!r} holds a {model.kind}: the bytes of a policy file expected"
            )
        return _native_payload(_loaded(POLICY_LOADER, value), _lineage_of(model))
    return Payload(pickled(model), "pickle")


def _lineage_of(artifact: Any) -> dict[str, Any]:
    about = {"artifact": artifact.id, "artifact_name": artifact.name}
    if isinstance(getattr(artifact, "run", None), str) and artifact.run:
        about["run"] = artifact.run
    return about


def _is_artifact(model: Any) -> bool:
    fields = ("id", "name", "kind", "size_bytes", "meta")
    return all(hasattr(model, name) for name in fields) and not callable(model) and not hasattr(model, "predict")


def _in_memory(model: Any) -> Runnable:
    if _is_native(model):
        return Runnable(native=model)
    data = pickled(model)
    return Runnable(sha256=hashlib.sha256(data).hexdigest(), data=data)


def reopened(store: Store, blob: Blob, open_sealed: Open | None, lineage: dict[str, Any] | None) -> Runnable:
    """What runs, from what is kept, after a restart. An Error says why not, without anything of the content."""
    data = store.read(blob)
    if blob.kind == "pickle":
        return Runnable(sha256=blob.sha256, path=str(store.blob_path(blob)))
    if blob.kind == "policy":
        return Runnable(native=_loaded(blob.loader, data))
    if open_sealed is None:
        raise errors.FailedPreconditionError("it is kept sealed and nobody opens it: serve.start(open=...)")
    try:
        model = open_sealed(data, dict(lineage or {}))
    except Exception as error:
        raise errors.PermissionDeniedError(f"it is kept sealed and was not opened: {type(error).__name__}") from error
    return _in_memory(model)
